"""What stands on encoders, beside the same in loops over inputs."""

import copy
import itertools

import pytest
import torch
from tiny import READING, TUNED, WORDS, assert_gradient_is_the_derivative, headed, inputs, tiny
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, layer_norm
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.decoding.spans import Beams
from regard.layers.rounded import round_weights
from regard.models.bert import EPSILON
from regard.models.heads import HEADS, Classifier, MaskedWords, PermutedWords, Regressor, Tagger, kind_of
from regard.objectives.labels import LABELS, ConditionalSpans, labels_of

EXACT = {"atol": 1e-10, "rtol": 1e-10}  # float64, other orders of summation
LENGTHS = (9, 2, 14, 4)
PACKED = [(name, head) for name in READING for head in HEADS if head != "permuted"]
PACKED = [(name, head) for name, head in PACKED if not (name == "xlnet" and head.startswith("masked"))]
CAUSAL = [(name, head) for name in TUNED for head in ("classification", "regression", "choice")]
PACKED += CAUSAL
LEARNT = [(name, head) for name in READING for head in LABELS] + CAUSAL
every = pytest.mark.parametrize(("name", "head"), PACKED)
every_encoder = pytest.mark.parametrize("name", READING)


def said_by(model, text: Packed, segments: torch.Tensor) -> list[list[torch.Tensor]]:
    """All that a head says of a batch, split into what belongs to each input."""
    if kind_of(model) == "conditional-span":
        parts = model(text, segments, torch.ones(len(segments), dtype=torch.bool), text.lengths // 2)
    elif kind_of(model) == "masked-pair":
        rows = (text.starts[:, None] + torch.arange(1, 2)).flatten()
        parts = (model(text, segments), *model.both(text, segments, rows))
    else:
        parts = model(text, segments)
    parts = parts if isinstance(parts, tuple) else (parts,)
    split = [text.unpack(part) if len(part) == len(segments) else list(part) for part in parts]
    return [list(own) for own in zip(*split, strict=True)]


@every
def test_what_is_said_of_an_input_does_not_depend_on_others(name, head):
    model, (text, segments) = headed(name, head), inputs(name, *LENGTHS)
    together = said_by(model, text, segments)
    ids, kinds = text.unpack(text.tokens), text.unpack(segments)
    each = len(ids) // len(together)  # two inputs are one pair where they are read apart
    for number, wanted in enumerate(together):
        own = slice(number * each, (number + 1) * each)
        (alone,) = said_by(model, Packed.of(ids[own]), torch.cat(kinds[own]))
        for one, other in zip(alone, wanted, strict=True):
            assert_close(one, other, **EXACT)
            assert one.abs().max() > 1e-3


def labelled(head: str, text: Packed) -> tuple[torch.Tensor, ...]:
    """Labels of a batch of four inputs."""
    spans = torch.stack([text.lengths // 2, text.lengths // 2 + 1], 1).clamp(max=text.lengths[:, None] - 1)
    return {
        "classification": (torch.tensor([2, 0, 1, 2]),),
        "regression": (torch.tensor([0.5, -1.0, 2.0, 0.0], dtype=torch.float64),),
        "similarity": (torch.tensor([0.5, -1.0], dtype=torch.float64), torch.tensor([2, 2])),
        "choice": (torch.tensor([1, 0]), torch.tensor([3, 1])),
        "tagging": (torch.tensor([0, 2, 1]), torch.tensor([1, 9, 20])),
        "span": (spans,),
        "conditional-span": (spans, torch.arange(len(text.tokens)) != 3),
    }[head]


SHARED = {  # what all scores have in common which are compared decides nothing
    "choice": {"output.bias"},
    "span": {"output.bias", "encoder.blocks.1.feed_forward_norm.bias", "encoder.blocks.0.0.feed_forward_norm.bias"},
    "conditional-span": {"start.bias", "end_norm.bias", "end_score.bias"},
}
LAST_NORM = {"encoder.end.bias", "encoder.blocks.1.feed_forward_norm.bias"}  # below the scores of GPT's options


@pytest.mark.parametrize(("name", "head"), LEARNT)
def test_all_that_a_head_has_learns(name, head):
    """But for XLNet's vector of an unknown word, which no packed text has."""
    model, (text, segments) = headed(name, head), inputs(name, *LENGTHS)
    loss = labels_of(head, model)(text, segments, *labelled(head, text))
    assert loss.sequences == 4
    loss.total.backward()
    shared = (
        {"encoder.unknown"} | SHARED.get(head, set()) | (LAST_NORM if name in TUNED and head == "choice" else set())
    )
    for parameter_name, parameter in model.named_parameters():
        if parameter_name in shared:
            continue
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().max() > 1e-9, parameter_name


@every
def test_a_head_of_rounded_weights_says_nearly_the_same(name, head):
    model, (text, segments) = headed(name, head, dtype=torch.float32), inputs(name, *LENGTHS)
    with torch.no_grad():
        wanted = torch.cat([part.flatten() for parts in said_by(model, text, segments) for part in parts])
        rounded = round_weights(copy.deepcopy(model), "int8")
        found = torch.cat([part.flatten() for parts in said_by(rounded, text, segments) for part in parts])
        assert not torch.equal(found, wanted)
        assert (found - wanted).abs().mean() < 0.2 * wanted.abs().mean()
        half = said_by(model.bfloat16(), text, segments)
        assert all(part.isfinite().all() for parts in half for part in parts)


@pytest.mark.parametrize("head", ["classification", "regression", "choice", "tagging", "conditional-span"])
def test_dropout_below_a_head_is_used_in_training_alone(head):
    model, (text, segments) = headed("bert", head), inputs("bert", *LENGTHS)
    plain = said_by(model, text, segments)
    model.dropout.rate = 0.5
    assert all(
        torch.equal(one[-1], other[-1]) for one, other in zip(plain, said_by(model, text, segments), strict=True)
    )
    dropped = said_by(model.train(), text, segments)
    assert any(not torch.allclose(one[-1], other[-1]) for one, other in zip(plain, dropped, strict=True))


def test_heads_are_refused_where_they_do_not_fit():
    plain = tiny("bert", pools=False)
    with pytest.raises(ValueError, match="Classifier needs an encoder which sums inputs up: set pools=True"):
        Classifier(plain, ["a", "b"])
    for labels in ((), []):
        with pytest.raises(ValueError, match="Tagger needs labels"):
            Tagger(plain, labels)
    with pytest.raises(ValueError, match="labels must differ, got"):
        Tagger(plain, ["a", "b", "a"])
    with pytest.raises(ValueError, match="Regressor has no labels, got"):
        Regressor(tiny("bert", pools=True), ["a"])
    with pytest.raises(ValueError, match="BERT reads no permuted texts"):
        PermutedWords(plain)


@pytest.mark.parametrize("name", ["bert", "albert"])
def test_masked_words_and_pairs_are_read_at_once(name):
    model, (text, segments) = headed(name, "masked-pair"), inputs(name, *LENGTHS)
    rows = torch.tensor([1, 5, 8, 10, 24, 28])
    hidden, pairs = model.both(text, segments, rows)
    assert_close(model.output(hidden), model(text, segments)[rows], **EXACT)
    assert_close(pairs, model.pair(model.encoder(text, segments)), **EXACT)
    asked = torch.tensor([1, 5, 10, 12, 27])  # of each input
    assert_close(model(text, segments, asked), model(text, segments)[asked], **EXACT)
    assert model.output.weight is model.encoder.token.weight
    assert isinstance(model, MaskedWords)


def orders(count: int, length: int) -> torch.Tensor:
    """Random orders, as numbers of their words."""
    generator = torch.Generator().manual_seed(0)
    return torch.stack([torch.randperm(length, generator=generator) for _ in range(count)])


def permuted(length: int = 7):
    """A model of permuted words, a batch of two texts which it reads, and the orders in which it does."""
    order = orders(2, length)
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(WORDS, (2, length), generator=generator)
    segments = torch.randint(3, (2, length), generator=generator)
    allowed = order[:, None] < order[:, :, None]
    return headed("xlnet", "permuted", memory=5), (tokens, segments, allowed), order


def test_a_word_is_predicted_from_those_before_it_in_the_order_and_from_nothing_else():
    model, (tokens, segments, allowed), order = permuted()
    targets = torch.arange(7).expand(2, -1)
    scores, _ = model(tokens, segments, allowed, targets)
    assert scores.shape == (2, 7, WORDS)
    assert scores.isfinite().all()
    for place in range(7):
        other = tokens.clone()
        other[:, place] = (other[:, place] + 1) % WORDS
        change = (model(other, segments, allowed, targets)[0] - scores).abs().amax(-1)
        comes_after = order > order[:, place, None]
        assert change[~comes_after].max() < 1e-12
        assert change[comes_after].min() > 1e-6


def test_only_what_is_asked_for_is_predicted_in_any_order():
    model, batch, _ = permuted()
    scores, memory = model(*batch, torch.arange(7).expand(2, -1))
    targets = torch.tensor([[5, 0, 3], [2, 2, 6]])
    some, same = model(*batch, targets)
    assert_close(some, scores.gather(1, targets[..., None].expand(-1, -1, WORDS)), **EXACT)
    assert all(torch.equal(one, other) for one, other in zip(memory, same, strict=True))
    states, _ = model.hidden(*batch, targets)
    assert torch.equal(model.output(states), some)


def test_what_is_remembered_is_the_start_of_a_segment_and_is_seen():
    model, batch, _ = permuted()
    targets = torch.arange(7).expand(2, -1)
    _, all_ = model(*batch, targets)
    _, start = model(*batch, targets, reuse=4)
    assert [layer.shape for layer in all_] == [(2, 5, 16)] * 2  # as many as the model remembers
    assert [layer.shape for layer in start] == [(2, 4, 16)] * 2
    embedded = model.encoder.token(batch[0])
    assert_close(all_[0], embedded[:, 2:], **EXACT)
    assert_close(start[0], embedded[:, :4], **EXACT)
    assert not any(layer.requires_grad for layer in start)
    plain, _ = model(*batch, targets)
    scores, longer = model(*batch, targets, start, reuse=4)
    assert (scores - plain).abs().amax(-1).min() > 1e-6
    assert_close(longer[0], torch.cat([embedded[:, 3:4], embedded[:, :4]], 1), **EXACT)


def test_a_text_which_stands_from_its_end_on_says_the_same_when_it_is_read_backwards():
    model, (tokens, segments, allowed), _ = permuted()
    targets = torch.arange(7).expand(2, -1)
    forward, _ = model(tokens, segments, allowed, targets)
    turned, _ = model(tokens.flip(1), segments.flip(1), allowed.flip(1, 2), targets, backward=2)
    assert_close(turned.flip(1), forward, **EXACT)
    both, _ = model(tokens, segments, allowed, targets, backward=1)
    assert_close(both[0], forward[0], **EXACT)
    sees_several = allowed[1].sum(-1) > 1  # where there is one word, it has all the weight
    assert (both[1] - forward[1]).abs().amax(-1)[sees_several].min() > 1e-6
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match=f"backward must lie between 0 and the 2 texts, got {wrong}"):
            model(tokens, segments, allowed, targets, backward=wrong)


def test_permuted_words_have_the_right_gradient():
    model, batch, _ = permuted()
    _, memory = model(*batch, torch.arange(7).expand(2, -1))
    memory = tuple(layer.detach() for layer in memory)

    def loss() -> torch.Tensor:
        """Of three words of each text."""
        scores, _ = model(*batch, torch.tensor([[5, 0, 3], [2, 1, 6]]), memory)
        return cross_entropy(scores.flatten(0, 1), torch.tensor([1, 4, 2, 0, 9, 3]), reduction="sum")

    assert_gradient_is_the_derivative(model, loss)
    assert all(parameter.grad.abs().max() > 1e-9 for parameter in model.parameters())


def asked(name: str, *lengths: int):
    """A head of conditional spans, inputs, and which tokens may be chosen: about half, and what sums up."""
    model, (text, segments) = headed(name, "conditional-span"), inputs(name, *lengths)
    may_answer = torch.rand(len(segments), generator=torch.Generator().manual_seed(3)) < 0.5
    may_answer[model.summaries(text)] = True
    return model, text, segments, may_answer


def by_hand(model, states: torch.Tensor, may: torch.Tensor, summary: int):
    """Log-probabilities of starts [T], of ends after each [T, T], and the score of no answer, of one input."""
    starts = model.start(states)[:, 0].masked_fill(~may, -torch.inf).log_softmax(0)
    ends = []
    for state in states:
        both = torch.cat([states, state.expand_as(states)], 1)
        inner = torch.tanh(both @ model.end.weight.T + model.end.bias)
        inner = layer_norm(inner, inner.shape[1:], model.end_norm.weight, model.end_norm.bias, EPSILON)
        ends.append(model.end_score(inner)[:, 0].masked_fill(~may, -torch.inf).log_softmax(0))
    likely = (starts.exp()[:, None] * states).sum(0)
    none = model.none_score(torch.tanh(model.none(torch.cat([likely, states[summary]]))))
    return starts, torch.stack(ends), none[0]


@every_encoder
def test_scores_of_conditional_spans_are_those_of_each_input_by_hand(name):
    model, text, segments, may_answer = asked(name, *LENGTHS)
    starts = torch.tensor([4, 1, 0, 3])
    first, last, none = model(text, segments, may_answer, starts)
    assert first[~may_answer].eq(-torch.inf).all()
    assert last[~may_answer].eq(-torch.inf).all()
    states = text.unpack(model.encoder.hidden(text, segments))
    for number, own in enumerate(states):
        summary = len(own) - 1 if name == "xlnet" else 0
        wanted = by_hand(model, own, text.unpack(may_answer)[number], summary)
        assert_close(text.unpack(first)[number].log_softmax(0), wanted[0], **EXACT)
        assert_close(text.unpack(last)[number].log_softmax(0), wanted[1][starts[number]], **EXACT)
        assert_close(none[number], wanted[2], **EXACT)


@every_encoder
def test_beams_are_the_likeliest_starts_and_the_likeliest_ends_after_each(name):
    model, text, segments, may_answer = asked(name, 9, 2, 14, 1)
    found = model.beams(text, segments, may_answer, starts=3, ends=4)
    beams = Beams(*found)
    assert beams.ends.shape == (4, 3, 4)
    states = text.unpack(model.encoder.hidden(text, segments))
    for number, own in enumerate(states):
        may = text.unpack(may_answer)[number]
        starts, ends, none = by_hand(model, own, may, len(own) - 1 if name == "xlnet" else 0)
        assert_close(beams.null[number], none, **EXACT)
        best = sorted(may.nonzero()[:, 0].tolist(), key=lambda place: -starts[place])[:3]
        for place, start in enumerate(best):
            assert beams.starts[number, place] == start
            assert_close(beams.start_scores[number, place], starts[start], **EXACT)
            after = sorted(may.nonzero()[:, 0].tolist(), key=lambda end: -ends[start, end])[:4]
            assert beams.ends[number, place, : len(after)].tolist() == after
            assert_close(beams.end_scores[number, place, : len(after)], ends[start, after], **EXACT)
            assert beams.end_scores[number, place, len(after) :].eq(-torch.inf).all()
            assert beams.ends[number, place, len(after) :].eq(0).all()
        assert beams.start_scores[number, len(best) :].eq(-torch.inf).all()
        assert beams.end_scores[number, len(best) :].eq(-torch.inf).all()
        assert beams.starts[number, len(best) :].eq(0).all()
        assert beams.ends[number, len(best) :].eq(0).all()
        assert len(best) == min(3, int(may.sum()))


def test_full_beams_hold_every_span_with_its_probability():
    model, text, segments, may_answer = asked("albert", 7)
    count = int(may_answer.sum())
    starts, start_logs, ends, end_logs, _ = model.beams(text, segments, may_answer, starts=count, ends=count)
    spans = {
        (int(starts[0, a]), int(ends[0, a, b])): float((start_logs[0, a] + end_logs[0, a, b]).detach().exp())
        for a, b in itertools.product(range(count), repeat=2)
    }
    assert len(spans) == count**2 > 4
    assert sum(spans.values()) == pytest.approx(1.0)


@every_encoder
def test_the_loss_of_conditional_spans_by_hand(name):
    """An answer, and two inputs without one: half of two cross-entropies, and half of that of having none."""
    model, text, segments, may_answer = asked(name, 9, 5, 14)
    summaries = model.summaries(text) - text.starts
    labels = torch.stack([summaries, summaries], 1)
    labels[2] = torch.tensor([3, 6])
    may_answer[text.starts[2] + labels[2]] = True
    loss = ConditionalSpans(model)(text, segments, labels, may_answer)
    total = 0.0
    for number, states in enumerate(text.unpack(model.encoder.hidden(text, segments))):
        starts, ends, none = by_hand(model, states, text.unpack(may_answer)[number], int(summaries[number]))
        start, end = labels[number]
        is_none = torch.tensor(float(number < 2), dtype=torch.float64)
        total = total - (starts[start] + ends[start, end]) / 2 + binary_cross_entropy_with_logits(none, is_none) / 2
    assert_close(loss.total, total, **EXACT)
    assert (loss.tokens, loss.sequences) == (3, 3)
    assert_close(loss.log_likelihood, -loss.total.detach())


def test_the_loss_of_conditional_spans_has_the_right_gradient():
    model, text, segments, may_answer = asked("bert", 9, 5, 14)
    places = may_answer.nonzero()[:, 0]
    owners = torch.searchsorted(text.starts, places, right=True) - 1
    last = torch.stack([places[owners == number][-1] for number in range(3)]) - text.starts
    labels = torch.stack([torch.zeros(3, dtype=torch.int64), last], 1)
    assert_gradient_is_the_derivative(model, lambda: ConditionalSpans(model)(text, segments, labels, may_answer).total)


def test_an_answer_which_may_not_be_chosen_is_refused():
    model, text, segments, may_answer = asked("bert", 9, 5)
    may_answer[4] = False
    for wrong in ([4, 0], [0, 4]):
        with pytest.raises(ValueError, match="an answer starts and ends at tokens which may be chosen"):
            ConditionalSpans(model)(text, segments, torch.tensor([wrong, [0, 0]]), may_answer)


@every_encoder
def test_no_answer_may_always_be_chosen(name):
    model, text, segments, may_answer = asked(name, 9, 5)
    may_answer[model.summaries(text)[1]] = False
    with pytest.raises(ValueError, match="stands for no answer, and may always be chosen"):
        model.beams(text, segments, may_answer)
