"""What folders are called where several are compared."""

from pathlib import Path


def by_name(folders: list[Path]) -> dict[str, Path]:
    """Each folder under its last name; under its whole path where another has that name already."""
    named: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        named[name if name not in named else str(folder)] = folder
    return named
