"""How requests are computed together: in what order, up to what size, and what a fault or a lost client changes."""

import asyncio
import re
import threading
import time

import pytest

from regard.serving.batching import Batcher, Job
from regard.serving.limits import Limits, Refused
from regard.serving.metrics import Metrics
from regard.serving.pace import Pace


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


def paced(batcher_limits, sizes, warm=0):
    """What becomes of jobs of these sizes, all at once, where one thread reads a hundred tokens a second.

    Args:
        batcher_limits: of the batcher.
        sizes: of the jobs, each of items of one token.
        warm: tokens of a job which is done before.
    """

    def compute(items):
        """Slowly."""
        time.sleep(len(items) / 100)
        return items

    async def main():
        batcher = Batcher(Limits(pause=0.0, batch=4, **batcher_limits), 1, Metrics())
        batcher.start()

        async def one(size):
            """A job, for as long as the service would wait for it."""
            future = asyncio.get_running_loop().create_future()
            job = Job("", compute, range(size), [1] * size, future)
            try:
                batcher.submit(job)
                async with asyncio.timeout(batcher.limits.seconds):
                    return len(await future)
            except Refused as why:
                return why
            except TimeoutError:
                batcher.drop(job)
                return "late"

        try:
            if warm:
                assert await one(warm) == warm
            found = await asyncio.gather(*map(one, sizes))
            assert (batcher.tokens, len(batcher)) == (0, 0)
            return found
        finally:
            await batcher.close()

    return asyncio.run(main())


@pytest.mark.parametrize("warm", [0, 8])
def test_of_many_large_requests_those_are_done_for_which_there_is_time(warm):
    """Of 70 tokens in 2 seconds, of which each takes 10 ms or, on a busy machine, a little more: two or one of four."""
    found = paced({"seconds": 2.0}, [70] * 4, warm)
    done = [one for one in found if one == 70]
    refused = [one for one in found if isinstance(one, Refused)]
    assert found[0] == 70  # the oldest is never refused
    assert len(done) + len(refused) == 4
    assert 2 <= len(refused) <= 3
    for why in refused:
        assert why.status == 503
        assert why.after is not None
        assert why.after >= 1
        assert re.match(r"70 tokens on top of the (70|140) of other requests would take [\d.]+ s, ", str(why))


def test_a_request_which_alone_takes_too_long_is_tried():
    assert paced({"seconds": 0.3}, [60], warm=8) == ["late"]


def test_small_batches_say_nothing_of_the_pace():
    pace = Pace(batch=10, threads=2)
    assert not pace.add(4, 1.0)
    assert pace.seconds(10**9) == 0  # nothing is known
    assert pace.add(10, 1.0)
    assert pace.seconds(100) == pytest.approx(5.0)
    assert not pace.add(10, 3.0)
    assert 5.0 < pace.seconds(100) < 15.0
    for _ in range(100):
        pace.add(10, 3.0)
    assert pace.seconds(100) == pytest.approx(15.0, rel=1e-3)


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
