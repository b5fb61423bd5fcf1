"""How often each class was predicted and true, and which classes were taken for which."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from regard.evaluate.metrics import aligned, check_classes


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


def agreements_table(rows: Sequence[Agreement], what: str) -> str:
    """A table with a row each, in per cent; `what` they are stands above the names."""
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
        return "\n\n".join([matrix, agreements_table(self.classes, "class"), last])

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
    check_classes(predictions, golds, labels)
    counts = Counter(zip(golds, predictions, strict=True))
    return Confusion(tuple(labels), tuple(tuple(counts[gold, label] for label in labels) for gold in labels))
