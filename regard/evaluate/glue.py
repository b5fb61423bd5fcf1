"""GLUE's scores, over several seeds too.

What is scored and submitted is a sheet: one a task, but for MNLI, which has two (`MNLI-m`, `MNLI-mm`), and `AX`, the
diagnostic set. Scores are kept as shares, and printed a hundredfold, as the papers have them.
"""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from regard.data.examples import Example
from regard.data.glue import GLUE_TASKS, GlueTask, read_glue
from regard.evaluate.metrics import Measures, aligned, measure_classes, measure_numbers, spelled
from regard.storage.names import require


@dataclass(frozen=True)
class Sheet:
    """What is scored at once: a task, the split with labels for it, and the split whose labels the server keeps."""

    task: GlueTask
    dev: str
    test: str

    @property
    def count(self) -> int:
        """How many predictions a submission has."""
        return self.task.files[self.test].count


SHEETS: Mapping[str, Sheet] = MappingProxyType(
    {
        "CoLA": Sheet(GLUE_TASKS["CoLA"], "dev", "test"),
        "SST-2": Sheet(GLUE_TASKS["SST-2"], "dev", "test"),
        "MRPC": Sheet(GLUE_TASKS["MRPC"], "dev", "test"),
        "STS-B": Sheet(GLUE_TASKS["STS-B"], "dev", "test"),
        "QQP": Sheet(GLUE_TASKS["QQP"], "dev", "test"),
        "MNLI-m": Sheet(GLUE_TASKS["MNLI"], "dev_matched", "test_matched"),
        "MNLI-mm": Sheet(GLUE_TASKS["MNLI"], "dev_mismatched", "test_mismatched"),
        "QNLI": Sheet(GLUE_TASKS["QNLI"], "dev", "test"),
        "RTE": Sheet(GLUE_TASKS["RTE"], "dev", "test"),
        "WNLI": Sheet(GLUE_TASKS["WNLI"], "dev", "test"),
        "AX": Sheet(GLUE_TASKS["AX"], "full", "test"),
    }
)
# The columns of BERT's table 1, of which its average is the mean: no WNLI, one metric each, MNLI twice.
BERT_COLUMNS = (
    *(("MNLI-m", "accuracy"), ("MNLI-mm", "accuracy"), ("QQP", "f1"), ("QNLI", "accuracy"), ("SST-2", "accuracy")),
    *(("CoLA", "matthews"), ("STS-B", "spearman"), ("MRPC", "f1"), ("RTE", "accuracy")),
)


def score_sheet(name: str, predictions: Sequence[str] | Sequence[float], examples: Sequence[Example]) -> Measures:
    """The metrics of a sheet: predictions, by name or as numbers, beside examples with labels.

    Raises:
        ValueError: if there is no such sheet, the examples have no labels, or a prediction cannot be scored.
    """
    require("sheet", name, SHEETS)
    task = SHEETS[name].task
    golds = [example.label for example in examples]
    if None in golds:
        place = examples[golds.index(None)].place
        raise ValueError(f"{place}: {name} is scored on examples with labels; those of a test split are on the server")
    if task.is_regression:
        return measure_numbers(task.metrics, predictions, golds)  # pyright: ignore[reportArgumentType]
    positive = task.labels[-1] if "f1" in task.metrics else ""
    return measure_classes(task.metrics, predictions, golds, labels=task.labels, positive=positive)  # pyright: ignore[reportArgumentType]


def score_task(
    task: str, data: Path, predict: Callable[[Sequence[Example]], Sequence[str] | Sequence[float]]
) -> dict[str, Measures]:
    """The metrics of a task on its development examples, by sheet.

    Args:
        task: of `GLUE_TASKS`.
        data: the folder with CoLA, SST-2 and so on.
        predict: gives a label, or a number, for each example.
    """
    found = {}
    for name, sheet in SHEETS.items():
        if sheet.task.name == task:
            examples = read_glue(task, data, sheet.dev)
            found[name] = score_sheet(name, predict(examples), examples)
    return found


