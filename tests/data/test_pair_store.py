"""The tokenised corpus on disk."""

import json
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from regard.data.pair_store import PairStore
from regard.data.parallel import Pair, ParallelText
from regard.data.rows import Skipped
from regard.text.tokenizer import Tokenizer

PAIRS = [("ein Haus", "a house"), ("zwei Hunde im Haus", "two dogs in a house"), ("drei", "three of them")]


@pytest.fixture(scope="module")
def tokenizer():
    """Words of both sides."""
    return Tokenizer.train([text for pair in PAIRS for text in pair], kind="words")


@pytest.fixture
def store(tmp_path, tokenizer):
    """Three pairs."""
    return PairStore.build(tmp_path / "store", PAIRS, tokenizer, tokenizer, longest=10)


def test_a_pair_comes_back_as_its_ids_with_an_end_on_both_sides(store, tokenizer):
    assert len(store) == 3
    for index, (source, target) in enumerate(PAIRS):
        assert store[index][0].tolist() == [*tokenizer.encode(source), 1]
        assert store[index][1].tolist() == [*tokenizer.encode(target), 1]
        assert store[index - 3][0].tolist() == store[index][0].tolist()


def test_lengths_are_those_of_the_ids(store):
    source, target = store.lengths([2, 0, 1, 1])
    assert source.tolist() == [2, 3, 5, 5]
    assert target.tolist() == [4, 3, 6, 6]
    assert (store.longest, store.tokens) == ((5, 6), (10, 13))


def test_a_batch_is_its_pairs_end_to_end(store):
    batch = store.batch([2, 0, 2])
    assert batch.source.tokens.dtype == batch.source.lengths.dtype == torch.int64
    assert [part.tolist() for part in batch.source.unpack(batch.source.tokens)] == [
        store[index][0].tolist() for index in (2, 0, 2)
    ]
    assert [part.tolist() for part in batch.target.unpack(batch.target.tokens)] == [
        store[index][1].tolist() for index in (2, 0, 2)
    ]


@pytest.mark.parametrize("index", [-4, 3])
def test_an_index_outside_is_an_error(store, index):
    with pytest.raises(IndexError, match=rf"range\(3\), got {index}"):
        store[index]
    for read in (store.lengths, store.batch):
        with pytest.raises(IndexError, match=r"range\(3\)"):
            read([0, index])


def test_opening_gives_what_was_built(store):
    opened = PairStore.open(store.folder)
    assert [opened[index][1].tolist() for index in range(3)] == [store[index][1].tolist() for index in range(3)]


def test_a_store_can_be_pickled_without_its_contents(store):
    content = pickle.dumps(store)
    assert len(content) < 500
    assert pickle.loads(content)[1][0].tolist() == store[1][0].tolist()


def test_chunks_leave_no_seam(tmp_path, tokenizer, monkeypatch):
    whole = PairStore.build(tmp_path / "whole", PAIRS * 5, tokenizer, tokenizer, longest=10)
    for name, value in (("CHUNK", 2), ("CHUNK_CHARACTERS", 20)):
        monkeypatch.setattr(f"regard.data.pair_store.{name}", value)
        parts = PairStore.build(tmp_path / "parts", PAIRS * 5, tokenizer, tokenizer, longest=10)
        for file in ("source.ids", "source.starts", "target.ids", "target.starts"):
            assert (parts.folder / file).read_bytes() == (whole.folder / file).read_bytes()


def test_ids_take_two_bytes_where_they_fit_and_four_where_not(tmp_path, tokenizer):
    large = Tokenizer.train([f"w{number}" for number in range(70_000)], kind="words")
    store = PairStore.build(tmp_path / "store", [("w5 w69999", "ein Haus")], large, tokenizer, longest=10)
    assert (store.folder / "source.ids").stat().st_size == 3 * 4
    assert (store.folder / "target.ids").stat().st_size == 3 * 2
    assert large.decode(store[0][0].tolist()) == "w5 w69999"


