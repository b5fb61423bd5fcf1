"""The endless stream of batches."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import islice

import numpy as np
import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from regard.data.batches import PairBatch
from regard.data.buckets import Batching, Buckets, ordered, padding
from regard.data.loading import Cursor, stream
from regard.data.pair_store import PairStore
from regard.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train([" ".join(f"w{number}" for number in range(500))], kind="words")


def stored(folder, lengths):
    """A store of pairs with these (source, target) lengths; pair i begins with the word i on both sides."""
    pairs = (
        (" ".join([f"w{number}"] * (source - 1)), " ".join([f"w{number}"] * (target - 1)))
        for number, (source, target) in enumerate(lengths)
    )
    return PairStore.build(folder, pairs, TOKENIZER, TOKENIZER, longest=1000)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """300 pairs of 2 to 30 tokens."""
    chance = np.random.default_rng(1)
    lengths = chance.integers(2, 31, (300, 2)).tolist()
    return stored(tmp_path_factory.mktemp("store") / "store", lengths)


BATCHING = Batching(tokens=120, pool=70, seed=5)


def same(one, other):
    """Whether two batches with their cursors are the same."""
    (a, after_a), (b, after_b) = one, other
    return (
        after_a == after_b
        and torch.equal(a.source.tokens, b.source.tokens)
        and torch.equal(a.source.lengths, b.source.lengths)
        and torch.equal(a.target.tokens, b.target.tokens)
        and torch.equal(a.target.lengths, b.target.lengths)
    )


def of_epochs(store, batching, epochs):
    """The planned batches of whole epochs, as lists of indices."""
    result = [[] for _ in range(epochs)]
    cursor = Cursor()
    for indices, after in Buckets(store, batching).plan(cursor):
        result[cursor.epoch].append(indices.tolist())
        cursor = after
        if cursor.epoch == epochs:
            return result


LIMITS = [
    Batching(tokens=120, pool=70),
    Batching(sentences=8, pool=160),
    Batching(tokens=60, sentences=3, pool=1),
    Batching(tokens=10_000, pool=10_000),
    Batching(sentences=1, pool=299),
]


@pytest.mark.parametrize("batching", LIMITS, ids=str)
def test_every_epoch_has_every_pair_once(store, batching):
    for epoch in of_epochs(store, batching, 3):
        assert sorted(index for batch in epoch for index in batch) == list(range(300))


def test_epochs_differ_and_so_do_seeds(store):
    first, second = of_epochs(store, BATCHING, 2)
    assert first != second
    assert first != of_epochs(store, Batching(tokens=120, pool=70, seed=6), 1)[0]
    assert first == of_epochs(store, BATCHING, 1)[0]


def test_a_batch_holds_the_pairs_that_were_planned(store):
    planned = Buckets(store, BATCHING).plan(Cursor())
    for (batch, after), (indices, cursor) in zip(islice(stream(Buckets(store, BATCHING)), 40), planned, strict=False):
        assert same((batch, after), (store.batch(indices), cursor))


@pytest.mark.parametrize("batching", LIMITS, ids=str)
def test_no_batch_is_over_its_limits(store, batching):
    for batch, _ in islice(stream(Buckets(store, batching)), 200):
        assert max(len(batch.source.tokens), len(batch.target.tokens)) <= (batching.tokens or np.inf)
        assert len(batch) <= (batching.sentences or np.inf)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lengths=some.lists(some.tuples(some.integers(1, 9), some.integers(1, 9)), min_size=1, max_size=40),
    tokens=some.none() | some.integers(9, 30),
    sentences=some.integers(1, 50),
)
def test_batches_are_cut_as_one_would_by_hand(lengths, tokens, sentences):
    source, target = np.array(lengths).T
    cuts, expected = Batching(tokens=tokens, sentences=sentences).cut(source, target), [[]]
    for number, pair in enumerate(lengths):
        together = [lengths[other] for other in expected[-1]] + [pair]
        sums = [sum(side) for side in zip(*together, strict=True)]
        if len(together) > sentences or (tokens is not None and max(sums) > tokens):
            expected.append([])
        expected[-1].append(number)
    assert [list(range(len(lengths)))[cut] for cut in cuts] == expected


def test_a_pool_is_sorted_together_and_its_batches_shuffled(store):
    batching = Batching(sentences=10, pool=100)
    batches = Buckets(store, batching).pooled(0, 1)
    members = sorted(int(index) for batch in batches for index in batch)
    lengths = sorted(zip(*store.lengths(members)[::-1], strict=True))
    targets = [store.lengths(batch)[1] for batch in batches]
    by_length = sorted(targets, key=lambda target: target.tolist())
    assert np.concatenate(by_length).tolist() == [target for target, _ in lengths]
    assert [target.tolist() for target in targets] != [target.tolist() for target in by_length]


def test_going_on_from_any_cursor_gives_what_follows(store):
    whole = list(islice(stream(Buckets(store, BATCHING)), 120))
    assert whole[-1][1].epoch >= 2
    for place in range(0, 110):
        rest = islice(stream(Buckets(store, BATCHING), whole[place][1]), 5)
        assert all(same(one, other) for one, other in zip(rest, whole[place + 1 :], strict=False))


def test_going_on_reads_none_of_what_was_skipped(store, monkeypatch):
    far = Cursor(1000, 3, 2)
    calls = Counter()
    lengths = PairStore.lengths
    monkeypatch.setattr(PairStore, "lengths", lambda *arguments: calls.update(["lengths"]) or lengths(*arguments))
    next(iter(stream(Buckets(store, BATCHING), far)))
    assert calls["lengths"] <= 2  # the pool of the cursor: once to check the cursor, once to go on


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_processes_share_the_stream_and_hold_the_same_cursors(store, processes):
    whole = list(islice(stream(Buckets(store, BATCHING)), 20 * processes))
    for rank in range(processes):
        own = list(islice(stream(Buckets(store, BATCHING), rank=rank, processes=processes), 20))
        for turn, (batch, after) in enumerate(own):
            expected = whole[turn * processes + rank][0], whole[turn * processes + processes - 1][1]
            assert same((batch, after), expected)


def test_another_number_of_processes_goes_on_where_the_first_stopped(store):
    whole = list(islice(stream(Buckets(store, BATCHING)), 60))
    *_, (_, cursor) = islice(stream(Buckets(store, BATCHING), rank=1, processes=3), 5)
    own = islice(stream(Buckets(store, BATCHING), cursor, rank=0, processes=2), 10)
    assert all(same((batch, None), (whole[15 + 2 * turn][0], None)) for turn, (batch, _) in enumerate(own))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(store, workers):
    start = Cursor(0, 1, 3)
    alone = islice(stream(Buckets(store, BATCHING), start, rank=1, processes=2), 40)
    ahead = islice(stream(Buckets(store, BATCHING), start, rank=1, processes=2, workers=workers), 40)
    assert all(same(one, other) for one, other in zip(alone, ahead, strict=True))


def test_workers_leave_the_generator_of_random_numbers_alone(store):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(islice(stream(Buckets(store, BATCHING), workers=1), 3))
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_end_with_the_stream(store):
    before = psutil.Process().children()
    batches = stream(Buckets(store, BATCHING), workers=2)
    next(batches)
    children = [child for child in psutil.Process().children() if child not in before]
    assert len(children) == 2
    batches.close()
    del batches
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


PARENT = """
import signal, sys, time
from itertools import islice
from multiprocessing import active_children
from regard.data.buckets import Batching, Buckets
from regard.data.loading import stream
from regard.data.pair_store import PairStore

