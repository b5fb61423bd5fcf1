"""Folders of models and of runs: what they are called side by side, and where a new run may be."""

from pathlib import Path
from typing import Any


def require_room(out: Path, *, is_folder: bool) -> None:
    """Refuse to write a folder where a file stands, a file where a folder stands, and either below a file.

    Raises:
        ValueError: if that is so.
    """
    if out.exists() and out.is_dir() != is_folder:
        raise ValueError(f"{out} is a {'file' if is_folder else 'folder'}; choose another --out")
    for above in out.parents:
        if above.exists() and not above.is_dir():
            raise ValueError(f"{out} lies below {above}, which is a file; choose another --out")


def require_free(out: Path) -> None:
    """Refuse to begin a run where no folder can be, or where a model lies which no run has made and would be lost.

    Raises:
        ValueError: if that is so.
    """
    require_room(out, is_folder=True)
    from regard.models.directory import CONFIG, WEIGHTS
    from regard.training.run import RUN_FILE

    if not (out / RUN_FILE).is_file() and ((out / CONFIG).is_file() or (out / WEIGHTS).is_file()):
        raise ValueError(f"{out} holds a model which would be written over; choose another --out")


def is_done(run: Any, folder: Path) -> bool:
    """Whether a run has made all of its steps."""
    from regard.training.checkpoint import checkpoints

    found = checkpoints(folder / "checkpoints")
    return bool(found) and int(found[-1].name.rpartition("-")[2]) >= run.plan.steps


def by_name(folders: list[Path]) -> dict[str, Path]:
    """Each folder under its last name; under its whole path where another has that name already."""
    named: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        named[name if name not in named else str(folder)] = folder
    return named
