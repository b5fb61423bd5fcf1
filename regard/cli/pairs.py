"""Sentences with their reference translations, from files or from what a run names."""

from pathlib import Path
from typing import Literal

from regard.cli.lines import read_lines


def read_pairs(
    folders: list[Path], source: Path | None, target: Path | None, *, part: Literal["validation", "test"]
) -> tuple[list[str], list[str], list[str]]:
    """Sources, references, and where they came from; without files, the part which the runs in `folders` name.

    Raises:
        ValueError: if one file is missing or they differ in length, and if the runs name no such part or not the same.
    """
    if (source is None) != (target is None):
        raise ValueError(f"give both --source and --target, or neither for the run's own {part} set")
    if source is None or target is None:
        return _named_by_runs(folders, part)
    return *read_both(source, target), [f"{source}, {target}"]


def read_both(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """The lines of two files, each of which has a counterpart in the other.

    Raises:
        ValueError: if the files differ in length.
    """
    sources, references = read_lines(source), read_lines(target)
    if len(sources) != len(references):
        raise ValueError(f"{source} has {len(sources)} lines, but {target} has {len(references)}")
    return sources, references


def _named_by_runs(folders: list[Path], part: str) -> tuple[list[str], list[str], list[str]]:
    """The part which the first folder's run names; all must name the same."""
    from regard.data.rows import Skipped
    from regard.data.sources import located
    from regard.training.run import RUN_FILE, read_run

    runs = []
    for folder in folders:
        if not (folder / RUN_FILE).is_file():
            raise ValueError(f"{folder} has no {RUN_FILE}; give --source and --target")
        runs.append(read_run(folder / RUN_FILE))
    text = getattr(runs[0], part)
    if text is None:
        raise ValueError(f"the run in {folders[0]} names no {part} set; give --source and --target")
    if any(getattr(run, part) != text for run in runs):
        raise ValueError(f"the runs name different {part} sets; give --source and --target")
    if len({run.text.skip for run in runs}) > 1:
        raise ValueError("the runs differ in text.skip, so that their sets may too; give --source and --target")
    pairs = list(located(text).read(Skipped() if runs[0].text.skip else None))  # as the run itself reads them
    return [pair.source for pair in pairs], [pair.target for pair in pairs], [text.path, text.target_path]
