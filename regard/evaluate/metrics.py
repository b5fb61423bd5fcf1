"""Metrics of predicted classes, numbers and tags, by name; reports print as tables and give plain types for JSON.

Values are shares, from 0 to 1, but for correlations, from -1 to 1, and for the errors of numbers. Where a metric is not
defined its value is 0, and a note says so. Classes are names: a predicted or a true one which is no label is an error.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from regard.storage.names import require

OF_CLASSES = ("accuracy", "f1", "macro_f1", "weighted_f1", "matthews")
OF_NUMBERS = ("pearson", "spearman", "mean_squared_error", "mean_absolute_error")
METRICS = OF_CLASSES + OF_NUMBERS


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
    _check_classes(predictions, golds, labels)
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
    _check_pairs(predictions, golds)
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


def _check_pairs(predictions: Sequence, golds: Sequence) -> None:
    """Refuse nothing, and predictions which do not pair up with truths."""
    if len(predictions) != len(golds):
        raise ValueError(f"there must be one prediction a truth, got {len(predictions)} for {len(golds)}")
    if not len(golds):
        raise ValueError("there is nothing to measure, got no predictions")


def _check_classes(predictions: Sequence[str], golds: Sequence[str], labels: Sequence[str]) -> None:
    """Refuse classes which are none of the labels."""
    _check_pairs(predictions, golds)
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


@dataclass(frozen=True)
class Agreement:
    """How often a class was rightly predicted, predicted, and true."""

    name: str
    correct: int
    predicted: int
    true: int

    @property
    def precision(self) -> float:
        """The share of the predicted which is right; 0 where none is predicted."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """The share of the true which is found; 0 where none is true."""
        return self.correct / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 where nothing is right."""
        return 2 * self.correct / (self.predicted + self.true) if self.correct else 0.0

    def as_dict(self) -> dict[str, float]:
        """The counts and the shares."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "correct": self.correct,
            "predicted": self.predicted,
            "true": self.true,
        }


def _agreements(rows: Sequence[Agreement], what: str) -> str:
    """A table with a row each."""
    head = (what, "precision", "recall", "F1", "predicted", "true")
    cells = [
        (row.name, *(f"{100 * share:.2f}" for share in (row.precision, row.recall, row.f1)), *counts)
        for row in rows
        for counts in [(f"{row.predicted:,}", f"{row.true:,}")]
    ]
    return aligned([head, *cells], "<>>>>>")


@dataclass(frozen=True)
class Confusion:
    """Which classes were taken for which; printed, the counts and how each class fares, in per cent."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]  # a row for each true class, a column for each predicted one

    @property
    def examples(self) -> int:
        """How many there are."""
        return sum(map(sum, self.counts))

    @property
    def accuracy(self) -> float:
        """The share of the examples which is right."""
        return sum(self.counts[place][place] for place in range(len(self.labels))) / self.examples

    @property
    def classes(self) -> tuple[Agreement, ...]:
        """How each class fares, in the order of the labels."""
        predicted = [sum(column) for column in zip(*self.counts, strict=True)]
        return tuple(
            Agreement(label, self.counts[place][place], predicted[place], sum(self.counts[place]))
            for place, label in enumerate(self.labels)
        )

    def __str__(self) -> str:
        head = ("true \\ predicted", *self.labels)
        rows = [(label, *(f"{count:,}" for count in row)) for label, row in zip(self.labels, self.counts, strict=True)]
        matrix = aligned([head, *rows], "<" + ">" * len(self.labels))
        last = f"accuracy {100 * self.accuracy:.2f} per cent of {self.examples:,}"
        return "\n\n".join([matrix, _agreements(self.classes, "class"), last])

    def as_dict(self) -> dict[str, object]:
        """The counts and how each class fares, in plain types."""
        return {
            "labels": list(self.labels),
            "counts": [list(row) for row in self.counts],
            "accuracy": self.accuracy,
            "classes": {row.name: row.as_dict() for row in self.classes},
        }

    def as_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)


def confusion(predictions: Sequence[str], golds: Sequence[str], labels: Sequence[str]) -> Confusion:
    """Which classes were taken for which.

    Raises:
        ValueError: if there is nothing to measure, predictions and truths do not pair up, or one of them is no label.
    """
    _check_classes(predictions, golds, labels)
    counts = Counter(zip(golds, predictions, strict=True))
    return Confusion(tuple(labels), tuple(tuple(counts[gold, label] for label in labels) for gold in labels))


