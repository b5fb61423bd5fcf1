"""What stores of tokenised text have in common: folders of plain arrays, built as a stream, read as they are needed.

A store is built in a folder of another name, which is renamed when all of it is on the disk: there are no half stores.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from regard.data.rows import Skipped
from regard.storage.folders import FORMAT, read_manifest

Item = TypeVar("Item")


class Store(ABC):
    """Tokenised text in a folder, with a manifest which says what is there.

    Raises:
        FileNotFoundError: if there is no store in the folder.
        ValueError: if a file of it is missing, cut short or not of its size.
    """

    counter: ClassVar[type[Skipped]] = Skipped  # of what was passed over

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder, self.check)

    @staticmethod
    @abstractmethod
    def check(manifest: dict[str, Any]) -> None:
        """Look at all which is used of a manifest, and fail where that is not as it should be."""

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """The store in this folder."""
        return cls(folder)

    @classmethod
    def found(cls, folder: str | Path, fingerprint: str) -> Self | None:
        """The store in this folder, if it was made from what has this fingerprint."""
        try:
            store = cls(folder)
        except (FileNotFoundError, ValueError):
            return None  # whatever is wrong with it, a new one takes its place
        return store if store.manifest["fingerprint"] == fingerprint else None

    @property
    def skipped(self) -> Skipped:
        """What was passed over when the store was built."""
        return self.counter(self.manifest["skipped"])

    def __reduce__(self):
        return type(self), (self.folder,)  # a worker maps the files anew instead of being sent them


def made_from(*parts: object) -> str:
    """The fingerprint of a store which is made from these."""
    return hashlib.sha256(repr((FORMAT, *parts)).encode()).hexdigest()


def chunks(items: Iterable[Item], most: int, characters: int, length: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Lists of items which are tokenised at once.

    Args:
        items: of any number.
        most: of a list.
        characters: with more a list is full.
        length: of an item, in characters.
    """
    chunk, total = [], 0
    for item in items:
        chunk.append(item)
        total += length(item)
        if len(chunk) == most or total > characters:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk
