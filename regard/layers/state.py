"""What a decoder keeps between its steps. Every state can be re-ordered, which is all that beam search asks.

The rows of a state are hypotheses, `beams` of them for each sentence, those of one sentence together. What belongs to
the sentence (the encoder's output) is kept once a sentence, however many hypotheses it has.
"""

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor


class State(Protocol):
    """What `start` makes, and `step` takes and gives back."""

    beams: int

    def select(self, rows: Tensor) -> Self:
        """Keep the hypotheses `rows` [R'], in that order; rows may repeat.

        Each run of `beams` rows comes from one sentence, so a sentence is kept or dropped whole.
        """
        ...

    def widen(self, beams: int) -> Self:
        """`beams` equal hypotheses for each sentence, where there was one."""
        ...


def of_sentences(source: tuple[Tensor, ...], rows: Tensor, beams: int) -> tuple[Tensor, ...]:
    """What belongs to sentences [B, ...], for those whose hypotheses `rows` are kept; untouched when all are."""
    kept = rows[::beams] // beams
    if not source or torch.equal(kept, torch.arange(len(source[0]), device=kept.device)):
        return source
    return tuple(x[kept] for x in source)


class KeyValueCache:
    """Keys and values of past positions, [R, H, S, K] each, in memory which grows by doubling."""

    def __init__(self, memory: "_Memory | None" = None, length: int = 0):
        self._memory, self.length = memory, length

    def branch(self) -> "KeyValueCache":
        """A cache of the same past, to go on from without changing this one; they share memory as long as they can."""
        return KeyValueCache(self._memory, self.length)

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new positions [R, H, T, K]; gives all of them."""
        memory, needed = self._memory, self.length + key.shape[-2]
        if memory is None:
            room = [x.new_empty(*x.shape[:-2], max(16, needed), x.shape[-1]) for x in (key, value)]
            memory = _Memory(room[0], room[1])
        elif memory.filled != self.length or needed > memory.key.shape[-2]:  # another branch went on, or it is full
            past = [x[..., : self.length, :] for x in (memory.key, memory.value)]
            room = [torch.cat([x, x.new_empty(*x.shape[:-2], needed, x.shape[-1])], -2) for x in past]
            memory = _Memory(room[0], room[1])
        memory.key[..., self.length : needed, :], memory.value[..., self.length : needed, :] = key, value
        self._memory, self.length, memory.filled = memory, needed, needed
        return memory.key[..., :needed, :], memory.value[..., :needed, :]

    def select(self, rows: Tensor) -> "KeyValueCache":
        """Keep rows, in that order; rows may repeat."""
        if self._memory is None:
            return self
        # with the room that is not filled yet: one copy in one piece is faster than two of the filled part
        key, value = (x.index_select(0, rows) for x in (self._memory.key, self._memory.value))
        return KeyValueCache(_Memory(key, value, self.length), self.length)


@dataclass(eq=False)
class _Memory:
    """Room for keys and values, of which the first `filled` positions are taken."""

    key: Tensor  # [R, H, capacity, K]
    value: Tensor
    filled: int = 0


@dataclass(frozen=True)
class Recurrent:
    """The state of a recurrent decoder: tensors which belong to hypotheses, and tensors which belong to sentences."""

    own: tuple[Tensor, ...]  # [R, ...]
    source: tuple[Tensor, ...] = ()  # [B, ...]
    beams: int = 1
    alignment: Tensor | None = None  # weights over the source at the last step, [R, S]

    def select(self, rows: Tensor) -> "Recurrent":
        """Keep the hypotheses `rows`."""
        own = tuple(x[rows] for x in self.own)
        return replace(self, own=own, source=of_sentences(self.source, rows, self.beams), alignment=None)

    def widen(self, beams: int) -> "Recurrent":
        """`beams` equal hypotheses for each sentence."""
        return replace(self, own=tuple(x.repeat_interleave(beams, 0) for x in self.own), beams=beams, alignment=None)
