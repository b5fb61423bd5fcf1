"""What a run says of itself: a file of measures, TensorBoard curves and a progress bar."""

import json
import math
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from regard.storage.files import written_whole

MEASURES = "measures.jsonl"

# TensorBoard's own switch: without it the writer starts all of TensorFlow where that is installed, and uses none of it
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))


class Log:
    """Measures by step, in `measures.jsonl` and for TensorBoard; only the main process writes.

    Args:
        folder: of the run.
        first: the step from which the run goes on; what an earlier try wrote of later steps is dropped.
        writes: False in the other processes, whose log says nothing.
    """

    def __init__(self, folder: Path, first: int, *, writes: bool):
        self._file = self._board = None
        if not writes:
            return
        path = folder / MEASURES
        if path.is_file():
            kept = [line for line in read_measures(path) if line["step"] <= first]
            with written_whole(path) as file:
                file.writelines(json.dumps(line) + "\n" for line in kept)
        from torch.utils.tensorboard import SummaryWriter

        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115
        self._board = SummaryWriter(str(folder / "curves"), purge_step=first + 1)

    def add(self, step: int, **measures: float) -> None:
        """Note measures of a step."""
        if self._file is None or self._board is None:
            return
        self._file.write(json.dumps({"step": step, **measures}) + "\n")
        self._file.flush()
        for name, value in measures.items():
            self._board.add_scalar(name, value, step)

    def flush(self) -> None:
        """Put all of it on the disk; before a checkpoint, which must not know of steps that the log has lost."""
        if self._file is not None and self._board is not None:
            self._board.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        if self._file is not None and self._board is not None:
            self._file.close()
            self._board.close()


def read_measures(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of measures; a last line which a kill cut short is left out.

    Raises:
        ValueError: if another line is damaged; says which.
    """
    lines: list[dict[str, Any]] = []
    rows = path.read_text(encoding="utf-8").split("\n")  # behind the last line break stands nothing, or what was cut
    for number, row in enumerate(rows, 1):
        try:
            line = json.loads(row)
            _ = line["step"]
        except (ValueError, TypeError, KeyError) as error:
            if number == len(rows):
                break
            raise ValueError(
                f"{path}:{number} is no line of measures, {row[:80]!r}; delete the line to go on without it"
            ) from error
        lines.append(line)
    return lines


@dataclass(frozen=True)
class Part:
    """Which of several runs one is."""

    name: str
    number: int  # from 1 on
    runs: int

    def __str__(self) -> str:
        return f"{self.name} ({self.number} of {self.runs})"


class Bar:
    """A progress bar with rate and time left; on anything but a terminal, a line now and then instead.

    Args:
        total: steps of the whole run.
        done: steps already done.
        budget: which stands in for the steps, in words.
        part: of several runs, which have a bar below this one's.
        shows: False in the other processes.
        unit: of what a rate counts.
    """

    SECONDS = 15.0  # between lines where there is no terminal

    def __init__(
        self,
        total: int,
        done: float,
        budget: str = "",
        part: Part | None = None,
        *,
        shows: bool,
        unit: str = "target tokens",
    ):
        self.console = Console(stderr=True, quiet=not shows, highlight=False, markup=False, emoji=False)
        self._lively = shows and self.console.is_terminal
        self._total, self._budget, self._part, self._unit = total, budget, part, unit
        self._first: tuple[float, float] | None = None  # place and time of the first update
        self._said = -math.inf
        self._run = self._bar(part.name if part else "training", total, done)
        self._runs = None if part is None else self._bar("all runs", part.runs, part.number - 1 + done / total)
        bars = [bar for bar in (self._run, self._runs) if bar is not None]
        self._shown = Live(Group(*bars), console=self.console, refresh_per_second=10) if self._lively else nullcontext()

    def _bar(self, name: str, total: int, done: float) -> Progress:
        """A bar of one thing, with room behind it for what is said of that."""
        times = TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False)
        about = TextColumn("{task.fields[about]}", table_column=Column(ratio=1, no_wrap=True))
        bar = Progress(TextColumn(name), BarColumn(20), *times, about, console=self.console, expand=True)
        bar.update(bar.add_task(name, total=total, about=""), completed=done)
        return bar

    def __enter__(self) -> Self:
        self._shown.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self.console.print(text, soft_wrap=True)

    def update(self, place: float, step: int, loss: float, rate: float) -> None:
        """Move to a place among the steps, after so many updates; `rate` is of the unit, a second."""
        where = f", {place / self._total:.0%} of {self._budget}" if self._budget else f"/{self._total:,}"
        about = f"step {step:,}{where}  loss {loss:.3f}  {rate:,.0f} {self._unit}/s"
        self._run.update(self._run.task_ids[0], completed=place, about=about)
        if self._part is not None and self._runs is not None:
            done = self._part.number - 1 + place / self._total
            self._runs.update(self._runs.task_ids[0], completed=done, about=f"{self._part.number} of {self._part.runs}")
        now = time.monotonic()
        if self._first is None:
            self._first = place, now
        elif not self._lively and (now - self._said > self.SECONDS or place >= self._total):
            first, started = self._first
            self._said = now
            left = (now - started) / (place - first) * (self._total - place)
            self.say(f"{f'{self._part}: ' if self._part else ''}{about}  {_clock(left)} left")


def _clock(seconds: float) -> str:
    """Hours, minutes, seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
