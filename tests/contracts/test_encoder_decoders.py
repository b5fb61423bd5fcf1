"""What holds for every encoder-decoder of the registry; a new entry is tested by being there."""

import dataclasses
import json

import pytest
import torch
from tiny import END, TRANSLATING, WORDS, assert_gradient_is_the_derivative, pairs, sentences, tiny, tiny_config
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.layers.state import Hypotheses
from regard.models import MODELS, name_of
from regard.models.protocols import TranslationModel, offers
from regard.models.saved import load_model, save_model
from regard.objectives.translation import Translation
from regard.storage.configuration import configured

pytestmark = pytest.mark.parametrize("name", TRANSLATING)
EXACT = {"atol": 1e-9, "rtol": 1e-9}  # float64, scores of some tens, other orders of summation


@pytest.fixture(autouse=True)
def _fresh_compiler():
    yield
    torch._dynamo.reset()


def test_it_keeps_the_protocol_and_its_shapes(name):
    model, (source, target) = tiny(name), pairs()
    assert offers(model, TranslationModel)
    hidden = model.hidden(source, target)
    scores = model(source, target)
    assert hidden.shape == (len(target.tokens), model.output.in_features)
    assert scores.shape == (len(target.tokens), WORDS)
    assert torch.equal(model.output(hidden), scores)
    scores, state = model.step(None, model.start(source))
    assert scores.shape == (len(source), WORDS)
    assert model.step(scores.argmax(-1), state)[0].shape == (len(source), WORDS)


def test_every_parameter_gets_a_gradient(name):
    model = tiny(name)
    Translation(model, smoothing=0.1)(*pairs()).total.backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().max() > 1e-9, parameter_name


def test_the_gradient_is_the_derivative(name):
    model, batch = tiny(name), pairs()
    assert_gradient_is_the_derivative(model, lambda: Translation(model, smoothing=0.1)(*batch).total)


def test_it_cannot_see_ahead(name):
    model, (source, target) = tiny(name), pairs()
    before = model(source, target)
    for sentence in range(len(target)):
        for place in range(int(target.lengths[sentence]) - 1):
            where = int(target.starts[sentence]) + place
            tokens = target.tokens.clone()
            tokens[where] = 3 + (tokens[where] - 2) % (WORDS - 3)
            after = model(source, Packed(tokens, target.lengths))
            change = (after - before).abs().amax(-1)
            later = torch.zeros(len(tokens), dtype=torch.bool)
            later[where + 1 : int(target.starts[sentence] + target.lengths[sentence])] = True
            assert change[~later].max() < 1e-9
            assert change[where + 1] > 1e-6  # it does see the past


def test_every_source_word_is_read_by_its_own_sentence_alone(name):
    model, (source, target) = tiny(name), pairs()
    before = target.unpack(model(source, target))
    for where in range(0, len(source.tokens), 3):
        tokens = source.tokens.clone()
        tokens[where] = 3 + (tokens[where] - 2) % (WORDS - 3)
        after = target.unpack(model(Packed(tokens, source.lengths), target))
        changes = [(a - b).abs().max().item() for a, b in zip(after, before, strict=True)]
        own = int((source.starts <= where).sum()) - 1
        assert changes.pop(own) > 0.0
        assert max(changes) < 1e-9


def test_packed_is_one_by_one(name):
    model, (source, target) = tiny(name), pairs()
    together = target.unpack(model(source, target))
    for n, (one, other) in enumerate(zip(source.unpack(source.tokens), target.unpack(target.tokens), strict=True)):
        assert_close(model(Packed.of([one]), Packed.of([other])), together[n], **EXACT)


def test_padding_does_not_change_the_answer(name):
    model, (source, target) = tiny(name), pairs()
    again = []
    for side in (source, target):
        padded = torch.nn.functional.pad(side.padded(0), (2, 3))
        again.append(Packed.from_padded(padded, padded != 0))
    assert torch.equal(model(*again), model(source, target))


def test_the_order_of_sentences_does_not_change_the_answer(name):
    model, (source, target) = tiny(name), pairs()
    wanted, order = target.unpack(model(source, target)), [3, 0, 4, 2, 1]
    turned = [Packed.of([side.unpack(side.tokens)[n] for n in order]) for side in (source, target)]
    for got, n in zip(turned[1].unpack(model(*turned)), order, strict=True):
        assert_close(got, wanted[n], **EXACT)


