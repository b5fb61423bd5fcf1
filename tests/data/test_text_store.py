"""Running text as ids on disk, and the batches which are made of it."""

import json
import os
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from regard.data import text_store
from regard.data.corpus import Corpus, Piece
from regard.data.loading import Cursor, stream
from regard.data.text_store import TextStore
from regard.data.windows import Segments, Windows, cut
from regard.text.tokenizer import Tokenizer

LETTERS = Tokenizer.train(["".join(map(chr, range(97, 123))) + " \n"], kind="characters")
END = LETTERS.end


def stored(folder, *texts) -> TextStore:
    """A store of documents."""
    return TextStore.build(folder, [Piece(text, "x", 1) for text in texts], LETTERS)


def ids(store) -> list[int]:
    """All of a store."""
    return store.packed(np.array([0]), np.array([store.size])).tokens.tolist()


def test_documents_lie_end_to_end_each_with_its_end(tmp_path):
    store = stored(tmp_path / "store", "ab", "c")
    assert ids(store) == [END, *LETTERS.encode("ab"), END, *LETTERS.encode("c"), END]
    starts, ends = store.spans(np.array([1]))
    assert ids(store)[starts[0] : ends[0]] == [END, *LETTERS.encode("c"), END]


def test_counts_are_those_of_the_text_an_end_being_one_of_each(tmp_path):
    store = stored(tmp_path / "store", "ab cd", "e")
    assert store.counts == {"documents": 2, "tokens": 8, "words": 5, "characters": 8, "bytes": 8}


def test_pieces_of_a_document_are_one(tmp_path, monkeypatch):
    monkeypatch.setattr(text_store, "CHUNK", 2)
    pieces = [Piece("ab", "x", 1, False), Piece(" c", "x", 1, False), Piece(" d", "x", 1), Piece("e", "x", 2)]
    whole = TextStore.build(tmp_path / "store", pieces, LETTERS)
    assert ids(whole) == ids(stored(tmp_path / "other", "ab c d", "e"))
    assert whole.counts == stored(tmp_path / "other", "ab c d", "e").counts


def test_a_document_which_its_share_cuts_has_no_end(tmp_path):
    store = TextStore.build(tmp_path / "store", [Piece("ab", "x", 1, False)], LETTERS)
    assert ids(store) == [END, *LETTERS.encode("ab")]
    assert len(store) == 1


def test_a_store_is_made_anew_when_its_text_changes_and_only_then(tmp_path):
    (tmp_path / "text").write_text("abc")
    corpus = Corpus(str(tmp_path / "text"))
    store = TextStore.prepare(tmp_path / "store", corpus, LETTERS)
    before = os.stat(store.folder / "text.ids").st_ino
    assert os.stat(TextStore.prepare(tmp_path / "store", corpus, LETTERS).folder / "text.ids").st_ino == before
    (tmp_path / "text").write_text("abcd")
    assert TextStore.prepare(tmp_path / "store", corpus, LETTERS).tokens == 5


def test_a_corpus_without_text_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "text").write_text("")
    with pytest.raises(ValueError, match="there is no text to store"):
        TextStore.prepare(tmp_path / "store", Corpus(str(tmp_path / "text")), LETTERS)
    assert not (tmp_path / "store").exists()


def test_a_store_which_was_cut_short_is_named(tmp_path):
    store = stored(tmp_path / "store", "abc")
    os.truncate(store.folder / "text.ids", 4)
    with pytest.raises(ValueError, match=r"text\.ids has 4 bytes, the manifest says 10"):
        TextStore.open(tmp_path / "store")
    manifest = json.loads((store.folder / "manifest.json").read_text())
    (store.folder / "manifest.json").write_text(json.dumps({**manifest, "type": "<f4"}))
    with pytest.raises(ValueError, match="is not the manifest of a store"):
        TextStore.open(tmp_path / "store")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """300 documents of 0 to 30 letters, each of which says its number."""
    chance = np.random.default_rng(1)
    texts = [
        "".join(chr(97 + letter) for letter in chance.integers(0, 26, size)) for size in chance.integers(0, 31, 300)
    ]
    return stored(tmp_path_factory.mktemp("store") / "store", *texts)


def predicted(batch) -> list[tuple[int, ...]]:
    """What each stretch of a batch predicts."""
    return [tuple(part.tolist()[1:]) for part in batch.text.unpack(batch.text.tokens)]


def an_epoch(batches, number=0):
    """The batches of an epoch."""
    for batch, after in stream(batches, Cursor(number)):
        yield batch
        if after.epoch > number:
            return