def test_progress_is_told(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr("regard.data.pair_store.CHUNK", 2)
    seen = []
    PairStore.build(tmp_path / "store", PAIRS, tokenizer, tokenizer, longest=10, progress=seen.append)
    assert seen == [2, 3]


def test_a_pair_with_too_many_tokens_is_named_by_its_place(tmp_path, tokenizer):
    pairs = [Pair(*pair, "train.de", line) for line, pair in enumerate(PAIRS, 1)]
    with pytest.raises(ValueError, match=r"^train\.de:2: the target has 6 tokens with </s>, more than longest=5"):
        PairStore.build(tmp_path / "store", pairs, tokenizer, tokenizer, longest=5)
    assert not (tmp_path / "store").exists()


def test_pairs_with_too_many_tokens_are_counted_where_asked_for(tmp_path, tokenizer):
    skipped = Skipped()
    store = PairStore.build(tmp_path / "store", PAIRS, tokenizer, tokenizer, longest=5, skipped=skipped)
    assert len(store) == 2
    assert str(skipped) == str(store.skipped) == "skipped 1 pair: 1 with more than 5 tokens"
    assert tokenizer.decode(store[1][0].tolist()) == "drei"


def test_no_pair_is_an_error(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="no pair to store; the text is empty"):
        PairStore.build(tmp_path / "store", [], tokenizer, tokenizer, longest=5)
    with pytest.raises(ValueError, match="skipped 3 pairs: 3 with more than 2 tokens"):
        PairStore.build(tmp_path / "store", PAIRS[:2] + PAIRS[1:2], tokenizer, tokenizer, longest=2, skipped=Skipped())


def test_a_failed_build_leaves_the_old_store_and_nothing_else(store, tokenizer):
    def pairs():
        yield PAIRS[0]
        raise ValueError("train.de:2: not UTF-8")

    with pytest.raises(ValueError, match=r"train\.de:2"):
        PairStore.build(store.folder, pairs(), tokenizer, tokenizer, longest=10)
    assert len(PairStore.open(store.folder)) == 3
    assert sorted(os.listdir(store.folder.parent)) == [".store.lock", "store"]


def test_a_folder_of_something_else_is_not_overwritten(tmp_path, tokenizer):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").touch()
    with pytest.raises(ValueError, match="is no store, and is not overwritten"):
        PairStore.build(tmp_path / "photos", PAIRS, tokenizer, tokenizer, longest=10)
    assert os.listdir(tmp_path / "photos") == ["one.jpg"]


def test_an_open_store_outlives_its_replacement(store, tokenizer):
    before = store[1][0].tolist()
    PairStore.build(store.folder, PAIRS[:1], tokenizer, tokenizer, longest=10)
    assert store[1][0].tolist() == before
    assert len(PairStore.open(store.folder)) == 1


@pytest.mark.parametrize("name", ["source.ids", "target.ids", "source.starts", "target.starts"])
@pytest.mark.parametrize("damage", ["cut", "grown", "gone"])
def test_a_damaged_file_is_named(store, name, damage):
    path = store.folder / name
    match damage:
        case "cut":
            path.write_bytes(path.read_bytes()[:-1])
        case "grown":
            path.write_bytes(path.read_bytes() + b"\0")
        case "gone":
            path.unlink()
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} (has|is missing).*the manifest says"):
        PairStore.open(store.folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"format": 1', '"format": 99'),
        lambda text: text.replace('"pairs"', '"pears"'),
        lambda text: text.replace("<u2", "<u3"),
    ],
)
def test_a_damaged_manifest_is_named(store, change):
    path = store.folder / "manifest.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is not the manifest of a store"):
        PairStore.open(store.folder)


def test_no_store_is_an_error_which_names_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "nothing"))):
        PairStore.open(tmp_path / "nothing")


class TestPrepare:
    """A store is built when it is not there or not up to date, and opened when it is."""

    @pytest.fixture
    def text(self, tmp_path):
        """Two plain files."""
        (tmp_path / "a.de").write_text("".join(source + "\n" for source, _ in PAIRS))
        (tmp_path / "a.en").write_text("".join(target + "\n" for _, target in PAIRS))
        return ParallelText(str(tmp_path / "a.de"), str(tmp_path / "a.en"))

    def test_an_up_to_date_store_is_opened_as_it_is(self, tmp_path, text, tokenizer):
        made = PairStore.prepare(tmp_path / "store", text, tokenizer, tokenizer, longest=10)
        before = (made.folder / "manifest.json").stat().st_ino
        again = PairStore.prepare(tmp_path / "store", text, tokenizer, tokenizer, longest=10)
        assert (again.folder / "manifest.json").stat().st_ino == before

    def test_a_changed_file_is_read_again(self, tmp_path, text, tokenizer):
        PairStore.prepare(tmp_path / "store", text, tokenizer, tokenizer, longest=10)
        for name in ("a.de", "a.en"):
            with open(tmp_path / name, "a") as file:
                file.write("drei\n")
        assert len(PairStore.prepare(tmp_path / "store", text, tokenizer, tokenizer, longest=10)) == 4

    def test_another_tokenizer_or_limit_builds_again(self, tmp_path, text, tokenizer):
        first = PairStore.prepare(tmp_path / "store", text, tokenizer, tokenizer, longest=10)
        characters = Tokenizer.train([text for pair in PAIRS for text in pair], kind="characters")
        second = PairStore.prepare(tmp_path / "store", text, tokenizer, characters, longest=40)
        third = PairStore.prepare(tmp_path / "store", text, tokenizer, characters, longest=15, skips=True)
        assert len({store.manifest["fingerprint"] for store in (first, second, third)}) == 3
        assert (len(second), len(third)) == (3, 2)

    def test_a_damaged_store_is_built_again(self, tmp_path, text, tokenizer):
        made = PairStore.prepare(tmp_path / "store", text, tokenizer, tokenizer, longest=10)
        (made.folder / "source.ids").write_bytes(b"")
        assert len(PairStore.prepare(tmp_path / "store", text, tokenizer, tokenizer, longest=10)) == 3

    def test_what_was_skipped_is_still_known_when_it_is_opened(self, tmp_path, text, tokenizer):
        for name in ("a.de", "a.en"):
            with open(tmp_path / name, "a") as file:
                file.write("\n")
        for _ in range(2):
            store = PairStore.prepare(tmp_path / "store", text, tokenizer, tokenizer, longest=5, skips=True)
            assert store.skipped == {"with an empty source": 1, "with more than 5 tokens": 1}

    def test_several_processes_at_once_all_get_it(self, tmp_path, text, tokenizer):
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()

        def prepare():
            queue.put(len(PairStore.prepare(tmp_path / "store", text, tokenizer, tokenizer, longest=10)))

        workers = [context.Process(target=prepare) for _ in range(6)]
        for worker in workers:
            worker.start()
        assert [queue.get() for _ in workers] == [3] * 6
        for worker in workers:
            worker.join(30)
        assert not [name for name in os.listdir(tmp_path) if "partial" in name]


