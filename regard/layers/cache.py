"""Keys and values of what was read and written so far, in memory which grows, and which several states may share."""

from dataclasses import dataclass

import torch
from torch import Tensor

from regard.attention.masks import Banded, Pattern
from regard.attention.packing import Packed
from regard.layers.state import Hypotheses


@dataclass(frozen=True, eq=False)
class Slots:
    """Where in a cache the keys and values of new positions are written.

    Args:
        hypotheses: whose positions they are, one a row.
        places: of each row, [R].
        length: how many places are in use afterwards.
        overwrites: whether some of them held positions before.
        place: the one of all rows, where they have the same and each sentence has one.
    """

    hypotheses: Hypotheses
    places: Tensor
    length: int
    overwrites: bool = False
    place: int | None = None


class KeyValueCache:
    """Keys and values of the positions of B sentences, [B, H, P, K] each, where each has a K of its own.

    Changes are made where the memory lies, as long as nobody else does; a cache whose past was left alone can still be
    gone on from, in memory of its own, and one which lost something says so.
    """

    def __init__(self, memory: "_Memory | None" = None, sentences: int = 0, length: int = 0):
        self._memory, self.sentences, self.length = memory, sentences, length
        self._turn = 0 if memory is None else memory.turn

    @classmethod
    def of(cls, key: Tensor, value: Tensor) -> "KeyValueCache":
        """A cache which holds these keys and values, [B, H, P, K] each."""
        return cls(_Memory(key.contiguous(), value.contiguous()), key.shape[0], key.shape[2])

    def held(self) -> tuple[Tensor, Tensor]:
        """Keys and values, [B, H, P, K] each.

        Raises:
            RuntimeError: if something of them has been written over.
        """
        memory = self._memory
        if memory is None:
            raise ValueError("the cache holds nothing yet")
        if memory.lost > self._turn:
            raise RuntimeError(
                "this state was gone on from, and some of what it held has been written over: go on from the state "
                "which came of it, or begin anew"
            )
        key, value = (x.narrow(0, 0, self.sentences).narrow(2, 0, self.length) for x in (memory.key, memory.value))
        return key, value

    def select(self, sentences: Tensor, length: int | None = None) -> "KeyValueCache":
        """Keep sentences, in that order, and their first `length` positions."""
        if self._memory is None:
            return self
        length = self.length if length is None else length
        kept = [x[:, :, :length].index_select(0, sentences) for x in self.held()]
        if len(sentences) > self.sentences or self._memory.turn != self._turn:
            return KeyValueCache.of(*kept)
        memory = self._memory
        memory.key[: len(sentences), :, :length], memory.value[: len(sentences), :, :length] = kept
        memory.write(over=True)
        return KeyValueCache(memory, len(sentences), length)

    def join(self, other: "KeyValueCache") -> "KeyValueCache":
        """The sentences of both; the shorter past is filled up with zeros."""
        length, both = max(self.length, other.length), self.sentences + other.sentences
        memory = self._own(both, length)
        memory.clear(self.sentences, self.length, length)
        for mine, theirs in zip((memory.key, memory.value), other.held(), strict=True):
            mine[self.sentences : both, :, : other.length] = theirs
            mine[self.sentences : both, :, other.length : length] = 0
        memory.write()
        return KeyValueCache(memory, both, length)

    def at(self, slots: Slots) -> "WritingCache":
        """A cache of the same past, which takes new positions in."""
        return WritingCache(self, slots)

    def _own(self, sentences: int, length: int) -> "_Memory":
        """Memory into which this cache may write, with room for so much."""
        key, value = self.held()
        memory = self._memory
        assert memory is not None
        rows, _, places, _ = memory.key.shape
        if memory.turn != self._turn or sentences > rows or length > places:
            rows = rows if sentences <= rows else max(sentences, 2 * rows)
            places = places if length <= places else max(length, 2 * places, _ROOM)
            memory = _Memory.room(rows, places, key, value)
            for new, old in ((memory.key, key), (memory.value, value)):
                new[: self.sentences, :, : self.length] = old
        return memory


