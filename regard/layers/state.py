"""What a decoder keeps between its steps. Every state can be re-ordered, which is all that beam search asks.

The rows of a state are hypotheses, those of one sentence together. What belongs to the sentence (the encoder's output)
is kept once a sentence, however many hypotheses it has.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Where the rows of a state stand: in a table of sentences by beams, not all places of which are taken.

    Args:
        sentences: B.
        beams: N, places of each sentence.
        places: of each row, b * N + n, ascending: [R].
    """

    sentences: int
    beams: int
    places: Tensor

    @classmethod
    def one_each(cls, sentences: int, device: torch.device | str = "cpu") -> "Hypotheses":
        """One a sentence, as there is before the first word."""
        return cls(sentences, 1, torch.arange(sentences, device=device))

    @cached_property
    def owners(self) -> Tensor:
        """The sentence of each row, [R]."""
        return self.places // self.beams

    @cached_property
    def rows(self) -> Tensor:
        """The row in each place, [B, N], and -1 where there is none."""
        rows = torch.full((self.sentences * self.beams,), -1, device=self.places.device)
        return rows.index_copy_(0, self.places, torch.arange(len(self.places), device=rows.device)).unflatten(
            0, (self.sentences, self.beams)
        )

    @property
    def is_full(self) -> bool:
        """Whether every place is taken."""
        return len(self.places) == self.sentences * self.beams

    def join(self, other: "Hypotheses") -> "Hypotheses":
        """Both tables, the other below."""
        if self.beams != other.beams:
            raise ValueError(f"tables of {self.beams} and {other.beams} places a sentence cannot join")
        places = torch.cat([self.places, other.places + self.sentences * self.beams])
        return Hypotheses(self.sentences + other.sentences, self.beams, places)

    def spread(self, rows: Tensor, empty: float = 0.0) -> Tensor:
        """Rows [R, ...] -> table [B, N, ...], which holds `empty` where there is none."""
        if not self.is_full:
            table = rows.new_full((self.sentences * self.beams, *rows.shape[1:]), empty)
            rows = table.index_copy_(0, self.places, rows)
        return rows.unflatten(0, (self.sentences, self.beams))

    def gather(self, table: Tensor) -> Tensor:
        """Table [B, N, ...] -> rows [R, ...]."""
        rows = table.flatten(0, 1)
        return rows if self.is_full else rows.index_select(0, self.places)


class State(Protocol):
    """What `start` makes, and `step` takes and gives back."""

    hypotheses: Hypotheses

    def select(self, rows: Tensor, hypotheses: Hypotheses, sentences: Tensor | None = None) -> Self:
        """Go on with the rows `rows` [R'] as `hypotheses`.

        Args:
            rows: each comes from the sentence in which it will stand; it may be named more than once.
            hypotheses: where they stand from now on.
            sentences: those which are kept, where not all of them are; `hypotheses` counts these alone.
        """
        ...

    def join(self, other: Self) -> Self:
        """Both, to go on as one; each sentence keeps its own time."""
        ...


def stacked(one: Tensor, other: Tensor, dimension: int = 1) -> Tensor:
    """[B, ...] on top of [C, ...]; the shorter one is filled up with zeros along `dimension`."""
    longest = max(one.shape[dimension], other.shape[dimension])
    result = one.new_empty(len(one) + len(other), *one.shape[1:dimension], longest, *one.shape[dimension + 1 :])
    for rows, part in ((result[: len(one)], one), (result[len(one) :], other)):
        own = part.shape[dimension]
        rows.narrow(dimension, 0, own).copy_(part)
        rows.narrow(dimension, own, longest - own).zero_()
    return result


@dataclass(frozen=True)
class Recurrent:
    """The state of a recurrent decoder: tensors which belong to hypotheses, and tensors which belong to sentences."""

    hypotheses: Hypotheses
    own: tuple[Tensor, ...]  # [R, ...]
    source: tuple[Tensor, ...] = ()  # [B, ...]
    alignment: Tensor | None = None  # weights over the source at the last step, [R, S]

    def select(self, rows: Tensor, hypotheses: Hypotheses, sentences: Tensor | None = None) -> "Recurrent":
        """Go on with `rows` as `hypotheses`."""
        source = self.source if sentences is None else tuple(x[sentences] for x in self.source)
        return Recurrent(hypotheses, tuple(x[rows] for x in self.own), source)

    def join(self, other: "Recurrent") -> "Recurrent":
        """Both, to go on as one; the shorter sources are filled up with zeros."""
        own = tuple(torch.cat(pair) for pair in zip(self.own, other.own, strict=True))
        source = tuple(stacked(x, y) for x, y in zip(self.source, other.source, strict=True))
        return Recurrent(self.hypotheses.join(other.hypotheses), own, source)
