"""Vectors of texts, as Sentence-BERT makes them: a mean of states, or another, scaled to length 1 where asked for.

Reimers and Gurevych 2019, "Sentence-BERT", section 3.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from regard.attention.packing import Packed
from regard.data.inputs import Inputs
from regard.models.directory import MODULES, module_folder
from regard.reading.packed import PackedReader, Progress
from regard.storage.files import written_whole
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
    return embed_inputs(reader, reader.frame(texts, pooling.longest, pairs="joined")[0], pooling)


def embed_inputs(reader: PackedReader, inputs: Inputs, pooling: Pooling, progress: Progress | None = None) -> Tensor:
    """One vector an input: [B, D]; `progress` is called with the number of inputs which are done."""

    def compute(text: Packed, segments: Tensor) -> list[Tensor]:
        """Those of one batch."""
        states = reader.encoder.hidden(text, segments).float()
        if pooling.kind == "summary":
            last = text.lengths - 1 if reader.framing.is_last else torch.zeros_like(text.lengths)
            vectors = states[(text.starts + last).to(states.device)]
        elif pooling.kind == "mean":
            vectors = text.means(states)
        else:
            vectors = torch.stack([part.amax(0) for part in text.unpack(states)])
        return list((normalize(vectors, dim=1) if pooling.normalises else vectors).cpu())

    rows = reader.read(inputs, compute, progress)
    return torch.stack(rows) if rows else torch.empty(0, reader.model.config.width)


def read_pooling(folder: str | Path) -> Pooling:
    """What a sentence-transformers directory says; the mean, scaled to length 1, of a directory which says nothing.

    Raises:
        ValueError: if a file cannot be read, or asks for what is not computed here.
    """
    folder = Path(folder)
    if not (folder / MODULES).is_file():
        return Pooling()
    kind, normalises = "mean", False
    for module in _read(folder / MODULES):
        name = str(module.get("type", "")).rpartition(".")[2]
        if name == "Pooling":
            kind = _kind(_read(module_folder(folder, str(module.get("path", ""))) / "config.json"), folder)
        elif name == "Normalize":
            normalises = True
        elif name != "Transformer":
            raise ValueError(f"{folder / MODULES}: {name} is not computed here, only Pooling and Normalize are")
    about = folder / "sentence_bert_config.json"
    longest = _read(about).get("max_seq_length") if about.is_file() else None
    return Pooling(kind, normalises, longest if isinstance(longest, int) else None)


def write_pooling(folder: str | Path, pooling: Pooling, width: int, longest: int) -> None:
    """Write what makes a sentence-transformers directory of a model directory.

    Args:
        folder: with an encoder and its tokenizer.
        pooling: how its states become a vector.
        width: of them.
        longest: tokens of a text at most, where pooling says nothing of that.
    """
    folder = Path(folder)
    mode = next(mode for mode, kind in _MODES.items() if kind == pooling.kind)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), *[("2_Normalize", "Normalize")] * pooling.normalises]
    _write(folder / "sentence_bert_config.json", {"max_seq_length": pooling.longest or longest, "do_lower_case": False})
    modes = {one: one == mode for one in _MODES}
    _write(folder / modules[1][0] / "config.json", {"word_embedding_dimension": width, **modes})
    _write(
        folder / MODULES,
        [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
            for number, (path, name) in enumerate(modules)
        ],
    )


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


def _write(path: Path, value: Any) -> None:
    """Write a JSON file."""
    with written_whole(path) as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def _read(path: Path):
    """A JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {path}, which modules.json names") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
