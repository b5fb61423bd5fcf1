"""The sentences which every contender works on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from regard.attention.packing import Packed
from regard.text.tokenizer import Tokenizer

ROOT = Path(__file__).parent.parent
PAD, END = 0, 1

Pair = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Material:
    """Pairs of token ids, source and target, each with its end, over one shared vocabulary."""

    tokenizer: Tokenizer
    training: Sequence[Pair]
    test: Sequence[Pair]

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        return self.tokenizer.size

    @classmethod
    def of(
        cls, training: Sequence[tuple[str, str]], test: Sequence[tuple[str, str]], *, vocabulary: int = 8000
    ) -> "Material":
        """Train one byte pair encoding on both sides of the training pairs, and encode all."""
        tokenizer = Tokenizer.train((text for pair in training for text in pair), kind="bpe", vocabulary=vocabulary)

        def encode(pairs: Sequence[tuple[str, str]]) -> list[Pair]:
            sides = ([[*ids, END] for ids in tokenizer.encode_batch(side)] for side in zip(*pairs, strict=True))
            return list(zip(*sides, strict=True))

        return cls(tokenizer, encode(training), encode(test))

    @classmethod
    def multi30k(cls, *, vocabulary: int = 8000) -> "Material":
        """Multi30k, German to English, in an order drawn once.

        Raises:
            FileNotFoundError: if it is not in the folder which REGARD_DATA names.
        """
        folder = data("multi30k")

        def pairs(name: str) -> list[tuple[str, str]]:
            sides = ((folder / f"{name}.{code}").read_text(encoding="utf-8").splitlines() for code in ("de", "en"))
            return list(zip(*sides, strict=True))

        training = pairs("train")
        order = torch.randperm(len(training), generator=torch.Generator().manual_seed(1)).tolist()
        return cls.of([training[number] for number in order], pairs("test_2016_flickr"), vocabulary=vocabulary)

    def batches(self, count: int, size: int) -> list[list[Pair]]:
        """The first training sentences as `count` batches in random order: what a shuffling loader gives."""
        if count * size > len(self.training):
            raise ValueError(f"{count} batches of {size} need more than the {len(self.training)} training pairs")
        return [list(self.training[number * size : (number + 1) * size]) for number in range(count)]


def data(name: str) -> Path:
    """The folder of real data which has this name.

    Raises:
        FileNotFoundError: if it is not in the folder which REGARD_DATA names.
    """
    folder = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data")) / name
    if not folder.is_dir():
        raise FileNotFoundError(f"no data at {folder}; set REGARD_DATA to the folder which holds {name}/")
    return folder


def bucketed(batches: Sequence[Sequence[Pair]]) -> list[list[Pair]]:
    """The same sentences in batches of like length, the batches in random order."""
    size = len(batches[0])
    pairs = sorted((pair for batch in batches for pair in batch), key=lambda pair: (len(pair[0]), len(pair[1])))
    order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(2)).tolist()
    return [pairs[number * size : (number + 1) * size] for number in order]


def padded(batch: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Sources [B, S] and targets [B, T], filled up with `<pad>`."""
    source, target = packed(batch)
    return source.padded(PAD), target.padded(PAD)


def packed(batch: Sequence[Pair]) -> tuple[Packed, Packed]:
    """Sources and targets without padding."""
    return Packed.of(source for source, _ in batch), Packed.of(target for _, target in batch)


def padding_share(batches: Sequence[Sequence[Pair]]) -> float:
    """Which part of the padded batches is padding."""
    sides = [side for batch in batches for side in padded(batch)]
    return 1 - sum(int((side != PAD).sum()) for side in sides) / sum(side.numel() for side in sides)
