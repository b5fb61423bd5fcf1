"""Rows of text files, each of which knows where it stands: lines, JSON Lines, Parquet, data sets of a hub.

Plain files end a line with a line feed (or carriage return and line feed) and with nothing else: a line separator
U+2028 or a form feed inside a line does not end it. A byte order mark at the head of a file is dropped.

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
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BufferedIOBase
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


def lines_of(path: Path) -> Iterator[str | Unusable]:
    """The lines of a file, without their ends; a line which is not text comes as what is wrong with it."""
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
                if number == 1:
                    raw = raw.removeprefix(BYTE_ORDER_MARK)
                try:
                    yield raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
                except UnicodeDecodeError as error:
                    what = f"byte {error.start + 1} of the line is not UTF-8 ({error.reason})"
                    yield Unusable("of invalid UTF-8", f"{path}:{number}", what)
    except UNREADABLE as error:
        raise ValueError(f"{path}:{number + 1}: the file cannot be read ({error})") from error


UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)


def records(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str] | Unusable]]:
    """Entries of each row of a JSON Lines or Parquet file, with the row's number, counted from 1."""
    if path.suffix == PARQUET:
        for number, row in enumerate(_parquet(path, columns), 1):
            yield number, entries(row, columns, f"{path}:{number}")
        return
    for number, line in enumerate(lines_of(path), 1):
        place = f"{path}:{number}"
        if isinstance(line, Unusable) or not line.strip():
            yield number, line if isinstance(line, Unusable) else empty(place)
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, Unusable("of invalid JSON", place, f"this is not JSON ({error})")
            continue
        yield number, entries(record, columns, place)


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, a row group at a time; of its columns those which are asked for, if there."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(f"{path} needs the package pyarrow; pip install 'regard[hub]'") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = {name for name in file.schema_arrow.names if name in {column.split(".")[0] for column in columns}}
            names |= set(file.schema_arrow.names) & set(columns)
            chosen = sorted(names) or None  # with none of them, the error lists all
            for batch in file.iter_batches(1024, columns=chosen):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: this is not a Parquet file which can be read ({error})") from error


def hub_rows(
    path: str, subset: str, split: str, columns: Sequence[str]
) -> Iterator[tuple[str, int, list[str] | Unusable]]:
    """Entries of each row of a data set of the Hugging Face hub, streamed, with its name and number."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ValueError(f"{path} needs the package datasets; pip install 'regard[hub]'") from error
    name, file, number = path.removeprefix(HUB), f"{path}/{split}", 0
    try:
        for number, row in enumerate(load_dataset(name, subset or None, split=split, streaming=True), 1):
            yield file, number, entries(row, columns, f"{file}:{number}")
    except Exception as error:  # the library raises errors of many kinds: network, name, split, subset
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{file}:{number + 1}: the data set cannot be read ({reason}); without a network, fetch it elsewhere "
            "and give it as files"
        ) from error


def entries(record: object, columns: Sequence[str], place: str) -> list[str] | Unusable:
    """Entries of a record, or what is wrong with it; a dot enters an inner object."""
    texts = []
    for column in columns:
        value = record
        for name in column.split(".") if not (isinstance(record, dict) and column in record) else [column]:
            if not isinstance(value, dict) or name not in value:
                here = ", ".join(map(str, value)) if isinstance(value, dict) else f"a {type(value).__name__}"
                what = f"no column {column!r}; there is {here or 'nothing'}"
                return Unusable("with a missing column", place, what)
            value = value[name]
        if not isinstance(value, str):
            what = f"column {column!r} must be text, got {type(value).__name__}"
            return Unusable("with a column which is not text", place, what)
        if not _is_unicode(value):
            return Unusable("of invalid UTF-8", place, f"column {column!r} holds half a surrogate pair")
        texts.append(value)
    return texts


def empty(place: str) -> Unusable:
    """A row of a table or of records with nothing in it."""
    return Unusable("on an empty line", place, "the line is empty")


def _is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8; JSON can name half a surrogate pair, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
