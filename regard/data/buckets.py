"""Batches of pairs: shuffled, of even size, of like length.

Epoch e sees the pairs of a store in a permutation of its own. A pool is a stretch of `pool` pairs of that order; inside
a pool pairs are sorted by length, cut into batches, and the batches shuffled. All of this follows from the seed, the
epoch and the pool's number.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regard.data.batches import PairBatch
from regard.data.loading import Cursor, Pooled
from regard.data.order import permuted
from regard.data.pair_store import PairStore

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Batching:
    """How pairs are made into batches.

    A batch holds as many pairs as fit: neither all its sources together nor all its targets together have more than
    `tokens` tokens (each `</s>` counted, padding not, since there is none), and there are at most `sentences` pairs.
    Bahdanau et al. 2015 have `Batching(sentences=80, pool=1600)`: 20 batches sorted together.

    Raises:
        ValueError: if neither limit is set, or a value is out of its range.
    """

    tokens: int | None = None
    sentences: int | None = None
    pool: int = 1 << 14  # pairs which are sorted together
    seed: int = 0

    def __post_init__(self):
        if self.tokens is None and self.sentences is None:
            raise ValueError("a batch needs a limit: set tokens, sentences or both")
        for name, value in (("tokens", self.tokens), ("sentences", self.sentences), ("pool", self.pool)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    def check(self, store: PairStore) -> None:
        """Refuse a store with a pair which no batch can hold.

        Raises:
            ValueError: if there is one.
        """
        if self.tokens is not None and max(store.longest) > self.tokens:
            raise ValueError(
                f"a batch of tokens={self.tokens:,} cannot hold the longest sentence of {store.folder}, which has "
                f"{max(store.longest):,} tokens; raise tokens, or lower longest when the store is built"
            )

    def cut(self, source: Integers, target: Integers) -> list[slice]:
        """Cut pairs of these lengths, in this order, into batches."""
        sums = [np.concatenate([[0], lengths.cumsum()]) for lengths in (source, target)]
        cuts, start = [], 0
        while start < len(source):
            stop = len(source)
            if self.sentences is not None:
                stop = min(stop, start + self.sentences)
            if self.tokens is not None:
                for total in sums:
                    stop = min(stop, int(np.searchsorted(total, total[start] + self.tokens, "right")) - 1)
            stop = max(stop, start + 1)
            cuts.append(slice(start, stop))
            start = stop
        return cuts


@dataclass(frozen=True)
class Buckets(Pooled[Integers]):
    """The batches of a store; what is planned of each are the indices of its pairs."""

    store: PairStore
    batching: Batching

    def check(self, cursor: Cursor) -> None:
        """Refuse a pair which no batch can hold, and a cursor of other data or settings.

        Raises:
            ValueError: if there is one.
        """
        self.batching.check(self.store)
        self.check_place(cursor)

    def batch(self, item: Integers) -> PairBatch:
        """The batch of these pairs."""
        return self.store.batch(item)

    def pools(self, epoch: int) -> int:
        """How many pools an epoch has."""
        return -(-len(self.store) // self.batching.pool)

    def drawn(self, epoch: int, pool: int) -> Integers:
        """The pairs of one pool, in the order of the permutation."""
        start, size = pool * self.batching.pool, len(self.store)
        places = np.arange(start, min(start + self.batching.pool, size))
        return permuted(places, size, (self.batching.seed, epoch))

    def pooled(self, epoch: int, pool: int) -> list[Integers]:
        """The batches of one pool, in the order in which they are seen; reads lengths only."""
        indices = self.drawn(epoch, pool)
        source, target = self.store.lengths(indices)
        order = np.lexsort((source, target))  # by target, then by source
        cuts = self.batching.cut(source[order], target[order])
        turns = permuted(np.arange(len(cuts)), len(cuts), (self.batching.seed, epoch, pool))
        return [indices[order[cuts[turn]]] for turn in turns]


def ordered(store: PairStore, batching: Batching) -> Iterator[tuple[Integers, PairBatch]]:
    """Every pair once, the longest first, as (indices, batch): for evaluation, where order does not matter.

    The order is that of length inside stretches of a million pairs, so that memory stays bounded.
    """
    batching.check(store)
    for start in range(0, len(store), 1 << 20):
        indices = np.arange(start, min(start + (1 << 20), len(store)))
        source, target = store.lengths(indices)
        order = np.lexsort((source, target))[::-1]
        for cut in batching.cut(source[order], target[order]):
            yield indices[order[cut]], store.batch(indices[order[cut]])


@dataclass(frozen=True)
class Padding:
    """What share of all positions would be padding, from 0 to 1, if batches were padded instead of packed."""

    alike: float  # these batches, whose sentences are of like length
    mixed: float  # batches of the same limits, composed at random
    batches: int  # which were looked at

    def __str__(self) -> str:
        return (
            f"packing saves {self.alike:.1%} of all positions against the same batches padded, "
            f"{self.mixed:.1%} against padded batches composed at random"
        )


def padding(buckets: Buckets, pools: int = 8) -> Padding:
    """What packing saves in the first `pools` pools of the first epoch; reads lengths only."""
    store, pools = buckets.store, min(pools, buckets.pools(0))
    alike, mixed, count = np.zeros(2, np.int64), np.zeros(2, np.int64), 0
    for pool in range(pools):
        batches = buckets.pooled(0, pool)
        for indices in batches:
            alike += _positions(*store.lengths(indices))
        source, target = store.lengths(buckets.drawn(0, pool))
        for cut in buckets.batching.cut(source, target):
            mixed += _positions(source[cut], target[cut])
        count += len(batches)
    return Padding(float(1 - alike[0] / alike[1]), float(1 - mixed[0] / mixed[1]), count)


def _positions(source: Integers, target: Integers) -> Integers:
    """Tokens of a batch, and positions of the same batch padded."""
    return np.array([source.sum() + target.sum(), len(source) * (source.max() + target.max())])
