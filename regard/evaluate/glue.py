"""GLUE's scores, over several seeds too, and the submission which its server scores.

What is scored and submitted is a sheet: one a task, but for MNLI, which has two (`MNLI-m`, `MNLI-mm`), and `AX`, the
diagnostic set. Scores are kept as shares, and printed a hundredfold, as the papers have them.
"""

import json
import math
import statistics
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from regard.data.examples import Example
from regard.data.glue import GLUE_TASKS, HIGHEST_SCORE, LOWEST_SCORE, GlueTask
from regard.data.lines import lines_of
from regard.data.rows import Unusable
from regard.evaluate.metrics import Measures, aligned, measure_classes, measure_numbers, spelled
from regard.storage.files import written_whole
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


HEADER = "index\tprediction"


def write_predictions(folder: str | Path, name: str, predictions: Sequence[str] | Sequence[float]) -> Path:
    """Write the predictions of a sheet's test split as `folder/NAME.tsv`, as a submission holds them.

    Raises:
        ValueError: if there is no such sheet, they are not as many as the split has, or one is no label.
    """
    text = _sheet_text(name, predictions)
    path = Path(folder) / f"{name}.tsv"
    with written_whole(path) as file:
        file.write(text)
    return path


def read_predictions(folder: str | Path) -> dict[str, list[str] | list[float]]:
    """The predictions of all sheets which lie in a folder, as `write_predictions` wrote them.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if a file is not one of predictions.
    """
    found: dict[str, list[str] | list[float]] = {}
    for name, sheet in SHEETS.items():
        path = Path(folder) / f"{name}.tsv"
        if path.is_file():
            cells = _cells(path)
            try:
                found[name] = [float(cell) for cell in cells] if sheet.task.is_regression else cells
                _sheet_text(name, found[name])
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
    if not found:
        raise FileNotFoundError(f"no predictions in {folder}; looked for {', '.join(f'{name}.tsv' for name in SHEETS)}")
    return found


def _cells(path: Path) -> list[str]:
    """The column of predictions of a file.

    Raises:
        ValueError: if the header or an index is another.
    """
    cells = []
    for number, line in enumerate(lines_of(path), -1):
        if isinstance(line, Unusable):
            raise line
        index, _, cell = line.partition("\t")
        is_wrong = index != str(number) if number >= 0 else line != HEADER
        if is_wrong:
            expected = f"index {number} and a prediction" if number >= 0 else "the header index, prediction"
            raise ValueError(f"{path}:{number + 2}: expected {expected} with a tab between, got {line!r}")
        cells.append(cell)
    return cells[1:]


def write_submission(path: str | Path, predictions: Mapping[str, Sequence[str] | Sequence[float]]) -> None:
    """Write the zip file which GLUE's server takes: a sheet for every task, and `AX`, with the test split's indices.

    A submission is whole or refused, since the server wants all sheets. For a task without a model one class can be
    predicted throughout, as BERT's authors did for WNLI; that is the caller's to do, and to say beside the scores. The
    numbers of STS-B are moved into 0 to 5, where all true ones lie. The same predictions give the same bytes.

    Raises:
        ValueError: if sheets are missing or not known, have not as many predictions as their split, or one is no label.
    """
    path = Path(path)
    if path.suffix != ".zip":
        raise ValueError(f"a submission is a zip file, got {path}")
    for name in predictions:
        require("sheet", name, SHEETS)
    missing = [name for name in SHEETS if name not in predictions]
    if missing:
        raise ValueError(
            f"a submission has a sheet for each of {', '.join(SHEETS)}; there are no predictions for "
            f"{', '.join(missing)}; for a task without a model predict one class throughout, and say so"
        )
    texts = {name: _sheet_text(name, predictions[name]) for name in SHEETS}
    with written_whole(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, text in texts.items():
            entry = zipfile.ZipInfo(f"{name}.tsv")  # dated 1980; not compressed, for zlib's versions differ in bytes
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same on every system
            archive.writestr(entry, text)


def _sheet_text(name: str, predictions: Sequence[str] | Sequence[float]) -> str:
    """A sheet as the server reads it.

    Raises:
        ValueError: if there is no such sheet, or the predictions are not as the split has them.
    """
    require("sheet", name, SHEETS)
    sheet = SHEETS[name]
    if len(predictions) != sheet.count:
        raise ValueError(
            f"{name} has {sheet.count:,} predictions, one for each example of {sheet.task.files[sheet.test].name}, got "
            f"{len(predictions):,}"
        )
    cells = (_cell(name, sheet.task, index, each) for index, each in enumerate(predictions))
    return "\n".join([HEADER, *(f"{index}\t{cell}" for index, cell in enumerate(cells))]) + "\n"


def _cell(name: str, task: GlueTask, index: int, prediction: str | float) -> str:
    """A prediction as it is written.

    Raises:
        ValueError: if it is not one of the labels, or no number.
    """
    if not task.is_regression:
        if prediction not in task.labels:
            labels = ", ".join(task.labels)
            raise ValueError(f"prediction {index} of {name} must be one of {labels}, got {prediction!r}")
        return str(prediction)
    if isinstance(prediction, str) or not math.isfinite(prediction):
        raise ValueError(f"prediction {index} of {name} must be a finite number, got {prediction!r}")
    return f"{min(max(float(prediction), LOWEST_SCORE), HIGHEST_SCORE):.6f}"
