"""What holds for every encoder of the registry; a new entry is tested by being there."""

import copy
import dataclasses
import json

import pytest
import torch
from tiny import READING, WORDS, assert_gradient_is_the_derivative, headed, inputs, tiny, tiny_config
from torch.testing import assert_close

from regard.attention.attend import kernel
from regard.attention.packing import Packed
from regard.attention.record import attentions, recording, without_heads
from regard.layers.rounded import round_weights
from regard.models import MODELS, name_of
from regard.models.protocols import Encoder, offers
from regard.models.saved import load_encoder, load_model, save_model
from regard.storage.configuration import configured

pytestmark = pytest.mark.parametrize("name", READING)
EXACT = {"atol": 1e-9, "rtol": 1e-9}  # float64, other orders of summation
LENGTHS = (3, 1, 23, 2, 7)  # very different, among them the shortest


def batch(name: str, seed: int = 0) -> tuple[Packed, torch.Tensor]:
    """Five inputs, and the segment of each token."""
    return inputs(name, *LENGTHS, seed=seed)


def one_by_one(text: Packed, segments: torch.Tensor) -> list[tuple[Packed, torch.Tensor]]:
    """Each input as a batch of its own."""
    pairs = zip(text.unpack(text.tokens), text.unpack(segments), strict=True)
    return [(Packed.of([ids]), own) for ids, own in pairs]


def test_it_keeps_the_protocol_and_its_shapes(name):
    model, (text, segments) = tiny(name, pools=True), batch(name)
    assert offers(model, Encoder)
    states = model.hidden(text, segments)
    assert states.shape == (len(text.tokens), model.config.width)
    places = text.starts + text.lengths - 1 if model.sums_up_last else text.starts
    assert_close(model(text, segments), model.pool(states[places]), **EXACT)
    assert model(text, segments).shape == (len(text), model.config.width)
    assert model.token.num_embeddings == WORDS


def test_packed_is_one_by_one_is_padded(name):
    model, (text, segments) = tiny(name, pools=True), batch(name)
    states, sums = model.hidden(text, segments), model(text, segments)
    for (one, own), together, summed in zip(one_by_one(text, segments), text.unpack(states), sums, strict=True):
        assert_close(model.hidden(one, own), together, **EXACT)
        assert_close(model(one, own)[0], summed, **EXACT)
    for fill in (0, WORDS - 1):
        padded = Packed.from_padded(text.padded(fill), text.is_token)
        assert torch.equal(model.hidden(padded, segments), states)


def test_the_order_of_inputs_does_not_matter(name):
    model, (text, segments) = tiny(name), batch(name)
    order = [3, 0, 4, 2, 1]
    ids, kinds, states = (text.unpack(part) for part in (text.tokens, segments, model.hidden(text, segments)))
    moved = model.hidden(Packed.of([ids[n] for n in order]), torch.cat([kinds[n] for n in order]))
    assert_close(moved, torch.cat([states[n] for n in order]), **EXACT)


def test_every_token_sees_all_of_its_own_input_and_nothing_else(name):
    model, (text, segments) = tiny(name), batch(name)
    before = model.hidden(text, segments)
    own = torch.arange(len(text)).repeat_interleave(text.lengths)
    for where in (0, 3, 4, 15, 26, 27, 35):
        tokens = text.tokens.clone()
        tokens[where] = 3 + (tokens[where] - 2) % (WORDS - 3)
        change = (model.hidden(Packed(tokens, text.lengths), segments) - before).abs().amax(-1)
        assert change[own != own[where]].max() < 1e-9
        assert change[own == own[where]].min() > 1e-6


def test_segments_matter_and_are_all_of_the_first_where_none_are_said(name):
    model, (text, segments) = tiny(name), batch(name)
    plain = model.hidden(text)
    assert_close(model.hidden(text, torch.zeros_like(segments)), plain, **EXACT)
    change = (model.hidden(text, segments) - plain).abs().amax(-1)
    assert change[4:27].min() > 1e-6  # of an input with two segments and more


@pytest.mark.parametrize(
    "rows", [[0, 3, 4, 27, 29], [2, 3, 26, 28, 35], [0, 1, 2, 3, 4, 9, 15, 26, 27, 28, 30, 34], list(range(36))]
)
def test_rows_are_those_of_the_whole(name, rows):
    model, (text, segments) = tiny(name), batch(name)
    rows = torch.tensor(rows)
    wanted = model.hidden(text, segments)[rows]
    assert_close(model.hidden(text, segments, rows), wanted, **EXACT)
    with recording(model):
        assert_close(model.hidden(text, segments, rows), wanted, **EXACT)


