"""Which task labelled examples make, and what their labels are.

The rule, where nobody says which task it is:

* words with tags: tagging; a text with options: choice;
* labels of which one is no number: classification, unless they are more than `FEW` and more than half as many as the
  examples, which is an error;
* numbers of which one is not whole: regression;
* whole numbers: classification, if they are `FEW` at most, or if they count 0, 1, 2 or 1, 2, 3 and so on without a gap
  and come `OFTEN` times on average, as the numbers of classes do; else regression.

A class has the name which its labels are written with; a whole number is the same class as 1, as 1.0 and as text ("007"
and "1.10" are written otherwise, and are names). What is known as "True" is also meant by "true" and "TRUE", so that a
table and JSON say the same. Text which says "nan" among numbers is no label, as it is none where a file has numbers.
Classes stand in the order of their numbers where all are numbers, else in that of their characters; so do tags.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import isfinite
from typing import TypeVar

from regard.data.examples import Choices, Example, TaggedWords
from regard.data.rows import Skipped, Unusable
from regard.storage.names import did_you_mean, require

FEW = 20
OFTEN = 10
OF_NUMBERS = ("regression", "similarity")  # similarity is of two texts, and never found by the labels
TASKS = ("classification", *OF_NUMBERS, "tagging", "choice")
Labelled = TypeVar("Labelled", Example, TaggedWords, Choices)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_KINDS = {Example: "texts or pairs", TaggedWords: "words with tags", Choices: "texts with options"}
_WHOLE = re.compile(r"(-?[1-9]\d*|0)\.0+", re.ASCII)
_TRUTHS = ("true", "True", "TRUE"), ("false", "False", "FALSE")


@dataclass(frozen=True)
class LabelTask:
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
        found, known = [], self._known()
        for example in examples:
            settled = self._settled(example, known)
            if isinstance(settled, Unusable):
                settled.count_or_raise(skipped)
            else:
                found.append(settled)
        return found

    def _known(self) -> dict[str, str]:
        """The name of each class or tag by what means it; of true and false that is any writing, where one is known."""
        known = {name: name for name in self.labels}
        for written in _TRUTHS if self.task == "classification" else ():
            own = [name for name in self.labels if name in written]
            known |= dict.fromkeys(written, own[0]) if len(own) == 1 else {}
        return known

    @property
    def _is_of_numbers(self) -> bool:
        """Whether all labels are numbers, so that text which says that there is none is no label."""
        if self.task == "classification":
            return all(number_of(name) is not None for name in self.labels)
        return self.task in OF_NUMBERS

    def _settled(self, example: Labelled, known: Mapping[str, str]) -> Labelled | Unusable:
        """An example with its label as the task has it, or what is wrong with it."""
        require_kind(example, self.task)
        if isinstance(example, TaggedWords):
            strange = next((tag for tag in example.tags or () if tag not in known), None)
            return example if strange is None else self._strange(strange, example.place)
        if isinstance(example, Choices) or example.label is None:
            return example
        if says_nothing(example.label) and self._is_of_numbers:
            return _no_number(example.label, example.place)
        label = class_name(example.label) if self.task == "classification" else number_of(example.label)
        if label is None:
            return _no_number(example.label, example.place)
        if isinstance(label, str):
            if label not in known:
                return self._strange(label, example.place)
            label = known[label]
        return example if label is example.label else replace(example, label=label)

    def _strange(self, label: str, place: str) -> Unusable:
        """What is said of a label which is none of the task's."""
        hint = did_you_mean(label, self.labels)
        what = f"label {label!r} is none of those which are learnt, {listed(self.labels)}{hint}"
        return Unusable("with a label which is not learnt", place, what)

    def unseen(self, examples: Iterable[Labelled]) -> Counter[str]:
        """The classes or tags of examples which are none of the task's, as those of training are, and how many."""
        known, are_numbers = self._known(), self._is_of_numbers
        found = Counter(name for example in examples for name in names_of(example, self.task))
        strange = {name: count for name, count in found.items() if name not in known}
        return Counter({name: count for name, count in strange.items() if not (are_numbers and says_nothing(name))})

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


