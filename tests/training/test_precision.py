"""Products in bfloat16, on processors which have them and on those which have not."""

import pytest
import torch
import torch.nn.functional as F
from small_runs import NARROW
from tiny import tiny
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from regard.attention.packing import Packed
from regard.models import MODELS, sparse_transformer
from regard.objectives.loss import smoothed_cross_entropy
from regard.objectives.next_token import NextToken
from regard.objectives.translation import Translation
from regard.training import precision

# One step of a number of 8 bits: both sides sum in float32, in another order.
STEP = {"rtol": 2**-7, "atol": 2**-7}

PRODUCTS = {
    "linear": (lambda a, b: F.linear(a[0], b[0].T), (2, 5, 8), (2, 8, 3)),
    "linear with bias": (lambda a, b: F.linear(a[0], b[0].T, a[1, 0, :3]), (2, 5, 8), (2, 8, 3)),
    "@": (lambda a, b: a @ b, (2, 5, 8), (2, 8, 3)),
    "matmul": (torch.matmul, (2, 3, 5, 8), (3, 8, 4)),
    "mm": (torch.mm, (5, 8), (8, 3)),
    "bmm": (torch.bmm, (2, 5, 8), (2, 8, 3)),
    "addmm": (lambda a, b: torch.addmm(a[0, :3], a, b), (5, 8), (8, 3)),
    "method": (lambda a, b: a.mm(b), (5, 8), (8, 3)),
    "attention": (lambda a, b: F.scaled_dot_product_attention(a, b, b, is_causal=True), (1, 2, 5, 8), (1, 2, 5, 8)),
}


@pytest.fixture
def without(monkeypatch):
    """A processor which has no products of bfloat16, whatever this one has."""
    monkeypatch.setattr(precision, "has_bfloat16_products", lambda: False)


def leaves(*sizes):
    """Random tensors which want a gradient."""
    torch.manual_seed(3)
    return [torch.randn(size, requires_grad=True) for size in sizes]


def results(product, inputs):
    """What a product gives, and the gradients of its inputs."""
    value = product(*inputs)
    return value, *torch.autograd.grad(value.float().square().sum(), inputs)


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_those_of_torch(without, name):
    product, *sizes = PRODUCTS[name]
    inputs = leaves(*sizes)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = results(product, inputs)
    with precision.bfloat16("cpu"):
        found = results(product, inputs)
    for got, want in zip(found, wanted, strict=True):
        assert got.dtype is want.dtype
        assert_close(got, want, rtol=2**-6, atol=2**-6 * float(want.detach().abs().max()))


def test_inputs_are_rounded_and_the_sum_is_not(without):
    a, b = leaves((40, 300), (300, 50))
    with torch.no_grad(), precision.bfloat16("cpu"):
        found = a @ b
    exact = a.detach().bfloat16().double() @ b.detach().bfloat16().double()
    assert_close(found.double(), exact, **STEP)
    assert_close(found, exact.bfloat16(), rtol=2**-7, atol=0)
    unrounded = (a.detach().double() @ b.detach().double() - exact).abs().max()
    assert unrounded > 10 * (exact - exact.float().double()).abs().max()


def test_other_types_and_other_functions_are_left_alone(without):
    (a,) = leaves((6, 6))
    with precision.bfloat16("cpu"):
        assert (a.double() @ a.double()).dtype is torch.float64
        assert (a + a).dtype is torch.float32
        with torch.autocast("cpu", enabled=False):
            assert torch.equal(a @ a, torch.mm(a, a))
            assert (a @ a).dtype is torch.float32
            assert (a.bfloat16() @ a.bfloat16()).dtype is torch.bfloat16
            out = torch.empty(6, 6, dtype=torch.bfloat16)
            assert torch.mm(a.bfloat16(), a.bfloat16(), out=out) is out
            assert torch.equal(out, a.bfloat16() @ a.bfloat16())
    assert (a @ a).dtype is torch.float32


def test_the_loss_is_that_of_torch(without):
    output, targets = torch.nn.Linear(16, 9), torch.arange(7) % 9
    (hidden,) = leaves((7, 16))
    losses = []
    for block in (torch.autocast("cpu", torch.bfloat16), precision.bfloat16("cpu")):
        with block:
            total, likelihood = smoothed_cross_entropy(hidden, output, targets, smoothing=0.1)
        losses.append((total, likelihood, *torch.autograd.grad(total, (hidden, *output.parameters()))))
    for got, want in zip(*losses, strict=True):
        assert_close(got, want, rtol=0.02, atol=0.02)


class Watch(TorchDispatchMode):
    """Notes the types which reach the matrix products of the processor."""

    def __init__(self):
        super().__init__()
        self.types = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(word in str(func) for word in ("mm", "mv", "dot")):
            self.types |= {x.dtype for x in args if isinstance(x, torch.Tensor)}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", NARROW)
def test_nothing_is_left_to_emulation_in_training(without, kind):
    values = dict(NARROW[kind])
    entry = MODELS[values.pop("kind")]
    del values["size"]
    sizes = {name: 30 for name in vars(entry.config()) if "vocabulary" in name}
    model = Translation(entry.model(entry.config(**values, **sizes)), smoothing=0.1)
    batch = Packed.of([[5, 6, 7], [8, 9]]), Packed.of([[3, 4], [5, 6, 7, 8]])
    with Watch() as watch:
        with precision.bfloat16("cpu"):
            total = model(*batch).total
        total.backward()
    assert watch.types == {torch.float32}
    with Watch() as watch, torch.autocast("cpu", torch.bfloat16):
        model(*batch)
    assert torch.bfloat16 in watch.types  # else the watch sees nothing


def test_what_is_computed_again_backwards_is_rounded_as_it_was(without, monkeypatch):
    def gradients():
        model = tiny("sparse-transformer", dtype=torch.float32).train()
        with precision.bfloat16("cpu"):
            total = NextToken(model)(Packed.of([[3, 4, 5, 6, 7, 8], [8, 9, 1]])).total
        return torch.autograd.grad(total, [*model.parameters()])

    found = gradients()
    monkeypatch.setattr(
        sparse_transformer, "checkpoint", lambda block, x, use_reentrant, context_fn, **options: block(x, **options)
    )
    assert all(torch.equal(one, other) for one, other in zip(found, gradients(), strict=True))


def test_where_the_processor_has_them_autocast_is_all(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16_products", lambda: True)
    (a,) = leaves((6, 6))
    with torch.autocast("cpu", torch.bfloat16):
        wanted = a @ a
    with precision.bfloat16("cpu"):
        assert not torch.overrides._get_current_function_mode_stack()
        assert torch.equal(a @ a, wanted)
