"""What the updates of a run take: time, and where there is a budget, tokens, operations and memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from regard.training.budget import OPERATIONS, Budget
from regard.training.memory import PeakMemory
from regard.training.operations import counted
from regard.training.plan import Plan
from regard.training.processes import Processes
from regard.training.progress import Progress

COUNTED = 20  # operations of one in so many updates are counted, where they are not the budget


class Meter:
    """Notes in a run's progress what its updates take, and says where the run is.

    Validation, checkpoints and the start take nothing of a budget.

    Args:
        plan: of the run.
        progress: what was spent before, and where it is noted.
        processes: of the run.
    """

    def __init__(self, plan: Plan, progress: Progress, processes: Processes):
        self.plan, self.progress, self.processes = plan, progress, processes
        self.budget = Budget.read(plan.budget) if plan.budget else None
        self._held: Callable[[], int] = int
        self._is_warm = False
        self._memory: PeakMemory | None = None

    @property
    def place(self) -> float:
        """Where the run is among its plan's steps: its updates, or in steps the share of its budget which is spent."""
        if self.budget is None:
            return self.progress.step
        return self.budget.place(self.progress.spent[self.budget.of], self.plan.steps)

    @property
    def spent(self) -> dict[str, int | float]:
        """What is said of a run with a budget, beside its measures."""
        if self.budget is None:
            return {}
        return {name: getattr(self.progress, name) for name in ("seconds", "extent", "operations")}

    def begin(self, held: Callable[[], int]) -> None:
        """Before the first update of this process.

        Args:
            held: gives the bytes of what the run has in memory between two updates, weights and state of the optimiser.
        """
        self._held = held

    @contextmanager
    def update(self) -> Iterator[None]:
        """Measure an update inside the block.

        Raises:
            ValueError: if the first one takes more than the whole budget.
        """
        progress, started = self.progress, time.monotonic()
        if self.budget is None:
            yield
            progress.seconds += time.monotonic() - started
            return
        with self._watched():
            yield
        progress.seconds += self.processes.mean(time.monotonic() - started)  # so that all end after the same update
        taken = progress.spent[self.budget.of]
        if progress.step == 1 and taken > self.budget.amount:
            raise ValueError(
                f"plan.budget={self.plan.budget!r} does not suffice for one update, which takes "
                f"{Budget(taken, self.budget.of)}; raise it, or lower plan.tokens"
            )

    def settle(self) -> None:
        """After what is no update, and has used memory."""
        if self._memory is not None:
            self._memory.settle()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Note the peak of memory inside the block; in a first update libraries take room which is not the model's."""
        if not self._is_warm:
            self._is_warm = True
            yield
            return
        self._memory = self._memory or PeakMemory(self.processes.device, self._held())
        with self._memory.watched():
            yield
        self.progress.memory = max(self.progress.memory, self._memory.peak)

    @contextmanager
    def passes(self, extent: int) -> Iterator[None]:
        """Count what the forward and backward passes of an update take inside the block.

        Args:
            extent: tokens of their sequences, on all processes.
        """
        progress = self.progress
        if self.budget is not None and (self.budget.of == OPERATIONS or progress.step % COUNTED == 0):
            with counted() as counter:
                yield
            progress.counted += int(self.processes.summed(torch.tensor(counter.get_total_flops())))
            progress.counted_extent += extent
        else:
            yield
        progress.extent += extent
