"""What a decoder keeps between its steps. Every state can be re-ordered, which is all that beam search asks.

The rows of a state are hypotheses, those of one sentence together. What belongs to the sentence (the encoder's output)
is kept once a sentence, however many hypotheses it has.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import torch
from torch import Tensor

from regard.attention.masks import Mask


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


def stacked(one: Tensor, other: Tensor, dimension: int = 1, fill: float = 0.0) -> Tensor:
    """[B, ...] on top of [C, ...]; the shorter one is filled up along `dimension`."""
    longest = max(one.shape[dimension], other.shape[dimension])
    result = one.new_full((len(one) + len(other), *one.shape[1:dimension], longest, *one.shape[dimension + 1 :]), fill)
    result[: len(one)].narrow(dimension, 0, one.shape[dimension]).copy_(one)
    result[len(one) :].narrow(dimension, 0, other.shape[dimension]).copy_(other)
    return result


class KeyValueCache:
    """Keys and values of past positions, [B, H, P, K] each, in memory which grows by doubling.

    The positions of all hypotheses of a sentence lie side by side; `Tree` knows whose they are.
    """

    def __init__(self, memory: "_Memory | None" = None, length: int = 0):
        self._memory, self.length = memory, length

    def branch(self) -> "KeyValueCache":
        """A cache of the same past, to go on from without changing this one; they share memory as long as they can."""
        return KeyValueCache(self._memory, self.length)

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new positions [B, H, T, K]; gives all of them."""
        memory, needed = self._memory, self.length + key.shape[-2]
        if memory is None:
            room = [x.new_empty(*x.shape[:-2], max(_ROOM, 2 * needed), x.shape[-1]) for x in (key, value)]
            memory = _Memory(room[0], room[1])
        elif memory.filled != self.length or needed > memory.key.shape[-2]:  # another branch went on, or it is full
            room = [torch.cat([x, x.new_empty(*x.shape[:-2], needed, x.shape[-1])], -2) for x in self.held()]
            memory = _Memory(room[0], room[1])
        memory.key[..., self.length : needed, :], memory.value[..., self.length : needed, :] = key, value
        self._memory, self.length, memory.filled = memory, needed, needed
        return memory.key[..., :needed, :], memory.value[..., :needed, :]

    def select(self, sentences: Tensor) -> "KeyValueCache":
        """Keep sentences, in that order; they may repeat."""
        return KeyValueCache.of(*(x.index_select(0, sentences) for x in self.held()))

    def gather(self, positions: Tensor) -> "KeyValueCache":
        """Keep the positions [B, P'] of each sentence."""
        places = positions[:, None, :, None]
        return KeyValueCache.of(*(x.gather(2, places.expand(-1, x.shape[1], -1, x.shape[3])) for x in self.held()))

    def join(self, other: "KeyValueCache") -> "KeyValueCache":
        """The sentences of both; the shorter past is filled up with zeros."""
        if not (self.held() and other.held()):
            raise ValueError("caches join when both hold a past")
        return KeyValueCache.of(*(stacked(x, y, 2) for x, y in zip(self.held(), other.held(), strict=True)))

    def held(self) -> tuple[Tensor, ...]:
        """Keys and values, [B, H, P, K] each; nothing before the first position."""
        memory = self._memory
        return () if memory is None else (memory.key[..., : self.length, :], memory.value[..., : self.length, :])

    @classmethod
    def of(cls, *held: Tensor) -> "KeyValueCache":
        """A cache which holds these keys and values, or nothing."""
        cache = cls()
        if held:
            cache.extend(held[0], held[1])
        return cache


# Positions for which a cache has room at first.
_ROOM = 64


@dataclass(eq=False)
class _Memory:
    """Room for keys and values, of which the first `filled` positions are taken."""

    key: Tensor  # [B, H, capacity, K]
    value: Tensor
    filled: int = 0


@dataclass(frozen=True)
class Tree:
    """The hypotheses of each sentence as a tree: which positions of a cache are the past of each of them.

    A hypothesis which is kept, dropped or doubled takes its row of `past` along, and nothing in the cache moves.
    """

    past: Tensor  # boolean [B, N, P]

    @classmethod
    def root(cls, sentences: int, device: torch.device) -> "Tree":
        """One hypothesis a sentence, without a past."""
        return cls(torch.ones(sentences, 1, 0, dtype=torch.bool, device=device))

    def grow(self) -> "Tree":
        """Every hypothesis has added a position of its own."""
        sentences, beams, _ = self.past.shape
        own = torch.eye(beams, dtype=torch.bool, device=self.past.device).expand(sentences, -1, -1)
        return Tree(torch.cat([self.past, own], -1))

    def select(self, places: Tensor, hypotheses: Hypotheses) -> "Tree":
        """Go on with the hypotheses which stood in `places`."""
        return Tree(hypotheses.spread(self.past.flatten(0, 1)[places], False))

    def join(self, other: "Tree") -> "Tree":
        """The sentences of both."""
        return Tree(stacked(self.past, other.past, 2, False))

    def compact(self) -> tuple["Tree", Tensor]:
        """Without the positions which are nobody's past any more, and those which stay: [B, P'], filled up."""
        is_used = self.past.any(1)
        longest = int(is_used.sum(1).max())
        positions = torch.argsort(is_used.to(torch.int8), dim=1, descending=True, stable=True)[:, :longest]
        return Tree(self.past.gather(2, positions[:, None].expand(-1, self.past.shape[1], -1))), positions

    @property
    def mask(self) -> Mask | None:
        """Each hypothesis sees its past; None where there is but one a sentence, which sees all."""
        past = self.past
        beams, positions = past.shape[1:]
        return None if beams == 1 else Mask(lambda b, h, i, j: past[b, i - (positions - beams), j])


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
