"""The runs of a comparison, one after another; what is done is not done again, and what was stopped goes on.

Several processes which run the same comparison share its runs: each takes one which nobody has.

A comparison's folder holds

    comparison.toml              all that decides how it goes
    shared                       the tokenizer and the tokenised text, which all runs have; and who has which run
    runs/NAME-SEED               the run of a contestant with a seed: a model directory
    runs/NAME-SEED/result.json   what is known of it, once it has spent its budget and is measured
"""

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from regard.compare.comparison import COMPARISON, Comparison, folder_name
from regard.compare.measuring import YARDSTICKS, Length, Yardstick
from regard.models.parameters import plain_weights
from regard.storage.files import written_whole
from regard.storage.folders import folder_whole, taken
from regard.text.tokenizer import TOKENIZER
from regard.training.beginning import require_model
from regard.training.checkpoint import checkpoints
from regard.training.log import MEASURES, Part, read_measures
from regard.training.loop import Diverged, Interrupted, train
from regard.training.plan import Say
from regard.training.processes import require_alone
from regard.training.progress import Progress
from regard.training.run import Run, differing
from regard.training.translation import TranslationTask

RESULT = "result.json"
SHARED, LOCKS, RUNS = "shared", "shared/.locks", "runs"
PAUSE = 5.0  # seconds between two looks at what other processes have not ended


@dataclass(frozen=True)
class Point:
    """What a run is worth on the way, and what it has spent by then."""

    seconds: float
    tokens: int
    operations: int
    value: float


