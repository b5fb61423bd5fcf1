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


def distances(positions: Tensor, width: int) -> Tensor:
    """Distances [...] -> [..., D]: all sines, then all cosines, of distance / 10000^(2i/D).

    Dai et al. 2019, section 3.3, in the order of their code. `width` must be even.
    """
    return sinusoids(positions, width).unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)
