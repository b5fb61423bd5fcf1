"""FlexAttention in the blocks which a pattern allows, beside the reference kernel."""

import importlib

import pytest
import torch
from torch.testing import assert_close

from regard.attention.attend import attend, kernel
from regard.attention.flex import pattern_blocks
from regard.attention.masks import Pattern, PerHead, banded, blocked, causal, documents, fixed, strided, summaries
from regard.training.operations import counted

CPU = torch.device("cpu")
HEADS = 4
PATTERNS = {
    "causal": causal,
    "banded": lambda: banded(9),
    "strided": lambda: strided(12),
    "strided, one by one": lambda: strided(1),
    "strided, longer than the text": lambda: strided(1000),
    "blocked": lambda: blocked(16),
    "summaries": lambda: summaries(16, 3),
    "summaries, second subblock": lambda: summaries(16, 3, 1),
    "summaries of whole blocks": lambda: summaries(16, 16),
    "summaries, longer than the text": lambda: summaries(1000, 3),
    "fixed": lambda: fixed(16, 3),
    "fixed, second subblock": lambda: fixed(16, 3, 1),
    "fixed, longer than the text": lambda: fixed(1000, 3),
    "per head": lambda: PerHead(HEADS, [banded(9), strided(12)]),
    "per head, subblocks": lambda: PerHead(HEADS, [blocked(16), blocked(16), summaries(16, 3), summaries(16, 3, 1)]),
}


def inputs(rows: int, length: int, device="cpu", dtype=torch.float64, width=4):
    torch.manual_seed(0)
    shape = rows, HEADS, length, width
    return [torch.randn(shape, dtype=dtype, device=device, requires_grad=True) for _ in range(3)]


def results_and_gradients(tensors, mask, name):
    with kernel(name):
        result = attend(*tensors, mask=mask)
    weighting = torch.linspace(-1, 1, result.numel()).bfloat16().to(result).view_as(result)  # the same in each type
    return [result, *torch.autograd.grad((result * weighting).sum(), tensors)]


@pytest.fixture
def differentiable(monkeypatch):
    """torch refuses gradients of FlexAttention on a processor, though its plain formula there gives them."""
    module = importlib.import_module("torch.nn.attention.flex_attention")
    monkeypatch.setattr(module, "_validate_device", lambda *tensors: None)


