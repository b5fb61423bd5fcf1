"""A task which needs long range, by the time spent on it.

A text of 4,096 symbols is 2,048 drawn at random from 31, a mark, and the same again. What is measured is the share of
the repeated symbols which a model finds most probable, in texts which it has not been trained on yet: every step has a
text of its own. The Sparse Transformer has two layers of width 64 with strided patterns over 4 heads; its peers are the
same model with dense attention, and GPT-2 of that size, whose positions and start are others. All train on the same
texts, one a step, with the same rate, in turns: next is whoever has had the least time.
"""

import time
from collections.abc import Callable, Sequence
from statistics import fmean

import torch
from torch import Tensor, nn

from benchmarks.measure import progress
from benchmarks.results import Outcome, Row
from regard.attention.masks import Pattern, causal
from regard.attention.packing import Packed
from regard.models.gpt2 import GPT2, GPT2Config
from regard.models.sparse_transformer import SparseTransformer, SparseTransformerConfig
from regard.objectives.loss import summed_loss
from regard.training.optimisers import adamw, scaled

SYMBOLS = 32  # the last one is the mark
SAME, USUAL = "the same, dense", "GPT-2"
RATE, WARMUP, CLIP = 0.003, 50, 1.0
LATEST = 20  # steps over which a share is taken


class Dense(SparseTransformer):
    """The Sparse Transformer with dense attention."""

    def masks(self) -> list[Pattern]:
        """Every layer sees all before it."""
        return [causal()] * self.config.depth


def compare(*, seconds: float, length: int = 4096, stride: int = 64, marks: int = 6, width: int = 64) -> Outcome:
    """The share which each has learnt by several times, the last one `seconds` for each of them.

    Args:
        length: of a text.
        stride: of the pattern, a divisor of the length.
        marks: times at which shares are taken.
    """
    sizes = {"vocabulary": SYMBOLS, "context": length, "width": width, "depth": 2, "heads": 4, "dropout": 0.0}
    sparse = SparseTransformerConfig(
        **sizes, pattern="strided over heads", stride=stride, axes=(length // stride, stride)
    )
    builders: dict[str, Callable[[], nn.Module]] = {
        "regard": lambda: SparseTransformer(sparse),
        SAME: lambda: Dense(sparse),
        USUAL: lambda: GPT2(GPT2Config(**sizes)),
    }
    learners = {name: Learner(build, length) for name, build in builders.items()}
    while any(learner.needs(seconds) for learner in learners.values()):
        name = min(learners, key=lambda name: learners[name].spent)
        progress(f"long range: {name}, {learners[name].spent:.0f} of {seconds:.0f} s")
        learners[name].step()
    progress("")
    rows = []
    for mark in range(1, marks + 1):
        until = seconds * mark / marks
        shares = {name: learner.share(until) for name, learner in learners.items()}
        for peer in (SAME, USUAL):
            work = f"copy over {length // 2:,} positions, after {until:.0f} s"
            ratio, target = shares["regard"] / max(shares[peer], 1e-9), 1.0 if mark == marks else None
            rows.append(Row(work, "% right", 100 * shares["regard"], peer, 100 * shares[peer], ratio, target))
    steps = {f"steps, {name}": len(learner.found) for name, learner in learners.items()}
    return Outcome(rows, {**steps, "chance, %": round(100 / (SYMBOLS - 1), 1)})


class Learner:
    """A model in training, and what it had learnt by when."""

    def __init__(self, build: Callable[[], nn.Module], length: int):
        torch.manual_seed(1)
        self.model, self.half, self.spent = build().train(), length // 2, 0.0
        self.optimiser, self.draw = adamw([scaled(self.model.parameters())], 0.0), torch.Generator().manual_seed(2)
        self.found: list[tuple[float, float]] = []  # seconds spent, and the share which was right

    def needs(self, seconds: float) -> bool:
        """Whether it has had less time than that; a step is the least."""
        return self.spent < seconds or not self.found

    def step(self) -> None:
        """Train on one text, and note what of it was right before."""
        text = drawn(self.half, self.draw)
        for group in self.optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (len(self.found) + 1) / WARMUP)
        start = time.perf_counter()
        hidden: Tensor = self.model.hidden(Packed.of([text[:-1].tolist()]))[self.half :]
        total, _ = summed_loss(self.model.output, hidden, text[self.half + 1 :])
        (total / self.half).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        with torch.no_grad():
            right = self.model.output(hidden).argmax(1) == text[self.half + 1 :]
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.spent += time.perf_counter() - start
        self.found.append((self.spent, float(right.float().mean())))

    def share(self, until: float) -> float:
        """The share which was right in the last steps before a time, or in the first one."""
        shares: Sequence[float] = [share for spent, share in self.found if spent <= until] or [self.found[0][1]]
        return fmean(shares[-LATEST:])


def drawn(half: int, generator: torch.Generator) -> Tensor:
    """Symbols, a mark, and the same symbols again: [2 half + 1]."""
    symbols = torch.randint(SYMBOLS - 1, (half,), generator=generator)
    return torch.cat([symbols, torch.tensor([SYMBOLS - 1]), symbols])
