"""Beam search beside every possible sentence, beside loops, and by hand."""

import itertools
import math
from dataclasses import dataclass, replace
from math import inf, nan

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import END, TRANSLATING, sentences, tiny
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.attention.record import recording
from regard.decoding.beam import Entering, Ranking, _largest, beam_search
from regard.layers.state import Hypotheses


def search(step, state, *, longest, is_source=None, **options):
    """What is found of one batch."""
    return beam_search(step, [Entering(state, longest, is_source)], **options)


RANKINGS = [Ranking(), Ranking(0.6), Ranking(1.0)]


@dataclass(frozen=True)
class Clock:
    """The state of a decoder which looks at the last word alone, and at the time."""

    hypotheses: Hypotheses
    time: int = 0

    @classmethod
    def of(cls, sentences):
        return cls(Hypotheses.one_each(sentences))

    def select(self, rows, hypotheses, sentences=None):
        return replace(self, hypotheses=hypotheses)


def markov(table):
    """The scores [T, V, V] or [V, V] of the next word; row 0 opens a sentence."""

    def step(tokens, state):
        now = table[state.time] if table.ndim == 3 else table
        if tokens is None:
            tokens = torch.zeros(len(state.hypotheses.places), dtype=torch.int64)
        return now[tokens], replace(state, time=state.time + 1)

    return step


def in_loops(logs, beams, longest, ranking, best):
    """The search of tensor2tensor in plain lists, which never stops before the limit."""
    going, finished = [((), 0.0)], []
    for length in range(1, longest + 1):
        candidates = []
        for words, log in going:
            row = logs[length - 1][words[-1] if words else 0]
            candidates += [((*words, word), log + row[word]) for word in range(len(row))]
        candidates.sort(key=lambda c: -c[1])
        candidates = candidates[: 2 * beams]
        finished += [(w[:-1], log / ((5 + length) / 6) ** ranking.length, log) for w, log in candidates if w[-1] == END]
        finished = sorted(finished, key=lambda f: -f[1])[: max(best, beams)]
        going = [c for c in candidates if c[0][-1] != END][:beams]
    if finished:
        return [(*found, True) for found in finished[:best]]
    return [(words, log, log, False) for words, log in going[:best]]


def as_rows(found):
    return [(tuple(h.tokens), h.score, h.log_probability, h.finished) for h in found]


