"""Dropout which is cheap on a CPU."""

import torch
from torch import Tensor, nn

_LEVELS = 1 << 16


class Dropout(nn.Module):
    """Zero each value with probability `rate`, and scale the others up (Srivastava et al. 2014).

    On a CPU torch draws one random number a value, which costs as much as a small matrix product; here 16 random bits
    decide, so the rate is rounded to a multiple of 2**-16 and the scale is that of the rounded rate.
    """

    def __init__(self, rate: float):
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"a dropout rate lies in [0, 1), got {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, unchanged in evaluation."""
        if not self.training or self.rate == 0.0:
            return x
        if x.is_cuda:
            return nn.functional.dropout(x, self.rate)
        dropped = min(round(self.rate * _LEVELS), _LEVELS - 1)
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        return x * (bits >= dropped - _LEVELS // 2) * (_LEVELS / (_LEVELS - dropped))

    def extra_repr(self) -> str:
        """The rate."""
        return f"rate={self.rate}"
