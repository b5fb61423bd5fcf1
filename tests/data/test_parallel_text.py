"""Parallel text as a stream of pairs, and what is said of text that cannot be used."""

import builtins
import bz2
import gzip
import json
import lzma
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from regard.data.parallel import Pair, ParallelText
from regard.data.rows import Skipped


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files into an empty current folder: `write(name=contents)` with a dot for each underscore."""
    monkeypatch.chdir(tmp_path)

    def write(**contents):
        for name, content in contents.items():
            content = content if isinstance(content, bytes) else content.encode()
            (tmp_path / name.replace("_", ".")).write_bytes(content)

    return write


PLAIN = ParallelText("a.de", "a.en")
TABLE = ParallelText("a.tsv", columns=("1", "2"))
RECORDS = ParallelText("a.jsonl", columns=("de", "en"))
ROWS = [("ein Haus", "a house"), ("zwei", "two")]


def texts(text, skipped=None):
    """The pairs, without their places."""
    return [(pair.source, pair.target) for pair in text.read(skipped)]


def fill(write, rows=ROWS, end="\n"):
    """The same rows in every format."""
    write(
        a_de="".join(source + end for source, _ in rows),
        a_en="".join(target + end for _, target in rows),
        a_tsv="".join(f"{source}\t{target}{end}" for source, target in rows),
        a_jsonl="".join(json.dumps({"de": source, "en": target}, ensure_ascii=False) + end for source, target in rows),
    )


@pytest.mark.parametrize("text", [PLAIN, TABLE, RECORDS], ids=lambda text: text.kind)
class TestEveryFormat:
    """What holds for plain files, tables and JSON Lines."""

    def test_pairs_come_in_order(self, write, text):
        fill(write)
        assert texts(text) == ROWS

    def test_a_pair_knows_its_place(self, write, text):
        fill(write)
        assert [pair.place for pair in text.read()] == [f"{text.path}:1", f"{text.path}:2"]

    def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_the_text(self, write, text):
        fill(write, end="\r\n")
        for name in ("a.de", "a.en", "a.tsv", "a.jsonl"):
            content = Path(name).read_bytes()
            Path(name).write_bytes(b"\xef\xbb\xbf" + content)
        assert texts(text) == ROWS

    def test_the_last_line_may_lack_its_end(self, write, text):
        fill(write)
        for name in ("a.de", "a.en", "a.tsv", "a.jsonl"):
            content = Path(name).read_bytes()
            Path(name).write_bytes(content[:-1])
        assert texts(text) == ROWS

    @pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
    def test_only_a_line_feed_ends_a_line(self, write, text, sign):
        rows = [(f"ein{sign}Haus", "a house"), ("zwei", f"t{sign}wo")]
        fill(write, rows)
        assert texts(text) == rows

    def test_invalid_utf8_is_named(self, write, text):
        fill(write)
        for name in ("a.de", "a.tsv", "a.jsonl"):
            content = Path(name).read_bytes()
            Path(name).write_bytes(content.replace(b"zwei", b"zw\xffei"))
        with pytest.raises(ValueError, match=rf"^{text.path}:2: byte \d+ of the line is not UTF-8"):
            texts(text)
        skipped = Skipped()
        assert texts(text, skipped) == ROWS[:1]
        assert skipped == {"of invalid UTF-8": 1}

    def test_an_empty_side_is_named(self, write, text):
        fill(write, [*ROWS, ("drei", " "), ("vier", "four")])
        with pytest.raises(ValueError, match=rf"^{text.path}:3: the target is empty"):
            texts(text)
        skipped = Skipped()
        assert texts(text, skipped) == [*ROWS, ("vier", "four")]
        assert str(skipped) == "skipped 1 pair: 1 with an empty target"

    def test_an_overlong_side_is_named(self, write, text):
        fill(write, [*ROWS, ("drei " * 3000, "three")])
        with pytest.raises(ValueError, match=rf"^{text.path}:3: the source has 14,999 characters, more than longest"):
            texts(text)
        skipped = Skipped()
        assert texts(text, skipped) == ROWS
        assert skipped == {"with an overlong source": 1}

    def test_a_line_without_end_does_not_fill_the_memory(self, write, text, monkeypatch):
        monkeypatch.setattr("regard.data.lines.LONGEST_LINE", 50)
        fill(write, [ROWS[0], ("drei " * 40, "three " * 40), ROWS[1]])
        with pytest.raises(ValueError, match=rf"^{text.path}:2: the line is longer than 50 bytes"):
            texts(text)
        skipped = Skipped()
        assert texts(text, skipped) == ROWS
        assert skipped == {"with an overlong line": 1}

    def test_the_first_so_many_are_taken(self, write, text):
        fill(write, ROWS * 5)
        first = ParallelText(text.path, text.target_path, text.columns, count=3)
        assert texts(first) == (ROWS * 5)[:3]

    def test_a_missing_file_is_named(self, write, text):
        with pytest.raises(FileNotFoundError, match=text.path):
            text.read()
        with pytest.raises(FileNotFoundError, match=text.path):
            text.fingerprint()

    def test_another_text_has_another_fingerprint(self, write, text):
        fill(write)
        before = text.fingerprint()
        assert text.fingerprint() == before
        fill(write, [*ROWS, ("drei", "three")])
        assert text.fingerprint() != before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=some.lists(some.tuples(*[some.text(some.characters(exclude_characters="\n", codec="utf-8"))] * 2)))
def test_any_text_comes_back_from_plain_files(write, rows):
    rows = [(source.strip(), target.strip()) for source, target in rows]
    rows = [row for row in rows if all(row) and not row[0].startswith("\ufeff") and not row[1].startswith("\ufeff")]
    fill(write, rows)
    assert texts(PLAIN) == rows
    assert texts(RECORDS) == rows


@pytest.mark.parametrize(("longer", "shorter"), [("a.de", "a.en"), ("a.en", "a.de")])
def test_files_of_different_length_are_an_error_even_where_lines_are_skipped(write, longer, shorter):
    write(**{longer.replace(".", "_"): "a\nb\nc\nd\n", shorter.replace(".", "_"): "a\nb\n"})
    for skipped in (None, Skipped()):
        with pytest.raises(ValueError, match=rf"^{shorter}:3: the file ends after 2 lines, but {longer} goes on"):
            texts(PLAIN, skipped)


def test_a_skipped_line_of_one_file_does_not_shift_the_other(write):
    write(a_de=b"eins\nzw\xffei\ndrei\n\nf\xc3\xbcnf\n", a_en="one\ntwo\nthree\nfour\nfive\n")
    skipped = Skipped()
    assert texts(PLAIN, skipped) == [("eins", "one"), ("drei", "three"), ("fünf", "five")]
    assert str(skipped) == "skipped 2 pairs: 1 of invalid UTF-8, 1 with an empty source"


def test_the_line_that_is_named_is_of_the_file_which_has_the_fault(write):
    write(a_de="eins\nzwei\n", a_en=b"one\ntw\xe9\n")
    with pytest.raises(ValueError, match=r"^a\.en:2: byte 3"):
        texts(PLAIN)


def test_utf16_is_not_taken_for_text(write):
    write(a_de="eins\n".encode("utf-16"), a_en="one\n")
    with pytest.raises(ValueError, match=r"^a\.de:1: byte 1 of the line is not UTF-8"):
        texts(PLAIN)


def test_columns_of_a_table_are_taken_by_name_from_its_header(write):
    write(a_tsv="id\ten\tde\n7\ttwo\tzwei\n")
    (pair,) = ParallelText("a.tsv", columns=("de", "en")).read()
    assert pair == Pair("zwei", "two", "a.tsv", 2)


def test_a_table_has_no_quotes(write):
    write(a_tsv='sagt "ja\tsays "yes\n')
    assert texts(TABLE) == [('sagt "ja', 'says "yes')]


def test_a_name_which_the_header_lacks_is_named(write):
    write(a_tsv="id\ten\tde\n7\ttwo\tzwei\n")
    for skipped in (None, Skipped()):
        with pytest.raises(ValueError, match=r"^a\.tsv:1: no column 'fr'; the header has id, en, de"):
            texts(ParallelText("a.tsv", columns=("fr", "en")), skipped)


def test_a_line_with_too_few_columns_is_named(write):
    write(a_tsv="eins\tone\nzwei two\n")
    with pytest.raises(ValueError, match=r"^a\.tsv:2: column 2 is missing, the line has 1"):
        texts(TABLE)
    skipped = Skipped()
    assert texts(TABLE, skipped) == [("eins", "one")]
    assert skipped == {"with a missing column": 1}


@pytest.mark.parametrize("text", [TABLE, RECORDS], ids=lambda text: text.kind)
def test_an_empty_line_is_named(write, text):
    fill(write)
    for name in ("a.tsv", "a.jsonl"):
        Path(name).write_bytes(Path(name).read_bytes() + b"\n")
    with pytest.raises(ValueError, match=rf"^{text.path}:3: the line is empty"):
        texts(text)
    skipped = Skipped()
    assert texts(text, skipped) == ROWS
    assert skipped == {"on an empty line": 1}


@pytest.mark.parametrize(
    ("line", "message", "reason"),
    [
        ('{"de": "zwei", "en": "two"', "this is not JSON", "of invalid JSON"),
        ("[" * 100_000, "this is not JSON", "of invalid JSON"),
        ('{"de": "zwei"}', "no column 'en'; there is de", "with a missing column"),
        ("{}", "no column 'de'; there is nothing", "with a missing column"),
        ('["zwei", "two"]', "no column 'de'; there is a list", "with a missing column"),
        ('{"de": "zwei", "en": 2}', "column 'en' must be text, got int", "with a column which is not text"),
        ('{"de": "zwei", "en": null}', "column 'en' must be text, got NoneType", "with a column which is not text"),
        ('{"de": "zwei", "en": "\\ud800"}', "half a surrogate pair", "of invalid UTF-8"),
    ],
)
def test_a_record_which_cannot_be_used_is_named(write, line, message, reason):
    write(a_jsonl='{"de": "eins", "en": "one"}\n' + line + "\n")
    with pytest.raises(ValueError, match=rf"^a\.jsonl:2: .*{message}"):
        texts(RECORDS)
    skipped = Skipped()
    assert texts(RECORDS, skipped) == [("eins", "one")]
    assert skipped == {reason: 1}


def test_a_dot_enters_an_inner_object(write):
    write(a_jsonl='{"translation": {"de": "zwei", "en": "two"}}\n{"translation": {"de": "zwei"}}\n')
    text = ParallelText("a.jsonl", columns=("translation.de", "translation.en"))
    pairs = text.read()
    assert next(pairs)[:2] == ("zwei", "two")
    with pytest.raises(ValueError, match=r"^a\.jsonl:2: no column 'translation\.en'"):
        next(pairs)


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_compressed_files_are_read(write, suffix, compress):
    fill(write)
    for name in ("a.de", "a.en", "a.tsv"):
        Path(f"{name}.{suffix}").write_bytes(compress(Path(name).read_bytes()))
    assert texts(ParallelText(f"a.de.{suffix}", f"a.en.{suffix}")) == ROWS
    assert texts(ParallelText(f"a.tsv.{suffix}", columns=("1", "2"))) == ROWS


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_compressed_file_which_is_cut_short_is_named(write, suffix, compress):
    lines = "".join(f"{number * 7919 % 10007}\tx\n" for number in range(5000)).encode()
    for content in (compress(lines)[:-200], b"no such thing"):
        Path(f"a.tsv.{suffix}").write_bytes(content)
        with pytest.raises(ValueError, match=rf"^a\.tsv\.{suffix}:\d+: the file cannot be read"):
            texts(ParallelText(f"a.tsv.{suffix}", columns=("1", "2")))


def test_dates_are_a_source():
    text = ParallelText("dates", split="test", count=5, seed=3)
    from regard.data.dates import dates

    assert texts(text) == list(dates("test", 5, 3))
    assert [pair.place for pair in text.read()][:2] == ["dates:1", "dates:2"]
    assert text.fingerprint() != ParallelText("dates", split="test", count=5, seed=4).fingerprint()


@pytest.fixture
def offline(monkeypatch):
    """The library of data sets, told that there is no network."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_hub_data_are_streamed(write, tmp_path, offline):
    (tmp_path / "set").mkdir()
    records = ({"de": f"Satz {number}", "en": f"sentence {number}"} for number in range(4))
    (tmp_path / "set" / "train.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    text = ParallelText(f"hub:{tmp_path}/set", columns=("de", "en"))
    pairs = list(text.read())
    assert [pair[:2] for pair in pairs] == [(f"Satz {number}", f"sentence {number}") for number in range(4)]
    assert pairs[1].place == f"hub:{tmp_path}/set/train:2"
    with pytest.raises(ValueError, match=r"set/train:1: no column 'fr'; there is de, en"):
        list(ParallelText(f"hub:{tmp_path}/set", columns=("fr", "en")).read())
    with pytest.raises(ValueError, match=r"set/dev:1: the data set cannot be read"):
        list(ParallelText(f"hub:{tmp_path}/set", columns=("de", "en"), split="dev").read())


def test_hub_data_without_a_network_say_so(offline, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"hub:nobody/nothing/train:1: .*without a network, fetch it elsewhere"):
        list(ParallelText("hub:nobody/nothing", columns=("de", "en")).read())


def test_hub_data_without_their_package_say_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    found = builtins.__import__

    def missing(name, *arguments, **named):
        if name == "datasets":
            raise ImportError(name)
        return found(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ValueError, match=r"pip install 'regard\[hub\]'"):
        list(ParallelText("hub:a/b", columns=("de", "en")).read())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": ""}, "path must name"),
        ({"path": "a.de"}, "a plain file needs the other side's in target_path, got 'a.de' alone"),
        ({"path": "a.de", "target_path": "a.en", "columns": ("de", "en")}, "two plain files have no columns"),
        ({"path": "a.tsv"}, "a.tsv needs two columns"),
        ({"path": "a.tsv", "columns": ("de",)}, r"a.tsv needs two columns.*\('de',\)"),
        ({"path": "a.tsv", "columns": ("de", "")}, "a.tsv needs two columns"),
        ({"path": "a.tsv", "columns": "de"}, "columns must be two names, got 'de'"),
        ({"path": "a.tsv", "columns": ("0", "1")}, "columns are counted from 1"),
        ({"path": "hub:a/b", "target_path": "a.en"}, "target_path goes with a plain file"),
        ({"path": "hub:a/b"}, "needs two columns"),
        ({"path": "dates"}, "dates need count"),
        ({"path": "dates", "count": 5, "columns": ("a", "b")}, "dates have no columns"),
        ({"path": "dates", "count": -5}, "must not be negative"),
        ({"path": "dates", "count": 5, "split": "dev"}, "split must be one of train, validation, test, got 'dev'"),
        ({"path": "a.de", "target_path": "a.en", "longest": 0}, "longest must be 1 or more"),
    ],
)
def test_a_description_which_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ParallelText(**fields)


def test_columns_may_be_a_list_as_in_a_toml_file():
    assert ParallelText("a.tsv", columns=[1, 2]) == TABLE


@pytest.mark.data
def test_multi30k_is_read_whole(data):
    folder = data / "multi30k"
    pairs = list(ParallelText(str(folder / "train.de"), str(folder / "train.en")).read())
    assert len(pairs) == 29_000
    assert pairs[0][:2] == (
        "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
        "Two young, White males are outside near many bushes.",
    )
