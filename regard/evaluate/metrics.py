"""Metrics of predicted classes and numbers, by name; reports print as tables and give plain types for JSON.

Values are shares, from 0 to 1, but for correlations, from -1 to 1, and for the errors of numbers. Where a metric is not
defined its value is 0, and a note says so. Classes are names: a predicted or a true one which is no label is an error.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from regard.storage.names import require

OF_CLASSES = ("accuracy", "f1", "macro_f1", "weighted_f1", "matthews")
OF_NUMBERS = ("pearson", "spearman", "mean_squared_error", "mean_absolute_error")


@dataclass(frozen=True)
class Measure:
    """The value of a metric, and a note where it is not defined."""

    name: str
    value: float
    note: str = ""


@dataclass(frozen=True)
class Measures:
    """Several metrics of the same predictions; printed, a table."""

    examples: int
    measures: tuple[Measure, ...]

    def __getitem__(self, name: str) -> float:
        require("metric", name, (measure.name for measure in self.measures))
        return next(measure.value for measure in self.measures if measure.name == name)

    def __str__(self) -> str:
        rows = [(spelled(measure.name), f"{measure.value:.4f}", measure.note) for measure in self.measures]
        return aligned([("examples", f"{self.examples:,}", ""), *rows], "<><")

    def as_dict(self) -> dict[str, object]:
        """The values in plain types, and the notes where there are any."""
        report: dict[str, object] = {"examples": self.examples}
        report |= {measure.name: measure.value for measure in self.measures}
        notes = {measure.name: measure.note for measure in self.measures if measure.note}
        return report | ({"notes": notes} if notes else {})

    def as_json(self) -> str:
        """The values as JSON."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)


def spelled(name: str) -> str:
    """How a metric is called in a table."""
    return name.replace("_", " ").replace("f1", "F1")


def aligned(rows: Sequence[Sequence[str]], sides: str) -> str:
    """Rows as a table, each column as wide as its widest cell and flush to the side `<` or `>`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def measure_classes(
    names: Sequence[str],
    predictions: Sequence[str],
    golds: Sequence[str],
    *,
    labels: Sequence[str],
    positive: str = "",
) -> Measures:
    """Metrics of predicted classes.

    `accuracy`; `f1` of the class `positive`; `macro_f1`, the mean over the classes which occur, and `weighted_f1`, the
    mean weighted by how often each is true; `matthews`, the correlation coefficient, of several classes Gorodkin's R_K.

    Args:
        names: of the metrics.
        labels: the classes there are.
        positive: the class of `f1`, which must be given for it.

    Raises:
        ValueError: if there is nothing to measure, predictions and truths do not pair up, one of them is no label, or
            a name is not that of a metric of classes.
    """
    for name in names:
        require("metric of classes", name, OF_CLASSES)
    check_classes(predictions, golds, labels)
    if "f1" in names:
        require("positive class of f1", positive, labels)
    return Measures(len(golds), tuple(_of_classes(name, predictions, golds, positive) for name in names))


def _of_classes(name: str, predictions: Sequence[str], golds: Sequence[str], positive: str) -> Measure:
    """One metric of predicted classes."""
    from sklearn import metrics

    if name == "accuracy":
        return Measure(name, float(metrics.accuracy_score(golds, predictions)))
    if name == "matthews":
        constant = [what for what, classes in _named(predictions, golds) if len(set(classes)) == 1]
        if constant:
            return Measure(name, 0.0, _undefined(constant, "of one class"))
        return Measure(name, float(metrics.matthews_corrcoef(golds, predictions)))
    if name == "f1":
        value = metrics.f1_score(golds, predictions, labels=[positive], average="macro", zero_division=0)  # pyright: ignore[reportArgumentType]
        occurs = positive in golds or positive in predictions
        return Measure(name, float(value), "" if occurs else f"not defined: {positive!r} is neither true nor predicted")
    average = name.removesuffix("_f1")
    return Measure(name, float(metrics.f1_score(golds, predictions, average=average, zero_division=0)))  # pyright: ignore[reportArgumentType]


def measure_numbers(names: Sequence[str], predictions: Sequence[float], golds: Sequence[float]) -> Measures:
    """Metrics of predicted numbers: `pearson`, `spearman`, `mean_squared_error`, `mean_absolute_error`.

    Raises:
        ValueError: if there is nothing to measure, predictions and truths do not pair up, one of them is no finite
            number, or a name is not that of a metric of numbers.
    """
    for name in names:
        require("metric of numbers", name, OF_NUMBERS)
    check_predictions(predictions, golds)
    guesses, truths = (_numbers(what, values) for what, values in _named(predictions, golds))
    return Measures(len(golds), tuple(_of_numbers(name, guesses, truths) for name in names))


def _of_numbers(name: str, predictions: list[float], golds: list[float]) -> Measure:
    """One metric of predicted numbers."""
    if name.startswith("mean"):
        from sklearn import metrics

        return Measure(name, float(getattr(metrics, name)(golds, predictions)))
    from scipy import stats

    constant = [what for what, values in _named(predictions, golds) if min(values) == max(values)]
    if constant:
        return Measure(name, 0.0, _undefined(constant, "all the same"))
    correlation = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[name]
    return Measure(name, float(correlation(predictions, golds).statistic))


def _undefined(which: list[str], how: str) -> str:
    """What is said of a correlation with something which does not vary."""
    return f"not defined: {' and '.join(which)} are {how}"


def _named(predictions: Sequence, golds: Sequence) -> tuple[tuple[str, Sequence], tuple[str, Sequence]]:
    """Both sides, with what they are called in messages."""
    return ("predictions", predictions), ("truths", golds)


def check_predictions(predictions: Sequence, golds: Sequence) -> None:
    """Refuse nothing, and predictions which do not pair up with truths."""
    if len(predictions) != len(golds):
        raise ValueError(f"there must be one prediction a truth, got {len(predictions)} for {len(golds)}")
    if not len(golds):
        raise ValueError("there is nothing to measure, got no predictions")


def check_classes(predictions: Sequence[str], golds: Sequence[str], labels: Sequence[str]) -> None:
    """Refuse classes which are none of the labels."""
    check_predictions(predictions, golds)
    known = set(labels)
    if len(known) != len(labels):
        raise ValueError(f"each label must be given once, got {', '.join(labels)}")
    for what, classes in _named(predictions, golds):
        for number, each in enumerate(classes, 1):
            if each not in known:
                raise ValueError(f"number {number} of the {what} must be one of {', '.join(labels)}, got {each!r}")


def _numbers(what: str, values: Sequence[float]) -> list[float]:
    """The same numbers as floats.

    Raises:
        ValueError: if one is not a finite number.
    """
    numbers = []
    for number, value in enumerate(values, 1):
        if value is None or isinstance(value, str) or not math.isfinite(value):
            raise ValueError(f"number {number} of the {what} must be a finite number, got {value!r}")
        numbers.append(float(value))
    return numbers
