"""Learning rates by step. Each is a factor of the plan's rate; steps count from 1.

A step is a number of updates; of a run which has a budget it is a share of that, and need not be whole.

The codes of BERT, ALBERT, XLNet and Transformer-XL count from 0, so that their first update moves nothing. Only "bert"
keeps that; "linear" and "cosine", which are XLNet's and Transformer-XL's, have each rate one update earlier.
"""

import math
from collections.abc import Callable
from typing import Protocol


class Pace(Protocol):
    """What of a plan a schedule reads."""

    @property
    def steps(self) -> int:
        """Updates of the whole run."""
        ...

    @property
    def warmup(self) -> int:
        """Updates of the warm-up."""
        ...

    @property
    def floor(self) -> float:
        """Share of the rate at which the schedule ends."""
        ...

    @property
    def halve_after(self) -> int:
        """Updates before the first halving."""
        ...

    @property
    def halve_every(self) -> int:
        """Updates between halvings."""
        ...


def constant(step: float, pace: Pace, width: int) -> float:
    """The same rate, after a linear warm-up."""
    return min(1.0, step / pace.warmup) if pace.warmup else 1.0


def noam(step: float, pace: Pace, width: int) -> float:
    """d_model^-0.5 min(step^-0.5, step warmup^-1.5) (Vaswani et al. 2017, equation 3)."""
    return width**-0.5 * min(step**-0.5, step * max(1, pace.warmup) ** -1.5)


def inverse_sqrt(step: float, pace: Pace, width: int) -> float:
    """As `noam`, but reaching 1 at the end of the warm-up, whatever the width."""
    warmup = max(1, pace.warmup)
    return min(step / warmup, (warmup / step) ** 0.5)


def halving(step: float, pace: Pace, width: int) -> float:
    """One until `halve_after`, then halved there and every `halve_every` steps (Sutskever et al. 2014, section 3.4)."""
    past = step - pace.halve_after
    return 1.0 if past <= 0 else 0.5 ** (1 + (past - 1) // pace.halve_every)


def linear(step: float, pace: Pace, width: int) -> float:
    """Linear warm-up, then linear to the floor at the last step."""
    return _after_warmup(step, pace, lambda left: left)


def cosine(step: float, pace: Pace, width: int) -> float:
    """Linear warm-up, then half a cosine to the floor at the last step (Brown et al. 2020, appendix B: to 10 %)."""
    return _after_warmup(step, pace, lambda left: (1 - math.cos(math.pi * left)) / 2)


def bert(step: float, pace: Pace, width: int) -> float:
    """Linear warm-up, then what is left of the run, as BERT's and ALBERT's codes count it (Devlin et al. 2019, A.2).

    What is left is counted from the beginning of the run, not from the end of the warm-up: there the rate falls at once
    from nearly 1 to 1 - warmup / steps, which the paper does not say.
    """
    before = step - 1
    return before / pace.warmup if before < pace.warmup else max(0.0, 1 - before / pace.steps)


def _after_warmup(step: float, pace: Pace, fall: Callable[[float], float]) -> float:
    """Linear warm-up, then from 1 to the floor as `fall` does from 1 to 0, given the share of steps which is left."""
    if step <= pace.warmup:
        return step / pace.warmup
    left = max(0.0, (pace.steps - step) / max(1, pace.steps - pace.warmup))
    return pace.floor + (1 - pace.floor) * fall(left)


SCHEDULES: dict[str, Callable[[float, Pace, int], float]] = {
    "constant": constant,
    "noam": noam,
    "inverse_sqrt": inverse_sqrt,
    "halving": halving,
    "linear": linear,
    "cosine": cosine,
    "bert": bert,
}