def task_of(examples: Iterable[Example] | Iterable[TaggedWords] | Iterable[Choices], task: str = "") -> LabelTask:
    """Which task examples make, by the rule of this module; or `task`, where it is given.

    Raises:
        ValueError: if there are no examples, one has no label, all labels are the same, or they are not of `task`.
    """
    if task:
        require("task", task, TASKS)
    rest = iter(with_labels(examples, task))
    first = next(rest, None)
    if first is None:
        raise ValueError("there are no examples, and so there is no task")
    natural = {TaggedWords: "tagging", Choices: "choice"}.get(type(first), task or "classification")
    if task:
        require_kind(first, task)
    names: Counter[str] = Counter()
    places: dict[str, str] = {}
    options, total = set(), 0
    for example in chain([first], rest):
        require_kind(example, natural)
        total += 1
        if isinstance(example, Choices):
            options.add(len(example.options))
        given = example.answer if isinstance(example, Choices) else _given(example)
        if given is None:
            raise ValueError(f"{example.place}: this has no label, so nothing can be learnt from it")
        for name in names_of(example, natural if natural in ("tagging", "choice") else "classification"):
            if name not in names:
                places[name] = example.place
            names[name] += 1
    if natural == "choice":
        lowest, highest = min(options), max(options)
        return LabelTask(
            "choice", f"every text has {lowest if lowest == highest else f'{lowest} to {highest}'} options"
        )
    if len(names) == 1:
        (only,) = names
        raise ValueError(f"each of {total:,} examples has the label {only!r}; there is nothing to learn from it")
    ordered = _ordered(names)
    counts = tuple(names[name] for name in ordered)
    if natural == "tagging":
        return LabelTask("tagging", f"the words have {len(ordered)} tags, {listed(ordered)}", ordered, counts)
    return _of_labels(ordered, counts, places, task)


def with_labels(
    examples: Iterable[Example | TaggedWords | Choices], task: str = "", skipped: Skipped | None = None
) -> list[Example | TaggedWords | Choices]:
    """The examples, but for those whose label is none: text which says "nan" where all others are numbers.

    Where numbers are to be learnt these are all which are no numbers.

    Raises:
        ValueError: if there is such an example, and nothing may be skipped; names its place.
    """
    examples = list(examples)
    labels = [example.label if isinstance(example, Example) else None for example in examples]
    distinct = {label for label in labels if label is not None}
    textual = {label for label in distinct if number_of(label) is None}
    if textual == distinct or not (task in OF_NUMBERS or all(map(says_nothing, textual))):
        return examples
    found = []
    for example, label in zip(examples, labels, strict=True):
        if label in textual:
            _no_number(label, example.place).count_or_raise(skipped)
        else:
            found.append(example)
    return found


def says_nothing(label: object) -> bool:
    """Whether a label is the text by which tables write that there is no number."""
    return isinstance(label, str) and label.lower() == "nan"


def _no_number(label: object, place: str) -> Unusable:
    """What is said of a label where there must be a number."""
    if says_nothing(label):
        return Unusable("without a label", place, f"label {label!r} stands for no number")
    return Unusable("with a label which is no number", place, f"label {label!r} is no number, which is to be learnt")


def _of_labels(ordered: tuple[str, ...], counts: tuple[int, ...], places: Mapping[str, str], task: str) -> LabelTask:
    """Classification or regression, by the distinct labels, how often each comes, and where it comes first."""
    values = [(name, number_of(name)) for name in ordered]
    textual = next((name for name, value in values if value is None), None)
    numbers = [value for _, value in values if value is not None]
    said = f", as task={task!r} says" if task else ""
    if task in OF_NUMBERS and textual is not None:
        raise _no_number(textual, places[textual])
    reason = f"label has {len(ordered)} values, {listed(ordered)}{said}"
    total = sum(counts)
    if textual is not None:
        if not task and len(ordered) > max(FEW, total / 2):
            raise ValueError(
                f"label has {len(ordered):,} values in {total:,} examples, such as {textual!r} ({places[textual]}), "
                "which are hardly classes; name the label's column, or say task='classification'"
            )
        return LabelTask("classification", reason, ordered, counts)
    lowest, highest = min(numbers), max(numbers)
    if task in OF_NUMBERS and lowest == highest:
        raise ValueError(f"each of {total:,} examples has the number {lowest:g}; there is nothing to learn from it")
    span = " to ".join(class_name(end) if end.is_integer() else f"{end:g}" for end in (lowest, highest))
    broken = next((value for value in numbers if not value.is_integer()), None)
    counting = lowest in (0, 1) and highest - lowest + 1 == len(set(numbers)) and total >= OFTEN * len(ordered)
    are_classes = broken is None and (len(ordered) <= FEW or counting)
    if task == "classification" or (not task and are_classes):
        return LabelTask("classification", reason, ordered, counts)
    task = task or "regression"
    if broken is not None:
        return LabelTask(task, f"label has numbers from {span} which are not all whole, such as {broken:g}{said}")
    return LabelTask(task, f"label has {len(ordered):,} whole numbers from {span}{said}")


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


def require_kind(example: object, task: str) -> None:
    """Refuse examples of another kind than the task's."""
    kind = {"tagging": TaggedWords, "choice": Choices}.get(task, Example)
    if not isinstance(example, kind):
        place, found = getattr(example, "place", ""), _KINDS.get(type(example), type(example).__name__)
        raise ValueError(f"{place}: {task} needs {_KINDS[kind]}, got {found}")


def _given(example: Example | TaggedWords) -> object:
    """The label, or the tags."""
    return example.tags if isinstance(example, TaggedWords) else example.label


def names_of(example: Example | TaggedWords | Choices, task: str) -> tuple[str, ...]:
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
