"""Batches of permuted sequences which follow one another, on which XLNet is pre-trained.

All that chance decides about a sequence follows from the seed, the epoch, and where the sequence stands in the store,
as with masked ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.attention.packing import sent
from regard.data.loading import Cursor
from regard.data.order import chance
from regard.data.permutation import Lane, Permuting
from regard.data.sentence_store import SentenceStore
from regard.text.framing import Framing

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PermutedBatch:
    """Sequences of one length with an order of factorisation, see `regard.data.permutation`."""

    tokens: Tensor  # [B, T]
    segments: Tensor  # 0, 1, and 2 of the summary, [B, T]
    order: Tensor  # [B, T]
    positions: Tensor  # of the tokens which are predicted, ascending, as many in each sequence, [B, P]
    reuse: int  # the first so many positions are what the next batch may remember
    backward: int = 0  # of the sequences the last so many are read from their end
    goes_on: bool = False  # the sequences begin where the first part of those before ended

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int]:
        """What an objective is given."""
        return self.tokens, self.segments, self.order, self.positions, self.reuse, self.backward

    @property
    def words(self) -> Tensor:
        """The ids which are predicted, [B, P]."""
        return self.tokens.gather(1, self.positions)

    @property
    def is_target(self) -> Tensor:
        """Whether a token is predicted, [B, T]."""
        return torch.zeros_like(self.tokens, dtype=torch.bool).scatter_(1, self.positions, True)

    @property
    def targets(self) -> int:
        """Tokens which are predicted: what a loss is divided by."""
        return self.positions.numel()

    @property
    def extent(self) -> int:
        """Tokens of the sequences."""
        return self.tokens.numel()

    def to(self, device: torch.device | str) -> Self:
        """The same batch with its tokens on `device`."""
        tokens, segments, order, positions = (sent(part, device) for part in self.parts[:4])
        return type(self)(tokens, segments, order, positions, self.reuse, self.backward, self.goes_on)


class Step(NamedTuple):
    """The sequences of a permuted batch, which stand at one place of every lane."""

    epoch: int
    number: int


@dataclass(frozen=True)
class PermutedSequences:
    """Sequences of `tokens // length` lanes side by side, in the order of the text; an epoch begins anew.

    A sequence is `reuse` tokens, then two segments in their frame, of which the first follows those tokens. The next
    one begins where its first part ends, and remembers that. Each lane is a share of the text; of several processes
    each has lanes of its own. What is left over at the end of a lane is less than a sequence. `both_ways`, the second
    half of the lanes read the shares of the first from their ends.

    Raises:
        ValueError: if a value is out of its range, or `tokens` cannot hold a sequence.
    """

    store: SentenceStore
    permuting: Permuting
    framing: Framing
    length: int  # tokens of a sequence, special ones included
    reuse: int  # tokens of its first part
    tokens: int  # of a batch at most, on each process
    both_ways: bool = False
    seed: int = 0
    rank: int = 0
    processes: int = 1

    def __post_init__(self):
        if self.reuse < 1 or self.room < 2:
            raise ValueError(
                f"reuse must be 1 or more, and leave 5 of length={self.length} for two texts and their 3 special "
                f"tokens, got {self.reuse}"
            )
        if self.tokens < self.length * (1 + self.both_ways):
            raise ValueError(
                f"a batch of tokens={self.tokens:,} cannot hold {1 + self.both_ways} sequences of "
                f"length={self.length:,}; raise tokens"
            )
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    @property
    def room(self) -> int:
        """Tokens of both segments."""
        return self.length - self.reuse - self.framing.added(2)

    @property
    def shares(self) -> int:
        """Shares of the text which this process reads, each of them once, or from both ends."""
        return self.tokens // self.length // (1 + self.both_ways)

    @property
    def reach(self) -> int:
        """Tokens of a share."""
        return self.store.tokens // (self.shares * self.processes)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return max(0, 1 + (self.reach - self.reuse - self.room) // self.reuse)

    def check(self, cursor: Cursor) -> None:
        """Refuse a store which does not suit, and a cursor of other data or settings.

        Raises:
            ValueError: if the text is too short for so many lanes.
        """
        begins_word = self.permuting.begins_word
        if begins_word is not None and len(begins_word) != self.store.vocabulary:
            raise ValueError(
                f"{self.store.folder} was made with {self.store.vocabulary} ids, and begins_word tells of "
                f"{len(begins_word)}; use the tokenizer with which the store was made"
            )
        if not self.steps:
            raise ValueError(
                f"{self.store.folder} has {self.store.tokens:,} tokens, too few for {self.shares * self.processes} "
                f"shares with a sequence of length={self.length:,}; lower tokens or length"
            )
        if cursor.pool or cursor.batch >= self.steps:
            raise ValueError(f"{cursor} is not a place in {self}; it belongs to other data or settings")

    def plan(self, cursor: Cursor) -> Iterator[tuple[Step, Cursor]]:
        """The batches for ever, from `cursor` on, and the cursor after each."""
        epoch, number = cursor.epoch, cursor.batch
        while True:
            after = Cursor(epoch, 0, number + 1) if number + 1 < self.steps else Cursor(epoch + 1)
            yield Step(epoch, number), after
            epoch, number = after.epoch, after.batch

    def batch(self, item: Step) -> PermutedBatch:
        """The batch of this place."""
        rows = []
        for is_backward in (False, True)[: 1 + self.both_ways]:
            for share in range(self.rank * self.shares, (self.rank + 1) * self.shares):
                lane = Lane(self.store, share * self.reach, (share + 1) * self.reach, is_backward)
                random = chance(self.seed, item.epoch, item.number, share, int(is_backward))
                rows.append(self._sequence(lane, item.number * self.reuse, random))
        tokens, segments, order, positions = (torch.from_numpy(np.array(column)) for column in zip(*rows, strict=True))
        backward = self.shares * self.both_ways
        return PermutedBatch(tokens, segments, order, positions, self.reuse, backward, item.number > 0)

    def _sequence(self, lane: Lane, first: int, random: Random) -> tuple[list[int], list[int], Integers, list[int]]:
        """Tokens, segments, order and what is predicted, of the sequence which begins here in a lane."""
        special = {self.framing.summary, self.framing.separator}
        start = lane.ids(first, first + self.reuse)
        framed, segments = self.framing.frame(*lane.segments(first + self.reuse, self.room, random))
        positions = []
        parts, goals = (start, framed), self.permuting.goals(self.length, self.reuse)
        for part, goal, before in zip(parts, goals, (0, self.reuse), strict=True):
            step = -1 if lane.is_backward else 1  # words are found in the order in which they are written
            found = self.permuting.chosen(part[::step], special, goal, random)
            places = [len(part) - 1 - place for place in reversed(found)] if lane.is_backward else found
            positions += [before + place for place in places]
        tokens = start + framed
        is_ranked = np.array([id in special for id in tokens])
        is_ranked[positions] = True
        order = self.permuting.order(is_ranked, (len(start), len(framed)), random)
        return tokens, [0] * self.reuse + segments, order, positions
