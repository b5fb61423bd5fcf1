"""The one attention function. Every dot-product model in the library ends here.

Axes: B batch, H heads, T query positions, S key positions, K width of a head, D model width.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.attention.flex import flex, patterned, takes
from regard.attention.fused import dropped, fused, fused_packed, masked, takes_packed, weigh
from regard.attention.masks import Causal, Documents, Mask, Pattern
from regard.attention.sparse import sparse

KERNELS = ("fastest", "reference", "flex")

_kernel = "fastest"  # a plain global, which torch.compile can guard


@contextmanager
def kernel(name: str) -> Iterator[None]:
    """Compute attention inside the block with the named kernel.

    Args:
        name: "fastest" (the default: what the mask and the device allow), "reference" (the plain formula, the
            yardstick) or "flex" (FlexAttention).

    Raises:
        ValueError: if there is no such kernel.
    """
    global _kernel
    if name not in KERNELS:
        raise ValueError(f"unknown kernel {name!r}; the kernels are {', '.join(KERNELS)}")
    outer, _kernel = _kernel, name
    try:
        yield
    finally:
        _kernel = outer


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Mask | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
    record: list[Tensor] | None = None,
) -> Tensor:
    """softmax(QK'/sqrt(K) + bias) V (Vaswani et al. 2017, equation 1).

    Args:
        query: [B, H, T, K].
        key: [B, H, S, K].
        value: [B, H, S, K], where K need not be that of queries and keys.
        mask: which keys each query may see; None means all.
        bias: added to the scaled scores, broadcastable to [B, H, T, S].
        scale: of the scores QK', where it is not 1/sqrt(K).
        dropout: probability of dropping an attention weight.
        record: a list to which the weights [B, H, T, S] are appended; the reference kernel computes them.

    Returns: [B, H, T, K] with the K of values. A query which may see no key gets zeros, in each kernel.

    Raises:
        ValueError: if weights are to be dropped by "flex", which cannot.
    """
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if record is not None or _kernel == "reference":
        return _reference(query, key, value, mask, bias, scale, dropout, record)
    if _kernel == "flex" and dropout:
        raise ValueError("FlexAttention has no dropout on attention weights; use another kernel, or dropout=0")
    if mask is not None and bias is None:
        packed = [part for part in mask.parts if isinstance(part, Documents)]
        patterns = [part for part in mask.parts if isinstance(part, Pattern)]
        if len(packed) <= 1 and len(patterns) <= 1 and len(packed) + len(patterns) == len(mask.parts):
            pattern = patterns[0] if patterns else None
            # without a pattern, FlexAttention takes a packed row as it is
            if packed and (packed[0].is_square if pattern is not None else _kernel != "flex"):
                return _variable_length(query, key, value, packed[0], pattern, scale, dropout)
            if pattern is not None and not packed and _FEW < query.shape[-2] == key.shape[-2]:
                return _patterned(query, key, value, pattern, scale, dropout)
    if _kernel == "flex":
        return flex(query, key, value, mask, bias, scale)
    return _sdpa(query, key, value, mask, bias, scale, dropout)


def _reference(query, key, value, mask, bias, scale, dropout, record=None):
    """The formula as the paper prints it."""
    scores = query @ key.mT * scale
    if bias is not None:
        scores = scores + bias
    allowed = None if mask is None else mask.dense(*scores.shape, scores.device)
    return weigh(scores, value, allowed, dropout, record)


# For so few queries, as when a decoder writes, plain matrix products are faster on a CPU than the fused kernel.
_FEW = 8


def _sdpa(query, key, value, mask, bias, scale, dropout):
    """PyTorch's fused kernels, with a dense mask where it is more than causal."""
    (B, H, T), S = query.shape[:3], key.shape[-2]
    if type(mask) is Causal and T == 1:
        mask = None
    if T <= _FEW and not query.is_cuda:
        if mask is None:
            return _plain(query, key, value, bias, scale, dropout)
        if bias is None and (added := mask.bias(B, H, T, S, query.device)) is not None:
            return _plain(query, key, value, added, scale, dropout)
        return _reference(query, key, value, mask, bias, scale, dropout)
    if bias is not None and not query.is_cuda and (dropout or bias.requires_grad):  # which torch's kernel has not
        return _reference(query, key, value, mask, bias, scale, dropout)
    allowed = None if mask is None else mask.dense(B, H, T, S, query.device)
    if bias is None:
        return fused(query, key, value, allowed=allowed, scale=scale, dropout=dropout)
    if allowed is not None:
        return masked(query, key, value, allowed, bias, scale, dropout)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout, scale=scale)


