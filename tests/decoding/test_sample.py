"""Drawing the next token, against distributions worked out by hand."""

import pytest
import torch
from torch.testing import assert_close

from regard.decoding.sample import Sampling

PROBABILITIES = torch.tensor([0.1, 0.4, 0.05, 0.25, 0.2], dtype=torch.float64)
DRAWS = 20_000


def frequencies(sampling: Sampling, is_there=None) -> torch.Tensor:
    """How often each token is drawn from evenly spread chances."""
    chances = (torch.arange(DRAWS, dtype=torch.float64) + 0.5) / DRAWS
    scores = PROBABILITIES.log().expand(DRAWS, -1)
    is_there = None if is_there is None else torch.tensor(is_there).expand(DRAWS, -1)
    return sampling.choose(scores, chances, is_there).bincount(minlength=5) / DRAWS


def test_tokens_are_drawn_as_often_as_they_are_probable():
    assert_close(frequencies(Sampling()).double(), PROBABILITIES, atol=1e-4, rtol=0)


def test_a_temperature_of_a_half_squares_probabilities():
    wanted = PROBABILITIES.square() / PROBABILITIES.square().sum()
    assert_close(frequencies(Sampling(temperature=0.5)).double(), wanted, atol=1e-4, rtol=0)


def test_a_temperature_of_zero_takes_the_most_probable():
    assert frequencies(Sampling(temperature=0.0)).tolist() == [0, 1, 0, 0, 0]
    assert frequencies(Sampling(top_k=1)).tolist() == [0, 1, 0, 0, 0]


def test_the_k_most_probable_keep_their_proportions():
    wanted = torch.tensor([0, 0.4, 0, 0.25, 0], dtype=torch.float64) / 0.65
    assert_close(frequencies(Sampling(top_k=2)).double(), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.3, [1]), (0.4, [1]), (0.41, [1, 3]), (0.84, [1, 3, 4]), (0.96, [0, 1, 2, 3, 4])]
)
def test_the_fewest_tokens_which_have_the_probability_are_kept(top_p, kept):
    wanted = torch.zeros(5, dtype=torch.float64)
    wanted[kept] = PROBABILITIES[kept] / PROBABILITIES[kept].sum()
    assert_close(frequencies(Sampling(top_p=top_p)).double(), wanted, atol=1e-4, rtol=0)


def test_a_penalty_lowers_scores_of_either_sign_of_tokens_which_are_there():
    sampling = Sampling(repetition_penalty=2.0, temperature=0.0)
    scores = torch.tensor([[4.0, 3.0, -1.0], [-1.0, -1.5, -9.0]])
    is_there = torch.tensor([[True, False, False], [True, False, False]])
    assert sampling.choose(scores, torch.zeros(2), is_there).tolist() == [1, 1]


def test_chances_at_the_edges_draw_tokens_which_can_be_drawn():
    scores = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]] * 2)
    assert Sampling().choose(scores, torch.tensor([0.0, 1.0 - 2**-24])).tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("least", [1e-37, 1e-40, 1e-46, 1e-320])
def test_what_is_too_small_for_the_type_keeps_the_best_token(least, dtype):
    scores = torch.tensor([[-700.0, 900.0, 899.0], [-3.0, -900.0, -2.0]], dtype=dtype)
    for chance in (0.0, 1.0 - 2**-24):
        for sampling in (Sampling(temperature=least), Sampling(top_p=least), Sampling(temperature=least, top_k=2)):
            assert sampling.choose(scores, torch.full((2,), chance)).tolist() == [1, 2], sampling


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -0.1}, "temperature must be a number from 0 on"),
        ({"temperature": float("nan")}, "temperature must be a number from 0 on, got nan"),
        ({"top_k": -1}, "top_k must not be negative"),
        ({"top_p": 0.0}, r"top_p must lie in \(0, 1\]"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be a number above 0"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty must be a number above 0, got nan"),
    ],
)
def test_values_out_of_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**fields)
