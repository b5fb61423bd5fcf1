"""Batches of running text: windows of a shuffled text, or segments which follow one another.

A stretch of `context + 1` ids is read to predict `context` of them: its first token is given. Stretches overlap by that
one token, so that an epoch predicts every token once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regard.data.batches import TextBatch
from regard.data.loading import Cursor, Pooled
from regard.data.order import permuted
from regard.data.text_store import TextStore

Integers = NDArray[np.int64]
POOL = 1 << 12  # documents, or windows of a stream, which are drawn together


class Stretches(NamedTuple):
    """The stretches of a batch."""

    starts: Integers
    lengths: Integers
    goes_on: bool = False  # each begins where that of the batch before ended


@dataclass(frozen=True)
class Windows(Pooled[Stretches]):
    """Windows in an order which each epoch shuffles anew, as many in a batch as predict `tokens` tokens at most.

    Of `documents`, a window never reaches from one into another; long ones are cut. Else the text is one stream, cut
    at places which differ from epoch to epoch.

    Raises:
        ValueError: if a value is out of its range, or `tokens` cannot hold a window.
    """

    store: TextStore
    context: int  # tokens which a window predicts at most
    tokens: int
    documents: bool
    seed: int = 0

    def __post_init__(self):
        _require_room(self.context, self.tokens)
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    def check(self, cursor: Cursor) -> None:
        """Refuse a store without a token to predict, and a cursor of other data or settings.

        Raises:
            ValueError: if there is none.
        """
        _require_text(self.store)
        self.check_place(cursor)

    def batch(self, item: Stretches) -> TextBatch:
        """The batch of these windows."""
        return TextBatch(self.store.packed(item.starts, item.lengths))

    def pools(self, epoch: int) -> int:
        """How many pools an epoch has."""
        return -(-self._drawn_from(epoch) // POOL)

    def pooled(self, epoch: int, pool: int) -> list[Stretches]:
        """The batches of one pool."""
        size = self._drawn_from(epoch)
        chosen = permuted(np.arange(pool * POOL, min((pool + 1) * POOL, size)), size, (self.seed, epoch))
        if self.documents:
            starts, lengths = cut(*self.store.spans(chosen), self.context)
        else:
            # the window before the first whole one is what the epoch's shift leaves over
            starts = self._shift(epoch) + (chosen - 1) * self.context
            ends = np.minimum(starts + self.context + 1, self.store.size)
            starts = np.maximum(starts, 0)
            lengths = ends - starts
        turns = permuted(np.arange(len(starts)), len(starts), (self.seed, epoch, pool))
        turns = turns[lengths[turns] > 1]
        starts, lengths = starts[turns], lengths[turns]
        predicted = np.concatenate([[0], (lengths - 1).cumsum()])
        batches, first = [], 0
        while first < len(starts):
            last = int(np.searchsorted(predicted, predicted[first] + self.tokens, "right")) - 1
            batches.append(Stretches(starts[first:last], lengths[first:last]))
            first = last
        return batches

    def _drawn_from(self, epoch: int) -> int:
        """How many documents or windows there are to draw from."""
        if self.documents:
            return len(self.store)
        return 1 + -(-(self.store.size - 1 - self._shift(epoch)) // self.context)

    def _shift(self, epoch: int) -> int:
        """Where the first whole window of an epoch starts."""
        return int(np.random.SeedSequence((self.seed, epoch)).generate_state(1)[0]) % min(
            self.context, self.store.size - 1
        )


@dataclass(frozen=True)
class Segments:
    """Segments of `tokens // context` lanes side by side, in the order of the text; an epoch begins anew.

    Each lane is a share of the text, so a model may carry from segment to segment what it remembers (Dai et al. 2019,
    section 3.2). Of several processes each has lanes of its own. The last few tokens, less than one a lane, are left
    over.

    Raises:
        ValueError: if a value is out of its range, or `tokens` cannot hold a segment.
    """

    store: TextStore
    context: int  # tokens which a segment predicts
    tokens: int  # of a batch, on each process
    rank: int = 0
    processes: int = 1

    def __post_init__(self):
        _require_room(self.context, self.tokens)

    @property
    def lanes(self) -> int:
        """Lanes of this process."""
        return self.tokens // self.context

    @property
    def reach(self) -> int:
        """Tokens which each lane predicts."""
        return (self.store.size - 1) // (self.lanes * self.processes)

    def check(self, cursor: Cursor) -> None:
        """Refuse a text which is too short for so many lanes, and a cursor of other data or settings.

        Raises:
            ValueError: if it is.
        """
        _require_text(self.store)
        if not self.reach:
            raise ValueError(
                f"{self.store.folder} has {self.store.tokens:,} tokens, too few for {self.lanes * self.processes} "
                "lanes; lower tokens, or raise context"
            )
        if cursor.pool or cursor.batch * self.context >= self.reach:
            raise ValueError(f"{cursor} is not a place in {self}; it belongs to other data or settings")

    def plan(self, cursor: Cursor) -> Iterator[tuple[Stretches, Cursor]]:
        """The batches for ever, from `cursor` on, and the cursor after each."""
        own = np.arange(self.lanes) + self.rank * self.lanes
        epoch, first = cursor.epoch, cursor.batch * self.context
        while True:
            while first < self.reach:
                length = min(self.context, self.reach - first)
                after = first + length
                place = Cursor(epoch, 0, after // self.context) if after < self.reach else Cursor(epoch + 1)
                yield Stretches(own * self.reach + first, np.full(self.lanes, length + 1), first > 0), place
                first = after
            epoch, first = epoch + 1, 0

    def batch(self, item: Stretches) -> TextBatch:
        """The batch of these segments."""
        return TextBatch(self.store.packed(item.starts, item.lengths), item.goes_on)


def cut(starts: Integers, ends: Integers, context: int) -> tuple[Integers, Integers]:
    """Documents [start, end) cut into stretches which predict `context` tokens at most: starts and lengths.

    What predicts nothing, a document of its first token alone, is left out.
    """
    counts = -(-np.maximum(ends - starts - 1, 0) // context)
    document = np.repeat(np.arange(len(starts)), counts)
    number = np.arange(len(document)) - (counts.cumsum() - counts)[document]
    first = starts[document] + number * context
    return first, np.minimum(first + context + 1, ends[document]) - first


def _require_room(context: int, tokens: int) -> None:
    """Refuse a batch which holds no window."""
    if context < 1:
        raise ValueError(f"context must be 1 or more tokens, got {context}")
    if tokens < context:
        raise ValueError(f"a batch of tokens={tokens:,} cannot hold one stretch of context={context:,}; raise tokens")


def _require_text(store: TextStore) -> None:
    """Refuse a store in which no token follows another."""
    if store.size < 2:
        raise ValueError(f"{store.folder} has {store.size} token, and none to predict")