def _plain(query, key, value, bias, scale, dropout):
    """Two matrix products. No query may be kept from every key by an infinite bias."""
    scores = query @ key.mT
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    scores = scores * scale if bias is None else torch.add(bias, scores, alpha=scale)
    weights = scores.softmax(-1).type_as(value)
    return (dropped(weights, dropout) if dropout else weights) @ value


# From so many positions on, a GPU computes patterns by FlexAttention: in fewer there are few blocks of 128 to leave
# out, and each kernel takes seconds to compile. Not measured.
_LONG = 1024


def _patterned(query, key, value, pattern, scale, dropout):
    """One pattern of the same T positions; a causal one leaves out as much in torch's own kernel."""
    is_long = query.shape[-2] >= _LONG and type(pattern) is not Causal
    if _kernel == "flex" or (is_long and not dropout and takes(query, value)):
        return patterned(query, key, value, pattern, scale)
    return sparse(query, key, value, pattern, scale, dropout)


def _variable_length(query, key, value, packed, pattern, scale, dropout):
    """Packed sequences [1, H, N, K], in a GPU's kernel for them, or each group of like length as one padded block."""
    if _kernel == "fastest" and (pattern is None or type(pattern) is Causal) and takes_packed(query, value):
        starts, is_causal = packed.boundaries(query.device), pattern is not None
        return fused_packed(
            *(query, key, value, starts, packed.longest), is_causal=is_causal, scale=scale, dropout=dropout
        )
    blocks = packed.few_blocks if query.is_cuda else packed.blocks
    sides = (blocks.queries, blocks.keys, blocks.keys)
    padded = (side.pad(x.squeeze(0).transpose(0, 1)) for side, x in zip(sides, (query, key, value), strict=True))
    results = []
    for group, *parts in zip(blocks.groups, *padded, strict=True):
        queries, keys, values = (x.transpose(1, 2) for x in parts)  # [G, H, T, K]
        result = _block(queries, keys, values, group, pattern, scale, dropout)
        results.append(result.transpose(1, 2))
    return blocks.queries.pack(results).transpose(0, 1)[None]


# Up to this many scores a head, plain matrix products are faster on a CPU than the fused kernel; in bfloat16 they are
# for all.
_SMALL = 96 * 96
# Scores which plain products compute at a time: those of a few sequences, which stay in the processor's cache.
_ROOM = 1 << 20


def _block(query, key, value, group, pattern, scale, dropout):
    """One padded block, [G, H, T, K]."""
    is_large = query.is_cuda or _kernel == "flex" or query.shape[-2] * key.shape[-2] > _SMALL
    # what follows a shorter sequence is no past of its own; plain products cannot leave a query without keys
    if pattern is not None and (is_large or not pattern.sees_itself):
        return _patterned(query, key, value, pattern, scale, dropout)
    bias = group.bias(pattern, query.shape[1], query.device)
    if query.is_cuda or (is_large and not dropout and query.dtype != torch.bfloat16):
        bias = bias if bias is None else bias.to(query.dtype)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout, scale=scale)
    size = max(1, _ROOM // (query.shape[1] * query.shape[2] * key.shape[2]))
    # products read heads which lie together up to twice as fast
    queries, keys, values = (x.contiguous().split(size) for x in (query, key, value))
    biases = [bias] * len(queries) if bias is None or bias.ndim < 4 or len(bias) == 1 else bias.split(size)
    parts = [_plain(*own, scale, dropout) for own in zip(queries, keys, values, biases, strict=True)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
