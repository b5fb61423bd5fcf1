"""Where data are found: files of any kind, and data sets of the Hugging Face hub."""

import dataclasses
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from regard.data.lines import COMPRESSED
from regard.data.records import HUB, RECORDS


@dataclass(frozen=True)
class Source:
    """A file, or a data set of the Hugging Face hub."""

    path: str

    @property
    def kind(self) -> str:
        """One of plain, records, hub."""
        if self.path.startswith(HUB):
            return "hub"
        return "records" if suffix_of(self.path) in RECORDS else "plain"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files which are read."""
        return () if self.kind == "hub" else (Path(self.path),)

    def fingerprint(self) -> str:
        """A hash which changes when the data do, as far as that can be told without reading them.

        Of files it takes path, size and time of change; of hub data the name, not the revision.

        Raises:
            FileNotFoundError: if a file is not there.
        """
        return fingerprint_of([repr(self)], self.files)

    def require_files(self) -> None:
        """Refuse to read what is not there.

        Raises:
            FileNotFoundError: if a file is not there.
        """
        for path in self.files:
            if not path.is_file():
                raise FileNotFoundError(f"no file {path}")


def suffix_of(path: str) -> str:
    """The last suffix of a path which is not that of a compressed file, in lower case."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() not in COMPRESSED]
    return suffixes[-1] if suffixes else ""


def advised(key: str, value: str | int | list[str]) -> str:
    """How a field of a source is set, for errors: in Python, and by `regard finetune` in a shell."""
    written = shlex.quote(value if isinstance(value, str) and value.isprintable() else json.dumps(value))
    return f"{key}={value!r} (of `regard finetune`: --set train.{key}={written} or validation.{key}={written})"


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
