"""Models small enough to be checked in float64, with weights at which every part matters."""

import dataclasses
from collections.abc import Callable

import torch
from torch import nn
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.models import MODELS
from regard.models.heads import HEADS

TRANSLATING = [name for name, entry in MODELS.items() if entry.reads == "pairs"]
WRITING = [name for name, entry in MODELS.items() if entry.reads == "text"]
READING = [name for name, entry in MODELS.items() if entry.reads == "inputs" and not entry.model.is_causal]
TUNED = [entry.tuned for entry in MODELS.values() if entry.tuned]  # language models as encoders
WORDS = 11
END = 1


def tiny_config(name: str, words: int = WORDS, **changes):
    """The registry's tiny size with a small vocabulary and no dropout; any model's, by the names of its fields."""
    config = MODELS[name].sizes["tiny"]
    vocabularies = {f.name: words for f in dataclasses.fields(config) if f.name.endswith("vocabulary")}
    narrow = {"width": 16, "hidden": 24, "embedding": 12, "alignment": 10, "maxout": 8}
    narrow |= {"key_width": 8, "dropout": 0.0, "attention_dropout": 0.0}
    narrow = {key: value for key, value in narrow.items() if hasattr(config, key)}
    return dataclasses.replace(config, **{**vocabularies, **narrow, **changes})


def tiny(name: str, *, seed: int = 0, dtype: torch.dtype = torch.float64, words: int = WORDS, **changes) -> nn.Module:
    """A model in evaluation mode, its weights far from the published start (where RNNsearch looks at all alike)."""
    torch.manual_seed(seed)
    return shaken(MODELS[name].model(tiny_config(name, words, **changes)).to(dtype).eval())


def shaken(model: nn.Module) -> nn.Module:
    """The model with random weights at which every part matters."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 1.5 * parameter.shape[1] ** -0.5)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def headed(name: str, head: str, *, seed: int = 0, dtype: torch.dtype = torch.float64, words: int = WORDS, **changes):
    """An encoder of this name with a head, as `tiny` makes models; the classes are a, b and c."""
    torch.manual_seed(seed)
    kind = HEADS[head]
    pools = {} if name in TUNED else {"pools": kind.pools}
    encoder = MODELS[name].model(tiny_config(name, words, **{**pools, **changes}))
    return shaken(kind(encoder, () if kind.size else ("a", "b", "c"), dropout=0.0).to(dtype).eval())


def inputs(name: str, *lengths: int, seed: int = 0, words: int = WORDS) -> tuple[Packed, torch.Tensor]:
    """Random inputs of an encoder, each of two segments, and a third for what sums it up where that has one."""
    texts, parts = sentences(*lengths, seed=seed, words=words), []
    for number, length in enumerate(lengths):
        first = min((length + number) // 2, length)
        parts.append([0] * first + [1] * (length - first))
        if MODELS[name].model.sums_up_last:
            parts[-1][-1] = 2
    return Packed.of(texts), torch.tensor([segment for own in parts for segment in own])


def sentences(*lengths: int, seed: int = 0, words: int = WORDS) -> list[list[int]]:
    """Random ids, each sentence of its length with the end token as the last."""
    generator = torch.Generator().manual_seed(seed)
    return [[*torch.randint(3, words, (n - 1,), generator=generator).tolist(), END] for n in lengths]


def pairs(seed: int = 0, words: int = WORDS) -> tuple[Packed, Packed]:
    """Five sentence pairs of very different length, among them the shortest."""
    source = sentences(3, 1, 23, 2, 7, seed=seed, words=words)
    return Packed.of(source), Packed.of(sentences(2, 5, 4, 1, 19, seed=seed + 1, words=words))


def assert_gradient_is_the_derivative(model: nn.Module, loss: Callable[[], torch.Tensor]) -> None:
    """The gradient of `loss` in three random directions beside differences of its values."""
    loss().backward()
    torch.manual_seed(1)
    weights = list(model.parameters())
    for _ in range(3):
        direction = [torch.randn_like(weight) for weight in weights]
        slope = sum((weight.grad * d).sum() for weight, d in zip(weights, direction, strict=True))
        values, step = [], 1e-6
        for sign in (1, -2):
            with torch.no_grad():
                torch._foreach_add_(weights, direction, alpha=sign * step)
                values.append(loss())
        with torch.no_grad():
            torch._foreach_add_(weights, direction, alpha=step)
        # relu and maxout have corners, and a difference of two rounds: 1e-4 of the slope or of a typical one
        typical = sum(weight.grad.square().sum() for weight in weights).sqrt()
        assert_close((values[0] - values[1]) / (2 * step), slope, rtol=1e-4, atol=1e-4 * typical.item())
