"""Hugging Face's names for the models which both libraries have: of configurations and of tensors.

A directory of such a model is written as Transformers writes it, and loads there with equal scores; and one from there
loads here. Transformer-XL is one of theirs no more; its directories are those which were written up to version 4.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from regard.models.layout import AS_IS, TURNED, Allowed, Layout, Row, only

# Of any model: who wrote it, what it is for, and what is asked of it when it is called.
TOLD = frozenset(
    {
        "_name_or_path",
        "_num_labels",
        "architectures",
        "bos_token_id",
        "chunk_size_feed_forward",
        "dtype",
        "eos_token_id",
        "gradient_checkpointing",
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
        "tokenizer_class",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
_SUMMARY = frozenset(
    f"summary_{name}" for name in ("activation", "first_dropout", "proj_to_labels", "type", "use_proj")
)
GELU_NAMES = {"gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "gelu": "exact", "quick_gelu": "sigmoid"}
_FIXED = {"layer_norm_epsilon": only(1e-5), "tie_word_embeddings": only(True)}


def _four_times(width: str) -> Allowed:
    """The width of a feed-forward, which need not be said."""
    return lambda about: (None, 4 * about.get(width, 0))


_VECTORS: list[Row] = [  # of a layer of GPT, GPT-2 and GPT-Neo, and the output, which is the table of tokens
    ("h.{}.ln_1.weight", "blocks.{}.attention_norm.weight", AS_IS),
    ("h.{}.ln_1.bias", "blocks.{}.attention_norm.bias", AS_IS),
    ("h.{}.ln_2.weight", "blocks.{}.feed_forward_norm.weight", AS_IS),
    ("h.{}.ln_2.bias", "blocks.{}.feed_forward_norm.bias", AS_IS),
    ("h.{}.mlp.c_fc.bias", "blocks.{}.feed_forward.expand.bias", AS_IS),
    ("h.{}.mlp.c_proj.bias", "blocks.{}.feed_forward.contract.bias", AS_IS),
    ("lm_head.weight", "output.weight", AS_IS),
]
_GPT_TENSORS: list[Row] = [  # its matrices of attention and feed-forward have inputs as rows
    ("h.{}.attn.c_attn.weight", "blocks.{}.attention.projection.weight", TURNED),
    ("h.{}.attn.c_attn.bias", "blocks.{}.attention.projection.bias", AS_IS),
    ("h.{}.attn.c_proj.weight", "blocks.{}.attention.output.weight", TURNED),
    ("h.{}.attn.c_proj.bias", "blocks.{}.attention.output.bias", AS_IS),
    ("h.{}.mlp.c_fc.weight", "blocks.{}.feed_forward.expand.weight", TURNED),
    ("h.{}.mlp.c_proj.weight", "blocks.{}.feed_forward.contract.weight", TURNED),
    *_VECTORS,
]
_GPT2_ENDS: list[Row] = [  # below and above the layers of GPT-2 and GPT-Neo
    ("wte.weight", "token.weight", AS_IS),
    ("wpe.weight", "position.weight", AS_IS),
    ("ln_f.weight", "end.weight", AS_IS),
    ("ln_f.bias", "end.bias", AS_IS),
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

_GPT = Layout(
    model_type="openai-gpt",
    architecture="OpenAIGPTLMHeadModel",
    fields=_GPT_FIELDS | {"afn": "activation"},
    spelled={"afn": {"gelu": "tanh", "gelu_new": "tanh"}},  # both are the tanh form there
    fixed=_FIXED,
    told=TOLD | _SUMMARY | {"n_ctx", "n_special", "predict_special_tokens"},
    tensors=[
        ("tokens_embed.weight", "token.weight", AS_IS),
        ("positions_embed.weight", "position.weight", AS_IS),
        *_GPT_TENSORS,
    ],
    prefix="transformer.",
    head="lm_head.",
    buffers=("h.{}.attn.bias", "position_ids"),
)

_GPT2 = Layout(
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    fields=_GPT_FIELDS | {"activation_function": "activation"},
    spelled={"activation_function": GELU_NAMES},
    fixed=_FIXED
    | {
        "n_inner": _four_times("n_embd"),
        "scale_attn_weights": only(True),
        "scale_attn_by_inverse_layer_idx": only(False),
        "reorder_and_upcast_attn": only(False),
        "add_cross_attention": only(False),
    },
    told=TOLD | _SUMMARY | {"n_ctx"},
    tensors=_GPT2_ENDS + _GPT_TENSORS,
    prefix="transformer.",
    head="lm_head.",
    buffers=("h.{}.attn.bias", "h.{}.attn.masked_bias"),
)


def _layers(about: Mapping[str, Any]) -> list[str]:
    """What each of GPT-Neo's layers sees: all of its past, and a band of it, in turn."""
    depth = about.get("num_layers", 0)
    return [("global", "local")[layer % 2] for layer in range(depth if isinstance(depth, int) else 0)]


