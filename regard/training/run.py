"""What a run is: frozen dataclasses, written into its folder as TOML."""

import dataclasses
import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from regard.data.parallel import ParallelText
from regard.models.saved import configured, entry_of
from regard.recipes import recipes
from regard.storage.files import written_whole
from regard.storage.names import did_you_mean, require
from regard.text.tokenizer import KINDS
from regard.training.optimisers import OPTIMISERS
from regard.training.schedules import SCHEDULES

RUN_FILE = "run.toml"


@dataclass(frozen=True)
class Text:
    """How text becomes ids."""

    kind: str = "bpe"  # bpe, unigram, wordpiece, words or characters
    vocabulary: int = 8000  # ids of each tokenizer at most; for characters and words 0 is all of them
    minimum: int = 1  # how often a unit must be seen
    joint: bool = True  # one tokenizer for both languages
    lowercase: bool = False
    load: str = ""  # a tokenizer.json, or a folder with one (and target_tokenizer.json), instead of training
    longest: int = 256  # tokens of a sentence
    skip: bool = False  # count and pass over what cannot be used, instead of stopping


@dataclass(frozen=True)
class Plan:
    """How a model is trained."""

    steps: int = 10000  # updates
    tokens: int = 4096  # of a batch on each process, the larger side; 0 is no limit
    sentences: int = 0  # of a batch on each process; 0 is no limit
    pool: int = 16384  # sentences which are sorted by length together
    accumulate: int = 1  # batches of each process in one update
    workers: int = 0  # processes which read ahead
    seed: int = 1
    precision: str = "float32"  # or bfloat16
    optimiser: str = "adam"
    rate: float = 1.0  # times the schedule
    schedule: str = "noam"
    warmup: int = 4000  # steps
    halve_after: int = 0  # steps, of the schedule "halving"
    halve_every: int = 0
    clip: float = 0.0  # largest global norm of a gradient; 0 does not clip
    divide: str = "tokens"  # what the summed loss is divided by: tokens, sentences or nothing
    smoothing: float = 0.0  # of labels
    rise: float = 3.0  # nats a token by which the loss may rise above its lowest before the run is stopped
    validate_every: int = 500  # steps
    validate_sentences: int = 500  # which are translated in validation; 0 translates none
    best: str = "bleu"  # what names the best checkpoint: bleu, exact_match or loss
    save_every: int = 500  # steps
    keep: int = 2  # last checkpoints on the disk
    average: int = 0  # last checkpoints whose mean is tried at the end


@dataclass(frozen=True)
class Run:
    """Everything that decides how a run goes."""

    name: str
    model: dict[str, Any]  # kind and size of the registry, and fields of the configuration which differ
    train: ParallelText
    validation: ParallelText
    about: str = ""
    test: ParallelText | None = None
    text: Text = Text()
    plan: Plan = Plan()

    def __post_init__(self):
        plan, text = self.plan, self.text
        require("text.kind", text.kind, KINDS)
        require("plan.optimiser", plan.optimiser, OPTIMISERS)
        require("plan.schedule", plan.schedule, SCHEDULES)
        require("plan.precision", plan.precision, ("float32", "bfloat16"))
        require("plan.divide", plan.divide, ("tokens", "sentences", "nothing"))
        require("plan.best", plan.best, ("bleu", "exact_match", "loss"))
        for name in ("steps", "pool", "accumulate", "validate_every", "save_every", "keep"):
            if getattr(plan, name) < 1:
                raise ValueError(f"plan.{name} must be 1 or more, got {getattr(plan, name)}")
        for name in ("tokens", "sentences", "workers", "seed", "warmup", "halve_after", "clip", "average"):
            if getattr(plan, name) < 0:
                raise ValueError(f"plan.{name} must not be negative, got {getattr(plan, name)}")
        if not 0.0 <= plan.smoothing < 1.0:
            raise ValueError(f"plan.smoothing must lie in [0, 1), got {plan.smoothing}")
        if not plan.tokens and not plan.sentences:
            raise ValueError("a batch needs a limit: set plan.tokens or plan.sentences")
        if plan.best != "loss" and not plan.validate_sentences:
            raise ValueError(f"plan.best={plan.best!r} needs translations: set plan.validate_sentences")
        if plan.schedule == "halving" and plan.halve_every < 1:
            raise ValueError("plan.schedule='halving' needs plan.halve_every")
        self.build_config(4, 4)

    def build_config(self, source_vocabulary: int, target_vocabulary: int) -> Any:
        """The model's configuration for tokenizers of these sizes."""
        values = dict(self.model)
        kind = str(values.pop("kind", ""))
        entry = entry_of(kind)
        if entry.reads != "pairs":
            raise ValueError(f"model.kind={kind!r} is a language model, and a run trains on pairs of source and target")
        size = values.pop("size", "")
        if size not in entry.sizes:
            raise ValueError(f"model.size must be one of {', '.join(entry.sizes)}, got {size!r}")
        names = {field.name for field in dataclasses.fields(entry.config)}
        if "vocabulary" in names:
            if not self.text.joint:
                raise ValueError(f"{self.model['kind']} shares one vocabulary (section 3.4): set text.joint = true")
            values["vocabulary"] = source_vocabulary
        else:
            values["source_vocabulary"], values["target_vocabulary"] = source_vocabulary, target_vocabulary
        return configured(entry.config, {**dataclasses.asdict(entry.sizes[size]), **values}, "model")

    def table(self) -> dict[str, Any]:
        """The run as nested plain values."""
        return _plain(dataclasses.asdict(self))

    def save(self, folder: Path) -> None:
        """Write run.toml into a folder."""
        with written_whole(folder / RUN_FILE, "wb") as file:
            tomli_w.dump(self.table(), file)


