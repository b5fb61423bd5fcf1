"""torch's fused attention: of packed sequences on a GPU, and of blocks; and what stands in for it where torch has none.

That is dropout on a processor.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_LEVELS = 1 << 16
# Queries of a causal block which are computed together; they see no further than the last of them.
_STRETCH = 128
# Values of a head which FlashAttention takes.
_WIDEST = 256


def dropped(x: Tensor, rate: float) -> Tensor:
    """Each value zero with probability `rate`, the others scaled up (Srivastava et al. 2014).

    On a CPU torch draws one random number a value, which costs as much as a small matrix product; here 16 random bits
    decide, so the rate is rounded to a multiple of 2**-16 and the scale is that of the rounded rate.
    """
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    count = min(round(rate * _LEVELS), _LEVELS - 1)
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: x.numel()].view(x.shape)
    # by numbers torch multiplies several times faster than by booleans
    keeps = (bits >= count - _LEVELS // 2).view(torch.int8)
    return (x * keeps).mul_(_LEVELS / (_LEVELS - count))


def fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    allowed: Tensor | None = None,
    is_causal: bool = False,
    scale: float,
    dropout: float,
) -> Tensor:
    """Attention [B, H, T, K] in torch's fused kernel; its parts one by one where weights are dropped on a processor.

    Args:
        allowed: booleans which broadcast to [B, H, T, S].
        is_causal: of as many queries as keys.
    """
    if query.device.type != "cpu" and allowed is not None:
        return masked(query, key, value, allowed, None, scale, dropout)
    if not dropout or query.device.type != "cpu":
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=allowed, is_causal=is_causal, dropout_p=dropout, scale=scale
        )
    if not is_causal:
        return weigh(query @ key.mT * scale, value, allowed, dropout)
    results, above = [], query.new_full((_STRETCH, _STRETCH), -torch.inf).triu(1)
    for queries in query.split(_STRETCH, 2):
        count = queries.shape[2]
        last = sum(result.shape[2] for result in results) + count
        scores = queries @ key[:, :, :last].mT * scale
        scores[..., -count:] += above[:count, :count]
        results.append(weigh(scores, value[:, :, :last], None, dropout))
    return torch.cat(results, 2)


def masked(
    query: Tensor, key: Tensor, value: Tensor, allowed: Tensor, bias: Tensor | None, scale: float, dropout: float
) -> Tensor:
    """torch's fused attention [B, H, T, K], with zeros for a query which may see no key.

    What a GPU's kernels make of such a query differs from one to the next. Here it sees all keys, for nothing.
    """
    if not key.shape[-2]:
        return query.new_zeros(*query.shape[:-1], value.shape[-1])
    sees = allowed.any(-1, keepdim=True)
    allowed = allowed | ~sees
    mask = allowed if bias is None else bias.masked_fill(~allowed, -torch.inf)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale) * sees


def takes_packed(query: Tensor, value: Tensor) -> bool:
    """Whether a GPU's kernel for packed sequences is there for such heads: half precision, of one width, in eights.

    torch's memory-efficient kernel takes other types too, but drops the same weights in all heads and sequences, and
    others in the backward pass (torch 2.11): it tells them apart by a number of keys which it is not given.
    """
    (width, other), is_half = (query.shape[-1], value.shape[-1]), query.dtype in (torch.float16, torch.bfloat16)
    return query.is_cuda and is_half and width == other <= _WIDEST and width % 8 == 0


def fused_packed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: tuple[Tensor, Tensor],
    longest: tuple[int, int],
    *,
    is_causal: bool,
    scale: float,
    dropout: float,
) -> Tensor:
    """FlashAttention of packed sequences [1, H, N, K], which computes no padding.

    torch's public face of it, `varlen_attn`, has no dropout.

    Args:
        starts: where sequences of queries, and of keys, start, with the end of the last, [B + 1] in int32.
        longest: tokens of the longest sequence of queries, and of keys.
        is_causal: of as many queries as keys.
    """
    rows = (x.squeeze(0).transpose(0, 1) for x in (query, key, value))  # [N, H, K]
    result, *_ = torch.ops.aten._flash_attention_forward(
        *(*rows, *starts, *longest, dropout, is_causal, False), scale=scale
    )
    return result.transpose(0, 1).unsqueeze(0)


def additive(allowed: Tensor) -> Tensor:
    """What booleans are as a bias to scores: 0 where a query may look, else -inf."""
    return torch.zeros(allowed.shape, device=allowed.device).masked_fill_(~allowed, -torch.inf)


def weigh(
    scores: Tensor,
    value: Tensor,
    allowed: Tensor | None,
    dropout: float = 0.0,
    record: list[Tensor] | None = None,
) -> Tensor:
    """Softmax over keys, then the weighted sum: the tail shared by additive and dot-product attention."""
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if allowed is None:
        weights = scores.softmax(-1)
    else:  # the product also zeroes rows which may see nothing, and keeps their gradient finite
        weights = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1) * allowed
    weights = weights.type_as(value)
    if record is not None:
        record.append(weights.detach())
    return (dropped(weights, dropout) if dropout else weights) @ value
