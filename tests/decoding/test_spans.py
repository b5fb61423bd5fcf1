"""From scores of positions to answers, beside a search through all spans."""

import itertools
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from regard.data.squad import Question
from regard.data.squad_windows import Window
from regard.decoding.spans import Beams, Ranked, Span, best_beams, best_spans, decide, decided

CONTEXT = "the man went to the store and the man bought the milk"


def window(words=CONTEXT, *, id="1", asked=2, part=None, judged=None, summary_last=False) -> Window:
    """A window on a context of which each word is a token, as it stands behind (or before) a question."""
    offsets, at = [], 0
    for word in words.split(" "):
        offsets.append((at, at + len(word)))
        at += len(word) + 1
    offsets = np.array(offsets, np.int32)[slice(*(part or (0, None)))]
    size = len(offsets)
    length = asked + size + 3
    return Window(
        question=Question(id, "who", words),
        ids=np.arange(length, dtype=np.int32),
        segments=np.zeros(length, np.int8),
        summary=length - 1 if summary_last else 0,
        first=0 if summary_last else asked + 2,
        offsets=offsets,
        has_most_context=np.ones(size, np.bool_) if judged is None else np.array(judged),
        span=None,
    )


def noise(windows, seed=0) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Scores of starts and ends at random, among which no two sums are equal."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: [3 * torch.randn(len(w), generator=generator, dtype=torch.float64) for w in windows]
    return draw(), draw()


def all_spans(windows, starts, ends, longest):
    """Every admissible span of every window: its text, its characters and its scores."""
    for window, start, end in zip(windows, starts, ends, strict=True):
        size = len(window.offsets)
        for first, last in itertools.product(range(size), range(size)):
            if first <= last < first + longest and window.has_most_context[first]:
                begin, stop = int(window.offsets[first, 0]), int(window.offsets[last, 1])
                scores = float(start[window.first + first]), float(end[window.first + last])
                yield window.question.context[begin:stop], begin, stop, *scores


def brute_force(windows, starts, ends, longest, count):
    """The best spans of one question, no two of the same text."""
    found = sorted(all_spans(windows, starts, ends, longest), key=lambda span: -(span[3] + span[4]))
    best = {span[0]: span for span in reversed(found)}
    return sorted(best.values(), key=lambda span: -(span[3] + span[4]))[:count]


def plain(ranked: Ranked):
    """Spans as `brute_force` has them."""
    return [(span.text, span.start, span.end, span.start_score, span.end_score) for span in ranked.spans]


def two_windows(id="1", **options) -> list[Window]:
    """Two windows which overlap in four words."""
    return [
        window(id=id, part=(0, 8), judged=[True] * 6 + [False] * 2, **options),
        window(id=id, part=(4, 12), judged=[False] * 2 + [True] * 6, **options),
    ]


@given(seed=some.integers(0, 10**6), longest=some.integers(1, 12), count=some.integers(1, 40), is_last=some.booleans())
def test_with_all_candidates_the_best_spans_are_those_of_a_search_through_all(seed, longest, count, is_last):
    windows = two_windows(summary_last=is_last)
    starts, ends = noise(windows, seed)
    options = {"longest_answer": longest, "candidates": 100, "count": count}
    [ranked] = best_spans(windows, starts, ends, **options).values()
    assert plain(ranked) == brute_force(windows, starts, ends, longest, count)


def candidates_of(scores, allowed, number):
    """The positions of the highest scores among those which are allowed."""
    return set(sorted(allowed, key=lambda position: -float(scores[position]))[:number])


@given(seed=some.integers(0, 10**6), candidates=some.integers(1, 8))
def test_with_few_candidates_the_best_spans_are_those_between_them(seed, candidates):
    windows = two_windows()
    starts, ends = noise(windows, seed)
    lowered_starts, lowered_ends = [], []
    for w, start, end in zip(windows, starts, ends, strict=True):
        inside = range(w.first, w.first + len(w.offsets))
        judged = [position for position in inside if w.has_most_context[position - w.first]]
        for kept, scores, allowed in ((lowered_starts, start, judged), (lowered_ends, end, inside)):
            chosen = candidates_of(scores, allowed, candidates)
            kept.append([float(s) if p in chosen else -math.inf for p, s in enumerate(scores)])
    found = brute_force(windows, lowered_starts, lowered_ends, 30, 200)
    wanted = [span for span in found if span[3] + span[4] > -math.inf]
    [ranked] = best_spans(windows, starts, ends, candidates=candidates, count=200).values()
    assert plain(ranked) == wanted