class WritingCache(KeyValueCache):
    """A cache which is about to take the positions of `slots` in; once written, it holds them as well."""

    def __init__(self, past: KeyValueCache, slots: Slots):
        super().__init__(past._memory, past.sentences, past.length)
        self._turn, self.slots = past._turn, slots

    @property
    def hypotheses(self) -> Hypotheses:
        """Whose positions are written: the queries' rows."""
        return self.slots.hypotheses

    def write(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Take the keys and values of new positions [R, H, K] in; gives all, [B, H, P, K] each.

        Raises:
            RuntimeError: if something of what this cache held has been written over.
        """
        slots = self.slots
        if self._memory is None:
            self.sentences = slots.hypotheses.sentences
            self._memory = _Memory.room(self.sentences, 0, key, value)
        memory = self._own(self.sentences, slots.length)
        if slots.place is not None:
            for mine, new in ((memory.key, key), (memory.value, value)):
                mine.select(2, slots.place).narrow(0, 0, self.sentences).copy_(new)
        else:
            memory.clear(self.sentences, self.length, slots.length)
            owners = slots.hypotheses.owners
            memory.key[owners, :, slots.places], memory.value[owners, :, slots.places] = key, value
        memory.write(over=slots.overwrites)
        self._memory, self.length, self._turn = memory, slots.length, memory.turn
        return self.held()


class FillingCache:
    """Takes in the keys and values of whole sequences, while they attend to one another as a packed row.

    Args:
        text: the sequences.
        pattern: what a later position will see of its past; of a band the last positions are kept alone.
    """

    hypotheses: None = None  # the queries are no rows of hypotheses

    def __init__(self, text: Packed, pattern: Pattern):
        self.pattern = pattern
        kept = text.lengths.clamp(max=pattern.width) if isinstance(pattern, Banded) else text.lengths
        place = torch.arange(int(kept.max()))
        self.is_kept = place < kept[:, None]  # [B, P]
        self.positions = (text.lengths - kept)[:, None] + place  # of each place in its sequence
        self._rows = (text.starts[:, None] + self.positions)[self.is_kept]
        self.cache = KeyValueCache()

    def write(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Take in the keys and values of all tokens [N, H, K]; gives them as [1, H, N, K]."""
        self.cache = KeyValueCache.of(self._padded(key), self._padded(value))
        return key.transpose(0, 1)[None], value.transpose(0, 1)[None]

    def _padded(self, x: Tensor) -> Tensor:
        """What is kept of packed [N, H, K], as [B, H, P, K] with zeros behind it."""
        padded = x.new_zeros(*self.is_kept.shape, *x.shape[1:])
        padded[self.is_kept.to(x.device)] = x[self._rows.to(x.device)]
        return padded.transpose(1, 2)


# Positions for which memory which grows has room at least.
_ROOM = 64


@dataclass(eq=False)
class _Memory:
    """Room for keys and values. Places which a shorter sentence leaves open are zeros, since weights of 0 meet them."""

    key: Tensor  # [rows, H, places, K]
    value: Tensor
    turn: int = 0  # how often it was written to
    lost: int = -1  # the turn at which something which a cache held was last written over

    @classmethod
    def room(cls, rows: int, places: int, key: Tensor, value: Tensor) -> "_Memory":
        """Room for keys and values like these, [R, H, K] or [B, H, P, K]: of as many heads, each as wide."""
        new_key, new_value = (x.new_empty(rows, x.shape[1], places, x.shape[-1]) for x in (key, value))
        return cls(new_key, new_value)

    def clear(self, sentences: int, first: int, last: int) -> None:
        """Zeros into these places of the first sentences."""
        for x in (self.key, self.value):
            x[:sentences, :, first:last] = 0

    def write(self, over: bool = False) -> None:
        """It was written to; `over` what a cache held before."""
        self.turn += 1
        if over:
            self.lost = self.turn
