"""The words behind masks (Devlin et al. 2019, section 3.1, task 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from regard.attention.packing import Packed
from regard.data.inputs import Inputs
from regard.reading.packed import PackedReader


@dataclass(frozen=True)
class Filled:
    """A word piece which may stand behind a mask, and how likely."""

    piece: str
    id: int
    probability: float


def fill(reader: PackedReader, texts: Sequence[str], *, best: int = 5) -> list[list[list[Filled]]]:
    """For each text, and each mask in it, the likeliest pieces, best first.

    Args:
        reader: with a head for masked words.
        texts: each with one mask or more, written as the tokenizer's mask token: `[MASK]`.
        best: pieces for each mask.

    Raises:
        ValueError: if a text has no mask, is too long, or `best` is no number of pieces.
    """
    reader.require("masked", "masked-pair", use="fill in words")
    if not 1 <= best <= reader.tokenizer.size:
        raise ValueError(
            f"best must lie between 1 and the {reader.tokenizer.size} pieces of the vocabulary, got {best}"
        )
    framed, places = [], []
    for text in texts:
        ids = masked_ids(reader, text)
        framed.append(reader.framing.frame(ids))
        if len(framed[-1][0]) > reader.longest:
            raise ValueError(
                f"a text of {len(framed[-1][0])} tokens exceeds the limit of {reader.longest}; shorten {text[:60]!r}"
            )
        places.append([n for n, id in enumerate(framed[-1][0]) if id == reader.tokenizer.mask])

    def compute(text: Packed, segments: Tensor) -> list[list[list[Filled]]]:
        """Those of one batch."""
        is_mask = text.tokens == reader.tokenizer.mask
        scores = reader.model(text, segments, is_mask.nonzero()[:, 0].cpu()).float().softmax(-1)
        top = torch.topk(scores, best)
        found = []
        for values, ids in zip(top.values.tolist(), top.indices.tolist(), strict=True):
            pieces = reader.tokenizer.pieces(ids)
            found.append([Filled(*one) for one in zip(pieces, ids, values, strict=True)])
        counts = [int(part.sum()) for part in text.unpack(is_mask)]
        starts = torch.tensor([0, *counts]).cumsum(0).tolist()
        return [found[a:b] for a, b in pairwise(starts)]

    return reader.read(Inputs.of(framed), compute)


def masked_ids(reader: PackedReader, text: str) -> list[int]:
    """Ids of a text in which masks stand.

    Raises:
        ValueError: if there is none.
    """
    mask = reader.tokenizer.special_tokens["mask_token"]
    parts = text.split(mask)
    if len(parts) == 1:
        raise ValueError(f"there is nothing to fill in: write {mask} where a word is missing, got {text[:60]!r}")
    ids: list[int] = []
    for number, own in enumerate(reader.tokenizer.encode_batch([part.strip() for part in parts])):
        ids += [reader.tokenizer.mask] * (number > 0) + own
    return ids
