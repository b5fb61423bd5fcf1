"""What a report says of a run which was fine-tuned: its plan, how it went, and what its model makes of examples."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from regard.cli.progress import progress
from regard.data.benchmarks import SquadFile
from regard.data.examples import Choices, Example, TaggedWords
from regard.data.rows import SkippedExamples
from regard.data.squad import Question
from regard.decoding.spans import decide
from regard.evaluate.assessment import Assessment, assess, span_nats
from regard.evaluate.curves import SMOOTHED, smoothed
from regard.evaluate.metrics import Agreement, confusion, entities, entity_scores, spelled
from regard.evaluate.squad import exact, f1, of_question
from regard.models.saved import plain_weights
from regard.reading.answering import find
from regard.reading.predicting import form_of
from regard.reading.preparing import SPANS, Prepared, prepare
from regard.reading.reader import Reader
from regard.storage.weights import read_tensors
from regard.training.checkpoint import checkpoints, read_state
from regard.training.finetuning import TRAIN, FineTuningTask, FineTuningText, items_of, read_items
from regard.training.log import MEASURES, read_measures
from regard.training.planning import source_of
from regard.training.run import RUN_FILE, Run, read_run
from regard.visualise import inputs
from regard.visualise.charts import Chart, Curve
from regard.visualise.maps import Example as Picture
from regard.visualise.report import Case, Confusions, Counted, Length, Report, Stretch, write_report

PICTURES = 10  # examples whose attention is kept
COLUMNS = (
    "text",
    "pair",
    "label",
    "options",
    "first_option",
    "words",
    "tags",
)  # of a source, which another file shares
LENGTHS = ((0, "none"), (1, "1"), (2, "2"), (3, "3"), (5, "4–5"), (9, "6–9"), (10**9, "10+"))  # words, up to so many
ANSWERED, UNANSWERED = "an answer", "no answer"


@dataclass(frozen=True)
class Findings:
    """What a model makes of examples, each called by its number.

    Args:
        losses: of all.
        case: an example with what was predicted.
        asked: what the model was given, for its picture.
        shown: which of the pictures of that is of what it predicted.
        parts: fields of the report which the task adds.
    """

    losses: Sequence[float]
    case: Callable[[int], Case]
    asked: Callable[[int], Any]
    shown: Callable[[int], int] = lambda number: 0
    parts: Mapping[str, Any] = field(default_factory=dict)


def report_run(folder: str | Path, out: str | Path, file: str = "", *, worst: int = 200) -> Path:
    """Write the report of a run.

    Args:
        folder: of a run of fine-tuning.
        out: an HTML file.
        file: labelled examples; without, those on which the run was validated.
        worst: examples which are listed, at most.

    Raises:
        FileNotFoundError: if the folder holds no run, or no model yet.
        ValueError: if the run is of another kind, or the examples are not of its task.
    """
    folder = Path(folder)
    if worst < 1:
        raise ValueError(f"worst must be 1 or more, got {worst}")
    run, text = _run(folder)
    reader = Reader.load(folder)
    items, where = _items(run, text, file)
    prepared = prepare(reader.head, items, reader.labels, form_of(reader, stride=text.stride))
    with progress(len(prepared.examples.inputs), "reading") as done:
        assessment = assess(reader, prepared, items, done)
    found = _FINDERS[reader.head](reader, prepared, items, assessment)
    order = np.argsort(-np.array(found.losses), kind="stable")[:worst].tolist()
    report = Report(
        title=f"Report of {folder.resolve().name}",
        summary=f"{run.model['kind']}, {reader.head}; measured on {len(items):,} examples: {where}",
        measures=_measures(reader.head, assessment.measures),
        about=_about(run, folder, reader, prepared, where),
        charts=_charts(read_measures(folder / MEASURES) if (folder / MEASURES).is_file() else []),
        cases=tuple(found.case(number) for number in order),
        examples=len(items),
        unit="squared error" if reader.head == "regression" else "nats",
        **found.parts,
    )
    return write_report(out, report, _pictures(reader, text.stride, found, order[:PICTURES]))


def _run(folder: Path) -> tuple[Run, FineTuningText]:
    """The run in a folder.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it does not fine-tune.
    """
    if not (folder / RUN_FILE).is_file():
        raise FileNotFoundError(
            f"{folder} holds no run: it has no {RUN_FILE}; a report is of what `regard finetune` made"
        )
    run = read_run(folder / RUN_FILE)
    if run.task is not FineTuningTask:
        raise ValueError(
            f"{folder} holds a run of {run.model['kind']} which is no fine-tuning; `regard curves` draws it"
        )
    assert isinstance(run.text, FineTuningText)
    return run, run.text


def _items(run: Run, text: FineTuningText, file: str) -> tuple[list[Any], str]:
    """Labelled examples, and where they are from."""
    if not file:
        share = f"a share of {_source(run.train)}" if run.validation == run.train else _source(run.validation)
        return read_items(run)[1], f"validation examples, {share}"
    task = run.model["head"] if run.model["head"] in ("tagging", *SPANS) else ""
    columns = {name: getattr(run.train, name) for name in COLUMNS if hasattr(run.train, name)}
    skipped = SkippedExamples() if text.skip else None
    return items_of(run.model, source_of(file, task, columns), skipped), file


def _pictures(reader: Reader, stride: int, found: Findings, chosen: Sequence[int]) -> Iterator[Picture]:
    """The attention of some examples, made one at a time."""
    options = {"stride": stride} if reader.head in SPANS else {}
    for number in chosen:
        pictures = list(inputs.examples(reader, [found.asked(number)], **options))
        yield pictures[found.shown(number)]


def _classes(reader: Reader, prepared: Prepared, items: Sequence[Example], assessment: Assessment) -> Findings:
    """Classes of texts and pairs."""
    assert assessment.scores is not None
    golds, scores = prepared.examples.labels, assessment.scores.double()
    losses, shares = cross_entropy(scores, golds, reduction="none").tolist(), scores.softmax(-1)

    def case(number: int) -> Case:
        """One text or pair."""
        item, predicted = items[number], str(assessment.predictions[number])
        true = str(item.label)
        return Case(
            losses[number],
            true,
            predicted,
            true == predicted,
            _texts(item),
            float(shares[number, golds[number]]),
            float(shares[number].max()),
            item.place,
            ((true, predicted),),
        )

    return Findings(
        losses,
        case,
        lambda number: items[number].texts,
        parts=_confused(
            [str(one) for one in assessment.predictions], [str(item.label) for item in items], reader.labels
        ),
    )


def _numbers(reader: Reader, prepared: Prepared, items: Sequence[Example], assessment: Assessment) -> Findings:
    """Numbers of texts and pairs."""
    pairs = list(zip(prepared.examples.labels.tolist(), assessment.predictions, strict=True))
    losses = [(true - predicted) ** 2 for true, predicted in pairs]

    def case(number: int) -> Case:
        """One text or pair."""
        true, predicted = pairs[number]
        item = items[number]
        return Case(losses[number], f"{true:.4g}", f"{predicted:.4g}", None, _texts(item), place=item.place)

    return Findings(losses, case, lambda number: items[number].texts, parts={"numbers": tuple(pairs)})


def _options(reader: Reader, prepared: Prepared, items: Sequence[Choices], assessment: Assessment) -> Findings:
    """Options of texts."""
    first, golds = prepared.examples.first, prepared.examples.labels.tolist()
    assert first is not None
    scores = reader.scores(prepared.examples.inputs).double().split(np.diff(first).tolist())
    logs = [group.log_softmax(0) for group in scores]
    losses = [-float(own[gold]) for own, gold in zip(logs, golds, strict=True)]

    def case(number: int) -> Case:
        """One text with its options."""
        item, gold, chosen = items[number], golds[number], assessment.predictions[number]
        texts: list[tuple[str, tuple[Stretch, ...]]] = [("text", ((item.text, ""),))]
        for place, option in enumerate(item.options):
            said = [name for name, which in (("true", gold), ("predicted", chosen)) if which == place]
            share = f"{float(logs[number][place].exp()):.3f}"
            texts.append((f"option {place}", ((option, " and ".join(said)), (f"  {share}", ""))))
        return Case(
            losses[number],
            f"option {gold}",
            f"option {chosen}",
            gold == chosen,
            tuple(texts),
            float(logs[number][gold].exp()),
            float(logs[number].max().exp()),
            item.place,
        )

    return Findings(
        losses,
        case,
        lambda number: (items[number].text, items[number].options),
        lambda number: assessment.predictions[number],
    )


def _tags(reader: Reader, prepared: Prepared, items: Sequence[TaggedWords], assessment: Assessment) -> Findings:
    """Tags of words; the loss of a sentence is that of its words together."""
    owners, predictions = prepared.examples.owners, assessment.predictions
    assert owners is not None
    rows = torch.cat([scores for _, scores in reader.word_scores(prepared.examples)]).double()
    words = cross_entropy(rows, prepared.examples.labels, reduction="none")
    losses = [float(own.sum()) for own in words.split(np.diff(owners).tolist())]
    golds = [list(item.tags or ()) for item in items]
    has_entities = "entity_f1" in assessment.measures

    def case(number: int) -> Case:
        """One sentence."""
        item, found, true = items[number], predictions[number], golds[number]
        stretches: list[Stretch] = []
        for word, tag, gold in zip(item.words, found, true, strict=True):
            stretches += [(word, "" if tag == gold else f"true {gold}, predicted {tag}"), (" ", "")]
        right = sum(tag == gold for tag, gold in zip(found, true, strict=True))
        said = (f"{len(true)} tags", f"{right} of them right")
        if has_entities:
            said = (_entities(item.words, true), _entities(item.words, found))
        pairs = tuple(sorted(set(zip(true, found, strict=True))))
        is_right = right == len(true)
        return Case(losses[number], *said, is_right, (("text", tuple(stretches)),), place=item.place, pairs=pairs)

    parts = _confused(
        [tag for tags in predictions for tag in tags], [tag for tags in golds for tag in tags], reader.labels
    )
    if has_entities:
        scores = entity_scores(predictions, golds)
        parts |= {"counted": _counted([*scores.types, scores.all])}
    return Findings(losses, case, lambda number: items[number].words, parts=parts)


def _spans(reader: Reader, prepared: Prepared, items: Sequence[Question], assessment: Assessment) -> Findings:
    """Answers to questions; the loss of a question is the mean of its windows, as in training."""
    shares = find(reader, prepared.windows, prepared.examples.inputs).shares
    totals = dict.fromkeys((item.id for item in items), 0.0)
    for window, sides, span in zip(prepared.windows, shares, prepared.examples.labels.tolist(), strict=True):
        if span[0] >= 0:
            totals[window.question.id] += span_nats(sides, span)
    counts = Counter(window.question.id for window in prepared.windows)
    losses = [totals[item.id] / counts[item.id] for item in items]
    has_unanswerable = not all(item.answers for item in items)
    found = [decide(one) if has_unanswerable else one.best for one in assessment.predictions]
    measured = [[100 * of_question(measure, *one) for measure in (exact, f1)] for one in zip(items, found, strict=True)]

    def case(number: int) -> Case:
        """One question."""
        item = items[number]
        answers = list(dict.fromkeys(answer.text for answer in item.answers))
        pair = (ANSWERED if answers else UNANSWERED, ANSWERED if found[number] else UNANSWERED)
        true = [(item.answers[0].start, item.answers[0].start + len(item.answers[0].text))] if answers else []
        best = assessment.predictions[number].spans[:1] if found[number] else ()
        marks = {"true": true, "predicted": [(span.start, span.end) for span in best]}
        return Case(
            losses[number],
            " / ".join(answers) or UNANSWERED,
            f"{found[number] or UNANSWERED} (F1 {measured[number][1]:.0f})",
            measured[number][0] > 0,
            (("question", ((item.text, ""),)), ("context", _marked(item.context, marks))),
            place=item.place,
            pairs=(pair,) if has_unanswerable else (),
        )

    parts: dict[str, Any] = {"lengths": _lengths(items, measured)}
    if has_unanswerable:
        pairs = [case(number).pairs[0] for number in range(len(items))]
        labels = (ANSWERED, UNANSWERED)
        parts |= _confused([predicted for _, predicted in pairs], [true for true, _ in pairs], labels)
    return Findings(losses, case, lambda number: (items[number].text, items[number].context), parts=parts)


_FINDERS: dict[str, Callable[..., Findings]] = {  # by the name of a head
    "classification": _classes,
    "regression": _numbers,
    "choice": _options,
    "tagging": _tags,
    "span": _spans,
    "conditional-span": _spans,
}


def _texts(item: Example) -> tuple[tuple[str, tuple[Stretch, ...]], ...]:
    """One text, or both of a pair."""
    names = ("text",) if len(item.texts) == 1 else ("first text", "second text")
    return tuple((name, ((text, ""),)) for name, text in zip(names, item.texts, strict=True))


def _entities(words: Sequence[str], tags: Sequence[str]) -> str:
    """The entities of a sentence in words."""
    found = (f"{one.type} {' '.join(words[one.first : one.last + 1])}" for one in entities(tags))
    return ", ".join(found) or "no entity"


def _marked(text: str, marks: Mapping[str, Sequence[tuple[int, int]]]) -> tuple[Stretch, ...]:
    """A text in parts, those within a mark with its name."""
    edges = sorted({0, len(text), *(place for spans in marks.values() for span in spans for place in span)})
    stretches: list[Stretch] = []
    for first, end in pairwise(edges):
        names = [name for name, spans in marks.items() if any(a <= first and end <= b for a, b in spans)]
        stretches.append((text[first:end], " and ".join(names)))
    return tuple(stretches)


def _confused(predictions: Sequence[str], golds: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Which classes were taken for which, and how each fares."""
    found = confusion(predictions, golds, labels)
    return {"confusions": Confusions(found.labels, found.counts), "counted": _counted(found.classes)}