def _types(about: Mapping[str, Any]) -> list[list]:
    """The same as kinds of layers in turn, and how often."""
    twice, once = divmod(len(_layers(about)), 2)
    return [[["global", "local"], twice]] + [[["global"], 1]] * once


_GPT_NEO = Layout(
    model_type="gpt_neo",
    architecture="GPTNeoForCausalLM",
    fields={
        "vocab_size": "vocabulary",
        "max_position_embeddings": "context",
        "hidden_size": "width",
        "num_layers": "depth",
        "num_heads": "heads",
        "window_size": "band",
        "attention_dropout": "dropout",
        "embed_dropout": "dropout",
        "resid_dropout": "dropout",
        "activation_function": "activation",
    },
    spelled={"activation_function": GELU_NAMES},
    fixed=_FIXED
    | {
        "intermediate_size": _four_times("hidden_size"),
        "attention_types": lambda about: (_types(about),),
        "attention_layers": lambda about: (_layers(about),),
    },
    told=TOLD | _SUMMARY | {"classifier_dropout"},
    tensors=[
        (
            tuple(f"h.{{}}.attn.attention.{part}_proj.weight" for part in "qkv"),
            "blocks.{}.attention.projection.weight",
            AS_IS,
        ),
        ("h.{}.attn.attention.out_proj.weight", "blocks.{}.attention.output.weight", AS_IS),
        ("h.{}.attn.attention.out_proj.bias", "blocks.{}.attention.output.bias", AS_IS),
        ("h.{}.mlp.c_fc.weight", "blocks.{}.feed_forward.expand.weight", AS_IS),
        ("h.{}.mlp.c_proj.weight", "blocks.{}.feed_forward.contract.weight", AS_IS),
        *_GPT2_ENDS,
        *_VECTORS,
    ],
    prefix="transformer.",
    head="lm_head.",
    buffers=("h.{}.attn.attention.bias", "h.{}.attn.attention.masked_bias"),
)


