"""Every kernel beside the formula written out in loops, and beside the others."""

import pytest
import torch
from torch.testing import assert_close

from regard.attention.attend import KERNELS, attend, kernel
from regard.attention.fused import masked
from regard.attention.masks import (
    Mask,
    PerHead,
    banded,
    blocked,
    causal,
    documents,
    fixed,
    padding,
    permuted,
    strided,
    summaries,
)

B, H, N, K = 2, 3, 12, 4
ORDER = torch.stack([torch.randperm(N, generator=torch.Generator().manual_seed(seed)) for seed in range(B)])
IS_TOKEN = torch.arange(N) < torch.tensor([[12], [5]])
LENGTHS = torch.tensor([1, 9, 2, 40, 1, 3, 8, 2])  # so different that they make several groups
PARTNERS = torch.tensor([30, 2, 1, 5, 1, 7, 9, 2])
EVEN_HEADS_LOOK_BACK = Mask(lambda b, h, i, j: (j <= i) | (h % 2 == 1))
NOTHING_FOR_SOME = Mask(lambda b, h, i, j: (j < i) & (j != 3) & (i != 5))

# (batch rows, queries, keys, mask); a mask is made anew each time, since it remembers
CASES = {
    "all": lambda: (B, N, N, None),
    "causal": lambda: (B, N, N, causal()),
    "banded": lambda: (B, N, N, banded(3)),
    "strided": lambda: (B, N, N, strided(4)),
    "fixed": lambda: (B, N, N, fixed(4, 1)),
    "padding": lambda: (B, N, N, padding(IS_TOKEN)),
    "causal padding": lambda: (B, N, N, causal() & padding(IS_TOKEN)),
    "per head": lambda: (B, N, N, EVEN_HEADS_LOOK_BACK),
    "either": lambda: (B, N, N, banded(2) | strided(5)),
    "not": lambda: (B, N, N, ~banded(2)),
    "rows which see nothing": lambda: (B, N, N, NOTHING_FOR_SOME),
    "permuted": lambda: (B, N, N, permuted(ORDER, sees_itself=True)),
    "permuted, not itself": lambda: (B, N, N, permuted(ORDER, sees_itself=False)),
    "last queries, all": lambda: (B, 4, N, None),
    "last queries, causal": lambda: (B, 4, N, causal()),
    "last queries, causal, fused": lambda: (B, 9, N, causal()),
    "last queries, padding, fused": lambda: (B, 9, N, padding(IS_TOKEN) & causal()),
    "last query, causal": lambda: (B, 1, N, causal()),
    "last queries, banded": lambda: (B, 4, N, banded(3)),
    "last queries, fixed": lambda: (B, 5, N, fixed(4, 1)),
    "last queries, padding": lambda: (B, 4, N, padding(IS_TOKEN) & causal()),
    "documents": lambda: (1, int(LENGTHS.sum()), int(LENGTHS.sum()), documents(LENGTHS)),
    "documents, causal": lambda: (1, int(LENGTHS.sum()), int(LENGTHS.sum()), causal() & documents(LENGTHS)),
    "documents, causal last": lambda: (1, int(LENGTHS.sum()), int(LENGTHS.sum()), documents(LENGTHS) & causal()),
    "documents, cross": lambda: (1, int(LENGTHS.sum()), int(PARTNERS.sum()), documents(LENGTHS, PARTNERS)),
    "documents, equal": lambda: (1, 12, 12, documents(torch.tensor([4, 4, 4]))),
    "documents, one": lambda: (1, 7, 7, causal() & documents(torch.tensor([7]))),
    "documents, long": lambda: (1, 130, 130, causal() & documents(torch.tensor([110, 20]))),
    "documents, banded": lambda: (1, int(LENGTHS.sum()), int(LENGTHS.sum()), documents(LENGTHS) & banded(3)),
    "documents, fixed": lambda: (1, int(LENGTHS.sum()), int(LENGTHS.sum()), documents(LENGTHS) & fixed(4, 1)),
    "per head, patterns": lambda: (1, 150, 150, PerHead(2, [banded(9), strided(13)])),
    "documents, per head, long": lambda: (
        1,
        290,
        290,
        documents(torch.tensor([120, 3, 150, 17])) & PerHead(2, [banded(9), strided(13)]),
    ),
    "banded, long": lambda: (1, 150, 150, banded(7)),
    "banded, wide": lambda: (1, 150, 150, banded(70)),
    "banded, wider than half": lambda: (1, 30, 30, banded(20)),
    "strided, long": lambda: (1, 150, 150, strided(12)),
    "strided, one by one": lambda: (1, 20, 20, strided(1)),
    "fixed, long": lambda: (1, 150, 150, fixed(16, 3)),
    "fixed, one block": lambda: (1, 15, 15, fixed(16, 3)),
    "fixed, second subblock": lambda: (1, 150, 150, fixed(16, 3, 1)),
    "blocked": lambda: (B, N, N, blocked(5)),
    "blocked, long": lambda: (1, 150, 150, blocked(16)),
    "blocked, one block": lambda: (1, 15, 15, blocked(16)),
    "summaries": lambda: (B, N, N, summaries(4, 1)),
    "summaries, long": lambda: (1, 150, 150, summaries(16, 3)),
    "summaries, second subblock": lambda: (1, 150, 150, summaries(16, 3, 1)),
    "summaries, a last block without one": lambda: (1, 130, 130, summaries(16, 3)),
    "summaries, one block": lambda: (1, 15, 15, summaries(16, 3)),
    "last queries, summaries": lambda: (B, 10, N, summaries(4, 1)),
    "documents, summaries": lambda: (1, int(LENGTHS.sum()), int(LENGTHS.sum()), documents(LENGTHS) & summaries(4, 1)),
    "documents, banded, long": lambda: (1, 290, 290, documents(torch.tensor([120, 3, 150, 17])) & banded(9)),
    "documents, strided, long": lambda: (1, 290, 290, strided(11) & documents(torch.tensor([120, 3, 150, 17]))),
    "documents, fixed, long": lambda: (1, 290, 290, documents(torch.tensor([120, 3, 150, 17])) & fixed(13, 2)),
    "documents, blocked, long": lambda: (1, 290, 290, documents(torch.tensor([120, 3, 150, 17])) & blocked(13)),
    "documents, per head, summaries": lambda: (
        1,
        290,
        290,
        documents(torch.tensor([120, 3, 150, 17])) & PerHead(2, [blocked(13), summaries(13, 2)]),
    ),
}


