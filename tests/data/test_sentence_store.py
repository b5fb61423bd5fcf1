"""Documents of sentences as ids on disk."""

import json
import os
import pickle
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from regard.data import sentence_store
from regard.data.corpus import Corpus, Piece
from regard.data.rows import SkippedDocuments
from regard.data.sentence_store import SentenceStore
from regard.data.sentences import DIVISIONS
from regard.text.tokenizer import Tokenizer

LETTERS = Tokenizer.train([" !\"'().=?ABCDabcd。\n"], kind="characters")


def stored(folder, *texts, sentences="lines") -> SentenceStore:
    """A store of documents."""
    return SentenceStore.build(folder, [Piece(text, "x", 1) for text in texts], LETTERS, sentences=sentences)


def told(store) -> list[list[str]]:
    """The sentences of each document of a store."""
    documents = []
    for document in range(len(store)):
        bounds = store.bounds(document)
        documents.append([LETTERS.decode(store.ids(start, stop)) for start, stop in pairwise(bounds)])
    return documents


def test_a_file_in_berts_format_has_a_sentence_a_line_and_documents_between_empty_lines(tmp_path):
    (tmp_path / "text").write_text("a b\nc\n\n\nd. A\n  \nb\nc\r\na\n")
    corpus = Corpus(str(tmp_path / "text"), documents="paragraphs")
    store = SentenceStore.prepare(tmp_path / "store", corpus, LETTERS, sentences="lines")
    assert told(store) == [["a b", "c"], ["d. A"], ["b", "c", "a"]]
    assert store.counts == {"documents": 3, "sentences": 6, "tokens": 11}
    assert (len(store), store.sentences, store.tokens, store.vocabulary) == (3, 6, 11, LETTERS.size)


def test_prose_has_a_paragraph_a_line(tmp_path):
    store = stored(tmp_path / "store", "A b. C d!\na b\n\nA.", "B? B.", sentences="prose")
    assert told(store) == [["A b.", "C d!", "a b", "A."], ["B?", "B."]]


def test_documents_and_sentences_without_tokens_are_left_out(tmp_path):
    assert told(stored(tmp_path / "store", "", "a\n\nb\n", "\n", "c")) == [["a", "b"], ["c"]]


WIKITEXT = """ 
 = A b = 
 
 A b c . D a . 
 
 = = C = = 
 
 = = = D = = = 
 
 B ( c = d ) . 
 = c = 
 a . 
 
 = D = 
 
 C 
 
 = A = 
 
"""  # noqa: W291, W293


def test_wikitext_is_divided_into_articles_and_its_headings_are_left_out(tmp_path):
    (tmp_path / "text").write_text(WIKITEXT)
    store = SentenceStore.prepare(tmp_path / "store", Corpus(str(tmp_path / "text")), LETTERS, sentences="wikitext")
    assert told(store) == [["A b c .", "D a .", "B ( c = d ) .", "= c =", "a ."], ["C"]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12)
@given(cuts=some.lists(some.integers(0, len(WIKITEXT)), max_size=8))
def test_it_makes_no_difference_where_pieces_are_cut(tmp_path, cuts):
    places = [0, *sorted(cuts), len(WIKITEXT)]
    parts = [WIKITEXT[start:stop] for start, stop in pairwise(places)]
    for sentences in DIVISIONS:
        pieces = [Piece(part, "x", 1, number == len(parts) - 1) for number, part in enumerate(parts)]
        pieced = SentenceStore.build(tmp_path / "pieced", pieces, LETTERS, sentences=sentences)
        assert told(pieced) == told(stored(tmp_path / "whole", WIKITEXT, sentences=sentences))


def test_it_makes_no_difference_how_many_sentences_are_tokenised_at_once(tmp_path, monkeypatch):
    whole = told(stored(tmp_path / "whole", "a\nb\nc", "d\na", "b"))
    monkeypatch.setattr(sentence_store, "CHUNK", 2)
    assert told(stored(tmp_path / "store", "a\nb\nc", "d\na", "b")) == whole


def test_a_document_which_its_share_cuts_is_one(tmp_path):
    pieces = [Piece("a\nb", "x", 1), Piece("c\nd", "x", 3, ends=False)]
    store = SentenceStore.build(tmp_path / "store", pieces, LETTERS, sentences="lines")
    assert told(store) == [["a", "b"], ["c", "d"]]


