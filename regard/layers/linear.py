"""Products with a weight matrix, each in the way which is fastest on the machine.

On a processor torch hands products of float32 to MKL, which keeps its AVX-512 for Intel's own processors, and which
shares out rows among threads, not the matrix, so that few rows leave threads idle. Where that costs more than half of
the speed, products go to oneDNN, or each thread is given its share of the matrix here.
"""

from functools import cache

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

# Up to so many rows a plain product leaves threads idle.
_FEW = 256
# Values below which a matrix is read faster than threads are woken.
_LARGE = 1 << 16
# Multiplications below which the call costs more than another library saves.
_MANY = 1 << 19


@cache
def prefers_onednn() -> bool:
    """Whether oneDNN multiplies float32 faster than MKL here: on processors with AVX-512 which are not Intel's."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and "Intel" not in capabilities.get("cpu_name", "Intel")
    )


def has_bfloat16_products() -> bool:
    """Whether the processor multiplies bfloat16 matrices itself."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W' + b: [..., I] and [O, I] -> [..., O]."""
    if torch.compiler.is_compiling() or x.dtype != weight.dtype or x.device.type != "cpu":
        return linear(x, weight, bias)
    if x.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu"):
        return linear(x, weight, bias)
    rows = x.numel() // x.shape[-1]
    if _suits_onednn(rows, weight):
        if torch.is_grad_enabled():  # in rows, for what a function of its own gives must not be a view
            return _Product.apply(x.reshape(rows, -1), weight, bias).view(*x.shape[:-1], -1)
        return _onednn(x, weight, bias)
    threads = torch.get_num_threads()
    if threads == 1 or not 0 < rows <= _FEW or weight.numel() < _LARGE or torch.is_grad_enabled():
        return linear(x, weight, bias)
    count, flat = len(weight) // threads * threads, x.reshape(rows, -1)
    shares = torch.bmm(flat.expand(threads, -1, -1), weight[:count].view(threads, -1, flat.shape[1]).mT)
    if rows == 1 and count == len(weight):  # the shares lie one behind the other as they are
        result = shares
    else:
        result = torch.cat([*shares, linear(flat, weight[count:])] if count < len(weight) else [*shares], 1)
    result = result.view(*x.shape[:-1], len(weight))
    return result if bias is None else result.add_(bias)


def multiply(a: Tensor, b: Tensor, result: Tensor, *, adds: bool = False) -> None:
    """Write A B of matrices [N, I] and [I, O] into `result` [N, O], or add it to what is there; without a gradient."""
    if a.device.type == "cpu" and _suits_onednn(len(a), b):
        found = _onednn(a, b.mT)
    elif a.dtype == result.dtype:
        torch.addmm(result, a, b, beta=int(adds), out=result)
        return
    else:
        found = a @ b
    if adds:
        result += found
    else:
        result.copy_(found)


def _suits_onednn(rows: int, matrix: Tensor) -> bool:
    """Whether the product of so many rows with a matrix is faster in oneDNN."""
    return matrix.dtype == torch.float32 and rows * matrix.numel() >= _MANY and prefers_onednn()


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W' + b in oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Product(torch.autograd.Function):
    """A product of rows [N, I] whose gradients are computed as it is."""

    @staticmethod
    def forward(ctx, x, weight, bias):  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            _onednn(gradient, weight.mT) if of_x else None,
            _onednn(gradient.mT, x.mT) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


class Linear(nn.Linear):
    """A linear layer which computes its `product`."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return product(input, self.weight, self.bias)
