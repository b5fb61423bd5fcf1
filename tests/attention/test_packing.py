"""Packed batches beside lists of lists."""

import pytest
import torch

from regard.attention.packing import Packed

LISTS = [[5, 6, 7], [8], [9, 4]]


def test_packing_keeps_every_sequence():
    packed = Packed.of(LISTS)
    assert packed.tokens.tolist() == [5, 6, 7, 8, 9, 4]
    assert packed.lengths.tolist() == [3, 1, 2]
    assert [x.tolist() for x in packed.unpack(packed.tokens)] == LISTS
    assert len(packed) == 3


def test_places_in_each_sequence():
    packed = Packed.of(LISTS)
    assert packed.starts.tolist() == [0, 3, 4]
    assert packed.positions.tolist() == [0, 1, 2, 0, 0, 1]
    assert packed.is_first.tolist() == [True, False, False, True, True, False]


def test_padded_and_back():
    packed = Packed.of(LISTS)
    padded = packed.padded(0)
    assert padded.tolist() == [[5, 6, 7], [8, 0, 0], [9, 4, 0]]
    again = Packed.from_padded(padded, padded != 0)
    assert torch.equal(again.tokens, packed.tokens)
    assert torch.equal(again.lengths, packed.lengths)


def test_padding_on_the_left_packs_the_same():
    left = torch.tensor([[5, 6, 7], [0, 0, 8], [0, 9, 4]])
    packed = Packed.from_padded(left, left != 0)
    assert [x.tolist() for x in packed.unpack(packed.tokens)] == LISTS


@pytest.mark.parametrize("sequences", [[], [[]], [[1], []]])
def test_no_sequence_may_be_empty(sequences):
    with pytest.raises(ValueError, match="no sequence may be empty"):
        Packed.of(sequences)


@pytest.mark.parametrize("lengths", [[2, 2], [5], [-1, 4], [3, 0]])
def test_lengths_must_fit_the_tokens(lengths):
    with pytest.raises(ValueError, match=r"lengths must add up|no sequence may be empty"):
        Packed(torch.tensor([1, 2, 3]), torch.tensor(lengths))


def test_tokens_are_one_row():
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        Packed(torch.tensor([[1, 2, 3]]), torch.tensor([3]))
