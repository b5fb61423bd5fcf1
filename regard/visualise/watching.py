"""Watching a model at work: what it attends to, and the masks which say what it may attend to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from regard.attention.masks import Mask
from regard.attention.record import Maps, attentions, recording
from regard.layers.dropout import without_dropout


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Compute inside the block without dropout and gradients; the model is left as it was."""
    with without_dropout(model), torch.no_grad():
        yield


@contextmanager
def watching(model: nn.Module) -> Iterator[Maps]:
    """Record what `model` attends to inside the block, where it is `still`."""
    with still(model), recording(model) as maps:
        yield maps


def masks_of(model: Any) -> dict[str, Mask]:
    """What each attention of a language model may see of the text, by its name.

    Raises:
        ValueError: if the model does not say.
    """
    names = list(attentions(model))
    if hasattr(model, "masks"):
        return dict(zip(names, model.masks(), strict=True))
    mask = getattr(model, "mask", None)
    if isinstance(mask, Mask):
        return dict.fromkeys(names, mask)
    raise ValueError(f"{type(model).__name__} does not say what its layers see of a text; language models do")


def seen(mask: Mask, heads: int, queries: int, keys: int) -> Tensor:
    """Where queries may look, [1 | H, T, S]: one for all heads where these have the same."""
    return mask.dense(1, heads, queries, keys).reshape(-1, queries, keys)
