"""Hugging Face's names for the models which both libraries have: of configurations and of tensors.

A directory of such a model is written as Transformers writes it, and loads there with equal scores; and one from there
loads here. A layout is a table, applied strictly: what it does not name is an error, not a guess.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Allowed = Callable[[Mapping[str, Any]], tuple]


def only(*values: Any) -> Allowed:
    """These values, whatever else a configuration says."""
    return lambda _: values


@dataclass(frozen=True)
class Layout:
    """How Transformers writes one kind of model.

    Args:
        model_type: its name of the kind.
        architecture: its class with a language model's head.
        fields: its names of our configuration's fields; a field may have several, which must then agree.
        fixed: what else decides how it computes: the values which this library computes, the usual one first, from all
            of config.json.
        told: what decides nothing here, and is left aside.
        tensors: rows of its name, our name, and whether the matrix lies the other way round; `{}` is a layer's number.
        prefix: before its names of tensors; files without it are read too.
        tied: its names of matrices which are another's, and ours of the other.
        buffers: its names of what is no parameter.
    """

    model_type: str
    architecture: str
    fields: dict[str, str]
    fixed: dict[str, Allowed]
    told: frozenset[str]
    tensors: list[tuple[str, str, bool]]
    prefix: str
    tied: dict[str, str]
    buffers: tuple[str, ...] = ()

    def read_config(self, about: Mapping[str, Any], place: str) -> dict[str, Any]:
        """Our configuration's values from its config.json.

        Raises:
            ValueError: if something in it asks for what this library does not compute; names it.
        """
        values: dict[str, Any] = {}
        for key, value in about.items():
            if key in self.fields:
                field = self.fields[key]
                if values.setdefault(field, value) != value:
                    names = " and ".join(name for name in self.fields if self.fields[name] == field and name in about)
                    raise ValueError(f"{place}: {names} differ, but are one value here ({field}); set them equal")
            elif key in self.fixed:
                allowed = self.fixed[key](about)
                if value not in allowed:
                    raise ValueError(f"{place}: {key} is {value!r}, but only {allowed[0]!r} is computed here")
            elif key not in self.told and key not in _TOLD:
                raise ValueError(f"{place}: {key}={value!r} is not known for {self.model_type}; remove it if it may be")
        return values

    def write_config(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Its config.json of our configuration."""
        about: dict[str, Any] = {"architectures": [self.architecture], "model_type": self.model_type}
        about |= {theirs: values[ours] for theirs, ours in self.fields.items()}
        return about | {key: allowed(about)[0] for key, allowed in self.fixed.items()}

    def read_tensors(self, tensors: Mapping[str, Tensor], place: str) -> dict[str, Tensor]:
        """Our tensors by our names; those which no row names keep theirs, so that filling a model lists them.

        Raises:
            ValueError: if a matrix which should be another's has values of its own, or a tensor is there twice.
        """
        found, same = {}, {}
        for name, tensor in tensors.items():
            plain = name.removeprefix(self.prefix)
            if any(_match(pattern, plain) for pattern in self.buffers):
                continue
            if name in self.tied:
                same[name] = tensor
                continue
            for theirs, ours, is_turned in self.tensors:
                if (numbers := _match(theirs, plain)) is not None:
                    own = ours.format(*numbers)
                    if own in found:
                        raise ValueError(f"{place}: {plain} is there twice, with and without {self.prefix!r}")
                    found[own] = tensor.T.contiguous() if is_turned and tensor.ndim == 2 else tensor
                    break
            else:
                found[name] = tensor
        for name, tensor in same.items():
            other = found.get(self.tied[name])
            if other is None or other.shape != tensor.shape or not bool((other == tensor).all()):
                raise ValueError(f"{place}: {name} must be the same as {self.tied[name]}, which this model shares")
        return found

    def write_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Its tensors by its names."""
        written = {}
        for name, tensor in tensors.items():
            for theirs, ours, is_turned in self.tensors:
                if (numbers := _match(ours, name)) is not None:
                    written[self.prefix + theirs.format(*numbers)] = tensor.T if is_turned else tensor
                    break
            else:
                raise AssertionError(f"the table of {self.model_type} has no row for {name}")
        return written


def _match(pattern: str, name: str) -> tuple[str, ...] | None:
    """The numbers which stand for `{}` in a name; None where it is another name."""
    found = re.fullmatch(re.escape(pattern).replace(r"\{\}", r"(\d+)"), name)
    return None if found is None else found.groups()


# Of any model: who wrote it, what it is for, and what is asked of it when it is called.
_TOLD = frozenset(
    {
        "_name_or_path",
        "architectures",
        "bos_token_id",
        "chunk_size_feed_forward",
        "dtype",
        "eos_token_id",
        "id2label",
        "initializer_range",
        "is_encoder_decoder",
        "label2id",
        "model_type",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "problem_type",
        "return_dict",
        "task_specific_params",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
_SUMMARY = frozenset(
    f"summary_{name}" for name in ("activation", "first_dropout", "proj_to_labels", "type", "use_proj")
)

_GPT_TENSORS = [  # its matrices of attention and feed-forward have inputs as rows
    ("h.{}.ln_1.weight", "blocks.{}.attention_norm.weight", False),
    ("h.{}.ln_1.bias", "blocks.{}.attention_norm.bias", False),
    ("h.{}.attn.c_attn.weight", "blocks.{}.attention.projection.weight", True),
    ("h.{}.attn.c_attn.bias", "blocks.{}.attention.projection.bias", False),
    ("h.{}.attn.c_proj.weight", "blocks.{}.attention.output.weight", True),
    ("h.{}.attn.c_proj.bias", "blocks.{}.attention.output.bias", False),
    ("h.{}.ln_2.weight", "blocks.{}.feed_forward_norm.weight", False),
    ("h.{}.ln_2.bias", "blocks.{}.feed_forward_norm.bias", False),
    ("h.{}.mlp.c_fc.weight", "blocks.{}.feed_forward.expand.weight", True),
    ("h.{}.mlp.c_fc.bias", "blocks.{}.feed_forward.expand.bias", False),
    ("h.{}.mlp.c_proj.weight", "blocks.{}.feed_forward.contract.weight", True),
    ("h.{}.mlp.c_proj.bias", "blocks.{}.feed_forward.contract.bias", False),
]
_GPT_FIELDS = {
    "vocab_size": "vocabulary",
    "n_positions": "context",
    "n_embd": "width",
    "n_layer": "depth",
    "n_head": "heads",
    "attn_pdrop": "dropout",
    "embd_pdrop": "dropout",
    "resid_pdrop": "dropout",
}
_GPT_FIXED = {"layer_norm_epsilon": only(1e-5), "tie_word_embeddings": only(True)}

LAYOUTS: dict[str, Layout] = {  # by the registry's name
    "gpt": Layout(
        model_type="openai-gpt",
        architecture="OpenAIGPTLMHeadModel",
        fields=_GPT_FIELDS,
        fixed=_GPT_FIXED | {"afn": only("gelu", "gelu_new")},  # both are the tanh form there
        told=_SUMMARY | {"n_ctx", "n_special", "predict_special_tokens"},
        tensors=[
            ("tokens_embed.weight", "token.weight", False),
            ("positions_embed.weight", "position.weight", False),
            *_GPT_TENSORS,
        ],
        prefix="transformer.",
        tied={"lm_head.weight": "token.weight"},
        buffers=("h.{}.attn.bias", "position_ids"),
    ),
    "gpt2": Layout(
        model_type="gpt2",
        architecture="GPT2LMHeadModel",
        fields=_GPT_FIELDS,
        fixed=_GPT_FIXED
        | {
            "activation_function": only("gelu_new", "gelu_pytorch_tanh"),
            "n_inner": lambda about: (None, 4 * about.get("n_embd", 0)),
            "scale_attn_weights": only(True),
            "scale_attn_by_inverse_layer_idx": only(False),
            "reorder_and_upcast_attn": only(False),
            "add_cross_attention": only(False),
        },
        told=_SUMMARY | {"n_ctx"},
        tensors=[
            ("wte.weight", "token.weight", False),
            ("wpe.weight", "position.weight", False),
            *_GPT_TENSORS,
            ("ln_f.weight", "end.weight", False),
            ("ln_f.bias", "end.bias", False),
        ],
        prefix="transformer.",
        tied={"lm_head.weight": "token.weight"},
        buffers=("h.{}.attn.bias", "h.{}.attn.masked_bias"),
    ),
}