def test_step_by_step_is_at_once(name):
    model, (source, target) = tiny(name), pairs()
    wanted = target.unpack(model(source, target))
    padded, token, state = target.padded(END), None, model.start(source)
    for t in range(padded.shape[1]):
        scores, state = model.step(token, state)
        for n, length in enumerate(target.lengths.tolist()):
            if t < length:
                assert_close(scores[n], wanted[n][t], **EXACT)
        token = padded[:, t]


def test_a_state_can_be_gone_on_from_twice(name):
    model, source = tiny(name), Packed.of(sentences(4, 2))
    state = model.start(source)
    _, state = model.step(None, state)
    _, state = model.step(torch.tensor([4, 5]), state)
    first, _ = model.step(torch.tensor([6, 7]), state)
    other, _ = model.step(torch.tensor([8, 9]), state)
    again, then = model.step(torch.tensor([6, 7]), state)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    model.step(torch.tensor([9, 9]), state)
    history = Packed.of([[4, 6, 3, END], [5, 7, 3, END]])
    wanted = model(source, history)[[3, 7]]
    assert_close(model.step(torch.tensor([3, 3]), then)[0], wanted, **EXACT)


def test_hypotheses_can_be_reordered_repeated_and_dropped(name):
    model, texts = tiny(name), sentences(5, 1, 3)
    scores, state = model.step(None, model.start(Packed.of(texts)))
    assert scores.shape == (3, WORDS)
    history = [(n, []) for n in range(3)]  # of each row: its sentence and its words
    # the rows which go on, their places among three a sentence, and the sentences of the table where some leave it
    choices = [
        ([0, 0, 1, 1, 2, 2], [0, 1, 3, 4, 6, 7], None),  # two of each
        ([1, 0, 2, 2, 5, 4, 5], [0, 1, 3, 4, 6, 7, 8], None),  # exchanged, doubled, and one more
        ([0, 0, 2, 4], [0, 2, 4, 7], None),  # with gaps
        ([1, 3], [2, 6], None),  # the second sentence has none left
        ([1, 1, 1], [0, 1, 2], [2]),  # and the last alone stays
    ]
    for number, (rows, places, sentences_kept) in enumerate(choices):
        history = [(history[r][0], list(history[r][1])) for r in rows]
        words = [3 + (2 * number + 3 * r) % (WORDS - 3) for r in range(len(rows))]
        for (_, written), word in zip(history, words, strict=True):
            written.append(word)
        hypotheses = Hypotheses(3 if sentences_kept is None else len(sentences_kept), 3, torch.tensor(places))
        kept = None if sentences_kept is None else torch.tensor(sentences_kept)
        scores, state = model.step(torch.tensor(words), state.select(torch.tensor(rows), hypotheses, kept))
        assert scores.shape == (len(rows), WORDS)
        for score, (n, written) in zip(scores, history, strict=True):
            wanted = model(Packed.of([texts[n]]), Packed.of([[*written, END]]))[-1]
            assert_close(score, wanted, **EXACT)


@pytest.mark.parametrize("beams", [1, 2])
def test_states_of_different_ages_join(name, beams):
    model, texts = tiny(name), sentences(5, 1, 3)
    words = [4, 5, 6]  # with these the first two sentences go on before the third one joins
    _, old = model.step(None, model.start(Packed.of(texts[:2])))
    for word in words:
        table = Hypotheses(2, beams, torch.tensor([0, beams]))
        _, old = model.step(torch.tensor([word, word + 1]), old.select(torch.arange(2), table))
    _, new = model.step(None, model.start(Packed.of(texts[2:])))
    both = old.select(torch.arange(2), Hypotheses(2, beams, torch.tensor([0, beams])))
    both = both.join(new.select(torch.arange(1), Hypotheses(1, beams, torch.tensor([0]))))
    histories: list[list[int]] = [words, [word + 1 for word in words], []]
    for word in (7, 3):
        scores, both = model.step(torch.full((3,), word), both)
        histories = [[*history, word] for history in histories]
        for score, text, history in zip(scores, texts, histories, strict=True):
            assert_close(score, model(Packed.of([text]), Packed.of([[*history, END]]))[-1], **EXACT)
        table = Hypotheses(3, beams, torch.arange(3) * beams)
        both = both.select(torch.arange(3), table)