def berts_answers(windows, starts, ends, number, longest):
    """N-best answers by the rules of BERT's code, whose candidates are of all positions."""
    found = []
    for w, start, end in zip(windows, starts, ends, strict=True):
        firsts = sorted(range(len(start)), key=lambda p: -float(start[p]))[:number]
        lasts = sorted(range(len(end)), key=lambda p: -float(end[p]))[:number]
        for first, last in itertools.product(firsts, lasts):
            a, b = first - w.first, last - w.first
            if not (0 <= a < len(w.offsets) and 0 <= b < len(w.offsets)) or not w.has_most_context[a]:
                continue
            if a <= b < a + longest:
                found.append((float(start[first]) + float(end[last]), w.text(first, last)))
    found.sort(key=lambda one: -one[0])
    return list({text: score for score, text in reversed(found)}.items())[::-1]


@given(seed=some.integers(0, 10**6), number=some.integers(1, 20))
def test_every_answer_which_berts_code_finds_is_found(seed, number):
    windows = two_windows()
    starts, ends = noise(windows, seed)
    theirs = berts_answers(windows, starts, ends, number, 4)
    [ranked] = best_spans(windows, starts, ends, candidates=number, longest_answer=4, count=1000).values()
    ours = {span.text: span.score for span in ranked.spans}
    assert all(ours[text] >= score for text, score in theirs)
    if theirs:  # and where its best is not the best of all, that lay outside its candidates
        assert ranked.spans[0].score >= theirs[0][1]
    if number == 20:  # all positions of these windows
        assert ours == dict(theirs)


def test_padding_is_no_answer():
    windows = two_windows()
    starts, ends = noise(windows)
    padded = [torch.cat([scores, torch.full((5,), 99.0)]) for scores in (*starts, *ends)]
    assert best_spans(windows, padded[:2], padded[2:]) == best_spans(windows, starts, ends)
    stacked = torch.nn.utils.rnn.pad_sequence([*starts, *ends], batch_first=True, padding_value=99.0)
    assert best_spans(windows, stacked[:2], stacked[2:]) == best_spans(windows, starts, ends)


def test_scores_of_half_precision_with_gradients_are_read():
    windows = two_windows()
    halved = [[scores.bfloat16() for scores in side] for side in noise(windows)]
    wanted = best_spans(windows, *[[scores.double() for scores in side] for side in halved])
    assert best_spans(windows, *[[scores.requires_grad_() for scores in side] for side in halved]) == wanted


def test_each_question_has_the_answers_of_its_windows():
    one, other = two_windows("one"), two_windows("other")
    mixed = [other[0], one[0], one[1], other[1]]
    starts, ends = noise(mixed)
    ranked = best_spans(mixed, starts, ends)
    assert list(ranked) == ["other", "one"]
    assert ranked["one"] == best_spans(one, starts[1:3], ends[1:3])["one"]
    assert ranked["other"] == best_spans(other, starts[::3], ends[::3])["other"]


def test_the_score_of_no_answer_is_the_lowest_of_the_windows():
    for is_last in (False, True):
        windows = two_windows(summary_last=is_last)
        starts, ends = noise(windows)
        for w, start, end, total in zip(windows, starts, ends, [3.0, -2.0], strict=True):
            start[w.summary], end[w.summary] = total - 1, 1
        [ranked] = best_spans(windows, starts, ends).values()
        assert ranked.null == -2
        assert ranked.null_odds == -2 - ranked.spans[0].score


