"""The training step which all peers share: Adam as the Transformer's paper sets it, smoothed labels."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.material import PAD

SMOOTHING = 0.1


def step(model: nn.Module, scores: Callable[[Tensor, Tensor], Tensor], *, bfloat16: bool) -> Callable:
    """A function (source [B, S], target [B, T]) -> real target tokens, which takes one optimiser step.

    Args:
        scores: (source, target) -> [B, T, V]; shifts the target itself.
        bfloat16: under autocast, as trainers have it.
    """
    # fused: one pass over the parameters, the fastest that torch has
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9, fused=True)
    model.train()

    def run(source: Tensor, target: Tensor) -> int:
        with torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext():
            predicted = scores(source, target)
        loss = F.cross_entropy(
            predicted.flatten(0, 1).float(), target.flatten(), ignore_index=PAD, label_smoothing=SMOOTHING
        )
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return int((target != PAD).sum())

    return run
