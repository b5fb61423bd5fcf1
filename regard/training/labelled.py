"""The labelled examples of a run: those to train on, those to validate on, and whether these are still the same.

Inputs to train on lie in the run's folder. What is validated on is read anew, where it must be what it was: of a file
which was changed another share may be set apart, and a run would be measured on what it has learnt. So the folder keeps
a digest of the examples to validate on. One from before there were digests has none, and nothing is compared.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from regard.data.benchmarks import SquadFile
from regard.data.examples import Choices, TaggedWords
from regard.data.labels import LabelTask
from regard.data.rows import Skipped, SkippedExamples
from regard.data.sources import located
from regard.data.splits import split
from regard.data.squad import Question
from regard.reading.preparing import SPANS
from regard.storage.files import written_whole

VALIDATION = Path("data", "validation.json")  # in the folder of a run


def read_items(run: Any) -> tuple[list[Any], list[Any]]:
    """The examples to train on and those to validate on; where both are of one table, a share of it is set apart.

    Raises:
        ValueError: if an example cannot be used and none may be skipped, or there is nothing to validate on.
    """
    if run.validation != run.train:
        return items_of(run.model, run.train, _skipped(run)), _apart(run)
    if run.model["head"] in SPANS:
        raise ValueError("train and validation name one file; give another, or shares of it which do not overlap")
    return split(items_of(run.model, run.train, _skipped(run)), _found(run.model), run.text.share)


def validation_items(run: Any, folder: Path) -> list[Any]:
    """The examples on which the run in a folder is validated; the others are read only where these are a share of them.

    Raises:
        FileNotFoundError: if their file is gone.
        ValueError: if they are not those with which the run began.
    """
    items = _apart(run) if run.validation != run.train else read_items(run)[1]
    kept = folder / VALIDATION
    if kept.is_file() and kept.read_text(encoding="utf-8") != _digest(items):
        raise ValueError(
            f"{run.validation.path} has changed since the run in {folder} began{_why(run)}; put the file back as it "
            f"was, measure by a file which you name (regard evaluate {folder} FILE), or begin a new run"
        )
    return items


def keep_digest(items: Sequence[Any], folder: Path) -> None:
    """Keep what is needed to tell whether the examples on which a run is validated have changed."""
    with written_whole(folder / VALIDATION) as file:
        file.write(_digest(items))


def items_of(model: dict[str, Any], source: Any, skipped: Skipped | None = None) -> list[Any]:
    """The examples of a source, their labels as a run's model has them.

    Raises:
        ValueError: if a label is not one of the model's.
    """
    source = located(source)
    if isinstance(source, SquadFile):
        return source.read()
    items = list(source.read(skipped))
    return _found(model).settled(items, skipped)


def require_known(items: Sequence[Any], path: str, skipped: Skipped | None = None) -> None:
    """Refuse to validate where there is nothing to validate on.

    Args:
        items: the examples of a file.
        path: the file.
        skipped: what was passed over in it.

    Raises:
        ValueError: if there is no example, or the label of one is not known; of questions, if that of none is.
    """
    if not items:
        raise ValueError(f"{path} has no example to validate on" + (f"; {skipped}" if skipped else ""))
    unknown = [item for item in items if not _is_known(item)]
    if unknown and not isinstance(unknown[0], Question):
        raise ValueError(f"{unknown[0].place}: it has no label, and nothing can be validated on it")
    if len(unknown) == len(items):
        raise ValueError(f"{path}: none of its {len(items):,} questions says what its answer is, to validate on")


def _apart(run: Any) -> list[Any]:
    """The examples of a source which is validated on as a whole."""
    skipped = _skipped(run)
    items = items_of(run.model, run.validation, skipped)
    require_known(items, run.validation.path, skipped)
    return items


def _skipped(run: Any) -> SkippedExamples | None:
    """Where examples are counted which cannot be used; None where none may be passed over."""
    return SkippedExamples() if run.text.skip else None


def _found(model: dict[str, Any]) -> LabelTask:
    """The task of a run, as its model has it."""
    return LabelTask(model["head"], "as the run says", tuple(model.get("labels", ())))


def _is_known(item: Any) -> bool:
    """Whether it is known what is right."""
    if isinstance(item, Question):
        return item.is_labelled
    if isinstance(item, TaggedWords):
        return item.tags is not None
    return (item.answer if isinstance(item, Choices) else item.label) is not None


def _digest(items: Sequence[Any]) -> str:
    """What examples say, in a line: all of them but where they stand, so that a file may be moved."""
    digest = hashlib.sha256()
    for item in items:
        values = [getattr(item, field.name) for field in dataclasses.fields(item) if field.name != "place"]
        digest.update(repr(values).encode())
    return json.dumps({"examples": len(items), "sha256": digest.hexdigest()}) + "\n"


def _why(run: Any) -> str:
    """What comes of validating on other examples."""
    if run.validation.path == run.train.path:
        return ", and what would be set apart of it now may have been learnt"
    return ", and its measures would be of other examples"
