"""Rows of text files, each of which knows where it stands: lines, CSV, TSV, JSON Lines, Parquet, data sets of a hub.

Plain files end a line with a line feed (or carriage return and line feed) and with nothing else: a line separator
U+2028 or a form feed inside a line does not end it. A byte order mark at the head of a file is dropped.

Tables of plain text are read as RFC 4180 has them: a cell which begins with a quote ends at the next one, may hold
separators and line ends, and holds a quote as two. A quote in a cell which does not begin with one is a letter like
others, and so are all quotes of a table which is read without them; `has_quotes` tells which one it is.

Where Parquet or hub data say that the numbers of a column stand for classes, rows hold the names of these.

A row which cannot be used is an error which names file and line; or, where a `Skipped` is handed in, it is counted and
passed over.
"""

import bz2
import dataclasses
import gzip
import hashlib
import json
import lzma
import os
import re
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

LONGEST_LINE = 1 << 24  # bytes; a file without line ends is found out before it fills the memory
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
COMPRESSED: dict[str, Callable[[Path], BufferedIOBase]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
PARQUET = ".parquet"
RECORDS = (".jsonl", ".ndjson", PARQUET)
HUB = "hub:"
PEEK = 100  # records by whose keys the columns are known
EMPTY_LINE = "on an empty line"  # the reason, where rows may be apart
WRONG_QUOTE = "with a wrong quote"
_INSIDE_QUOTES = re.compile(r'[^"]*+(?:""[^"]*+)*+')


class Skipped(Counter[str]):
    """How many pairs were passed over, by reason."""

    noun = "pair"

    def __str__(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.most_common())
        noun = self.noun + "s" * (self.total() != 1)
        return f"skipped {self.total():,} {noun}: {reasons}" if self else f"skipped no {self.noun}"


class SkippedDocuments(Skipped):
    """How many documents were passed over, by reason."""

    noun = "document"


class SkippedExamples(Skipped):
    """How many examples were passed over, by reason."""

    noun = "example"


class Unusable(ValueError):
    """A row which cannot be used, with the reason under which it is counted."""

    def __init__(self, reason: str, place: str, what: str):
        super().__init__(f"{place}: {what}")
        self.reason = reason

    def count_or_raise(self, skipped: Skipped | None) -> None:
        """Count the row where skipping is asked for, and stop where it is not."""
        if skipped is None:
            raise self
        skipped[self.reason] += 1


def suffix_of(path: str) -> str:
    """The last suffix of a path which is not that of a compressed file."""
    suffixes = [suffix for suffix in Path(path).suffixes if suffix not in COMPRESSED]
    return suffixes[-1] if suffixes else ""


def fingerprint_of(about: Sequence[object], files: Iterable[Path]) -> str:
    """A hash which changes when files do, as far as path, size and time of change tell.

    Raises:
        FileNotFoundError: if one is not there.
    """
    parts = list(about)
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}")
        status = path.stat()
        parts.append((str(path.resolve()), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


Found = TypeVar("Found")


def usable(found: Iterable[Found | Unusable], skipped: Skipped | None) -> Iterator[Found]:
    """What can be used; what cannot is counted or raised."""
    for row in found:
        if isinstance(row, Unusable):
            row.count_or_raise(skipped)
        else:
            yield row


Text = TypeVar("Text")


def located(text: Text) -> Text:
    """The same text with environment variables in its paths replaced.

    Raises:
        ValueError: if a variable is not set.
    """
    paths = {}
    for name in ("path", "target_path"):
        path = os.path.expandvars(os.path.expanduser(getattr(text, name, "")))
        if "$" in path:
            raise ValueError(
                f"{getattr(text, name)!r} names a variable which is not set; set it to the folder which holds the "
                "data, or give another path with --set train.path=... and so on"
            )
        if path:
            paths[name] = path
    return dataclasses.replace(text, **paths)  # pyright: ignore[reportArgumentType, reportReturnType]


def plain_file(path: Path) -> BufferedIOBase:
    """A file as it lies there."""
    return open(path, "rb")


def opened(path: Path) -> BufferedIOBase:
    """The bytes of a file, which may be compressed."""
    return COMPRESSED.get(path.suffix, plain_file)(path)


def raw_lines(path: Path) -> Iterator[bytes | Unusable]:
    """The lines of a file, with their ends; an overlong one comes as what is wrong with it."""
    number = 0
    try:
        with opened(path) as file:
            while raw := file.readline(LONGEST_LINE):
                number += 1
                if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                        pass
                    yield Unusable(
                        "with an overlong line", f"{path}:{number}", f"the line is longer than {LONGEST_LINE:,} bytes"
                    )
                    continue
                yield raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw
    except UNREADABLE as error:
        raise ValueError(f"{path}:{number + 1}: the file cannot be read ({error})") from error


def lines_of(path: Path) -> Iterator[str | Unusable]:
    """The lines of a file, without their ends; a line which is not text comes as what is wrong with it."""
    for number, raw in enumerate(raw_lines(path), 1):
        if isinstance(raw, Unusable):
            yield raw
            continue
        text, fault = _decoded(raw, path, number)
        yield fault or text.removesuffix("\n").removesuffix("\r")


def _decoded(raw: bytes, path: Path, number: int) -> tuple[str, Unusable | None]:
    """The text of a line, and what is wrong with it where it is none; signs of other bytes are replaced then."""
    try:
        return raw.decode("utf-8"), None
    except UnicodeDecodeError as error:
        what = f"byte {error.start + 1} of the line is not UTF-8 ({error.reason})"
        return raw.decode("utf-8", "replace"), Unusable("of invalid UTF-8", f"{path}:{number}", what)


UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)


Line = tuple[int, bytes | Unusable]


def table_rows(path: Path, separator: str, *, quotes: bool) -> Iterator[tuple[int, list[str] | Unusable]]:
    """The cells of each row of a table of plain text, with the line where it begins, counted from 1.

    Empty lines are no rows. A row whose quotes are wrong costs its first line only: the next one is read anew.
    """
    lines = enumerate(raw_lines(path), 1)
    again: deque[Line] = deque()

    def following() -> Line | None:
        """The next line, or None after the last."""
        return again.popleft() if again else next(lines, None)

    while line := following():
        number, raw = line
        if isinstance(raw, Unusable):
            yield number, raw
        elif quotes and b'"' in raw:
            row, further = _quoted_row(path, number, raw, separator, following)
            if isinstance(row, Unusable) and row.reason == WRONG_QUOTE:
                again.extendleft(reversed(further))
            yield number, row
        else:
            text, fault = _decoded(raw, path, number)
            text = text.removesuffix("\n").removesuffix("\r")
            if text:
                yield number, fault or text.split(separator)


def _quoted_row(
    path: Path, number: int, raw: bytes, separator: str, following: Callable[[], Line | None]
) -> tuple[list[str] | Unusable, list[Line]]:
    """The cells of a row with quotes, or what is wrong with it, and the lines which were read for it after its first.

    Bytes which are no text do not hide where a row ends, for quotes and separators are what they are in any of them.
    """
    cells: list[str] = []
    further: list[Line] = []
    text, fault = _decoded(raw, path, number)
    at, size = 0, len(raw)

    def wrong(what: str) -> tuple[Unusable, list[Line]]:
        """A row whose quotes are not as they must be."""
        return Unusable(WRONG_QUOTE, f"{path}:{number}", f"{what} of column {len(cells) + 1}"), further

    while True:
        if not text.startswith('"', at):
            stop = text.find(separator, at)
            if stop < 0:
                cells.append(text[at:].removesuffix("\n").removesuffix("\r"))
                return fault or cells, further
            cells.append(text[at:stop])
            at = stop + 1
            continue
        parts, at = [], at + 1
        while (stop := _end_of_quotes(text, at)) == len(text):
            parts.append(text[at:])
            line = following() if size <= LONGEST_LINE else None
            if line is None:
                return wrong("no quote closes the cell")
            further.append(line)
            number_there, more = line
            if isinstance(more, Unusable):
                return more, further
            text, fault_there = _decoded(more, path, number_there)
            fault, at, size = fault or fault_there, 0, size + len(more)
        parts.append(text[at:stop])
        at = stop + 1
        is_last = text[at:] in ("", "\n", "\r\n")
        if not is_last and not text.startswith(separator, at):
            return wrong("something follows the closing quote of the cell")
        cells.append("".join(parts).replace('""', '"'))
        if is_last:
            return fault or cells, further
        at += 1


def _end_of_quotes(text: str, at: int) -> int:
    """Where the quote stands which closes a cell, from a place inside the cell on; the text's length if nowhere."""
    inside = _INSIDE_QUOTES.match(text, at)
    assert inside  # it matches nothing, too
    return inside.end()


def has_quotes(path: Path, separator: str) -> bool:
    """Whether the quotes of a table are RFC 4180's, or letters like others.

    They are RFC 4180's where each of them is: around a whole cell, or doubled inside such a cell. Yet where such a cell
    spans lines, though the lines have the same number of columns as they are, they are the letters with which one
    sentence begins and another ends.
    """
    is_inside = is_found = spans = False
    separators = set()
    for raw in raw_lines(path):
        if isinstance(raw, Unusable):
            continue
        text = raw.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
        if text:
            separators.add(text.count(separator))
        if not is_inside and '"' not in text:
            continue
        is_found, at = True, 0
        while at <= len(text):
            if is_inside or text.startswith('"', at):
                stop = _end_of_quotes(text, at if is_inside else at + 1)
                if is_inside := stop == len(text):
                    spans = True
                    break
                at = stop + 1
                if text[at : at + 1] not in ("", separator):
                    return False
            else:
                stop = text.find(separator, at)
                stop = len(text) if stop < 0 else stop
                if '"' in text[at:stop]:
                    return False
                at = stop
            at += 1
    return is_found and not is_inside and not (spans and len(separators) == 1 and separators != {0})


def records(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str] | Unusable]]:
    """Texts of each row of a JSON Lines or Parquet file, with the row's number, counted from 1."""
    for number, row in objects(path, columns):
        yield number, row if isinstance(row, Unusable) else entries(row, columns, f"{path}:{number}")


