"""Products with a weight matrix, shared out among threads also where the rows are few, as in decoding."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

# Up to so many rows a plain product leaves threads idle: the library below shares out rows, not the matrix.
_FEW = 256
# Values below which a matrix is read faster than threads are woken.
_LARGE = 1 << 16


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W' + b: [..., I] and [O, I] -> [..., O].

    A processor reads a matrix once for a few rows, so that the speed of memory decides; each thread then takes a share
    of the matrix. With gradients it is the plain product.
    """
    if torch.compiler.is_compiling():
        return linear(x, weight, bias)
    threads, rows = torch.get_num_threads(), x.numel() // x.shape[-1]
    if (
        threads == 1
        or not 0 < rows <= _FEW
        or weight.numel() < _LARGE
        or x.device.type != "cpu"
        or x.dtype not in (torch.float32, torch.float64)
        or x.dtype != weight.dtype
        or torch.is_grad_enabled()
        or torch.is_autocast_enabled("cpu")
    ):
        return linear(x, weight, bias)
    count, flat = len(weight) // threads * threads, x.reshape(rows, -1)
    shares = torch.bmm(flat.expand(threads, -1, -1), weight[:count].view(threads, -1, flat.shape[1]).mT)
    if rows == 1 and count == len(weight):  # the shares lie one behind the other as they are
        result = shares
    else:
        result = torch.cat([*shares, linear(flat, weight[count:])] if count < len(weight) else [*shares], 1)
    result = result.view(*x.shape[:-1], len(weight))
    return result if bias is None else result.add_(bias)


class Linear(nn.Linear):
    """A linear layer which computes its `product`."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return product(input, self.weight, self.bias)