def _plain(value: Any) -> Any:
    """Without what TOML cannot say."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    return list(value) if isinstance(value, tuple) else value


def read_run(name: str | Path, settings: Iterable[str] = ()) -> Run:
    """A run from a recipe's name or a TOML file, with settings such as `plan.steps=100` on top.

    Raises:
        FileNotFoundError: if there is neither such a recipe nor such a file.
        ValueError: if the file is not TOML, or a key or a value is not known; names the nearest key.
    """
    known = recipes()
    path = known.get(str(name), Path(name))
    if not path.is_file():
        hint = did_you_mean(str(name), known)
        raise FileNotFoundError(f"no recipe and no file {str(name)!r}; the recipes are {', '.join(known)}{hint}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    table.setdefault("name", path.stem)
    for setting in settings:
        _set(table, setting)
    return build_run(table, str(path))


def differences(before: Run, after: Run) -> list[str]:
    """The settings in which two runs differ, such as plan.steps."""

    def flat(table: dict[str, Any], place: str = "") -> dict[str, Any]:
        """Values by dotted name."""
        return {
            name: value
            for key, inner in table.items()
            for name, value in (
                flat(inner, f"{place}{key}.") if isinstance(inner, dict) else {place + key: inner}
            ).items()
        }

    one, other = flat(before.table()), flat(after.table())
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]


def _set(table: dict[str, Any], setting: str) -> None:
    """Apply one setting `a.b=value`."""
    name, is_set, value = setting.partition("=")
    if not is_set or not name:
        raise ValueError(f"a setting reads key=value, such as plan.steps=100, got {setting!r}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *parents, last = name.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ValueError(f"{setting!r}: {parent} is a value, not a table")
    table[last] = parsed


def build_run(table: dict[str, Any], place: str) -> Run:
    """A run from nested plain values."""
    kinds = {"text": Text, "plan": Plan}
    corpora = ("train", "validation", "test")
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key in kinds or key in corpora:
            if not isinstance(value, dict):
                raise ValueError(f"{place}: {key} must be a table, got {value!r}")
            if key in kinds:
                values[key] = configured(kinds[key], value, f"{place}: {key}")
            else:
                columns = value.get("columns", [])
                if not isinstance(columns, list):
                    raise ValueError(f"{place}: {key}: columns must be a list of two names, got {columns!r}")
                value = {**value, "columns": tuple(columns)}
                values[key] = configured(ParallelText, value, f"{place}: {key}")
        else:
            values[key] = value
    if not isinstance(values.get("model", {}), dict):
        raise ValueError(f"{place}: model must be a table, got {values['model']!r}")
    try:
        return configured(Run, values, place)
    except ValueError as error:
        raise error if str(error).startswith(place) else ValueError(f"{place}: {error}") from error


def located(text: ParallelText) -> ParallelText:
    """The same text with environment variables in its paths replaced.

    Raises:
        ValueError: if a variable is not set.
    """
    paths = {}
    for name in ("path", "target_path"):
        path = os.path.expandvars(os.path.expanduser(getattr(text, name)))
        if "$" in path:
            raise ValueError(
                f"{getattr(text, name)!r} names a variable which is not set; set it to the folder which holds the "
                "data, or give another path with --set train.path=... and so on"
            )
        paths[name] = path
    return dataclasses.replace(text, **paths)
