"""Hugging Face's names for encoders, alone and with each of their heads.

Transformers has one head on XLNet alone, though ALBERT's authors use it too: that for spans whose end depends on their
start. On BERT and ALBERT it is written under a name of our own, as `AlbertForConditionalQuestionAnswering`, and with
XLNet's names of tensors; Transformers does not load these.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from torch import Tensor

from regard.models.hugging_face import GELU_NAMES, LAYOUTS, TOLD
from regard.models.layout import AS_IS, Form, Layout, Row, match, only, weight_and_bias
from regard.storage.names import did_you_mean

SCALE = "similarity_scale"
_OPTIONS = {"both_orders": "both_orders", SCALE: "scale"}  # words of our own, and keywords of a head
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}  # of files up to 2019


@dataclass(frozen=True)
class EncoderLayout(Layout):
    """How Transformers writes an encoder, and what stands on it.

    Args:
        classes: its class for each head, by our name of it; the bare encoder's is empty.
        pooler: rows of the layer which sums an input up.
        head_rows: rows of each head.
        spare: patterns of its tensors which belong to heads other than this one, and are left aside.
        unsaid: our values of what a config.json leaves unsaid, where its defaults are not ours.
        rates: its names of the dropout below a head, of which the first that is a number counts.
    """

    classes: dict[str, str] = field(default_factory=dict)
    pooler: list[Row] = field(default_factory=list)
    head_rows: dict[str, list[Row]] = field(default_factory=dict)
    spare: frozenset[str] = frozenset()
    unsaid: dict[str, Any] = field(default_factory=dict)
    rates: tuple[str, ...] = ()

    def read_config(self, about: Mapping[str, Any], place: str) -> dict[str, Any]:
        """As any layout; what is not said has the value which it has there, and no head is pruned."""
        about = {key: value for key, value in about.items() if (key, value) != ("pruned_heads", {})}
        return self.unsaid | super().read_config(about, place)

    def dropout_of(self, about: Mapping[str, Any], place: str) -> float:
        """The rate of dropout below the head of a config.json.

        Raises:
            ValueError: if it is no number.
        """
        name, rate = next(((name, about[name]) for name in self.rates if about.get(name) is not None), ("", 0.1))
        if not isinstance(rate, int | float) or isinstance(rate, bool):
            raise ValueError(f"{place}: {name} must be a rate of dropout, got {rate!r}")
        return float(rate)

    def written_dropout(self, rate: float, about: Mapping[str, Any]) -> dict[str, Any]:
        """What a config.json says of the rate of dropout below the head, where it is not what it says already."""
        return {} if self.dropout_of(about, "config.json") == rate else {self.rates[0]: rate}

    def head_of(self, about: Mapping[str, Any], place: str) -> str:
        """The head which a config.json names.

        Raises:
            ValueError: if it names one which is not known here.
        """
        named = about.get("architectures") or [self.classes[""]]
        if not isinstance(named, list) or len(named) != 1:
            raise ValueError(f"{place}: architectures must name one class, got {named!r}")
        for head, name in self.classes.items():
            if name == named[0] and head == "classification" and _is_regression(about, place):
                return "regression"
            if name == named[0]:
                return "similarity" if not head and SCALE in about else head
        known = list(dict.fromkeys(self.classes.values()))
        hint = did_you_mean(str(named[0]), known)
        raise ValueError(f"{place}: {named[0]!r} is not known; the architectures are {', '.join(known)}{hint}")

    def headed(self, head: str, *, pools: bool) -> Self:
        """The layout of the encoder with this head; whether it has a layer which sums inputs up."""
        encoder = self.tensors + (self.pooler if pools else [])
        own = [(theirs, f"encoder.{ours}", form) for theirs, ours, form in encoder] if head else encoder
        own = [*own, *self.head_rows.get(head, [])]
        names = {name for theirs, _, _ in own for name in ([theirs] if isinstance(theirs, str) else theirs)}
        others = [*self.pooler, *(row for rows in self.head_rows.values() for row in rows)]
        spare = {theirs for theirs, _, _ in others if isinstance(theirs, str)} - names
        return dataclasses.replace(
            self,
            tensors=own,
            architecture=self.classes.get(head, ""),
            head=self.head if self.head_rows.get(head) else "",  # an encoder with nothing on it is without the prefix
            spare=frozenset(spare),
        )

    def read_tensors(self, tensors: Mapping[str, Tensor], place: str, heads: int = 0) -> dict[str, Tensor]:
        """As any layout; old names are understood, and what belongs to other heads is left aside.

        Raises:
            ValueError: as any layout, and if a tensor is there under its old name and its new one.
        """
        found = {}
        for name, tensor in tensors.items():
            for old, new in _OLD_NAMES.items():
                name = name.removesuffix(old) + new if name.endswith(old) else name
            if name in found:
                raise ValueError(f"{place}: {name} is there twice, under its old name and its new one")
            if not any(match(pattern, name.removeprefix(self.prefix)) is not None for pattern in self.spare):
                found[name] = tensor
        return super().read_tensors(found, place, heads)

    def pooled(self, config: Any, pools: bool) -> Any:
        """A configuration whose encoder sums inputs up or does not, where that takes a layer."""
        return dataclasses.replace(config, pools=pools) if self.pooler else config

    def has_pooler(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether there is a layer which sums inputs up among its tensors."""
        names = {name.removeprefix(self.prefix) for name in tensors}
        return any(isinstance(theirs, str) and theirs in names for theirs, _, _ in self.pooler)


