"""Questions about paragraphs, as SQuAD's files have them (Rajpurkar et al. 2016; 2.0: Rajpurkar et al. 2018).

One reader serves 1.1, where every answer is a stretch of the paragraph, 2.0, where a question may have none, and files
whose answers are held back. A file which breaks the format is an error which names the file and the path inside its
JSON: `dev.json: data[3].paragraphs[0].qas[2]: ...`.

Whether an answer stands where its file says is not asked here: prediction and scoring have no use for it, and
`regard.data.squad_windows`, which makes training examples, looks for those which do not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from regard.data.squad_json import entry, has, items, read_json


@dataclass(frozen=True)
class Answer:
    """A stretch of the context, and the character at which it starts."""

    text: str
    start: int


@dataclass(frozen=True)
class Question:
    """A question about a context. One which has no answers and is not impossible is unlabelled.

    Raises:
        ValueError: if it is impossible and has answers.
    """

    id: str
    text: str
    context: str
    answers: tuple[Answer, ...] = ()
    is_impossible: bool = False  # nothing in the context answers it
    title: str = ""  # of the article
    place: str = ""  # `file: path inside its JSON`

    def __post_init__(self):
        if self.is_impossible and self.answers:
            raise ValueError(f"{self.place}: question {self.id!r} is impossible and has answers")

    @property
    def is_labelled(self) -> bool:
        """Whether it is known what the answer is, or that there is none."""
        return self.is_impossible or bool(self.answers)

    def without_answers(self) -> Self:
        """The question as a model is asked it."""
        return replace(self, answers=(), is_impossible=False)


def read_squad(path: str | Path) -> list[Question]:
    """The questions of a file of SQuAD 1.1 or 2.0, in its order.

    `is_impossible` and `answers` may be absent, as in 1.1 and in files which are for prediction alone; `title` too.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON, breaks the format, gives an id twice, or gives an impossible question answers.
    """
    questions: dict[str, Question] = {}
    for question in _questions(read_json(path), str(path)):
        if question.id in questions:
            raise ValueError(f"{question.place}: id {question.id!r} is given already to {questions[question.id].place}")
        questions[question.id] = question
    return list(questions.values())


def _questions(document: object, file: str) -> Iterator[Question]:
    """The questions of a document, each with its place."""
    if not isinstance(document, dict) or "data" not in document:
        raise ValueError(
            f"{file}: this is not SQuAD's JSON, whose articles are a list named 'data'; a table of JSON has an object "
            "a line, and ends in .jsonl"
        )
    for article, at in items(document, "data", f"{file}: "):
        title = entry(article, "title", str, at) if has(article, "title", at) else ""
        for paragraph, within in items(article, "paragraphs", at):
            context = entry(paragraph, "context", str, within)
            for asked, place in items(paragraph, "qas", within):
                is_impossible = has(asked, "is_impossible", place) and entry(asked, "is_impossible", bool, place)
                answers = items(asked, "answers", place) if has(asked, "answers", place) else []
                yield Question(
                    id=entry(asked, "id", str, place),
                    text=entry(asked, "question", str, place),
                    context=context,
                    answers=tuple(_answer(answer, where) for answer, where in answers),
                    is_impossible=is_impossible,
                    title=title,
                    place=place,
                )


def _answer(value: object, place: str) -> Answer:
    """One answer."""
    answer = Answer(entry(value, "text", str, place), entry(value, "answer_start", int, place))
    if answer.start < 0:
        raise ValueError(f"{place}.answer_start: must not be negative, got {answer.start}")
    return answer
