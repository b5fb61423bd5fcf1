"""Rows of data which know where they stand, and those which cannot be used.

Such a row is an error which names file and line; or, where a `Skipped` is handed in, it is counted and passed over.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

EMPTY_LINE = "on an empty line"  # the reason, where rows may be apart


class Skipped(Counter[str]):
    """How many pairs were passed over, by reason."""

    noun = "pair"

    def __str__(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.most_common())
        noun = self.noun + "s" * (self.total() != 1)
        return f"skipped {self.total():,} {noun}: {reasons}" if self else f"skipped no {self.noun}"


class SkippedDocuments(Skipped):
    """How many documents were passed over, by reason."""

    noun = "document"


class SkippedExamples(Skipped):
    """How many examples were passed over, by reason."""

    noun = "example"


class Unusable(ValueError):
    """A row which cannot be used, with the reason under which it is counted."""

    def __init__(self, reason: str, place: str, what: str):
        super().__init__(f"{place}: {what}")
        self.reason = reason

    def count_or_raise(self, skipped: Skipped | None) -> None:
        """Count the row where skipping is asked for, and stop where it is not."""
        if skipped is None:
            raise self
        skipped[self.reason] += 1


Usable = TypeVar("Usable")


def usable(found: Iterable[Usable | Unusable], skipped: Skipped | None) -> Iterator[Usable]:
    """What can be used; what cannot is counted or raised."""
    for row in found:
        if isinstance(row, Unusable):
            row.count_or_raise(skipped)
        else:
            yield row


def text_of(value: object, column: str, place: str) -> str | Unusable:
    """An entry which is text, or what is wrong with it."""
    if isinstance(value, Unusable):
        return value
    if not isinstance(value, str):
        what = f"column {column!r} must be text, got {type(value).__name__}"
        return Unusable("with a column which is not text", place, what)
    if not _is_unicode(value):
        return Unusable("of invalid UTF-8", place, f"column {column!r} holds half a surrogate pair")
    return value


def empty(place: str) -> Unusable:
    """A row of a table or of records with nothing in it."""
    return Unusable(EMPTY_LINE, place, "the line is empty")


def _is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8; JSON can name half a surrogate pair, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