def objects(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
    """Each row of a JSON Lines or Parquet file as it is, or what is wrong with it, with its number, counted from 1.

    Args:
        columns: those of which a Parquet file reads no others, if they are there.
    """
    if path.suffix == PARQUET:
        yield from enumerate(_parquet(path, columns), 1)
        return
    for number, line in enumerate(lines_of(path), 1):
        place = f"{path}:{number}"
        if isinstance(line, Unusable) or not line.strip():
            yield number, line if isinstance(line, Unusable) else empty(place)
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, Unusable("of invalid JSON", place, f"this is not JSON ({error})")


def peeked(rows: Iterator[tuple[str, int, Any]], path: str) -> tuple[list[tuple[str, int, Any]], list[str]]:
    """The first rows, and the names of the columns which any of them has.

    Raises:
        ValueError: if there are none.
    """
    first = list(islice(rows, PEEK))
    names = dict.fromkeys(name for _, _, row in first if isinstance(row, dict) for name in row)
    if not names:
        faults = [row for _, _, row in first if isinstance(row, Unusable) and row.reason != EMPTY_LINE]
        raise faults[0] if faults else ValueError(f"{path}: there is no row with columns")
    return first, list(names)


def parquet_columns(path: Path) -> list[str]:
    """The names of a Parquet file's columns."""
    with _parquet_file(path) as file:
        return list(file.schema_arrow.names)


@contextmanager
def _parquet_file(path: Path) -> Iterator[Any]:
    """A Parquet file, open."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(f"{path} needs the package pyarrow; pip install 'regard[hub]'") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: this is not a Parquet file which can be read ({error})") from error


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, a row group at a time; of its columns those which are asked for, if there."""
    with _parquet_file(path) as file:
        names = {name for name in file.schema_arrow.names if name in {column.split(".")[0] for column in columns}}
        names |= set(file.schema_arrow.names) & set(columns)
        chosen = sorted(names) or None  # with none of them, the error lists all
        try:
            classes = _classes(json.loads((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")))
        except (ValueError, AttributeError):  # whoever wrote this described no columns
            classes = {}
        for batch in file.iter_batches(1024, columns=chosen):
            yield from (_named(row, classes) for row in batch.to_pylist())


def _classes(about: Any) -> dict[str, list[str]]:
    """The names of the classes which the numbers of a column stand for, by column, from a data set's description."""
    found = {}
    for column, feature in about.get("info", {}).get("features", {}).items():
        while isinstance(feature, Mapping) and isinstance(feature.get("feature"), Mapping):
            feature = feature["feature"]  # of a list
        if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel" and feature.get("names"):
            found[column] = list(feature["names"])
    return found


def _named(row: dict[str, Any], classes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A row with the names of its classes; None stands for a number outside them, as -1 is of rows without a class."""

    def name(value: Any, names: Sequence[str]) -> Any:
        """The name of one class, or those of a list."""
        if isinstance(value, list):
            return [name(one, names) for one in value]
        return value if not isinstance(value, int) else names[value] if 0 <= value < len(names) else None

    return {**row, **{column: name(row[column], names) for column, names in classes.items() if column in row}}


def hub_rows(
    path: str, subset: str, split: str, columns: Sequence[str]
) -> Iterator[tuple[str, int, list[str] | Unusable]]:
    """Texts of each row of a data set of the Hugging Face hub, streamed, with its name and number."""
    for file, number, row in hub_objects(path, subset, split):
        yield file, number, entries(row, columns, f"{file}:{number}")


def hub_objects(path: str, subset: str, split: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Each row of a data set of the Hugging Face hub, streamed, with its name and number."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ValueError(f"{path} needs the package datasets; pip install 'regard[hub]'") from error
    name, file, number = path.removeprefix(HUB), f"{path}/{split}", 0
    try:
        rows = load_dataset(name, subset or None, split=split, streaming=True)
        classes = _classes({"info": {"features": rows.features.to_dict() if rows.features else {}}})
        for number, row in enumerate(rows, 1):
            yield file, number, _named(row, classes)
    except Exception as error:  # the library raises errors of many kinds: network, name, split, subset
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{file}:{number + 1}: the data set cannot be read ({reason}); without a network, fetch it elsewhere "
            "and give it as files"
        ) from error


def entries(record: object, columns: Sequence[str], place: str) -> list[str] | Unusable:
    """Texts of a record, or what is wrong with it; a dot enters an inner object."""
    texts = []
    for column in columns:
        text = text_of(entry(record, column, place), column, place)
        if isinstance(text, Unusable):
            return text
        texts.append(text)
    return texts


def entry(record: object, column: str, place: str) -> Any:
    """What a record has in a column, or, as an `Unusable`, that it lacks it; a dot enters an inner object."""
    value = record
    for name in column.split(".") if not (isinstance(record, dict) and column in record) else [column]:
        if not isinstance(value, dict) or name not in value:
            here = ", ".join(map(str, value)) if isinstance(value, dict) else f"a {type(value).__name__}"
            what = f"no column {column!r}; there is {here or 'nothing'}"
            return Unusable("with a missing column", place, what)
        value = value[name]
    return value


def text_of(value: object, column: str, place: str) -> str | Unusable:
    """An entry which is text, or what is wrong with it."""
    if isinstance(value, Unusable):
        return value
    if not isinstance(value, str):
        what = f"column {column!r} must be text, got {type(value).__name__}"
        return Unusable("with a column which is not text", place, what)
    if not _is_unicode(value):
        return Unusable("of invalid UTF-8", place, f"column {column!r} holds half a surrogate pair")
    return value


def empty(place: str) -> Unusable:
    """A row of a table or of records with nothing in it."""
    return Unusable(EMPTY_LINE, place, "the line is empty")


def _is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8; JSON can name half a surrogate pair, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
