"""Requests which wait are computed together, in packed batches, by a few threads.

A thread takes what is there, up to a budget of tokens, from the oldest request on. A request which is too large for one
batch goes to the end of the queue with what is left of it, so that nobody waits for all of it. What is wrong with one
input stays its own: a batch which fails is computed again, input by input.

Since all take turns, more work than there is time for would be too late for everybody. So a request is refused whose
tokens, on top of those of all which are open, could not be read in the seconds of a request, at the pace which was
measured.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from regard.serving.limits import Limits, Refused
from regard.serving.metrics import Metrics
from regard.serving.pace import Pace

PLANNED = 0.8  # of the seconds of a request: the pace which was measured is not the one which will be


@dataclass(eq=False)
class Job:
    """What a request asks of the model, and what is known of it so far.

    Args:
        kind: jobs of one kind may be computed together.
        compute: one result an item, whatever stands beside it.
        items: one or more.
        sizes: of each, in tokens.
        finished: gets the results, or the first error.
    """

    kind: Hashable
    compute: Callable[[list[Any]], Sequence[Any]]
    items: Sequence[Any]
    sizes: Sequence[int]
    finished: asyncio.Future[list[Any]]
    came: float = field(default_factory=time.monotonic)
    begun: int = 0  # items which a thread has taken

    def __post_init__(self):
        self.results: list[Any] = [None] * len(self.items)
        self.left, self.tokens = len(self.items), sum(self.sizes)


Batch = list[tuple[Job, int]]  # items by their jobs and places


class Batcher:
    """The queue, and the threads which empty it.

    Args:
        limits: `batch`, `pause` and `seconds` are of this class.
        threads: which work side by side; each computes with one thread of torch's.
        metrics: to count batches in.
    """

    def __init__(self, limits: Limits, threads: int, metrics: Metrics):
        self.limits, self.metrics = limits, metrics
        self._jobs: deque[Job] = deque()
        self._tokens = 0  # which wait
        self._open: dict[Job, None] = {}  # those which are not done, the oldest first
        self._pace = Pace(limits.batch, threads)
        self._changed = threading.Condition()
        self._is_closing = False
        self._threads = [threading.Thread(target=self._work, name=f"batches-{n}", daemon=True) for n in range(threads)]

    def start(self) -> None:
        """Begin, inside of the event loop which waits for results."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    async def close(self) -> None:
        """Let the threads finish what is there, and end."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    @property
    def is_alive(self) -> bool:
        """Whether the threads work."""
        return all(thread.is_alive() for thread in self._threads)

    def __len__(self) -> int:
        """Jobs which wait, whole or in part."""
        return len(self._jobs)

    @property
    def tokens(self) -> int:
        """Tokens which wait."""
        return self._tokens

    def submit(self, job: Job) -> None:
        """Queue a job.

        Raises:
            Refused: if too much is open for it to be done in time.
        """
        with self._changed:
            self._require_time(job)
            self._jobs.append(job)
            self._open[job] = None
            self._tokens += job.tokens
            self._changed.notify()

    def _require_time(self, job: Job) -> None:
        """Refuse a job which could not be done in time; never the only one, from which a new pace is learnt.

        What is open counts whole: it takes turns, so that what is nearly done waits for the turns of the others.
        """
        tokens = sum(one.tokens for one in self._open)
        if self._open and (why := self._refusal(job, tokens)) is not None:
            raise why

    def _refusal(self, job: Job, tokens: int) -> Refused | None:
        """Why there is no time for a job on top of so many tokens, if so."""
        seconds, most = self._pace.seconds(tokens + job.tokens), PLANNED * self.limits.seconds
        if seconds <= most:
            return None
        return Refused(
            503,
            f"{job.tokens:,} tokens on top of the {tokens:,} of other requests would take {seconds:.1f} s, and what is "
            f"begun may take {most:.1f} s; try again later, or ask for less at once",
            after=math.ceil(seconds - most),
        )

    def drop(self, job: Job) -> None:
        """Forget a job for which nobody waits any more; what a thread has taken of it is still computed."""
        with self._changed:
            self._open.pop(job, None)
            if job in self._jobs:
                self._jobs.remove(job)
                self._tokens -= sum(job.sizes[job.begun :])

    def _work(self) -> None:
        """What each thread does."""
        torch.set_num_threads(1)
        while batch := self._take():
            begun = time.monotonic()
            results = _computed(batch)
            seconds, tokens = time.monotonic() - begun, sum(job.sizes[place] for job, place in batch)
            with self._changed:
                done = [job for (job, place), result in zip(batch, results, strict=True) if _enter(job, place, result)]
                for job in done:
                    self._open.pop(job, None)
                late = self._too_many() if self._pace.add(tokens, seconds) else []
            self._loop.call_soon_threadsafe(self._deliver, done, len(batch), tokens)
            if late:
                self._loop.call_soon_threadsafe(self._refuse, late)

    def _too_many(self) -> list[tuple[Job, Refused]]:
        """What came before any pace was known, and cannot be done in time beside the older ones; never the oldest."""
        tokens, late = 0, []
        for job in self._open:
            if tokens and (why := self._refusal(job, tokens)) is not None:
                late.append((job, why))
            else:
                tokens += job.tokens
        return late

    def _take(self) -> Batch:
        """The next batch, as soon as there is one; nothing when all is over."""
        with self._changed:
            while True:
                if self._jobs:
                    rest = self._jobs[0].came + self.limits.pause - time.monotonic()
                    if rest <= 0 or self._is_closing or self._tokens >= self.limits.batch:
                        return self._chosen()
                    self._changed.wait(rest)
                elif self._is_closing:
                    return []
                else:
                    self._changed.wait()

    def _chosen(self) -> Batch:
        """Items of the kind of the oldest job, up to the budget; one at least."""
        kind, room = self._jobs[0].kind, self.limits.batch
        batch: Batch = []
        passed, again = deque[Job](), []
        for job in self._jobs:
            while job.kind == kind and job.begun < len(job.items) and (not batch or job.sizes[job.begun] <= room):
                batch.append((job, job.begun))
                room -= job.sizes[job.begun]
                job.begun += 1
            if batch and batch[-1][0] is not job:
                passed.append(job)
            elif job.begun < len(job.items):
                again.append(job)
        self._jobs = passed
        self._jobs.extend(again)
        self._tokens -= self.limits.batch - room
        if self._jobs:
            self._changed.notify()  # another thread: what is left of a large job was told of once
        return batch

    def _deliver(self, done: Sequence[Job], inputs: int, tokens: int) -> None:
        """Hand results over, in the event loop."""
        self.metrics.batch(inputs, tokens)
        self.metrics.tokens["read"] += tokens
        for job in done:
            if job.finished.done():
                continue
            error = next((result for result in job.results if isinstance(result, Exception)), None)
            if error is None:
                job.finished.set_result(job.results)
            else:
                job.finished.set_exception(error)

    def _refuse(self, late: Sequence[tuple[Job, Refused]]) -> None:
        """Refuse jobs which were taken, in the event loop."""
        for job, why in late:
            self.drop(job)
            if not job.finished.done():
                job.finished.set_exception(why)


def _enter(job: Job, place: int, result: Any) -> bool:
    """Keep a result; whether it was the last which was missing."""
    job.results[place] = result
    job.left -= 1
    return not job.left


def _computed(batch: Batch) -> Sequence[Any]:
    """The result of each item, or the error which it makes by itself."""
    compute = batch[0][0].compute
    try:
        return compute([job.items[place] for job, place in batch])
    except Exception as error:
        if len(batch) == 1:
            return [error]
    return [result for one in batch for result in _computed([one])]
