"""Which tokens are predicted, in which order, and what may be seen of whom."""

from collections import Counter
from itertools import pairwise, permutations
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from regard.attention.masks import permuted
from regard.data.corpus import Piece
from regard.data.masking import word_spans
from regard.data.permutation import Lane, Permuting, may_attend
from regard.data.sentence_store import SentenceStore
from regard.text.tokenizer import Tokenizer

LETTERS = Tokenizer.train(["".join(map(chr, range(97, 123)))], kind="characters")
SPECIAL = {0, 1}
BEGINS = [id < 30 for id in range(40)]  # the last ten go on with a word
texts = some.lists(some.integers(2, 39), min_size=1, max_size=80)
kinds = some.lists(some.sampled_from(["read", "predicted", "special"]), min_size=1, max_size=20)


def ordered(first, second, window, seed):
    """Order, targets and ranked tokens of a sequence of two parts, given as kinds."""
    both = np.array(first + second)
    order = Permuting(window=window).order(both != "read", (len(first), len(second)), Random(seed))
    return torch.from_numpy(order), torch.from_numpy(both == "predicted"), torch.from_numpy(both != "read")


def forbidden_in_the_authors_code(part, window, random):
    """perm_mask of one part, from the description of `_local_perm`, element by element."""
    permutation = list(range(min(window, len(part))))
    random.shuffle(permutation)
    index = [place // window * window + permutation[place % window] for place in range(len(part))]
    index = [-1 if kind == "read" else number for kind, number in zip(part, index, strict=True)]
    own = [number + (kind != "predicted") for kind, number in zip(part, index, strict=True)]
    return [[own[i] <= index[j] and part[j] != "read" for j in range(len(part))] for i in range(len(part))]


@given(kinds, kinds, some.integers(1, 25), some.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_tokens_see_what_they_see_in_the_authors_code(first, second, window, seed):
    random = Random(seed)
    parts = [forbidden_in_the_authors_code(part, window, random) for part in (first, second)]
    allowed = torch.zeros(len(first) + len(second), len(first) + len(second), dtype=torch.bool)
    allowed[: len(first), : len(first)] = ~torch.tensor(parts[0])
    allowed[len(first) :, len(first) :] = ~torch.tensor(parts[1])
    allowed[len(first) :, : len(first)] = True  # the second part sees all of the first, which sees none of it
    order, is_target, _ = ordered(first, second, window, seed)
    assert torch.equal(may_attend(order, is_target), allowed)
    own = torch.eye(len(order), dtype=torch.bool)
    places = torch.arange(len(order))
    content = permuted(order[None], sees_itself=True).allows(0, 0, places[:, None], places[None])
    assert torch.equal(content, allowed | own)
    query = permuted(order[None], sees_itself=False).allows(0, 0, places[:, None], places[None])
    assert torch.equal(query[is_target], allowed[is_target])


@given(kinds, kinds, some.integers(1, 25), some.integers(0, 99), some.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_no_token_is_told_to_its_own_prediction_or_to_an_earlier_one_through_any_layer(first, second, window, seed, n):
    order, is_target, is_ranked = ordered(first, second, window, seed)
    seen = may_attend(order, is_target)
    content = seen | torch.eye(len(order), dtype=torch.bool)
    told = torch.linalg.matrix_power(content.float(), n - 1) if n > 1 else torch.eye(len(order))
    reaches = (seen.float() @ told) > 0  # whether j is told to the query of i in layer n
    later = order[None, :] >= order[:, None]
    assert not (reaches & later & is_target[:, None] & is_ranked[None, :]).any()
    assert not reaches[: len(first), len(first) :].any()


def test_a_batch_of_orders_gives_what_each_gives_alone():
    rows = [ordered(["read", "predicted"] * 4, ["special", "predicted"] * 3, 4, seed)[:2] for seed in (1, 2)]
    order, is_target = (torch.stack(column) for column in zip(*rows, strict=True))
    assert torch.equal(may_attend(order, is_target), torch.stack([may_attend(*row) for row in rows]))


def test_windows_stay_in_their_order_and_have_one_permutation():
    order = Permuting(window=4).order(np.ones(18, bool), (10, 8), Random(3))
    windows = [order[start:stop] for start, stop in ((0, 4), (4, 8), (8, 10), (10, 14), (14, 18))]
    assert all(one.max() < other.min() for one, other in pairwise(windows))
    ranks = [np.argsort(np.argsort(window)).tolist() for window in windows]
    assert ranks[0] == ranks[1]
    assert ranks[3] == ranks[4]
    assert ranks[2] == np.argsort(np.argsort(windows[0][:2])).tolist()


def test_all_permutations_of_a_window_are_drawn_as_often():
    random = Random(4)
    seen = Counter(tuple(Permuting(window=3).order(np.ones(3, bool), (3,), random).tolist()) for _ in range(6000))
    assert set(seen) == set(permutations((1, 2, 3)))
    assert all(count == pytest.approx(1000, abs=150) for count in seen.values())


def test_of_512_tokens_85_are_predicted_as_in_the_authors_code():
    assert Permuting().goals(512, 256) == (43, 42)


@given(some.integers(6, 700), some.data())
def test_goals_are_in_proportion_and_leave_something_to_read(length, data):
    reuse = data.draw(some.integers(1, length - 5))
    first, second = Permuting(one_in=2).goals(length, reuse)
    assert 0 <= first <= reuse
    assert 0 <= second <= length - reuse - 3
    first, second = Permuting().goals(length, reuse)
    assert first + second in (max(1, length // 6), max(1, length // 6) - 1)
    assert abs(first - length // 6 * reuse / length) <= 1


@given(texts, some.floats(0, 1), some.booleans(), some.sampled_from([1, 2, 6]), some.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_just_as_many_tokens_are_chosen_as_are_wanted(ids, share, in_words, context, seed):
    ids = [*ids, 1, *ids[::2], 1, 0]
    goal = int((len(ids) - 3) * share)
    chosen = Permuting(BEGINS if in_words else None, context=context).chosen(ids, SPECIAL, goal, Random(seed))
    assert len(chosen) == goal
    assert chosen == sorted(set(chosen))
    assert not any(ids[place] in SPECIAL for place in chosen)


def test_spans_are_whole_words():
    ids = [5, 35] * 120  # words of two pieces
    for seed in range(50):
        chosen = set(Permuting(BEGINS, context=1).chosen(ids, SPECIAL, 40, Random(seed)))
        assert all(len(chosen & set(range(*span))) in (0, 2) for span in word_spans(ids, SPECIAL, BEGINS))


def test_without_words_each_token_is_one():
    ids = [5, 35] * 120
    chosen = Permuting(context=1).chosen(ids, SPECIAL, 40, Random(1))
    assert any(len(set(chosen) & {place, place + 1}) == 1 for place in range(0, 240, 2))


def test_spans_have_the_lengths_which_they_are_drawn_with():
    ids, random, lengths = [5] * 3000, Random(5), Counter()
    for _ in range(20):
        chosen = Permuting(context=40).chosen(ids, SPECIAL, 60, random)
        runs = np.split(np.array(chosen), np.flatnonzero(np.diff(chosen) > 1) + 1)
        lengths.update(len(run) for run in runs[:-1])  # the last one is what the goal leaves
    total = lengths.total()
    shares = [lengths[n] / total for n in range(1, 6)]
    assert shares == pytest.approx([60 / 137 / n for n in range(1, 6)], abs=0.08)


@pytest.mark.parametrize("pieces", [1, 3])
def test_the_end_of_a_text_is_predicted_as_often_as_the_rest(pieces):
    ids, random, seen = ([5] + [35] * (pieces - 1)) * (240 // pieces), Random(6), np.zeros(240)
    for _ in range(1500):
        seen[Permuting(BEGINS).chosen(ids, SPECIAL, 40, random)] += 1
    fifths = seen.reshape(5, -1).sum(1) / seen.sum()
    assert fifths == pytest.approx([0.2] * 5, abs=0.035)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Sentences of 1 to 6 letters."""
    chance = Random(7)
    lines = ["".join(chance.choices("abcdefgh", k=chance.randint(1, 6))) for _ in range(300)]
    folder = tmp_path_factory.mktemp("store") / "store"
    return SentenceStore.build(folder, [Piece("\n".join(lines), "x", 1)], LETTERS, sentences="lines")


def boundaries(lane):
    """Places in a lane where another sentence begins, found one by one."""
    ends = set(lane.store.bounds(0))
    places = range(len(lane) + 1)
    return [place for place in places if (lane.stop - place if lane.is_backward else lane.start + place) in ends]


@pytest.mark.parametrize("is_backward", [False, True])
def test_a_lane_tells_ids_and_sentences_as_they_are_read(store, is_backward):
    lane = Lane(store, 100, 180, is_backward)
    ids = store.ids(100, 180)[:: -1 if is_backward else 1]
    found = boundaries(lane)
    for first in range(0, 80, 3):
        for last in range(first + 1, 81, 5):
            assert lane.ids(first, last) == ids[first:last]
            assert lane.cuts(first, last) == [place for place in found if first < place < last]
        assert lane.sentence(first) == max((place for place in found if place <= first), default=0)


@pytest.mark.parametrize("is_backward", [False, True])
def test_two_segments_follow_one_another_half_the_time(store, is_backward):
    lane, everywhere = Lane(store, 100, 600, is_backward), Lane(store, 0, store.tokens, is_backward)
    found, random, goes_on, begins = boundaries(lane), Random(8), 0, Counter()
    sentences = [everywhere.ids(place, min(place + 40, store.tokens)) for place in boundaries(everywhere)]
    for _ in range(600):
        first, second = lane.segments(50, 40, random)
        assert len(first) + len(second) == 40
        assert first == lane.ids(50, 50 + len(first))
        assert 50 + len(first) in found
        begins[len(first)] += 1
        goes_on += second == lane.ids(50 + len(first), 90)
        assert any(sentence[: len(second)] == second for sentence in sentences)
    assert goes_on == pytest.approx(300, abs=50)  # 4 deviations of a coin
    assert len(begins) == len(lane.cuts(50, 90))


def test_a_sentence_without_end_is_cut(tmp_path):
    store = SentenceStore.build(tmp_path / "store", [Piece("abcdefgh" * 20, "x", 1)], LETTERS, sentences="lines")
    middles = {len(Lane(store, 0, 160).segments(8, 10, Random(seed))[0]) for seed in range(99)}
    assert middles == set(range(1, 10))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"one_in": 1}, "one_in must be 2 or more"),
        ({"longest": 0}, "longest must be 1 or more, got 0"),
        ({"context": 0}, "context must be 1 or more, got 0"),
        ({"window": 0}, "window must be 1 or more, got 0"),
    ],
)
def test_permuting_which_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Permuting(**options)
