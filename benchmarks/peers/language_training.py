"""The training step of Hugging Face's GPT-2: its own loss, AdamW."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from regard.training.optimisers import adamw, scaled


def step(model: nn.Module, *, bfloat16: bool, device: str = "cpu") -> Callable[[Tensor], int]:
    """A function ids [B, T + 1] -> predicted tokens, which takes one optimiser step.

    Args:
        bfloat16: under autocast, as its trainer has it.
        device: to which the model and ids are moved.
    """
    model.to(device)
    optimiser = adamw([scaled(model.parameters())], 0.1)
    for group in optimiser.param_groups:
        group["lr"] = 1e-4
    model.train()

    def run(ids: Tensor) -> int:
        ids = ids.to(device)
        with torch.autocast(device, torch.bfloat16) if bfloat16 else nullcontext():
            # its labels are the ids which it reads, and it shifts them by itself
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return ids.numel() - len(ids)

    return run
