"""Lines of text files, each of which knows where it stands.

A line ends with a line feed (or carriage return and line feed) and with nothing else: a line separator U+2028 or a form
feed inside a line does not end it. A byte order mark at the head of a file is dropped. Files may be compressed.
"""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from pathlib import Path

from regard.data.rows import Unusable

LONGEST_LINE = 1 << 24  # bytes; a file without line ends is found out before it fills the memory
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
COMPRESSED: dict[str, Callable[[Path], BufferedIOBase]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)


def plain_file(path: Path) -> BufferedIOBase:
    """A file as it lies there."""
    return open(path, "rb")


def opened(path: Path) -> BufferedIOBase:
    """The bytes of a file, which may be compressed."""
    return COMPRESSED.get(path.suffix.lower(), plain_file)(path)


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
        text, fault = decoded(raw, path, number)
        yield fault or text.removesuffix("\n").removesuffix("\r")


def decoded(raw: bytes, path: Path, number: int) -> tuple[str, Unusable | None]:
    """The text of a line, and what is wrong with it where it is none; signs of other bytes are replaced then."""
    try:
        return raw.decode("utf-8"), None
    except UnicodeDecodeError as error:
        what = f"byte {error.start + 1} of the line is not UTF-8 ({error.reason})"
        return raw.decode("utf-8", "replace"), Unusable("of invalid UTF-8", f"{path}:{number}", what)
