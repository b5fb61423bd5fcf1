"""Timing in turns.

A shared machine is never equally fast for long. So the contenders take turns, in an order which rotates, a speed is
over whole rounds, and a ratio is the median of the ratios of the rounds.
"""

import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Workload:
    """A contender: `run(part)` does one part of the work and gives the units which it did (tokens, sentences)."""

    name: str
    run: Callable[[int], int]


@dataclass(frozen=True)
class Speed:
    """Units a second of one contender, in each round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the rounds."""
        return median(self.rounds)

    def over(self, other: "Speed") -> float:
        """How many times as fast as `other`: the median over the rounds, in each of which both worked."""
        return median(mine / theirs for mine, theirs in zip(self.rounds, other.rounds, strict=True))


def alternate(
    title: str, workloads: Sequence[Workload], *, seconds: float, parts: int = 1, most: int = 9
) -> dict[str, Speed]:
    """Speeds of workloads which take turns, part by part, after a first part which is not counted.

    Args:
        title: shown beside the progress.
        seconds: how long the rounds may take together; a round which has begun is finished, and there is at least one.
        parts: of a round. Part numbers go on from round to round: 0, 1, 2, ...
        most: rounds at most.
    """
    for workload in workloads:
        progress(f"{title}: warming up {workload.name}")
        workload.run(0)
    rounds: list[dict[str, float]] = []
    gc.collect()
    gc.freeze()  # what is there already is not looked through again before each part
    begun = time.perf_counter()
    while not rounds or (len(rounds) < most and (time.perf_counter() - begun) * (1 + 1 / len(rounds)) <= seconds):
        units = dict.fromkeys((workload.name for workload in workloads), 0)
        spent = dict.fromkeys(units, 0.0)
        for part in range(len(rounds) * parts, (len(rounds) + 1) * parts):
            turn = part % len(workloads)
            for workload in (*workloads[turn:], *workloads[:turn]):
                progress(f"{title}: round {len(rounds) + 1}, part {part % parts + 1} of {parts}, {workload.name}")
                gc.collect()
                start = time.perf_counter()
                units[workload.name] += workload.run(part)
                spent[workload.name] += time.perf_counter() - start
        rounds.append({name: units[name] / spent[name] for name in units})
    gc.unfreeze()
    progress("")
    return {name: Speed(tuple(speeds[name] for speeds in rounds)) for name in rounds[0]}


def progress(text: str) -> None:
    """Show what is being done on one line of a terminal, and nothing where there is none."""
    if sys.stderr.isatty():
        print(f"\r\033[2K{text[:110]}", end="", file=sys.stderr, flush=True)
