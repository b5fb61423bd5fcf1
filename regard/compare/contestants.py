"""From what a user says to a comparison: which systems, on which data, under which budget.

A contestant is a recipe, a file of a run, or an architecture with its size. What is read, into which tokens, and in
which batches, all contestants have from one recipe or file. A contestant's own are its model and how that is optimised.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from regard.compare.comparison import DATA, OURS, Comparison, require_alike, shared_by
from regard.models import MODELS, entry_of
from regard.recipes import comparisons, recipes
from regard.storage.names import did_you_mean
from regard.training.plan import Say
from regard.training.run import parsed_settings, read_table, read_toml

Table = dict[str, Any]
KEYS = (
    "about",
    "budget",
    "seeds",
    "recipe",
    "finetune",
    "contestants",
    "model",
    "plan",
    *DATA,
)  # of a comparison's file
PLACES = ("train", "validation", "test")
POINTS = 10  # measurements on the way, at equal shares of the budget
LAST = 0.1  # of a text, which is validated on where nobody says on what
# How architectures are trained which come without a recipe, on data which come without one; by what models read.
PLANS: dict[str, Table] = {
    "pairs": {"optimiser": "adam", "schedule": "linear", "rate": 0.001, "clip": 1.0},
    "text": {"optimiser": "adamw", "decay": 0.1, "beta2": 0.999, "schedule": "cosine", "rate": 0.001, "floor": 0.1}
    | {"clip": 1.0, "reading": "stream"},
    "inputs": {"schedule": "linear", "rate": 0.001},
}
PACE: Table = {"steps": 1000, "warmup": 100, "tokens": 2048}
_SETTING = re.compile(r",(?=[\w.]+=)")  # between settings of a contestant; a comma in a value is none


def read_comparison(
    models: Sequence[str],
    *,
    data: str = "",
    validation: str = "",
    budget: str = "",
    seeds: int = 0,
    finetune: str = "",
    settings: Iterable[str] = (),
    say: Say = lambda text: None,
) -> Comparison:
    """The comparison which a user asks for.

    Args:
        models: contestants, `RECIPE`, `RUN.toml`, `KIND` or `KIND:SIZE`, each with settings of its own behind commas
            where it has some, as `wikitext2-transformer-xl,model.memory=0`; or the name or file of one comparison.
        data: whose data all share: a recipe, a file of a run, a text, or two, `SOURCE,TARGET`; without, the first
            contestant's.
        validation: a text, or two, where `data` is one.
        budget: as 10min, 5Mtokens or 2PFLOP; without, the comparison's own.
        seeds: of each contestant; 0 is as many as the comparison says, or 1.
        finetune: labelled examples on which pre-trained encoders are measured, a table or the folder of a GLUE task.
        settings: of all contestants, as plan.tokens=512, or of finetune, as finetune.epochs=1.
        say: what contestants share, and have otherwise in their own recipes, is said here.

    Raises:
        FileNotFoundError: if a name is none of these.
        ValueError: if a key or a value is not known, or contestants do not go together.
    """
    changes = parsed_settings(settings)
    for key, option in (("budget", "--budget"), ("seed", "--seeds")):
        if key in changes.get("plan", {}):
            raise ValueError(f"plan.{key} is the comparison's: give {option}")
    table, place = _asked(models)
    _require_keys(table, place)
    tuning = {**table.get("finetune", {}), **({"path": finetune} if finetune else {}), **changes.pop("finetune", {})}
    base = _base(table, data, validation)
    budget, seeds = budget or str(table.get("budget", "")), seeds or table.get("seeds", 1)
    if not budget:
        raise ValueError("say what each contestant may spend, with --budget 10min, 5Mtokens or 2PFLOP")
    made = {"about": str(table.get("about", "")), "budget": budget, "seeds": seeds}
    made["contestants"] = {
        name: _completed(_contestant(name, said, base, place, say), budget, changes)
        for name, said in table["contestants"].items()
    }
    require_alike({name: run["model"].get("kind", "") for name, run in made["contestants"].items()})
    return Comparison.from_table({**made, **({"finetune": tuning} if tuning else {})}, place)


def _asked(models: Sequence[str]) -> tuple[Table, str]:
    """The table of a comparison, and what to call it in messages."""
    if not models:
        raise ValueError("say who competes: recipes, architectures with sizes, or the name of one comparison")
    known = comparisons()
    if len(models) == 1 and (models[0] in known or models[0].endswith(".toml")):
        path = known.get(models[0], Path(models[0]))
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}")
        return read_toml(path), str(path)
    if len(models) == 1:
        hint = did_you_mean(models[0], known)
        raise ValueError(
            f"a comparison needs two contestants or more, or the name of one of {', '.join(known)}, got "
            f"{models[0]!r} alone{hint}"
        )
    if twice := [model for n, model in enumerate(models) if model in models[:n]]:
        raise ValueError(
            f"{twice[0]!r} is named twice; give each contestant settings of its own, as KIND:SIZE,key=value"
        )
    return {"contestants": {model: model for model in models}}, "regard compare"


def _require_keys(table: Table, place: str) -> None:
    """Refuse what a file of a comparison does not have."""
    for key in table:
        if key not in KEYS:
            raise ValueError(f"{place}: unknown key {key!r}{did_you_mean(key, KEYS)}")
    if not isinstance(table.get("contestants"), dict) or not table["contestants"]:
        raise ValueError(f"{place}: contestants must be a table of those who compete")
    for name, said in table["contestants"].items():
        if not isinstance(said, str | dict):
            raise ValueError(f"{place}: {name}: a contestant is a name or a table, got {said!r}")


def _base(table: Table, data: str, validation: str) -> Table:
    """The run whose data, tokenizer and batches all share, and whose model those have who name no other."""
    is_run = _is_run(data)
    if validation and (is_run or not data):
        raise ValueError(f"--validation goes with --data which is a text, got --data {data or 'nothing'}")
    recipe = data if is_run else str(table.get("recipe", "")) or _first_recipe(table)
    base = read_table(recipe)[0] if recipe else {}
    own = ("model", "plan") if is_run else ("model", "plan", *DATA)
    base = merged(base, {key: table[key] for key in own if key in table})
    if data and not is_run:
        base = {key: value for key, value in base.items() if key not in PLACES} | _of_files(data, validation)
    if "train" not in base:
        raise ValueError("no contestant is a recipe which names data; say with --data what is read")
    return base


def _first_recipe(table: Table) -> str:
    """The first contestant which is one, or nothing; a file of a comparison may name its data itself."""
    if "train" in table:
        return ""
    said = table["contestants"].values()
    names = (_parted(one)[0] if isinstance(one, str) else str(one.get("recipe", "")) for one in said)
    return next(filter(_is_run, names), "")


def _is_run(name: str) -> bool:
    """Whether this is a recipe or a file of a run."""
    return name in recipes() or name.endswith(".toml")


def _of_files(data: str, validation: str) -> Table:
    """A run's parts which name plain files."""
    sides, others = data.split(","), validation.split(",") if validation else []
    if len(sides) > 2 or (others and len(others) != len(sides)):
        raise ValueError(f"data is a recipe, one text, or two, SOURCE,TARGET, got {data!r} and {validation!r}")
    if len(sides) == 2:
        if not others:
            raise ValueError("say on which sentences models are validated, with --validation SOURCE,TARGET")
        parts = {"train": sides, "validation": others}
        return {part: dict(zip(("path", "target_path"), paths, strict=True)) for part, paths in parts.items()}
    if others:
        return {"train": {"path": data}, "validation": {"path": validation}}
    parts = {"train": [0.0, 1 - LAST], "validation": [1 - LAST, 1.0]}
    return {part: {"path": data, "share": share} for part, share in parts.items()}


