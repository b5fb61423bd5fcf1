"""From a model and labelled data to a run: the task, its classes, and how many steps there are."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regard.data.benchmarks import GluePart, SquadFile
from regard.data.glue import GLUE_TASKS
from regard.data.inputs import Pairs, batches_of, require_two
from regard.data.labels import OF_NUMBERS, TASKS, LabelTask, task_of, with_labels
from regard.data.rows import SkippedExamples
from regard.data.sources import Source, located, suffix_of
from regard.data.splits import leak, split
from regard.data.squad_windows import SkippedQuestions, all_windows
from regard.data.table import Table
from regard.data.tagged import TaggedText, has_tags
from regard.models import MODELS
from regard.models.directory import read_config
from regard.models.heads import HEADS, pairs_of
from regard.reading.preparing import SPANS
from regard.storage.configuration import configured
from regard.storage.names import did_you_mean, require
from regard.text.tokenizer import Tokenizer
from regard.training.finetuning import FineTuningPlan, FineTuningText, heads_of, tokenizer_for
from regard.training.labelled import require_known
from regard.training.run import Run, build_run

FAR = 10.0  # root of the mean square of labels above which users are told to scale them
AUXILIARY = 0.5  # share of the next token's loss when GPT is tuned (Radford et al. 2018, section 4.1)
LabelledSource = Table | TaggedText | GluePart | SquadFile
COLUMNS = ("text", "pair", "label", "options", "first_option", "words", "tags")  # of a source, which others share
WRITTEN = ("separator", "quotes", "columns")  # of a table of plain text
TAGGED = (".conll", ".conllu", ".bio", ".iob", ".iob2")  # files which hold a word a line
KINDS = {  # what a source is read as, in words
    Table: "a table",
    TaggedText: "sentences of tagged words",
    SquadFile: "SQuAD's questions",
    GluePart: "a part of GLUE",
}


@dataclass
class Wishes:
    """How a model is to be fine-tuned, where it is not as the defaults have it.

    Args:
        epochs: times which every example is seen.
        warmup: share of the steps in which the rate rises.
        validations: in each epoch.
        text: values of `FineTuningText`.
        plan: values of `FineTuningPlan`; its steps, warm-up and validations follow from the above.
        both_orders: whether pairs are read in both orders.
        steps: updates, in place of epochs; 0 is as many as these take.

    Raises:
        ValueError: if a value is out of its range.
    """

    epochs: float = 3.0
    warmup: float = 0.1
    validations: int = 1
    text: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    both_orders: bool = False
    steps: int = 0

    def __post_init__(self):
        if self.steps < 0:
            raise ValueError(f"steps must not be negative, got {self.steps}")
        if not self.epochs > 0:
            raise ValueError(f"epochs must be more than 0, got {self.epochs:g}")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup is a share of the steps from 0 to 1, got {self.warmup:g}")
        if self.validations < 1:
            raise ValueError(f"validations must be 1 or more, got {self.validations}")

    def paced(self, updates: float) -> dict[str, int]:
        """Values of a plan: its steps, of which so many are an epoch, and what they are shared out by."""
        steps = self.steps or max(1, round(updates * self.epochs))
        seen = steps / updates if self.steps else self.epochs
        every = math.ceil(steps / max(1.0, seen * self.validations))  # the last of them is the end
        return {"steps": steps, "warmup": round(steps * self.warmup), "validate_every": every, "save_every": every}


def source_of(
    path: str, task: str, options: dict[str, Any], settings: dict[str, Any] | None = None, place: str = ""
) -> LabelledSource:
    """Where examples are found.

    Args:
        path: a file, or hub data.
        task: which says what they are; without, .json holds questions, .conll and the like words with tags, as do
            rows with lists of both, and all else is a table.
        options: fields of the source; empty ones are not given.
        settings: further fields of it, as a user writes them, which come before the options.
        place: where the settings stand, for errors.

    Raises:
        ValueError: if an option is not of that kind of file, or a setting is unknown or of another type.
    """
    given = {name: value for name, value in options.items() if value}
    kind: Any = Table
    if task in SPANS or (not task and suffix_of(path) == ".json"):
        kind = SquadFile
    elif task == "tagging" or (not task and (suffix_of(path) in TAGGED or _has_tags(path, given, settings or {}))):
        kind = TaggedText
        names = {"text": "words", "label": "tags"}
        given = {names.get(name, name): value for name, value in given.items()}
    known = [field.name for field in dataclasses.fields(kind) if field.name != "path"]
    if wrong := sorted(given.keys() - set(known)):
        hint = "; a table of JSON has an object a line, and ends in .jsonl" if kind is SquadFile else ""
        raise ValueError(f"{path} is read as {KINDS[kind]}, which has no {', '.join(wrong)}{hint}")
    if not settings:
        return kind(path, **given)
    if strange := next((key for key in settings if key not in known), None):
        hint = did_you_mean(strange, known)
        raise ValueError(f"{place}: unknown key {strange!r}{hint}; of {KINDS[kind]} the keys are {', '.join(known)}")
    return configured(kind, {"path": path, **given, **settings}, place)


def _has_tags(path: str, given: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Whether a file holds words with tags in the columns of text and label, or in others of usual names."""
    if Source(path).kind != "records" or not given.keys() <= {"text", "label"}:
        return False
    return has_tags(path, settings.get("words", given.get("text", "")), settings.get("tags", given.get("label", "")))