def stop(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
batches = stream(Buckets(PairStore.open(sys.argv[1]), Batching(tokens=120, pool=70)), workers=2)
try:
    next(batches)
    print(*[child.pid for child in active_children()], flush=True)
    if sys.argv[2] == "wait":
        time.sleep(60)
    if sys.argv[2] == "fail":
        raise OSError("disk full")
except KeyboardInterrupt:
    for _ in islice(batches, 200):
        time.sleep(0.005)
    print("went on", flush=True)
"""


@pytest.fixture
def start(store):
    """Start a process with two workers, `start("wait")`, and get it and their numbers."""
    started = []

    def start(then):
        process = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(store.folder), then],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        workers = [int(number) for number in process.stdout.readline().split()]
        assert len(workers) == 2
        return process, workers

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


def ended(workers):
    """Whether these processes end within ten seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        left = [worker for worker in workers if psutil.pid_exists(worker)]
        if all(psutil.Process(worker).status() == psutil.STATUS_ZOMBIE for worker in left):
            return True
        time.sleep(0.1)
    return False


def test_workers_die_with_a_killed_parent(start):
    process, workers = start("wait")
    process.kill()
    process.wait(10)
    assert ended(workers)


@pytest.mark.parametrize("then", ["leave", "fail"])
def test_a_process_which_ends_with_the_stream_open_takes_its_workers_along(start, then):
    process, workers = start(then)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == (then == "fail")
    assert ("disk full" in errors) == (then == "fail")
    assert ended(workers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_leaves_the_workers_to_the_parent(start, number):
    process, workers = start("wait")
    os.killpg(process.pid, number)
    out, errors = process.communicate(timeout=30)
    assert (out, errors, process.returncode) == ("went on\n", "", 0)
    assert ended(workers)


def test_a_killed_worker_is_an_error_and_no_silence(start):
    process, workers = start("wait")
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert "worker" in errors
    assert process.returncode == 1
    assert ended(workers)


def test_a_pair_which_no_batch_can_hold_is_refused_at_once(tmp_path):
    store = stored(tmp_path / "store", [(3, 3), (40, 3)])
    with pytest.raises(ValueError, match=r"tokens=39 cannot hold the longest sentence of .*which has 40 tokens"):
        stream(Buckets(store, Batching(tokens=39)))
    with pytest.raises(ValueError, match="cannot hold"):
        next(ordered(store, Batching(tokens=39)))
    assert len(next(iter(stream(Buckets(store, Batching(tokens=40)))))[0]) in (1, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "set tokens, sentences or both"),
        ({"tokens": 0}, "tokens must be 1 or more, got 0"),
        ({"sentences": -1}, "sentences must be 1 or more, got -1"),
        ({"sentences": 5, "pool": 0}, "pool must be 1 or more, got 0"),
        ({"sentences": 5, "seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_batching_which_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Batching(**fields)


@pytest.mark.parametrize("cursor", [Cursor(0, 5, 0), Cursor(0, 0, 99), Cursor(7, 4, 30)])
def test_a_cursor_of_other_data_is_refused(store, cursor):
    with pytest.raises(ValueError, match="is not a place in Buckets"):
        stream(Buckets(store, BATCHING), cursor)


def test_wrong_ranks_and_workers_are_named(store):
    with pytest.raises(ValueError, match="got rank=2 and processes=2"):
        stream(Buckets(store, BATCHING), rank=2, processes=2)
    with pytest.raises(ValueError, match="workers must not be negative, got -1"):
        stream(Buckets(store, BATCHING), workers=-1)
    with pytest.raises(ValueError, match="must not be negative"):
        Cursor(0, -1, 0)


@pytest.mark.parametrize("batching", LIMITS, ids=str)
def test_evaluation_sees_every_pair_once_with_its_index(store, batching):
    seen = []
    for indices, batch in ordered(store, batching):
        seen += indices.tolist()
        for number, index in enumerate(indices):
            assert batch.source.unpack(batch.source.tokens)[number].tolist() == store[index][0].tolist()
    assert sorted(seen) == list(range(300))


def test_evaluation_begins_with_the_longest(store):
    lengths = [int(batch.target.lengths.max()) for _, batch in ordered(store, BATCHING)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == store.longest[1]


def test_padding_is_what_padding_the_batches_would_add(store):
    tokens = positions = 0
    for indices in of_epochs(store, BATCHING, 1)[0]:
        batch = store.batch(indices)
        tokens += len(batch.source.tokens) + batch.targets
        positions += batch.source.padded(0).numel() + batch.target.padded(0).numel()
    assert padding(Buckets(store, BATCHING)).alike == pytest.approx(1 - tokens / positions, abs=1e-12)


def test_padding_by_hand(tmp_path):
    store = stored(tmp_path / "store", [(2, 2), (4, 4)] * 10)
    sorted_together = padding(Buckets(store, Batching(sentences=10, pool=20)))
    assert sorted_together.alike == 0
    assert sorted_together.mixed == pytest.approx(0.25, abs=0.1)  # half of the sentences are half as long
    alone = padding(Buckets(store, Batching(sentences=1)))
    assert (alone.alike, alone.mixed, alone.batches) == (0, 0, 20)
    assert str(alone).startswith("packing saves 0.0% of all positions")


def test_the_padding_of_one_batch_is_counted_from_its_lengths(tmp_path):
    batch = stored(tmp_path / "store", [(2, 3), (4, 3)]).batch([0, 1])
    assert (len(batch.source.tokens), batch.targets, len(batch)) == (6, 6, 2)
    assert batch.padding == pytest.approx(1 - 12 / 14)


def test_a_batch_of_unequal_sides_is_refused(store):
    batch = store.batch([0, 1])
    with pytest.raises(ValueError, match="got 2 and 1"):
        PairBatch(batch.source, store.batch([0]).target)


def test_a_batch_moves_to_a_device(store):
    batch = store.batch([0, 1]).to("meta")
    assert batch.source.tokens.device.type == batch.target.tokens.device.type == "meta"
    assert batch.target.lengths.device.type == "cpu"


def test_batches_and_cursors_can_be_pickled(store):
    batch, cursor = next(iter(stream(Buckets(store, BATCHING))))
    assert same(pickle.loads(pickle.dumps((batch, cursor))), (batch, cursor))
