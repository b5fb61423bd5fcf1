"""`regard evaluate` of an encoder: measures on labelled examples, beside which classes are mistaken for which."""

import json
from pathlib import Path
from typing import Any

import typer


def assess_readers(
    folders: list[Path], file: str, columns: dict[str, Any], *, skip: bool, as_json: bool, device: str
) -> None:
    """Print what models with a head score on a file, or on the test or validation examples of their runs.

    Args:
        folders: of the models.
        file: labelled examples; empty for those of the runs.
        columns: of the file, where they are not those of a model's run.
        skip: whether what cannot be used is counted and passed over.
        as_json: whether JSON is printed.
        device: where the models compute.

    Raises:
        ValueError: if a model has no head, or the file is not of its task.
    """
    from regard.cli.examples import run_in, stride_of
    from regard.cli.folders import by_name
    from regard.cli.progress import progress
    from regard.data.rows import SkippedExamples
    from regard.evaluate.agreement import confusion
    from regard.evaluate.assessment import assess
    from regard.evaluate.entities import entity_scores
    from regard.evaluate.squad_files import read_threshold
    from regard.objectives.labels import LABELS
    from regard.reading.preparing import form_of, prepare
    from regard.reading.reader import Reader

    found: dict[str, Any] = {}
    for name, folder in by_name(folders).items():
        reader = Reader.load(folder).to(device)
        reader.require(*LABELS, use="be measured by labels")
        run, skipped = run_in(folder), SkippedExamples() if skip else None
        items, where = _items(folder, reader, run, file, columns, skipped)
        prepared = prepare(reader.head, items, reader.labels, form_of(reader, stride=stride_of(run)))
        with progress(len(prepared.examples.inputs), "reading") as done:
            assessment = assess(reader, prepared, items, done, threshold=read_threshold(folder))
        about: dict[str, Any] = {"examples": where, "measures": assessment.measures}
        lines = [f"{name}  ({where}: {prepared})", *([str(skipped)] if skipped else [])]
        lines += [f"{measure:<20}  {value:.4f}" for measure, value in assessment.measures.items()]
        if assessment.threshold is not None:
            about["threshold"] = assessment.threshold
            lines.append(f"no answer is given at odds of that above {assessment.threshold:.4f}, the model's threshold")
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


def _items(
    folder: Path, reader: Any, run: Any, file: str, columns: dict[str, Any], skipped: Any
) -> tuple[list[Any], str]:
    """Labelled examples, and where they are from."""
    from regard.cli.examples import described, labelled_in, validated_in
    from regard.data.sources import located
    from regard.training.labelled import items_of

    if file:
        return labelled_in(file, reader.head, reader.labels, run, columns, skipped), file
    if run is None:
        raise ValueError(f"{folder} has no run of `regard finetune` which names examples; give a file")
    if run.test is not None:
        return items_of(run.model, run.test, skipped), described(located(run.test))
    return validated_in(run, folder)
