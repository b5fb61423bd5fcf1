"""A part of labelled examples to validate on, and how much of such a part is known from training."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np

from regard.data.examples import Choices, Example, TaggedWords
from regard.data.labels import OF_NUMBERS, Labelled, LabelTask, names_of, number_of
from regard.data.order import permuted

BINS = 10  # quantiles of numbers, each of which is divided in the same share


def split(
    examples: Sequence[Labelled], found: LabelTask, share: float = 0.1, seed: int = 1
) -> tuple[list[Labelled], list[Labelled]]:
    """Examples to learn from and to validate on, each in the order they had; the same in every process.

    Examples with the same text stay together. Of each class, about its share is to validate on: as many as `share` of
    it, rounded, at least one, and never its last, in so far as its texts are two or more. So it is for each tenth of
    numbers, and for sentences by the rarest of their tags; a text with several labels counts among
    the rarest of these.

    Raises:
        ValueError: if the share is not between 0 and 1, or nothing can be set apart.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, example in enumerate(examples):
        groups.setdefault(identity(example), []).append(number)
    members = list(groups.values())
    names = _bins(examples, members, share) if found.task in OF_NUMBERS else None
    if names is None:
        names = [
            Counter(name for number in group for name in set(names_of(examples[number], found.task)) or {""})
            for group in members
        ]
    left: Counter[str] = Counter()
    for counted in names:
        for name, count in counted.items():
            left[name] += count
    strata: dict[str, list[int]] = {}
    for place in np.argsort(permuted(np.arange(len(members)), len(members), seed)).tolist():
        strata.setdefault(min(names[place], key=lambda name: (left[name], name)), []).append(place)
    chosen: set[int] = set()
    for name in sorted(strata):
        chosen |= _chosen(strata[name], [len(group) for group in members], names, left, share)
    if not chosen:
        raise ValueError(f"{len(examples):,} examples have no two texts of one label, so none can be set apart")
    apart = {number for place in chosen for number in members[place]}
    return (
        [example for number, example in enumerate(examples) if number not in apart],
        [example for number, example in enumerate(examples) if number in apart],
    )


def _chosen(
    stratum: Sequence[int], sizes: Sequence[int], names: Sequence[Counter[str]], left: Counter[str], share: float
) -> set[int]:
    """The texts of a stratum which are set apart; what stays is counted down in `left`."""
    wanted, chosen = floor(share * sum(sizes[place] for place in stratum) + 0.5), set()

    def take(place: int) -> bool:
        """Set a text apart, unless it is the last of one of its labels."""
        may = all(left[name] > count for name, count in names[place].items())
        if may:
            left.subtract(names[place])
            chosen.add(place)
        return may

    for place in stratum:
        if sizes[place] <= wanted and take(place):
            wanted -= sizes[place]
    if not chosen:
        any(take(place) for place in sorted(stratum, key=lambda place: sizes[place]))
    return chosen


def _bins(examples: Sequence[Labelled], members: Sequence[Sequence[int]], share: float) -> list[Counter[str]]:
    """The quantile of each text's mean number, as a label."""
    means = np.array([sum(_number(examples[number]) for number in group) / len(group) for group in members])
    bins = max(1, min(BINS, floor(share * len(members) + 0.5)))
    ranks = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    return [Counter({str(rank * bins // len(members)): len(group)}) for rank, group in zip(ranks, members, strict=True)]


def _number(example: object) -> float:
    """The label of an example as a number."""
    label = example.label if isinstance(example, Example) else None
    value = None if label is None else number_of(label)
    if value is None:
        raise ValueError(f"{getattr(example, 'place', '')}: label {label!r} is no number")
    return value


@dataclass(frozen=True)
class Leak:
    """How many of the examples to validate on are known from training, and how many of these with other labels only."""

    known: int
    contradicted: int
    total: int

    def __str__(self) -> str:
        if not self.known:
            return f"none of {self.total:,} examples to validate on has a text of training"
        text = f"{self.known:,} of {self.total:,} examples to validate on ({self.known / self.total:.1%}) "
        text += "have a text of training"
        return text + (f", {self.contradicted:,} of them with another label there" if self.contradicted else "")


def leak(training: Iterable[Labelled], validation: Iterable[Labelled]) -> Leak:
    """How many texts of validation are those of training too, but for case and for how many spaces there are.

    The labels of both must be settled, so that those which mean the same are the same.
    """
    known: dict[tuple[str, ...], set[object]] = {}
    for example in training:
        known.setdefault(identity(example), set()).add(_meaning(example))
    total = found = contradicted = 0
    for example in validation:
        total += 1
        meanings = known.get(identity(example))
        if meanings is not None:
            found += 1
            contradicted += _meaning(example) not in meanings
    return Leak(found, contradicted, total)


def identity(example: Example | TaggedWords | Choices) -> tuple[str, ...]:
    """What two examples with the same text have in common: it, but for case and for how many spaces there are."""
    if isinstance(example, Choices):
        texts = (example.text, *example.options)
    else:
        texts = example.words if isinstance(example, TaggedWords) else example.texts
    return tuple(" ".join(text.split()).casefold() for text in texts)


def _meaning(example: Example | TaggedWords | Choices) -> object:
    """What is said of a text."""
    if isinstance(example, Choices):
        return example.answer
    return example.label if isinstance(example, Example) else example.tags
