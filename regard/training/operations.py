"""Floating-point operations of an update, counted by torch as it runs.

What is counted are the multiplications and additions of products: of matrices, of vectors, and those inside torch's
fused attention. Whatever is computed twice, to save memory, is counted twice; so is what a padded block of attention
computes beside what is allowed, and a causal mask in the fused kernel counts as the whole square. Softmax, norms,
dropout and the optimiser have no products, and are not counted.

torch's counter does not know all products by which this library computes: matrices added to in place, matrices with
vectors, oneDNN's, and its own fused attention on processors. Their formulas are here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod

import torch
from torch.utils.flop_counter import FlopCounterMode

Shape = Sequence[int]
aten = torch.ops.aten


@contextmanager
def counted() -> Iterator[FlopCounterMode]:
    """Count operations inside the block, backward passes too; `get_total_flops` of what it gives says how many.

    Nothing else changes, but for some microseconds a call.
    """
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        yield counter


def _rows(matrix: Shape, other: Shape, *_: object, **__: object) -> int:
    """A product of matrices [N, I] and [I, O], or of a matrix and a vector [I]."""
    return 2 * prod(matrix) * prod(other[1:])


def _added(total: Shape, matrix: Shape, other: Shape, *_: object, **__: object) -> int:
    """The same, added to something."""
    return _rows(matrix, other)


def _linear(x: Shape, weight: Shape, *_: object, **__: object) -> int:
    """Rows [..., I] with a weight [O, I]."""
    return 2 * prod(x) * weight[0]


def _attention(query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    """Scores, and the weighted sum: QK' and then AV."""
    *batch, queries, width = query
    return 2 * prod(batch) * queries * key[-2] * (width + value[-1])


def _attention_backward(gradient: Shape, query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    """The scores once more, and the gradients of the scores, of values, of queries and of keys."""
    *batch, queries, width = query
    return 2 * prod(batch) * queries * key[-2] * (3 * width + 2 * value[-1])


FORMULAS: dict[object, Callable[..., int]] = {
    aten.addmm_: _added,
    aten.mv: _rows,
    aten.dot: _rows,
    aten.addmv: _added,
    aten.addmv_: _added,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
    FORMULAS[torch.ops.mkldnn._linear_pointwise] = _linear
