"""Whether contestants can be told apart, for all that their seeds differ.

Two contestants differ if the difference of their means is outside of what chance alone makes of it: Welch's t-test at
95 %, which lets each have a spread of its own (Welch 1947; recommended for few seeds by Colas, Sigaud and Oudeyer 2018,
"How Many Random Seeds?"). With one seed nothing is known about the spread, and nothing is decided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Self

LEVEL = 0.95


@dataclass(frozen=True)
class Spread:
    """What the seeds of a contestant make of one measure."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Of one value a seed."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Difference:
    """The mean of one contestant above that of another, and half the width of its 95 % interval; None of one seed."""

    mean: float
    margin: float | None

    @classmethod
    def of(cls, one: Sequence[float], other: Sequence[float]) -> Self:
        """Of one value a seed of each."""
        mean = fmean(one) - fmean(other)
        if min(len(one), len(other)) < 2:
            return cls(mean, None)
        if len({*one}) == len({*other}) == 1:  # no spread at all, of which the test would make 0 / 0
            return cls(mean, 0.0)
        from scipy.stats import ttest_ind

        interval = ttest_ind(one, other, equal_var=False).confidence_interval(LEVEL)
        return cls(mean, float(interval.high - interval.low) / 2)

    @property
    def is_clear(self) -> bool:
        """Whether the first is above the other, and not by chance."""
        return self.margin is not None and self.mean > self.margin


@dataclass(frozen=True)
class Verdict:
    """A contestant against one which is above it in the ranking."""

    name: str
    better: str
    difference: Difference  # of the better one's mean from this one's, above 0 where it is better
    measure: str

    @property
    def words(self) -> str:
        """What is said of the contestant."""
        mean, margin = abs(self.difference.mean), self.difference.margin
        if margin is None:
            return (
                f"differs from {self.better} by {mean:.3g} {self.measure}, with one seed, which tells nothing of chance"
            )
        if self.difference.is_clear:
            low, high = mean - margin, mean + margin
            return f"is worse than {self.better} by {mean:.3g} {self.measure} (95 %: {low:.3g} to {high:.3g})"
        return (
            f"cannot be told apart from {self.better}: the means differ by {mean:.3g} {self.measure}, which is within "
            f"the spread of the seeds (95 %: up to {margin:.3g})"
        )

    def __str__(self) -> str:
        return f"{self.name} {self.words}"


def ranking(qualities: Mapping[str, Sequence[float]], *, is_higher_better: bool) -> list[str]:
    """The contestants by their medians, the best first."""
    medians = {name: median(values) for name, values in qualities.items()}
    return sorted(medians, key=lambda name: medians[name], reverse=is_higher_better)


def verdicts(qualities: Mapping[str, Sequence[float]], measure: str, *, is_higher_better: bool) -> list[Verdict]:
    """Each contestant against each which is above it.

    Args:
        qualities: of each contestant one value a seed.
        measure: what the values are.
        is_higher_better: as of BLEU.
    """
    order, found = ranking(qualities, is_higher_better=is_higher_better), []
    for place, name in enumerate(order):
        for better in order[:place]:
            sides = (qualities[better], qualities[name])
            difference = Difference.of(*(sides if is_higher_better else reversed(sides)))
            found.append(Verdict(name, better, difference, measure))
    return found
