"""regard's side, by its public path: its objectives and optimisers."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn

from benchmarks.peers.training import SMOOTHING
from regard.attention.packing import Packed
from regard.objectives.next_token import NextToken
from regard.objectives.translation import Translation
from regard.training import precision
from regard.training.optimisers import adam, adamw


def step(model: nn.Module, *, bfloat16: bool, rate: float = 1e-4, warmup: int = 1) -> Callable[[Packed, Packed], int]:
    """A function (source, target) -> target tokens, which takes one optimiser step.

    Args:
        bfloat16: as its trainer has it.
        rate: after `warmup` steps, to which it rises evenly.
    """
    objective = Translation(model, smoothing=SMOOTHING).train()
    optimiser = adam(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda number: rate * min(1.0, (number + 1) / warmup))

    def run(source: Packed, target: Packed) -> int:
        with precision.bfloat16("cpu") if bfloat16 else nullcontext():
            loss = objective(source, target)
        (loss.total / loss.tokens).backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        return loss.tokens

    return run


def language_step(model: nn.Module, *, bfloat16: bool) -> Callable[[Packed], int]:
    """A function from texts to predicted tokens, which takes one optimiser step.

    Args:
        bfloat16: as its trainer has it.
    """
    objective = NextToken(model).train()
    optimiser = adamw(model.parameters(), 0.1)
    for group in optimiser.param_groups:
        group["lr"] = 1e-4

    def run(text: Packed) -> int:
        with precision.bfloat16("cpu") if bfloat16 else nullcontext():
            loss = objective(text)
        (loss.total / loss.tokens).backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss.tokens

    return run