def plan_finetuning(
    model: Path, name: str, train: LabelledSource, validation: LabelledSource | None, wishes: Wishes, task: str = ""
) -> tuple[Run, list[str]]:
    """A run, and what is to be said of it.

    Args:
        model: the directory of an encoder.
        name: of the run.
        train: where the examples are found.
        validation: where those are found on which it is measured; None for a share of the training ones.
        wishes: what is not as the defaults have it.
        task: classification, regression, similarity, choice, tagging, span or conditional-span; without, it is found
            by the labels, and is never similarity.

    Raises:
        ValueError: if the examples do not make a task, or something does not go together.
    """
    kind, config = read_config(model)
    kind = MODELS[kind].tuned or kind
    if MODELS[kind].reads != "inputs":
        raise ValueError(f"{model} holds {kind}, which is no encoder, and is not fine-tuned by labels")
    if MODELS[kind].model.is_causal:
        size = tokenizer_for(model, kind).size  # with the special tokens of tasks
        config = dataclasses.replace(config, vocabulary=max(size, config.vocabulary))
    if task:
        require("task", task, (*TASKS, *SPANS))
    if validation is not None and type(validation) is not type(train):
        raise ValueError(
            f"{train.path} is read as {KINDS[type(train)]}, and {validation.path} as {KINDS[type(validation)]}; a run "
            "is validated on what it is trained on"
        )
    train = _with_columns(train)
    if validation is not None:
        validation = _read_alike(train, validation)
        _require_other(train, validation)
    text = configured(FineTuningText, {"longest": _longest(train, config), **wishes.text}, "text")
    if validation is None and isinstance(train, SquadFile):
        train, validation = SquadFile(train.path, (text.share, 1.0)), SquadFile(train.path, (0.0, text.share))
    if task in SPANS or isinstance(train, SquadFile):
        require(f"task of {kind}", task or "span", heads_of(kind))
    options = {"both_orders": True} if wishes.both_orders else {}
    pairs = pairs_of(task or "classification", options)
    seen = _looked_at(train, validation, text, task, model, kind, pairs)
    found = seen.task
    learns_texts = MODELS[kind].model.is_causal and wishes.plan.get("freeze", 0) < config.depth
    own = seen.plan | ({"auxiliary": AUXILIARY} if learns_texts else {})
    plan = configured(FineTuningPlan, own | wishes.plan, "plan")  # which names what is wrong with it
    paced = wishes.paced(batches_of(seen.count, plan.examples) / plan.accumulate)
    table: dict[str, Any] = {
        "name": name,
        "model": {
            "kind": kind,
            "from": str(model),
            "head": found.task,
            **({"labels": list(found.labels)} if not HEADS[found.task].size else {}),
            **options,
            **seen.options,
            **{key: value for key, value in dataclasses.asdict(config).items() if key != "pools"},
        },
        "train": dataclasses.asdict(train),
        "validation": dataclasses.asdict(validation or train),
        "text": dataclasses.asdict(text),
        "plan": {**paced, **own, **wishes.plan},
    }
    return build_run(table, name), seen.said


