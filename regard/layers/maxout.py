"""The deep output of the recurrent translators."""

from torch import Tensor


def maxout(x: Tensor) -> Tensor:
    """The larger of each pair of neighbours, [..., 2 D] -> [..., D] (Goodfellow et al. 2013)."""
    return x.unflatten(-1, (-1, 2)).amax(-1)
