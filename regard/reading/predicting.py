"""Classes, numbers, options and tags of texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from regard.data.examples import Choices, TaggedWords
from regard.data.inputs import Examples, Inputs
from regard.data.labels import OF_NUMBERS
from regard.reading.packed import PackedReader, Progress, Texts
from regard.reading.preparing import Items, Prepared, form_of, prepare


@dataclass(frozen=True)
class Prediction:
    """What is said of a text: a class with its probability and those of all, or a number."""

    label: str | float
    probability: float | None = None
    probabilities: dict[str, float] | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain values, without what there is not."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Choice:
    """The option which is taken, counted from 0, and the probabilities of all."""

    option: int
    probabilities: list[float]


@dataclass(frozen=True)
class Tagged:
    """The words of a sentence, the tag of each, and its probability.

    None of words behind the limit of an input, and of those which the tokenizer knows nothing of, as blanks.
    """

    words: tuple[str, ...]
    tags: list[str | None]
    probabilities: list[float | None]


def predict(reader: PackedReader, texts: Texts) -> list[Prediction]:
    """The class, or the number, of each text or pair."""
    reader.require("classification", *OF_NUMBERS, use="predict classes or numbers")
    return _classes_or_numbers(reader, reader.frame(texts)[0])


def choose(reader: PackedReader, text: str, options: Sequence[str]) -> Choice:
    """Which of the options goes with the text."""
    reader.require("choice", use="choose among options")
    return _choices(reader, prepare("choice", [Choices(text, tuple(options), None)], (), form_of(reader)).examples)[0]


def tag(reader: PackedReader, sentences: Sequence[Sequence[str]]) -> list[Tagged]:
    """The tag of each word of sentences which are cut into words."""
    reader.require("tagging", use="tag words")
    items = [TaggedWords(tuple(words), None) for words in sentences]
    return _tags(reader, items, prepare("tagging", items, (), form_of(reader)).examples)


def predict_all(
    reader: PackedReader, items: Items, prepared: Prepared, progress: Progress | None = None
) -> list[Prediction] | list[Choice] | list[Tagged]:
    """What a head of classes, numbers, options or tags says of examples, in their order.

    Args:
        reader: with the head.
        items: of the kind which it reads.
        prepared: the same examples.
        progress: called with the number of inputs which are done.
    """
    reader.require("classification", *OF_NUMBERS, "choice", "tagging", use="predict")
    if reader.head == "tagging":
        return _tags(reader, cast(Sequence[TaggedWords], items), prepared.examples, progress)
    if reader.head == "choice":
        return _choices(reader, prepared.examples, progress)
    return _classes_or_numbers(reader, prepared.examples.inputs, progress)


def _classes_or_numbers(reader: PackedReader, inputs: Inputs, progress: Progress | None = None) -> list[Prediction]:
    """The class, or the number, of each input."""
    scores = reader.scores(inputs, progress)
    if reader.head in OF_NUMBERS:
        return [Prediction(value) for value in scores.tolist()]
    found = []
    for row in scores.softmax(-1).tolist():
        best = max(range(len(row)), key=row.__getitem__)
        found.append(Prediction(reader.labels[best], row[best], dict(zip(reader.labels, row, strict=True))))
    return found


def _choices(reader: PackedReader, examples: Examples, progress: Progress | None = None) -> list[Choice]:
    """Which option each example takes."""
    assert examples.first is not None
    groups = reader.scores(examples.inputs, progress).split(np.diff(examples.first).tolist())
    return [Choice(int(group.argmax()), group.softmax(0).tolist()) for group in groups]


def _tags(
    reader: PackedReader, items: Sequence[TaggedWords], examples: Examples, progress: Progress | None = None
) -> list[Tagged]:
    """The tag of each word of each sentence."""
    found = []
    for item, (numbers, scores) in zip(items, reader.word_scores(examples, progress), strict=True):
        tags: list[str | None] = [None] * len(item.words)
        shares: list[float | None] = [None] * len(item.words)
        for number, row in zip(numbers, scores.softmax(-1), strict=True):
            best = int(row.argmax())
            tags[number], shares[number] = reader.labels[best], float(row[best])
        found.append(Tagged(item.words, tags, shares))
    return found


def words_of(text: str) -> list[str]:
    """A sentence cut where white space or the side of a punctuation mark is, for those who have no words."""
    from tokenizers import pre_tokenizers

    return [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)]
