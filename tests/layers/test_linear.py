"""Products of few rows, and of rounded weights."""

import pytest
import torch
from tiny import WRITING, tiny
from torch import nn
from torch.nn.functional import linear
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.decoding.writer import Writer
from regard.layers.linear import Linear, product
from regard.layers.quantised import QuantisedLinear, quantise
from regard.text.tokenizer import Tokenizer


@pytest.fixture
def three_threads():
    """As a machine with three cores has them."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3), (256,), (257,)])
@pytest.mark.parametrize("outputs", [300, 301])
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_product_of_few_rows_is_the_product(three_threads, shape, outputs, with_bias):
    x, weight = torch.randn(*shape, 256).double(), torch.randn(outputs, 256).double()
    bias = torch.randn(outputs).double() if with_bias else None
    with torch.no_grad():
        assert_close(product(x, weight, bias), linear(x, weight, bias), atol=1e-12, rtol=1e-12)


def test_rows_which_do_not_lie_in_one_piece_are_taken(three_threads):
    x, weight = torch.randn(256, 4).double().T, torch.randn(300, 256).double()
    with torch.no_grad():
        assert_close(product(x, weight), linear(x, weight), atol=1e-12, rtol=1e-12)
        assert product(x[:0], weight).shape == (0, 300)


def test_gradients_flow_through_a_layer(three_threads):
    layer = Linear(256, 300)
    layer(torch.randn(2, 256)).sum().backward()
    assert layer.weight.grad is not None


def test_rounded_weights_are_within_a_half_step():
    torch.manual_seed(0)
    layer = Linear(64, 48)
    rounded = QuantisedLinear(layer)
    x = torch.eye(64)
    steps = layer.weight.abs().amax(1) / 127
    error = (rounded(x) - layer(x)).abs()
    assert (error <= 0.5 * steps + 0.01 * layer.weight.abs().amax(1)).all()  # and the 7 bits of what enters


@pytest.mark.parametrize("name", WRITING)
def test_rounded_models_score_nearly_the_same(name):
    model = tiny(name).float()
    text = Packed.of([[1, 3, 5, 4, 7, 8, 2, 9, 10, 3]])
    with torch.no_grad():
        exact = model(text).log_softmax(-1)
        rounded = quantise(model)(text).log_softmax(-1)
    assert not torch.equal(rounded, exact)
    assert (rounded - exact).abs().mean() < 0.3  # weights of 1.5 standard deviations; differences of one are usual


def test_rounded_weights_are_not_saved(tmp_path):
    writer = Writer(tiny("gpt2").float(), Tokenizer.train(["abcdefgh"], kind="characters"))
    writer.quantise()
    assert len(writer.generate(["abc"], tokens=5)) == 1
    with pytest.raises(ValueError, match="rounded to 8 bits, and are not there to be saved"):
        writer.save(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="Sequential has no layer whose weights can be rounded"):
        quantise(nn.Sequential(nn.Conv1d(1, 1, 1)))