# whole blocks of 128; neither whole blocks nor whole rows; less than two rows
@pytest.mark.parametrize("length", [256, 150, 17])
@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.usefixtures("differentiable")
def test_a_pattern_and_its_gradients_are_those_of_the_formula(name, length):
    tensors, pattern = inputs(2, length), PATTERNS[name]()
    ours, wanted = (results_and_gradients(tensors, pattern, kernel) for kernel in ("flex", "reference"))
    assert_close(ours, wanted, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.usefixtures("differentiable")
def test_a_pattern_counts_from_the_start_of_each_packed_sequence(name):
    lengths = torch.tensor([120, 3, 150, 17])
    tensors, mask = inputs(1, 290), PATTERNS[name]() & documents(lengths)
    ours, wanted = (results_and_gradients(tensors, mask, kernel) for kernel in ("flex", "reference"))
    assert_close(ours, wanted, atol=1e-12, rtol=1e-12)


SPARSE = {
    "strided, half a block a column": (strided(64), 96),
    "strided, a block a column": (strided(128), 96),
    "blocked": (blocked(64), 96),
    "banded": (banded(256), 90),
    "fixed": (fixed(64, 8), 86),
    "fixed, a block a row": (fixed(128, 8), 89),
    "fixed, second subblock": (fixed(128, 8, 1), 86),
}


# per cent of 32 x 32 blocks; in their own order, strides and fixed blocks leave out the 48 above the diagonal
@pytest.mark.parametrize(("pattern", "least"), SPARSE.values(), ids=SPARSE)
def test_most_blocks_of_a_sparse_pattern_are_left_out(pattern, least):
    assert pattern_blocks(pattern, 4096, CPU).sparsity() > least


def test_summaries_are_computed_against_the_cells_which_sum_up_a_block_alone():
    blocks = pattern_blocks(summaries(64, 8), 4096, CPU)
    assert blocks.shape[-2:] == (4096, 512)
    assert int(blocks.kv_num_blocks.sum() + blocks.full_kv_num_blocks.sum()) == 8 + 16 + 24 + 32  # 1024 queries a block


def test_blocks_are_made_once_for_patterns_of_the_same_sizes():
    kinds = [lambda n: banded(n), lambda n: strided(n), lambda n: blocked(n), lambda n: fixed(n, 2)]
    kinds += [lambda n: summaries(n, 2), lambda n: summaries(n, 1, 1)]
    made = [pattern_blocks(kind(size), 40, CPU) for kind in kinds for size in (8, 10)]
    again = [pattern_blocks(kind(size), 40, CPU) for kind in kinds for size in (8, 10)]
    assert all(one is other for one, other in zip(made, again, strict=True))
    assert len({id(blocks) for blocks in made}) == len(made)


def test_patterns_of_other_kinds_are_not_taken_for_each_other():
    one, other = (Pattern(lambda b, h, i, j, n=n: j + n <= i) for n in (0, 300))
    assert pattern_blocks(one, 512, CPU).sparsity() < pattern_blocks(other, 512, CPU).sparsity()


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.usefixtures("differentiable")
def test_blocks_first_made_in_inference_mode_can_be_used_in_training():
    tensors, pattern = inputs(1, 45), strided(44)  # in no other test
    with kernel("flex"):
        with torch.inference_mode():
            attend(*(x.detach() for x in tensors), mask=pattern)
        torch.autograd.grad(attend(*tensors, mask=pattern).sum(), tensors)


def test_a_processor_does_not_take_flex_unless_it_is_asked(monkeypatch):
    module = importlib.import_module("regard.attention.attend")
    monkeypatch.setattr(module, "patterned", lambda *_: pytest.fail("FlexAttention was taken"))
    attend(*inputs(1, 1100), mask=strided(64))


@pytest.fixture
def compiled_anew():
    """The kernels of one test do not count towards the limit of another."""
    torch.compiler.reset()


@pytest.mark.gpu
@pytest.mark.parametrize("name", [name for name in PATTERNS if name != "causal"])
@pytest.mark.usefixtures("compiled_anew")
def test_a_gpu_computes_long_patterns_by_the_compiled_kernel(name, monkeypatch):
    module, taken = importlib.import_module("regard.attention.attend"), []
    patterned = module.patterned
    monkeypatch.setattr(module, "patterned", lambda *given: [taken.append(given), patterned(*given)][1])
    for length in (1280, 1500):  # whole blocks of 128; neither those nor whole rows
        tensors, pattern = inputs(2, length, "cuda", torch.float32, 32), PATTERNS[name]()
        ours, wanted = (results_and_gradients(tensors, pattern, kernel) for kernel in ("fastest", "reference"))
        assert_close(ours, wanted, atol=1e-4, rtol=1e-4)  # sums of up to 1500 products in float32
    assert len(taken) == 2


@pytest.mark.gpu
@pytest.mark.parametrize("name", [name for name in PATTERNS if name != "causal"])
@pytest.mark.usefixtures("compiled_anew")
def test_a_gpu_counts_long_patterns_from_the_start_of_each_packed_sequence(name):
    lengths = torch.tensor([1280, 3, 1500, 17])
    tensors, mask = inputs(1, 2800, "cuda", torch.bfloat16, 32), PATTERNS[name]() & documents(lengths)
    exact = [x.detach().float().requires_grad_() for x in tensors]
    ours, wanted = results_and_gradients(tensors, mask, "fastest"), results_and_gradients(exact, mask, "reference")
    for got, want in zip(ours, wanted, strict=True):
        assert_close(got.float(), want, atol=3e-2, rtol=3e-2)  # bfloat16 has 8 bits: steps of 0.8 %


# by FlexAttention, whose heads of 8 values are refused; and by torch's own kernels
@pytest.mark.gpu
@pytest.mark.parametrize("pattern", [causal(), strided(64)], ids=["causal", "strided"])
@pytest.mark.parametrize("widths", [(32, 64), (64, 32), (8, 32), (32, 8)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.usefixtures("compiled_anew")
def test_a_gpu_takes_values_of_another_width_than_queries_and_keys(pattern, widths, dtype):
    (query, key, _), (*_, value) = (inputs(1, 2800, "cuda", dtype, width) for width in widths)
    exact = [x.detach().float().requires_grad_() for x in (query, key, value)]
    mask = pattern & documents(torch.tensor([1280, 3, 1500, 17]))
    ours = results_and_gradients([query, key, value], mask, "fastest")
    for got, want in zip(ours, results_and_gradients(exact, mask, "reference"), strict=True):
        assert_close(got.float(), want, atol=3e-2, rtol=3e-2)  # bfloat16 has 8 bits: steps of 0.8 %


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["banded", "strided", "fixed", "summaries"])
@pytest.mark.usefixtures("compiled_anew")
def test_a_gpu_holds_no_scores_of_a_long_pattern(name):
    tensors, pattern = inputs(1, 8192, "cuda", torch.bfloat16, 64), PATTERNS[name]()
    for _ in range(2):  # the first pass compiles, and makes the blocks
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        attend(*tensors, mask=pattern).sum().backward()
    scores = HEADS * 8192**2 * 2  # bytes
    assert torch.cuda.max_memory_allocated() - before < scores / 4


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["strided", "per head"])
def test_a_gpu_computes_long_patterns_where_operations_are_counted_too(name):
    tensors, pattern = inputs(1, 1280, "cuda", torch.float32, 32), PATTERNS[name]()
    with counted() as counter:
        ours = results_and_gradients(tensors, pattern, "fastest")
    assert_close(ours, results_and_gradients(tensors, pattern, "reference"), atol=1e-4, rtol=1e-4)
    assert 0 < counter.get_total_flops() < 7 * 2 * HEADS * 1280**2 * 32  # seven products of whole matrices
