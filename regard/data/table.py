"""Labelled examples from anyone's table: CSV, TSV, JSON Lines, Parquet or hub data, a row each.

Texts are kept as they are. Labels come as they are written, but for spaces at their ends: text stays text, a number of
JSON or Parquet is a float (whole ones beyond 2^53 stay text), true and false are the classes of these names. An empty
cell, null and not-a-number are no label. What the labels mean for the task is decided in `regard.data.labels`.

Empty lines are no rows. A row which cannot be used is an error with its place, or counted, as `regard.data.rows` says.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from regard.data.examples import Choices, Example
from regard.data.rows import (
    EMPTY_LINE,
    HUB,
    PARQUET,
    RECORDS,
    Skipped,
    Unusable,
    entry,
    fingerprint_of,
    has_quotes,
    hub_objects,
    objects,
    parquet_columns,
    peeked,
    suffix_of,
    table_rows,
    text_of,
    usable,
)
from regard.storage.names import did_you_mean

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
WHOLE = 1 << 53  # whole numbers up to here are floats without loss

# The usual names, in lower case; a column has one of them whatever its case.
PAIRS = [
    tuple(names.split(" + "))
    for names in (
        *("sentence1 + sentence2", "sentence_1 + sentence_2", "sentence_a + sentence_b", "#1 string + #2 string"),
        *("text1 + text2", "text_1 + text_2", "text_a + text_b", "text + text_pair", "question1 + question2"),
        *("premise + hypothesis", "claim + evidence", "question + sentence", "question + passage"),
        *("question + context", "question + answer", "query + passage", "query + document"),
    )
]
TEXTS = (
    *("text", "sentence", "review", "content", "document", "comment", "tweet", "message", "utterance", "abstract"),
    *("question", "query", "claim"),
)
BEGINNINGS = (*TEXTS, "context", "ctx", "premise", "prompt", "stem", "goal", "startphrase")  # of options
OPTION_LISTS = ("options", "choices", "endings")
OPTION = re.compile(r"(option|choice|ending|answer|sol)[ _-]?([0-9]|[a-j])")
LABELS = (
    *("label", "labels", "gold_label", "target", "score", "class", "category", "sentiment", "stars", "rating"),
    *("similarity", "similarity_score", "is_duplicate", "quality", "intent", "emotion", "topic"),
)
ANSWERS = (*LABELS, "answer", "answerkey", "answer_key", "correct", "gold")


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold what."""

    texts: tuple[str, ...]  # one, or those of a pair
    options: tuple[str, ...] = ()  # one with lists, or one an option
    label: str = ""

    @property
    def all(self) -> list[str]:
        """Those which are read, the label's last."""
        return [*self.texts, *self.options, *([self.label] if self.label else [])]

    def __str__(self) -> str:
        parts = [f"{'pair' if len(self.texts) == 2 else 'text'} from {' and '.join(self.texts)}"]
        parts += [f"options from {', '.join(self.options)}"] * bool(self.options)
        parts += [f"label from {self.label}"] * bool(self.label)
        return ", ".join(parts)


