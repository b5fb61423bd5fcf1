"""What a model is fed with."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from regard.attention.packing import Packed


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Sentence pairs, each side packed; both sides end with `</s>`.

    Raises:
        ValueError: if the sides differ in their number of sentences.
    """

    source: Packed
    target: Packed

    def __post_init__(self):
        if len(self.source) != len(self.target):
            raise ValueError(
                f"source and target must have the same number of sentences, "
                f"got {len(self.source)} and {len(self.target)}"
            )

    def __len__(self) -> int:
        return len(self.source)

    @property
    def goes_on(self) -> bool:
        """No batch of pairs goes on from another."""
        return False

    @property
    def parts(self) -> tuple[Packed, Packed]:
        """What an objective is given."""
        return self.source, self.target

    @property
    def targets(self) -> int:
        """Tokens of the targets, ends included: what a loss is divided by."""
        return len(self.target.tokens)

    @property
    def extent(self) -> int:
        """Tokens of the targets."""
        return self.targets

    @property
    def padding(self) -> float:
        """The share of padding, from 0 to 1, which this batch would carry if it were padded."""
        return padding_share(self.source.lengths, self.target.lengths)

    def to(self, device: torch.device | str) -> Self:
        """The same batch with its tokens on `device`."""
        return type(self)(self.source.to(device), self.target.to(device))


def padding_share(source: Tensor, target: Tensor) -> float:
    """The share of padding in a padded batch of these lengths [B] and [B]."""
    padded = len(source) * (int(source.max()) + int(target.max()))
    return 1 - int(source.sum() + target.sum()) / padded


@dataclass(frozen=True, eq=False)
class TextBatch:
    """Stretches of text, packed; each begins with a token which is given, not predicted."""

    text: Packed
    goes_on: bool = False  # each stretch begins where that of the batch before ended

    def __len__(self) -> int:
        return len(self.text)

    @property
    def parts(self) -> tuple[Packed]:
        """What an objective is given."""
        return (self.text,)

    @property
    def targets(self) -> int:
        """Tokens which are predicted: what a loss is divided by."""
        return len(self.text.tokens) - len(self.text)

    @property
    def extent(self) -> int:
        """Tokens which are predicted."""
        return self.targets

    def to(self, device: torch.device | str) -> Self:
        """The same batch with its tokens on `device`."""
        return type(self)(self.text.to(device), self.goes_on)
