"""Delimited files: rows of cells with a separator between them, with quotes as RFC 4180 has them or without.

A cell which begins with a quote ends at the next one, may hold separators and line ends, and holds a quote as two. A
quote in a cell which does not begin with one is a letter like others, and so are all quotes of a file which is read
without them; `has_quotes` tells which one it is.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from regard.data.lines import LONGEST_LINE, decoded, raw_lines
from regard.data.rows import Unusable

LONGEST_ROW = LONGEST_LINE  # bytes, about: a quote which is never closed is found out before it fills the memory
WRONG_QUOTE = "with a wrong quote"
_INSIDE_QUOTES = re.compile(r'[^"]*+(?:""[^"]*+)*+')
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
            text, fault = decoded(raw, path, number)
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
    text, fault = decoded(raw, path, number)
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
            line = following() if size <= LONGEST_ROW else None
            if line is None:
                return wrong("no quote closes the cell")
            further.append(line)
            number_there, more = line
            if isinstance(more, Unusable):
                return more, further
            text, fault_there = decoded(more, path, number_there)
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
