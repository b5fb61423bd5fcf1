"""Which task labelled examples make, what their labels are, and a part of them to validate on.

The rule, where nobody says which task it is:

* words with tags: tagging; a text with options: choice;
* labels of which one is no number: classification, unless they are more than `FEW` and more than half as many as the
  examples, which is an error;
* numbers of which one is not whole: regression;
* whole numbers: classification, if they are `FEW` at most, or if they count 0, 1, 2 or 1, 2, 3 and so on without a gap
  and come `OFTEN` times on average, as the numbers of classes do; else regression.

A class has the name which its labels are written with; a whole number is the same class as 1, as 1.0 and as text ("007"
and "1.10" are written otherwise, and are names). Classes stand in the order of their numbers where all are numbers,
else in that of their characters; so do tags.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import floor, isfinite
from typing import TypeVar

import numpy as np

from regard.data.examples import Choices, Example, TaggedWords
from regard.data.order import permuted
from regard.data.rows import Skipped, Unusable
from regard.storage.names import did_you_mean, require

FEW = 20
OFTEN = 10
BINS = 10  # quantiles of numbers, each of which is divided in the same share
TASKS = ("classification", "regression", "tagging", "choice")
Labelled = TypeVar("Labelled", Example, TaggedWords, Choices)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"(-?[1-9]\d*|0)\.0+", re.ASCII)


@dataclass(frozen=True)
class Found:
    """The task which examples make, and why.

    Args:
        task: one of `TASKS`.
        reason: a sentence which says why.
        labels: the classes or tags by name, in their order; none of numbers and choices.
        counts: how many examples each class has, or how many words each tag.
    """

    task: str
    reason: str
    labels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.reason}: {self.task}"

    def settled(self, examples: Iterable[Labelled], skipped: Skipped | None = None) -> list[Labelled]:
        """The examples with labels as the task has them: the name of a class, or a number; or None, as before.

        With `skipped`, those whose label is none of the task's are counted there and passed over.

        Raises:
            ValueError: if a label is none of the task's, and nothing may be skipped; names its place.
        """
        found, known = [], set(self.labels)
        for example in examples:
            settled = self._settled(example, known)
            if isinstance(settled, Unusable):
                settled.count_or_raise(skipped)
            else:
                found.append(settled)
        return found

    def _settled(self, example: Labelled, known: set[str]) -> Labelled | Unusable:
        """An example with its label as the task has it, or what is wrong with it."""
        _require_kind(example, self.task)
        if isinstance(example, TaggedWords):
            strange = next((tag for tag in example.tags or () if tag not in known), None)
            return example if strange is None else self._strange(strange, example.place)
        if isinstance(example, Choices) or example.label is None:
            return example
        label = class_name(example.label) if self.task == "classification" else number_of(example.label)
        if label is None:
            return Unusable("with a label which is no number", example.place, f"label {example.label!r} is no number")
        if isinstance(label, str) and label not in known:
            return self._strange(label, example.place)
        return example if label is example.label else replace(example, label=label)

    def _strange(self, label: str, place: str) -> Unusable:
        """What is said of a label which is none of the task's."""
        hint = did_you_mean(label, self.labels)
        what = f"label {label!r} is none of those which are learnt, {listed(self.labels)}{hint}"
        return Unusable("with a label which is not learnt", place, what)

    def unseen(self, examples: Iterable[Labelled]) -> Counter[str]:
        """The classes or tags of examples which are none of the task's, as those of training are, and how many."""
        found = Counter(name for example in examples for name in _names(example, self.task))
        return Counter({name: count for name, count in found.items() if name not in set(self.labels)})

    def balance(self, few: int = 10) -> str:
        """How classes or tags are shared out: the share of the most frequent, and those with fewer than `few`.

        Raises:
            ValueError: if the task has no classes.
        """
        if not self.labels:
            raise ValueError(f"the labels of {self.task} are no classes, which alone are in balance or not")
        what, total = "tag" if self.task == "tagging" else "class", sum(self.counts)
        most = max(range(len(self.labels)), key=lambda number: self.counts[number])
        text = f"the most frequent {what}, {self.labels[most]}, has {self.counts[most] / total:.1%} of {total:,}"
        rare = [f"{name} ({count})" for name, count in zip(self.labels, self.counts, strict=True) if count < few]
        return text + (f"; fewer than {few} has {listed(rare)}" if rare else "")


def task_of(examples: Iterable[Example] | Iterable[TaggedWords] | Iterable[Choices], task: str = "") -> Found:
    """Which task examples make, by the rule of this module; or `task`, where it is given.

    Raises:
        ValueError: if there are no examples, one has no label, all labels are the same, or they are not of `task`.
    """
    if task:
        require("task", task, TASKS)
    examples = iter(examples)
    first = next(examples, None)
    if first is None:
        raise ValueError("there are no examples, and so there is no task")
    natural = {TaggedWords: "tagging", Choices: "choice"}.get(type(first), task or "classification")
    if task:
        _require_kind(first, task)
    names: Counter[str] = Counter()
    places: dict[str, str] = {}
    options, total = set(), 0
    for example in chain([first], examples):
        _require_kind(example, natural)
        total += 1
        if isinstance(example, Choices):
            options.add(len(example.options))
        given = example.answer if isinstance(example, Choices) else _given(example)
        if given is None:
            raise ValueError(f"{example.place}: this has no label, so nothing can be learnt from it")
        for name in _names(example, natural if natural in ("tagging", "choice") else "classification"):
            if name not in names:
                places[name] = example.place
            names[name] += 1
    if natural == "choice":
        lowest, highest = min(options), max(options)
        return Found("choice", f"every text has {lowest if lowest == highest else f'{lowest} to {highest}'} options")
    if len(names) == 1:
        (only,) = names
        raise ValueError(f"each of {total:,} examples has the label {only!r}; there is nothing to learn from it")
    ordered = _ordered(names)
    counts = tuple(names[name] for name in ordered)
    if natural == "tagging":
        return Found("tagging", f"the words have {len(ordered)} tags, {listed(ordered)}", ordered, counts)
    return _of_labels(ordered, counts, places, task)