def _counted(rows: Sequence[Agreement]) -> tuple[Counted, ...]:
    """How classes or types fare."""
    return tuple(Counted(row.name, row.precision, row.recall, row.f1, row.predicted, row.true) for row in rows)


def _lengths(items: Sequence[Question], measured: Sequence[Sequence[float]]) -> tuple[Length, ...]:
    """Questions by the words of their first answer."""
    groups: dict[str, list[Sequence[float]]] = {name: [] for _, name in LENGTHS}
    for item, scores in zip(items, measured, strict=True):
        words = len(item.answers[0].text.split()) if item.answers else 0
        groups[next(name for most, name in LENGTHS if words <= most)].append(scores)
    means = {name: np.mean(own, 0).tolist() for name, own in groups.items() if own}
    return tuple(Length(name, len(groups[name]), *mean) for name, mean in means.items())


def _measures(head: str, measures: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
    """Measures in words: those of questions are in per cent, and nats of numbers are their squared error."""
    said = []
    for name, value in measures.items():
        if name == "nats" and head != "regression":
            said.append(("loss, nats", f"{value:.4f}"))
        elif name != "nats":
            said.append((spelled(name), f"{value:.2f} %" if head in SPANS else f"{value:.4f}"))
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
        ("training", _source(run.train)),
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
    parts = [("Model", about_model), ("Data", about_data), ("Settings", settings), ("Course", _course(folder))]
    return tuple(
        (name, tuple((key, value) for key, value in values if value))
        for name, values in parts
        if any(value for _, value in values)
    )


def _source(source: Any) -> str:
    """Where examples are found, in words."""
    plain = {one.name: one.default for one in dataclasses.fields(source)}
    names = ("task", "subset", "split")
    parts = [str(getattr(source, name)) for name in names if name in plain and getattr(source, name) != plain[name]]
    if isinstance(source, SquadFile) and source.share != (0.0, 1.0):
        parts.append("from {:.0%} to {:.0%} of the questions".format(*source.share))
    return f"{source.path} ({', '.join(parts)})" if parts else str(source.path)


def _course(folder: Path) -> list[tuple[str, str]]:
    """How far the run went, and how long it took."""
    found = checkpoints(folder / "checkpoints")
    if not found:
        return []
    state = read_state(found[-1])
    seconds, seen = float(state["seconds"]), int(state["tokens"])
    return [
        ("steps", f"{state['step']:,}, the best after {state['best_step']:,}"),
        ("seconds of updates", f"{seconds:,.0f}"),
        ("examples a second", f"{seen / seconds:,.1f}" if seconds else ""),
    ]


def _said(value: Any) -> str:
    """A setting in words."""
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
