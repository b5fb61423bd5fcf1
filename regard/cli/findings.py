"""What a model makes of labelled examples, as its report lists them: one function a head."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from regard.data.examples import Choices, Example, TaggedWords
from regard.data.squad import Question
from regard.decoding.spans import decide
from regard.evaluate.agreement import Agreement, confusion
from regard.evaluate.assessment import Assessment
from regard.evaluate.entities import entities, entity_scores
from regard.evaluate.squad import exact, f1, of_question
from regard.reading.preparing import Items, Prepared
from regard.reading.reader import Reader
from regard.visualise.cases import Case, Stretch
from regard.visualise.confusions import Confusions, Counted
from regard.visualise.report import Length

LENGTHS = ((0, "none"), (1, "1"), (2, "2"), (3, "3"), (5, "4–5"), (9, "6–9"), (10**9, "10+"))  # words, up to so many
ANSWERED, UNANSWERED = "an answer", "no answer"


@dataclass(frozen=True)
class Findings:
    """What a model makes of examples, each called by its number.

    Args:
        case: an example with what was predicted.
        asked: what the model was given, for its picture.
        shown: which of the pictures of that is of what it predicted.
        parts: fields of the report which the task adds.
    """

    case: Callable[[int], Case]
    asked: Callable[[int], Any]
    shown: Callable[[int], int] = lambda number: 0
    parts: Mapping[str, Any] = field(default_factory=dict)


def findings(reader: Reader, prepared: Prepared, items: Items, assessment: Assessment) -> Findings:
    """What is to be said of examples which were assessed; nothing is computed anew."""
    return _FINDERS[reader.head](reader, prepared, items, assessment)


def _classes(reader: Reader, prepared: Prepared, items: Sequence[Example], assessment: Assessment) -> Findings:
    """Classes of texts and pairs."""
    golds, predictions = [str(item.label) for item in items], [str(one) for one in assessment.predictions]

    def case(number: int) -> Case:
        """One text or pair."""
        item, true, predicted = items[number], golds[number], predictions[number]
        shares = assessment.probabilities[number]
        return Case(
            assessment.losses[number],
            true,
            predicted,
            true == predicted,
            _texts(item),
            float(shares[reader.labels.index(true)]),
            float(shares.max()),
            item.place,
            ((true, predicted),),
        )

    return Findings(case, lambda number: items[number].texts, parts=_confused(predictions, golds, reader.labels))


def _numbers(reader: Reader, prepared: Prepared, items: Sequence[Example], assessment: Assessment) -> Findings:
    """Numbers of texts and pairs."""
    pairs = list(zip(prepared.examples.labels.tolist(), assessment.predictions, strict=True))

    def case(number: int) -> Case:
        """One text or pair."""
        item, (true, predicted) = items[number], pairs[number]
        said = (f"{true:.4g}", f"{predicted:.4g}")
        return Case(assessment.losses[number], *said, None, _texts(item), place=item.place)

    return Findings(case, lambda number: items[number].texts, parts={"numbers": tuple(pairs)})


def _options(reader: Reader, prepared: Prepared, items: Sequence[Choices], assessment: Assessment) -> Findings:
    """Options of texts."""
    golds = prepared.examples.labels.tolist()

    def case(number: int) -> Case:
        """One text with its options."""
        item, gold, chosen = items[number], golds[number], assessment.predictions[number]
        shares = assessment.probabilities[number].tolist()
        texts: list[tuple[str, tuple[Stretch, ...]]] = [("text", ((item.text, ""),))]
        for place, option in enumerate(item.options):
            said = [name for name, which in (("true", gold), ("predicted", chosen)) if which == place]
            texts.append((f"option {place}", ((option, " and ".join(said)), (f"  {shares[place]:.3f}", ""))))
        return Case(
            assessment.losses[number],
            f"option {gold}",
            f"option {chosen}",
            gold == chosen,
            tuple(texts),
            shares[gold],
            max(shares),
            item.place,
        )

    return Findings(
        case,
        lambda number: (items[number].text, items[number].options),
        lambda number: assessment.predictions[number],
    )


def _tags(reader: Reader, prepared: Prepared, items: Sequence[TaggedWords], assessment: Assessment) -> Findings:
    """Tags of words."""
    predictions, golds = assessment.predictions, [list(item.tags or ()) for item in items]
    has_entities = "entity_f1" in assessment.measures

    def case(number: int) -> Case:
        """One sentence."""
        item, found, true = items[number], predictions[number], golds[number]
        stretches: list[Stretch] = []
        for word, tag, gold in zip(item.words, found, true, strict=True):
            stretches += [(word, "" if tag == gold else f"true {gold}, predicted {tag}"), (" ", "")]
        right = sum(tag == gold for tag, gold in zip(found, true, strict=True))
        said = (f"{len(true)} tags", f"{right} of them right")
        if has_entities:
            said = (_entities(item.words, true), _entities(item.words, found))
        pairs = tuple(sorted(set(zip(true, found, strict=True))))
        texts = (("text", tuple(stretches)),)
        return Case(assessment.losses[number], *said, right == len(true), texts, place=item.place, pairs=pairs)

    parts = _confused(
        [tag for tags in predictions for tag in tags], [tag for tags in golds for tag in tags], reader.labels
    )
    if has_entities:
        scores = entity_scores(predictions, golds)
        parts |= {"counted": _counted([*scores.types, scores.all])}
    return Findings(case, lambda number: items[number].words, parts=parts)


def _spans(reader: Reader, prepared: Prepared, items: Sequence[Question], assessment: Assessment) -> Findings:
    """Answers to questions."""
    threshold = assessment.threshold
    has_unanswerable = threshold is not None
    found = [one.best if threshold is None else decide(one, threshold) for one in assessment.predictions]
    measured = [[100 * of_question(measure, *one) for measure in (exact, f1)] for one in zip(items, found, strict=True)]

    def case(number: int) -> Case:
        """One question."""
        item = items[number]
        answers = list(dict.fromkeys(answer.text for answer in item.answers))
        pair = (ANSWERED if answers else UNANSWERED, ANSWERED if found[number] else UNANSWERED)
        true = [(item.answers[0].start, item.answers[0].start + len(item.answers[0].text))] if answers else []
        best = assessment.predictions[number].spans[:1] if found[number] else ()
        marks = {"true": true, "predicted": [(span.start, span.end) for span in best]}
        return Case(
            assessment.losses[number],
            " / ".join(answers) or UNANSWERED,
            f"{found[number] or UNANSWERED} (F1 {measured[number][1]:.0f})",
            measured[number][0] > 0,
            (("question", ((item.text, ""),)), ("context", _marked(item.context, marks))),
            place=item.place,
            pairs=(pair,) if has_unanswerable else (),
        )

    parts: dict[str, Any] = {"lengths": _lengths(items, measured)}
    if has_unanswerable:
        pairs = [case(number).pairs[0] for number in range(len(items))]
        labels = (ANSWERED, UNANSWERED)
        parts |= _confused([predicted for _, predicted in pairs], [true for true, _ in pairs], labels)
    return Findings(case, lambda number: (items[number].text, items[number].context), parts=parts)


_FINDERS: dict[str, Callable[..., Findings]] = {  # by the name of a head
    "classification": _classes,
    "regression": _numbers,
    "similarity": _numbers,
    "choice": _options,
    "tagging": _tags,
    "span": _spans,
    "conditional-span": _spans,
}


def _texts(item: Example) -> tuple[tuple[str, tuple[Stretch, ...]], ...]:
    """One text, or both of a pair."""
    names = ("text",) if len(item.texts) == 1 else ("first text", "second text")
    return tuple((name, ((text, ""),)) for name, text in zip(names, item.texts, strict=True))


def _entities(words: Sequence[str], tags: Sequence[str]) -> str:
    """The entities of a sentence in words."""
    found = (f"{one.type} {' '.join(words[one.first : one.last + 1])}" for one in entities(tags))
    return ", ".join(found) or "no entity"


def _marked(text: str, marks: Mapping[str, Sequence[tuple[int, int]]]) -> tuple[Stretch, ...]:
    """A text in parts, those within a mark with its name."""
    edges = sorted({0, len(text), *(place for spans in marks.values() for span in spans for place in span)})
    stretches: list[Stretch] = []
    for first, end in pairwise(edges):
        names = [name for name, spans in marks.items() if any(a <= first and end <= b for a, b in spans)]
        stretches.append((text[first:end], " and ".join(names)))
    return tuple(stretches)


def _confused(predictions: Sequence[str], golds: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Which classes were taken for which, and how each fares."""
    found = confusion(predictions, golds, labels)
    return {"confusions": Confusions(found.labels, found.counts), "counted": _counted(found.classes)}


def _counted(rows: Sequence[Agreement]) -> tuple[Counted, ...]:
    """How classes or types fare."""
    return tuple(Counted(row.name, row.precision, row.recall, row.f1, row.predicted, row.true) for row in rows)


def _lengths(items: Sequence[Question], measured: Sequence[Sequence[float]]) -> tuple[Length, ...]:
    """Questions by the words of their first answer."""
    groups: dict[str, list[Sequence[float]]] = {name: [] for _, name in LENGTHS}
    for item, scores in zip(items, measured, strict=True):
        words = len(item.answers[0].text.split()) if item.answers else 0
        groups[next(name for most, name in LENGTHS if words <= most)].append(scores)
    means = {name: np.mean(own, 0).tolist() for name, own in groups.items() if own}
    return tuple(Length(name, len(groups[name]), *mean) for name, mean in means.items())
