"""An endless stream of training batches, the same wherever it is entered.

What the batches of an epoch are follows from the seed and the epoch's number, so the place of the next batch is three
numbers, a `Cursor`, and to go on from it nothing that was skipped is read.
"""

import multiprocessing
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

STOPPING = {signal.SIGINT, signal.SIGTERM}
Item = TypeVar("Item")
Batch = TypeVar("Batch", covariant=True)


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


class Batches(Protocol[Item, Batch]):
    """How a store is made into batches: what `stream` reads from. It is sent to workers, so it can be pickled."""

    def check(self, cursor: Cursor) -> None:
        """Refuse a store which does not suit, and a cursor which other data or settings have left."""
        ...

    def plan(self, cursor: Cursor) -> Iterator[tuple[Item, Cursor]]:
        """What each batch will hold, for ever, from `cursor` on, and the cursor after it."""
        ...

    def batch(self, item: Item) -> Batch:
        """The batch which was planned."""
        ...


class Pooled(ABC, Generic[Item]):
    """Batches which are planned a pool at a time."""

    @abstractmethod
    def pools(self, epoch: int) -> int:
        """How many pools an epoch has."""

    @abstractmethod
    def pooled(self, epoch: int, pool: int) -> list[Item]:
        """The batches of one pool, in the order in which they are seen."""

    def plan(self, cursor: Cursor) -> Iterator[tuple[Item, Cursor]]:
        """The batches for ever, from `cursor` on, and the cursor after each."""
        epoch, pool, batch = cursor.epoch, cursor.pool, cursor.batch
        empty = 0
        while True:
            batches = self.pooled(epoch, pool)
            empty = 0 if batches else empty + 1
            if empty > self.pools(epoch):
                raise ValueError(f"{self} holds nothing to train on")
            after = (epoch, pool + 1) if pool + 1 < self.pools(epoch) else (epoch + 1, 0)
            for number in range(batch, len(batches)):
                yield batches[number], Cursor(epoch, pool, number + 1) if number + 1 < len(batches) else Cursor(*after)
            (epoch, pool), batch = after, 0

    def check_place(self, cursor: Cursor) -> None:
        """Refuse a cursor which is no place of these batches."""
        if cursor.pool < self.pools(cursor.epoch) and (
            not cursor.batch or cursor.batch < len(self.pooled(cursor.epoch, cursor.pool))
        ):
            return
        raise ValueError(f"{cursor} is not a place in {self}; it belongs to other data or settings")


def stream(
    batches: Batches[Item, Batch],
    cursor: Cursor = Cursor(),
    *,
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
) -> Iterator[tuple[Batch, Cursor]]:
    """Batches for ever, from `cursor` on, each with the cursor from which the stream goes on after it.

    Of several processes each takes one batch in turn; cursors are those of the whole, so that all processes hold the
    same cursor after the same number of batches, and a stream may go on with another number of processes.

    Args:
        workers: processes which read ahead; what comes out is the same with any number of them.

    Raises:
        ValueError: if an argument is out of its range, or the cursor's place does not exist in this store.
    """
    if processes < 1 or not 0 <= rank < processes:
        raise ValueError(f"rank must lie in range(processes), got rank={rank} and processes={processes}")
    if workers < 0:
        raise ValueError(f"workers must not be negative, got {workers}")
    batches.check(cursor)
    turns = _Stream(batches, cursor, rank, processes)
    return _read_ahead(turns, workers) if workers else iter(turns)


def _read_ahead(batches: "_Stream", workers: int) -> Iterator[tuple[Any, Cursor]]:
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

    def __init__(self, batches: Batches, cursor: Cursor, rank: int, processes: int):
        self.batches, self.cursor, self.rank, self.processes = batches, cursor, rank, processes

    def __iter__(self) -> Iterator[tuple[Any, Cursor]]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        turns = _turns(self.batches.plan(self.cursor), self.rank, self.processes)
        for item, after in islice(turns, first, None, step):
            yield self.batches.batch(item), after


def _turns(planned: Iterator[tuple[Item, Cursor]], rank: int, processes: int) -> Iterator[tuple[Item, Cursor]]:
    """One batch of each group of `processes`, with the cursor after the group."""
    while group := list(islice(planned, processes)):
        yield group[rank][0], group[-1][1]
