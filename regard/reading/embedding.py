"""Vectors of texts, as Sentence-BERT makes them: a mean of states, or another, scaled to length 1 where asked for.

Reimers and Gurevych 2019, "Sentence-BERT", section 3.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from regard.attention.packing import Packed
from regard.data.inputs import Inputs
from regard.models.directory import module_folder
from regard.reading.packed import PackedReader, Progress
from regard.storage.names import require

POOLINGS = ("mean", "summary", "max")
_MODES = {  # of a sentence-transformers directory
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "summary",
    "pooling_mode_max_tokens": "max",
}


@dataclass(frozen=True)
class Pooling:
    """How the states of a text become one vector."""

    kind: str = "mean"  # of all tokens; or `summary`, that of [CLS]; or `max`, the largest of each coordinate
    normalises: bool = True  # to length 1
    longest: int | None = None  # tokens of a text at most

    def __post_init__(self):
        require("pooling", self.kind, POOLINGS)


def embed(reader: PackedReader, texts: Sequence[str], pooling: Pooling) -> Tensor:
    """One vector a text: [B, D]."""
    return embed_inputs(reader, reader.frame(texts, pooling.longest)[0], pooling)


def embed_inputs(reader: PackedReader, inputs: Inputs, pooling: Pooling, progress: Progress | None = None) -> Tensor:
    """One vector an input: [B, D]; `progress` is called with the number of inputs which are done."""

    def compute(text: Packed, segments: Tensor) -> list[Tensor]:
        """Those of one batch."""
        states = reader.encoder.hidden(text, segments).float()
        if pooling.kind == "summary":
            last = text.lengths - 1 if reader.framing.is_last else torch.zeros_like(text.lengths)
            vectors = states[(text.starts + last).to(states.device)]
        else:
            parts = text.unpack(states)
            vectors = torch.stack([part.mean(0) if pooling.kind == "mean" else part.amax(0) for part in parts])
        return list((normalize(vectors, dim=1) if pooling.normalises else vectors).cpu())

    rows = reader.read(inputs, compute, progress)
    return torch.stack(rows) if rows else torch.empty(0, reader.model.config.width)


def read_pooling(folder: str | Path) -> Pooling:
    """What a sentence-transformers directory says; the mean, scaled to length 1, of a directory which says nothing.

    Raises:
        ValueError: if a file cannot be read, or asks for what is not computed here.
    """
    folder = Path(folder)
    if not (folder / "modules.json").is_file():
        return Pooling()
    kind, normalises = "mean", False
    for module in _read(folder / "modules.json"):
        name = str(module.get("type", "")).rpartition(".")[2]
        if name == "Pooling":
            kind = _kind(_read(module_folder(folder, str(module.get("path", ""))) / "config.json"), folder)
        elif name == "Normalize":
            normalises = True
        elif name != "Transformer":
            raise ValueError(f"{folder / 'modules.json'}: {name} is not computed here, only Pooling and Normalize are")
    about = folder / "sentence_bert_config.json"
    longest = _read(about).get("max_seq_length") if about.is_file() else None
    return Pooling(kind, normalises, longest if isinstance(longest, int) else None)


def _kind(about: dict, folder: Path) -> str:
    """The kind of pooling."""
    asked = [name for name, is_on in about.items() if name.startswith("pooling_mode_") and is_on is True]
    if "pooling_mode" in about:
        asked = [f"pooling_mode_{about['pooling_mode']}_token{'' if about['pooling_mode'] == 'cls' else 's'}"]
    if len(asked) != 1 or asked[0] not in _MODES:
        raise ValueError(
            f"{folder}: its pooling is {', '.join(asked) or 'none'}; one of {', '.join(_MODES)} can be used"
        )
    return _MODES[asked[0]]


def _read(path: Path):
    """A JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {path}, which modules.json names") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
