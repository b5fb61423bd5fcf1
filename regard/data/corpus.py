"""Running text as a stream of documents, each of which knows where it stands."""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from regard.data.lines import COMPRESSED, UNREADABLE, lines_of, opened
from regard.data.records import text_rows
from regard.data.rows import Skipped, Unusable, usable
from regard.data.sources import Source

PIECE = 1 << 16  # characters of a long document which are handed on together
FURTHER = 1 << 20  # characters within which a place to cut is looked for
DIVISIONS = ("file", "lines", "paragraphs")
_CONTINUATION = bytes(range(0x80, 0xC0))  # which no character of UTF-8 begins with
_BREAK = re.compile(r"(?<=\S)(?=\s)")  # words, and the spaces which lead them, stay whole


class Piece(NamedTuple):
    """A document, or a part of a long one."""

    text: str
    file: str
    line: int  # where it begins, counted from 1
    ends: bool = True  # whether the document ends here

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Corpus(Source):
    """Where running text is found.

    A plain file is one document (`Corpus("input.txt")`), or each of its lines is one (`documents="lines"`, the empty
    ones too, as in Penn Treebank and WikiText), or each run of lines between empty ones (`documents="paragraphs"`).
    JSON Lines and Parquet hold a document a row: `Corpus("news.jsonl", column="text")`; a dot enters an inner object.
    So do data sets of the Hugging Face hub: `Corpus("hub:Salesforce/wikitext", subset="wikitext-2-raw-v1",
    column="text")`. Files may be compressed (.gz, .bz2, .xz), Parquet aside.

    Raises:
        ValueError: if the fields do not say one of these.
    """

    documents: str = "file"  # of a plain file: file, lines or paragraphs
    share: tuple[float, float] = (0.0, 1.0)  # of a plain file's bytes: from where to where it is read
    column: str = ""  # of other files and of hub data
    split: str = "train"  # of hub data
    subset: str = ""  # a hub data set's configuration
    count: int = 0  # the first so many documents; 0 for all

    def __post_init__(self):
        object.__setattr__(self, "share", tuple(float(x) for x in self.share))  # a TOML file has lists
        if not self.path:
            raise ValueError("path must name a file or hub:OWNER/NAME, got nothing")
        if self.documents not in DIVISIONS:
            raise ValueError(f"documents must be one of {', '.join(DIVISIONS)}, got {self.documents!r}")
        if len(self.share) != 2 or not 0.0 <= self.share[0] < self.share[1] <= 1.0:
            raise ValueError(f"share must ascend within 0 and 1, got {list(self.share)}")
        if self.count < 0:
            raise ValueError(f"count must not be negative, got {self.count}")
        if self.kind == "plain":
            if self.column:
                raise ValueError(f"a plain file has no columns, got column={self.column!r} for {self.path}")
            if self.share != (0.0, 1.0) and Path(self.path).suffix.lower() in COMPRESSED:
                raise ValueError(f"{self.path} is compressed, and no share of its bytes can be told; unpack it first")
        elif not self.column:
            raise ValueError(f"{self.path} needs column, the name of the one which holds the text")
        elif self.documents != "file" or self.share != (0.0, 1.0):
            raise ValueError(f"{self.path} has a document a row; documents and share are of plain files")

    def read(self, skipped: Skipped | None = None) -> Iterator[Piece]:
        """Every document, in order, long ones in pieces; with `skipped`, unusable ones are counted and passed over.

        The pieces of a document are it, end to end. They are cut where a space follows what is none.

        Raises:
            FileNotFoundError: if a file is not there.
            ValueError: if something cannot be used and nothing may be skipped.
        """
        self.require_files()
        if self.kind == "plain":
            read = {"file": self._file, "lines": self._lines, "paragraphs": self._paragraphs}[self.documents]
        else:
            read = self._rows
        found = usable(read(), skipped)
        return _first(found, self.count) if self.count else found

    def _rows(self) -> Iterator[Piece | Unusable]:
        """A document a row."""
        for file, number, row in text_rows(self.path, self.subset, self.split, [self.column]):
            if isinstance(row, Unusable):
                yield row
            elif not row[0].strip():
                yield Unusable("without text", f"{file}:{number}", f"column {self.column!r} is empty")
            else:
                yield from _pieces([row[0]], file, number)

    def _lines(self) -> Iterator[Piece | Unusable]:
        """A document a line."""
        for number, line in self._shared_lines():
            if isinstance(line, Unusable):
                yield line
            else:
                yield from _pieces([line], self.path, number)

    def _paragraphs(self) -> Iterator[Piece | Unusable]:
        """A document from one empty line to the next."""
        held: list[str] = []
        began = 1
        for number, line in self._shared_lines():
            if isinstance(line, Unusable):
                yield line
            elif line.strip():
                began = began if held else number
                held.append(line)
            elif held:
                yield from _pieces(["\n".join(held)], self.path, began)
                held = []
        if held:
            yield from _pieces(["\n".join(held)], self.path, began)

    def _file(self) -> Iterator[Piece | Unusable]:
        """The file as one document; it does not end where its share does."""
        return _pieces(self._decoded(), self.path, 1, ends=self.share[1] == 1.0)

    def _bounds(self) -> tuple[int, int]:
        """The bytes of the share, from the beginning of a character to that of another."""
        path = self.files[0]
        size = path.stat().st_size
        with open(path, "rb") as file:
            places = []
            for share in self.share:
                place = file.seek(int(size * share))
                inside = file.read(4)
                places.append(place + len(inside) - len(inside.lstrip(_CONTINUATION)))
        return places[0], places[1]

    def _shared_lines(self) -> Iterator[tuple[int, str | Unusable]]:
        """The lines which begin inside the share, numbered as in the file."""
        lines = enumerate(lines_of(self.files[0]), 1)
        if self.share == (0.0, 1.0):
            yield from lines
            return
        (first, last), place = self._bounds(), 0
        with open(self.files[0], "rb") as file:
            for raw, line in zip(file, lines, strict=False):
                if place >= last:
                    return
                if place >= first:
                    yield line
                place += len(raw)

    def _decoded(self) -> Iterator[str]:
        """The text of the share, as it is read."""
        path, line, first, left = self.files[0], 1, 0, None
        if self.share != (0.0, 1.0):
            first, last = self._bounds()
            left = last - first
        decoder = codecs.getincrementaldecoder("utf-8" if first else "utf-8-sig")()
        try:
            with opened(path) as file:
                file.seek(first)
                while raw := file.read(PIECE if left is None else min(PIECE, left)):
                    left = None if left is None else left - len(raw)
                    text = decoder.decode(raw)
                    line += text.count("\n")
                    yield text
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            part = " of its share" if first else ""
            raise ValueError(f"{path}:{line}{part}: this is not UTF-8 ({error.reason})") from error
        except UNREADABLE as error:
            raise ValueError(f"{path}:{line}: the file cannot be read ({error})") from error


def _first(found: Iterable[Piece], count: int) -> Iterator[Piece]:
    """The pieces of the first documents."""
    for piece in found:
        yield piece
        count -= piece.ends
        if not count:
            return


def _pieces(texts: Iterable[str], file: str, line: int, *, ends: bool = True) -> Iterator[Piece]:
    """A document which comes in parts, cut anew into pieces."""
    held = ""
    for text in texts:
        held += text
        while len(held) > 2 * PIECE:
            cut = _BREAK.search(held, PIECE)
            if cut is None and len(held) < FURTHER:
                break
            place = cut.start() if cut else len(held)
            yield Piece(held[:place], file, line, ends=False)
            line += held.count("\n", 0, place)
            held = held[place:]
    yield Piece(held, file, line, ends)