def carried(source: object, path: str) -> dict[str, Any]:
    """What another file has in common with a source: its columns, and, of the same suffix, how it is written."""
    values = {name: getattr(source, name) for name in COLUMNS if hasattr(source, name)}
    if isinstance(source, TaggedText) and (source.kind == "plain") != (Source(path).kind == "plain"):
        values = {}  # numbers of columns, and names
    return {name: value for name, value in values.items() if value} | written_as(source, path)


def written_as(source: object, path: str) -> dict[str, Any]:
    """How a file is written which has the suffix of a source: that is taken to be as of the source."""
    if not isinstance(source, Table) or source.kind != "plain" or suffix_of(source.path) != suffix_of(path):
        return {}
    return {name: getattr(source, name) for name in WRITTEN if getattr(source, name)}


def _with_columns(source: LabelledSource) -> LabelledSource:
    """The source with the names of the columns which are found in it, so that other files are read by the same."""
    there = located(source)
    if isinstance(there, Table):
        found = there.found()
        text, pair = (*found.texts, "")[:2]
        columns = {"text": text, "pair": pair, "label": found.label, "options": found.options}
    elif isinstance(there, TaggedText) and there.kind != "plain":
        words, tags = there.found()
        columns = {"words": words, "tags": tags}
    else:
        return source
    return dataclasses.replace(source, **columns)  # pyright: ignore[reportArgumentType]


def _read_alike(train: LabelledSource, validation: LabelledSource) -> LabelledSource:
    """Examples to validate on, read by the columns of training where they name none of their own.

    Raises:
        ValueError: if one of them is of pairs and the other of single texts.
    """
    own = {name: value for name, value in carried(train, validation.path).items() if not getattr(validation, name)}
    validation = dataclasses.replace(validation, **own)
    if isinstance(train, Table) and isinstance(validation, Table) and bool(train.pair) != bool(validation.pair):
        names = [f"{source.path} as {'pairs' if source.pair else 'single texts'}" for source in (train, validation)]
        raise ValueError(f"{names[0]} and {names[1]} do not go together; name the columns of both alike")
    return validation


def _require_other(train: LabelledSource, validation: LabelledSource) -> None:
    """Refuse to validate on the very examples of training."""
    paths = [Path(located(source).path) for source in (train, validation)]
    is_same = paths[0] == paths[1] or (all(path.exists() for path in paths) and paths[0].samefile(paths[1]))
    if is_same and dataclasses.replace(validation, path=train.path) == train:
        raise ValueError(
            f"{validation.path} is to be validated on, and holds the examples of training; leave it away, and a share "
            "of these is set apart"
        )


@dataclass(frozen=True)
class _Seen:
    """What was seen of examples: how many there are to train on, what is to be said, and values of plan and head."""

    task: LabelTask
    count: int
    said: list[str]
    plan: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def _looked_at(
    train: LabelledSource,
    validation: LabelledSource | None,
    text: FineTuningText,
    task: str,
    model: Path,
    kind: str,
    pairs: Pairs,
) -> _Seen:
    """What is to be known of the examples before they are trained on."""
    source: Any = located(train)
    if isinstance(source, SquadFile):
        if isinstance(validation, SquadFile):
            require_known(located(validation).read(), validation.path)
        return _questions(source, text, task or "span", model, kind)
    skipped = SkippedExamples() if text.skip else None
    items: list[Any] = list(source.read(skipped))
    items = with_labels(items, task, skipped)
    found = _task_of(source, items, task)
    if found.task in ("classification", *OF_NUMBERS):
        require_two([item.texts for item in items], pairs, [item.place for item in items])
    if not found.labels and isinstance(source, GluePart):
        return _Seen(found, len(items), [], options=_scale(found, items))
    items = found.settled(items, skipped)
    options = _scale(found, items)
    said = [*([str(source.found())] if isinstance(source, Table) else []), str(found)]
    plan: dict[str, Any] = {}
    if found.labels:
        said.append(found.balance())
    elif found.task in OF_NUMBERS:
        numbers = [item.label for item in items]
        plan = {"rise": _rise(numbers)}
        said += _far(numbers) if found.task == "regression" else [_told(**options)]
    if skipped:
        said.append(str(skipped))
    if validation is None:
        total, (items, _) = len(items), split(items, found, text.share)
        said.append(f"{total - len(items):,} of {total:,} examples are set apart to validate on")
    else:
        said += _beside(items, located(validation), found, skips=text.skip)
    return _Seen(found, len(items), said, plan, options)


