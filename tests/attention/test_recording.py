"""Recorded weights beside a softmax by hand, and heads left out beside columns set to zero."""

import copy

import pytest
import torch
from tiny import TRANSLATING, pairs, sentences, tiny
from torch import nn
from torch.testing import assert_close

from regard.attention.attend import kernel
from regard.attention.packing import Packed
from regard.attention.record import attentions, recording, without_heads
from regard.layers.attention import MultiHeadAttention

ATTENTIVE = [name for name in TRANSLATING if any(True for m in tiny(name).modules() if hasattr(m, "recorded"))]
FEW = Packed.of(sentences(3, 2)), Packed.of(sentences(2, 4))
TRANSFORMERS = [name for name in ATTENTIVE if name.startswith("transformer")]


@pytest.fixture(autouse=True)
def _fresh_compiler():
    yield
    torch._dynamo.reset()


def test_the_names_of_attentions_are_those_of_the_modules():
    sides = [f"{side}.{n}.attention" for side in ("encoder", "decoder") for n in range(2)]
    assert sorted(attentions(tiny("transformer"))) == sorted(
        [*sides, *(f"decoder.{n}.source_attention" for n in range(2))]
    )
    assert list(attentions(tiny("rnnsearch"))) == ["attention"]


@pytest.mark.parametrize("name", ["seq2seq", "encoder-decoder"])
def test_a_model_without_attention_says_so(name):
    with pytest.raises(ValueError, match="has no attention to look at"), recording(tiny(name)):
        pass


@pytest.mark.parametrize("name", ATTENTIVE)
def test_weights_sum_to_one_over_the_own_sentence(name):
    model, (source, target) = tiny(name), pairs()
    with torch.no_grad(), recording(model) as maps:
        model(source, target)
    assert set(maps) == set(attentions(model))
    for module, weights in maps.items():
        queries = source if module.startswith("encoder") else target
        keys = target if module.startswith("decoder") and "source" not in module else source
        heads = attentions(model)[module].heads
        assert weights.shape == (1, heads, len(queries.tokens), len(keys.tokens))
        assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), atol=1e-12, rtol=0)
        ids = [torch.arange(len(x)).repeat_interleave(x.lengths) for x in (queries, keys)]
        allowed = ids[0][:, None] == ids[1]
        if keys is target:
            allowed = allowed & torch.ones_like(allowed).tril()
        assert weights[..., ~allowed].eq(0).all()
        assert weights[..., allowed].gt(0).all()


@pytest.mark.parametrize("name", ATTENTIVE)
def test_one_pair_gives_one_map_of_its_own_size(name):
    model, source, target = tiny(name), Packed.of(sentences(6)), Packed.of(sentences(4))
    cross = "attention" if name == "rnnsearch" else "decoder.1.source_attention"
    with torch.no_grad(), recording(model) as maps:
        model(source, target)
    assert maps[cross].shape == (1, attentions(model)[cross].heads, 4, 6)


