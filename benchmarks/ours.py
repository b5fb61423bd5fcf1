"""regard's side, by its public path: its objectives and optimisers."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn

from benchmarks.peers.training import SMOOTHING
from regard.attention.packing import Packed
from regard.data.inputs import LabelledBatch
from regard.data.masked_sequences import MaskedBatch
from regard.objectives.next_token import NextToken
from regard.objectives.translation import Translation
from regard.training import precision
from regard.training.optimisers import adam, adamw, bert, scaled

EncoderBatch = LabelledBatch | MaskedBatch


def step(model: nn.Module, *, bfloat16: bool, rate: float = 1e-4, warmup: int = 1) -> Callable[[Packed, Packed], int]:
    """A function (source, target) -> target tokens, which takes one optimiser step.

    Args:
        bfloat16: as its trainer has it.
        rate: after `warmup` steps, to which it rises evenly.
    """
    objective = Translation(model, smoothing=SMOOTHING).train()
    optimiser = adam([scaled(model.parameters())])
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


def language_step(model: nn.Module, *, bfloat16: bool, device: str = "cpu") -> Callable[[Packed], int]:
    """A function from texts to predicted tokens, which takes one optimiser step.

    Args:
        bfloat16: as its trainer has it.
        device: to which the model and texts are moved.
    """
    objective = NextToken(model).to(device).train()
    optimiser = adamw([scaled(model.parameters())], 0.1)
    for group in optimiser.param_groups:
        group["lr"] = 1e-4

    def run(text: Packed) -> int:
        with precision.bfloat16(device) if bfloat16 else nullcontext():
            loss = objective(text.to(device))
        (loss.total / loss.tokens).backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss.tokens

    return run


def encoder_step(
    objective: nn.Module, *, bfloat16: bool, clip: float = 1.0, device: str = "cpu"
) -> Callable[[EncoderBatch], int]:
    """A function from a batch to its examples, which takes one optimiser step as an encoder's run does.

    Args:
        objective: around the model.
        bfloat16: as its trainer has it.
        clip: the gradient to this norm.
        device: to which the model and batches are moved.
    """
    objective.to(device).train()
    optimiser = bert([scaled(objective.parameters())], 0.01)
    for group in optimiser.param_groups:
        group["lr"] = 5e-5

    def run(batch: EncoderBatch) -> int:
        with precision.bfloat16(device) if bfloat16 else nullcontext():
            loss = objective(*batch.to(device).parts)
        (loss.total / batch.targets).backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in objective.parameters() if p.grad is not None])
        torch.nn.utils.clip_grads_with_norm_(objective.parameters(), clip, norm)
        optimiser.step()
        optimiser.zero_grad()
        return len(batch)

    return run
