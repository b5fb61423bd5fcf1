"""Padded blocks of packed sequences, for kernels which compute sequences of like length at once: where each token goes.

The blocks of all groups lie end to end, so that one copy takes a packed row there, and one takes the results back.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from regard.attention.fused import additive
from regard.attention.packing import sent

# A group may hold this many times the scores a head that its sequences need, and so many more as its calls cost.
_WASTE, _CALLS = 1.3, 2000


class Blocks:
    """Pairs of packed sequences (queries and keys), cut into groups of like length.

    Args:
        query_lengths: of each pair.
        key_lengths: of each pair.
        calls: scores a head which take as long as the calls for one more group.
    """

    def __init__(self, query_lengths: Tensor, key_lengths: Tensor, calls: int = _CALLS):
        members = _groups(query_lengths, key_lengths, calls)
        self.queries = Side(query_lengths, members)
        self.keys = self.queries if key_lengths is query_lengths else Side(key_lengths, members)
        self.groups = [
            Group(len(group), queries, keys, key_lengths[group])
            for group, queries, keys in zip(members, self.queries.longest, self.keys.longest, strict=True)
        ]


class Side:
    """Where the tokens of queries, or of keys, stand in the blocks.

    Attributes:
        sizes: sequences of each group.
        longest: tokens of the longest of them.
        tokens: the packed token in each place of the blocks [M]; an empty place repeats the first one.
        places: the place of each packed token [N].
        empty: the places which hold no token.
    """

    def __init__(self, lengths: Tensor, groups: list[Tensor]):
        self.sizes, self.longest = [len(group) for group in groups], [int(lengths[group].max()) for group in groups]
        starts, parts = lengths.cumsum(0) - lengths, []
        for group, longest in zip(groups, self.longest, strict=True):
            inside = torch.arange(longest)
            parts.append(torch.where(inside < lengths[group, None], starts[group, None] + inside, -1).flatten())
        tokens = torch.cat(parts)
        is_token = tokens >= 0
        self.tokens, self.empty = tokens.clamp(min=0), (~is_token).nonzero()[:, 0]
        self.places = torch.empty_like(tokens[is_token]).scatter_(0, tokens[is_token], is_token.nonzero()[:, 0])
        self.is_packed = torch.equal(self.tokens, torch.arange(int(lengths.sum())))  # the blocks are the packed row
        self._moved: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = {}

    def on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, places and empty places, kept on the device once they were asked for there."""
        if device not in self._moved:
            self._moved[device] = sent(self.tokens, device), sent(self.places, device), sent(self.empty, device)
        return self._moved[device]

    def pad(self, x: Tensor) -> list[Tensor]:
        """Packed [N, ...] -> the block of each group, [size, longest, ...]."""
        if not self.is_packed:
            tokens, places, empty = self.on(x.device)
            x = _Rows.apply(x, tokens, places, empty[:0])
        shapes = list(zip(self.sizes, self.longest, strict=True))
        parts = x.split([size * longest for size, longest in shapes])
        return [part.unflatten(0, shape) for part, shape in zip(parts, shapes, strict=True)]

    def pack(self, blocks: list[Tensor]) -> Tensor:
        """The block of each group, [size, longest, ...] -> packed [N, ...]."""
        flat = [block.flatten(0, 1) for block in blocks]
        x = flat[0] if len(flat) == 1 else torch.cat(flat)
        if self.is_packed:
            return x
        tokens, places, empty = self.on(x.device)
        return _Rows.apply(x, places, tokens, empty)


class _Rows(torch.autograd.Function):
    """Rows by their numbers, with a gradient which is as quick: no number of a token comes twice."""

    @staticmethod
    def forward(ctx, x, numbers, back, empty):  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.back, ctx.empty = back, empty
        return x.index_select(0, numbers)

    @staticmethod
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        result = gradient.index_select(0, ctx.back)
        return result.index_fill_(0, ctx.empty, 0) if len(ctx.empty) else result, None, None, None


@dataclass(frozen=True, eq=False)
class Group:
    """Sequences which are computed as one padded block [size, queries, keys]; `key_lengths` [size] are their own."""

    size: int
    queries: int
    keys: int
    key_lengths: Tensor

    def bias(self, pattern: Any, heads: int, device: torch.device) -> Tensor | None:
        """What to add to the scores of the block, [size | 1, H | 1, T | 1, S]: 0 where a query may look, else -inf.

        A pattern looks back from its own place; a place behind a shorter sequence is no past of its own.
        """
        # a tensor made in inference mode cannot be used in training
        key = (pattern, heads, device, torch.is_inference_mode_enabled())
        if key not in self._bias:
            if pattern is not None:
                allowed = pattern.dense(1, heads, self.queries, self.keys)
            else:
                is_key = torch.arange(self.keys) < self.key_lengths[:, None]
                allowed = None if is_key.all() else is_key[:, None, None, :]
            self._bias[key] = None if allowed is None else sent(additive(allowed), device)
        return self._bias[key]

    @cached_property
    def _bias(self) -> dict:
        """Biases already made, which the layers of one pass share."""
        return {}


def _groups(query_lengths: Tensor, key_lengths: Tensor, calls: int) -> list[Tensor]:
    """Cut the sequences, sorted by length, into groups whose padded blocks waste little."""
    pairs = list(zip(query_lengths.tolist(), key_lengths.tolist(), strict=True))
    order = sorted(range(len(pairs)), key=lambda n: max(pairs[n]))
    groups, members, needed, longest = [], [], 0, (0, 0)
    for n in order:
        area = pairs[n][0] * pairs[n][1]
        block = (max(longest[0], pairs[n][0]), max(longest[1], pairs[n][1]))
        if members and block[0] * block[1] * (len(members) + 1) > _WASTE * (needed + area) + calls:
            groups.append(members)
            members, needed, block = [], 0, pairs[n]
        members, needed, longest = [*members, n], needed + area, block
    groups.append(members)
    return [torch.tensor(sorted(members)) for members in groups]
