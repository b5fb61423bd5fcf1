"""Where running text is found, and what is made of it."""

import gzip
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from regard.data import corpus as module
from regard.data.corpus import Corpus
from regard.data.rows import SkippedDocuments


def written(folder, name, text) -> str:
    """A file, and its path."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def documents(corpus, skipped=None) -> list[str]:
    """The documents of a corpus, each of its pieces put together."""
    found = [""]
    for piece in corpus.read(skipped):
        found[-1] += piece.text
        if piece.ends:
            found.append("")
    return found if found[-1] else found[:-1]


def test_a_plain_file_is_one_document(tmp_path):
    text = "To be, or not to be:\n\n  that is the question.\r\n"
    assert documents(Corpus(written(tmp_path, "a.txt", text))) == [text]


def test_a_byte_order_mark_is_no_text(tmp_path):
    assert documents(Corpus(written(tmp_path, "a.txt", b"\xef\xbb\xbfabc"))) == ["abc"]


def test_lines_are_documents_the_empty_ones_too(tmp_path):
    path = written(tmp_path, "a.txt", " = Title = \n\nFirst line .\nlast")
    assert documents(Corpus(path, documents="lines")) == [" = Title = ", "", "First line .", "last"]


def test_paragraphs_end_at_empty_lines(tmp_path):
    path = written(tmp_path, "a.txt", "\n\none\ntwo\n \n\nthree\n")
    corpus = Corpus(path, documents="paragraphs")
    assert documents(corpus) == ["one\ntwo", "three"]
    assert [piece.line for piece in corpus.read()] == [3, 7]


def test_rows_of_json_lines_and_parquet_are_documents(tmp_path):
    import pyarrow
    import pyarrow.parquet

    texts = ["The first.", "Zwei\nZeilen", "三"]
    lines = "".join(json.dumps({"meta": {"text": text}}) + "\n" for text in texts)
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": texts, "number": [1, 2, 3]}), path)
    assert documents(Corpus(written(tmp_path, "a.jsonl", lines), column="meta.text")) == texts
    assert documents(Corpus(str(path), column="text")) == texts
    with pytest.raises(ValueError, match=r"rows\.parquet:1: no column 'txt'; there is text, number"):
        documents(Corpus(str(path), column="txt"))


def test_a_file_which_is_not_parquet_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"a\.parquet: this is not a Parquet file"):
        documents(Corpus(written(tmp_path, "a.parquet", "no"), column="text"))


def test_compressed_files_are_read(tmp_path):
    path = written(tmp_path, "a.txt.gz", gzip.compress(b"one\ntwo\n"))
    assert documents(Corpus(path, documents="lines")) == ["one", "two"]
    assert documents(Corpus(path)) == ["one\ntwo\n"]


@settings(max_examples=60, deadline=None)
@given(text=some.text("ab \nä語🙂", max_size=300), cut=some.floats(0.01, 0.99))
def test_two_shares_are_the_whole_file(tmp_path_factory, text, cut):
    path = written(tmp_path_factory.mktemp("share"), "a.txt", text)
    first, second = (documents(Corpus(path, share=share)) for share in ((0.0, cut), (cut, 1.0)))
    assert "".join(first + second) == text


def test_a_share_ends_no_document_before_the_file_does(tmp_path):
    path = written(tmp_path, "a.txt", "abcdefghij")
    assert [piece[::3] for piece in Corpus(path, share=(0.0, 0.9)).read()] == [("abcdefghi", False)]
    assert [piece[::3] for piece in Corpus(path, share=(0.9, 1.0)).read()] == [("j", True)]


def test_shares_of_lines_hold_whole_lines(tmp_path):
    path = written(tmp_path, "a.txt", "one\ntwo\nthree\nfour\n")
    first, second = (Corpus(path, documents="lines", share=share) for share in ((0.0, 0.3), (0.3, 1.0)))
    assert documents(first) + documents(second) == ["one", "two", "three", "four"]
    assert [piece.line for piece in second.read()] == [3, 4]


@settings(max_examples=60, deadline=None)
@given(text=some.text("ab \n\t", max_size=400))
def test_pieces_put_together_are_the_document_and_words_stay_whole(tmp_path_factory, text):
    path = written(tmp_path_factory.mktemp("pieces"), "a.txt", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", 8)
        patch.setattr(module, "FURTHER", 10_000)
        pieces = list(Corpus(path).read())
    assert "".join(piece.text for piece in pieces) == text
    assert [word for piece in pieces for word in piece.text.split()] == text.split()
    assert [piece.ends for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    for piece, after in pairwise(pieces):
        assert not piece.text[-1].isspace()
        assert after.text[0].isspace()


def test_text_without_a_space_is_cut_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 8)
    monkeypatch.setattr(module, "FURTHER", 50)
    pieces = list(Corpus(written(tmp_path, "a.txt", "x" * 1000)).read())
    assert max(len(piece.text) for piece in pieces) <= 58
    assert sum(len(piece.text) for piece in pieces) == 1000


def test_count_takes_the_first_documents(tmp_path):
    path = written(tmp_path, "a.txt", "one\ntwo\nthree\n")
    assert documents(Corpus(path, documents="lines", count=2)) == ["one", "two"]


def test_what_cannot_be_used_is_named_or_counted(tmp_path):
    rows = [b'{"text": "good"}', b'{"text": " "}', b'{"other": 1}', b"{", b'{"text": "\xff"}', b'{"text": 3}']
    corpus = Corpus(written(tmp_path, "a.jsonl", b"\n".join(rows)), column="text")
    with pytest.raises(ValueError, match=r"a\.jsonl:2: column 'text' is empty"):
        documents(corpus)
    skipped = SkippedDocuments()
    assert documents(corpus, skipped) == ["good"]
    assert skipped.total() == 5
    assert "5 documents" in str(skipped)


def test_bytes_which_are_not_text_are_named_by_their_line(tmp_path):
    with pytest.raises(ValueError, match=r"a\.txt:3: this is not UTF-8"):
        documents(Corpus(written(tmp_path, "a.txt", b"one\ntwo\nthr\xffee")))
    with pytest.raises(ValueError, match=r"a\.txt:1: this is not UTF-8 \(unexpected end of data\)"):
        documents(Corpus(written(tmp_path, "a.txt", "ä".encode()[:1])))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": ""}, "path must name a file"),
        ({"path": "a", "documents": "words"}, "documents must be one of file, lines, paragraphs, got 'words'"),
        ({"path": "a", "share": (0.5, 0.5)}, r"share must ascend within 0 and 1, got \[0.5, 0.5\]"),
        ({"path": "a", "count": -1}, "count must not be negative"),
        ({"path": "a", "column": "text"}, "a plain file has no columns"),
        ({"path": "a.gz", "share": (0.0, 0.5)}, "is compressed"),
        ({"path": "a.jsonl"}, "needs column"),
        ({"path": "hub:x/y", "column": "text", "documents": "lines"}, "has a document a row"),
    ],
)
def test_a_corpus_which_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Corpus(**fields)


def test_a_file_which_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match="no file nowhere"):
        documents(Corpus("nowhere"))
