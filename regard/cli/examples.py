"""Examples for an encoder with a head: of a file which a command names, or of the run in the model's folder."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regard.data.benchmarks import GluePart, SquadFile
from regard.data.examples import Example
from regard.data.glue import GLUE_TASKS
from regard.data.rows import Skipped
from regard.training.finetuning import FineTuningTask, FineTuningText
from regard.training.labelled import items_of, validation_items
from regard.training.planning import LabelledSource, carried, source_of
from regard.training.run import RUN_FILE, Run, read_run


def run_in(folder: Path) -> Run | None:
    """The run of fine-tuning whose folder this is; None for another model directory."""
    if not (folder / RUN_FILE).is_file():
        return None
    run = read_run(folder / RUN_FILE)
    return run if run.task is FineTuningTask else None


def stride_of(run: Run | None) -> int:
    """Tokens between the starts of two windows of a context, as the run of a model has them."""
    text = FineTuningText() if run is None else run.text
    assert isinstance(text, FineTuningText)
    return text.stride


def source_in(file: str, head: str, run: Run | None, columns: Mapping[str, Any] | None = None) -> LabelledSource:
    """Where the examples of a file are found.

    Args:
        file: or hub data.
        head: of the model which reads them.
        run: of the model; its columns are those of the file, each where no other is given.
        columns: by their names in `Table`; those which are empty are not given.

    Raises:
        ValueError: if the file is not of a kind which the head reads.
    """
    given = {name: value for name, value in (columns or {}).items() if value}
    return source_of(file, head, {**({} if run is None else carried(run.train, file)), **given})


def require_alike(items: Sequence[Any], run: Run | None, file: str) -> None:
    """Refuse pairs of a file where a model was tuned on single texts, and single texts where it was on pairs.

    Raises:
        ValueError: if they are not what the run had.
    """
    texts = _texts_of(run)
    if items and isinstance(items[0], Example) and texts not in (0, len(items[0].texts)):
        found, wanted = (("pairs", "single texts")[count == 1] for count in (len(items[0].texts), texts))
        raise ValueError(
            f"{file} is read as {found}, and the model was tuned on {wanted}; name the column of the text"
            f"{' and of its pair' * (texts == 2)}"
        )


def _texts_of(run: Run | None) -> int:
    """How many texts an example of a run has; 0 where nobody says."""
    if run is None:
        return 0
    if isinstance(run.train, GluePart):
        return len(GLUE_TASKS[run.train.task].files["train"].layout.texts)
    return bool(getattr(run.train, "text", "")) + bool(getattr(run.train, "pair", ""))


def labelled_in(
    file: str,
    head: str,
    labels: Sequence[str],
    run: Run | None,
    columns: Mapping[str, Any] | None = None,
    skipped: Skipped | None = None,
) -> list[Any]:
    """The labelled examples of a file, with labels as the model has them; see `source_in`.

    Raises:
        ValueError: if a row cannot be used, or a label is not one of the model's, and nothing may be skipped; or if no
            example is left.
    """
    items = items_of({"head": head, "labels": labels}, source_in(file, head, run, columns), skipped)
    require_alike(items, run, file)
    if not items:
        raise ValueError(f"{file} has no example to measure by" + (f"; {skipped}" if skipped else ""))
    return items


def validated_in(run: Run, folder: Path) -> tuple[list[Any], str]:
    """The examples on which the run in a folder was validated, and where they are from.

    Raises:
        ValueError: if its file has others now.
    """
    place = described(run.validation)
    return validation_items(run, folder), f"validation examples, {'a share of ' * (run.validation == run.train)}{place}"


def described(source: Any) -> str:
    """Where examples are found, in words."""
    plain = {field.name: field.default for field in dataclasses.fields(source)}
    names = ("task", "subset", "split")
    parts = [str(getattr(source, name)) for name in names if name in plain and getattr(source, name) != plain[name]]
    if isinstance(source, SquadFile) and source.share != (0.0, 1.0):
        parts.append("from {:.0%} to {:.0%} of the questions".format(*source.share))
    return f"{source.path} ({', '.join(parts)})" if parts else str(source.path)


def inputs_of(head: str, texts: Sequence[str], pairs: Sequence[str]) -> list[Any]:
    """What a head reads of `--text` and `--pair`: texts, pairs of texts, or a text with its options.

    Raises:
        ValueError: if they do not go together.
    """
    if head == "choice":
        if len(texts) != 1 or len(pairs) < 2:
            raise ValueError(
                "this model chooses among options: give one --text, and each option as --pair, got "
                f"{len(texts)} and {len(pairs)}"
            )
        return [(texts[0], list(pairs))]
    if not pairs:
        return list(texts)
    if len(pairs) != len(texts):
        raise ValueError(f"each --text needs its --pair, got {len(texts)} and {len(pairs)}")
    return list(zip(texts, pairs, strict=True))
