"""Parallel text as a stream of pairs, each of which knows where it stands.

Spaces at the ends of a sentence are dropped. Files of different length are an error always, whatever may be skipped,
since nobody can say which of their lines belong together.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from regard.data.dates import SPLITS, dates
from regard.data.lines import lines_of
from regard.data.records import HUB, RECORDS, text_rows
from regard.data.rows import Skipped, Unusable, empty
from regard.data.sources import Source, fingerprint_of, suffix_of

TABLES = (".tsv", ".tab")
DATES = "dates"


class Pair(NamedTuple):
    """A source, a target, and where they stand."""

    source: str
    target: str
    file: str = ""
    line: int = 0  # counted from 1

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file or 'pair'}:{self.line}"


@dataclass(frozen=True)
class ParallelText(Source):
    """Where parallel text is found.

    Two plain files: `ParallelText("train.de", "train.en")`. A table: `ParallelText("train.tsv", columns=("1", "2"))`
    takes columns by number, counted from 1, from a file without a header, and by name from one with. JSON Lines and
    Parquet: `ParallelText("train.jsonl", columns=("de", "en"))`; a dot enters an inner object (`translation.de`). The
    Hugging Face hub: `ParallelText("hub:bentrevett/multi30k", columns=("de", "en"))`. The embedded corpus:
    `ParallelText("dates", count=100_000, seed=1)`. Files may be compressed (.gz, .bz2, .xz).

    Raises:
        ValueError: if the fields do not say one of these.
    """

    target_path: str = ""
    columns: tuple[str, str] | tuple[()] = ()
    split: str = "train"  # of hub data and of dates
    subset: str = ""  # a hub data set's configuration
    longest: int = 10_000  # characters of one side
    count: int = 0  # of dates, where it must be given; elsewhere the first so many pairs, 0 for all
    seed: int = 0  # of dates

    def __post_init__(self):
        if isinstance(self.columns, str):
            raise ValueError(f"columns must be two names, got {self.columns!r}")
        object.__setattr__(self, "columns", tuple(str(column) for column in self.columns))  # a TOML file has lists
        if not self.path:
            raise ValueError("path must name a file, hub:OWNER/NAME or dates, got nothing")
        if self.longest < 1:
            raise ValueError(f"longest must be 1 or more characters, got {self.longest}")
        if self.count < 0 or self.seed < 0:
            raise ValueError(f"count and seed must not be negative, got {self.count} and {self.seed}")
        if self.kind == "plain":
            if not self.target_path:
                raise ValueError(
                    f"a plain file needs the other side's in target_path, got {self.path!r} alone; a file with both "
                    f"sides must end in {', '.join(TABLES + RECORDS)}"
                )
            if self.columns:
                raise ValueError(f"two plain files have no columns, got columns={self.columns}")
        elif self.target_path:
            raise ValueError(f"target_path goes with a plain file, got path={self.path!r}")
        elif self.kind == DATES:
            if self.columns:
                raise ValueError(f"dates have no columns, got columns={self.columns}")
            if not self.count:
                raise ValueError("dates need count, the number of examples, got none")
            if self.split not in SPLITS:
                raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {self.split!r}")
        elif len(self.columns) != 2 or not all(self.columns):
            raise ValueError(f"{self.path} needs two columns, of the source and of the target, got {self.columns}")
        elif self.kind == "table" and "0" in self.columns:
            raise ValueError(f"columns are counted from 1, got {self.columns}")

    @property
    def kind(self) -> str:
        """One of plain, table, records, hub, dates."""
        if self.path == DATES:
            return DATES
        if self.path.startswith(HUB):
            return "hub"
        if self.target_path:
            return "plain"
        last = suffix_of(self.path)
        return "table" if last in TABLES else "records" if last in RECORDS else "plain"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files which are read."""
        if self.kind in ("hub", DATES):
            return ()
        return tuple(Path(path) for path in (self.path, self.target_path) if path)

    def read(self, skipped: Skipped | None = None) -> Iterator[Pair]:
        """Every pair, in order; with `skipped`, unusable ones are counted there and passed over.

        Raises:
            FileNotFoundError: if a file is not there.
            ValueError: if a line cannot be used and nothing may be skipped, or the sides differ in length.
        """
        if self.kind == DATES:
            examples = dates(self.split, self.count, self.seed)
            return (Pair(source, target, DATES, number) for number, (source, target) in enumerate(examples, 1))
        self.require_files()
        rows = {"plain": self._plain, "table": self._table}.get(self.kind, self._records)
        usable = self._usable(rows(), skipped)
        return islice(usable, self.count) if self.count else usable

    def fingerprint(self) -> str:
        """A hash which changes when the text does, as far as that can be told without reading it.

        Of files it takes path, size and time of change; of hub data the name, not the revision; of dates the version of
        Babel.
        """
        about: list[object] = [repr(self)]
        if self.kind == DATES:
            from importlib.metadata import version

            about.append(version("babel"))
        return fingerprint_of(about, self.files)

    def _usable(self, rows: "Iterable[Pair | Unusable]", skipped: Skipped | None) -> Iterator[Pair]:
        """Pairs with two sides of a sensible length; others are counted or raised."""
        for row in rows:
            if isinstance(row, Unusable):
                row.count_or_raise(skipped)
                continue
            pair = row._replace(source=row.source.strip(), target=row.target.strip())
            fault = self._fault(pair)
            if fault is None:
                yield pair
            else:
                fault.count_or_raise(skipped)

    def _fault(self, pair: Pair) -> Unusable | None:
        """Why a pair cannot be used, or None."""
        for side, text in (("source", pair.source), ("target", pair.target)):
            if not text:
                return Unusable(f"with an empty {side}", pair.place, f"the {side} is empty")
            if len(text) > self.longest:
                what = f"the {side} has {len(text):,} characters, more than longest={self.longest:,}"
                return Unusable(f"with an overlong {side}", pair.place, what)
        return None

    def _plain(self) -> "Iterator[Pair | Unusable]":
        """The lines of two files, side by side."""
        sources, targets = (lines_of(path) for path in self.files)
        number = 0
        while True:
            number += 1
            source, target = next(sources, None), next(targets, None)
            if source is None and target is None:
                return
            if source is None or target is None:
                short, long = self.files if source is None else self.files[::-1]
                raise ValueError(
                    f"{short}:{number}: the file ends after {number - 1:,} lines, but {long} goes on; the two must "
                    "have the same number of lines"
                )
            for line in (source, target):
                if isinstance(line, Unusable):
                    yield line
                    break
            else:
                yield Pair(str(source), str(target), self.path, number)

    def _table(self) -> "Iterator[Pair | Unusable]":
        """Two columns of a file with tabs between; quotes are letters like others."""
        lines = enumerate(lines_of(self.files[0]), 1)
        if all(column.isdecimal() for column in self.columns):
            places = [int(column) - 1 for column in self.columns]
        else:
            header = next(lines, (1, ""))[1]
            if isinstance(header, Unusable):
                raise header
            names = header.split("\t")
            missing = [column for column in self.columns if column not in names]
            if missing:
                raise ValueError(f"{self.path}:1: no column {missing[0]!r}; the header has {', '.join(names)}")
            places = [names.index(column) for column in self.columns]
        for number, line in lines:
            if isinstance(line, Unusable) or not line.strip():
                yield line if isinstance(line, Unusable) else empty(f"{self.path}:{number}")
                continue
            cells = line.split("\t")
            if len(cells) <= max(places):
                what = f"column {max(places) + 1} is missing, the line has {len(cells)}"
                yield Unusable("with a missing column", f"{self.path}:{number}", what)
            else:
                yield Pair(cells[places[0]], cells[places[1]], self.path, number)

    def _records(self) -> "Iterator[Pair | Unusable]":
        """Two entries of each row of a JSON Lines or Parquet file, or of a data set of the Hugging Face hub."""
        for file, number, row in text_rows(self.path, self.subset, self.split, self.columns):
            yield row if isinstance(row, Unusable) else Pair(row[0], row[1], file, number)
