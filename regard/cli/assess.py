"""`regard evaluate` of an encoder: measures on labelled examples, beside which classes are mistaken for which."""

import json
from pathlib import Path
from typing import Any

import typer


def assess_readers(folders: list[Path], file: str, columns: dict[str, str], as_json: bool) -> None:
    """Print what models with a head score on a file, or on the examples which their runs validated on.

    Raises:
        ValueError: if a model has no head, or the file is not of its task.
    """
    from regard.cli.folders import by_name
    from regard.cli.progress import progress
    from regard.evaluate.assessment import assess
    from regard.evaluate.metrics import confusion, entity_scores
    from regard.objectives.labels import LABELS
    from regard.reading.predicting import form_of
    from regard.reading.preparing import prepare
    from regard.reading.reader import Reader

    found: dict[str, Any] = {}
    for name, folder in by_name(folders).items():
        reader = Reader.load(folder)
        reader.require(*LABELS, use="be measured by labels")
        items, where = _items(folder, reader, file, columns)
        prepared = prepare(reader.head, items, reader.labels, form_of(reader))
        with progress(len(prepared.examples.inputs), "reading") as done:
            assessment = assess(reader, prepared, items, done)
        about: dict[str, Any] = {"examples": where, "measures": assessment.measures}
        lines = [f"{name}  ({where}: {prepared})"]
        lines += [f"{measure:<20}  {value:.4f}" for measure, value in assessment.measures.items()]
        report = None
        if reader.head == "classification":
            report = confusion(assessment.predictions, [item.label for item in items], reader.labels)
        elif reader.head == "tagging" and "entity_f1" in assessment.measures:
            report = entity_scores(assessment.predictions, [item.tags for item in items])
        if report is not None:
            about["report"] = report.as_dict()
            lines += ["", str(report)]
        found[name] = about
        if not as_json:
            typer.echo("\n".join(lines) + "\n")
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


def _items(folder: Path, reader: Any, file: str, columns: dict[str, str]) -> tuple[list[Any], str]:
    """Labelled examples, and where they are from."""
    from regard.data.sources import located
    from regard.reading.preparing import SPANS
    from regard.training.finetuning import items_of, read_items
    from regard.training.planning import source_of
    from regard.training.run import RUN_FILE, read_run

    if file:
        task = reader.head if reader.head in ("tagging", *SPANS) else ""
        source = source_of(file, task, columns)
        return items_of({"head": reader.head, "labels": reader.labels}, source), file
    if not (folder / RUN_FILE).is_file():
        raise ValueError(f"{folder} has no {RUN_FILE} which names examples; give a file")
    run = read_run(folder / RUN_FILE)
    if run.test is not None:
        return items_of(run.model, run.test), located(run.test).path
    return read_items(run)[1], f"validation examples of {run.validation.path}"
