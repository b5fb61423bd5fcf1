"""What is the same of every model which is there to be used, with its tokenizers: a translator, a writer, a reader."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Self

import torch
from torch import nn

from regard.attention.record import Attention
from regard.layers.rounded import is_rounded, round_weights


def require_list(texts: Iterable[object], what: str) -> None:
    """Refuse one text where several are read: its letters would be taken for them.

    Raises:
        ValueError: if it is a text; `what` are the texts called.
    """
    if isinstance(texts, str):
        raise ValueError(f"{what} are a list, as ['A fine film.']; got one text, {texts[:40]!r}")


class Loaded:
    """A model and how it is used; `recording` and `without_heads` take it as they take the model."""

    model: Any
    has_many_rows: ClassVar[bool] = False  # whether most of its products are of more than ten tokens, and not of one

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """The model's modules."""
        return self.model.named_modules()

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    @property
    def batch_threads(self) -> int:
        """How many batches may be computed side by side: one where a thread would not see what holds in this one."""
        threads = torch.get_num_threads()
        if threads == 1 or self.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return 1
        modules = (module for _, module in self.named_modules())
        is_recorded = any(isinstance(module, Attention) and module.recorded is not None for module in modules)
        return 1 if is_recorded else threads

    def to(self, device: torch.device | str) -> Self:
        """Let the model compute on another device, as "cuda"; what it reads is moved there batch by batch.

        Raises:
            ValueError: if the weights were rounded, which lie as the products of one device read them.
        """
        if is_rounded(self.model):
            raise ValueError(f"rounded weights stay where they are; move the model to {device} before it is rounded")
        self.model.to(device)
        return self

    def round_weights(self, kind: str) -> None:
        """Round the weights to "int8" or "bfloat16", for more speed; they cannot be saved after that.

        Raises:
            ValueError: if this machine has no such products.
        """
        round_weights(self.model, kind, has_many_rows=self.has_many_rows)