@dataclass(frozen=True)
class Result:
    """What is known of one run.

    Args:
        name: of the contestant.
        seed: of the run.
        parameters: of the model.
        updates: which were made.
        seconds: which they took.
        tokens: of the sequences which they read.
        operations: of floating-point numbers.
        memory: peak of an update, in bytes; 0 where nothing tells.
        measures: of the model, by name.
        lengths: its quality by length.
        points: on the way.
        diverged: why the run ended before its time, if it did.
    """

    name: str
    seed: int
    parameters: int = 0
    updates: int = 0
    seconds: float = 0.0
    tokens: int = 0
    operations: int = 0
    memory: int = 0
    measures: dict[str, float] = dataclasses.field(default_factory=dict)
    lengths: tuple[Length, ...] = ()
    points: tuple[Point, ...] = ()
    diverged: str = ""

    def save(self, folder: Path) -> None:
        """Write result.json into the folder of the run."""
        with written_whole(folder / RESULT) as file:
            json.dump(dataclasses.asdict(self), file, indent=1, allow_nan=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The result of the run in a folder.

        Raises:
            ValueError: if its file is damaged.
        """
        try:
            values = json.loads((folder / RESULT).read_text(encoding="utf-8"))
            values["lengths"] = tuple(Length(**one) for one in values["lengths"])
            values["points"] = tuple(Point(**one) for one in values["points"])
            return cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{folder / RESULT} is damaged: {error}; delete it, to measure that run again") from error


def compare(comparison: Comparison, folder: Path, say: Say) -> tuple[list[Result], Yardstick]:
    """Train and measure all contestants with all seeds, or what of that is left; and by what they are measured.

    First comes each contestant with the first seed, so that there is something to look at early. Where other processes
    do the same in this folder, they are waited for at the end.

    Args:
        comparison: who competes.
        folder: of the comparison.
        say: what is done is said here.

    Raises:
        ValueError: if the folder holds another comparison, the budget does not suffice for one update, or several
            processes were launched.
        Interrupted: after SIGTERM or Ctrl-C in a run, once a checkpoint is written.
    """
    require_alone("contestants are compared on the same machine; several commands may share the runs of a comparison")
    with taken(folder / LOCKS / "all", waits=True):
        _claim(comparison, folder, say)
        first = comparison.first
        first.task(first, folder / SHARED).prepare(say, keeps=True)
        for name, run in comparison.contestants.items():
            _require_model(run, name, folder / SHARED)
    yardstick = YARDSTICKS[comparison.reads](comparison)
    turns = [(name, seed) for seed in range(1, comparison.seeds + 1) for name in comparison.contestants]
    places = [folder / RUNS / f"{folder_name(name)}-{seed}" for name, seed in turns]
    parts = [Part(f"{name}, seed {seed}", number, len(turns)) for number, (name, seed) in enumerate(turns, 1)]

    def is_done(number: int) -> bool:
        """Whether a run is done, now if not before; not if another process has it."""
        (name, seed), place, part = turns[number], places[number], parts[number]
        with taken(folder / LOCKS / place.name, waits=False) as is_ours:
            if is_ours and not (place / RESULT).is_file():
                say(f"{part}")
                run = comparison.run(name, seed)
                _result(run, name, place, folder / SHARED, yardstick, part, say).save(place)
            return is_ours

    left = [number for number in range(len(turns)) if not is_done(number)]
    if left:
        say(f"other processes have {', '.join(parts[number].name for number in left)}: they are waited for")
    while left := [number for number in left if not is_done(number)]:
        time.sleep(PAUSE)
    return [Result.load(place) for place in places], yardstick


def _claim(comparison: Comparison, folder: Path, say: Say) -> None:
    """Write down what is compared, or find that it is what was begun here; more seeds may be asked for than were.

    Raises:
        ValueError: if another comparison was begun.
    """
    if (folder / COMPARISON).is_file():
        before = Comparison.load(folder)
        differs = differing(before.table(), comparison.table())
        if differs == ["seeds"]:
            say(f"{comparison.seeds} seeds instead of {before.seeds}")
        elif differs and not any((folder / RUNS).glob("*")):
            say("nothing was trained here so far: the comparison begins anew")
            for left in (folder / SHARED).iterdir():
                if left.name != Path(LOCKS).name:  # in which this process holds one
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
        elif differs:
            raise ValueError(
                f"{folder} holds a comparison which differs in {', '.join(differs)}; choose another --out, or go on "
                f"with that one by `regard compare --out {folder}`"
            )
    comparison.save(folder)


def _require_model(run: Run, name: str, data: Path) -> None:
    """Refuse a contestant which cannot be made for the tokenizer of all, before one of them spends its budget.

    Raises:
        ValueError: if it cannot; names it.
    """
    task = run.task(run, data)
    task.prepare(lambda text: None, keeps=True)
    try:
        require_model(run, task.build_config())
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _result(run: Run, name: str, place: Path, data: Path, yardstick: Yardstick, part: Part, say: Say) -> Result:
    """Train a contestant, or go on with it, and measure it."""
    run = _sharing(run, place, data)
    try:
        trained = train(run, place, resume=Run.is_begun(place), part=part)
        say(f"{part}: measuring")
        found = yardstick.measured(trained, run, place, part)
    except Diverged as error:
        return Result(name, run.plan.seed, diverged=str(error).partition(";")[0])
    except Interrupted as error:
        what = f"{part}: {str(error).partition(';')[0]}; the same command goes on from there"
        raise Interrupted(what, error.status - 128) from None
    _require_shared(run, place, data)
    progress = Progress.read(checkpoints(place / "checkpoints")[-1])
    return Result(
        name=name,
        seed=run.plan.seed,
        parameters=sum(weight.numel() for weight in plain_weights(trained.model).values()),
        updates=progress.step,
        seconds=progress.seconds,
        tokens=progress.extent,
        operations=progress.operations,
        memory=progress.memory,
        measures=dict(found.measures),
        lengths=tuple(found.lengths),
        points=tuple(_points(place, yardstick)),
    )


def _sharing(run: Run, place: Path, data: Path) -> Run:
    """The run with the tokenizer which all share; the tokenised text is laid into its folder without being copied."""
    if not (place / "data").is_dir():
        with folder_whole(place / "data") as filled:
            shutil.copytree(data / "data", filled, copy_function=os.link, dirs_exist_ok=True)
    tokenizer = data.resolve() if run.task is TranslationTask else data.resolve() / TOKENIZER
    return dataclasses.replace(run, text=dataclasses.replace(run.text, load=str(tokenizer)))


def _require_shared(run: Run, place: Path, data: Path) -> None:
    """Refuse a run which had to tokenise its text anew.

    Raises:
        ValueError: if it had, because that has changed.
    """
    for path in (data / "data").rglob("*.ids"):
        if not os.path.samefile(path, place / path.relative_to(data)):
            raise ValueError(
                f"{run.train.path} or {run.validation.path} has changed since the comparison began, and {place} was "
                "trained on the new text; begin another comparison, or put the old text back and delete that folder"
            )


def _points(place: Path, yardstick: Yardstick) -> Iterator[Point]:
    """The measurements of a run on the way."""
    for line in read_measures(place / MEASURES):
        if "validation_nats" in line:
            yield Point(line["seconds"], line["extent"], line["operations"], yardstick.value(line))
