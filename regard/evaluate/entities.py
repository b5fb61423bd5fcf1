"""Entities in sentences: what tags say of them, and how well they were found."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from regard.evaluate.agreement import Agreement, agreements_table
from regard.evaluate.metrics import check_predictions


class Entity(NamedTuple):
    """A type, and the first and the last word, counted from 0."""

    type: str
    first: int
    last: int


PREFIXES = ("B", "I", "E", "S")


def is_entity_tag(label: str) -> bool:
    """Whether a label is `O`, or one of `B-`, `I-`, `E-`, `S-` and a type."""
    prefix, _, type = label.partition("-")
    return label == "O" or (prefix in PREFIXES and bool(type))


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
    if not is_entity_tag(tag):
        raise ValueError(f"tag {place + 1} must be O, or B-, I-, E- or S- with a type as in B-PER, got {tag!r}")
    prefix, _, type = tag.partition("-")
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
        table = agreements_table([*self.types, self.all], "type")
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
    check_predictions(predictions, golds)
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