@pytest.mark.data
def test_wikitext_2_has_the_articles_of_its_paper(data, tmp_path):
    words = Tokenizer.train(["a word"], kind="whitespace")
    for part, articles in (("train", 600), ("test", 60)):
        corpus = Corpus(str(data / "wikitext-2" / f"wiki.{part}.tokens"))
        store = SentenceStore.prepare(tmp_path / part, corpus, words, sentences="wikitext")
        assert len(store) == articles
        assert 20 < store.tokens / store.sentences < 30  # words of a sentence


def test_places_of_sentences_are_found(tmp_path):
    store = stored(tmp_path / "store", "aa\nb\nccc", "dddd\na")
    starts = [0, 2, 3, 6, 10]
    for place in range(store.tokens):
        assert store.start_of(place) == max(start for start in starts if start <= place)
        assert store.end_of(place) == min(end for end in [*starts, 11] if end > place)
        for stop in range(place, store.tokens + 1):
            assert store.starts(place, stop).tolist() == [start for start in starts if place <= start < stop]


def test_a_store_is_made_anew_when_its_text_or_its_division_changes_and_only_then(tmp_path):
    (tmp_path / "text").write_text("Aa. B.\nc")

    def prepared(sentences="lines"):
        return SentenceStore.prepare(tmp_path / "store", Corpus(str(tmp_path / "text")), LETTERS, sentences=sentences)

    before = os.stat(prepared().folder / "text.ids").st_ino
    assert os.stat(prepared().folder / "text.ids").st_ino == before
    assert told(prepared("prose")) == [["Aa.", "B.", "c"]]
    (tmp_path / "text").write_text("Aa. B.\nc\nd")
    assert told(prepared("prose")) == [["Aa.", "B.", "c", "d"]]


def test_what_cannot_be_used_is_counted_where_that_is_asked_for(tmp_path):
    (tmp_path / "text").write_bytes(b"a\n\xff\nb\n")
    corpus = Corpus(str(tmp_path / "text"), documents="paragraphs")
    with pytest.raises(ValueError, match=r"text:2: .* not UTF-8"):
        SentenceStore.prepare(tmp_path / "store", corpus, LETTERS, sentences="lines")
    store = SentenceStore.prepare(tmp_path / "store", corpus, LETTERS, sentences="lines", skips=True)
    assert (told(store), store.skipped) == ([["a", "b"]], SkippedDocuments({"of invalid UTF-8": 1}))


def test_a_pickled_store_is_the_same_folder(tmp_path):
    store = stored(tmp_path / "store", "a\nb")
    assert told(pickle.loads(pickle.dumps(store))) == told(store)


def test_divisions_which_make_no_sense_are_refused(tmp_path):
    (tmp_path / "text").write_text("a\n")
    corpus = Corpus(str(tmp_path / "text"), documents="paragraphs")
    with pytest.raises(ValueError, match="sentences must be one of lines, prose, wikitext, got 'line'; did you mean"):
        SentenceStore.prepare(tmp_path / "store", corpus, LETTERS, sentences="line")
    with pytest.raises(ValueError, match="must be one, with documents='file', got documents='paragraphs'"):
        SentenceStore.prepare(tmp_path / "store", corpus, LETTERS, sentences="wikitext")


def test_a_corpus_without_text_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="there is no text to store; the corpus is empty"):
        stored(tmp_path / "store", "", "\n")
    assert not (tmp_path / "store").exists()


def test_a_store_which_was_cut_short_is_named(tmp_path):
    store = stored(tmp_path / "store", "ab\nc")
    os.truncate(store.folder / "text.sentences", 8)
    with pytest.raises(ValueError, match=r"text\.sentences has 8 bytes, the manifest says 24"):
        SentenceStore.open(tmp_path / "store")
    manifest = json.loads((store.folder / "manifest.json").read_text())
    (store.folder / "manifest.json").write_text(json.dumps({**manifest, "documents": 0}))
    with pytest.raises(ValueError, match="is not the manifest of a store"):
        SentenceStore.open(tmp_path / "store")
    with pytest.raises(FileNotFoundError, match="no store in"):
        SentenceStore.open(tmp_path / "other")
