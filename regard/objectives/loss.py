"""Losses over a vocabulary, computed in slices so that the scores of a whole batch never exist at once."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from regard.layers.linear import multiply

# Rows of scores which exist at a time.
_SLICE = 384


Memory = tuple[Tensor, ...]  # of the segments before, in the form of the model; nothing, where there is none


@dataclass(frozen=True)
class Loss:
    """What is minimised and what is reported, summed over a batch; who divides knows the counts of all batches."""

    total: Tensor  # what is minimised, a scalar with a gradient
    log_likelihood: Tensor  # summed log-probability of the targets, in nats
    tokens: int  # targets over which both are summed
    sequences: int
    memory: Memory = ()  # what a batch which goes on from this one is given


def smoothed_cross_entropy(
    hidden: Tensor, output: nn.Linear, targets: Tensor, *, smoothing: float = 0.0, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy of `output(hidden)` [N, V] and targets [N], and the targets' summed log-probability.

    With weights [N], both are of each target as often as its weight says.

    With smoothing e, the target has probability 1 - e and every other word e / (V - 1); the entropy of that
    distribution is subtracted, so that a perfect fit costs nothing (Vaswani et al. 2017, section 5.4, as in their code;
    `torch.nn.functional.cross_entropy` spreads e over the target too).
    """
    if not 0.0 <= smoothing < 1.0:
        raise ValueError(f"label smoothing lies in [0, 1), got {smoothing}")
    if smoothing and weights is not None:
        raise ValueError("targets are smoothed or weighted, not both")
    dtype = (
        torch.get_autocast_dtype(hidden.device.type) if torch.is_autocast_enabled(hidden.device.type) else hidden.dtype
    )
    return _SlicedCrossEntropy.apply(hidden.to(dtype), output.weight, output.bias, targets, smoothing, weights)


def summed_loss(output: nn.Module, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy of what `output` makes of hidden states [N, D] and targets [N], and its negative.

    An output which is no plain matrix says itself how likely targets are: `output.likelihood(hidden, targets)`, [N].
    """
    if isinstance(output, nn.Linear):
        return smoothed_cross_entropy(hidden, output, targets)
    likelihood: Tensor = output.likelihood(hidden, targets).sum()  # pyright: ignore[reportCallIssue]
    return -likelihood, likelihood.detach()


class _SlicedCrossEntropy(torch.autograd.Function):
    """The gradient is made together with the loss, slice by slice."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, smoothing, weights):  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.autocast(hidden.device.type, enabled=False):
            return _SlicedCrossEntropy._slices(ctx, hidden, weight, bias, targets, smoothing, weights)

    @staticmethod
    def _slices(ctx, hidden, weight, bias, targets, smoothing, weights):
        V = len(weight)
        sure, unsure = 1.0 - smoothing, smoothing / (V - 1) if V > 1 else 0.0
        entropy = -sure * math.log(sure) - (V - 1) * (unsure * math.log(unsure) if unsure else 0.0)
        wanted = any(ctx.needs_input_grad[:3])
        exact = torch.promote_types(hidden.dtype, torch.float32)
        matrix = weight.to(hidden.dtype)
        to_hidden, to_weight = (
            (torch.empty_like(hidden), torch.zeros_like(weight)) if wanted else (hidden[:0], weight[:0])
        )
        to_bias = torch.zeros_like(bias) if wanted and bias is not None else None
        total, likelihood = hidden.new_zeros((), dtype=exact), hidden.new_zeros((), dtype=exact)
        # memory of two slices, which every slice uses anew
        room = hidden.new_empty(2, min(_SLICE, len(targets)), V, dtype=exact)
        for first in range(0, len(targets), _SLICE):
            here = slice(first, first + _SLICE)
            rows, target = hidden[here], targets[here, None]
            scores, probabilities = room[:, : len(rows)]
            multiply(rows, matrix.T, scores)
            if bias is not None:
                scores += bias
            torch.softmax(scores, 1, out=probabilities)
            # log-sum-exp, without a second exponential
            norm = scores.amax(1, keepdim=True) - probabilities.amax(1, keepdim=True).log()
            gold = scores.gather(1, target) - norm
            gold = gold.sum() if weights is None else weights[here].to(exact) @ gold[:, 0]
            likelihood += gold
            total -= (sure - unsure) * gold
            if unsure:
                total -= unsure * (scores.sum() - V * norm.sum())
            if wanted:
                # the scores' gradient is `probabilities - unsure` but at the target; the constant is added to products
                gradient = probabilities.scatter_add_(1, target, probabilities.new_full(target.shape, unsure - sure))
                if weights is not None:
                    gradient *= weights[here, None]
                gradient = gradient.to(hidden.dtype)
                multiply(gradient, matrix, to_hidden[here])
                multiply(gradient.T, rows, to_weight, adds=True)
                if to_bias is not None:
                    to_bias += gradient.sum(0)
        if wanted and unsure:
            to_hidden -= unsure * matrix.sum(0)
            to_weight -= unsure * hidden.sum(0).to(to_weight.dtype)
            if to_bias is not None:
                to_bias -= unsure * len(targets)
        total -= len(targets) * entropy
        ctx.mark_non_differentiable(likelihood)
        if wanted:
            ctx.save_for_backward(to_hidden, to_weight, to_bias)
        return total, likelihood

    @staticmethod
    @once_differentiable
    def backward(ctx, to_total, _):  # pyright: ignore[reportIncompatibleMethodOverride]
        scaled = (None if gradient is None else gradient * to_total for gradient in ctx.saved_tensors)
        return *scaled, None, None, None