def test_a_saved_model_is_read_back_as_it_was(name, tmp_path):
    model, batch = tiny(name, dtype=torch.float32), pairs()
    save_model(model, tmp_path)
    state = torch.random.get_rng_state()
    again = load_model(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert type(again) is type(model)
    assert again.config == model.config
    assert not again.training
    assert torch.equal(again(*batch), model(*batch))


def test_the_same_seed_gives_the_same_model_and_the_same_training_step(name):
    def loss(seed):
        torch.manual_seed(seed)
        model = MODELS[name].model(tiny_config(name, dropout=0.3)).train()
        total = Translation(model)(*pairs()).total
        total.backward()
        return [total.detach(), *(p.grad for p in model.parameters())]

    first, second, other = loss(1), loss(1), loss(2)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first[1:], other[1:], strict=True))


def test_dropout_is_used_in_training_alone(name):
    model, batch = tiny(name, dropout=0.5), pairs()
    plain = tiny(name)
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model(*batch), plain(*batch))
    assert not torch.allclose(model.train()(*batch), plain(*batch))


def test_its_configuration_survives_json(name):
    for config in (*MODELS[name].sizes.values(), tiny_config(name)):
        values = json.loads(json.dumps(dataclasses.asdict(config)))
        assert configured(MODELS[name].config, values, "here") == config


def test_every_named_size_can_be_built(name):
    for config in MODELS[name].sizes.values():
        with torch.device("meta"):
            model = MODELS[name].model(config)
        assert name_of(model) == name
        assert all(parameter.is_meta for parameter in model.parameters())


def test_bfloat16_under_autocast_is_finite_and_close(name):
    torch.manual_seed(0)
    model, batch = tiny(name, dtype=torch.float32), pairs()
    with torch.no_grad():  # weights as at the start of training, where eight bits are enough to compare
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(0.5)
    exact = Translation(model)(*batch)
    wanted = torch.autograd.grad(exact.total, list(model.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        scores = model(*batch)
        loss = Translation(model)(*batch)
    got = torch.autograd.grad(loss.total, list(model.parameters()))
    plain = model(*batch)
    assert scores.isfinite().all()
    assert (scores.float() - plain).abs().max() < 0.1 * plain.abs().max()
    assert not torch.equal(scores.float(), plain)
    assert abs(loss.total.item() / exact.total.item() - 1) < 0.03
    flat = [torch.cat([gradient.flatten() for gradient in gradients]) for gradients in (got, wanted)]
    assert flat[0].isfinite().all()
    assert torch.cosine_similarity(*flat, dim=0) > 0.97


def test_steps_under_autocast_are_finite_and_close(name):
    model, source = tiny(name, dtype=torch.float32), Packed.of(sentences(4, 2, 6))
    results = []
    for enabled in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            _, state = model.step(None, model.start(source))
            two_each = Hypotheses(3, 2, torch.arange(6))
            _, state = model.step(torch.arange(3, 9), state.select(torch.arange(3).repeat_interleave(2), two_each))
            state = state.select(torch.tensor([1, 0, 2, 3, 5, 5]), two_each)
            results.append(model.step(torch.arange(4, 10), state)[0].float())
    assert results[1].isfinite().all()
    assert (results[1] - results[0]).abs().max() < 0.15 * results[0].abs().max()


@pytest.mark.slow
def test_a_compiled_model_gives_the_same(name):
    shallow = {"depth": 1} if hasattr(tiny_config(name), "depth") else {}
    model, batch = tiny(name, **shallow), (Packed.of(sentences(3, 2)), Packed.of(sentences(2, 4)))
    compiled = torch.compile(model, backend="aot_eager")
    wanted = torch.autograd.grad(model(*batch).square().sum(), list(model.parameters()))
    ours = compiled(*batch)
    assert_close(ours, model(*batch), **EXACT)
    for got, want in zip(torch.autograd.grad(ours.square().sum(), list(model.parameters())), wanted, strict=True):
        assert_close(got, want, atol=1e-6, rtol=1e-8)
