"""Matrix products in bfloat16, on every device."""

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from regard.layers.linear import has_bfloat16_products

# The products which models compute, by each of their names.
_PRODUCTS: frozenset[Callable] = frozenset(
    {
        torch.nn.functional.linear,
        torch.nn.functional.scaled_dot_product_attention,
        *(torch.matmul, torch.mm, torch.bmm, torch.addmm, torch.baddbmm),
        *(torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.mm, torch.Tensor.bmm, torch.Tensor.addmm),
    }
)


@contextmanager
def bfloat16(device: torch.device | str):
    """Compute matrix products inside the block, and their gradients, in bfloat16; all else as autocast has it.

    On a processor which has no such products torch emulates them, tens of times slower than those of float32. There
    the inputs are rounded to bfloat16, multiplied in float32, and the result is rounded: what a bfloat16 product with a
    float32 accumulator gives.
    """
    kind = torch.device(device).type
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(kind, torch.bfloat16))
        if kind == "cpu" and not has_bfloat16_products():
            stack.enter_context(_RoundedProducts())
        yield


class _RoundedProducts(TorchFunctionMode):
    """Products of what is bfloat16, or would be under autocast, in float32 from rounded inputs to a rounded result."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func not in _PRODUCTS or not _is_bfloat16((*args, *kwargs.values())):
            return func(*args, **kwargs)
        out = kwargs.pop("out", None)
        with torch.autocast("cpu", enabled=False):
            result = func(*map(_rounded, args), **{name: _rounded(value) for name, value in kwargs.items()})
        return result.bfloat16() if out is None else out.copy_(result)


def _is_bfloat16(values: tuple) -> bool:
    """Whether a product of these would be computed in bfloat16."""
    types = {x.dtype for x in values if isinstance(x, Tensor) and x.is_floating_point()}
    return torch.float64 not in types and (torch.bfloat16 in types or torch.is_autocast_enabled("cpu"))


def _rounded(value: Any) -> Any:
    """A tensor's values as bfloat16 has them, in float32."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return value.bfloat16().float()
