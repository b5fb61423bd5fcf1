"""Questions of SQuAD's form, asked of a model."""

from collections.abc import Sequence
from typing import Any

from regard.cli.progress import progress
from regard.data.squad import Question
from regard.decoding.spans import Ranked
from regard.reading.answering import find
from regard.reading.preparing import form_of, prepare


def answers_to(questions: Sequence[Question], reader: Any, stride: int) -> dict[str, Ranked]:
    """What a reader answers, by the ids of the questions; their own answers are not looked at.

    Args:
        questions: one or more.
        reader: with a head for spans.
        stride: tokens between the starts of two windows of a context.
    """
    reader.require("span", "conditional-span", use="find answers")
    asked = [question.without_answers() for question in questions]
    prepared = prepare(reader.head, asked, (), form_of(reader, stride=stride))
    with progress(len(prepared.windows), "answering") as done:
        return find(reader, prepared.windows, prepared.examples.inputs, done).ranked
