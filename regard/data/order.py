"""Chance which can be entered anywhere: a shuffled order, computed place by place, and generators by their keys."""

from collections.abc import Sequence
from math import isqrt
from random import Random

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
ROUNDS = 4  # of two half rounds each


def permuted(indices: Integers, size: int, seed: int | Sequence[int]) -> Integers:
    """Where a pseudo-random permutation of range(size) puts these indices; no memory, and the same on every machine.

    A Feistel network over pairs (left, right) with left < a and right < b, where a·b is the least such product that
    holds `size`; each round adds a hash of one half to the other, and a value outside the range walks on along its
    cycle until it falls inside (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").

    Raises:
        ValueError: if an index is not in range(size).
    """
    indices = np.asarray(indices, dtype=np.int64)
    if len(indices) and (indices.min() < 0 or indices.max() >= size):
        raise ValueError(f"indices must lie in range({size}), got {indices.min()} to {indices.max()}")
    if size < 2 or not len(indices):
        return indices.copy()
    side = np.uint64(isqrt(size - 1) + 1)
    other = np.uint64(-(-size // int(side)))
    keys = np.random.SeedSequence(seed).generate_state(2 * ROUNDS, np.uint64).astype(np.uint64)
    values = _cipher(indices.astype(np.uint64), side, other, keys)
    while (outside := np.flatnonzero(values >= np.uint64(size))).size:
        values[outside] = _cipher(values[outside], side, other, keys)
    return values.astype(np.int64)


def chance(*key: int) -> Random:
    """A generator of its own for each key."""
    return Random(" ".join(map(str, key)))


def _cipher(values: NDArray[np.uint64], side: np.uint64, other: np.uint64, keys: NDArray[np.uint64]):
    """One pass of the network over range(side * other)."""
    right, left = values // side, values % side
    for first, second in keys.reshape(-1, 2):
        left = (left + _mixed(right ^ first) % side) % side
        right = (right + _mixed(left ^ second) % other) % other
    return right * side + left


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
