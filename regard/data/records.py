"""Records with named entries: JSON Lines, Parquet, and data sets of the Hugging Face hub, each with its place.

Where Parquet or hub data say that the numbers of a column stand for classes, records hold the names of these.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from regard.data.lines import lines_of
from regard.data.rows import EMPTY_LINE, Unusable, empty, text_of

PARQUET = ".parquet"
RECORDS = (".jsonl", ".ndjson", PARQUET)
HUB = "hub:"
PEEK = 100  # records by whose keys the columns are known
Row = tuple[str, int, Any]  # its file, its number there, and what it holds


def named_rows(path: str, subset: str, split: str) -> tuple[list[str], Callable[[Sequence[str]], Iterator[Row]]]:
    """The names of the columns, and what gives the rows when it is told which columns are wanted of them.

    Rows hold what they have in all columns, or those of Parquet in those which are wanted; empty lines are none.

    Args:
        path: a file, or `hub:OWNER/NAME`.
        subset: a hub data set's configuration.
        split: of a hub data set.

    Raises:
        ValueError: if there is no row with columns.
    """
    if path.lower().endswith(PARQUET):
        return _parquet_columns(Path(path)), lambda wanted: _rows(path, subset, split, wanted)
    rows = _rows(path, subset, split, ())
    first, names = _peeked(rows, path)
    return names, lambda wanted: (row for row in chain(first, rows) if not _is_empty(row))


def text_rows(
    path: str, subset: str, split: str, columns: Sequence[str]
) -> Iterator[tuple[str, int, list[str] | Unusable]]:
    """The texts which each row has in these columns, or what is wrong with it, with its file and number."""
    for file, number, row in _rows(path, subset, split, columns):
        yield file, number, row if isinstance(row, Unusable) else _texts(row, columns, f"{file}:{number}")


def _rows(path: str, subset: str, split: str, columns: Sequence[str]) -> Iterator[Row]:
    """Each row as it is, or what is wrong with it, counted from 1.

    Args:
        path: a file, or `hub:OWNER/NAME`.
        subset: a hub data set's configuration.
        split: of a hub data set.
        columns: those of which a Parquet file reads no others, if they are there.
    """
    if path.startswith(HUB):
        return _hub(path, subset, split)
    found = _parquet(Path(path), columns) if path.lower().endswith(PARQUET) else _json_lines(Path(path))
    return ((path, number, row) for number, row in enumerate(found, 1))


def _is_empty(row: Row) -> bool:
    """Whether a row is an empty line."""
    return isinstance(row[2], Unusable) and row[2].reason == EMPTY_LINE


def _json_lines(path: Path) -> Iterator[Any]:
    """What each line of a JSON Lines file holds, or what is wrong with it."""
    for number, line in enumerate(lines_of(path), 1):
        place = f"{path}:{number}"
        if isinstance(line, Unusable):
            yield line
        elif not line.strip():
            yield empty(place)
        else:
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                yield Unusable("of invalid JSON", place, f"this is not JSON ({error})")


def _peeked(rows: Iterator[Row], path: str) -> tuple[list[Row], list[str]]:
    """The first rows, and the names of the columns which any of them has.

    Raises:
        ValueError: if there are none.
    """
    first = list(islice(rows, PEEK))
    names = dict.fromkeys(name for _, _, row in first if isinstance(row, dict) for name in row)
    if not names:
        faults = [row for row in first if isinstance(row[2], Unusable) and not _is_empty(row)]
        raise faults[0][2] if faults else ValueError(f"{path}: there is no row with columns")
    return first, list(names)


def _parquet_columns(path: Path) -> list[str]:
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


def _hub(path: str, subset: str, split: str) -> Iterator[Row]:
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


def _texts(record: object, columns: Sequence[str], place: str) -> list[str] | Unusable:
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