@dataclass(frozen=True)
class GlueScores:
    """The scores of one model, or of one seed, by sheet; printed, a table.

    Raises:
        ValueError: if there is no such sheet, or its metrics are others.
    """

    sheets: Mapping[str, Measures]

    def __post_init__(self):
        for name, measures in self.sheets.items():
            require("sheet", name, SHEETS)
            wanted, got = SHEETS[name].task.metrics, tuple(measure.name for measure in measures.measures)
            if got != wanted:
                raise ValueError(f"{name} is scored by {', '.join(wanted)}, got {', '.join(got) or 'nothing'}")
        ordered = {name: self.sheets[name] for name in SHEETS if name in self.sheets}
        object.__setattr__(self, "sheets", MappingProxyType(ordered))

    @property
    def missing(self) -> tuple[str, ...]:
        """The sheets which the average needs and which are not there."""
        return tuple(name for name in SHEETS if name not in self.sheets and name != "AX")

    @property
    def average(self) -> float | None:
        """GLUE's score: the mean over nine tasks of the mean of a task's metrics, MNLI's two sheets being one task.

        None where a task is missing, for a mean over fewer is no score of GLUE's.
        """
        if self.missing:
            return None
        tasks: dict[str, list[float]] = {}
        for name, measures in self.sheets.items():
            if name != "AX":
                values = tasks.setdefault(SHEETS[name].task.name, [])
                values += [measure.value for measure in measures.measures]
        return statistics.fmean(statistics.fmean(values) for values in tasks.values())

    @property
    def bert_average(self) -> float | None:
        """The mean of the columns of BERT's table 1, without WNLI and with MNLI twice; None where one is missing."""
        if any(name not in self.sheets for name, _ in BERT_COLUMNS):
            return None
        return statistics.fmean(self.sheets[name][metric] for name, metric in BERT_COLUMNS)

    @property
    def rows(self) -> tuple[tuple[str, str, float], ...]:
        """Sheet, metric and value, in GLUE's order, and the averages which there are."""
        rows = [
            (name, measure.name, measure.value)
            for name, measures in self.sheets.items()
            for measure in measures.measures
        ]
        averages = (("average", "GLUE", self.average), ("average", "BERT", self.bert_average))
        return (*rows, *((name, kind, value) for name, kind, value in averages if value is not None))

    def __str__(self) -> str:
        notes = {(name, each.name): each.note for name, measures in self.sheets.items() for each in measures.measures}
        cells = [
            (name, spelled(metric), f"{100 * value:.2f}", notes.get((name, metric), ""))
            for name, metric, value in self.rows
        ]
        return aligned([("task", "metric", "x 100", ""), *cells], "<<><") + _without_average(self.missing)

    def as_dict(self) -> dict[str, object]:
        """The scores in plain types; an average is null where a task is missing."""
        sheets: dict[str, object] = {name: measures.as_dict() for name, measures in self.sheets.items()}
        return {"tasks": sheets, "average": self.average, "bert_average": self.bert_average}

    def as_json(self) -> str:
        """The scores as JSON."""
        return json.dumps(self.as_dict(), indent=2)


def _without_average(missing: Sequence[str]) -> str:
    """What is said below a table where there is no average."""
    return f"\nno average of GLUE without {', '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class Spread:
    """A score over seeds: its median, quartiles and range.

    The spread is told by order, as the median is: a run which failed, as happens on the small tasks, hardly moves the
    quartiles however low it is, while the range shows it.
    """

    name: str
    metric: str
    values: tuple[float, ...]  # in the order of the runs

    @property
    def median(self) -> float:
        """The one in the middle."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """A quarter and three quarters of the way from the lowest to the highest, between values linearly."""
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        lower, _, upper = statistics.quantiles(self.values, method="inclusive")
        return lower, upper

    def as_dict(self) -> dict[str, object]:
        """The spread in plain types."""
        lower, upper = self.quartiles
        return {
            "median": self.median,
            "lowest": min(self.values),
            "lower_quartile": lower,
            "upper_quartile": upper,
            "highest": max(self.values),
            "values": list(self.values),
        }


@dataclass(frozen=True)
class SeedScores:
    """The scores of several seeds; printed, a table."""

    seeds: int
    rows: tuple[Spread, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        head = ("task", "metric", "median", "quartiles", "range")
        cells = [
            (row.name, spelled(row.metric), _hundredfold(row.median), _between(*row.quartiles), _between(*_range(row)))
            for row in self.rows
        ]
        return aligned([head, *cells], "<<>>>") + f"\nx 100, over {self.seeds} seeds" + _without_average(self.missing)

    def as_dict(self) -> dict[str, object]:
        """The table in plain types, by task and metric, and the averages which there are."""
        tasks: dict[str, dict[str, object]] = {}
        for row in self.rows:
            tasks.setdefault(row.name, {})[row.metric] = row.as_dict()
        averages = tasks.pop("average", {})
        return {"seeds": self.seeds, "tasks": tasks, "averages": averages}

    def as_json(self) -> str:
        """The table as JSON."""
        return json.dumps(self.as_dict(), indent=2)


def _hundredfold(value: float) -> str:
    """A share as the papers print it."""
    return f"{100 * value:.2f}"


def _between(lowest: float, highest: float) -> str:
    """Two values as a range."""
    return f"{_hundredfold(lowest)} to {_hundredfold(highest)}"


def _range(row: Spread) -> tuple[float, float]:
    """The lowest and the highest value."""
    return min(row.values), max(row.values)


def over_seeds(runs: Sequence[GlueScores]) -> SeedScores:
    """The spread of each score, and of the averages of each run, over runs which differ in their seed.

    Raises:
        ValueError: if there is no run, or they have not the same tasks.
    """
    if not runs:
        raise ValueError("there is no run to summarise, got none")
    for number, run in enumerate(runs, 1):
        if run.sheets.keys() != runs[0].sheets.keys():
            raise ValueError(
                f"all runs must have the same tasks, got {', '.join(runs[0].sheets)} in run 1 and "
                f"{', '.join(run.sheets)} in run {number}"
            )
    rows = zip(*(run.rows for run in runs), strict=True)
    spreads = (Spread(row[0][0], row[0][1], tuple(value for _, _, value in row)) for row in rows)
    return SeedScores(len(runs), tuple(spreads), runs[0].missing)