def _of_labels(ordered: tuple[str, ...], counts: tuple[int, ...], places: Mapping[str, str], task: str) -> Found:
    """Classification or regression, by the distinct labels, how often each comes, and where it comes first."""
    values = [(name, number_of(name)) for name in ordered]
    textual = next((name for name, value in values if value is None), None)
    numbers = [value for _, value in values if value is not None]
    said = f", as task={task!r} says" if task else ""
    if task == "regression" and textual is not None:
        raise ValueError(f"{places[textual]}: label {textual!r} is no number, which task='regression' needs")
    reason = f"label has {len(ordered)} values, {listed(ordered)}{said}"
    total = sum(counts)
    if textual is not None:
        if not task and len(ordered) > max(FEW, total / 2):
            raise ValueError(
                f"label has {len(ordered):,} values in {total:,} examples, such as {textual!r} ({places[textual]}), "
                "which are hardly classes; name the label's column, or say task='classification'"
            )
        return Found("classification", reason, ordered, counts)
    lowest, highest = min(numbers), max(numbers)
    if task == "regression" and lowest == highest:
        raise ValueError(f"each of {total:,} examples has the number {lowest:g}; there is nothing to learn from it")
    span = " to ".join(class_name(end) if end.is_integer() else f"{end:g}" for end in (lowest, highest))
    broken = next((value for value in numbers if not value.is_integer()), None)
    counting = lowest in (0, 1) and highest - lowest + 1 == len(set(numbers)) and total >= OFTEN * len(ordered)
    are_classes = broken is None and (len(ordered) <= FEW or counting)
    if task == "classification" or (not task and are_classes):
        return Found("classification", reason, ordered, counts)
    if broken is not None:
        return Found("regression", f"label has numbers from {span} which are not all whole, such as {broken:g}{said}")
    return Found("regression", f"label has {len(ordered):,} whole numbers from {span}{said}")


def class_name(label: str | float) -> str:
    """The name of the class which a label is written as."""
    if isinstance(label, str):
        whole = _WHOLE.fullmatch(label)
        return whole[1] if whole else label
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(int(label)) if float(label).is_integer() else repr(float(label))


def number_of(label: str | float) -> float | None:
    """The number which a label is written as, or None."""
    if isinstance(label, str) and not _NUMBER.fullmatch(label):
        return None
    value = float(label)
    return value if isfinite(value) else None


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names as a sentence has them, the first so many."""
    shown = list(names) if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1:,} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _require_kind(example: object, task: str) -> None:
    """Refuse examples of another kind than the task's."""
    kind = {"tagging": TaggedWords, "choice": Choices}.get(task, Example)
    if not isinstance(example, kind):
        place = getattr(example, "place", "")
        raise ValueError(f"{place}: {task} needs {kind.__name__}, got {type(example).__name__}")


def _given(example: Example | TaggedWords) -> object:
    """The label, or the tags."""
    return example.tags if isinstance(example, TaggedWords) else example.label


def _names(example: Example | TaggedWords | Choices, task: str) -> tuple[str, ...]:
    """The class of an example, or the tags of its words; nothing where the task has neither."""
    if isinstance(example, TaggedWords):
        return example.tags or ()
    if isinstance(example, Choices) or task != "classification" or example.label is None:
        return ()
    return (class_name(example.label),)


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Names in the order of their numbers where all are numbers, else in that of their characters."""
    names = sorted(names)
    values = {name: number_of(name) for name in names}
    if None in values.values():
        return tuple(names)
    return tuple(sorted(names, key=lambda name: values[name] or 0.0))


def identity(example: Example | TaggedWords | Choices) -> tuple[str, ...]:
    """What two examples with the same text have in common: it, but for case and for how many spaces there are."""
    if isinstance(example, Choices):
        texts = (example.text, *example.options)
    else:
        texts = example.words if isinstance(example, TaggedWords) else example.texts
    return tuple(" ".join(text.split()).casefold() for text in texts)


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


def _meaning(example: Example | TaggedWords | Choices) -> object:
    """What is said of a text."""
    if isinstance(example, Choices):
        return example.answer
    return example.label if isinstance(example, Example) else example.tags


def split(
    examples: Sequence[Labelled], found: Found, share: float = 0.1, seed: int = 1
) -> tuple[list[Labelled], list[Labelled]]:
    """Examples to learn from and to validate on, each in the order they had; the same in every process.

    Examples with the same text stay together. Of each class, about its share is to validate on: as many as `share` of
    it, rounded, at least one, and never its last, in so far as its texts are two or more. So it is for each tenth of
    the numbers of regression, and for sentences by the rarest of their tags; a text with several labels counts among
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
    names = _bins(examples, members, share) if found.task == "regression" else None
    if names is None:
        names = [
            Counter(name for number in group for name in set(_names(examples[number], found.task)) or {""})
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