class Entity(NamedTuple):
    """A type, and the first and the last word, counted from 0."""

    type: str
    first: int
    last: int


PREFIXES = ("B", "I", "E", "S")


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sentence, as the shared task of CoNLL 2003 reads them from tags `B-PER`, `I-PER`, `O`.

    IOB1, IOB2 and IOBES are read by the same rule, and so are tags which keep to none of them, as models predict them.
    An entity begins at `B` and at `S`; at `I` and `E` where the word before is outside, ends an entity (`E`, `S`) or is
    of another type. It ends where another begins, or at a word outside.

    Raises:
        ValueError: if a tag is neither `O` nor one of `B-`, `I-`, `E-`, `S-` and a type.
    """
    found: list[Entity] = []
    split = [("O", ""), *(_prefix_and_type(tag, place) for place, tag in enumerate(tags))]
    for place, ((before, type_before), (prefix, type)) in enumerate(pairwise(split)):
        if prefix == "O":
            continue
        if prefix in "BS" or before in "OES" or type != type_before:
            found.append(Entity(type, place, place))
        else:
            found[-1] = found[-1]._replace(last=place)
    return found


def _prefix_and_type(tag: str, place: int) -> tuple[str, str]:
    """`B-PER` in its two parts.

    Raises:
        ValueError: if it has not two.
    """
    if tag == "O":
        return "O", ""
    prefix, dash, type = tag.partition("-")
    if prefix not in PREFIXES or not dash or not type:
        raise ValueError(f"tag {place + 1} must be O, or B-, I-, E- or S- with a type as in B-PER, got {tag!r}")
    return prefix, type


@dataclass(frozen=True)
class EntityScores:
    """How well entities were found, of each type and of all; printed, a table in per cent."""

    types: tuple[Agreement, ...]
    words: int
    accuracy: float  # share of the words with the right tag

    @property
    def all(self) -> Agreement:
        """All entities together, whatever their type: the score of the shared task."""
        sums = [sum(getattr(row, name) for row in self.types) for name in ("correct", "predicted", "true")]
        return Agreement("all", *sums)

    def __str__(self) -> str:
        table = _agreements([*self.types, self.all], "type")
        return f"{table}\n\naccuracy of tags {100 * self.accuracy:.2f} per cent of {self.words:,}"

    def as_dict(self) -> dict[str, object]:
        """The scores in plain types."""
        return {
            **self.all.as_dict(),
            "words": self.words,
            "accuracy": self.accuracy,
            "types": {row.name: row.as_dict() for row in self.types},
        }

    def as_json(self) -> str:
        """The scores as JSON."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)


def entity_scores(predictions: Sequence[Sequence[str]], golds: Sequence[Sequence[str]]) -> EntityScores:
    """How well the entities of sentences were found; one is right where type, first and last word are.

    Raises:
        ValueError: if there is no word, the tags of a sentence do not pair up, or one of them is no tag.
    """
    _check_pairs(predictions, golds)
    correct, predicted, true = Counter(), Counter(), Counter()
    words = right = 0
    for number, (guessed, tags) in enumerate(zip(predictions, golds, strict=True), 1):
        try:
            _check_same_length(guessed, tags)
            guesses, truths = set(entities(guessed)), set(entities(tags))
        except ValueError as error:
            raise ValueError(f"sentence {number}: {error}") from None
        words += len(tags)
        right += sum(guess == tag for guess, tag in zip(guessed, tags, strict=True))
        for counter, group in ((correct, guesses & truths), (predicted, guesses), (true, truths)):
            counter.update(entity.type for entity in group)
    if not words:
        raise ValueError("there is nothing to measure, the sentences have no words")
    types = (Agreement(type, correct[type], predicted[type], true[type]) for type in sorted(predicted | true))
    return EntityScores(tuple(types), words, right / words)


def _check_same_length(guessed: Sequence[str], tags: Sequence[str]) -> None:
    """Refuse a sentence with more or fewer predicted tags than words."""
    if len(guessed) != len(tags):
        raise ValueError(f"there must be one predicted tag a word, got {len(guessed)} for {len(tags)}")