def by_hand(query, key, value, mask=None, bias=None, scale=K**-0.5):
    """Equation 1 by exponentials and sums, its mask asked at each place; a query without keys gives zeros."""
    rows, heads, T, _ = query.shape
    S = key.shape[2]
    powers = torch.einsum("bhtk,bhsk->bhts", query, key) * scale
    powers = (powers if bias is None else powers + bias).exp()
    if mask is not None:
        b, h, t, j = (torch.arange(n) for n in (rows, heads, T, S))
        places = torch.cartesian_prod(b, h, t + S - T, j).unbind(1)
        powers = powers * mask.allows(*places).view(rows, heads, T, S)
    total = powers.sum(-1, keepdim=True)
    return torch.einsum("bhts,bhsk->bhtk", powers / total.where(total > 0, 1.0), value)


def inputs(rows, T, S, heads=H):
    torch.manual_seed(0)
    return [torch.randn(rows, heads, n, K, dtype=torch.float64) for n in (T, S, S)]


def with_gradients(tensors):
    return [x.requires_grad_() for x in tensors]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_gives_the_formula(case, name):
    rows, T, S, mask = CASES[case]()
    query, key, value = inputs(rows, T, S, heads=2 if T > N else H)
    with kernel(name):
        ours = attend(query, key, value, mask=mask)
        assert_close(ours, by_hand(query, key, value, mask), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("name", KERNELS)
def test_scores_have_the_scale_which_is_asked(case, name):
    rows, T, S, mask = CASES[case]()
    query, key, value = inputs(rows, T, S, heads=2 if T > N else H)
    with kernel(name):
        ours = attend(query, key, value, mask=mask, scale=0.8)
        assert_close(ours, by_hand(query, key, value, mask, scale=0.8), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_the_fastest_kernel_are_those_of_the_formula(case):
    rows, T, S, mask = CASES[case]()
    heads = 2 if "patterns" in case or "per head" in case else 1
    tensors = with_gradients(inputs(rows, T, S, heads))
    weight = torch.randn(rows, heads, T, K, dtype=torch.float64)
    wanted = torch.autograd.grad((by_hand(*tensors, mask) * weight).sum(), tensors)
    for name in ("fastest", "reference"):
        with kernel(name):
            ours = torch.autograd.grad((attend(*tensors, mask=mask) * weight).sum(), tensors)
        for got, want in zip(ours, wanted, strict=True):
            assert_close(got, want, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_values_may_be_of_another_width_than_queries_and_keys(case):
    rows, T, S, mask = CASES[case]()
    heads = 2 if T > N else H
    query, key, _ = inputs(rows, T, S, heads)
    tensors = with_gradients([query, key, torch.randn(rows, heads, S, 6, dtype=torch.float64)])
    wanted = by_hand(*tensors, mask)
    weight = torch.randn_like(wanted)
    gradients = torch.autograd.grad((wanted * weight).sum(), tensors)
    for name, dropout in (("fastest", 0.0), ("reference", 0.0), ("fastest", 1e-9)):  # too small to drop anything
        with kernel(name):
            ours = attend(*tensors, mask=mask, dropout=dropout)
        assert_close(ours, wanted, atol=1e-12, rtol=1e-12)
        for got, want in zip(torch.autograd.grad((ours * weight).sum(), tensors), gradients, strict=True):
            assert_close(got, want, atol=1e-12, rtol=1e-12)
    with kernel("flex"):  # which has no gradients on a processor
        assert_close(attend(*(x.detach() for x in tensors), mask=mask), wanted, atol=1e-12, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("queries", [5, 9])  # by plain products, and fused
@pytest.mark.parametrize("name", KERNELS)
def test_a_bias_is_added_to_scores_of_another_width_than_values(queries, name):
    query, key, _ = inputs(B, queries, N)
    value, bias = (torch.randn(B, H, n, m, dtype=torch.float64) for n, m in ((N, 6), (queries, N)))
    with kernel(name):
        ours = attend(query, key, value, mask=causal(), bias=bias)
    assert_close(ours, by_hand(query, key, value, causal(), bias), atol=1e-12, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("shape", [(B, H, 5, N), (H, 5, N), (B, 1, 1, N)], ids=str)
@pytest.mark.parametrize(
    "mask", [None, causal(), padding(IS_TOKEN) & NOTHING_FOR_SOME], ids=["all", "causal", "padding and holes"]
)
@pytest.mark.parametrize("name", KERNELS)
def test_a_bias_is_added_to_the_scaled_scores(shape, mask, name):
    query, key, value = inputs(B, 5, N)
    bias = torch.randn(shape, dtype=torch.float64)
    with kernel(name):
        ours = attend(query, key, value, mask=mask, bias=bias)
        assert_close(ours, by_hand(query, key, value, mask, bias.expand(B, H, 5, N)), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", ["fastest", "reference"])
def test_a_bias_gets_its_gradient(name):
    query, key, value = inputs(B, 5, N)
    bias = torch.randn(1, H, 5, N, dtype=torch.float64, requires_grad=True)
    wanted = torch.autograd.grad(by_hand(query, key, value, causal(), bias.expand(B, H, 5, N)).square().sum(), bias)
    with kernel(name):
        ours = torch.autograd.grad(attend(query, key, value, mask=causal(), bias=bias).square().sum(), bias)
    assert_close(ours, wanted, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", ["fastest", "reference"])
@pytest.mark.parametrize("biased", [False, True])
def test_a_query_without_keys_gives_zeros_and_finite_gradients(name, biased):
    tensors = with_gradients(inputs(B, N, N))
    bias = torch.randn(B, H, N, N, dtype=torch.float64) if biased else None
    with kernel(name):
        result = attend(*tensors, mask=NOTHING_FOR_SOME, bias=bias)
    assert result[:, :, [0, 5]].eq(0).all()
    assert result[:, :, 6].ne(0).all()
    for gradient in torch.autograd.grad(result.square().sum(), tensors):
        assert gradient.isfinite().all()
        assert gradient.ne(0).any()


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("keys", [N, 0])
def test_what_a_gpu_computes_of_queries_without_keys_is_the_formula(biased, keys):
    query, *others = inputs(B, N, N)
    tensors = with_gradients([query, *(x[:, :, :keys] for x in others)])
    bias = torch.randn(B, H, N, keys, dtype=torch.float64) if biased else None
    allowed = NOTHING_FOR_SOME.dense(B, H, N, N, query.device)[..., :keys]
    ours = masked(*tensors, allowed, bias, 0.5, 0.0)
    if not keys:
        assert ours.shape == query.shape
        assert ours.eq(0).all()
        return
    want = by_hand(*tensors, NOTHING_FOR_SOME, bias)
    assert_close(ours, want, atol=1e-12, rtol=1e-12)
    gradients = [torch.autograd.grad(result.square().sum(), tensors) for result in (ours, want)]
    assert_close(*gradients, atol=1e-12, rtol=1e-12)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("biased", [False, True])
def test_a_gpu_gives_zeros_to_a_query_without_keys(dtype, biased):
    tensors = [x.to("cuda", dtype).requires_grad_() for x in inputs(B, N, N)]
    bias = torch.randn(B, H, N, N, dtype=dtype, device="cuda") if biased else None
    result = attend(*tensors, mask=NOTHING_FOR_SOME, bias=bias)
    assert result[:, :, [0, 5]].eq(0).all()
    assert result[:, :, 6].ne(0).all()
    assert all(one.isfinite().all() for one in torch.autograd.grad(result.square().sum(), tensors))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", ["causal", "padding", "documents, causal", "documents, cross", "documents, long"])
def test_results_keep_the_type_of_the_inputs(dtype, case):
    rows, T, S, mask = CASES[case]()
    tensors = inputs(rows, T, S)
    want = attend(*tensors, mask=mask)
    near = 1e-5 if dtype is torch.float32 else 3e-2  # bfloat16 has 8 bits: steps of 0.8 %
    for name in ("fastest", "reference"):
        with kernel(name):
            got = attend(*(x.to(dtype) for x in tensors), mask=mask)
        assert got.dtype is dtype
        assert_close(got.double(), want, atol=near, rtol=near)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_causal_documents_of_unequal_sides_are_the_same_in_every_kernel():
    queries, keys = torch.tensor([2, 4]), torch.tensor([3, 5])
    tensors = inputs(1, 6, 8)
    mask = causal() & documents(queries, keys)
    want = by_hand(*tensors, mask)
    for name in KERNELS:
        with kernel(name):
            assert_close(attend(*tensors, mask=mask), want, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("case", ["causal", "padding", "documents, causal", "documents, long", "all"])
@pytest.mark.parametrize("name", ["fastest", "reference"])
def test_dropout_drops_weights_at_its_rate_and_keeps_the_mean(case, name):
    rows, T, S, mask = CASES[case]()
    torch.manual_seed(0)
    query, key = (torch.zeros(rows, 64, n, K) for n in (T, S))  # equal weights
    value = torch.ones(rows, 64, S, K)
    with kernel(name):
        plain, dropped = (attend(query, key, value, mask=mask, dropout=rate) for rate in (0.0, 0.25))
    assert_close(dropped.mean(), plain.mean(), atol=0.02, rtol=0)  # 64 heads and more than 10 rows
    # a query with n equal weights keeps k of them with binomial odds: sum k / (0.75 n)
    alone = plain.new_tensor([0.0, 1 / 0.75])
    first = dropped[:, :, 0, 0].flatten()  # in the causal cases this query sees one key
    if case in ("causal", "documents, causal"):
        assert torch.isin(first, alone).all()
        assert 0.1 < first.eq(0).double().mean() < 0.42  # 64 or 128 draws, three deviations


def test_flex_refuses_dropout():
    with kernel("flex"), pytest.raises(ValueError, match="dropout=0"):
        attend(*inputs(B, N, N), dropout=0.1)


def test_an_unknown_kernel_is_named_with_the_known_ones():
    with (
        pytest.raises(ValueError, match="unknown kernel 'flash'; the kernels are fastest, reference, flex"),
        kernel("flash"),
    ):
        pass


def test_the_kernel_is_what_it_was_after_the_block_even_if_it_fails():
    query, key, value = inputs(B, N, N)

    def fail_inside():
        with kernel("flex"):
            raise KeyError

    with kernel("reference"):
        with pytest.raises(KeyError):
            fail_inside()
        attend(query, key, value, dropout=0.1)  # flex would refuse


@pytest.mark.parametrize("lengths", [None, [200, 150]])
def test_a_mask_first_used_in_inference_mode_can_be_used_in_training(lengths):
    mask, size = (banded(3), (B, N, N)) if lengths is None else (documents(torch.tensor(lengths)), (1, 350, 350))
    tensors = with_gradients([x.float() for x in inputs(*size)])
    for name in ("fastest", "reference"):
        with kernel(name):
            with torch.inference_mode():
                attend(*(x.detach() for x in tensors), mask=mask)
            torch.autograd.grad(attend(*tensors, mask=mask).sum(), tensors[2])


@pytest.mark.parametrize("name", ["fastest", "reference"])
@pytest.mark.parametrize(
    "pattern",
    [
        causal,
        lambda: banded(5),
        lambda: strided(6),
        lambda: fixed(8, 2),
        lambda: blocked(8),
        lambda: summaries(8, 2),
        lambda: blocked(8) | summaries(8, 2),
        lambda: causal() & ~blocked(8),
        lambda: ~(causal() & (blocked(8) | strided(5))),
    ],
)
def test_a_pattern_counts_from_the_start_of_each_packed_sequence(pattern, name):
    lengths = torch.tensor([120, 3, 150, 17])
    tensors = inputs(1, 290, 290)
    with kernel(name):
        together = attend(*tensors, mask=pattern() & documents(lengths)).split(lengths.tolist(), 2)
        for n, own in enumerate(zip(*(x.split(lengths.tolist(), 2) for x in tensors), strict=True)):
            assert_close(together[n], by_hand(*own, pattern()), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(
    "pattern",
    [
        None,
        causal,
        lambda: banded(5),
        lambda: banded(200),
        lambda: strided(6),
        lambda: fixed(8, 2),
        lambda: blocked(140),
        lambda: summaries(8, 2),
    ],
)
def test_a_dropout_too_small_to_drop_anything_changes_nothing(pattern):
    lengths = torch.tensor([300, 3, 150, 17])  # longer than what is computed together
    tensors = [x.requires_grad_() for x in inputs(1, 470, 470)]
    weighting = torch.randn_like(tensors[0])
    mask = documents(lengths) if pattern is None else pattern() & documents(lengths)
    results = [attend(*tensors, mask=mask, dropout=rate) for rate in (0.0, 1e-9)]
    gradients = [torch.autograd.grad((result * weighting).sum(), tensors) for result in results]
    assert_close(results[1], results[0], atol=1e-12, rtol=1e-12)
    for got, wanted in zip(*reversed(gradients), strict=True):
        assert_close(got, wanted, atol=1e-12, rtol=1e-12)


def test_dropout_of_long_sequences_keeps_the_mean():
    torch.manual_seed(0)
    query, key, value = torch.zeros(1, 16, 300, K), torch.zeros(1, 16, 300, K), torch.ones(1, 16, 300, K)
    dropped = attend(query, key, value, mask=causal() & documents(torch.tensor([300])), dropout=0.25)
    assert_close(dropped.mean(), torch.tensor(1.0), atol=0.01, rtol=0)
    assert torch.isin(dropped[0, :, 0, 0], torch.tensor([0.0, 1 / 0.75])).all()  # it sees itself alone
    seen = dropped[0, 0, -1, 0] * 300 * 0.75  # one of 300 draws at 0.75
    assert_close(seen, seen.round(), atol=1e-3, rtol=0)
    assert 190 < seen < 260
