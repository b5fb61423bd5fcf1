"""What a report says of a run which was fine-tuned: its plan, how it went, and what its model makes of examples."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regard.cli.examples import described, labelled_in, run_in, stride_of, validated_in
from regard.cli.findings import Findings, findings
from regard.cli.progress import progress
from regard.data.labels import OF_NUMBERS
from regard.data.rows import SkippedExamples
from regard.evaluate.assessment import Assessment, assess
from regard.evaluate.curves import SMOOTHED, smoothed
from regard.evaluate.metrics import spelled
from regard.evaluate.squad_files import read_threshold
from regard.models.parameters import plain_weights
from regard.reading.preparing import SPANS, Prepared, form_of, prepare
from regard.reading.reader import Reader
from regard.storage.weights import read_tensors
from regard.training.checkpoint import checkpoints, read_state
from regard.training.finetuning import TRAIN
from regard.training.log import MEASURES, read_measures
from regard.training.run import RUN_FILE, Run
from regard.visualise import inputs
from regard.visualise.charts import Chart, Curve
from regard.visualise.maps import Example as Picture
from regard.visualise.report import Report, write_report

PICTURES = 10  # examples whose attention is kept


def report_run(
    folder: str | Path,
    out: str | Path,
    file: str = "",
    columns: Mapping[str, Any] | None = None,
    *,
    skip: bool = False,
    worst: int = 200,
    device: torch.device | str = "cpu",
) -> Path:
    """Write the report of a run.

    Args:
        folder: of a run of fine-tuning.
        out: an HTML file.
        file: labelled examples; without, those on which the run was validated.
        columns: of the file, each where it is not that of the run, by their names in `Table`.
        skip: whether what cannot be used in the file is counted and passed over; it is where the run does so.
        worst: examples which are listed, at most.
        device: where the model computes.

    Raises:
        FileNotFoundError: if the folder holds no run, or no model yet.
        ValueError: if the run is of another kind, or the examples are not of its task.
    """
    folder = Path(folder)
    if worst < 1:
        raise ValueError(f"worst must be 1 or more, got {worst}")
    run = _run(folder)
    reader, stride = Reader.load(folder).to(device), stride_of(run)
    if file:
        skipped = SkippedExamples() if skip or run.text.skip else None
        items, where = labelled_in(file, reader.head, reader.labels, run, columns, skipped), file
        where += f"; {skipped}" if skipped else ""
    else:
        items, where = validated_in(run, folder)
    prepared = prepare(reader.head, items, reader.labels, form_of(reader, stride=stride))
    with progress(len(prepared.examples.inputs), "reading") as done:
        assessment = assess(reader, prepared, items, done, threshold=read_threshold(folder))
    found = findings(reader, prepared, items, assessment)
    order = np.argsort(-np.array(assessment.losses), kind="stable")[:worst].tolist()
    noun = "questions" if reader.head in SPANS else "examples"
    report = Report(
        title=f"Report of {folder.resolve().name}",
        summary=f"{run.model['kind']}, {reader.head}; measured on {len(items):,} {noun}: {where}",
        measures=_measures(reader.head, assessment),
        about=_about(run, folder, reader, prepared, where),
        charts=_charts(read_measures(folder / MEASURES) if (folder / MEASURES).is_file() else []),
        cases=tuple(found.case(number) for number in order),
        examples=len(items),
        unit="squared error" if reader.head in OF_NUMBERS else "nats",
        **found.parts,
    )
    return write_report(out, report, _pictures(reader, stride, found, order[:PICTURES]))


def _run(folder: Path) -> Run:
    """The run in a folder.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it does not fine-tune.
    """
    if not (folder / RUN_FILE).is_file():
        raise FileNotFoundError(
            f"{folder} holds no run: it has no {RUN_FILE}; a report is of what `regard finetune` made"
        )
    run = run_in(folder)
    if run is None:
        raise ValueError(f"{folder} holds a run which is no fine-tuning, and has no report; `regard curves` draws it")
    return run


def _pictures(reader: Reader, stride: int, found: Findings, chosen: Sequence[int]) -> Iterator[Picture]:
    """The attention of some examples, made one at a time."""
    options = {"stride": stride} if reader.head in SPANS else {}
    for number in chosen:
        pictures = list(inputs.examples(reader, [found.asked(number)], **options))
        yield pictures[found.shown(number)]


def _measures(head: str, assessment: Assessment) -> tuple[tuple[str, str], ...]:
    """Measures in words: those of questions are in per cent, and nats of numbers are their squared error."""
    said = []
    for name, value in assessment.measures.items():
        if name == "nats" and head not in OF_NUMBERS:
            said.append(("loss, nats", f"{value:.4f}"))
        elif name != "nats":
            said.append((spelled(name), f"{value:.2f} %" if head in SPANS else f"{value:.4f}"))
    if assessment.threshold is not None:
        said.append(("threshold of no answer", f"{assessment.threshold:.4f}"))
    return tuple(said)


def _charts(lines: Sequence[Mapping[str, float]]) -> tuple[Chart, ...]:
    """Loss in training and validation, and each measure of the validation examples."""
    steps = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    by_name: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        for name, value in line.items():
            if name.startswith("validation_"):
                by_name.setdefault(name.removeprefix("validation_"), []).append((line["step"], value))
    curves = []
    if steps:
        places, losses = zip(*steps, strict=True)
        width = min(SMOOTHED, len(losses) // 4)
        if width > 1:
            curves.append(Curve("training, as noted", tuple(steps), is_faint=True))
            losses = smoothed(losses, width)
        name = f"training{f', mean of {width} neighbours' if width > 1 else ''}"
        curves.append(Curve(name, tuple(zip(places, losses, strict=True))))
    if "nats" in by_name:
        curves.append(Curve("validation", tuple(by_name.pop("nats"))))
    charts = [Chart("loss", tuple(curves))] if curves else []
    return (*charts, *(Chart(spelled(name), (Curve(spelled(name), tuple(own)),)) for name, own in by_name.items()))


Values = tuple[tuple[str, str], ...]


def _about(run: Run, folder: Path, reader: Reader, prepared: Prepared, where: str) -> tuple[tuple[str, Values], ...]:
    """The model, the data, the settings and the course of a run, in words."""
    model, plan = dict(run.model), run.plan
    parameters = sum(tensor.numel() for tensor in plain_weights(reader.model).values())
    classes = reader.labels
    listed = ", ".join(classes[:8]) + (f" and {len(classes) - 8} more" if len(classes) > 8 else "")
    shape = ", ".join(f"{name} {model[name]}" for name in ("depth", "width", "heads", "hidden") if name in model)
    about_model = [
        ("kind", model["kind"]),
        ("head", reader.head),
        ("from", model.get("from", "")),
        ("parameters", f"{parameters:,}"),
        ("sizes", shape),
        ("classes", listed),
    ]
    train = folder / "data" / TRAIN
    inputs_trained = f"{len(read_tensors(train)['starts']) - 1:,}" if train.is_file() else ""
    about_data = [
        ("training", described(run.train)),
        ("inputs of it", inputs_trained),
        ("measured on", where),
        ("examples of it", str(prepared)),
    ]
    names = [one.name for one in dataclasses.fields(plan)]
    defaults = type(plan)()
    always = ("steps", "examples", "rate", "warmup", "schedule", "optimiser", "decay", "seed", "precision", "best")
    settings = [(name, _said(getattr(plan, name))) for name in always]
    others = [name for name in names if name not in always and getattr(plan, name) != getattr(defaults, name)]
    settings += [(name.replace("_", " "), _said(getattr(plan, name))) for name in others]
    settings.insert(0, ("longest input", f"{reader.longest} tokens"))
    parts = [
        ("Model", about_model),
        ("Data", about_data),
        ("Settings", settings),
        ("Course", _course(folder, is_asked=reader.head in SPANS)),
    ]
    return tuple(
        (name, tuple((key, value) for key, value in values if value))
        for name, values in parts
        if any(value for _, value in values)
    )


def _course(folder: Path, *, is_asked: bool) -> list[tuple[str, str]]:
    """How far the run went, and how long it took."""
    found = checkpoints(folder / "checkpoints")
    if not found:
        return []
    state = read_state(found[-1])
    seconds, seen = float(state["seconds"]), int(state["tokens"])
    return [
        ("steps", f"{state['step']:,}, the best after {state['best_step']:,}"),
        ("seconds of updates", f"{seconds:,.0f}"),
        (f"{'windows' if is_asked else 'examples'} a second", f"{seen / seconds:,.1f}" if seconds else ""),
    ]


def _said(value: Any) -> str:
    """A setting in words."""
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
