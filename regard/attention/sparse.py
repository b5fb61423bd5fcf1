"""Attention which computes what a pattern allows, and little else.

Each pattern is cut into blocks which are dense: a band into stretches of its own width which see themselves and the one
before, strides into columns, fixed blocks into themselves and the summary cells before them. Queries, keys and values
are [B, H, T, K] of the same T positions. Gradients are those of the same blocks.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.attention.fused import fused
from regard.attention.masks import Banded, Blocked, Causal, Fixed, Pattern, PerHead, Strided, Summaries


def sparse(query: Tensor, key: Tensor, value: Tensor, pattern: Pattern, scale: float, dropout: float) -> Tensor:
    """Attention of one pattern, [B, H, T, K]."""
    length = query.shape[-2]
    if isinstance(pattern, PerHead):
        queries, keys, values = (x.chunk(len(pattern.patterns), 1) for x in (query, key, value))
        shares = zip(queries, keys, values, pattern.patterns, strict=True)
        return torch.cat([sparse(*own, scale, dropout) for own in shares], 1)
    if isinstance(pattern, Banded) and 2 * pattern.width < length:
        return _banded(query, key, value, pattern.width, scale, dropout)
    if isinstance(pattern, Strided) and 1 < pattern.stride < length:
        return _strided(query, key, value, pattern.stride, scale, dropout)
    if isinstance(pattern, Blocked) and pattern.stride < length:
        return _blocked(query, key, value, pattern.stride, scale, dropout)
    if isinstance(pattern, Summaries) and pattern.stride < length:
        return _fixed(query, key, value, pattern.stride, pattern.cells, pattern.cells, scale, dropout)
    if isinstance(pattern, Fixed) and pattern.stride < length:
        return _fixed(query, key, value, pattern.stride, pattern.cells, range(pattern.stride), scale, dropout)
    if isinstance(pattern, Causal):
        return fused(query, key, value, is_causal=True, scale=scale, dropout=dropout)
    allowed = pattern.dense(1, 1, length, length, query.device)
    return fused(query, key, value, allowed=allowed, scale=scale, dropout=dropout)


# A stretch of a narrow band is at least so long: products of a few rows are slow.
_STRETCH = 64


def _banded(query: Tensor, key: Tensor, value: Tensor, width: int, scale: float, dropout: float) -> Tensor:
    """Stretches of positions, each of which sees itself and the one before."""
    heads, length = query.shape[1], query.shape[2]
    size = max(width, min(_STRETCH, length // 2))
    count = -(-length // size)
    query, key, value = (
        F.pad(x, (0, 0, 0, count * size - length)).unflatten(2, (count, size)) for x in (query, key, value)
    )
    apart = torch.arange(size, 2 * size, device=query.device)[:, None] - torch.arange(2 * size, device=query.device)
    allowed = (apart >= 0) & (apart < width)
    first = fused(query[:, :, 0], key[:, :, 0], value[:, :, 0], allowed=allowed[:, size:], scale=scale, dropout=dropout)
    keys, values = (torch.cat([x[:, :, :-1], x[:, :, 1:]], 3).flatten(1, 2) for x in (key, value))
    others = query[:, :, 1:].flatten(1, 2)
    others = fused(others, keys, values, allowed=allowed, scale=scale, dropout=dropout)
    others = others.unflatten(1, (heads, count - 1)).flatten(2, 3)
    return torch.cat([first, others], 2)[:, :, :length]


def _strided(query: Tensor, key: Tensor, value: Tensor, stride: int, scale: float, dropout: float) -> Tensor:
    """Columns of every `stride`-th position, each causal in itself ("by transposing the matrix", section 5.5)."""
    heads, length = query.shape[1], query.shape[2]
    columns = (_rows(x, stride).transpose(2, 3).flatten(1, 2) for x in (query, key, value))
    result = fused(*columns, is_causal=True, scale=scale, dropout=dropout)
    return result.unflatten(1, (heads, stride)).transpose(2, 3).flatten(2, 3)[:, :, :length]


def _blocked(query: Tensor, key: Tensor, value: Tensor, stride: int, scale: float, dropout: float) -> Tensor:
    """Rows of `stride` positions, each causal in itself."""
    heads, length = query.shape[1], query.shape[2]
    rows = (_rows(x, stride).flatten(1, 2) for x in (query, key, value))
    result = fused(*rows, is_causal=True, scale=scale, dropout=dropout)
    return result.unflatten(1, (heads, -1)).flatten(2, 3)[:, :, :length]


def _rows(x: Tensor, stride: int) -> Tensor:
    """[B, H, T, K] cut into rows of `stride` positions, the last one filled up: [B, H, rows, stride, K]."""
    return F.pad(x, (0, 0, 0, -x.shape[2] % stride)).unflatten(2, (-1, stride))


def _fixed(
    query: Tensor, key: Tensor, value: Tensor, stride: int, cells: range, own: range, scale: float, dropout: float
) -> Tensor:
    """Blocks one after the other: each sees the summary `cells` of all before it, and the cells `own` of itself."""
    length = query.shape[2]
    count = -(-length // stride)
    summary = torch.arange(cells.start, cells.stop, device=query.device)
    places = (torch.arange(count - 1, device=query.device)[:, None] * stride + summary).flatten()
    keys, values = key[:, :, places], value[:, :, places]
    below = torch.ones(stride, stride, dtype=torch.bool, device=query.device).tril()[:, own.start : own.stop]
    allowed = torch.cat([below.new_ones(stride, len(places)), below], 1)
    results = []
    for block in range(count):
        here, seen = slice(block * stride, min(length, (block + 1) * stride)), block * len(cells)
        new = slice(here.start + own.start, min(here.stop, here.start + own.stop))
        both = [torch.cat([old[:, :, :seen], x[:, :, new]], 2) for old, x in ((keys, key), (values, value))]
        mask = allowed[: here.stop - here.start, len(places) - seen :][:, : both[0].shape[2]]
        result = fused(query[:, :, here], *both, allowed=mask, scale=scale, dropout=dropout)
        results.append(result)
    return torch.cat(results, 2)