def _rise(numbers: list[float]) -> float:
    """By how much the loss of numbers may rise before a run is stopped: it is their mean square where it begins."""
    return FineTuningPlan.rise * max(1.0, math.fsum(number * number for number in numbers) / len(numbers))


def _far(numbers: list[float]) -> list[str]:
    """What is to be said of numbers far from 0, where the head begins, if they are."""
    mean = math.fsum(numbers) / len(numbers)
    spread = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers))
    if math.hypot(mean, spread) <= FAR:
        return []
    return [
        f"the numbers are {mean:.4g} on average, with a standard deviation of {spread:.4g}; the head begins at 0 and "
        "learns numbers of about 0 to 5 best, so shift and scale them in the file"
    ]


def _scale(found: LabelTask, items: list[Any]) -> dict[str, Any]:
    """Of similarity the numbers for which a cosine of 0 and one of 1 stand: the least and the greatest label."""
    if found.task != "similarity":
        return {}
    numbers = [float(item.label) for item in items]
    return {"scale": [min(numbers), max(numbers)]}


def _told(scale: list[float]) -> str:
    """What is to be said of a scale."""
    return "a cosine of 0 stands for {:g}, and one of 1 for {:g}".format(*scale)


def _questions(source: SquadFile, text: FineTuningText, task: str, model: Path, kind: str) -> _Seen:
    """What is to be known of questions; to train on are their windows."""
    questions, skipped = source.read(), SkippedQuestions()
    tokenizer = Tokenizer.load(model)
    framing = tokenizer.framing(is_last=MODELS[kind].model.sums_up_last)
    made = all_windows(questions, tokenizer, framing, longest=text.longest, stride=text.stride, skipped=skipped)
    count = sum(window.span is not None for window in made)  # of the others nothing is learnt
    if not count:
        raise ValueError(
            f"{source.path}: none of its {len(questions):,} questions has an answer to be learnt; {skipped}"
        )
    impossible = sum(question.is_impossible for question in questions)
    said = f"{len(questions):,} questions, {impossible:,} of them without an answer: {task}; {skipped}"
    return _Seen(LabelTask(task, "questions about contexts"), count, [said])


def _task_of(source: Any, items: list[Any], task: str) -> LabelTask:
    """The task of labelled examples: of GLUE's tasks with the labels in their order, else as the labels tell."""
    if not isinstance(source, GluePart):
        return task_of(items, task)
    known = GLUE_TASKS[source.task]
    if known.is_regression:
        return LabelTask(task or "regression", source.task)
    return dataclasses.replace(task_of(items, "classification"), labels=known.labels)


def _beside(items: list[Any], validation: Any, found: LabelTask, *, skips: bool) -> list[str]:
    """What is to be said of examples to validate on beside those of training."""
    skipped = SkippedExamples() if skips else None
    others: list[Any] = list(validation.read(skipped))
    said = []
    if unseen := found.unseen(others):
        names = ", ".join(f"{name} ({count:,})" for name, count in unseen.most_common(5))
        said.append(f"the validation examples have labels which training has not: {names}")
    others = found.settled(others, skipped)
    require_known(others, validation.path, skipped)
    said.append(str(leak(items, others)))
    return [*said, f"of those to validate on {skipped}"] if skipped else said


def _longest(train: LabelledSource, config: Any) -> int:
    """Tokens of an input where nobody says: 384 for questions about a context, else 128; no more than a model reads."""
    usual = 384 if isinstance(train, SquadFile) else 128
    return min(usual, getattr(config, "context", usual))  # XLNet has no limit
