"""What an encoder reads in pre-training: two texts of a document, and whether they belong together; or one text.

`NextSentence` is BERT's (Devlin et al. 2019, section 3.1 and appendix A.2), `SentenceOrder` ALBERT's (Lan et al. 2020,
section 3.1); `Unpaired` has no second text. All three say where texts stand in a store and read none of them, so that
whole pools can be planned at once. Each asks a `random.Random`, in the order of the authors' code where there is one.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import ClassVar, NamedTuple, Protocol

from regard.data.sentence_store import SentenceStore

Span = tuple[int, int]  # of ids in a store: from one place to before another


class Passage(NamedTuple):
    """One example: where its texts stand, and what is to be said of the two of them."""

    first: Span
    second: Span = (0, 0)  # empty where there is only one
    label: int = 0


class Passages(Protocol):
    """How the sentences of a document become examples."""

    texts: ClassVar[int]  # of an example

    def check(self, store: SentenceStore) -> None:
        """Refuse a store of which no examples can be made."""
        ...

    def drawn(self, store: SentenceStore, document: int, room: int, random: Random) -> Iterator[Passage]:
        """The examples of a document, one after the other, each of `room` tokens at most."""
        ...


@dataclass(frozen=True)
class NextSentence:
    """Whether the second text follows the first (label 0) or comes from another document (label 1), each half the time.

    As in the authors' code, a stretch of one sentence alone always gets a text from elsewhere, so that label 1 is more
    than half of all; and a text from elsewhere leaves the sentences in whose place it stands to the next example.

    Raises:
        ValueError: if the share is out of its range.
    """

    short: float = 0.1  # share of documents whose examples are shorter, from 2 tokens on

    texts: ClassVar[int] = 2

    def __post_init__(self):
        _require_share(self.short)

    def check(self, store: SentenceStore) -> None:
        """Refuse a store where nothing follows a sentence, or no document is another.

        Raises:
            ValueError: if it is one.
        """
        if len(store) < 2:
            raise ValueError(
                f"{store.folder} has one document, and a next sentence is told from those of others; say where "
                "documents end (documents='paragraphs' divides a file at its empty lines), or pair by sentence order"
            )
        if store.sentences == len(store):
            raise ValueError(
                f"every document of {store.folder} is one sentence, so that no sentence follows another; say where "
                "sentences and documents end, or train without pairs"
            )

    def drawn(self, store: SentenceStore, document: int, room: int, random: Random) -> Iterator[Passage]:
        """The examples of a document, one after the other, each of `room` tokens at most."""
        bounds, first = store.bounds(document), 0
        target = _target(room, self.short, random)
        while first < len(bounds) - 1:
            last = _stretch_end(bounds, first, target)
            middle = first + random.randint(1, last - first - 1) if last - first > 1 else last
            text = (bounds[first], bounds[middle])
            if middle == last or random.random() < 0.5:
                other = _elsewhere(store, document, target - (text[1] - text[0]), random)
                yield Passage(*truncated(text, other, room, random), 1)
                first = middle
            else:
                yield Passage(*truncated(text, (bounds[middle], bounds[last]), room, random), 0)
                first = last


@dataclass(frozen=True)
class SentenceOrder:
    """Whether two texts, one of which follows the other, stand in their order (label 0) or swapped (label 1).

    "two consecutive segments from the same document", section 3.1: a stretch of one sentence is therefore cut inside,
    where the authors' code takes the second text from another document. A single token cannot be cut, and is left out.

    Raises:
        ValueError: if the share is out of its range.
    """

    short: float = 0.1  # share of documents whose examples are shorter, from 2 tokens on

    texts: ClassVar[int] = 2

    def __post_init__(self):
        _require_share(self.short)

    def check(self, store: SentenceStore) -> None:
        """Any store will do."""

    def drawn(self, store: SentenceStore, document: int, room: int, random: Random) -> Iterator[Passage]:
        """The examples of a document, one after the other, each of `room` tokens at most."""
        bounds, first = store.bounds(document), 0
        target = _target(room, self.short, random)
        while first < len(bounds) - 1:
            last = _stretch_end(bounds, first, target)
            start, stop = bounds[first], bounds[last]
            if last - first > 1:
                middle = bounds[first + random.randint(1, last - first - 1)]
            elif stop - start > 1:
                middle = random.randint(start + 1, stop - 1)
            else:
                middle = start
            if middle > start:
                is_swapped = random.random() < 0.5
                texts = ((middle, stop), (start, middle)) if is_swapped else ((start, middle), (middle, stop))
                yield Passage(*truncated(*texts, room, random), int(is_swapped))
            first = last


@dataclass(frozen=True)
class Unpaired:
    """A document cut into stretches of `room` tokens, whatever its sentences; the last has what is left."""

    texts: ClassVar[int] = 1

    def check(self, store: SentenceStore) -> None:
        """Any store will do."""

    def drawn(self, store: SentenceStore, document: int, room: int, random: Random) -> Iterator[Passage]:
        """The examples of a document, one after the other, each of `room` tokens at most."""
        bounds = store.bounds(document)
        for start in range(bounds[0], bounds[-1], room):
            yield Passage((start, min(start + room, bounds[-1])))


def truncated(first: Span, second: Span, room: int, random: Random) -> tuple[Span, Span]:
    """Two texts with `room` tokens together: the longer one loses tokens, at its front or its back by chance.

    Of two as long the second loses.
    """
    (start, stop), (other_start, other_stop) = first, second
    for _ in range(stop - start + other_stop - other_start - room):
        at_front = random.random() < 0.5
        if stop - start > other_stop - other_start:
            start, stop = start + at_front, stop - (not at_front)
        else:
            other_start, other_stop = other_start + at_front, other_stop - (not at_front)
    return (start, stop), (other_start, other_stop)


def _target(room: int, short: float, random: Random) -> int:
    """Tokens at which a stretch of this document is long enough."""
    return random.randint(2, room) if random.random() < short else room


def _stretch_end(bounds: list[int], first: int, target: int) -> int:
    """The sentence before which a stretch ends that has its tokens, or with which the document does."""
    return min(bisect_left(bounds, bounds[first] + target, first + 1), len(bounds) - 1)


def _elsewhere(store: SentenceStore, document: int, target: int, random: Random) -> Span:
    """Sentences of another document which have `target` tokens, or end with it; of the same after ten tries."""
    other = document
    for _ in range(10):
        other = random.randint(0, len(store) - 1)
        if other != document:
            break
    bounds = store.bounds(other)
    first = random.randint(0, len(bounds) - 2)
    return bounds[first], bounds[_stretch_end(bounds, first, target)]


def _require_share(short: float) -> None:
    """Refuse what is no share."""
    if not 0.0 <= short <= 1.0:
        raise ValueError(f"short must lie within 0 and 1, got {short}")
