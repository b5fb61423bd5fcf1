"""How requests are computed together: in what order, up to what size, and what a fault or a lost client changes."""

import asyncio
import threading
import time

import pytest

from regard.serving.batching import Batcher, Job
from regard.serving.limits import Limits
from regard.serving.metrics import Metrics


class Recorded:
    """A batcher of one thread, which notes its batches and can be held up."""

    def __init__(self, **limits):
        self.batcher = Batcher(Limits(**{"pause": 0.0, **limits}), 1, Metrics())
        self.batches: list[list[str]] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.holds = threading.Event()

    def compute(self, items):
        """Upper case; fails at `bad`."""
        self.batches.append(list(items))
        self.holds.set()
        self.may_go.wait(20)
        if "bad" in items:
            raise RuntimeError("bad is bad")
        return [item.upper() for item in items]

    def job(self, items, kind="", sizes=None):
        """A job of these items, of size 1 each."""
        future = asyncio.get_running_loop().create_future()
        return Job(kind, self.compute, items, sizes or [1] * len(items), future)

    async def hold(self):
        """Keep the thread busy with an item of its own, until `may_go` is set."""
        self.may_go.clear()
        self.holds.clear()
        job = self.job(["held"])
        self.batcher.submit(job)
        await asyncio.to_thread(self.holds.wait, 20)
        return job


def run(talk, **limits):
    """What comes of talking to a batcher."""

    async def main():
        recorded = Recorded(**limits)
        recorded.batcher.start()
        try:
            return await talk(recorded)
        finally:
            recorded.may_go.set()
            await recorded.batcher.close()

    return asyncio.run(main())


def test_what_waits_is_computed_together_up_to_the_budget_and_by_kind():
    async def talk(recorded):
        held = await recorded.hold()
        jobs = [recorded.job([f"a{n}"], "a") for n in range(5)] + [recorded.job([f"b{n}"], "b") for n in range(2)]
        for job in (jobs[0], jobs[5], *jobs[1:5], jobs[6]):
            recorded.batcher.submit(job)
        recorded.may_go.set()
        results = [await job.finished for job in (held, *jobs)]
        assert results == [["HELD"], *([f"A{n}"] for n in range(5)), ["B0"], ["B1"]]
        return recorded.batches[1:]

    assert run(talk, batch=4) == [["a0", "a1", "a2", "a3"], ["b0", "b1"], ["a4"]]


def test_a_large_request_takes_turns_with_small_ones():
    async def talk(recorded):
        await recorded.hold()
        jobs = [recorded.job([f"a{n}" for n in range(7)]), recorded.job(["b"]), recorded.job(["c0", "c1"])]
        for job in jobs:
            recorded.batcher.submit(job)
        recorded.may_go.set()
        assert await jobs[0].finished == [f"A{n}" for n in range(7)]
        return recorded.batches[1:]

    assert run(talk, batch=3) == [["a0", "a1", "a2"], ["b", "c0", "c1"], ["a3", "a4", "a5"], ["a6"]]


def test_several_threads_share_a_large_request():
    both = threading.Barrier(2, timeout=20)  # passed only by two at a time

    def compute(items):
        """Waits for another batch."""
        both.wait()
        return items

    async def talk():
        batcher = Batcher(Limits(pause=0.0, batch=1), 2, Metrics())
        batcher.start()
        try:
            future = asyncio.get_running_loop().create_future()
            batcher.submit(Job("", compute, list("abcd"), [1] * 4, future))
            return await future
        finally:
            both.abort()
            await batcher.close()

    assert asyncio.run(talk()) == list("abcd")


def test_an_item_which_is_larger_than_the_budget_is_a_batch_of_its_own():
    async def talk(recorded):
        await recorded.hold()
        jobs = [recorded.job(["small"]), recorded.job(["large"], sizes=[99]), recorded.job(["little"])]
        for job in jobs:
            recorded.batcher.submit(job)
        recorded.may_go.set()
        await asyncio.gather(*(job.finished for job in jobs))
        return recorded.batches[1:]

    assert run(talk, batch=3) == [["small", "little"], ["large"]]


def test_a_faulty_item_spoils_no_other():
    async def talk(recorded):
        await recorded.hold()
        jobs = [recorded.job(["a", "b"]), recorded.job(["c", "bad"]), recorded.job(["d"])]
        for job in jobs:
            recorded.batcher.submit(job)
        recorded.may_go.set()
        assert await jobs[0].finished == ["A", "B"]
        assert await jobs[2].finished == ["D"]
        with pytest.raises(RuntimeError, match="bad is bad"):
            await jobs[1].finished
        assert recorded.batcher.is_alive

    run(talk)


def test_what_nobody_waits_for_is_not_computed():
    async def talk(recorded):
        await recorded.hold()
        kept, dropped = recorded.job(["kept"]), recorded.job(["dropped"])
        recorded.batcher.submit(dropped)
        recorded.batcher.submit(kept)
        assert len(recorded.batcher) == 2
        recorded.batcher.drop(dropped)
        recorded.may_go.set()
        await kept.finished
        assert not dropped.finished.done()
        return recorded.batches

    assert run(talk) == [["held"], ["kept"]]


def test_a_request_waits_for_others_but_no_longer_than_the_pause():
    async def talk(recorded):
        begun = time.monotonic()
        jobs = [recorded.job([name]) for name in "abc"]
        for job in jobs:
            recorded.batcher.submit(job)
            await asyncio.sleep(0.01)
        await asyncio.gather(*(job.finished for job in jobs))
        return recorded.batches, time.monotonic() - begun

    batches, seconds = run(talk, pause=0.4)
    assert batches == [["a", "b", "c"]]
    assert 0.4 <= seconds < 2.0  # a busy machine may be late, but does not wait for a second pause
    batches, seconds = run(talk, pause=60.0, batch=3)
    assert batches == [["a", "b", "c"]]  # a full batch waits for nothing
    assert seconds < 20


def test_closing_finishes_what_waits():
    async def talk(recorded):
        await recorded.hold()
        jobs = [recorded.job([name]) for name in "abcd"]
        for job in jobs:
            recorded.batcher.submit(job)
        closing = asyncio.ensure_future(recorded.batcher.close())
        await asyncio.sleep(0.05)
        recorded.may_go.set()
        await closing
        assert [await job.finished for job in jobs] == [["A"], ["B"], ["C"], ["D"]]
        assert not recorded.batcher.is_alive

    run(talk, batch=1)