def test_rows_have_the_gradient_which_they_have_in_the_whole(name):
    model, (text, segments) = tiny(name), batch(name)
    rows, weights = torch.tensor([1, 3, 5, 20, 27, 35]), list(model.parameters())
    results = [model.hidden(text, segments, rows), model.hidden(text, segments)[rows]]
    kinds = [torch.autograd.grad(result.square().sum(), weights, allow_unused=True) for result in results]
    for some, all_ in zip(*kinds, strict=True):
        assert (some is None) == (all_ is None)
        if some is not None:
            assert_close(some, all_, **EXACT)


@torch.no_grad()
def test_what_is_recorded_are_weights_and_changes_nothing(name):
    model, (text, segments) = tiny(name, pools=True), batch(name)
    plain = model.hidden(text, segments), model(text, segments)
    with recording(model) as maps:
        looked_into = model.hidden(text, segments), model(text, segments)
    for one, other in zip(plain, looked_into, strict=True):
        assert_close(one, other, **EXACT)
    assert set(maps) == set(attentions(model))
    own = torch.arange(len(text)).repeat_interleave(text.lengths)
    is_own = own[:, None] == own
    for weights in (weights for calls in maps.calls.values() for weights in calls):
        assert weights.shape == (1, model.config.heads, len(own), len(own))
        assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), **EXACT)
        assert weights[..., is_own].gt(0).all()
        assert weights[..., ~is_own].eq(0).all()


@torch.no_grad()
def test_the_plain_formula_gives_the_same(name):
    model, (text, segments) = tiny(name), batch(name)
    rows = torch.tensor([0, 3, 7, 26, 28, 35])
    plain = model.hidden(text, segments), model.hidden(text, segments, rows)
    with kernel("reference"):
        assert_close(model.hidden(text, segments), plain[0], **EXACT)
        assert_close(model.hidden(text, segments, rows), plain[1], **EXACT)


@torch.no_grad()
def test_a_head_left_out_is_a_head_whose_columns_of_the_output_are_zero(name):
    model, (text, segments) = tiny(name), batch(name)
    cut, module = copy.deepcopy(model), list(attentions(model))[-1]
    attention = cut.get_submodule(module)
    columns = attention.width // attention.heads
    for head in (0, 3):
        attention.output.weight[:, head * columns : (head + 1) * columns] = 0.0
    wanted, plain = cut.hidden(text, segments), model.hidden(text, segments)
    with without_heads(model, {module: [0, 3]}):
        ours = model.hidden(text, segments)
        with recording(model):
            looked_into = model.hidden(text, segments)
    assert_close(ours, wanted, **EXACT)
    assert_close(looked_into, wanted, **EXACT)
    assert (ours - plain).abs().max() > 0.01
    assert torch.equal(model.hidden(text, segments), plain)


def test_every_parameter_gets_a_gradient(name):
    """But for XLNet's vector of an unknown word, which only a permuted text has."""
    model, (text, segments) = headed(name, "classification"), inputs(name, 64, 5, 9)
    model(text, segments).log_softmax(-1)[:, 1].sum().backward()
    for parameter_name, parameter in model.named_parameters():
        if parameter_name == "encoder.unknown":
            assert parameter.grad is None
            continue
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().max() > 1e-9, parameter_name


def test_the_gradient_is_the_derivative(name):
    model, (text, segments) = headed(name, "classification"), batch(name)
    for parameter_name, parameter in list(model.named_parameters()):
        if parameter_name == "encoder.unknown":
            parameter.grad = torch.zeros_like(parameter)
    assert_gradient_is_the_derivative(model, lambda: model(text, segments).log_softmax(-1)[:, 1].sum())


@torch.no_grad()
def test_half_the_precision_is_near(name):
    model, (text, segments) = tiny(name, pools=True, dtype=torch.float32), batch(name)
    wanted = model.hidden(text, segments)
    model = model.bfloat16()
    states = model.hidden(text, segments)
    assert states.dtype is torch.bfloat16
    assert states.isfinite().all()
    assert model(text, segments).isfinite().all()
    assert (states.float() - wanted).abs().mean() < 0.1  # of states of about 1, with large weights


