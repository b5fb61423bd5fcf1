"""Folders of plain arrays which are whole or not there, with a manifest which says what they hold."""

import errno
import fcntl
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.storage.files import sync_directory

FORMAT = 1
MANIFEST = "manifest.json"


@contextmanager
def folder_whole(folder: Path) -> Iterator[Path]:
    """A place beside a folder which is not there yet; it becomes that folder if the block ends well."""
    with _own_place(folder) as place:
        yield place
        os.rename(place, folder)


@contextmanager
def taken(lock: Path, *, waits: bool) -> Iterator[bool]:
    """Take what a file stands for until the block ends, or this process does; gives whether it was to be had.

    Args:
        lock: the file, which stays.
        waits: until whoever has it leaves it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))  # children do not hold it
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                yield False
                return
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # some network file systems have no locks
                raise
        yield True


def write_folder(folder: str | Path, write: Callable[[Path], dict[str, Any]], fingerprint: str) -> None:
    """Let `write` fill a folder, in place of one which is there, and add the manifest which it gives back.

    Raises:
        ValueError: if something else than such a folder stands there.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise ValueError(f"{folder} is no store, and is not overwritten; choose another folder")
    with _own_place(folder) as place:
        manifest = {"format": FORMAT, **write(place), "fingerprint": fingerprint}
        (place / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        for path in place.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        sync_directory(place)
        old = place.with_name(place.name + ".old")
        if folder.exists():
            os.rename(folder, old)
        os.rename(place, folder)
        sync_directory(folder.parent)
        shutil.rmtree(old, ignore_errors=True)


def read_manifest(folder: Path, check: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The manifest of a folder.

    Args:
        check: looks at all which will be used of it, and fails where that is not as it should be.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, or of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"no store in {folder}: it has no {MANIFEST}; build it")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']}, this version reads {FORMAT}")
        check(manifest)
        _ = manifest["fingerprint"], dict(manifest["skipped"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the manifest of a store ({error!r}); delete {folder} and build it") from error
    return manifest


def id_type(size: int) -> str:
    """The narrowest type of ids below `size`."""
    return "<u2" if size <= 1 << 16 else "<u4"


def check_id_type(type: str) -> None:
    """Refuse what `id_type` does not give."""
    if type not in ("<u2", "<u4"):
        raise ValueError(f"ids of type {type!r}")


def mapped(path: Path, type: str, count: int) -> NDArray:
    """A file as an array which is read when it is looked at.

    Raises:
        ValueError: if it is missing, or of another size.
    """
    wanted = count * np.dtype(type).itemsize
    found = path.stat().st_size if path.is_file() else None
    if found != wanted:
        is_now = "is missing" if found is None else f"has {found:,} bytes"
        raise ValueError(f"{path} {is_now}, the manifest says {wanted:,}; delete {path.parent} and build it again")
    return np.asarray(np.memmap(path, dtype=type, mode="r", shape=(count,)))


@contextmanager
def _own_place(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, which no second builder has, and which does not stay behind.

    What a killed builder left is removed first: whoever holds the lock is the only builder. The file of the lock stays.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of the open file, not of the process as in `taken`: threads build too
        for left in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial*"):
            shutil.rmtree(left, ignore_errors=True)
        place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        place.chmod(0o755)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
