"""What a model with a head says of labelled examples, and how good that is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from regard.data.examples import Choices, Example, TaggedWords
from regard.data.labels import OF_NUMBERS
from regard.data.squad import Question
from regard.decoding.spans import decided
from regard.evaluate.entities import entity_scores, is_entity_tag
from regard.evaluate.metrics import measure_classes, measure_numbers
from regard.evaluate.squad import score
from regard.reading.answering import find
from regard.reading.packed import PackedReader, Progress
from regard.reading.preparing import SPANS, Items, Prepared


@dataclass(frozen=True, eq=False)
class Assessment:
    """Measures by name, the loss in nats among them; and of each example what was predicted, and how far it is wrong.

    Args:
        measures: from 0 to 1, but for nats and errors; those of questions in per cent.
        predictions: a class, a number, the number of an option, tags, or the answers to a question, best first.
        losses: in nats, or the squared error of a number; a sentence has the sum over its words, a question the mean
            over its windows, as in training.
        probabilities: of the classes or of the options, [C] an example; where the head chooses one of them.
        threshold: odds of no answer above which a question was given none; None where every question has an answer, and
            of all else.
    """

    measures: dict[str, float]
    predictions: Sequence[Any]
    losses: Sequence[float]
    probabilities: Sequence[Tensor] = ()
    threshold: float | None = None


def measured(head: str, labels: Sequence[str]) -> tuple[str, ...]:
    """What is measured of a head of this name which tells these classes apart, besides nats."""
    if head == "classification":
        return ("accuracy", "macro_f1", "matthews", *(["f1"] if len(labels) == 2 else []))
    if head == "tagging":
        return ("accuracy", *(["entity_f1"] if all(map(is_entity_tag, labels)) else []))
    if head in OF_NUMBERS:
        return ("pearson", "spearman", "mean_squared_error", "mean_absolute_error")
    return ("accuracy",) if head == "choice" else ("exact", "f1", "best_f1")


def assess(
    reader: PackedReader,
    prepared: Prepared,
    items: Items,
    progress: Progress | None = None,
    *,
    threshold: float = 0.0,
) -> Assessment:
    """What a reader makes of labelled examples.

    Args:
        reader: with a head.
        prepared: the examples as it reads them.
        items: the same examples.
        progress: called with the number of inputs which are done.
        threshold: of questions, some of which have no answer: odds of that above which none is given.

    Raises:
        ValueError: if an example has no label.
    """
    options = {"threshold": threshold} if reader.head in SPANS else {}
    return _ASSESSORS[reader.head](reader, prepared, items, progress, **options)


def _classes(
    reader: PackedReader, prepared: Prepared, items: Sequence[Example], progress: Progress | None
) -> Assessment:
    """Classes of inputs; of two, F1 is of the second."""
    scores, golds = reader.scores(prepared.examples.inputs, progress), prepared.examples.labels
    _require_labels(golds >= 0, items)
    predictions = [reader.labels[n] for n in scores.argmax(1).tolist()]
    names = measured(reader.head, reader.labels)
    truths = [reader.labels[n] for n in golds.tolist()]
    found = measure_classes(names, predictions, truths, labels=reader.labels, positive=reader.labels[-1])
    scores = scores.double()
    measures = {"nats": float(cross_entropy(scores, golds)), **{name: found[name] for name in names}}
    losses = cross_entropy(scores, golds, reduction="none").tolist()
    return Assessment(measures, predictions, losses, scores.softmax(-1).unbind())


def _numbers(
    reader: PackedReader, prepared: Prepared, items: Sequence[Example], progress: Progress | None
) -> Assessment:
    """Numbers of inputs; what is called nats is the squared error, which is minimised."""
    scores, golds = reader.scores(prepared.examples.inputs, progress), prepared.examples.labels
    _require_labels(~golds.isnan(), items)
    names = measured(reader.head, reader.labels)
    predictions, truths = scores.tolist(), golds.tolist()
    found = measure_numbers(names, predictions, truths)
    losses = [(true - predicted) ** 2 for true, predicted in zip(truths, predictions, strict=True)]
    measures = {"nats": found["mean_squared_error"], **{name: found[name] for name in names}}
    return Assessment(measures, predictions, losses)


def _options(
    reader: PackedReader, prepared: Prepared, items: Sequence[Choices], progress: Progress | None
) -> Assessment:
    """Which option is taken."""
    first, golds = prepared.examples.first, prepared.examples.labels
    assert first is not None
    _require_labels(golds >= 0, items)
    groups = reader.scores(prepared.examples.inputs, progress).double().split(np.diff(first).tolist())
    chosen = [int(group.argmax()) for group in groups]
    losses = [-float(group.log_softmax(0)[gold]) for group, gold in zip(groups, golds.tolist(), strict=True)]
    right = sum(one == gold for one, gold in zip(chosen, golds.tolist(), strict=True))
    measures = {"nats": sum(losses) / len(golds), "accuracy": right / len(golds)}
    return Assessment(measures, chosen, losses, [group.softmax(0) for group in groups])


def _tags(
    reader: PackedReader, prepared: Prepared, items: Sequence[TaggedWords], progress: Progress | None
) -> Assessment:
    """The tag of each word; words which are not read have the tag which says nothing, `O`, or the first."""
    examples = prepared.examples
    assert examples.owners is not None
    _require_labels(torch.tensor([item.tags is not None for item in items]), items)
    scored = reader.word_scores(examples, progress)
    unread = "O" if "O" in reader.labels else reader.labels[0]
    predictions = []
    for item, (numbers, scores) in zip(items, scored, strict=True):
        tags = [unread] * len(item.words)
        for number, best in zip(numbers, scores.argmax(1).tolist(), strict=True):
            tags[number] = reader.labels[best]
        predictions.append(tags)
    rows = torch.cat([scores for _, scores in scored]).double()
    golds = [list(item.tags or ()) for item in items]
    flat = [
        (tag, gold) for tags, own in zip(predictions, golds, strict=True) for tag, gold in zip(tags, own, strict=True)
    ]
    measures = {
        "nats": float(cross_entropy(rows, examples.labels)),
        "accuracy": sum(tag == gold for tag, gold in flat) / len(flat),
    }
    if "entity_f1" in measured(reader.head, reader.labels):
        measures["entity_f1"] = entity_scores(predictions, golds).all.f1
    words = cross_entropy(rows, examples.labels, reduction="none").split(np.diff(examples.owners).tolist())
    return Assessment(measures, predictions, [float(own.sum()) for own in words])


def _spans(
    reader: PackedReader, prepared: Prepared, items: Sequence[Question], progress: Progress | None, *, threshold: float
) -> Assessment:
    """Answers to questions, and none above the threshold where some have none."""
    if not any(item.is_labelled for item in items):
        raise ValueError(f"{items[0].place}: no question says what its answer is; ask them with `regard answer`")
    answers = find(reader, prepared.windows, prepared.examples.inputs, progress)
    best, odds = ({id: getattr(one, name) for id, one in answers.ranked.items()} for name in ("best", "null_odds"))
    used = None if all(item.answers for item in items) else threshold
    found = score(items, best if used is None else decided(answers.ranked, used))
    optimistic = score(items, best, odds).best
    assert optimistic is not None  # where there are odds
    known: dict[str, list[float]] = {item.id: [] for item in items}
    for window, shares, span in zip(prepared.windows, answers.shares, prepared.examples.labels.tolist(), strict=True):
        if span[0] >= 0:
            known[window.question.id].append(_span_nats(shares, span))
    nats = [one for own in known.values() for one in own]
    measures = {"nats": sum(nats) / max(1, len(nats)), "exact": found.all.exact, "f1": found.all.f1}
    measures["best_f1"] = optimistic.f1
    losses = [sum(own) / max(1, len(own)) for own in known.values()]
    return Assessment(measures, [answers.ranked[item.id] for item in items], losses, threshold=used)


def _span_nats(shares: tuple[Tensor, Tensor], span: Sequence[int]) -> float:
    """Nats of a span's start and end, the mean of both; what has no probability at all counts as one in a million."""
    return -sum(math.log(max(float(side[gold]), 1e-6)) for side, gold in zip(shares, span, strict=True)) / 2


def _require_labels(is_known: Tensor, items: Items) -> None:
    """Refuse examples of which nothing is known; `is_known` is boolean, one an example."""
    if not bool(is_known.all()):
        first = items[int((~is_known).nonzero()[0, 0])]
        raise ValueError(f"{first.place}: it has no label, and cannot be measured by; use `regard predict`")


_ASSESSORS: dict[str, Callable[..., Assessment]] = {  # by the name of a head
    "classification": _classes,
    "regression": _numbers,
    "similarity": _numbers,
    "choice": _options,
    "tagging": _tags,
    "span": _spans,
    "conditional-span": _spans,
}
