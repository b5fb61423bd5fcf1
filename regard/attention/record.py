"""Looking into a model: recording its attention weights, and leaving heads out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """What every attention of the library is: a module which can be recorded, and whose heads can be left out.

    Both are set by the context managers below and read in `forward`, where torch.compile guards them.
    """

    heads: int = 1
    recorded: list[Tensor] | None = None  # weights [B, H, T, S] are appended while recording
    kept: Tensor | None = None  # [H], 1 for a head which works and 0 for one left out

    def keep(self, result: Tensor) -> Tensor:
        """Set the results [B, H, T, K] of heads which are left out to zero."""
        return result if self.kept is None else result * self.kept.to(result)[:, None, None]


class HasModules(Protocol):
    """Anything with named modules: a model, or what holds one."""

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Names and modules."""
        ...


class Maps(Mapping[str, Tensor]):
    """Attention weights by module name.

    `maps["decoder.0.source_attention"]` is [B, H, T, S]; a packed batch counts as one row, whose T and S hold all its
    sequences. `maps.calls[name]` lists the weights of every call, for a module which was called more than once.
    """

    def __init__(self, calls: dict[str, list[Tensor]]):
        self.calls = calls

    def __getitem__(self, name: str) -> Tensor:
        calls = self.calls[name]
        if len(calls) != 1:
            raise ValueError(
                f"{name} was called {len(calls)} times while recording, not once; see .calls[{name!r}] for each call"
            )
        return calls[0]

    def __iter__(self) -> Iterator[str]:
        return (name for name, calls in self.calls.items() if calls)

    def __len__(self) -> int:
        return sum(bool(calls) for calls in self.calls.values())


def attentions(model: HasModules) -> dict[str, Attention]:
    """Every attention of a model, by its module name.

    Raises:
        ValueError: if the model has none.
    """
    named = {_plain(name): module for name, module in model.named_modules() if isinstance(module, Attention)}
    if not named:
        raise ValueError(f"{type(model).__name__} has no attention to look at")
    return named


@contextmanager
def recording(model: HasModules) -> Iterator[Maps]:
    """Collect the true weights of every attention which `model` computes inside the block.

    The reference kernel computes them, whatever kernel is chosen otherwise. Works on a model compiled by
    torch.compile, which is compiled once more at its first recorded call.
    """
    modules = attentions(model)
    before = {name: module.recorded for name, module in modules.items()}
    calls: dict[str, list[Tensor]] = {name: [] for name in modules}
    for name, module in modules.items():
        module.recorded = calls[name]
    try:
        yield Maps(calls)
    finally:
        for name, module in modules.items():
            module.recorded = before[name]


@contextmanager
def without_heads(model: HasModules, heads: Mapping[str, Sequence[int]]) -> Iterator[None]:
    """Leave heads out inside the block: what they would have added is zero (Michel et al. 2019, section 2.3).

    Args:
        model: any model of the library.
        heads: head numbers by attention name, such as {"encoder.0.attention": [0, 3]}.

    Raises:
        ValueError: if there is no attention of that name, or it has no head of that number.
    """
    modules = attentions(model)
    for name, numbers in heads.items():
        if name not in modules:
            raise ValueError(f"no attention is called {name!r}; this model has {', '.join(modules)}")
        wrong = [number for number in numbers if not 0 <= number < modules[name].heads]
        if wrong:
            raise ValueError(f"{name} has heads 0 to {modules[name].heads - 1}, got {wrong}")
    before = {name: modules[name].kept for name in heads}
    for name, numbers in heads.items():
        already = before[name]
        kept = torch.ones(modules[name].heads) if already is None else already.clone()
        kept[list(numbers)] = 0.0
        modules[name].kept = kept
    try:
        yield
    finally:
        for name in heads:
            modules[name].kept = before[name]


def _plain(name: str) -> str:
    """A module's name without the wrappers of torch.compile and of distributed training."""
    return ".".join(part for part in name.split(".") if part not in ("_orig_mod", "module", "_fsdp_wrapped_module"))