def test_a_model_of_rounded_weights_says_nearly_the_same(name):
    model, (text, segments) = tiny(name, pools=True, dtype=torch.float32), batch(name)
    with torch.no_grad():
        wanted, rows = model.hidden(text, segments), torch.tensor([0, 3, 9, 26, 27, 35])
        rounded = round_weights(model, "int8")
        states = rounded.hidden(text, segments)
        assert not torch.equal(states, wanted)
        assert (states - wanted).abs().mean() < 0.1  # as above
        assert (rounded.hidden(text, segments, rows) - wanted[rows]).abs().mean() < 0.1
        assert rounded(text, segments).isfinite().all()


@pytest.mark.usefixtures("compiled_anew")
@torch.no_grad()
def test_a_compiled_model_says_the_same(name):
    model, (text, segments) = tiny(name, pools=True, depth=1), inputs(name, 3, 5)
    compiled = torch.compile(model, backend="eager")
    assert_close(compiled(text, segments), model(text, segments), **EXACT)


@pytest.fixture
def compiled_anew():
    """Nothing which was compiled before."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def test_a_configuration_survives_json(name):
    for config in [*MODELS[name].sizes.values(), tiny_config(name, pools=True)]:
        values = json.loads(json.dumps(dataclasses.asdict(config)))
        assert configured(MODELS[name].config, values, "here") == config


@pytest.mark.parametrize("pools", [False, True])
def test_a_saved_model_is_read_back_as_it_was(name, pools, tmp_path):
    model, (text, segments) = tiny(name, dtype=torch.float32, pools=pools), batch(name)
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert (type(again), again.config, again.training) == (type(model), model.config, False)
    assert torch.equal(again.hidden(text, segments), model.hidden(text, segments))
    if pools:
        assert torch.equal(again(text, segments), model(text, segments))


def test_its_encoder_can_be_used_for_something_else(name, tmp_path):
    model, (text, segments) = headed(name, "classification", dtype=torch.float32), batch(name)
    save_model(model, tmp_path)
    for pools in (False, True):
        encoder, is_fresh = load_encoder(tmp_path, pools=pools, dropout=0.25)
        assert not is_fresh
        assert (encoder.config.pools, encoder.config.dropout, encoder.training) == (pools, 0.25, False)
        assert torch.equal(encoder.hidden(text, segments), model.encoder.hidden(text, segments))
    assert torch.equal(encoder(text, segments), model.encoder(text, segments))


def test_an_id_outside_the_vocabulary_is_refused(name):
    model = tiny(name)
    for wrong in (-1, WORDS):
        with pytest.raises(ValueError, match=rf"ids must lie in 0 to {WORDS - 1}, got .*{wrong}.*tokenizer"):
            model.hidden(Packed.of([[3, wrong]]))


def test_what_has_no_embedding_is_refused(name):
    model, config = tiny(name), tiny_config(name)
    if not hasattr(config, "context"):
        pytest.skip("it has no limit of positions, and its segments are only compared")
    most = config.context
    model.hidden(Packed.of([[3] * most, [4]]))
    with pytest.raises(ValueError, match=f"an input of {most + 1} tokens does not fit into the context of {most}"):
        model.hidden(Packed.of([[4], [3] * (most + 1)]))
    for wrong in (-1, config.segments):
        with pytest.raises(ValueError, match=rf"segments must lie in 0 to {config.segments - 1}, got .*{wrong}"):
            model.hidden(Packed.of([[3, 4]]), torch.tensor([0, wrong]))


def test_dropout_is_used_in_training_alone(name):
    text, segments = batch(name)
    plain = tiny(name).hidden(text, segments)
    for rate in ("dropout", "attention_dropout"):
        model = tiny(name, **{rate: 0.5})
        assert torch.equal(model.hidden(text, segments), plain)
        assert not torch.allclose(model.train().hidden(text, segments), plain)


def test_every_named_size_can_be_built(name):
    for config in MODELS[name].sizes.values():
        with torch.device("meta"):
            model = MODELS[name].model(config)
        assert name_of(model) == name


def test_a_published_start_is_calm(name):
    """Matrices, and the vector w, have a deviation of 0.02, gains are one, and all else is zero."""
    torch.manual_seed(0)
    model, (text, segments) = MODELS[name].model(tiny_config(name, width=64, pools=True)).eval(), batch(name)
    for parameter_name, parameter in model.named_parameters():
        if parameter.ndim > 1 or parameter_name == "unknown":
            assert parameter.abs().max() < 0.1, parameter_name
            assert parameter.std().item() == pytest.approx(0.02, rel=0.25), parameter_name
        else:
            assert parameter.eq(float("norm.weight" in parameter_name)).all(), parameter_name
    states = model.hidden(text, segments)
    assert_close(states.std(1, correction=0), torch.ones(len(states)), atol=1e-3, rtol=0)