def _parted(spec: str) -> tuple[str, list[str]]:
    """The name of a contestant, and its settings."""
    name, *settings = _SETTING.split(spec)
    return name, settings


def _contestant(name: str, said: str | Table, base: Table, place: str, say: Say) -> Table:
    """A contestant's run: its own model and optimisation, with what all share."""
    own, changes = _own(said, base)
    if strange := [key for key in changes if key not in ("model", "plan")]:
        raise ValueError(f"{place}: {name}: a contestant's own are its model and its plan, not {', '.join(strange)}")
    reads = entry_of(str({**own["model"], **changes.get("model", {})}.get("kind", ""))).reads
    shared = shared_by(reads)
    if common := [key for key in changes.get("plan", {}) if key in (*shared, *OURS)]:
        raise ValueError(f"{place}: {name}: all contestants share plan.{common[0]}; change it for all, with --set")
    of_base = base.get("plan") or PACE | PLANS[reads]
    plan = {key: value for key, value in (own["plan"] or of_base).items() if key not in shared}
    plan |= {key: value for key, value in of_base.items() if key in shared}
    parted = {key: value for key, value in own["plan"].items() if key in shared}
    if replaced := [*_replaced("text", own.get("text", {}), base.get("text", {})), *_replaced("plan", parted, of_base)]:
        say(f"{name} shares {'; '.join(replaced)}")
    return merged({**{part: base[part] for part in DATA if part in base}, "model": own["model"], "plan": plan}, changes)


