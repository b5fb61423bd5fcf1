"""Verdicts against numbers from a table of Student's t."""

import pytest

from regard.compare.verdict import Difference, Spread, ranking, verdicts

FOUR, TWO = 2.776, 4.303  # t of 97.5 % with four and with two degrees of freedom


def test_a_spread_is_median_and_range():
    assert Spread.of([3.0, 1.0, 2.5]) == Spread(2.5, 1.0, 3.0)
    assert Spread.of([3.0, 1.0]).median == 2.0


def test_three_seeds_each_by_hand():
    # variances 1 and 1: the error of the difference is sqrt(1/3 + 1/3) = 0.8165, with 4 degrees of freedom
    found = Difference.of([4.0, 5.0, 6.0], [1.0, 2.0, 3.0])
    assert found.mean == pytest.approx(3.0)
    assert found.margin == pytest.approx(FOUR * 0.8165, abs=1e-3)
    assert found.is_clear
    assert not Difference.of([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]).is_clear  # 2.0, and the margin is 2.27


def test_two_seeds_each_by_hand():
    # variances 2 and 2: sqrt(2/2 + 2/2) = 1.4142, with 2 degrees of freedom
    found = Difference.of([10.0, 12.0], [0.0, 2.0])
    assert (found.mean, found.margin) == (pytest.approx(10.0), pytest.approx(TWO * 1.4142, abs=1e-3))
    assert found.is_clear
    assert not Difference.of([6.0, 8.0], [0.0, 2.0]).is_clear


def test_one_seed_decides_nothing():
    found = Difference.of([30.0], [1.0, 2.0])
    assert (found.mean, found.margin, found.is_clear) == (28.5, None, False)


def test_seeds_which_are_all_the_same_differ_by_what_they_differ():
    assert Difference.of([2.0, 2.0], [1.0, 1.0]) == Difference(1.0, 0.0)
    assert Difference.of([2.0, 2.0], [1.0, 1.0]).is_clear
    assert not Difference.of([2.0, 2.0], [2.0, 2.0]).is_clear


def test_what_is_behind_is_not_clearly_better():
    assert not Difference.of([1.0, 2.0, 3.0], [7.0, 8.0, 9.0]).is_clear


QUALITIES = {"a": [20.0, 20.5, 19.5], "b": [30.0, 31.0, 29.0], "c": [30.5, 31.5, 29.5]}


def test_each_is_held_against_all_above_it_in_words():
    assert ranking(QUALITIES, is_higher_better=True) == ["c", "b", "a"]
    found = verdicts(QUALITIES, "BLEU", is_higher_better=True)
    assert [(one.name, one.better, one.difference.is_clear) for one in found] == [
        ("b", "c", False),
        ("a", "c", True),
        ("a", "b", True),
    ]
    # b and c: sqrt(1/3 + 1/3) with 4 degrees of freedom
    assert str(found[0]) == (
        "b cannot be told apart from c: the means differ by 0.5 BLEU, which is within the spread of the seeds "
        "(95 %: up to 2.27)"
    )
    assert str(found[2]).startswith("a is worse than b by 10 BLEU (95 %: ")


def test_of_a_loss_the_lower_one_is_better():
    assert ranking(QUALITIES, is_higher_better=False) == ["a", "b", "c"]
    found = verdicts(QUALITIES, "bits a byte", is_higher_better=False)
    assert (found[0].name, found[0].better, found[0].difference.is_clear) == ("b", "a", True)
    assert found[0].difference.mean == pytest.approx(10.0)


def test_one_seed_is_said_to_be_one():
    (found,) = verdicts({"a": [3.0], "b": [2.0]}, "BLEU", is_higher_better=True)
    assert str(found) == "b differs from a by 1 BLEU, with one seed, which tells nothing of chance"
