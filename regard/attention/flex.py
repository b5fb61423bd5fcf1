"""FlexAttention, which leaves out blocks of 128 by 128 scores in which no query may see a key.

A pattern which allows something in each of them is computed in another order of positions, in which what it allows lies
together: strides in columns ("by transposing the matrix", Child et al. 2019, section 5.5), and the cells which sum up a
block before all others.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from regard.attention.masks import Banded, Blocked, Causal, Fixed, Mask, Pattern, PerHead, Strided, Summaries

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

# Blocks of so many masks and patterns are kept, for the layers of a pass and for the next step.
_KEPT = 16
# Kernels of so many kinds (pattern, size, type, with and without gradients) are compiled; torch would stop at 8.
_KERNELS = 64


def flex(query: Tensor, key: Tensor, value: Tensor, mask: Mask | None, bias: Tensor | None, scale: float) -> Tensor:
    """FlexAttention with any mask and bias, [B, H, T, K]."""
    (B, H, T), S = query.shape[:3], key.shape[-2]
    blocks = score = None
    if mask is not None:
        blocks = _blocks_of_mask(mask, B, H, T, S, query.device)
    if bias is not None:
        bias = bias.expand(B, H, T, S)
        score = lambda scores, b, h, i, j: scores + bias[b, h, i, j]
    return _run(query, key, value, score, blocks, scale)


def patterned(query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, scale: float) -> Tensor:
    """FlexAttention with one pattern, [B, H, T, K] of the same T positions."""
    if isinstance(pattern, PerHead):
        queries, keys, values = (x.chunk(len(pattern.patterns), 1) for x in (query, key, value))
        shares = zip(queries, keys, values, pattern.patterns, strict=True)
        return torch.cat([patterned(*own, scale) for own in shares], 1)
    length = query.shape[2]
    query, key, value = (_whole(x, pattern) for x in (query, key, value))
    blocks = pattern_blocks(pattern, query.shape[2], query.device)
    result = _run(_queries(query, pattern), _keys(key, pattern), _keys(value, pattern), None, blocks, scale)
    return _results(result, pattern)[:, :, :length]


def takes(query: Tensor, value: Tensor) -> bool:
    """Whether the compiled kernel is there for such heads: on a GPU, 16 values wide or more, no float64.

    Inside a dispatch mode, as where operations are counted, torch compiles nothing.
    """
    is_served = min(query.shape[-1], value.shape[-1]) >= 16 and query.dtype is not torch.float64
    return query.is_cuda and is_served and not is_in_torch_dispatch_mode()


def _whole(x: Tensor, pattern: Pattern) -> Tensor:
    """[B, H, T, K] with its last row of `stride` positions filled up; what comes after all is nobody's past."""
    if not isinstance(pattern, Strided | Summaries | Fixed) or pattern.stride >= x.shape[2]:
        return x  # there is no other order
    missing = -x.shape[2] % pattern.stride
    return F.pad(x, (0, 0, 0, missing)) if missing else x


def _queries(x: Tensor, pattern: Pattern) -> Tensor:
    """Queries in the order in which they are computed."""
    if not isinstance(pattern, Strided) or pattern.stride >= x.shape[2]:
        return x
    return x.unflatten(2, (-1, pattern.stride)).transpose(2, 3).flatten(2, 3)


def _results(x: Tensor, pattern: Pattern) -> Tensor:
    """What was computed of `_queries`, in their own order."""
    if not isinstance(pattern, Strided) or pattern.stride >= x.shape[2]:
        return x
    return x.unflatten(2, (pattern.stride, -1)).transpose(2, 3).flatten(2, 3)


def _keys(x: Tensor, pattern: Pattern) -> Tensor:
    """Keys, or values, in the order in which they are computed, without those which nobody sees."""
    if not isinstance(pattern, Summaries | Fixed) or pattern.stride >= x.shape[2]:
        return _queries(x, pattern)
    rows, first, last = x.unflatten(2, (-1, pattern.stride)), pattern.cells.start, pattern.cells.stop
    parts = [rows[:, :, :, first:last]]
    if isinstance(pattern, Fixed):
        parts += [rows[:, :, :, :first], rows[:, :, :, last:]]
    return torch.cat([part.flatten(2, 3) for part in parts], 2)


def pattern_blocks(pattern: Pattern, length: int, device: torch.device) -> "BlockMask":
    """The blocks of a pattern, its positions in the order in which they are computed."""
    return _blocks_of_pattern(_Known.of(pattern), length, device)


@dataclass(frozen=True)
class _Known:
    """A pattern, which equals another of the same kind and sizes: models make theirs anew in each pass."""

    sizes: tuple
    pattern: Pattern = field(compare=False)

    @classmethod
    def of(cls, pattern: Pattern) -> "_Known":
        """By kind and sizes; of a kind which is not known here, by itself."""
        if type(pattern) not in (Banded, Blocked, Causal, Fixed, Strided, Summaries):
            return cls((pattern,), pattern)
        return cls((type(pattern), *(getattr(pattern, name, None) for name in ("width", "stride", "cells"))), pattern)


@functools.lru_cache(_KEPT)
def _blocks_of_pattern(known: _Known, length: int, device: torch.device) -> "BlockMask":
    """As `pattern_blocks`; the same for all rows and heads."""
    pattern, name = known.pattern, str(known.sizes)
    with torch.inference_mode(False):
        places = torch.arange(length, dtype=torch.int32, device=device)[None, None, :, None]
        queries, keys = (order(places, pattern).flatten() for order in (_queries, _keys))
    # under a name of their own, sizes are constants to the compiler; else what varies from one pattern to the next
    named = {name: (pattern, queries, keys)}

    def allows(b, h, i, j):
        pattern, queries, keys = named[name]
        return pattern.allows(b, h, queries[i], keys[j])

    return _blocks(allows, None, None, len(queries), len(keys), device)


@functools.lru_cache(_KEPT)
def _blocks_of_mask(mask: Mask, B: int, H: int, T: int, S: int, device: torch.device) -> "BlockMask":
    """The blocks of any mask."""
    before = S - T
    return _blocks(lambda b, h, i, j: mask.allows(b, h, i + before, j), B, H, T, S, device)


def _blocks(allows: Callable, *size_and_device) -> "BlockMask":
    """Which blocks hold something that a predicate allows."""
    from torch.nn.attention.flex_attention import create_block_mask

    with torch.inference_mode(False):  # they are kept, and what is made in inference mode cannot be used in training
        return create_block_mask(allows, *size_and_device)


def _run(query, key, value, score, blocks, scale):
    """The kernel; compiled on a GPU, if what is around it is not."""
    from torch.nn.attention.flex_attention import flex_attention

    if not query.is_cuda or torch.compiler.is_compiling():
        return flex_attention(query, key, value, score, blocks, scale)
    with torch.compiler.config.patch(recompile_limit=_KERNELS):  # pyright: ignore[reportAttributeAccessIssue]
        return _compiled()(query, key, value, score, blocks, scale)


@functools.cache
def _compiled() -> Callable:
    """FlexAttention, which fails where it cannot be compiled: the plain formula would fill the memory."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, fullgraph=True)
