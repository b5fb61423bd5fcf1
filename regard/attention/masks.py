"""Attention masks: predicates over positions, composed with `&`, `|` and `~`.

A mask answers one question: in batch row b and head h, may query position i attend to key position j? True means yes,
everywhere in this library. The predicate has FlexAttention's own signature, so that one definition serves the dense
tensor, the compiled kernel and the picture. A conjunction keeps its `parts`, by which a kernel sees what it may skip.

Queries are the last T of S positions, as when a decoder continues a sequence whose keys it keeps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.attention.blocks import Blocks
from regard.attention.fused import additive
from regard.attention.packing import sent

Predicate = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Mask:
    """`allows(b, h, i, j)` maps broadcastable index tensors to booleans."""

    allows: Predicate
    _dense: dict = field(default_factory=dict, repr=False, init=False)
    _bias: dict = field(default_factory=dict, repr=False, init=False)

    @property
    def parts(self) -> tuple["Mask", ...]:
        """The masks of which this one is the conjunction."""
        return (self,)

    def __and__(self, other: "Mask") -> "Mask":
        return Conjunction(self.parts + other.parts)

    def __or__(self, other: "Mask") -> "Mask":
        return Composition(torch.logical_or, self, other)

    def __invert__(self) -> "Mask":
        return Composition(torch.logical_not, self)

    def within(self, packed: "Documents") -> Predicate:
        """What it allows in packed sequences, in the places of the row; patterns count from the start of each."""
        return self.allows

    def dense(self, batch: int, heads: int, queries: int, keys: int, device: torch.device | str = "cpu") -> Tensor:
        """Boolean [1|B, 1|H, T, S]: a causal mask costs [T, S], padding [B, 1, T, S], a pattern per head [H, T, S]."""
        # a tensor made in inference mode cannot be used in training
        size = (batch, heads, queries, keys, str(device), torch.is_inference_mode_enabled())
        dense = self._dense.get(size)
        if dense is None:
            b, h, j = (torch.arange(n, device=device) for n in (batch, heads, keys))
            i = torch.arange(keys - queries, keys, device=device)
            allowed = self.allows(b.view(-1, 1, 1, 1), h.view(-1, 1, 1), i.view(-1, 1), j)
            dense = allowed.expand(*allowed.shape[:-2], queries, keys)
            self._dense.clear()  # one entry: the layers of one pass share it, and decoding does not pile them up
            self._dense[size] = dense
        return dense

    def bias(
        self, batch: int, heads: int, queries: int, keys: int, device: torch.device | str = "cpu"
    ) -> Tensor | None:
        """As `dense`, to be added to scores: 0 where a query may look, else -inf. None where one may look nowhere."""
        size = (batch, heads, queries, keys, str(device), torch.is_inference_mode_enabled())
        try:
            return self._bias[size]
        except KeyError:
            allowed = self.dense(batch, heads, queries, keys, device)
            result = additive(allowed) if bool(allowed.any(-1).all()) else None
            self._bias.clear()  # as above; another thread may do so at any time
            self._bias[size] = result
            return result


class Conjunction(Mask):
    """All of its parts allow it."""

    def __init__(self, parts: tuple[Mask, ...]):
        super().__init__(self._all)
        object.__setattr__(self, "_parts", parts)

    @property
    def parts(self) -> tuple[Mask, ...]:
        """The masks of which this one is the conjunction."""
        return self._parts  # pyright: ignore[reportAttributeAccessIssue]

    def within(self, packed: "Documents | None") -> Predicate:
        """As of any mask; its own packed sequences come first."""
        packed = next((part for part in self.parts if isinstance(part, Documents) and part.is_square), packed)
        parts = [part.allows if packed is None else part.within(packed) for part in self.parts]
        return lambda b, h, i, j: reduce(torch.logical_and, (allows(b, h, i, j) for allows in parts))

    def _all(self, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return self.within(None)(b, h, i, j)


class Composition(Mask):
    """Another answer made of those which masks give at the same place: that of either, or the opposite."""

    def __init__(self, answer: Callable[..., Tensor], *masks: Mask):
        super().__init__(lambda b, h, i, j: answer(*(mask.allows(b, h, i, j) for mask in masks)))
        object.__setattr__(self, "answer", answer)
        object.__setattr__(self, "masks", masks)

    answer: Callable[..., Tensor]
    masks: tuple[Mask, ...]

    def within(self, packed: "Documents") -> Predicate:
        """As of any mask."""
        parts = [mask.within(packed) for mask in self.masks]
        return lambda b, h, i, j: self.answer(*(allows(b, h, i, j) for allows in parts))


class Pattern(Mask):
    """What a position sees of its past, by where both stand; in packed sequences, where they stand in their own."""

    sees_itself: bool = True  # so that no position sees nothing

    def within(self, packed: "Documents") -> Predicate:
        """What it allows in packed sequences, in the places of the row, counted from the start of each."""
        return lambda b, h, i, j: self.allows(b, h, *packed.inside(i, j))


class Causal(Pattern):
    """Each position sees itself and the past."""

    def __init__(self):
        super().__init__(lambda b, h, i, j: j <= i)


class Banded(Pattern):
    """The last `width` positions, itself included (Brown et al. 2020, section 2.1)."""

    def __init__(self, width: int):
        super().__init__(lambda b, h, i, j: (j <= i) & (i - j < width))
        object.__setattr__(self, "width", _positive("width", width))

    width: int


class Strided(Pattern):
    """Every `stride`-th past position, itself included (Child et al. 2019, section 4.3)."""

    def __init__(self, stride: int):
        super().__init__(lambda b, h, i, j: (j <= i) & ((i - j) % stride == 0))
        object.__setattr__(self, "stride", _positive("stride", stride))

    stride: int


class Blocked(Pattern):
    """The own block of `stride` positions, up to itself (Child et al. 2019, section 4.3)."""

    def __init__(self, stride: int):
        super().__init__(lambda b, h, i, j: (j <= i) & (j // stride == i // stride))
        object.__setattr__(self, "stride", _positive("stride", stride))

    stride: int


class Summaries(Pattern):
    """The cells which sum up a block, of every block so far (Child et al. 2019, section 4.3).

    Attributes:
        cells: their places in a block.
    """

    sees_itself = False

    def __init__(self, stride: int, summary: int, subblock: int = 0):
        super().__init__(lambda b, h, i, j: (j <= i) & _among(j % stride, self.cells))
        object.__setattr__(self, "stride", _positive("stride", stride))
        object.__setattr__(self, "cells", _summary(stride, summary, subblock))

    stride: int
    cells: range


class Fixed(Pattern):
    """The own block, and the cells which sum up a block, of every earlier block (Child et al. 2019, section 4.3).

    Attributes:
        cells: their places in a block.
    """

    def __init__(self, stride: int, summary: int, subblock: int = 0):
        super().__init__(lambda b, h, i, j: (j <= i) & ((j // stride == i // stride) | _among(j % stride, self.cells)))
        object.__setattr__(self, "stride", _positive("stride", stride))
        object.__setattr__(self, "cells", _summary(stride, summary, subblock))

    stride: int
    cells: range


def _among(places: Tensor, cells: range) -> Tensor:
    """Which places are among these neighbours."""
    return (places >= cells.start) & (places < cells.stop)


def _summary(stride: int, summary: int, subblock: int) -> range:
    """The places of the last `summary` cells of a block; of `subblock` 1 those before them, and so on."""
    last = stride - subblock * _positive("summary", summary)
    if subblock < 0 or last < summary:
        raise ValueError(f"a block of {stride} cells has no subblock {subblock} of {summary} cells to sum it up")
    return range(last - summary, last)


class PerHead(Pattern):
    """The heads in equal parts, each part with a pattern of its own (Child et al. 2019, section 5.1, equation 8)."""

    def __init__(self, heads: int, patterns: Sequence[Pattern]):
        if not patterns or heads % len(patterns):
            raise ValueError(f"{heads} heads cannot be shared out evenly among {len(patterns)} patterns")
        super().__init__(self._own)
        object.__setattr__(self, "heads", heads)
        object.__setattr__(self, "patterns", tuple(patterns))
        object.__setattr__(self, "sees_itself", all(pattern.sees_itself for pattern in patterns))

    heads: int
    patterns: tuple[Pattern, ...]

    def _own(self, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        share = self.heads // len(self.patterns)
        result = (h < 0) & (i < j)
        for number, pattern in enumerate(self.patterns):
            result = result | ((h // share == number) & pattern.allows(b, h, i, j))
        return result


def _positive(name: str, value: int) -> int:
    """The value, if a mask can have it."""
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, got {value}")
    return value


class Documents(Mask):
    """Packed sequences: each query sees the keys of its own sequence only.

    Both sides are packed end to end; sequence n of the queries goes with sequence n of the keys.
    """

    def __init__(self, query_lengths: Tensor, key_lengths: Tensor):
        if len(query_lengths) != len(key_lengths):
            raise ValueError(f"queries hold {len(query_lengths)} sequences, but keys hold {len(key_lengths)}")
        super().__init__(self._same)
        object.__setattr__(self, "query_lengths", query_lengths)
        object.__setattr__(self, "key_lengths", key_lengths)

    query_lengths: Tensor
    key_lengths: Tensor

    @cached_property
    def is_square(self) -> bool:
        """Whether each sequence has as many keys as queries, so that the past means the same in it as in the row."""
        return self.query_lengths is self.key_lengths or torch.equal(self.query_lengths, self.key_lengths)

    @cached_property
    def _sequences(self) -> tuple[Tensor, Tensor]:
        """The number of the sequence in which each query, and each key, stands."""
        numbers = torch.arange(len(self.query_lengths))
        return numbers.repeat_interleave(self.query_lengths), numbers.repeat_interleave(self.key_lengths)

    def _same(self, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        queries, keys = (side.to(i.device) for side in self._sequences)
        return queries[i - (len(keys) - len(queries))] == keys[j]  # i counts from the lower right corner

    def inside(self, i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
        """Where places of a row stand in their own sequences, of a mask whose sides are equal."""
        inside = self._inside.to(i.device)
        return inside[i], inside[j]

    @cached_property
    def _inside(self) -> Tensor:
        """Where each key stands in its own sequence."""
        starts = self.key_lengths.cumsum(0) - self.key_lengths
        return torch.arange(int(self.key_lengths.sum())) - starts.repeat_interleave(self.key_lengths)

    @cached_property
    def longest(self) -> tuple[int, int]:
        """Tokens of the longest sequence of queries, and of keys."""
        return int(self.query_lengths.max()), int(self.key_lengths.max())

    def boundaries(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Where sequences of queries, and of keys, start, with the end of the last: [B + 1], as a GPU's kernels ask."""
        # a tensor made in inference mode cannot be used in training
        kept = (device, torch.is_inference_mode_enabled())
        if kept not in self._boundaries:
            sides = [self.query_lengths, self.key_lengths]
            if sides[0] is sides[1]:
                del sides[1]  # one is sent for both
            ends = [sent(F.pad(side.cumsum(0), (1, 0)).int(), device) for side in sides]
            self._boundaries[kept] = ends[0], ends[-1]
        return self._boundaries[kept]

    @cached_property
    def _boundaries(self) -> dict[tuple[torch.device, bool], tuple[Tensor, Tensor]]:
        """Boundaries which were asked for, by device."""
        return {}

    @cached_property
    def blocks(self) -> Blocks:
        """The sequences in groups of like length, for kernels which compute a group as one padded block."""
        return Blocks(self.query_lengths, self.key_lengths)

    @cached_property
    def few_blocks(self) -> Blocks:
        """The same for a GPU, in fewer groups: a call there costs about as much as a million scores. Not measured."""
        return Blocks(self.query_lengths, self.key_lengths, calls=1 << 20)


