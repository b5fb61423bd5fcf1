"""The endless stream of training batches: shuffled, of even size, and the same wherever it is entered.

Epoch e sees the pairs of a store in a permutation of its own. A pool is a stretch of `pool` pairs of that order; inside
a pool pairs are sorted by length, cut into batches, and the batches shuffled. All of this follows from the seed, the
epoch and the pool's number, so the place of the next batch is three numbers, a `Cursor`, and to go on from it nothing
that was skipped is read.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from regard.data.batches import PairBatch
from regard.data.order import permuted
from regard.data.store import PairStore

Integers = NDArray[np.int64]
STOPPING = {signal.SIGINT, signal.SIGTERM}


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


@dataclass(frozen=True, order=True)
class Cursor:
    """The place of a batch in the stream: its epoch, the pool in that, the batch in that; each counted from 0.

    Raises:
        ValueError: if one is negative.
    """

    epoch: int = 0
    pool: int = 0
    batch: int = 0

    def __post_init__(self):
        if min(self.epoch, self.pool, self.batch) < 0:
            raise ValueError(f"a cursor must not be negative, got {self}")


def stream(
    store: PairStore,
    batching: Batching,
    cursor: Cursor = Cursor(),
    *,
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
) -> Iterator[tuple[PairBatch, Cursor]]:
    """Batches for ever, from `cursor` on, each with the cursor from which the stream goes on after it.

    Of several processes each takes one batch in turn; cursors are those of the whole, so that all processes hold the
    same cursor after the same number of batches, and a stream may go on with another number of processes.

    Args:
        workers: processes which read ahead; what comes out is the same with any number of them.

    Raises:
        ValueError: if an argument is out of its range, or the cursor's place does not exist in this store.
    """
    batching.check(store)
    if processes < 1 or not 0 <= rank < processes:
        raise ValueError(f"rank must lie in range(processes), got rank={rank} and processes={processes}")
    if workers < 0:
        raise ValueError(f"workers must not be negative, got {workers}")
    _check_place(store, batching, cursor)
    batches = _Stream(store, batching, cursor, rank, processes)
    if not workers:
        return iter(batches)
    return _read_ahead(batches, workers)


def _read_ahead(batches: "_Stream", workers: int) -> Iterator[tuple[PairBatch, Cursor]]:
    """The same stream out of worker processes, which end with the generator."""
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4,
        worker_init_fn=_settle_worker,
        generator=torch.Generator(),  # the loader draws a seed, which must not come from the training's generator
    )
    # Children inherit what is blocked: no signal meets a worker before it has settled.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        batches_ahead = iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    yield from batches_ahead


def _settle_worker(worker: int) -> None:
    """Leave interrupts to the parent, which may want a last batch before it stops; end when it says so or dies.

    A scheduler sends SIGTERM to all processes of a job, a terminal SIGINT: neither ends a worker, save a SIGTERM of the
    parent's own, by which Python ends the workers that are left when it exits.
    """
    parent, started_by = os.getppid(), multiprocessing.parent_process()
    if multiprocessing.get_start_method() == "fork" and started_by is not None and started_by.pid != parent:
        os._exit(0)  # it was gone before we looked
    ending = {parent, started_by.pid if started_by is not None else parent}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    waits = hasattr(signal, "sigtimedwait")  # macOS has none, and its workers end with any SIGTERM
    signal.pthread_sigmask(signal.SIG_BLOCK if waits else signal.SIG_UNBLOCK, {signal.SIGTERM})

    def watch() -> None:
        """End this process, whatever blocks it, when its parent says so or another has become its parent."""
        while os.getppid() == parent:
            if not waits:
                time.sleep(0.5)
            elif (came := signal.sigtimedwait({signal.SIGTERM}, 0.5)) is not None and came.si_pid in ending:
                break
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


class _Stream(IterableDataset):
    """The stream as torch's loader wants it: worker w of n makes every n-th batch."""

    def __init__(self, store: PairStore, batching: Batching, cursor: Cursor, rank: int, processes: int):
        self.store, self.batching, self.cursor, self.rank, self.processes = store, batching, cursor, rank, processes

    def __iter__(self) -> Iterator[tuple[PairBatch, Cursor]]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        turns = _turns(plan(self.store, self.batching, self.cursor), self.rank, self.processes)
        for indices, after in islice(turns, first, None, step):
            yield self.store.batch(indices), after


def _turns(planned: Iterator[tuple[Integers, Cursor]], rank: int, processes: int) -> Iterator[tuple[Integers, Cursor]]:
    """One batch of each group of `processes`, with the cursor after the group."""
    while group := list(islice(planned, processes)):
        yield group[rank][0], group[-1][1]


def plan(store: PairStore, batching: Batching, cursor: Cursor) -> Iterator[tuple[Integers, Cursor]]:
    """The pairs' indices of each batch for ever, from `cursor` on, and the cursor after it; reads lengths only."""
    pools = -(-len(store) // batching.pool)
    epoch, pool, batch = cursor.epoch, cursor.pool, cursor.batch
    while True:
        batches = pooled(store, batching, epoch, pool)
        after = (epoch, pool + 1) if pool + 1 < pools else (epoch + 1, 0)
        for number in range(batch, len(batches)):
            yield batches[number], Cursor(epoch, pool, number + 1) if number + 1 < len(batches) else Cursor(*after)
        (epoch, pool), batch = after, 0


def pooled(store: PairStore, batching: Batching, epoch: int, pool: int) -> list[Integers]:
    """The batches of one pool, as the indices of their pairs, in the order in which they are seen."""
    start = pool * batching.pool
    places = np.arange(start, min(start + batching.pool, len(store)))
    indices = permuted(places, len(store), (batching.seed, epoch))
    source, target = store.lengths(indices)
    order = np.lexsort((source, target))  # by target, then by source
    cuts = batching.cut(source[order], target[order])
    turns = permuted(np.arange(len(cuts)), len(cuts), (batching.seed, epoch, pool))
    return [indices[order[cuts[turn]]] for turn in turns]


def _check_place(store: PairStore, batching: Batching, cursor: Cursor) -> None:
    """Refuse a cursor which another store or another batching has left."""
    pools = -(-len(store) // batching.pool)
    if cursor.pool < pools and (
        not cursor.batch or cursor.batch < len(pooled(store, batching, cursor.epoch, cursor.pool))
    ):
        return
    raise ValueError(f"{cursor} is not a place in {store} with {batching}; it belongs to other data or settings")


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


def padding(store: PairStore, batching: Batching, pools: int = 8) -> Padding:
    """What packing saves in the first `pools` pools of the first epoch; reads lengths only."""
    pools = min(pools, -(-len(store) // batching.pool))
    alike, mixed, count = np.zeros(2, np.int64), np.zeros(2, np.int64), 0
    for pool in range(pools):
        batches = pooled(store, batching, 0, pool)
        for indices in batches:
            alike += _positions(*store.lengths(indices))
        start = pool * batching.pool
        places = np.arange(start, min(start + batching.pool, len(store)))
        source, target = store.lengths(permuted(places, len(store), (batching.seed, 0)))
        for cut in batching.cut(source, target):
            mixed += _positions(source[cut], target[cut])
        count += len(batches)
    return Padding(float(1 - alike[0] / alike[1]), float(1 - mixed[0] / mixed[1]), count)


def _positions(source: Integers, target: Integers) -> Integers:
    """Tokens of a batch, and positions of the same batch padded."""
    return np.array([source.sum() + target.sum(), len(source) * (source.max() + target.max())])
