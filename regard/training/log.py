"""What a run says of itself: a file of measures, TensorBoard curves and a progress bar."""

import json
import math
import os
import sys
import time
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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
    """The lines of a file of measures; a last line which a kill cut short is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


class Bar:
    """A progress bar with rate and time left; on anything but a terminal, a line now and then instead.

    Args:
        total: steps of the whole run.
        done: steps already done.
        shows: False in the other processes.
        unit: of what a rate counts.
    """

    SECONDS = 15.0  # between lines where there is no terminal

    def __init__(self, total: int, done: int, *, shows: bool, unit: str = "target tokens"):
        self.console = Console(stderr=True, quiet=not shows, highlight=False, markup=False, emoji=False)
        self._lively = shows and self.console.is_terminal
        self._total, self._unit = total, unit
        self._first: tuple[int, float] | None = None  # step and time of the first update
        self._said = -math.inf
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[about]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self.console,
            disable=not self._lively,
        )
        self._task = self._progress.add_task("training", total=total, completed=done, about="")

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(text, soft_wrap=True)

    def update(self, step: int, loss: float, rate: float) -> None:
        """Move to a step; `rate` is of the unit, a second."""
        about = f"loss {loss:.3f}  {rate:,.0f} {self._unit}/s"
        self._progress.update(self._task, completed=step, about=about)
        now = time.monotonic()
        if self._first is None:
            self._first = step, now
        elif not self._lively and (now - self._said > self.SECONDS or step == self._total):
            first, started = self._first
            self._said = now
            left = (now - started) / (step - first) * (self._total - step)
            self.say(f"step {step:,}/{self._total:,}  {about}  {_clock(left)} left")


def _clock(seconds: float) -> str:
    """Hours, minutes, seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
