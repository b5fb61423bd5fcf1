"""The shuffled order which needs no memory."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from regard.data.order import permuted


@given(size=some.integers(1, 3000), seed=some.integers(0, 2**63))
def test_every_index_comes_once(size, seed):
    assert sorted(permuted(np.arange(size), size, seed)) == list(range(size))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 255, 256, 257, 65_535, 65_537, 1_000_003])
def test_every_index_comes_once_around_powers(size):
    assert np.array_equal(np.sort(permuted(np.arange(size), size, 1)), np.arange(size))


def test_an_index_is_put_in_the_same_place_alone_and_among_others():
    whole = permuted(np.arange(1000), 1000, (3, 4))
    assert [int(permuted(np.array([index]), 1000, (3, 4))[0]) for index in range(1000)] == whole.tolist()


def test_seeds_give_different_orders():
    orders = {tuple(permuted(np.arange(50), 50, (seed, epoch)).tolist()) for seed in range(20) for epoch in range(20)}
    assert len(orders) == 400


def test_all_orders_of_four_are_about_equally_frequent():
    counts = dict.fromkeys(permutations(range(4)), 0)
    for seed in range(4800):
        counts[tuple(permuted(np.arange(4), 4, seed).tolist())] += 1
    reached = [count for count in counts.values() if count]
    chi_squared = sum((count - 200) ** 2 / 200 for count in counts.values())
    assert len(reached) == 24
    assert chi_squared < 60  # 23 degrees of freedom: exceeded by chance once in 30,000


def test_neighbours_are_scattered():
    order = permuted(np.arange(100_000), 100_000, 5).astype(float)
    correlation = np.corrcoef(order[:-1], order[1:])[0, 1]
    assert abs(correlation) < 0.015  # 5 standard deviations of 1/sqrt(100,000)


def test_the_greatest_sizes_need_no_memory():
    size = 2**62 + 12345
    some_places = permuted(np.array([0, 1, size - 1]), size, 0)
    assert len(set(some_places.tolist())) == 3
    assert 0 <= some_places.min() <= some_places.max() < size


@pytest.mark.parametrize("index", [-1, 5])
def test_an_index_outside_is_an_error(index):
    with pytest.raises(ValueError, match=r"range\(5\)"):
        permuted(np.array([index]), 5, 0)


def test_the_order_is_the_same_for_ever():
    """A run goes on after an update of numpy or of the machine; these numbers were computed with plain integers."""
    assert permuted(np.arange(10), 10, 7).tolist() == _by_hand(10, 7)
    assert permuted(np.arange(97), 97, (1, 2, 3)).tolist() == _by_hand(97, (1, 2, 3))


def _by_hand(size, seed):
    """The same permutation in Python's integers, one index at a time."""
    mask = 2**64 - 1

    def mixed(value):
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
        return value ^ (value >> 31)

    side = next(side for side in range(1, size + 1) if side * side >= size)
    other = next(other for other in range(1, size + 1) if side * other >= size)
    keys = [int(key) for key in np.random.SeedSequence(seed).generate_state(8, np.uint64)]
    result = []
    for index in range(size):
        value = index
        while True:
            right, left = divmod(value, side)
            for first, second in zip(keys[::2], keys[1::2], strict=True):
                left = (left + mixed(right ^ first)) % side
                right = (right + mixed(left ^ second)) % other
            value = right * side + left
            if value < size:
                break
        result.append(value)
    return result
