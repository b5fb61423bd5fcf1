"""Position encodings."""

import math

import torch
from torch import Tensor


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Positions [...] -> [..., D]: sine at 2i and cosine at 2i + 1, of position / 10000^(2i/D).

    Vaswani et al. 2017, section 3.5. `width` must be even.
    """
    if width % 2:
        raise ValueError(f"sinusoids need an even width, got {width}")
    rates = torch.exp(torch.arange(0, width, 2, device=positions.device) * (-math.log(10000.0) / width))
    angles = positions[..., None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)
