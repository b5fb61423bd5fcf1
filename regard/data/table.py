"""Labelled examples from anyone's table: CSV, TSV, JSON Lines, Parquet or hub data, a row each.

Texts are kept as they are, and labels as `regard.data.cells` has them. What they mean for the task is decided in
`regard.data.labels`.

Empty lines are no rows. A row which cannot be used is an error with its place, or counted, as `regard.data.rows` says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from regard.data.cells import answer_of, label_of, options_of
from regard.data.columns import Columns, found_columns, require_apart
from regard.data.delimited import has_quotes, table_rows
from regard.data.examples import Choices, Example
from regard.data.records import RECORDS, Row, entry, named_rows
from regard.data.rows import Skipped, Unusable, text_of, usable
from regard.data.sources import Source, advised, suffix_of

TAB = "\t"
SEPARATORS = {".csv": ",", ".tsv": TAB, ".tab": TAB}


@dataclass(frozen=True)
class Table(Source):
    """Where labelled examples are found, a row each.

    `Table("reviews.csv")` finds the columns by their usual names, where only one reading is possible; else they are
    given: `Table("reviews.csv", text="body", label="stars")`, `Table("pairs.tsv", text="premise", pair="hypothesis")`.
    `text`, `pair` and `options` are found together or given together: a text which is given alone stands alone.
    A multiple choice has a text, and options in columns of their own or in one of lists (JSON, where a cell is plain
    text); its label is the text of the right option, its letter, or its number.

    CSV has its columns' names in the first row, and quotes as RFC 4180 has them; so has TSV, where all its quotes are
    such, else they are letters (`quotes="yes"` or `"no"` decides). `columns` names those of a file without names.
    JSON Lines and Parquet: a dot enters an inner object (`text="review.body"`). The Hugging Face hub:
    `Table("hub:nyu-mll/glue", subset="sst2", split="validation")`. Files may be compressed (.gz, .bz2, .xz).

    Raises:
        ValueError: if the fields do not say one of these.
    """

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
        self._check_format()
        self._check_columns()
        if self.count < 0:
            raise ValueError(f"count must not be negative, got {self.count}")

    def _check_format(self) -> None:
        """Refuse a path of no known format, and what another format has."""
        if not self.path:
            raise ValueError("path must name a file or hub:OWNER/NAME, got nothing")
        if not self.kind:
            raise ValueError(
                f"{self.path} must end in {', '.join([*SEPARATORS, *RECORDS])}, or separator must say what stands "
                f"between its columns, such as {advised('separator', ';')}; words with tags (CoNLL) are "
                "no table, and with another suffix than .conll are read where the task is said, with --task tagging"
            )
        if self.kind != "hub" and (self.subset or self.split != "train"):
            raise ValueError(f"{self.path} is a file; subset and split are of hub data")
        if self.kind != "plain":
            for name in ("columns", "separator", "quotes"):
                if getattr(self, name):
                    raise ValueError(f"{self.path} is no table of plain text, which alone has {name}")
        if self.separator and (len(self.separator) != 1 or self.separator in '"\r\n'):
            hint = f"; a tab is {advised('separator', TAB)}" if self.separator == "\\t" else ""
            raise ValueError(f"separator must be one sign, no quote and no line end, got {self.separator!r}{hint}")
        if self.quotes not in ("", "yes", "no"):
            raise ValueError(f"quotes must be yes or no, or empty to be found, got {self.quotes!r}")

    def _check_columns(self) -> None:
        """Refuse columns which do not go together."""
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
        if self.first_option < 0:
            raise ValueError(f"first_option must not be negative, got {self.first_option}")

    @property
    def kind(self) -> str:
        """One of plain, records, hub; empty where nobody can say."""
        kind = super().kind
        return "" if kind == "plain" and not self.separator and suffix_of(self.path) not in SEPARATORS else kind

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

    def _opened(self, labelled: bool) -> tuple[Columns, Iterator[Row]]:
        """The columns which are read, and of each row what it has in them."""
        self.require_files()
        return self._plain(labelled) if self.kind == "plain" else self._records(labelled)

    def _plain(self, labelled: bool) -> tuple[Columns, Iterator[Row]]:
        """Rows of plain text, cell by cell."""
        path, separator = Path(self.path), self.separator or SEPARATORS[suffix_of(self.path)]
        quotes = self.quotes == "yes" or (not self.quotes and (separator != TAB or has_quotes(path, separator)))
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
        require_apart(names, f"{path}:{number}")
        columns = self._columns(names, labelled)
        places = [names.index(column) for column in columns.all]

        def cells() -> Iterator[Row]:
            """What each row has in those columns."""
            for number, row in rows:
                if isinstance(row, Unusable):
                    yield self.path, number, row
                elif len(row) != len(names):
                    what = f"the row has {len(row)} columns, the table has {len(names)}"
                    if not self.quotes and not quotes and any(cell.startswith('"') for cell in row):
                        what += (
                            f"; its quotes are taken for letters; for those of cells, set {advised('quotes', 'yes')}"
                        )
                    yield self.path, number, Unusable("of another width", f"{path}:{number}", what)
                else:
                    yield self.path, number, [row[place] for place in places]

        return columns, cells()

    def _records(self, labelled: bool) -> tuple[Columns, Iterator[Row]]:
        """Rows of named entries."""
        names, rows = named_rows(self.path, self.subset, self.split)
        columns = self._columns(names, labelled)

        def entries() -> Iterator[Row]:
            """What each row has in those columns."""
            for file, number, row in rows(columns.all):
                if not isinstance(row, Unusable):
                    values = [entry(row, column, f"{file}:{number}") for column in columns.all]
                    row = next((value for value in values if isinstance(value, Unusable)), values)
                yield file, number, row

        return columns, entries()

    def _columns(self, names: list[str], labelled: bool) -> Columns:
        """Which of the columns of these names hold what."""
        where = f"{self.path}: there is {', '.join(names)}"
        signs = [sign for sign in ",;\t|" if sign in names[0]] if len(names) == 1 and self.kind == "plain" else []
        if signs:
            where += f"; is {advised('separator', signs[0])} missing?"
        elif self.kind == "plain" and not self.columns and not self.text:
            where += f"; if these are no names, give them, such as {advised('columns', ['text', 'label'])}"
        asked = Columns(tuple(name for name in (self.text, self.pair) if name), self.options, self.label)
        return found_columns(names, asked, where, labelled=labelled, are_nested=self.kind != "plain")

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
        label = label_of(row[-1], columns.label, place) if columns.label else None
        if isinstance(label, Unusable):
            return label
        if not columns.options:
            return Example(tuple(texts), label, place)
        options = options_of(row[1 : 1 + len(columns.options)], columns.options, place)
        if isinstance(options, Unusable):
            return options
        answer = None if label is None else answer_of(label, options, self.first_option)
        if isinstance(answer, str):
            return Unusable("with an answer which is no option", place, answer)
        return Choices(texts[0], options, answer, place)