CAUSAL = Causal()


def causal() -> Causal:
    """Each position sees itself and the past."""
    return CAUSAL


def documents(query_lengths: Tensor, key_lengths: Tensor | None = None) -> Documents:
    """Packed sequences see themselves; with `key_lengths`, each sees its partner (a target its source)."""
    return Documents(query_lengths, query_lengths if key_lengths is None else key_lengths)


def padding(is_token: Tensor) -> Mask:
    """Keys which hold a token; `is_token` is boolean [B, S]."""
    return Mask(lambda b, h, i, j: is_token[b, j])


def banded(width: int) -> Banded:
    """The last `width` positions, itself included (Brown et al. 2020, section 2.1)."""
    return Banded(width)


def strided(stride: int) -> Strided:
    """Every `stride`-th past position, itself included (Child et al. 2019, section 4.3)."""
    return Strided(stride)


def blocked(stride: int) -> Blocked:
    """The own block of `stride` positions, up to itself (Child et al. 2019, section 4.3)."""
    return Blocked(stride)


def summaries(stride: int, summary: int, subblock: int = 0) -> Summaries:
    """The last `summary` cells of every block so far (Child et al. 2019, section 4.3).

    Of `subblock` 1 the cells before them, and so on. A position before the first of them sees nothing.
    """
    return Summaries(stride, summary, subblock)


def fixed(stride: int, summary: int, subblock: int = 0) -> Fixed:
    """The own block, and the last `summary` cells of every earlier block (Child et al. 2019, section 4.3).

    Of `subblock` 1 the cells before them, and so on.
    """
    return Fixed(stride, summary, subblock)


def permuted(order: Tensor, *, sees_itself: bool) -> Mask:
    """Keys which come earlier in the factorisation order (Yang et al. 2019, section 2.3); `order` is [B, S]."""
    if sees_itself:
        return Mask(lambda b, h, i, j: order[b, j] <= order[b, i])
    return Mask(lambda b, h, i, j: order[b, j] < order[b, i])
