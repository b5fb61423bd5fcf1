"""What a model learns a task from: texts with what is to be said of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """A text, or a pair of texts, and its label: a class by name, a number for regression, or None where unknown."""

    texts: tuple[str, ...]
    label: str | float | None
    place: str = ""  # `file:line`

    def __post_init__(self):
        if len(self.texts) not in (1, 2):
            raise ValueError(f"{self.place}: an example is one text or a pair, got {len(self.texts)}")


@dataclass(frozen=True)
class TaggedWords:
    """The words of a sentence, and the tag of each; None where they are unknown."""

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    place: str = ""

    def __post_init__(self):
        if self.tags is not None and len(self.tags) != len(self.words):
            raise ValueError(f"{self.place}: {len(self.words)} words have {len(self.tags)} tags")


@dataclass(frozen=True)
class Choices:
    """A text and what may follow it, of which the one numbered `answer`, counted from 0, is right; or None."""

    text: str
    options: tuple[str, ...]
    answer: int | None
    place: str = ""

    def __post_init__(self):
        if len(self.options) < 2:
            raise ValueError(f"{self.place}: a choice has two options or more, got {len(self.options)}")
        if self.answer is not None and not 0 <= self.answer < len(self.options):
            raise ValueError(f"{self.place}: answer {self.answer} is not among {len(self.options)} options")