def test_equal_texts_stand_once_with_the_best_score():
    w = window("to be or not to be")
    starts, ends = torch.zeros(len(w)), torch.zeros(len(w))
    starts[w.first], starts[w.first + 4] = 1, 2
    [ranked] = best_spans([w], [starts], [ends], longest_answer=2).values()
    texts = [span.text for span in ranked.spans]
    assert len(set(texts)) == len(texts)
    [span] = [span for span in ranked.spans if span.text == "to be"]
    assert (span.start, span.end, span.score) == (13, 18, 2)


def test_probabilities_are_the_softmax_of_the_scores():
    windows = two_windows()
    [ranked] = best_spans(windows, *noise(windows), count=5).values()
    weights = [math.exp(span.score) for span in ranked.spans]
    assert [span.probability for span in ranked.spans] == pytest.approx([weight / sum(weights) for weight in weights])


def test_probabilities_of_very_large_scores_are_numbers():
    w = window("two words")
    scores = torch.zeros(len(w)) + 1e6
    scores[w.first] += 1e6
    [ranked] = best_spans([w], [scores], [scores]).values()
    assert ranked.spans[0].probability == 1
    assert sum(span.probability for span in ranked.spans) == 1


def test_a_token_which_is_but_a_space_neither_starts_nor_ends_an_answer():
    w = window("two  words")  # the second token has no characters
    scores = torch.tensor([0.0, 0, 0, 0, 1, 9, 1, 0])
    [ranked] = best_spans([w], [scores], [scores]).values()
    assert {span.text for span in ranked.spans} == {"two", "words", "two  words"}


def test_a_context_without_tokens_has_no_answer():
    w = window("nothing", part=(0, 0))
    scores = torch.ones(len(w))
    [ranked] = best_spans([w], [scores], [scores]).values()
    assert (ranked.spans, ranked.null, ranked.null_odds, ranked.best) == ((), 2, math.inf, "")
    assert decide(ranked, threshold=1e9) == decide(ranked, threshold=math.inf) == ""


def test_a_question_whose_starts_are_all_judged_elsewhere_still_has_an_answer():
    windows = [window(part=(0, 2), judged=[False, False]), window(part=(0, 4))]
    [ranked] = best_spans(windows, *noise(windows)).values()
    assert ranked.best in CONTEXT
    assert ranked.best


def test_no_answer_is_decided_above_the_threshold_alone():
    spans = (Span("man", 4, 7, 1.0, 2.0, 1.0),)
    ranked = Ranked(spans, null=3.5, null_odds=0.5)
    assert decide(ranked) == ""
    assert decide(ranked, 0.5) == "man"
    assert decide(ranked, math.inf) == "man"
    assert decided({"a": ranked, "b": Ranked(spans, 3.0, 0.0)}) == {"a": "", "b": "man"}


@pytest.mark.parametrize("name", ["longest_answer", "candidates", "count"])
def test_numbers_which_are_not_positive_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be positive, got 0"):
        best_spans([], [], [], **{name: 0})


def test_scores_which_do_not_fit_are_refused():
    w = window("two words")
    good = torch.zeros(len(w))
    with pytest.raises(ValueError, match="starts must be of the same windows, got 2 for 1 windows"):
        best_spans([w], [good, good], [good])
    with pytest.raises(ValueError, match=r"ends\[0\] must be 7 numbers, .* got the shape \(6,\)"):
        best_spans([w], [good], [good[1:]])
    with pytest.raises(ValueError, match=r"starts\[0\] must be 7 numbers, .* got nan among them"):
        best_spans([w], [good * math.nan], [good])


