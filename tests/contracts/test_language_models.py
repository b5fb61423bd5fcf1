"""What holds for every language model of the registry; a new entry is tested by being there."""

import math

import pytest
import torch
from tiny import END, WORDS, WRITING, assert_gradient_is_the_derivative, sentences, tiny, tiny_config
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.decoding.beam import Entering, Ranking, beam_search
from regard.layers.state import Hypotheses
from regard.models import MODELS, name_of
from regard.models.protocols import LanguageModel, offers
from regard.models.saved import load_model, save_model
from regard.objectives.next_token import NextToken

pytestmark = pytest.mark.parametrize("name", WRITING)
EXACT = {"atol": 1e-9, "rtol": 1e-9}  # float64, scores of some tens, other orders of summation


def text(seed: int = 0) -> Packed:
    """Five sequences of very different length, among them the shortest."""
    return Packed.of(sentences(3, 1, 23, 2, 7, seed=seed))


def test_it_keeps_the_protocol_and_its_shapes(name):
    model, batch = tiny(name), text()
    assert offers(model, LanguageModel)
    hidden = model.hidden(batch)
    assert hidden.shape == (len(batch.tokens), model.config.width)
    assert torch.equal(model.output(hidden), model(batch))
    scores, state = model.step(None, model.start(batch))
    assert scores.shape == (len(batch), WORDS)
    assert model.step(scores.argmax(-1), state)[0].shape == (len(batch), WORDS)


def test_every_parameter_gets_a_gradient(name):
    model = tiny(name)
    NextToken(model)(Packed.of(sentences(*range(1, 64, 7), 64))).total.backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().max() > 1e-9, parameter_name


def test_the_loss_is_that_of_each_token_given_those_before_it(name):
    model, batch = tiny(name), text()
    loss = NextToken(model)(batch)
    logs = 0.0
    for one in batch.unpack(batch.tokens):
        for place in range(1, len(one)):
            logs += float(model(Packed.of([one[:place]]))[-1].log_softmax(-1)[one[place]].detach())
    assert (loss.tokens, loss.sequences) == (31, 4)
    assert_close(float(loss.log_likelihood), logs, **EXACT)
    assert_close(float(loss.total.detach()), -logs, **EXACT)
    with pytest.raises(ValueError, match="nothing to predict"):
        NextToken(model)(Packed.of([[3], [4]]))


def test_the_gradient_is_the_derivative(name):
    model, batch = tiny(name), text()
    assert_gradient_is_the_derivative(model, lambda: NextToken(model)(batch).total)


def test_it_cannot_see_ahead_and_sees_its_own_sequence_alone(name):
    model, batch = tiny(name), text()
    before = model(batch)
    for where in range(len(batch.tokens)):
        tokens = batch.tokens.clone()
        tokens[where] = 3 + (tokens[where] - 2) % (WORDS - 3)
        change = (model(Packed(tokens, batch.lengths)) - before).abs().amax(-1)
        own = torch.arange(len(batch)).repeat_interleave(batch.lengths)
        may = (own == own[where]) & (torch.arange(len(own)) >= where)
        assert change[~may].max() < 1e-9
        assert change[where] > 1e-6


def test_packed_is_one_by_one(name):
    model, batch = tiny(name), text()
    for one, together in zip(batch.unpack(batch.tokens), batch.unpack(model(batch)), strict=True):
        assert_close(model(Packed.of([one])), together, **EXACT)


@pytest.mark.parametrize("prompts", [1, 2, 5])
def test_cached_is_uncached(name, prompts):
    model = tiny(name)
    texts = [torch.tensor(ids) for ids in sentences(9, 20, 14, 9, 31, seed=3)][:prompts]
    read = [2, 11, 1, 8, 5][:prompts]
    wanted = [model(Packed.of([one])) for one in texts]
    scores, state = model.step(None, model.start(Packed.of(one[:n] for one, n in zip(texts, read, strict=True))))
    for t in range(max(len(one) - n for one, n in zip(texts, read, strict=True))):
        for n, one, whole, row in zip(read, texts, wanted, scores, strict=True):
            if n + t <= len(one):
                assert_close(row, whole[n + t - 1], **EXACT)
        tokens = [one[min(n + t, len(one) - 1)] for one, n in zip(texts, read, strict=True)]
        scores, state = model.step(torch.stack(tokens), state)


