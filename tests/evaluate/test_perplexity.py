"""Perplexity in cases worked by hand."""

import math

import pytest

from regard.evaluate import perplexity


def test_a_uniform_guess_among_eight_tokens_has_perplexity_eight():
    result = perplexity([3 * math.log(1 / 8), 2 * math.log(1 / 8)], [3, 2], ["ab cd", "ef"])
    assert result.per_token == pytest.approx(8)


def test_words_and_characters_are_those_of_the_raw_text_and_the_end_of_each_sentence():
    result = perplexity([-1.0, -1.0], [3, 2], ["Das ist gut.", "日本"])
    assert (result.tokens, result.words, result.characters) == (5, 4 + 2, 13 + 3)


def test_perplexities_over_different_counts_are_of_one_probability():
    result = perplexity([-20.0, -7.5], [9, 4], ["one two three", "four"])
    for value, count in (
        (result.per_token, result.tokens),
        (result.per_word, result.words),
        (result.per_character, result.characters),
    ):
        assert count * math.log(value) == pytest.approx(27.5)
    assert result.bits_per_character == pytest.approx(math.log2(result.per_character))


def test_an_impossible_reference_makes_the_perplexity_infinite():
    assert perplexity([-math.inf], [2], ["a"]).per_token == math.inf


def test_a_perplexity_beyond_a_float_is_infinite():
    assert perplexity([-1e6], [2], ["a"]).per_token == math.inf


@pytest.mark.parametrize("value", [0.5, math.nan])
def test_what_is_no_log_probability_is_an_error_which_names_the_sentence(value):
    with pytest.raises(ValueError, match="for sentence 2"):
        perplexity([-1.0, value], [1, 1], ["a", "b"])


def test_lists_of_different_length_are_an_error_with_the_counts():
    with pytest.raises(ValueError, match="2, 1 and 2"):
        perplexity([-1.0, -1.0], [1], ["a", "b"])
