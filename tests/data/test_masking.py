"""Which tokens are hidden, and what stands in their place."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from regard.data.masking import Masking, drawn_size, longest_run, word_spans

CLS, SEP, MASK = 0, 1, 2
SPECIAL = {CLS, SEP}
VOCABULARY = 40
BEGINS = [id < 30 for id in range(VOCABULARY)]  # the last ten go on with a word
ids_of_a_sequence = some.lists(some.integers(3, VOCABULARY - 1), min_size=1, max_size=60).map(
    lambda ids: [CLS, *ids[: len(ids) // 2], SEP, *ids[len(ids) // 2 :], SEP]
)


def masking(**options) -> Masking:
    return Masking(MASK, VOCABULARY, BEGINS, **options)


@given(ids_of_a_sequence, some.integers(0, 4), some.floats(0.05, 0.9), some.integers(0, 9), some.integers(0, 99))
@settings(max_examples=300, deadline=None)
def test_tokens_which_are_hidden_are_told_and_the_others_stand_as_they_were(ids, longest, share, most, seed):
    hidden = masking(longest=longest, share=share, most=most).hide(ids, SPECIAL, Random(seed))
    assert hidden.positions == sorted(set(hidden.positions))
    assert hidden.words == [ids[position] for position in hidden.positions]
    assert not SPECIAL & set(hidden.words)
    restored = list(hidden.ids)
    for position, word in zip(hidden.positions, hidden.words, strict=True):
        restored[position] = word
    assert restored == ids
    limit = max(1, round(len(ids) * share))
    assert len(hidden.positions) <= (min(limit, most) if most else limit)


@given(ids_of_a_sequence, some.integers(0, 99))
def test_as_many_pieces_are_hidden_as_the_share_says(ids, seed):
    hidden = masking().hide(ids, SPECIAL, Random(seed))
    assert len(hidden.positions) == max(1, round(len(ids) * 0.15))  # specials are counted, as in the authors' code


@given(ids_of_a_sequence, some.integers(1, 4), some.integers(0, 99))
def test_a_word_is_hidden_whole_or_not_at_all(ids, longest, seed):
    hidden = set(masking(longest=longest, share=0.4).hide(ids, SPECIAL, Random(seed)).positions)
    for start, stop in word_spans(ids, SPECIAL, BEGINS):
        assert len(hidden & set(range(start, stop))) in (0, stop - start)


def test_words_end_where_another_begins_and_at_special_tokens():
    ids = [CLS, 31, 5, 32, 33, 6, SEP, 34, 35, 7, SEP]
    assert word_spans(ids, SPECIAL, BEGINS) == [(1, 2), (2, 5), (5, 6), (7, 9), (9, 10)]
    assert word_spans(ids, SPECIAL, None) == [(place, place + 1) for place in (1, 2, 3, 4, 5, 7, 8, 9)]


def test_of_ten_hidden_tokens_eight_are_masked_one_is_kept_and_one_is_any_of_the_vocabulary():
    ids, random = [CLS, *[7] * 100, SEP], Random(1)
    seen = Counter()
    for _ in range(4000):
        hidden = masking(share=0.5).hide(ids, SPECIAL, random)
        seen.update(hidden.ids[position] for position in hidden.positions)
    total = seen.total()
    assert total == 4000 * 51
    each = 0.1 / VOCABULARY
    deviation = (0.25 / total) ** 0.5  # at most, of a share
    assert seen[MASK] / total == pytest.approx(0.8 + each, abs=4 * deviation)
    assert seen[7] / total == pytest.approx(0.1 + each, abs=4 * deviation)
    others = [seen[id] / total for id in range(VOCABULARY) if id not in (MASK, 7)]
    assert others == pytest.approx([each] * len(others), abs=5 * (each / total) ** 0.5)


def test_every_place_is_hidden_as_often():
    ids, random = [CLS, *range(3, 23), SEP], Random(2)
    seen = Counter()
    for _ in range(4000):
        seen.update(masking().hide(ids, SPECIAL, random).positions)
    assert [seen[place] / 4000 for place in range(1, 21)] == pytest.approx([3 / 20] * 20, abs=0.03)


def test_runs_of_n_words_are_drawn_as_often_as_one_in_n():
    random = Random(3)
    drawn = Counter(drawn_size(3, random) for _ in range(60_000))
    assert [drawn[n] / 60_000 for n in (1, 2, 3)] == pytest.approx([6 / 11, 3 / 11, 2 / 11], abs=0.01)


def test_words_together_are_hidden_together_more_often_than_words_alone():
    ids, together = [CLS, *range(3, 29), *range(3, 29), SEP], {}
    for longest in (1, 3):
        random, together[longest] = Random(4), 0
        for _ in range(500):
            places = masking(longest=longest).hide(ids, SPECIAL, random).positions
            together[longest] += sum(place + 1 in places for place in places)
    assert together[3] > 2 * together[1]


@given(
    some.lists(some.tuples(some.integers(1, 4), some.booleans()), min_size=1, max_size=12),
    some.integers(0, 11),
    some.integers(1, 6),
    some.integers(0, 9),
)
def test_a_run_is_the_longest_of_whole_words_which_has_room(words, first, size, room):
    spans, place = [], 0
    for length, stands_apart in words:
        place += stands_apart  # a special token is before it
        spans.append((place, place + length))
        place += length
    first = min(first, len(spans) - 1)
    runs = [(spans[first][0], spans[first][0])]
    for last in range(first, min(first + size, len(spans))):
        apart = any(spans[word][1] != spans[word + 1][0] for word in range(first, last))
        if not apart and spans[last][1] - spans[first][0] <= room:
            runs.append((spans[first][0], spans[last][1]))
    assert longest_run(spans, first, size, room) == max(runs, key=lambda run: run[1])


def test_the_same_seed_hides_the_same():
    ids = [CLS, *range(3, 39), SEP]
    for longest in (0, 1, 3):
        one, same, other = (masking(longest=longest).hide(ids, SPECIAL, Random(seed)) for seed in (5, 5, 6))
        assert one == same != other


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Masking(40, 40), "mask must be one of 40 ids, got 40"),
        (lambda: Masking(2, 40, share=0.0), "share must lie between 0 and 1, got 0.0"),
        (lambda: Masking(2, 40, most=-1), "must not be negative, got 0 and -1"),
        (lambda: Masking(2, 40, [True] * 39, longest=3), "begins_word for each of 40 ids, got 39"),
    ],
)
def test_masking_which_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