def same(ours, wanted, near=1e-9):
    assert [(words, finished) for words, *_, finished in ours] == [(words, finished) for words, *_, finished in wanted]
    for (_, *numbers, _), (_, *others, _) in zip(ours, wanted, strict=True):
        assert numbers == pytest.approx(others, abs=near)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([2, 3, 4]),
    st.integers(1, 9),
    st.sampled_from(RANKINGS),
    st.floats(-2, 2),
)
def test_on_a_markov_table_it_is_the_search_written_in_loops(seed, beams, longest, ranking, towards_end):
    table = torch.randn(9, 9, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2
    table[..., END] += towards_end
    limits = torch.tensor([longest, 1, 5])
    found = search(
        markov(table),
        Clock.of(3),
        end=END,
        beams=beams,
        longest=limits,
        ranking=ranking,
        best=beams,
    )
    logs = table.log_softmax(-1).tolist()
    for own, limit in zip(found, limits.tolist(), strict=True):
        same(as_rows(own), in_loops(logs, beams, limit, ranking, beams))


def every_sentence(model, source, words, longest):
    """All sentences of less than `longest` words: words, log-probability and attention over the source."""
    others = [w for w in range(words) if w != END]
    all_of_them = [s for n in range(longest) for s in itertools.product(others, repeat=n)]
    target = Packed.of([[*s, END] for s in all_of_them])
    with torch.no_grad():
        logs = model(Packed.of([source] * len(all_of_them)), target).log_softmax(-1)
    logs = logs.gather(1, target.tokens[:, None])[:, 0]
    return {s: float(own.sum()) for s, own in zip(all_of_them, target.unpack(logs), strict=True)}


@pytest.mark.parametrize("name", TRANSLATING)
@pytest.mark.parametrize("ranking", [Ranking(), Ranking(0.6)])
def test_beam_of_full_width_equals_exhaustive_search(name, ranking):
    model, source, words, longest = tiny(name, words=5), [3, 4, 1], 5, 4
    everything = every_sentence(model, source, words, longest)
    assert len(everything) == 1 + 4 + 16 + 64
    scores = {s: log / ((5 + len(s) + 1) / 6) ** ranking.length for s, log in everything.items()}
    wanted = sorted(everything, key=lambda s: -scores[s])[:30]
    with torch.no_grad():
        (found,) = search(
            model.step,
            model.start(Packed.of([source])),
            end=END,
            beams=160,  # half of the 64 * 5 candidates of the last step
            longest=torch.tensor([longest]),
            ranking=ranking,
            best=30,
        )
    same(as_rows(found), [(s, scores[s], everything[s], True) for s in wanted], near=1e-8)


def test_coverage_is_that_of_the_equation():
    model, source, ranking = tiny("rnnsearch", words=5), [3, 4, 2, 1], Ranking(0.6, 0.4)
    everything, scores = every_sentence(model, source, 5, 3), {}
    for sentence, log in everything.items():
        with torch.no_grad(), recording(model) as maps:
            model(Packed.of([source]), Packed.of([[*sentence, END]]))
        received = maps["attention"][0, 0].sum(0).tolist()
        coverage = 0.4 * sum(math.log(min(share, 1.0)) for share in received)
        scores[sentence] = log / ((5 + len(sentence) + 1) / 6) ** 0.6 + coverage
    wanted = sorted(everything, key=lambda s: -scores[s])[:15]
    with torch.no_grad():
        found = search(
            model.step,
            model.start(Packed.of([source, [4, 1]])),
            end=END,
            beams=80,
            longest=torch.tensor([3, 3]),
            ranking=ranking,
            best=15,
            is_source=torch.tensor([[True] * 4, [True, True, False, False]]),
        )
    same(as_rows(found[0]), [(s, scores[s], everything[s], True) for s in wanted], near=1e-8)


def test_penalties_by_hand():
    assert Ranking(0.6).divisor(7) == pytest.approx(2**0.6)
    assert Ranking(1.0).divisor(1) == pytest.approx(1.0)
    assert Ranking().divisor(100) == 1.0
    received = torch.tensor([[0.5, 2.0, 0.25], [1.0, 0.1, 0.0]])
    is_token = torch.tensor([[True, True, True], [True, True, False]])
    wanted = torch.tensor([0.2 * (math.log(0.5) + math.log(0.25)), 0.2 * math.log(0.1)])
    assert_close(Ranking(0, 0.2).covered(received, is_token), wanted)


def test_a_longer_sentence_may_win_by_the_length_penalty():
    # words: 2 is followed by 3, then the end; or the end comes at once
    table = torch.full((4, 4), -torch.inf, dtype=torch.float64)
    table[0, END], table[0, 2] = math.log(0.55), math.log(0.45)
    table[2, 3], table[3, END] = 0.0, 0.0
    for alpha, words in ((0.0, []), (1.0, [2, 3])):  # .45 in three words: log(.45) / (8 / 6) = -.599; log(.55) = -.598
        step = markov(table)
        options = {"end": END, "beams": 2, "longest": torch.tensor([9])}
        ((found,),) = search(step, Clock.of(1), ranking=Ranking(alpha * 1.1), **options)
        assert found.tokens == words


@pytest.mark.parametrize("name", TRANSLATING)
@pytest.mark.parametrize("seed", range(3))
def test_one_beam_follows_the_best_word(name, seed):
    model, texts = tiny(name, seed=seed), sentences(5, 2, 9, seed=seed)
    limits = torch.tensor([12, 4, 7])
    with torch.no_grad():
        found = search(
            model.step,
            model.start(Packed.of(texts)),
            end=END,
            beams=1,
            longest=limits,
            ranking=Ranking(0.6),
        )
        for text, limit, (ours,) in zip(texts, limits.tolist(), found, strict=True):
            words, log, token, state = [], 0.0, None, model.start(Packed.of([text]))
            while len(words) < limit and END not in words:
                scores, state = model.step(token, state)
                token = scores.argmax(-1)
                words.append(int(token))
                log += float(scores.log_softmax(-1).amax())
            assert ours.finished == (END in words)
            assert [*ours.tokens, *[END] * ours.finished] == words
            assert ours.log_probability == pytest.approx(log, abs=1e-8)


@pytest.mark.parametrize("name", TRANSLATING)
def test_a_batch_is_searched_as_each_sentence_by_itself(name):
    model, texts = tiny(name), sentences(5, 1, 9, 3)
    limits, options = torch.tensor([6, 9, 1, 12]), {"end": END, "beams": 3, "ranking": Ranking(0.6), "best": 3}
    with torch.no_grad():
        together = search(model.step, model.start(Packed.of(texts)), longest=limits, **options)
        for n, text in enumerate(texts):
            state = model.start(Packed.of([text]))
            (alone,) = search(model.step, state, longest=limits[n : n + 1], **options)
            same(as_rows(together[n]), as_rows(alone))


@pytest.mark.parametrize("best", [1, 3])
@pytest.mark.parametrize("name", TRANSLATING)
def test_batches_which_join_a_search_are_found_as_by_themselves(name, best):
    model, texts = tiny(name, seed=best), sentences(9, 7, 5, 5, 3, 2, 8, 1, 4, 1, 6)
    limits = [14, 3, 9, 12, 1, 7, 2, 11, 5, 13, 8]
    cuts, options = [(0, 3), (3, 4), (4, 8), (8, 11)], {"end": END, "beams": 3, "ranking": Ranking(0.6), "best": best}
    at_work, most = [], []

    def step(tokens, state):
        if tokens is None:
            at_work.append(len(state.hypotheses.places))
        else:
            most.append(state.hypotheses.sentences)
        return model.step(tokens, state)

    with torch.no_grad():
        entering = (Entering(model.start(Packed.of(texts[a:b])), torch.tensor(limits[a:b])) for a, b in cuts)
        together = beam_search(step, entering, **options)
        for text, limit, found in zip(texts, limits, together, strict=True):
            (alone,) = search(model.step, model.start(Packed.of([text])), longest=torch.tensor([limit]), **options)
            same(as_rows(found), as_rows(alone))
    assert at_work == [3, 1, 4, 3]  # each batch made its first step by itself
    assert best == 1 or max(most) > 4  # and some were at work together


@pytest.mark.parametrize("name", TRANSLATING)
def test_hypotheses_are_sorted_distinct_within_the_limit_and_truly_scored(name):
    model, texts = tiny(name), sentences(5, 1, 9)
    limits = torch.tensor([6, 9, 4])
    with torch.no_grad():
        state = model.start(Packed.of(texts))
        found = search(model.step, state, end=END, beams=4, longest=limits, ranking=Ranking(0.6), best=4)
    for text, limit, own in zip(texts, limits.tolist(), found, strict=True):
        assert [h.score for h in own] == sorted((h.score for h in own), reverse=True)
        assert len({tuple(h.tokens) for h in own}) == len(own) > 0
        for h in own:
            words = [*h.tokens, END] if h.finished else h.tokens
            assert END not in h.tokens
            assert 1 <= len(words) <= limit
            with torch.no_grad():
                logs = model(Packed.of([text]), Packed.of([words])).log_softmax(-1)
            log = float(logs.gather(1, torch.tensor(words)[:, None]).sum())
            assert h.log_probability == pytest.approx(log, abs=1e-8)
            assert h.score == pytest.approx(log / ((5 + len(words)) / 6) ** 0.6 if h.finished else log, abs=1e-8)


def test_what_the_limit_cuts_off_says_so_and_is_ranked_by_its_probability():
    table = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table[:, END] = -torch.inf  # no sentence ever ends
    (found,) = search(
        markov(table),
        Clock.of(1),
        end=END,
        beams=3,
        longest=torch.tensor([4]),
        ranking=Ranking(0.6),
        best=3,
    )
    assert len(found) == 3
    for h in found:
        assert not h.finished
        assert len(h.tokens) == 4
        logs = table.log_softmax(-1)
        path = zip([0, *h.tokens[:-1]], h.tokens, strict=True)
        assert h.score == h.log_probability == pytest.approx(sum(float(logs[a, b]) for a, b in path))
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


def test_alignments_are_the_weights_of_each_step():
    model, texts = tiny("rnnsearch"), sentences(5, 2, 7)
    is_source = torch.arange(7) < torch.tensor([[5], [2], [7]])
    with torch.no_grad():
        found = search(
            model.step,
            model.start(Packed.of(texts)),
            end=END,
            beams=3,
            longest=torch.tensor([6, 9, 3]),
            best=2,
            is_source=is_source,
            align=True,
        )
        for text, own in zip(texts, found, strict=True):
            for h in own:
                words = [*h.tokens, END] if h.finished else h.tokens
                assert h.alignment.shape == (len(words), 7)
                assert h.alignment[:, len(text) :].eq(0).all()
                with recording(model) as maps:
                    model(Packed.of([text]), Packed.of([words]))
                assert_close(h.alignment[:, : len(text)], maps["attention"][0, 0], atol=1e-9, rtol=1e-9)
                assert_close(h.alignment.sum(1), torch.ones(len(words), dtype=torch.float64))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.integers(1, 12), st.integers(0, 1000))