def _head_width(about: Mapping[str, Any]) -> tuple:
    """That of Transformer-XL's heads which share out the width."""
    width, heads = about.get("d_model"), about.get("n_head")
    return (width // heads if isinstance(width, int) and isinstance(heads, int) and heads > 0 else None,)


def _shared_projections(about: Mapping[str, Any]) -> tuple:
    """Whether Transformer-XL's embedding and softmax share the projection of each cluster: all but the first."""
    cutoffs = about.get("cutoffs")
    count = len(cutoffs) if isinstance(cutoffs, list | tuple) else 0
    shared = [False] + [True] * count
    return (shared, [False] * (count + 1)) if about.get("div_val") == 1 else (shared,)  # 1 leaves none to share


class _TransfoXLLayout(Layout):
    """Transformer-XL's directories, which count differently in two places.

    Transformers begins a text with a memory of zeros, which are seen; for its scores, hand `read` such a one.
    """

    def read_config(self, about: Mapping[str, Any], place: str) -> dict[str, Any]:
        """As any layout; where all positions see `mem_len`, they count themselves among them."""
        values = super().read_config(about, place)
        if missing := [theirs for theirs, ours in self.fields.items() if ours not in values]:
            raise ValueError(f"{place}: {', '.join(missing)} must be said, for Transformers' defaults are not ours")
        if values["same_length"] is True and isinstance(values["memory"], int):
            if values["memory"] < 1:
                raise ValueError(f"{place}: mem_len is {values['memory']}, but same_length leaves nothing to be seen")
            values["memory"] -= 1
        return values

    def write_config(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """As any layout; where all positions see `mem_len`, they count themselves among them."""
        seen = values["memory"] + 1 if values["same_length"] else values["memory"]
        return super().write_config({**values, "memory": seen})

    def read_tensors(self, tensors: Mapping[str, Tensor], place: str, heads: int = 0) -> dict[str, Tensor]:
        """As any layout; but names without a prefix are of the authors' code, whose order of clusters is another.

        Raises:
            ValueError: as any layout, and if that order would matter.
        """
        clusters = tensors.get("crit.cluster_weight")
        if clusters is not None and len(clusters) > 1 and not any(name.startswith(self.prefix) for name in tensors):
            raise ValueError(
                f"{place}: names without {self.prefix!r} are those of the authors' PyTorch code, which counts clusters "
                f"from the last; reverse the rows of crit.cluster_weight and crit.cluster_bias, and put "
                f"{self.prefix!r} before all names but those of crit"
            )
        return super().read_tensors(tensors, place, heads)


_TRANSFORMER_XL = _TransfoXLLayout(
    model_type="transfo-xl",
    architecture="TransfoXLLMHeadModel",
    fields={
        "vocab_size": "vocabulary",
        "n_token": "vocabulary",
        "d_model": "width",
        "d_embed": "width",
        "n_layer": "depth",
        "n_head": "heads",
        "d_inner": "hidden",
        "mem_len": "memory",
        "dropout": "dropout",
        "dropatt": "attention_dropout",
        "clamp_len": "clamp",
        "same_length": "same_length",
        "untie_r": "untied",
        "cutoffs": "cutoffs",
        "div_val": "division",
    },
    fixed=_FIXED
    | {
        "d_head": _head_width,
        "adaptive": only(True),
        "attn_type": only(0),
        "ext_len": only(0),
        "pre_lnorm": only(False),
        "proj_share_all_but_first": lambda about: (True, False) if about.get("div_val") == 1 else (True,),
        "sample_softmax": only(-1, 0),
        "tie_projs": _shared_projections,
        "tie_weight": only(True),
    },
    told=TOLD | {"init", "init_range", "init_std", "proj_init_std", "tgt_len"},
    tensors=[
        ("word_emb.emb_layers.{}.weight", "token.tables.{}.weight", AS_IS),
        ("word_emb.emb_projs.{}", "token.projections.{}.weight", AS_IS),
        ("layers.{}.dec_attn.qkv_net.weight", "blocks.{}.attention.projection.weight", AS_IS),
        ("layers.{}.dec_attn.o_net.weight", "blocks.{}.attention.output.weight", AS_IS),
        ("layers.{}.dec_attn.r_net.weight", "blocks.{}.attention.distance.weight", AS_IS),
        ("layers.{}.dec_attn.r_w_bias", "blocks.{}.attention.content_bias", AS_IS),
        ("layers.{}.dec_attn.r_r_bias", "blocks.{}.attention.distance_bias", AS_IS),
        ("r_w_bias", "blocks.0.attention.content_bias", AS_IS),  # of all layers
        ("r_r_bias", "blocks.0.attention.distance_bias", AS_IS),
        ("layers.{}.dec_attn.layer_norm.weight", "blocks.{}.attention_norm.weight", AS_IS),
        ("layers.{}.dec_attn.layer_norm.bias", "blocks.{}.attention_norm.bias", AS_IS),
        ("layers.{}.pos_ff.CoreNet.0.weight", "blocks.{}.feed_forward.expand.weight", AS_IS),
        ("layers.{}.pos_ff.CoreNet.0.bias", "blocks.{}.feed_forward.expand.bias", AS_IS),
        ("layers.{}.pos_ff.CoreNet.3.weight", "blocks.{}.feed_forward.contract.weight", AS_IS),
        ("layers.{}.pos_ff.CoreNet.3.bias", "blocks.{}.feed_forward.contract.bias", AS_IS),
        ("layers.{}.pos_ff.layer_norm.weight", "blocks.{}.feed_forward_norm.weight", AS_IS),
        ("layers.{}.pos_ff.layer_norm.bias", "blocks.{}.feed_forward_norm.bias", AS_IS),
        ("crit.cluster_weight", "output.clusters.weight", AS_IS),
        ("crit.cluster_bias", "output.clusters.bias", AS_IS),
        ("crit.out_layers.{}.weight", "output.tables.{}.weight", AS_IS),
        ("crit.out_layers.{}.bias", "output.biases.{}", AS_IS),
        ("crit.out_projs.0", "output.first.weight", TURNED),
        ("crit.out_projs.{}", "output.projections.{}.weight", AS_IS),
    ],
    prefix="transformer.",
    head="crit.",
    buffers=("pos_emb.inv_freq",),
)

LAYOUTS: dict[str, Layout] = {  # by the registry's name
    "gpt": _GPT,
    "gpt2": _GPT2,
    "gpt-neo": _GPT_NEO,
    "transformer-xl": _TRANSFORMER_XL,
}
