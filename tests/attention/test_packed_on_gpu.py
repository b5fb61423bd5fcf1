"""What a GPU computes of packed sequences, in its own kernel or in blocks, beside the formula in float64."""

import pytest
import torch
from torch.testing import assert_close

from regard.attention.attend import attend, kernel
from regard.attention.masks import causal, documents

LENGTHS = torch.tensor([1, 9, 70, 2, 200, 1, 33])
PARTNERS = torch.tensor([130, 9, 1, 64, 65, 3, 33])
MASKS = {
    "own": lambda: documents(LENGTHS),
    "causal": lambda: causal() & documents(LENGTHS),
    "partners": lambda: documents(LENGTHS, PARTNERS),
}
NEAR = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}  # as their last bits allow

pytestmark = pytest.mark.gpu


def inputs(case, dtype, width, value_width=0, heads=3):
    """Query, key and value as a layer gives them: views of one row."""
    torch.manual_seed(0)
    queries, keys = int(LENGTHS.sum()), int((PARTNERS if case == "partners" else LENGTHS).sum())
    shapes = [(queries, width), (keys, width), (keys, value_width or width)]
    rows = [torch.randn(1, n, heads, k, device="cuda", dtype=dtype) for n, k in shapes]
    return [x.transpose(1, 2).requires_grad_() for x in rows]


def with_gradients(tensors, mask, weight, **options):
    """The result, and the gradient of each tensor."""
    result = attend(*tensors, mask=mask, **options)
    return result, torch.autograd.grad((result * weight).sum(), tensors)


@pytest.mark.parametrize("case", MASKS)
@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("widths", [(8, 8), (32, 32), (64, 64), (32, 64), (12, 12)], ids=str)
def test_it_gives_the_formula_and_its_gradients(case, dtype, widths):
    tensors = inputs(case, dtype, *widths)
    weight = torch.randn(1, 3, tensors[0].shape[2], widths[1], device="cuda", dtype=dtype)
    result, gradients = with_gradients(tensors, MASKS[case](), weight)
    assert result.dtype is dtype
    with kernel("reference"):
        exact = [x.detach().double().requires_grad_() for x in tensors]
        wanted, wanted_gradients = with_gradients(exact, MASKS[case](), weight.double())
    for got, want in zip((result, *gradients), (wanted, *wanted_gradients), strict=True):
        assert_close(got.double(), want, atol=NEAR[dtype] * float(want.abs().max()), rtol=0)


@pytest.mark.parametrize("case", MASKS)
@pytest.mark.parametrize("dtype", NEAR)
def test_its_dropout_drops_weights_at_its_rate_and_keeps_the_mean(case, dtype):
    query, key, value = (torch.zeros_like(x) for x in inputs(case, dtype, 32, heads=16))  # equal weights
    dropped = attend(query, key, torch.ones_like(value), mask=MASKS[case](), dropout=0.25).double()
    assert_close(dropped.mean().item(), 1.0, atol=0.02, rtol=0)  # 16 heads, 316 queries
    if case != "partners":
        first = dropped[0, :, 0, 0]  # it sees itself alone
        assert ((first == 0) | ((first - 1 / 0.75).abs() < 0.01)).all()
    # queries of the longest sequence see many: the share which is kept is binomial
    seen = (PARTNERS if case == "partners" else LENGTHS)[4]
    last = dropped[0, :, int(LENGTHS[:5].sum()) - 1, 0] * 0.75
    assert_close(last.mean().item(), 0.75, atol=5 * (0.75 * 0.25 / (16 * float(seen))) ** 0.5 + 0.004, rtol=0)
    assert last.std() > 0


@pytest.mark.parametrize("case", MASKS)
@pytest.mark.parametrize("dtype", NEAR)
def test_gradients_are_of_the_weights_which_were_kept(case, dtype):
    query, key, value = inputs(case, dtype, 32)
    weight = torch.randn_like(query)
    result = attend(query, key, value, mask=MASKS[case](), dropout=0.3)
    (gradient,) = torch.autograd.grad((result * weight).sum(), value)
    # the result is linear in the values
    one, other = ((a.double() * b.double()).sum() for a, b in ((result, weight), (gradient, value)))
    assert_close(one, other, atol=NEAR[dtype] * float((result * weight).double().norm()) * 3, rtol=0)


def test_a_step_draws_other_weights_than_the_one_before_and_a_seed_the_same():
    query, key, value = inputs("own", torch.float32, 32)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append([attend(query, key, value, mask=documents(LENGTHS), dropout=0.1) for _ in range(2)])
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[0][1])
    assert not torch.equal(results[0][0], results[2][0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_mask_first_used_in_inference_mode_can_be_used_in_training_there(dtype):
    tensors, mask = inputs("own", dtype, 32), documents(LENGTHS)
    with torch.inference_mode():
        attend(*(x.detach() for x in tensors), mask=mask)
    torch.autograd.grad(attend(*tensors, mask=mask, dropout=0.1).sum(), tensors)


def test_the_kernel_can_be_compiled():
    dtype = torch.bfloat16
    tensors = inputs("own", dtype, 32)
    weight = torch.randn_like(tensors[0])
    wanted = with_gradients(tensors, documents(LENGTHS), weight)
    compiled = torch.compile(lambda query, key, value: attend(query, key, value, mask=documents(LENGTHS)))
    query, key, value = tensors
    result = compiled(query, key, value)
    found = result, torch.autograd.grad((result * weight).sum(), tensors)
    for got, want in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        assert_close(got, want, atol=NEAR[dtype], rtol=NEAR[dtype])
