"""The sliced loss beside torch's own and beside the sum written out."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny import TRANSLATING, pairs, tiny
from torch import nn
from torch.autograd import gradcheck
from torch.testing import assert_close

from regard.objectives import loss as module
from regard.objectives.loss import smoothed_cross_entropy
from regard.objectives.translation import Translation

N, D, V = 23, 5, 7


@pytest.fixture(autouse=True)
def _several_slices(monkeypatch):
    monkeypatch.setattr(module, "_SLICE", 8)


def batch(bias: bool, dtype=torch.float64):
    torch.manual_seed(0)
    output = nn.Linear(D, V, bias).to(dtype)
    return torch.randn(N, D, dtype=dtype, requires_grad=True), output, torch.randint(V, (N,))


def by_hand(scores, targets, smoothing):
    """Kullback-Leibler divergence from the smoothed distribution, word by word."""
    rows, words = scores.shape
    total = scores.new_zeros(())
    for n in range(rows):
        logs = scores[n] - scores[n].exp().sum().log()
        for word in range(words):
            share = 1 - smoothing if word == targets[n] else smoothing / (words - 1)
            total = total + (share * (math.log(share) - logs[word]) if share else 0.0)
    return total


@pytest.mark.parametrize("bias", [False, True])
def test_without_smoothing_it_is_torchs_cross_entropy(bias):
    hidden, output, targets = batch(bias)
    total, likelihood = smoothed_cross_entropy(hidden, output, targets)
    wanted = F.cross_entropy(output(hidden), targets, reduction="sum")
    assert_close(total, wanted, atol=1e-12, rtol=1e-12)
    assert_close(likelihood, -wanted, atol=1e-12, rtol=1e-12)
    leaves = (hidden, *output.parameters())
    for got, want in zip(torch.autograd.grad(total, leaves), torch.autograd.grad(wanted, leaves), strict=True):
        assert_close(got, want, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("smoothing", [0.1, 0.6])
def test_with_smoothing_it_is_the_divergence_written_out(bias, smoothing):
    hidden, output, targets = batch(bias)
    total, likelihood = smoothed_cross_entropy(hidden, output, targets, smoothing=smoothing)
    wanted = by_hand(output(hidden), targets, smoothing)
    assert_close(total, wanted, atol=1e-12, rtol=1e-12)
    plain = F.cross_entropy(output(hidden), targets, reduction="sum")
    assert_close(likelihood, -plain, atol=1e-12, rtol=1e-12)
    leaves = (hidden, *output.parameters())
    for got, want in zip(torch.autograd.grad(3 * total, leaves), torch.autograd.grad(3 * wanted, leaves), strict=True):
        assert_close(got, want, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_derivatives_of_the_loss(smoothing):
    hidden, output, targets = batch(True)

    def total(hidden, weight, bias):
        return module._SlicedCrossEntropy.apply(hidden, weight, bias, targets, smoothing, None)[0]

    assert gradcheck(total, (hidden, output.weight, output.bias))


@pytest.mark.parametrize("bias", [False, True])
def test_each_target_counts_as_often_as_its_weight_says(bias):
    hidden, output, targets = batch(bias)
    weights = torch.rand(N, dtype=torch.float64)
    total, likelihood = smoothed_cross_entropy(hidden, output, targets, weights=weights)
    wanted = (weights * F.cross_entropy(output(hidden), targets, reduction="none")).sum()
    assert_close(total, wanted, atol=1e-12, rtol=1e-12)
    assert_close(likelihood, -wanted, atol=1e-12, rtol=1e-12)
    leaves = (hidden, *output.parameters())
    for got, want in zip(torch.autograd.grad(total, leaves), torch.autograd.grad(wanted, leaves), strict=True):
        assert_close(got, want, atol=1e-12, rtol=1e-12)
    with pytest.raises(ValueError, match="targets are smoothed or weighted, not both"):
        smoothed_cross_entropy(hidden, output, targets, smoothing=0.1, weights=weights)


def test_a_perfect_fit_costs_nothing():
    smoothing, targets = 0.1, torch.tensor([0, 3, 6])
    wanted = torch.full((3, V), smoothing / (V - 1), dtype=torch.float64).scatter_(1, targets[:, None], 1 - smoothing)
    output = nn.Linear(V, V, bias=False).double()
    with torch.no_grad():
        output.weight.copy_(torch.eye(V))
        total, _ = smoothed_cross_entropy(wanted.log(), output, targets, smoothing=smoothing)
    assert abs(total.item()) < 1e-12


def test_the_reported_likelihood_has_no_gradient_and_none_is_made_when_none_is_asked():
    hidden, output, targets = batch(True)
    _, likelihood = smoothed_cross_entropy(hidden, output, targets, smoothing=0.1)
    assert not likelihood.requires_grad
    with torch.no_grad():
        total, _ = smoothed_cross_entropy(hidden, output, targets, smoothing=0.1)
    assert not total.requires_grad


def test_large_scores_stay_finite_and_right():
    hidden, output, targets = batch(True, torch.float32)
    total, _ = smoothed_cross_entropy(hidden * 1000, output, targets, smoothing=0.1)
    with torch.no_grad():
        scores = output(hidden * 1000).double()
        logs = scores.log_softmax(1)
        gold = logs.gather(1, targets[:, None]).sum()
        wanted = -(0.9 * gold + 0.1 / (V - 1) * (logs.sum() - gold)) + N * (
            0.9 * math.log(0.9) + 0.1 * math.log(0.1 / 6)
        )
    assert_close(total.detach().double(), wanted, rtol=1e-5, atol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_under_autocast_products_are_in_bfloat16_and_the_loss_is_not(smoothing):
    hidden, output, targets = batch(True, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        total, likelihood = smoothed_cross_entropy(hidden, output, targets, smoothing=smoothing)
    assert total.dtype is likelihood.dtype is torch.float32
    wanted = by_hand(output(hidden).double(), targets, smoothing)
    assert_close(total.double(), wanted, rtol=1e-2, atol=0)  # scores of 8 bits
    assert total.item() != pytest.approx(wanted.item(), rel=1e-7)
    leaves = (hidden, *output.parameters())
    for got, want in zip(torch.autograd.grad(total, leaves), torch.autograd.grad(wanted, leaves), strict=True):
        assert got.dtype is torch.float32
        assert_close(got, want, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_smoothing_out_of_range_is_refused(smoothing):
    hidden, output, targets = batch(False)
    with pytest.raises(ValueError, match=r"label smoothing lies in \[0, 1\)"):
        smoothed_cross_entropy(hidden, output, targets, smoothing=smoothing)


@pytest.mark.parametrize("name", TRANSLATING)
def test_translation_sums_over_the_targets_and_counts_them(name):
    model, (source, target) = tiny(name), pairs()
    loss = Translation(model)(source, target)
    wanted = F.cross_entropy(model(source, target), target.tokens, reduction="sum")
    assert_close(loss.total, wanted, atol=1e-9, rtol=1e-12)
    assert_close(loss.log_likelihood, -wanted, atol=1e-9, rtol=1e-12)
    assert (loss.tokens, loss.sequences) == (31, 5)


def test_translation_refuses_what_is_no_encoder_decoder():
    with pytest.raises(ValueError, match="Linear is not an encoder-decoder"):
        Translation(nn.Linear(2, 2))