@dataclass(frozen=True)
class Table:
    """Where labelled examples are found, a row each.

    `Table("reviews.csv")` finds the columns by their usual names, where only one reading is possible; else they are
    given: `Table("reviews.csv", text="body", label="stars")`, `Table("pairs.tsv", text="premise", pair="hypothesis")`.
    `text`, `pair` and `options` are found together or given together: a text which is given alone stands alone.
    A multiple choice has a text, and options in columns of their own or in one of lists (JSON, where a cell is plain
    text); its label is the number of the right option, its letter, or its text.

    CSV has its columns' names in the first row, and quotes as RFC 4180 has them; so has TSV, where all its quotes are
    such, else they are letters (`quotes="yes"` or `"no"` decides). `columns` names those of a file without names.
    JSON Lines and Parquet: a dot enters an inner object (`text="review.body"`). The Hugging Face hub:
    `Table("hub:nyu-mll/glue", subset="sst2", split="validation")`. Files may be compressed (.gz, .bz2, .xz).

    Raises:
        ValueError: if the fields do not say one of these.
    """

    path: str
    text: str = ""  # columns; found by their usual names where empty
    pair: str = ""  # the second text
    label: str = ""
    options: tuple[str, ...] = ()  # of a multiple choice
    first_option: int = 0  # the number by which labels call the first of them
    columns: tuple[str, ...] = ()  # names for those of a file which has none
    separator: str = ""  # of columns; found by the file's suffix where empty
    quotes: str = ""  # whether cells may stand in them: yes or no; found where empty
    split: str = "train"  # of hub data
    subset: str = ""  # a hub data set's configuration
    count: int = 0  # the first so many examples; 0 for all

    def __post_init__(self):
        for name in ("options", "columns"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a list of names, got {getattr(self, name)!r}")
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a TOML file has lists
        if not self.path:
            raise ValueError("path must name a file or hub:OWNER/NAME, got nothing")
        if not self.kind:
            raise ValueError(
                f"{self.path} must end in {', '.join([*SEPARATORS, *RECORDS])}, or separator must say what stands "
                "between its columns"
            )
        if self.kind != "hub" and (self.subset or self.split != "train"):
            raise ValueError(f"{self.path} is a file; subset and split are of hub data")
        if self.kind != "plain":
            for name in ("columns", "separator", "quotes"):
                if getattr(self, name):
                    raise ValueError(f"{self.path} is no table of plain text, which alone has {name}")
        if self.separator and (len(self.separator) != 1 or self.separator in '"\r\n'):
            raise ValueError(f"separator must be one sign, no quote and no line end, got {self.separator!r}")
        if self.quotes not in ("", "yes", "no"):
            raise ValueError(f"quotes must be yes or no, or empty to be found, got {self.quotes!r}")
        if (self.pair or self.options) and not self.text:
            raise ValueError(
                f"{'pair' if self.pair else 'options'} needs text, the column of the text which it is with"
            )
        if self.pair and self.options:
            raise ValueError("options follow one text, got pair as well")
        given = [name for name in (self.text, self.pair, *self.options, self.label) if name]
        for names in (given, self.columns):
            if len(set(names)) < len(names):
                raise ValueError(f"every column must have a use and a name of its own, got {', '.join(names)}")
        if self.count < 0 or self.first_option < 0:
            raise ValueError(f"count and first_option must not be negative, got {self.count} and {self.first_option}")

    @property
    def kind(self) -> str:
        """One of plain, records, hub; empty where nobody can say."""
        if self.path.startswith(HUB):
            return "hub"
        suffix = suffix_of(self.path)
        return "records" if suffix in RECORDS else "plain" if self.separator or suffix in SEPARATORS else ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files which are read."""
        return () if self.kind == "hub" else (Path(self.path),)

    def fingerprint(self) -> str:
        """A hash which changes when the table does, as far as that can be told without reading it.

        Of files it takes path, size and time of change; of hub data the name, not the revision.
        """
        return fingerprint_of([repr(self)], self.files)

    def found(self, *, labelled: bool = True) -> Columns:
        """Which columns are read.

        Raises:
            FileNotFoundError: if the file is not there.
            ValueError: if they cannot be told.
        """
        return self._opened(labelled)[0]

    def read(self, skipped: Skipped | None = None, *, labelled: bool = True) -> Iterator[Example | Choices]:
        """Every example, in order; with `skipped`, unusable ones are counted there and passed over.

        Args:
            skipped: where they are counted; None makes each of them an error.
            labelled: whether there are labels; if not, the table needs none, and those which it has are left alone.

        Raises:
            FileNotFoundError: if the file is not there.
            ValueError: if the columns cannot be told, or a row cannot be used and nothing may be skipped.
        """
        columns, rows = self._opened(labelled)
        examples = usable((self._example(columns, file, number, row) for file, number, row in rows), skipped)
        return islice(examples, self.count) if self.count else examples

    def _opened(self, labelled: bool) -> tuple[Columns, Iterator[tuple[str, int, Any]]]:
        """The columns which are read, and of each row its file, its number, and what it has in them."""
        for path in self.files:
            if not path.is_file():
                raise FileNotFoundError(f"no file {path}")
        return self._plain(labelled) if self.kind == "plain" else self._records(labelled)

    def _plain(self, labelled: bool) -> tuple[Columns, Iterator[tuple[str, int, Any]]]:
        """Rows of plain text, cell by cell."""
        path, separator = Path(self.path), self.separator or SEPARATORS[suffix_of(self.path)]
        quotes = self.quotes == "yes" or (not self.quotes and (separator != "\t" or has_quotes(path, separator)))
        rows = table_rows(path, separator, quotes=quotes)
        number, head = next(rows, (1, None))
        if head is None:
            raise ValueError(f"{path}: the file is empty")
        if isinstance(head, Unusable):
            raise head
        names = [name.strip() for name in head]
        if self.columns:
            if names == list(self.columns):
                raise ValueError(f"{path}:{number}: the file names its columns itself; leave columns out")
            names, rows = list(self.columns), chain([(number, head)], rows)
        _require_apart(names, f"{path}:{number}")
        columns = self._columns(names, labelled)
        places = [names.index(column) for column in columns.all]

        def cells() -> Iterator[tuple[str, int, Any]]:
            """What each row has in those columns."""
            for number, row in rows:
                if isinstance(row, Unusable):
                    yield self.path, number, row
                elif len(row) != len(names):
                    what = f"the row has {len(row)} columns, the table has {len(names)}"
                    if not self.quotes and not quotes and any(cell.startswith('"') for cell in row):
                        what += "; its quotes are taken for letters, and quotes='yes' takes them for those of cells"
                    yield self.path, number, Unusable("of another width", f"{path}:{number}", what)
                else:
                    yield self.path, number, [row[place] for place in places]

        return columns, cells()

    def _records(self, labelled: bool) -> tuple[Columns, Iterator[tuple[str, int, Any]]]:
        """Rows of named entries."""
        if self.kind == "hub":
            rows = hub_objects(self.path, self.subset, self.split)
            first, names = peeked(rows, self.path)
        elif self.path.endswith(PARQUET):
            first, names = [], parquet_columns(Path(self.path))
            wanted = self._columns(names, labelled).all
            rows = ((self.path, number, row) for number, row in objects(Path(self.path), wanted))
        else:
            rows = ((self.path, number, row) for number, row in objects(Path(self.path), []))
            first, names = peeked(rows, self.path)
        columns = self._columns(names, labelled)

        def entries() -> Iterator[tuple[str, int, Any]]:
            """What each row has in those columns."""
            for file, number, row in chain(first, rows):
                if isinstance(row, Unusable):
                    if row.reason != EMPTY_LINE:
                        yield file, number, row
                    continue
                values = [entry(row, column, f"{file}:{number}") for column in columns.all]
                yield file, number, next((value for value in values if isinstance(value, Unusable)), values)

        return columns, entries()

    def _columns(self, names: list[str], labelled: bool) -> Columns:
        """Which of the columns of these names hold what."""
        where = f"{self.path}: there is {', '.join(names)}"
        if len(names) == 1 and self.kind == "plain":
            signs = [sign for sign in ",;\t|" if sign in names[0]]
            where += f"; is separator={signs[0]!r} missing?" if signs else ""
        if self.kind == "plain" and not self.columns:
            where += "; if these are no names, give the columns' names as columns"
        for name in (self.text, self.pair, *self.options, self.label if labelled else ""):
            if name and name not in names and (self.kind == "plain" or name.split(".")[0] not in names):
                raise ValueError(f"no column {name!r}{did_you_mean(name, names)} in {where}")
        if self.text:
            texts, options = (self.text, *([self.pair] if self.pair else [])), self.options
        else:
            texts, options = _inputs(names, where)
        label = self.label
        if labelled and not label:
            known = _named([name for name in names if name not in (*texts, *options)], ANSWERS if options else LABELS)
            if len(known) != 1:
                what = f"may be {' or '.join(known)}" if known else "has none of the usual names"
                raise ValueError(f"the column of the label {what}, so label must name it; {where}")
            label = known[0]
        return Columns(texts, options, label if labelled else "")

    def _example(self, columns: Columns, file: str, number: int, row: Any) -> Example | Choices | Unusable:
        """What a row says, or what is wrong with it."""
        if isinstance(row, Unusable):
            return row
        place = f"{file}:{number}"
        texts = []
        for value, column in zip(row, columns.texts, strict=False):
            text = text_of(value, column, place)
            if isinstance(text, Unusable):
                return text
            if not text or text.isspace():
                return Unusable("with an empty text", place, f"column {column!r} is empty")
            texts.append(text)
        label = _label(row[-1], columns.label, place) if columns.label else None
        if isinstance(label, Unusable):
            return label
        if not columns.options:
            return Example(tuple(texts), label, place)
        options = _options(row[1 : 1 + len(columns.options)], columns.options, place)
        if isinstance(options, Unusable):
            return options
        answer = None if label is None else _answer(label, options, self.first_option)
        if isinstance(answer, str):
            return Unusable("with an answer which is no option", place, answer)
        return Choices(texts[0], options, answer, place)


def _require_apart(names: Sequence[str], place: str) -> None:
    """Refuse columns which cannot be told apart; those without a name cannot be asked for, and may be many."""
    for number, name in enumerate(names):
        if name and name in names[:number]:
            raise ValueError(f"{place}: two columns are called {name!r}; give each a name of its own")
        if "\r" in name:
            raise ValueError(f"{place}: a carriage return alone ends no line; save the file with line feeds")


def _named(names: Sequence[str], known: Iterable[str]) -> list[str]:
    """Those columns which have one of the known names."""
    known = set(known)
    return [name for name in names if name.lower() in known]


def _inputs(names: list[str], where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of the texts and of the options which their usual names tell.

    Raises:
        ValueError: if several may be, or none.
    """
    options = _option_columns(names)
    apart = [name for name in names if name not in options]
    if options:
        found = [(name,) for name in _named(apart, BEGINNINGS)]
    else:
        lower = {name.lower(): name for name in apart}
        found = [(lower[first], lower[second]) for first, second in PAIRS if first in lower and second in lower]
        paired = {name for pair in found for name in pair}
        found += [(name,) for name in _named(apart, TEXTS) if name not in paired]
    if len(found) != 1:
        what = f"may be {' or '.join(' with '.join(texts) for texts in found)}" if found else "has no usual name"
        raise ValueError(
            f"the column of the text {what}, so text must name it (and pair the second text of a pair, or options "
            f"those of a multiple choice); {where}"
        )
    return found[0], options


def _option_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The columns of options which their usual names tell: one with lists, or several which count from 0, 1 or a."""
    lists = _named(names, OPTION_LISTS)
    if len(lists) == 1:
        return (lists[0],)
    found: dict[str, dict[str, str]] = {}
    for name in names:
        if match := OPTION.fullmatch(name.lower()):
            found.setdefault(match[1], {})[match[2]] = name
    for columns in found.values():
        for signs in ("0123456789", "123456789", "abcdefghij"):
            if len(columns) > 1 and set(columns) == set(signs[: len(columns)]):
                return tuple(columns[sign] for sign in signs[: len(columns)])
    return ()


def _label(value: object, column: str, place: str) -> str | float | Unusable:
    """A label, or what is wrong with it."""
    if isinstance(value, str):
        text = text_of(value.strip(), column, place)
        return text or Unusable("without a label", place, f"column {column!r} is empty")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Unusable("without a label", place, f"column {column!r} is empty")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return float(value) if abs(value) <= WHOLE else str(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    what = (
        f"column {column!r} must be text or a number, got {value if isinstance(value, float) else type(value).__name__}"
    )
    return Unusable("with a label which is neither text nor a number", place, what)


def _options(values: Sequence[Any], columns: Sequence[str], place: str) -> tuple[str, ...] | Unusable:
    """The options of a multiple choice, or what is wrong with them; empty ones after the last are none."""
    if len(columns) == 1:
        values = values[0]
        if isinstance(values, str):
            with suppress(ValueError, RecursionError):
                values = json.loads(values)
        if not isinstance(values, list):
            what = f"column {columns[0]!r} must be a list of texts, got {type(values).__name__}"
            return Unusable("without options", place, what)
        columns = [columns[0]] * len(values)
    options = list(values)
    while options and (options[-1] is None or (isinstance(options[-1], str) and not options[-1].strip())):
        options.pop()
    for option, column in zip(options, columns, strict=False):
        text = text_of(option, column, place)
        if isinstance(text, Unusable):
            return text
        if not text.strip():
            return Unusable("with an empty option", place, f"column {column!r} is empty, though options follow")
    if len(options) < 2:
        return Unusable("without options", place, f"a choice has two options or more, the row has {len(options)}")
    return tuple(options)


def _answer(label: str | float, options: Sequence[str], first: int) -> int | str:
    """Which option a label calls right, counted from 0, or what is wrong with it."""
    if isinstance(label, str) and not re.fullmatch(r"\d+(\.0+)?", label, re.ASCII):
        if options.count(label) == 1:
            return options.index(label)
        letter = ord(label.upper()) - ord("A") if len(label) == 1 else -1
        if 0 <= letter < len(options):
            return letter
        return f"answer {label!r} is neither the number nor the letter nor the text of one of {len(options)} options"
    number = float(label) - first
    if number.is_integer() and 0 <= number < len(options):
        return int(number)
    hint = "; if labels count from 1, set first_option=1" if first == 0 and number == len(options) else ""
    return f"answer {label} is none of {len(options)} options, which count from {first}{hint}"
