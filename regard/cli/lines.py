"""Lines of text in, from files and from a stream."""

import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def read_lines(path: Path) -> list[str]:
    """The lines of a text file; standard input for `-`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line is not UTF-8; names it.
    """
    if str(path) == "-":
        return list(decoded(sys.stdin.buffer, "standard input"))
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    with open(path, "rb") as file:
        return list(decoded(file, str(path)))


def decoded(file: BinaryIO, name: str) -> Iterator[str]:
    """Lines as they come, without their ends."""
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{name}:{number}: the line is not UTF-8 ({error.reason} at byte {error.start})"
            ) from error


def as_they_come(lines: Iterator[str], at_most: int) -> Iterator[list[str]]:
    """Groups of lines: those which are there by now, but `at_most`; never waits for a second line."""
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(4 * at_most)

    def read() -> None:
        """Move lines into the queue, and last what ended them."""
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except BaseException as error:
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    ended: BaseException | None = None
    is_over = False
    while not is_over:
        group: list[str] = []
        item = waiting.get()
        while True:
            if not isinstance(item, str):
                ended, is_over = item, True
                break
            group.append(item)
            if len(group) == at_most:
                break
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                break
        if group:
            yield group
    if ended is not None:
        raise ended