def test_the_largest_by_stretches_are_the_largest(width, count, seed):
    count = min(count, width)
    scores = torch.randn(3, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values, places = _largest(scores, count)
    wanted = scores.topk(count, -1)
    assert torch.equal(values, wanted.values)
    assert torch.equal(places, wanted.indices)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"best": 3}, "best must lie between 1 and beams=2, got 3"),
        ({"best": 0}, "best must lie between 1 and beams=2, got 0"),
        ({"beams": 0}, "best must lie between 1 and beams=0, got 1"),
        ({"longest": torch.tensor([0])}, "a translation holds at least the end token, got a limit of 0"),
        ({"align": True}, "coverage and alignments need is_source"),
        ({"ranking": Ranking(0, 0.1)}, "coverage and alignments need is_source"),
    ],
)
def test_arguments_out_of_range_are_refused(changes, message):
    options = {"end": END, "beams": 2, "longest": torch.tensor([4]), **changes}
    with pytest.raises(ValueError, match=message):
        search(markov(torch.zeros(4, 4)), Clock.of(1), **options)


@pytest.mark.parametrize("penalties", [(-0.1, 0.0), (0.0, -1.0), (nan, 0.0), (0.0, nan), (inf, 0.0)])
def test_penalties_are_finite_and_not_negative(penalties):
    with pytest.raises(ValueError, match="penalties are finite and not negative"):
        Ranking(*penalties)