@pytest.mark.parametrize("documents", [True, False])
@pytest.mark.parametrize("epoch", [0, 3])
def test_an_epoch_predicts_every_token_once(store, documents, epoch):
    windows = Windows(store, context=8, tokens=50, documents=documents, seed=2)
    found = sorted(token for batch in an_epoch(windows, epoch) for part in predicted(batch) for token in part)
    assert found == sorted(ids(store)[1:])


def test_windows_of_documents_begin_with_a_document_or_where_one_was_cut(store):
    whole = ids(store)
    documents = " ".join(map(str, whole)).split(f" {END} ")
    for batch in an_epoch(Windows(store, context=8, tokens=50, documents=True)):
        for part in batch.text.unpack(batch.text.tokens):
            inner = part.tolist()[1:-1]
            assert END not in inner
    assert len(documents) > 200


def test_no_batch_of_windows_predicts_more_than_its_tokens(store):
    for documents in (True, False):
        for batch in an_epoch(Windows(store, context=8, tokens=50, documents=documents)):
            assert batch.targets <= 50
            assert int(batch.text.lengths.max()) <= 9


def test_epochs_of_a_stream_are_cut_at_other_places(store):
    windows = Windows(store, context=8, tokens=50, documents=False)
    first, second = ({part for batch in an_epoch(windows, epoch) for part in predicted(batch)} for epoch in (0, 1))
    assert len(first & second) < len(first) / 2


def test_segments_follow_one_another_in_every_lane(store):
    segments = Segments(store, context=8, tokens=24)
    lanes = [[], [], []]
    for number, batch in enumerate(an_epoch(segments)):
        assert batch.goes_on == (number > 0)
        for lane, part in zip(lanes, batch.text.unpack(batch.text.tokens), strict=True):
            assert not lane or lane[-1] == part[0]
            lane.extend(part.tolist() if not lane else part.tolist()[1:])
    whole = ids(store)
    reach = (len(whole) - 1) // 3
    assert lanes == [whole[n * reach : (n + 1) * reach + 1] for n in range(3)]


def test_processes_have_lanes_of_their_own(store):
    together = next(iter(stream(Segments(store, context=8, tokens=32))))[0]
    apart = [next(iter(stream(Segments(store, 8, 16, rank, 2))))[0] for rank in range(2)]
    assert predicted(together) == [part for batch in apart for part in predicted(batch)]


@pytest.mark.parametrize(
    "batches",
    [
        lambda store: Windows(store, context=8, tokens=50, documents=True),
        lambda store: Windows(store, context=8, tokens=50, documents=False),
        lambda store: Segments(store, context=8, tokens=24),
    ],
    ids=["documents", "stream", "segments"],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_goes_on_from_any_place(store, batches, workers):
    whole = list(islice(stream(batches(store)), 400))
    assert whole[-1][1].epoch >= 1
    for place in (0, 57, 250):
        rest = islice(stream(batches(store), whole[place][1], workers=workers), 5)
        for (batch, after), (wanted, cursor) in zip(rest, whole[place + 1 : place + 6], strict=True):
            assert (after, batch.goes_on) == (cursor, wanted.goes_on)
            assert torch.equal(batch.text.tokens, wanted.text.tokens)


@given(lengths=some.lists(some.integers(0, 40), min_size=1, max_size=20), context=some.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_documents_are_cut_as_one_would_by_hand(lengths, context):
    ends = np.cumsum(lengths)
    starts, found = ends - lengths, []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        while end - start > 1:
            found.append((start, min(end, start + context + 1) - start))
            start += context
    assert list(zip(*(part.tolist() for part in cut(starts, ends, context)), strict=True)) == found


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda store: Windows(store, 0, 10, True), "context must be 1 or more"),
        (lambda store: Windows(store, 20, 10, True), "a batch of tokens=10 cannot hold one stretch of context=20"),
        (lambda store: stream(Segments(store, 1, 1_000_000)), "too few for 1000000 lanes; lower tokens"),
        (lambda store: stream(Segments(store, 8, 24), Cursor(0, 0, 10_000)), "is not a place in Segments"),
        (lambda store: stream(Windows(store, 8, 24, True), Cursor(0, 5)), "is not a place in Windows"),
    ],
)
def test_batches_which_make_no_sense_are_refused(store, make, message):
    with pytest.raises(ValueError, match=message):
        make(store)


def test_text_which_predicts_nothing_is_refused(tmp_path):
    alone = TextStore.build(tmp_path / "store", [Piece("", "x", 1), Piece("a", "x", 1, False)], LETTERS)
    assert alone.tokens == 2
    with pytest.raises(ValueError, match="there is no text to store"):
        stored(tmp_path / "other", "", "")
