"""Weights of 8 and 16 bits."""

import pytest
import torch
from tiny import WRITING, tiny
from torch import nn
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.decoding.writer import Writer
from regard.layers import rounded as module
from regard.layers.linear import Linear, has_bfloat16_products
from regard.layers.rounded import Bfloat16Linear, Int8Linear, Int8LinearOfManyRows, round_weights
from regard.text.tokenizer import Tokenizer

needs_bfloat16 = pytest.mark.skipif(not has_bfloat16_products(), reason="this processor has no products of bfloat16")


def test_rounded_weights_are_within_a_half_step():
    torch.manual_seed(0)
    layer = Linear(64, 48)
    rounded = Int8Linear(layer)
    x = torch.eye(64)
    steps = layer.weight.abs().amax(1) / 127
    error = (rounded(x) - layer(x)).abs()
    assert (error <= 0.5 * steps + 0.01 * layer.weight.abs().amax(1)).all()  # and the 7 bits of what enters


@pytest.mark.skipif(not hasattr(torch.ops.onednn, "qlinear_pointwise"), reason="this build of torch has no oneDNN")
@pytest.mark.parametrize("has_bias", [True, False])
def test_products_of_many_rows_are_the_same_sums(has_bias):
    torch.manual_seed(0)
    layer = Linear(192, 80, has_bias)
    few, many = Int8Linear(layer), Int8LinearOfManyRows(layer)
    for x in (torch.randn(1, 192), torch.randn(40, 3, 192).transpose(0, 1), torch.zeros(2, 192)):
        assert_close(many(x), few(x), atol=1e-6, rtol=1e-5)  # whole numbers, scaled in another order


@pytest.mark.parametrize("name", WRITING)
def test_rounded_models_score_nearly_the_same(name):
    model = tiny(name).float()
    text = Packed.of([[1, 3, 5, 4, 7, 8, 2, 9, 10, 3]])
    with torch.no_grad():
        exact = model(text).log_softmax(-1)
        rounded = round_weights(model, "int8")(text).log_softmax(-1)
    assert not torch.equal(rounded, exact)
    assert (rounded - exact).abs().mean() < 0.3  # weights of 1.5 standard deviations; differences of one are usual


def test_rounded_weights_are_not_saved(tmp_path):
    writer = Writer(tiny("gpt2").float(), Tokenizer.train(["abcdefgh"], kind="characters"))
    writer.round_weights("int8")
    assert len(writer.generate(["abc"], tokens=5)) == 1
    with pytest.raises(ValueError, match="rounded, and are not there to be saved"):
        writer.save(tmp_path)
    assert not any(tmp_path.iterdir())


@needs_bfloat16
def test_layers_of_bfloat16_are_plain_layers_of_bfloat16():
    torch.manual_seed(0)
    layer = Linear(192, 80)
    for x in (torch.randn(1, 192), torch.randn(3, 40, 192)):
        found = Bfloat16Linear(layer)(x.bfloat16())
        wanted = torch.nn.functional.linear(x.bfloat16(), layer.weight.bfloat16(), layer.bias.bfloat16())
        assert found.dtype == torch.bfloat16
        assert_close(found, wanted, atol=0.02, rtol=0.01)  # a last place of bfloat16, where sums are in another order


@needs_bfloat16
@pytest.mark.parametrize("name", WRITING)
def test_models_of_bfloat16_write_and_are_not_saved(name, tmp_path):
    model = tiny(name).float()
    text = Packed.of([[1, 3, 5, 4, 7, 8, 2, 9, 10, 3]])
    with torch.no_grad():
        exact = model(text).log_softmax(-1)
        rounded = round_weights(model, "bfloat16")(text).float().log_softmax(-1)
    assert not torch.equal(rounded, exact)
    assert (rounded - exact).abs().mean() < 0.3  # as for 8 bits
    with torch.no_grad():
        state = model.start(text)
        scores, state = model.step(None, state)
        scores, _ = model.step(scores.argmax(-1), state)
    assert scores.isfinite().all()
    assert module.is_rounded(model)


def test_a_processor_without_bfloat16_says_so(monkeypatch):
    monkeypatch.setattr(module, "has_bfloat16_products", lambda: False)
    with pytest.raises(ValueError, match="no products of bfloat16; leave bfloat16 away, or take int8"):
        round_weights(tiny("gpt2"), "bfloat16")


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="int8"):
        round_weights(tiny("gpt2"), "int4")


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="Sequential has no layer whose weights can be rounded"):
        round_weights(nn.Sequential(nn.Conv1d(1, 1, 1)), "int8")