def test_a_killed_build_leaves_no_store_and_its_rest_is_removed_by_the_next(tmp_path, tokenizer):
    tokenizer.save(tmp_path / "tokenizer.json")
    program = f"""
import itertools
from regard.data.pair_store import PairStore
from regard.text.tokenizer import Tokenizer
tokenizer = Tokenizer.load({str(tmp_path)!r})
def progress(read):
    print(read, flush=True)
pairs = itertools.repeat(("ein Haus", "a house"))
PairStore.build({str(tmp_path / "store")!r}, pairs, tokenizer, tokenizer, longest=10, progress=progress)
"""
    builder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert builder.stdout.readline()
    builder.send_signal(signal.SIGKILL)
    builder.wait(30)
    builder.stdout.close()
    assert [name for name in os.listdir(tmp_path) if name.endswith(".partial")]
    assert not (tmp_path / "store").exists()
    PairStore.build(tmp_path / "store", PAIRS, tokenizer, tokenizer, longest=10)
    assert sorted(os.listdir(tmp_path)) == [".store.lock", "store", "tokenizer.json"]


BUILD_UNDER_LIMIT = """
import resource, sys
from regard.data.loading import Batching, Cursor, stream
from regard.data.parallel import Pair
from regard.data.pair_store import PairStore
from regard.text.tokenizer import Tokenizer

folder, pairs, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
tokenizer = Tokenizer.load(folder)
tokenizer.encode_batch(["a"] * 100)
with open("/proc/self/status") as file:
    used = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + limit, used + limit))
try:
    bytearray(2 * limit)
    sys.exit("the limit does not hold")
except MemoryError:
    pass

size = 0
def text():
    global size
    for number in range(pairs):
        words = " ".join(f"w{(number * 7919 + place * place) % 1000}" for place in range(40))
        size += 2 * len(words)
        yield Pair(words, words, "made", number)

store = PairStore.build(folder + "/store", text(), tokenizer, tokenizer, longest=300)
assert size > 10 * limit, size
assert sum(file.stat().st_size for file in store.folder.iterdir()) > 4 * limit
seen = 0
for batch, cursor in stream(store, Batching(tokens=8192, seed=1)):
    seen += len(batch)
    if cursor.epoch:
        break
assert seen == pairs, seen
print("done")
"""


@pytest.mark.slow
def test_a_corpus_ten_times_the_memory_is_built_and_read(tmp_path):
    limit, pairs = 6 << 20, 165_000  # bytes beyond what the imports take
    Tokenizer.train([f"w{number}" for number in range(1000)], kind="words").save(tmp_path / "tokenizer.json")
    done = subprocess.run(
        [sys.executable, "-c", BUILD_UNDER_LIMIT, str(tmp_path), str(pairs), str(limit)],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    assert done.stdout.strip() == "done", done.stderr


def test_reading_maps_the_files_and_copies_nothing(store):
    for side in ("source", "target"):
        for array in (store._ids[side], store._starts[side]):
            assert isinstance(array.base, np.memmap)
            assert not array.flags.writeable


def test_the_manifest_says_what_is_there(store):
    manifest = json.loads((store.folder / "manifest.json").read_text())
    assert manifest["pairs"] == 3
    assert manifest["source"] == {"tokens": 10, "longest": 5, "type": "<u2"}