def _is_regression(about: Mapping[str, Any], place: str) -> bool:
    """Whether a class of one number or several gives a number, as Transformers tells them apart.

    Raises:
        ValueError: if it tells several classes of one input.
    """
    kind = about.get("problem_type")
    if kind not in (None, "regression", "single_label_classification"):
        raise ValueError(f"{place}: problem_type is {kind!r}, but an input has one class or one number here")
    return kind == "regression" if kind is not None else len(read_labels(about, place)) == 1


def read_labels(about: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """The classes of a config.json, in order; two without names where it says nothing, as Transformers has them.

    Raises:
        ValueError: if they are not numbered from 0, or two have one name.
    """
    named = about.get("id2label")
    if named is None:
        count = about.get("num_labels", about.get("_num_labels", 2))
        named = {str(n): f"LABEL_{n}" for n in range(count if isinstance(count, int) else 2)}
    if not isinstance(named, dict) or {str(n) for n in range(len(named))} != set(named):
        raise ValueError(f"{place}: id2label must name the classes 0, 1 and so on, got {named!r}")
    labels = tuple(str(named[str(n)]) for n in range(len(named)))
    if len(set(labels)) != len(labels):
        raise ValueError(f"{place}: two classes of id2label have one name: {', '.join(labels)}")
    return labels


def written_labels(head: str, labels: tuple[str, ...]) -> dict[str, Any]:
    """What a config.json says of a head's classes."""
    if head == "regression":
        return {"problem_type": "regression", "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    if not labels:
        return {}
    about: dict[str, Any] = {
        "id2label": {str(n): label for n, label in enumerate(labels)},
        "label2id": {label: n for n, label in enumerate(labels)},
    }
    return {"problem_type": "single_label_classification", **about} if head == "classification" else about


def read_options(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a config.json says of a head beside its labels and its dropout, in words of our own; see `Head.options`."""
    return {ours: about[theirs] for theirs, ours in _OPTIONS.items() if theirs in about}


def written_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a config.json says of the options of a head."""
    return {theirs: options[ours] for theirs, ours in _OPTIONS.items() if ours in options}


def _parts(theirs: str, ours: str) -> list[Row]:
    """Rows of query, key and value, which are one matrix here."""
    return [
        (tuple(f"{theirs}.{part}.{kind}" for part in ("query", "key", "value")), f"{ours}.{kind}", AS_IS)
        for kind in ("weight", "bias")
    ]


def _classes(name: str) -> dict[str, str]:
    """The classes of BERT and ALBERT by head; what sums up to one number is of the same class as what classifies."""
    return {
        "": f"{name}Model",
        "similarity": f"{name}Model",  # with a word of our own in config.json; Sentence Transformers computes the rest
        "masked": f"{name}ForMaskedLM",
        "masked-pair": f"{name}ForPreTraining",
        "classification": f"{name}ForSequenceClassification",
        "regression": f"{name}ForSequenceClassification",
        "choice": f"{name}ForMultipleChoice",
        "tagging": f"{name}ForTokenClassification",
        "span": f"{name}ForQuestionAnswering",
        "conditional-span": f"{name}ForConditionalQuestionAnswering",  # a name of our own
    }


_CONDITIONAL: list[Row] = [
    *weight_and_bias("start_logits.dense", "start"),
    *weight_and_bias("end_logits.dense_0", "end"),
    *weight_and_bias("end_logits.LayerNorm", "end_norm"),
    *weight_and_bias("end_logits.dense_1", "end_score"),
    *weight_and_bias("answer_class.dense_0", "none"),
    ("answer_class.dense_1.weight", "none_score.weight", AS_IS),
]
_CONDITIONAL_HEADS = ("start_logits.", "end_logits.", "answer_class.")


def _head_rows(masked: list[Row], pair: str) -> dict[str, list[Row]]:
    """Rows of each head of BERT and ALBERT."""
    output = weight_and_bias("classifier", "output")
    return {
        "masked": masked,
        "masked-pair": [*masked, *weight_and_bias(pair, "pair")],
        "classification": output,
        "regression": output,
        "choice": output,
        "tagging": output,
        "span": weight_and_bias("qa_outputs", "output"),
        "conditional-span": _CONDITIONAL,
    }


BERT_FIELDS = {
    "vocab_size": "vocabulary",
    "max_position_embeddings": "context",
    "type_vocab_size": "segments",
    "hidden_size": "width",
    "num_hidden_layers": "depth",
    "num_attention_heads": "heads",
    "intermediate_size": "hidden",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "hidden_act": "activation",
    "initializer_range": "deviation",
}
_BERT_FIXED = {
    "layer_norm_eps": only(1e-12),
    "tie_word_embeddings": only(True),
    "position_embedding_type": only("absolute"),
    "is_decoder": only(False),
    "add_cross_attention": only(False),
}
# How a text is generated, which old files say of any model; encoders do not.
_GENERATION = {
    *("bad_words_ids", "decoder_start_token_id", "diversity_penalty", "do_sample", "early_stopping", "length_penalty"),
    *("max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences"),
    *("output_scores", "repetition_penalty", "temperature", "top_k", "top_p"),
}
_ENCODER_TOLD = (
    TOLD | _GENERATION | {*_OPTIONS, "directionality", "finetuning_task", "num_labels", "output_past", "torchscript"}
)

_BERT_MASKED: list[Row] = [
    *weight_and_bias("cls.predictions.transform.dense", "transform"),
    *weight_and_bias("cls.predictions.transform.LayerNorm", "norm"),
    ("cls.predictions.bias", "output.bias", AS_IS),
    ("cls.predictions.decoder.bias", "output.bias", AS_IS),
    ("cls.predictions.decoder.weight", "output.weight", AS_IS),
]
_BERT = EncoderLayout(
    model_type="bert",
    architecture="BertModel",
    classes=_classes("Bert"),
    fields=BERT_FIELDS,
    spelled={"hidden_act": GELU_NAMES},
    fixed=_BERT_FIXED,
    rates=("classifier_dropout", "hidden_dropout_prob"),
    told=_ENCODER_TOLD
    | {"classifier_dropout"}
    | {f"pooler_{name}" for name in ("fc_size", "num_attention_heads", "num_fc_layers", "size_per_head", "type")},
    tensors=[
        ("embeddings.word_embeddings.weight", "token.weight", AS_IS),
        ("embeddings.position_embeddings.weight", "position.weight", AS_IS),
        ("embeddings.token_type_embeddings.weight", "segment.weight", AS_IS),
        *weight_and_bias("embeddings.LayerNorm", "norm"),
        *_parts("encoder.layer.{}.attention.self", "blocks.{}.attention.projection"),
        *weight_and_bias("encoder.layer.{}.attention.output.dense", "blocks.{}.attention.output"),
        *weight_and_bias("encoder.layer.{}.attention.output.LayerNorm", "blocks.{}.attention_norm"),
        *weight_and_bias("encoder.layer.{}.intermediate.dense", "blocks.{}.feed_forward.expand"),
        *weight_and_bias("encoder.layer.{}.output.dense", "blocks.{}.feed_forward.contract"),
        *weight_and_bias("encoder.layer.{}.output.LayerNorm", "blocks.{}.feed_forward_norm"),
    ],
    pooler=weight_and_bias("pooler.dense", "pooler"),
    head_rows=_head_rows(_BERT_MASKED, "cls.seq_relationship"),
    prefix="bert.",
    head=("cls.", "classifier.", "qa_outputs.", *_CONDITIONAL_HEADS),
    buffers=("embeddings.position_ids", "embeddings.token_type_ids"),
)
_ALBERT_MASKED: list[Row] = [
    *weight_and_bias("predictions.dense", "transform"),
    *weight_and_bias("predictions.LayerNorm", "norm"),
    ("predictions.bias", "output.bias", AS_IS),
    ("predictions.decoder.bias", "output.bias", AS_IS),
    ("predictions.decoder.weight", "output.weight", AS_IS),
]
_ALBERT_LAYER = "encoder.albert_layer_groups.{}.albert_layers.{}"
_ALBERT_BLOCK = "blocks.{}.{}"
_ALBERT = EncoderLayout(
    model_type="albert",
    architecture="AlbertModel",
    classes=_classes("Albert"),
    fields=BERT_FIELDS | {"embedding_size": "embedding", "num_hidden_groups": "groups", "inner_group_num": "inner"},
    spelled={"hidden_act": GELU_NAMES},
    fixed={
        "layer_norm_eps": only(1e-12),
        "tie_word_embeddings": only(True),
        "position_embedding_type": only("absolute"),
        "down_scale_factor": only(1),
        "gap_size": only(0),
        "num_memory_blocks": only(0),
    },
    unsaid={"width": 4096, "heads": 64, "hidden": 16384},  # those of xxlarge
    rates=("classifier_dropout_prob",),
    told=_ENCODER_TOLD | {"classifier_dropout_prob", "net_structure_type"},
    tensors=[
        ("embeddings.word_embeddings.weight", "token.weight", AS_IS),
        ("embeddings.position_embeddings.weight", "position.weight", AS_IS),
        ("embeddings.token_type_embeddings.weight", "segment.weight", AS_IS),
        *weight_and_bias("embeddings.LayerNorm", "norm"),
        *weight_and_bias("encoder.embedding_hidden_mapping_in", "projection"),
        *_parts(f"{_ALBERT_LAYER}.attention", f"{_ALBERT_BLOCK}.attention.projection"),
        *weight_and_bias(f"{_ALBERT_LAYER}.attention.dense", f"{_ALBERT_BLOCK}.attention.output"),
        *weight_and_bias(f"{_ALBERT_LAYER}.attention.LayerNorm", f"{_ALBERT_BLOCK}.attention_norm"),
        *weight_and_bias(f"{_ALBERT_LAYER}.ffn", f"{_ALBERT_BLOCK}.feed_forward.expand"),
        *weight_and_bias(f"{_ALBERT_LAYER}.ffn_output", f"{_ALBERT_BLOCK}.feed_forward.contract"),
        *weight_and_bias(f"{_ALBERT_LAYER}.full_layer_layer_norm", f"{_ALBERT_BLOCK}.feed_forward_norm"),
    ],
    pooler=weight_and_bias("pooler", "pooler"),
    head_rows=_head_rows(_ALBERT_MASKED, "sop_classifier.classifier"),
    prefix="albert.",
    head=("predictions.", "sop_classifier.", "classifier.", "qa_outputs.", *_CONDITIONAL_HEADS),
    buffers=("embeddings.position_ids", "embeddings.token_type_ids"),
)


class _XLNetLayout(EncoderLayout):
    """XLNet's directories, which have words for nothing, and one rate of dropout where there are two here.

    A rate of attention which is another is written as `dropatt`, its name in the authors' code. Transformers leaves
    that aside, and differs in training alone.
    """

    def read_config(self, about: Mapping[str, Any], place: str) -> dict[str, Any]:
        """As any layout; nothing is 0, and both dropouts are one where no other is said."""
        about = {"dropout": 0.1, **about}
        if "mem_len" in about and about["mem_len"] is None:
            about["mem_len"] = 0
        if isinstance(about.get("clamp_len"), int):
            about["clamp_len"] = max(0, about["clamp_len"])
        return super().read_config({"dropatt": about["dropout"], **about}, place)

    def write_config(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """As any layout; nothing is None or -1, and a second dropout is written where it is another."""
        about = super().write_config(values)
        del about["n_token"]
        if about["dropatt"] == about["dropout"]:
            del about["dropatt"]
        return about | {"mem_len": about["mem_len"] or None, "clamp_len": max(0, about["clamp_len"]) or -1}


def head_width(about: Mapping[str, Any]) -> tuple:
    """That of heads which share out the width; it need not be said."""
    width, heads = about.get("d_model", 1024), about.get("n_head", 16)
    return (width // heads if isinstance(width, int) and isinstance(heads, int) and heads > 0 else None, None)


INTO_HEADS = Form(  # a kernel from the width to each head, [D, H, K]; here [H K, D]
    lambda tensor, _: tensor.flatten(1).T.contiguous(), lambda tensor, heads: tensor.T.unflatten(1, (heads, -1))
)
FROM_HEADS = Form(  # back from the heads, [D, H, K]; here [D, H K]
    lambda tensor, _: tensor.flatten(1), lambda tensor, heads: tensor.unflatten(1, (heads, -1))
)
ALONE = Form(lambda tensor, _: tensor.flatten(), lambda tensor, _: tensor[None, None])  # a vector, [1, 1, D] there

_XLNET_SUMMARY = weight_and_bias("logits_proj", "output")
_XLNET = _XLNetLayout(
    model_type="xlnet",
    architecture="XLNetModel",
    classes={
        "": "XLNetModel",
        "similarity": "XLNetModel",
        "permuted": "XLNetLMHeadModel",
        "classification": "XLNetForSequenceClassification",
        "regression": "XLNetForSequenceClassification",
        "choice": "XLNetForMultipleChoice",
        "tagging": "XLNetForTokenClassification",
        "span": "XLNetForQuestionAnsweringSimple",
        "conditional-span": "XLNetForQuestionAnswering",
    },
    fields={
        "vocab_size": "vocabulary",
        "n_token": "vocabulary",
        "d_model": "width",
        "n_layer": "depth",
        "n_head": "heads",
        "d_inner": "hidden",
        "mem_len": "memory",
        "dropout": "dropout",
        "dropatt": "attention_dropout",
        "clamp_len": "clamp",
        "ff_activation": "activation",
        "initializer_range": "deviation",
    },
    spelled={"ff_activation": GELU_NAMES},
    fixed={
        "attn_type": only("bi"),
        "d_head": head_width,
        "layer_norm_eps": only(1e-12),
        "same_length": only(False),
        "summary_activation": only("tanh"),
        "summary_type": only("last"),
        "summary_use_proj": only(True),
        "tie_word_embeddings": only(True),
        "untie_r": only(True),
    },
    unsaid={"width": 1024, "depth": 24, "heads": 16, "hidden": 4096, "memory": 512, "activation": "exact"},
    rates=("summary_last_dropout",),
    told=_ENCODER_TOLD
    | {"bi_data", "end_n_top", "init", "init_range", "init_std", "max_position_embeddings", "reuse_len", "start_n_top"}
    | {"summary_last_dropout", "use_mems_eval", "use_mems_train"},
    tensors=[
        ("word_embedding.weight", "token.weight", AS_IS),
        ("mask_emb", "unknown", ALONE),
        (tuple(f"layer.{{}}.rel_attn.{part}" for part in "qkv"), "blocks.{}.attention.projection.weight", INTO_HEADS),
        ("layer.{}.rel_attn.o", "blocks.{}.attention.output.weight", FROM_HEADS),
        ("layer.{}.rel_attn.r", "blocks.{}.attention.distance.weight", INTO_HEADS),
        ("layer.{}.rel_attn.r_w_bias", "blocks.{}.attention.content_bias", AS_IS),
        ("layer.{}.rel_attn.r_r_bias", "blocks.{}.attention.distance_bias", AS_IS),
        ("layer.{}.rel_attn.r_s_bias", "blocks.{}.attention.segment_bias", AS_IS),
        ("layer.{}.rel_attn.seg_embed", "blocks.{}.attention.segment", AS_IS),
        *weight_and_bias("layer.{}.rel_attn.layer_norm", "blocks.{}.attention_norm"),
        *weight_and_bias("layer.{}.ff.layer_1", "blocks.{}.feed_forward.expand"),
        *weight_and_bias("layer.{}.ff.layer_2", "blocks.{}.feed_forward.contract"),
        *weight_and_bias("layer.{}.ff.layer_norm", "blocks.{}.feed_forward_norm"),
    ],
    pooler=weight_and_bias("sequence_summary.summary", "pooler"),
    head_rows={
        "permuted": [("lm_loss.bias", "output.bias", AS_IS), ("lm_loss.weight", "output.weight", AS_IS)],
        "classification": _XLNET_SUMMARY,
        "regression": _XLNET_SUMMARY,
        "choice": _XLNET_SUMMARY,
        "tagging": weight_and_bias("classifier", "output"),
        "span": weight_and_bias("qa_outputs", "output"),
        "conditional-span": _CONDITIONAL,
    },
    prefix="transformer.",
    head=("lm_loss.", "sequence_summary.", "logits_proj.", "classifier.", "qa_outputs.", *_CONDITIONAL_HEADS),
)


def _tuned(name: str, layout: Layout) -> EncoderLayout:
    """A language model's layout as that of an encoder; the class for options is none of Transformers'."""
    said = {field.name: getattr(layout, field.name) for field in dataclasses.fields(Layout)}
    score: list[Row] = [("score.weight", "output.weight", AS_IS)]
    own = {
        "architecture": f"{name}Model",
        "told": layout.told | {*_OPTIONS},
        "classes": {
            "": f"{name}Model",
            "classification": f"{name}ForSequenceClassification",
            "regression": f"{name}ForSequenceClassification",
            "choice": f"{name}ForMultipleChoice",
        },
        "head": ("lm_head.", "score."),
        "head_rows": {"classification": score, "regression": score, "choice": score},
        "rates": ("summary_first_dropout",),
    }
    return EncoderLayout(**said | own)


ENCODER_LAYOUTS: dict[str, EncoderLayout] = {
    "bert": _BERT,
    "albert": _ALBERT,
    "xlnet": _XLNET,
    "gpt-encoder": _tuned("OpenAIGPT", LAYOUTS["gpt"]),
    "gpt2-encoder": _tuned("GPT2", LAYOUTS["gpt2"]),
}