def test_hypotheses_can_be_reordered_repeated_dropped_and_joined(name):
    model, texts = tiny(name), [sentence[:-1] for sentence in sentences(6, 2, 4)]
    _, state = model.step(None, model.start(Packed.of(texts[:2])))
    history = [(n, []) for n in range(2)]
    # the rows which go on, their places among three a text, and the texts of the table where some leave it
    choices = [
        ([0, 0, 1, 1], [0, 1, 3, 4], None),
        ([1, 0, 2, 2, 3], [0, 1, 3, 4, 5], None),  # exchanged and doubled
        *[([1, 0, 2, 3, 4], [0, 1, 3, 4, 5], None)] * 5,
        ([2, 4, 3], [0, 1, 2], [1]),  # the second alone stays
    ]
    for number, (rows, places, kept) in enumerate(choices):
        history = [(history[r][0], list(history[r][1])) for r in rows]
        words = [3 + (2 * number + 3 * r) % (WORDS - 3) for r in range(len(rows))]
        for (_, written), word in zip(history, words, strict=True):
            written.append(word)
        hypotheses = Hypotheses(2 if kept is None else len(kept), 3, torch.tensor(places))
        state = state.select(torch.tensor(rows), hypotheses, None if kept is None else torch.tensor(kept))
        scores, state = model.step(torch.tensor(words), state)
        for score, (n, written) in zip(scores, history, strict=True):
            assert_close(score, model(Packed.of([[*texts[n], *written]]))[-1], **EXACT)
    _, other = model.step(None, model.start(Packed.of(texts[2:])))
    both = state.select(torch.arange(3), Hypotheses(1, 3, torch.arange(3)))
    both = both.join(other.select(torch.zeros(1, dtype=torch.int64), Hypotheses(1, 3, torch.tensor([0]))))
    scores, _ = model.step(torch.full((4,), 5), both)
    for score, (n, written) in zip(scores, [*history, (2, [])], strict=True):
        assert_close(score, model(Packed.of([[*texts[n], *written, 5]]))[-1], **EXACT)


def test_a_beam_search_goes_on_from_prompts_and_knows_true_probabilities(name):
    model, prompts = tiny(name), [sentence[:-1] for sentence in sentences(3, 9, 5)]
    shares = (prompts[:2], prompts[2:])  # the second joins the search of the first
    entering = (Entering(model.start(Packed.of(own)), torch.full((len(own),), 6)) for own in shares)
    with torch.no_grad():
        found = beam_search(model.step, entering, end=END, beams=4, ranking=Ranking(0.0), best=2)
        for prompt, hypotheses in zip(prompts, found, strict=True):
            assert hypotheses
            for one in hypotheses:
                written = [*one.tokens, *([END] if one.finished else [])]
                logs = model(Packed.of([[*prompt, *written]])).log_softmax(-1)[len(prompt) - 1 : -1]
                summed = logs.gather(1, torch.tensor(written)[:, None]).sum()
                assert_close(one.log_probability, float(summed), **EXACT)


def test_an_id_outside_the_vocabulary_is_refused(name):
    model = tiny(name)
    for wrong in (-1, WORDS):
        with pytest.raises(ValueError, match=rf"ids must lie in 0 to {WORDS - 1}, got .*{wrong}.*tokenizer"):
            model(Packed.of([[3, wrong]]))


def test_a_saved_model_is_read_back_as_it_was(name, tmp_path):
    model, batch = tiny(name, dtype=torch.float32), text()
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert (type(again), again.config, again.training) == (type(model), model.config, False)
    assert torch.equal(again(batch), model(batch))


def test_dropout_is_used_in_training_alone(name):
    model, batch = tiny(name, dropout=0.5), text()
    plain = tiny(name)
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model(batch), plain(batch))
    assert not torch.allclose(model.train()(batch), plain(batch))


def test_every_named_size_can_be_built(name):
    for config in MODELS[name].sizes.values():
        with torch.device("meta"):
            model = MODELS[name].model(config)
        assert name_of(model) == name


def test_a_published_start_is_calm(name):
    torch.manual_seed(0)
    model = MODELS[name].model(tiny_config(name)).eval()
    loss = NextToken(model)(text())
    assert loss.tokens == 31
    assert loss.total.item() / 31 == pytest.approx(math.log(WORDS), rel=0.1)
