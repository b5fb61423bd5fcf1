"""Examples of a task as a model with a head reads them: framed, with their labels as numbers."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from regard.data.examples import Choices, Example, TaggedWords
from regard.data.inputs import Examples, Inputs, Integers, Pairs, frame_texts
from regard.data.squad import Question
from regard.data.squad_windows import SkippedQuestions, Window, all_windows
from regard.reading.packed import PackedReader
from regard.storage.names import did_you_mean
from regard.text.framing import Framing
from regard.text.tokenizer import Tokenizer

SPANS = ("span", "conditional-span")  # heads which are asked questions
Items = Sequence[Example] | Sequence[TaggedWords] | Sequence[Choices] | Sequence[Question]


@dataclass(frozen=True)
class Form:
    """How a model reads: its tokenizer, what frames its inputs, and how long they may be."""

    tokenizer: Tokenizer
    framing: Framing
    longest: int
    stride: int = 128  # of the windows of a context
    pairs: Pairs = "joined"

    def inputs(self, items: Sequence[Example]) -> tuple[Inputs, Integers | None, int]:
        """Examples as inputs; where each begins among them, if it has several; and how many had to be cut."""
        texts, places = [item.texts for item in items], [item.place for item in items]
        inputs, cut = frame_texts(texts, self.tokenizer, self.framing, self.longest, pairs=self.pairs, places=places)
        return inputs, np.arange(len(items) + 1) * 2 if self.pairs != "joined" else None, cut


def form_of(reader: PackedReader, *, stride: int = 128) -> Form:
    """How a reader reads."""
    return Form(reader.tokenizer, reader.framing, reader.longest, stride, reader.pairs)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Examples, and what their preparation cost.

    Args:
        examples: as numbers.
        cut: inputs which were too long, and are read without their ends.
        skipped: questions whose answer is no span of their context.
        windows: of questions, one an input.
    """

    examples: Examples
    cut: int = 0
    skipped: int = 0
    windows: tuple[Window, ...] = ()

    def __str__(self) -> str:
        count, inputs = len(self.examples), self.examples.inputs
        what = f"{count:,} examples"
        if self.windows:
            what = f"{len({window.question.id for window in self.windows}):,} questions in {count:,} windows"
        text = f"{what}, {len(inputs.ids):,} tokens, {int(inputs.lengths.max(initial=0)):,} in the longest"
        if self.cut:
            text += f"; {self.cut:,} of {len(inputs):,} inputs were longer, and are cut at their ends"
        return text + (f"; {self.skipped:,} questions have no answer to be found" if self.skipped else "")


def prepare(head: str, items: Items, labels: Sequence[str], form: Form) -> Prepared:
    """Examples for a head of this name; what has no label gets the number -1, or nan.

    Raises:
        ValueError: if a label is not one of `labels`, or is not what the head is for; names its place.
    """
    return _PREPARERS[head](items, {label: number for number, label in enumerate(labels)}, form)


def _classes(items: Sequence[Example], numbers: dict[str, int], form: Form) -> Prepared:
    """Inputs and their classes."""
    inputs, first, cut = form.inputs(items)
    labels = [-1 if item.label is None else _number(item.label, numbers, item.place) for item in items]
    return Prepared(Examples(inputs, torch.tensor(labels, dtype=torch.int64), first=first), cut)


def _values(items: Sequence[Example], numbers: dict[str, int], form: Form) -> Prepared:
    """Inputs and their numbers."""
    inputs, first, cut = form.inputs(items)
    values = []
    for item in items:
        if isinstance(item.label, str):
            raise ValueError(f"{item.place}: a number is to be learnt here, the label is {item.label!r}")
        values.append(float("nan") if item.label is None else item.label)
    return Prepared(Examples(inputs, torch.tensor(values, dtype=torch.float32), first=first), cut)


def _choices(items: Sequence[Choices], numbers: dict[str, int], form: Form) -> Prepared:
    """An input for each option, behind its text."""
    texts = [(item.text, option) for item in items for option in item.options]
    inputs, cut = frame_texts(texts, form.tokenizer, form.framing, form.longest)
    first = np.concatenate([[0], np.cumsum([len(item.options) for item in items])]).astype(np.int64)
    answers = torch.tensor([-1 if item.answer is None else item.answer for item in items])
    return Prepared(Examples(inputs, answers, first=first), cut)


def _tags(items: Sequence[TaggedWords], numbers: dict[str, int], form: Form) -> Prepared:
    """Inputs, and the tag of each word at its first piece; words without a piece or behind the limit are left out."""
    framed, places, numbered, labels, owners, cut = [], [], [], [], [0], 0
    for item in items:
        ids, words = form.tokenizer.encode_words(item.words)
        room = form.longest - form.framing.added(1)
        cut += len(ids) > room
        ids, words = ids[:room], words[:room]
        framed.append(form.framing.frame(ids))
        lead, seen = 0 if form.framing.is_last else 1, -1
        for place, word in enumerate(words):
            if word == seen:
                continue
            seen = word
            places.append(lead + place)
            numbered.append(word)
            labels.append(-1 if item.tags is None else _number(item.tags[word], numbers, item.place))
        owners.append(len(places))
    examples = Examples(
        Inputs.of(framed),
        torch.tensor(labels, dtype=torch.int64),
        places=np.array(places, np.int64),
        words=np.array(numbered, np.int64),
        owners=np.array(owners, np.int64),
    )
    return Prepared(examples, cut)


def _spans(items: Sequence[Question], numbers: dict[str, int], form: Form) -> Prepared:
    """The windows of questions, and where the answer stands in each; -1 where that is not known."""
    skipped = SkippedQuestions()
    spans: dict[str, list[tuple[int, int]]] = {}
    for window in _windows(items, form, skipped):
        spans.setdefault(window.question.id, []).append(window.span or (-1, -1))
    asked = tuple(_windows([item.without_answers() for item in items], form))
    inputs = Inputs.of([(window.ids, window.segments) for window in asked])
    known = [spans[id].pop(0) if spans.get(id) else (-1, -1) for id in (window.question.id for window in asked)]
    return Prepared(Examples(inputs, torch.tensor(known)), skipped=skipped.total(), windows=asked)


def _conditional_spans(items: Sequence[Question], numbers: dict[str, int], form: Form) -> Prepared:
    """The same, with what may be an end of an answer."""
    prepared = _spans(items, numbers, form)
    examples = prepared.examples
    marks = form.framing.may_answer(examples.inputs.ids, examples.inputs.segments)
    return dataclasses.replace(prepared, examples=dataclasses.replace(examples, may_answer=marks))


def _windows(items: Sequence[Question], form: Form, skipped: SkippedQuestions | None = None) -> Iterator[Window]:
    """The windows of questions."""
    return all_windows(items, form.tokenizer, form.framing, longest=form.longest, stride=form.stride, skipped=skipped)


def _number(label: Any, numbers: dict[str, int], place: str) -> int:
    """The number of a class."""
    if label not in numbers:
        hint = did_you_mean(str(label), numbers)
        raise ValueError(f"{place}: the label {label!r} is none of {', '.join(numbers)}{hint}")
    return numbers[label]


_PREPARERS: dict[str, Any] = {  # by the name of a head
    "classification": _classes,
    "regression": _values,
    "similarity": _values,
    "choice": _choices,
    "tagging": _tags,
    "span": _spans,
    "conditional-span": _conditional_spans,
}
