"""What a run is: frozen dataclasses, written into its folder as TOML."""

import dataclasses
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from regard.models import entry_of
from regard.objectives.labels import LABELS
from regard.recipes import recipes
from regard.storage.configuration import configured
from regard.storage.files import written_whole
from regard.storage.names import did_you_mean
from regard.training.beginning import kind_of_model
from regard.training.finetuning import FineTuningTask
from regard.training.language import LanguageTask
from regard.training.plan import Plan, Task, Text
from regard.training.pretraining import PretrainingTask
from regard.training.translation import TranslationTask

RUN_FILE = "run.toml"
_PARTS = ("train", "validation", "test", "text", "plan")  # of a run, each of a class of its own
OF_TRAINED = ("kind", "vocabulary", "minimum", "lowercase")  # keys of text, of a tokenizer which is trained
VOCABULARIES = ("vocabulary", "source_vocabulary", "target_vocabulary")  # fields of models
_IDS = 300, 300  # of tokenizers, as long as there are none; any numbers will do

TASKS: dict[str, type[Task]] = {  # by what a model reads
    "pairs": TranslationTask,
    "text": LanguageTask,
    "inputs": PretrainingTask,  # or what follows it, where the head learns from labels
}


@dataclass(frozen=True)
class Run:
    """Everything that decides how a run goes. The model's kind decides of which types the parts are."""

    name: str
    model: dict[str, Any]  # kind and size of the registry, and fields of the configuration which differ
    train: Any  # where the text is found: what the task's `material` gives
    validation: Any
    text: Text
    plan: Plan
    about: str = ""
    test: Any = None

    def __post_init__(self):
        for part in _PARTS:
            value = getattr(self, part)
            if value is None and part == "test":
                continue
            kind = _class_of(part, self.model, getattr(value, "__dict__", {}))
            if not isinstance(value, kind):
                raise ValueError(f"{part} of a run of {self.model['kind']} must be a {kind.__name__}, got {value!r}")
        self.task.config(self.model, self.text, self.plan, *_IDS)  # which names what does not fit

    @property
    def task(self) -> type[Task]:
        """What the model is trained for."""
        return task_of(self.model)

    @staticmethod
    def is_begun(folder: Path) -> bool:
        """Whether a folder holds a run."""
        return (folder / RUN_FILE).is_file()

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


def read_run(name: str | Path, settings: Iterable[str] = (), first: str = "") -> Run:
    """A run from a recipe's name or a TOML file, with settings such as `plan.steps=100` on top.

    Args:
        name: of the recipe, or of the file.
        settings: as `key=value`.
        first: a model to go on from, in place of the one which the run would begin: it has a tokenizer too.

    Raises:
        FileNotFoundError: if there is neither such a recipe nor such a file, or no such model.
        ValueError: if the file is not TOML, or a key or a value is not known; names the nearest key; if the model is
            not of the kind which the run trains.
    """
    table, path = read_table(name)
    if first:
        table = _with_model(table, first, str(path))
    for setting in (settings := list(settings)):
        _set(table, setting)
    _require_use(parsed_settings(settings), table)
    return build_run(table, str(path))


def _require_use(settings: dict[str, Any], table: dict[str, Any]) -> None:
    """Refuse settings which nothing of a run would heed.

    Raises:
        ValueError: if there is one; names it.
    """
    tables = {part: values for part, values in table.items() if isinstance(values, dict)}
    asked = {part: values for part, values in settings.items() if isinstance(values, dict)}
    there = tables.get("text", {}).get("load") or tables.get("model", {}).get("from")
    if there and (wrong := [key for key in OF_TRAINED if key in asked.get("text", {})]):
        raise ValueError(f"text.{wrong[0]} means nothing beside the tokenizer of {there}; leave it out")
    if wrong := [key for key in VOCABULARIES if key in asked.get("model", {})]:
        raise ValueError(f"model.{wrong[0]} means nothing, for it is the tokenizer's; leave it out")


def _with_model(table: dict[str, Any], first: str, place: str) -> dict[str, Any]:
    """A run which goes on from a model, and trains neither one of its own nor a tokenizer."""
    model = {"kind": kind_of_model(first), "from": first}
    before = table.get("model", model)
    if task_of(before) is not task_of(model):
        raise ValueError(
            f"{first} holds {model['kind']}, and {place} is a run of {before['kind']}, which reads something else: "
            "take one of a model of its kind"
        )
    text = {key: value for key, value in table.get("text", {}).items() if key not in OF_TRAINED}
    return {**table, "about": f"{table['name']}, from {first}", "model": model, "text": text}


def read_table(name: str | Path) -> tuple[dict[str, Any], Path]:
    """A run as nested plain values, of a recipe or a TOML file, whose name it has if it says no other; and that file.

    Raises:
        FileNotFoundError: if there is neither such a recipe nor such a file.
        ValueError: if the file is not TOML.
    """
    known = recipes()
    path = known.get(str(name), Path(name))
    if not path.is_file():
        hint = did_you_mean(str(name), known)
        raise FileNotFoundError(f"no recipe and no file {str(name)!r}; the recipes are {', '.join(known)}{hint}")
    table = read_toml(path)
    table.setdefault("name", path.stem)
    return table, path


def read_toml(path: Path) -> dict[str, Any]:
    """A file as nested plain values.

    Raises:
        ValueError: if it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error


def differences(before: Run, after: Run) -> list[str]:
    """The settings in which two runs differ, such as plan.steps."""
    return differing(before.table(), after.table())


def differing(one: Any, other: Any, place: str = "") -> list[str]:
    """The dotted names of the values in which two tables differ."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return [] if one == other else [place]
    inner = ((key, f"{place}.{key}" if place else key) for key in {**one, **other})
    return [name for key, there in inner for name in differing(one.get(key), other.get(key), there)]


def parsed_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Settings such as `memory=640` as a table."""
    table: dict[str, Any] = {}
    for setting in settings:
        _set(table, setting)
    return table


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


def task_of(model: dict[str, Any]) -> type[Task]:
    """What a model of a run is trained for."""
    reads = entry_of(str(model.get("kind", ""))).reads
    return FineTuningTask if reads == "inputs" and model.get("head") in LABELS else TASKS[reads]


def _class_of(part: str, model: dict[str, Any], table: dict[str, Any]) -> type:
    """Of which class a part of a run is, for the model and the part's own table."""
    task = task_of(model)
    return {"text": task.text, "plan": task.plan}.get(part) or task.material(model, table)


def build_run(table: dict[str, Any], place: str) -> Run:
    """A run from nested plain values.

    Raises:
        ValueError: if a key or a value is not known, or parts do not go together.
    """
    if "model" not in table:
        raise ValueError(f"{place}: missing model")
    if not isinstance(table["model"], dict):
        raise ValueError(f"{place}: model must be a table, got {table['model']!r}")
    try:
        values: dict[str, Any] = {"text": {}, "plan": {}, **table}
        for part in _PARTS:
            if part in values:
                if not isinstance(values[part], dict):
                    raise ValueError(f"{place}: {part} must be a table, got {values[part]!r}")
                kind = _class_of(part, table["model"], values[part])
                values[part] = configured(kind, values[part], f"{place}: {part}")
        return configured(Run, values, place)
    except ValueError as error:
        raise error if str(error).startswith(place) else ValueError(f"{place}: {error}") from error