def _replaced(part: str, own: Table, shared: Table) -> Iterator[str]:
    """What a contestant's recipe has otherwise than all share it."""
    for key, value in own.items():
        if shared.get(key) != value:
            yield f"{part}.{key}={shared.get(key, 'its default')}, not {value}"


def _own(said: str | Table, base: Table) -> tuple[Table, Table]:
    """What a contestant begins with, of its recipe or of the base, and how it is changed."""
    if isinstance(said, str):
        name, settings = _parted(said)
        return _named(name, base), parsed_settings(settings)
    changes = {key: value for key, value in said.items() if key != "recipe"}
    own = {"model": base.get("model", {}), "plan": base.get("plan", {})}
    if "recipe" in said:
        own = _named(str(said["recipe"]), base)
    if changes.get("model", {}).get("kind", "") not in ("", own["model"].get("kind", "")):
        own = {**own, "model": {}}  # what is said of one kind is not true of another
    return own, changes


def _named(name: str, base: Table) -> Table:
    """Model and plan of a recipe, a file, or an architecture; the latter is trained as the base is."""
    if _is_run(name):
        table = read_table(name)[0]
        return {part: table.get(part, {}) for part in ("model", "plan", "text")}
    kind, _, size = name.partition(":")
    if kind not in MODELS:
        known = [*recipes(), *MODELS]
        raise FileNotFoundError(
            f"no recipe, no .toml file and no architecture {name!r}; architectures are {', '.join(MODELS)}"
            f"{did_you_mean(name, known)}"
        )
    sizes = MODELS[kind].sizes
    if not size and len(sizes) > 1:
        raise ValueError(
            f"say of which size {kind} is, as {kind}:{next(iter(sizes))}; its sizes are {', '.join(sizes)}"
        )
    return {"model": {"kind": kind, "size": size}, "plan": base.get("plan", {})}


def _completed(table: Table, budget: str, changes: Mapping[str, Any]) -> Table:
    """A contestant's run under the budget, measured at equal shares of it, with the changes of all."""
    steps = changes.get("plan", {}).get("steps") or table["plan"].get("steps", PACE["steps"])
    every = max(1, -(-int(steps) // POINTS))
    ours = {"steps": steps, "budget": budget, "validate_every": every, "save_every": every, "patience": 0, "seed": 1}
    return merged(merged({"name": "", **table}, {"plan": {**ours, "keep": 1}}), changes)


def merged(table: Table, changes: Mapping[str, Any]) -> Table:
    """A table with changes laid over it, table by table."""
    result = deepcopy(table)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else deepcopy(value)
    return result
