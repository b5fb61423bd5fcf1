"""Where stretches of a long row stand."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def places(starts: Integers, lengths: Integers) -> Integers:
    """The places of stretches which begin at `starts` and have these lengths, end to end: [sum of lengths]."""
    ends = lengths.cumsum()
    return np.repeat(starts - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)
