"""Products with weights, in each library which computes them."""

import pytest
import torch
from torch.nn.functional import linear
from torch.testing import assert_close

from regard.layers import linear as module
from regard.layers.linear import Linear, multiply, product


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


needs_onednn = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this build of torch has no oneDNN"
)


@pytest.fixture
def onednn(monkeypatch):
    """A processor on which oneDNN is the faster library, whatever this one is; what goes through it is counted."""
    calls, through = [], module._onednn
    monkeypatch.setattr(module, "prefers_onednn", lambda: True)
    monkeypatch.setattr(module, "_onednn", lambda *inputs: calls.append(inputs) or through(*inputs))
    return calls


@needs_onednn
@pytest.mark.parametrize("shape", [(1,), (7, 256), (3, 90)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_onednn_gives_the_product_and_its_gradients(onednn, shape, with_bias):
    torch.manual_seed(0)
    x, weight = torch.randn(*shape, 512, requires_grad=True), torch.randn(1030, 512, requires_grad=True)
    inputs = (x, weight, torch.randn(1030, requires_grad=True)) if with_bias else (x, weight)
    result = product(*inputs)
    wanted = linear(*(y.double() for y in inputs))
    assert_close(result.double(), wanted, atol=1e-4, rtol=1e-5)  # sums of 512 products in float32
    towards = torch.randn_like(result)
    for found, right in zip(
        torch.autograd.grad(result, inputs, towards), torch.autograd.grad(wanted, inputs, towards.double()), strict=True
    ):
        assert_close(found, right, atol=5e-4, rtol=1e-4)
    assert len(onednn) == 3
    with torch.no_grad():
        assert_close(product(*inputs), result)
    assert len(onednn) == 4


@needs_onednn
def test_what_onednn_gives_can_be_changed_in_place(onednn):
    weight = torch.randn(1030, 512, requires_grad=True)
    for x in (torch.randn(7, 90, 512), torch.randn(512), torch.randn(90, 512)):
        product(x, weight).relu_().sum().backward()
    assert weight.grad is not None
    assert len(onednn) == 6


@needs_onednn
def test_a_gradient_which_nobody_wants_is_not_computed(onednn):
    weight = torch.randn(1024, 512)
    x = torch.randn(64, 512, requires_grad=True)
    product(x, weight).sum().backward()
    assert x.grad is not None
    assert weight.grad is None
    assert len(onednn) == 2


@needs_onednn
def test_small_products_and_other_precisions_stay_where_they_are(onednn):
    product(torch.randn(2, 16), torch.randn(16, 16))
    product(torch.randn(64, 512).double(), torch.randn(1024, 512).double())
    with torch.autocast("cpu", torch.bfloat16):
        product(torch.randn(64, 512), torch.randn(1024, 512))
    assert not onednn


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [5, 400])
def test_a_product_is_written_or_added_where_it_belongs(onednn, adds, kind, size):
    torch.manual_seed(0)
    a, b = torch.randn(size, 64).to(kind), torch.randn(64, size).to(kind)
    result = torch.full((size, size), torch.nan if not adds else 3.0, dtype=torch.promote_types(kind, torch.float32))
    multiply(a, b, result, adds=adds)
    wanted = a.double() @ b.double() + 3.0 * adds
    tolerance = 0.3 if kind == torch.bfloat16 else 1e-4  # the product is of that precision
    assert_close(result.double(), wanted, atol=tolerance, rtol=0)


def test_the_choice_of_library_is_that_of_the_processor(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    has_it = hasattr(torch.ops.mkldnn, "_linear_pointwise") and torch.backends.mkldnn.is_available()
    for name, wanted in (("AMD EPYC", has_it), ("Intel(R) Xeon(R)", False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {"cpu_name": name})
        assert module.prefers_onednn.__wrapped__() == wanted
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "AMD EPYC"})
    assert not module.prefers_onednn.__wrapped__()