def beams_of(windows, starts, ends, number) -> Beams:
    """The best starts of each window, and the best ends after each, whatever the positions are."""
    start_scores, start_places = zip(*(scores.topk(number) for scores in starts), strict=True)
    ends = [
        torch.stack([end.roll(int(place)) for place in places]) for end, places in zip(ends, start_places, strict=True)
    ]
    end_scores, end_places = zip(*(scores.topk(number) for scores in ends), strict=True)
    null = torch.tensor([0.5, -0.25] * (len(windows) // 2))
    stack = torch.stack
    return Beams(stack(start_places), stack(start_scores), stack(end_places), stack(end_scores), null)


def brute_force_beams(windows, beams, longest, count):
    """The best spans of one question's beams, looked through one by one."""
    found = []
    for number, w in enumerate(windows):
        for k, e in itertools.product(*map(range, beams.ends.shape[1:])):
            first, last = int(beams.starts[number, k]) - w.first, int(beams.ends[number, k, e]) - w.first
            if 0 <= first <= last < len(w.offsets) and last - first < longest and w.has_most_context[first]:
                begin, stop = int(w.offsets[first, 0]), int(w.offsets[last, 1])
                scores = float(beams.start_scores[number, k]), float(beams.end_scores[number, k, e])
                found.append((w.question.context[begin:stop], begin, stop, *scores))
    found.sort(key=lambda span: -(span[3] + span[4]))
    best = {span[0]: span for span in reversed(found)}
    return sorted(best.values(), key=lambda span: -(span[3] + span[4]))[:count]


@given(seed=some.integers(0, 10**6), number=some.integers(1, 7), longest=some.integers(1, 9), is_last=some.booleans())
def test_the_best_of_the_beams_are_those_of_a_search_through_them(seed, number, longest, is_last):
    windows = two_windows(summary_last=is_last)
    beams = beams_of(windows, *noise(windows, seed), number)
    [ranked] = best_beams(windows, beams, longest_answer=longest, count=6).values()
    assert plain(ranked) == brute_force_beams(windows, beams, longest, 6)
    assert ranked.null == ranked.null_odds == -0.25


def test_beams_of_each_question_are_its_own():
    windows = [*two_windows("one"), *two_windows("other")]
    random.Random(1).shuffle(windows)
    beams = beams_of(windows, *noise(windows), 5)
    ranked = best_beams(windows, beams)
    for id in ("one", "other"):
        numbers = [number for number, w in enumerate(windows) if w.question.id == id]
        parts = (beams.starts, beams.start_scores, beams.ends, beams.end_scores, beams.null)
        mine = Beams(*(part[numbers] for part in parts))
        assert ranked[id] == best_beams([windows[number] for number in numbers], mine)[id]


def test_an_answer_may_reach_the_last_token_of_a_context():
    w = window("two words", summary_last=True)
    beams = Beams(torch.tensor([[1]]), torch.zeros(1, 1), torch.tensor([[[1]]]), torch.zeros(1, 1, 1), torch.zeros(1))
    assert best_beams([w], beams)["1"].best == "words"


def test_places_of_beams_which_are_not_filled_are_no_answers():
    w = window("two words")
    scores = torch.tensor([[0.0, -math.inf]])
    beams = Beams(torch.tensor([[4, 5]]), scores, torch.full((1, 2, 1), 5), torch.zeros(1, 2, 1), torch.zeros(1))
    assert [span.text for span in best_beams([w], beams)["1"].spans] == ["two words"]


def test_beams_without_an_answer_give_none():
    w = window("two words")
    beams = Beams(torch.tensor([[0]]), torch.zeros(1, 1), torch.tensor([[[0]]]), torch.zeros(1, 1, 1), torch.ones(1))
    ranked = best_beams([w], beams)["1"]
    assert (ranked.spans, ranked.null_odds, decide(ranked, 2.0)) == ((), 1, "")


def test_beams_which_do_not_fit_are_refused():
    parts = [torch.zeros(2, 5), torch.zeros(2, 5), torch.zeros(2, 5, 3), torch.zeros(2, 5, 3), torch.zeros(2)]
    with pytest.raises(ValueError, match="beams must be of the same windows, got 2 for 1 windows"):
        best_beams([window()], Beams(*parts))
    with pytest.raises(ValueError, match="beams must have numbers as scores, got nan"):
        best_beams([window()] * 2, Beams(*[*parts[:4], torch.full((2,), math.nan)]))
    for number in range(5):
        wrong = [part[:1] if number == at else part for at, part in enumerate(parts)]
        with pytest.raises(ValueError, match=r"beams must have the shapes \[W, K\] twice"):
            Beams(*wrong)
