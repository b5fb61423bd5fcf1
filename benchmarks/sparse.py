"""Sparse patterns of attention.

Positions a second, forward and backward, of one sequence with 4 heads of 64 in float32. regard computes the blocks
which a pattern allows; the peer is torch's fused dense attention, causal, which is what one uses without them. The
stride is the root of the length, the band 256 wide; a fixed block ends with 8 cells which sum it up. The last rows are
by how much the time grows from one length to sixteen times it, as the exponent of the length: 2 where every pair is
computed.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import Workload, alternate
from benchmarks.results import Outcome, Row
from regard.attention.attend import attend
from regard.attention.masks import Pattern, banded, fixed, strided

DENSE = "dense, causal"
TARGETS = {("banded", 8192): 4.0, ("strided", 8192): 4.0}
GROWTH = {"banded": 1.6, "strided": 1.6}


def compare(
    *,
    seconds: float,
    lengths: Sequence[int] = (4096, 8192, 16384),
    ends: tuple[int, int] = (2048, 32768),
    heads: int = 4,
    width: int = 64,
    band: int = 256,
) -> Outcome:
    """Banded, strided and fixed beside dense, and how each grows.

    Args:
        lengths: at which they are measured beside dense attention.
        ends: the lengths between which growth is measured.
    """
    rows: list[Row] = []
    profiled: Workload | None = None
    for length in lengths:
        inputs, patterns = _inputs(length, heads, width), _patterns(length, band)
        workloads = [Workload(name, _ours(inputs, pattern)) for name, pattern in patterns.items()]
        profiled = profiled or workloads[1]
        speeds = alternate(f"{length:,} positions", [*workloads, Workload(DENSE, _dense(inputs))], seconds=seconds)
        for name in patterns:
            both = {"regard": speeds[name], DENSE: speeds[DENSE]}
            rows.append(Row.beside(f"{name}, {length:,}", "positions/s", both, DENSE, TARGETS.get((name, length))))
    workloads = [
        Workload(f"{name}, {length}", _ours(_inputs(length, heads, width), pattern))
        for length in ends
        for name, pattern in _patterns(length, band).items()
    ]
    speeds = alternate("growth", workloads, seconds=seconds)
    for name in _patterns(ends[0], band):
        first, last = (speeds[f"{name}, {length}"] for length in ends)
        exponent = 1 + math.log(first.over(last)) / math.log(ends[1] / ends[0])
        work = f"{name}, growth from {ends[0]:,} to {ends[1]:,}"
        rows.append(Row(work, "exponent", exponent, target=GROWTH.get(name), at_most=True, rounds=len(first.rounds)))
    return Outcome(rows, {"heads": heads, "width of a head": width, "band": band}, profiled)


def _patterns(length: int, band: int) -> dict[str, Pattern]:
    """The patterns for a length."""
    stride = math.isqrt(length)
    return {"banded": banded(band), "strided": strided(stride), "fixed": fixed(stride, min(8, stride))}


def _inputs(length: int, heads: int, width: int) -> list[Tensor]:
    """Queries, keys and values."""
    torch.manual_seed(1)
    return [torch.randn(1, heads, length, width, requires_grad=True) for _ in range(3)]


def _ours(inputs: Sequence[Tensor], pattern: Pattern):
    """Forward and backward with a pattern."""

    def run(_: int) -> int:
        torch.autograd.grad(attend(*inputs, mask=pattern).sum(), inputs)
        return inputs[0].shape[2]

    return run


def _dense(inputs: Sequence[Tensor]):
    """Forward and backward over all pairs."""

    def run(_: int) -> int:
        torch.autograd.grad(F.scaled_dot_product_attention(*inputs, is_causal=True).sum(), inputs)
        return inputs[0].shape[2]

    return run
