"""Google's names for encoders: those of the checkpoints which the authors of BERT, ALBERT and XLNet published.

A folder holds `bert_config.json`, `albert_config.json` or `xlnet_config.json`, and one checkpoint of TensorFlow 1. The
tensors which are there tell which head stands on the encoder; what an optimiser kept beside them is not read.

All three call their activation "gelu". ALBERT's code and XLNet's have the tanh form. BERT's first release, which made
the checkpoints of 2018, had the exact form, which is taken here as Transformers takes it; later code of theirs has the
tanh form: for what it trained, load with `activation="tanh"`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from regard.models.hugging_face_encoders import (
    ALONE,
    BERT_FIELDS,
    FROM_HEADS,
    INTO_HEADS,
    EncoderLayout,
    head_width,
)
from regard.models.layout import AS_IS, TURNED, Row, only
from regard.storage.tensorflow import read_checkpoint

# What the authors' optimisers, and TensorFlow's own Adam, keep beside each weight and once for all.
_OPTIMISER = re.compile(r".*/(adam_[mv]|lamb_[mv]|Adam|Adam_1)|global_step|beta[12]_power")


@dataclass(frozen=True)
class GoogleLayout(EncoderLayout):
    """How Google's code writes an encoder; it is read here, and never written.

    Args:
        file: its configuration's name.
        marks: a tensor of each head, by which it is known; the first which is there counts.
        stacked: tensors which hold all layers, one behind the other.
    """

    file: str = ""
    marks: dict[str, str] = field(default_factory=dict)
    stacked: tuple[str, ...] = ()

    def head_in(self, tensors: Mapping[str, Tensor]) -> tuple[str, tuple[str, ...]]:
        """The head whose tensors are there, and its classes, which have no names there; as Transformers names them."""
        head = next((head for head, name in self.marks.items() if name in tensors), "")
        if head != "classification":
            return head, ()
        count = len(tensors[self.marks[head]])
        return ("regression", ()) if count == 1 else (head, tuple(f"LABEL_{n}" for n in range(count)))

    def read_tensors(self, tensors: Mapping[str, Tensor], place: str, heads: int = 0) -> dict[str, Tensor]:
        """As of any encoder; stacked tensors are taken apart."""
        apart = dict(tensors)
        for name in self.stacked:
            if name in apart:
                apart |= {f"{name}/{layer}": part for layer, part in enumerate(apart.pop(name))}
        return super().read_tensors(apart, place, heads)


class _ALBERTLayout(GoogleLayout):
    """ALBERT's, where embeddings as wide as the model are not projected: here they are, by the identity."""

    def read_tensors(self, tensors: Mapping[str, Tensor], place: str, heads: int = 0) -> dict[str, Tensor]:
        """As of any encoder, with the projection."""
        table, norm = tensors.get("bert/embeddings/word_embeddings"), tensors.get(f"bert/{_GROUP_0}/LayerNorm/beta")
        kernel, bias = f"bert/{_PROJECTION}/kernel", f"bert/{_PROJECTION}/bias"
        if table is not None and norm is not None and table.shape[-1] == len(norm) and kernel not in tensors:
            tensors = {**tensors, kernel: torch.eye(len(norm)), bias: torch.zeros(len(norm))}
        return super().read_tensors(tensors, place, heads)


class _XLNetLayout(GoogleLayout):
    """XLNet's, where only what pre-trains has the vector of an unknown word: nothing else reads it, and it is zero."""

    def read_tensors(self, tensors: Mapping[str, Tensor], place: str, heads: int = 0) -> dict[str, Tensor]:
        """As of any encoder, with that vector."""
        table, vector = tensors.get("model/transformer/word_embedding/lookup_table"), f"model/transformer/{_UNKNOWN}"
        if table is not None and not {vector, self.marks["permuted"]} & tensors.keys():
            tensors = {**tensors, vector: table.new_zeros(1, 1, table.shape[-1])}
        return super().read_tensors(tensors, place, heads)


def _dense(theirs: str, ours: str) -> list[Row]:
    """The rows of a layer's kernel, which has inputs as rows, and bias."""
    return [(f"{theirs}/kernel", f"{ours}.weight", TURNED), (f"{theirs}/bias", f"{ours}.bias", AS_IS)]


def _norm(theirs: str, ours: str) -> list[Row]:
    """The rows of a layer norm's gain and bias."""
    return [(f"{theirs}/gamma", f"{ours}.weight", AS_IS), (f"{theirs}/beta", f"{ours}.bias", AS_IS)]