def test_recorded_weights_are_the_softmax_of_projected_queries_and_keys():
    torch.manual_seed(0)
    layer = MultiHeadAttention(12, 3).double()
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    with torch.no_grad(), recording(layer) as maps:
        layer(x)
    query, key, _ = (
        x @ w.T + b for w, b in zip(layer.projection.weight.chunk(3), layer.projection.bias.chunk(3), strict=True)
    )
    for h in range(3):
        own = slice(4 * h, 4 * h + 4)
        wanted = (query[:, :, own] @ key[:, :, own].mT / 2.0).exp()
        assert_close(maps[""][:, h], wanted / wanted.sum(-1, keepdim=True), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", ATTENTIVE)
@pytest.mark.parametrize("chosen", ["fastest", "reference", "flex"])
def test_recording_changes_no_result_under_any_kernel(name, chosen):
    model, batch = tiny(name), pairs()
    with torch.no_grad():
        plain = model(*batch)
        with kernel(chosen), recording(model) as maps:
            recorded = model(*batch)
        with kernel("reference"), recording(model) as reference:
            model(*batch)
    assert_close(recorded, plain, atol=1e-10, rtol=1e-10)
    for module in reference:
        assert torch.equal(maps[module], reference[module])


@pytest.mark.parametrize("name", ATTENTIVE)
def test_recording_changes_no_gradient(name):
    model, batch = tiny(name), pairs()
    weights = list(model.parameters())
    plain = torch.autograd.grad(model(*batch).square().sum(), weights)
    with recording(model) as maps:
        recorded = torch.autograd.grad(model(*batch).square().sum(), weights)
    for got, want in zip(recorded, plain, strict=True):
        assert_close(got, want, atol=1e-8, rtol=1e-8)
    assert not any(weights.requires_grad for weights in maps.values())


@pytest.mark.parametrize("name", ATTENTIVE)
def test_each_step_of_decoding_records_a_row_of_the_whole(name):
    model, source, target = tiny(name), Packed.of(sentences(6)), Packed.of(sentences(4))
    cross = "attention" if name == "rnnsearch" else "decoder.1.source_attention"
    with torch.no_grad():
        with recording(model) as whole:
            model(source, target)
        with recording(model) as stepped:
            state, token = model.start(source), None
            for t in range(4):
                _, state = model.step(token, state)
                token = target.tokens[t : t + 1]
    assert len(stepped.calls[cross]) == 4
    assert_close(torch.cat(stepped.calls[cross], 2), whole[cross], atol=1e-10, rtol=1e-10)


def test_a_module_called_twice_is_refused_and_its_calls_are_kept():
    model, batch = tiny("transformer"), pairs()
    with torch.no_grad(), recording(model) as maps:
        model(*batch)
        model(batch[1], batch[0])
    with pytest.raises(
        ValueError, match=r"encoder.0.attention was called 2 times .* see .calls\['encoder.0.attention'\]"
    ):
        maps["encoder.0.attention"]
    first, second = maps.calls["encoder.0.attention"]
    assert first.shape[-1] == len(batch[0].tokens)
    assert second.shape[-1] == len(batch[1].tokens)


def test_an_unknown_name_is_a_key_error():
    model = tiny("rnnsearch")
    with torch.no_grad(), recording(model) as maps:
        assert len(maps) == 0
        model(*pairs())
    assert len(maps) == 1
    with pytest.raises(KeyError):
        maps["decoder"]


@pytest.mark.parametrize("name", ATTENTIVE)
def test_nothing_is_recorded_after_the_block(name):
    model, batch = tiny(name), pairs()
    with torch.no_grad(), recording(model) as maps:
        model(*batch)
    before = {module: len(calls) for module, calls in maps.calls.items()}
    with torch.no_grad():
        model(*batch)
    assert {module: len(calls) for module, calls in maps.calls.items()} == before
    assert all(module.recorded is None for module in attentions(model).values())


def test_nothing_is_recorded_after_a_block_which_failed():
    model = tiny("transformer")

    def fail():
        with recording(model):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert all(module.recorded is None for module in attentions(model).values())


def test_an_inner_recording_takes_its_own_and_gives_back_the_outer():
    model, batch = tiny("transformer"), pairs()
    with torch.no_grad(), recording(model) as outer:
        with recording(model) as inner:
            model(*batch)
        assert len(outer) == 0
        model(*batch)
    for module in inner:
        assert torch.equal(inner[module], outer[module])


def shallow(name, **options):
    """One layer where there are layers: compiling takes seconds a layer, and a step."""
    return tiny(name, **options, **({"depth": 1} if name in TRANSFORMERS else {}))


@pytest.mark.parametrize("name", ["rnnsearch", pytest.param("transformer", marks=pytest.mark.slow)])
def test_a_compiled_model_records_what_the_plain_one_does(name):
    model, batch = shallow(name), FEW
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        before = compiled(*batch)
        with recording(model) as plain:
            model(*batch)
        with recording(compiled) as maps:
            during = compiled(*batch)
        after = compiled(*batch)
    assert set(maps) == set(plain)
    for module in plain:
        assert_close(maps[module], plain[module], atol=1e-12, rtol=1e-12)
    assert_close(during, before, atol=1e-10, rtol=1e-10)
    assert_close(after, before, atol=1e-10, rtol=1e-10)
    assert all(len(calls) == 1 for calls in maps.calls.values())


@pytest.mark.slow
def test_a_model_compiled_by_inductor_records_what_the_plain_one_does():
    model, batch = shallow("transformer", dtype=torch.float32), FEW
    compiled = torch.compile(model)
    with torch.no_grad():
        before = compiled(*batch)
        with recording(model) as plain:
            wanted = model(*batch)
        with recording(compiled) as maps:
            during = compiled(*batch)
    for module in plain:
        assert_close(maps[module], plain[module], atol=1e-5, rtol=1e-4)
    for got in (before, during):
        assert_close(got, wanted, atol=1e-3, rtol=1e-3)  # float32, logits of several tens


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("module", ["encoder.0.attention", "decoder.1.attention", "decoder.0.source_attention"])
def test_a_head_left_out_is_a_head_whose_columns_of_the_output_are_zero(name, module):
    model, batch = tiny(name), pairs()
    cut = copy.deepcopy(model)
    attention = cut.get_submodule(module)
    assert isinstance(attention.output, nn.Linear)
    columns = attention.width // attention.heads
    with torch.no_grad():
        for head in (0, 3):
            attention.output.weight[:, head * columns : (head + 1) * columns] = 0.0
        wanted, plain = cut(*batch), model(*batch)
        with without_heads(model, {module: [0, 3]}):
            ours = model(*batch)
        assert_close(ours, wanted, atol=1e-12, rtol=1e-12)
        assert (ours - plain).abs().max() > 0.01
        assert torch.equal(model(*batch), plain)


def test_rnnsearch_without_its_head_reads_a_context_of_zeros():
    model, (source, target) = tiny("rnnsearch"), pairs()
    blind = copy.deepcopy(model)
    with torch.no_grad():
        blind.context.weight.zero_()  # the two readers of the context
        blind.read_context.weight.zero_()
        wanted, plain = blind(source, target), model(source, target)
        with without_heads(model, {"attention": [0]}):
            ours = model(source, target)
            _, state = model.step(None, model.start(source))
        assert state.own[1].eq(0).all()
        assert_close(ours, wanted, atol=1e-12, rtol=1e-12)
        assert (ours - plain).abs().max() > 0.01
        assert torch.equal(model(source, target), plain)


def test_blocks_without_heads_compose():
    model, batch = tiny("transformer"), pairs()
    one, two = {"encoder.0.attention": [0]}, {"encoder.0.attention": [2], "decoder.1.attention": [1]}
    both = {"encoder.0.attention": [0, 2], "decoder.1.attention": [1]}
    with torch.no_grad():
        with without_heads(model, both):
            wanted = model(*batch)
        with without_heads(model, one):
            alone = model(*batch)
            with without_heads(model, two):
                assert torch.equal(model(*batch), wanted)
            assert torch.equal(model(*batch), alone)
        assert all(module.kept is None for module in attentions(model).values())


def test_weights_are_recorded_of_heads_which_are_left_out_too():
    model, batch = tiny("transformer"), pairs()
    with torch.no_grad():
        with recording(model) as plain:
            model(*batch)
        with without_heads(model, {"encoder.0.attention": [1]}), recording(model) as maps:
            model(*batch)
    assert torch.equal(maps["encoder.0.attention"], plain["encoder.0.attention"])
    assert not torch.equal(maps["encoder.1.attention"], plain["encoder.1.attention"])


def test_no_heads_left_out_changes_nothing():
    model, batch = tiny("transformer"), pairs()
    with torch.no_grad():
        plain = model(*batch)
        with without_heads(model, {}):
            assert torch.equal(model(*batch), plain)
        with without_heads(model, {"encoder.0.attention": []}):
            assert_close(model(*batch), plain, atol=1e-12, rtol=1e-12)


def test_a_compiled_attention_records_what_the_plain_one_does():
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(12, 3).double(), torch.randn(2, 5, 12, dtype=torch.float64)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    with torch.no_grad():
        before = compiled(x)
        with recording(layer) as plain:
            layer(x)
        with recording(compiled) as maps:
            during = compiled(x)
        assert_close(maps[""], plain[""], atol=1e-12, rtol=1e-12)
        assert_close(during, before, atol=1e-12, rtol=1e-12)
        assert torch.equal(compiled(x), before)
        assert len(maps.calls[""]) == 1


def test_a_compiled_attention_leaves_heads_out():
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(12, 3), torch.randn(2, 5, 12)
    compiled = torch.compile(layer, backend="eager")
    with torch.no_grad():
        before = compiled(x)
        with without_heads(layer, {"": [1]}):
            wanted = layer(x)
        with without_heads(compiled, {"": [1]}):
            ours = compiled(x)
        assert_close(ours, wanted)
        assert_close(compiled(x), before)
        assert (ours - before).abs().max() > 0.01


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({"encoder.9.attention": [0]}, "no attention is called 'encoder.9.attention'; this model has encoder.0"),
        ({"encoder.0.attention": [4]}, r"encoder.0.attention has heads 0 to 3, got \[4\]"),
        ({"encoder.0.attention": [-1]}, r"encoder.0.attention has heads 0 to 3, got \[-1\]"),
    ],
)
def test_heads_which_are_not_there_are_named(heads, message):
    model = tiny("transformer")
    with pytest.raises(ValueError, match=message), without_heads(model, heads):
        pass
    assert all(module.kept is None for module in attentions(model).values())