def _output(theirs: str, ours: str) -> list[Row]:
    """The rows of a layer of scores, whose weights have outputs as rows."""
    return [(f"{theirs}output_weights", f"{ours}.weight", AS_IS), (f"{theirs}output_bias", f"{ours}.bias", AS_IS)]


def _parts(theirs: str, ours: str) -> list[Row]:
    """The rows of query, key and value, which are one matrix here."""
    return [
        (tuple(f"{theirs}/{part}/{kind}" for part in ("query", "key", "value")), f"{ours}.{own}", form)
        for kind, own, form in (("kernel", "weight", TURNED), ("bias", "bias", AS_IS))
    ]


_CONDITIONAL: list[Row] = [
    *_dense("start_logits/dense", "start"),
    *_dense("end_logits/dense_0", "end"),
    *_norm("end_logits/LayerNorm", "end_norm"),
    *_dense("end_logits/dense_1", "end_score"),
    *_dense("answer_class/dense_0", "none"),
    ("answer_class/dense_1/kernel", "none_score.weight", TURNED),
]
_MASKED: list[Row] = [
    *_dense("cls/predictions/transform/dense", "transform"),
    *_norm("cls/predictions/transform/LayerNorm", "norm"),
    ("cls/predictions/output_bias", "output.bias", AS_IS),
]
_HEAD_ROWS: dict[str, list[Row]] = {
    "masked-pair": [*_MASKED, *_output("cls/seq_relationship/", "pair")],
    "masked": _MASKED,
    "span": _output("cls/squad/", "output"),
    "conditional-span": _CONDITIONAL,
    "classification": _output("", "output"),
    "regression": _output("", "output"),
}
_MARKS = {
    "masked-pair": "cls/seq_relationship/output_weights",
    "masked": "cls/predictions/output_bias",
    "span": "cls/squad/output_weights",
    "conditional-span": "start_logits/dense/kernel",
    "classification": "output_bias",
}
_EMBEDDINGS: list[Row] = [
    ("embeddings/word_embeddings", "token.weight", AS_IS),
    ("embeddings/position_embeddings", "position.weight", AS_IS),
    ("embeddings/token_type_embeddings", "segment.weight", AS_IS),
    *_norm("embeddings/LayerNorm", "norm"),
]
_LAYER = "encoder/layer_{}"
_BERT = GoogleLayout(
    model_type="bert",
    architecture="",
    file="bert_config.json",
    fields=BERT_FIELDS,
    spelled={"hidden_act": {"gelu": "exact"}},
    fixed={},
    told=frozenset({"directionality"})
    | {f"pooler_{name}" for name in ("fc_size", "num_attention_heads", "num_fc_layers", "size_per_head", "type")},
    tensors=[
        *_EMBEDDINGS,
        *_parts(f"{_LAYER}/attention/self", "blocks.{}.attention.projection"),
        *_dense(f"{_LAYER}/attention/output/dense", "blocks.{}.attention.output"),
        *_norm(f"{_LAYER}/attention/output/LayerNorm", "blocks.{}.attention_norm"),
        *_dense(f"{_LAYER}/intermediate/dense", "blocks.{}.feed_forward.expand"),
        *_dense(f"{_LAYER}/output/dense", "blocks.{}.feed_forward.contract"),
        *_norm(f"{_LAYER}/output/LayerNorm", "blocks.{}.feed_forward_norm"),
    ],
    pooler=_dense("pooler/dense", "pooler"),
    head_rows=_HEAD_ROWS,
    marks=_MARKS,
    prefix="bert/",
    head="",
)

_PROJECTION = "encoder/embedding_hidden_mapping_in"
_GROUP, _BLOCK = "encoder/transformer/group_{}/inner_group_{}", "blocks.{}.{}"
_GROUP_0 = _GROUP.format(0, 0)
_ALBERT = _ALBERTLayout(
    model_type="albert",
    architecture="",
    file="albert_config.json",
    fields=BERT_FIELDS | {"embedding_size": "embedding", "num_hidden_groups": "groups", "inner_group_num": "inner"},
    spelled={"hidden_act": {"gelu": "tanh"}},
    fixed={"down_scale_factor": only(1), "gap_size": only(0), "num_memory_blocks": only(0)},
    unsaid={"width": 4096, "heads": 64, "hidden": 16384},
    told=frozenset({"net_structure_type"}),
    tensors=[
        *_EMBEDDINGS,
        *_dense(_PROJECTION, "projection"),
        *_parts(f"{_GROUP}/attention_1/self", f"{_BLOCK}.attention.projection"),
        *_dense(f"{_GROUP}/attention_1/output/dense", f"{_BLOCK}.attention.output"),
        *_norm(f"{_GROUP}/LayerNorm", f"{_BLOCK}.attention_norm"),
        *_dense(f"{_GROUP}/ffn_1/intermediate/dense", f"{_BLOCK}.feed_forward.expand"),
        *_dense(f"{_GROUP}/ffn_1/intermediate/output/dense", f"{_BLOCK}.feed_forward.contract"),
        *_norm(f"{_GROUP}/LayerNorm_1", f"{_BLOCK}.feed_forward_norm"),
    ],
    pooler=_dense("pooler/dense", "pooler"),
    head_rows=_HEAD_ROWS,
    marks=_MARKS,
    prefix="bert/",
    head="",
)

_UNKNOWN = "mask_emb/mask_emb"
_ATTENTION, _FEED_FORWARD = "layer_{}/rel_attn", "layer_{}/ff"
_XLNET = _XLNetLayout(
    model_type="xlnet",
    architecture="",
    file="xlnet_config.json",
    fields={
        "n_token": "vocabulary",
        "d_model": "width",
        "n_layer": "depth",
        "n_head": "heads",
        "d_inner": "hidden",
        "ff_activation": "activation",
    },
    spelled={"ff_activation": {"gelu": "tanh"}},
    fixed={"d_head": head_width, "untie_r": only(True)},
    told=frozenset(),
    tensors=[
        ("word_embedding/lookup_table", "token.weight", AS_IS),
        (_UNKNOWN, "unknown", ALONE),
        (tuple(f"{_ATTENTION}/{part}/kernel" for part in "qkv"), "blocks.{}.attention.projection.weight", INTO_HEADS),
        (f"{_ATTENTION}/o/kernel", "blocks.{}.attention.output.weight", FROM_HEADS),
        (f"{_ATTENTION}/r/kernel", "blocks.{}.attention.distance.weight", INTO_HEADS),
        ("r_w_bias/{}", "blocks.{}.attention.content_bias", AS_IS),
        ("r_r_bias/{}", "blocks.{}.attention.distance_bias", AS_IS),
        ("r_s_bias/{}", "blocks.{}.attention.segment_bias", AS_IS),
        ("seg_embed/{}", "blocks.{}.attention.segment", AS_IS),
        *_norm(f"{_ATTENTION}/LayerNorm", "blocks.{}.attention_norm"),
        *_dense(f"{_FEED_FORWARD}/layer_1", "blocks.{}.feed_forward.expand"),
        *_dense(f"{_FEED_FORWARD}/layer_2", "blocks.{}.feed_forward.contract"),
        *_norm(f"{_FEED_FORWARD}/LayerNorm", "blocks.{}.feed_forward_norm"),
    ],
    stacked=tuple(f"model/transformer/{name}" for name in ("r_w_bias", "r_r_bias", "r_s_bias", "seg_embed")),
    pooler=_dense("model/sequnece_summary/summary", "pooler"),  # so in their code
    head_rows={"permuted": [("model/lm_loss/bias", "output.bias", AS_IS)], "conditional-span": _CONDITIONAL},
    marks={"permuted": "model/lm_loss/bias", "conditional-span": "start_logits/dense/kernel"},
    prefix="model/transformer/",
    head="",
)
GOOGLE_LAYOUTS: dict[str, GoogleLayout] = {"bert": _BERT, "albert": _ALBERT, "xlnet": _XLNET}


def checkpoint_in(folder: Path) -> Path:
    """The index of the one checkpoint in a folder.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if there are several.
    """
    found = sorted(folder.glob("*.ckpt*.index"))
    if not found:
        raise FileNotFoundError(f"no checkpoint in {folder}: it has no file called *.ckpt*.index")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{folder} has several checkpoints ({names}); leave one there, with its data files")
    return found[0]


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of the checkpoint in a folder by Google's names, without what an optimiser kept.

    Raises:
        FileNotFoundError, ValueError: as of `checkpoint_in` and of `read_checkpoint`.
    """
    return read_checkpoint(checkpoint_in(folder), lambda name: _OPTIMISER.fullmatch(name) is None)


def read_marks(folder: Path, layout: GoogleLayout) -> dict[str, Tensor]:
    """Of the checkpoint in a folder, only what tells its head."""
    return read_checkpoint(checkpoint_in(folder), lambda name: name in layout.marks.values())
