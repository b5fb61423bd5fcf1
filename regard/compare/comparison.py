"""What a comparison is: contestants, what they share, and what each of them may spend."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import tomli_w

from regard.data.benchmarks import GluePart
from regard.data.glue import GLUE_TASKS
from regard.models import entry_of
from regard.storage.configuration import configured
from regard.storage.files import written_whole
from regard.training.budget import Budget
from regard.training.finetuning import FineTuningTask
from regard.training.planning import LabelledSource, Wishes, source_of
from regard.training.run import Run, build_run, read_toml

COMPARISON = "comparison.toml"
DATA = ("train", "validation", "test", "text")  # which all contestants share whole
OURS = ("budget", "validate_every", "save_every", "patience")  # of plans, which the comparison sets
# Keys of plans which make the batches, and how models are measured on the way; a contestant's own are `context` and
# `reading` of language models, which belong to what it is.
BATCHES = (
    *("tokens", "sentences", "pool", "accumulate", "workers", "seed", "precision"),
    *("validate_sentences", "validate_batches", "best", "average", "keep"),
)


@dataclass(frozen=True)
class LabelledTask:
    """What pre-trained contestants are fine-tuned on, all of them alike and outside of the budget.

    Args:
        path: a table of labelled examples, or the folder of one of GLUE's tasks.
        validation: a table on which they are measured; without, GLUE's own, or a tenth of the examples.
        text: column of the text, where it has none of the usual names; `pair` and `label` likewise.
        epochs: times which every example is seen.
        rate: the highest.
        examples: of a batch.
        longest: tokens of an input at most.
        measure: by which the best epoch is chosen and contestants are ranked; without, GLUE's first, or accuracy.
        untrained: whether each contestant is also fine-tuned as it was before it was pre-trained.
    """

    path: str
    validation: str = ""
    text: str = ""
    pair: str = ""
    label: str = ""
    epochs: float = 3.0
    rate: float = 1e-4
    examples: int = 32
    longest: int = 128
    measure: str = ""
    untrained: bool = False

    def __post_init__(self):
        if self.glue is not None and (self.validation or self.text or self.pair or self.label):
            raise ValueError(f"{self.path} is a task of GLUE, whose columns and validation examples are known")
        Wishes(self.epochs)

    @property
    def glue(self) -> str | None:
        """The task of GLUE whose folder this is."""
        name = Path(self.path).name
        return next((task.name for task in GLUE_TASKS.values() if task.folder == name and "train" in task.files), None)

    @property
    def ranks_by(self) -> str:
        """The measure by which contestants are ranked."""
        return self.measure or (GLUE_TASKS[self.glue].metrics[0] if self.glue is not None else "accuracy")

    def sources(self) -> tuple[LabelledSource, LabelledSource | None]:
        """Where examples to train and to validate on are found."""
        if self.glue is not None:
            folder, dev = str(Path(self.path).parent), "dev_matched" if self.glue == "MNLI" else "dev"
            return GluePart(folder, self.glue, "train"), GluePart(folder, self.glue, dev)
        columns = {"text": self.text, "pair": self.pair, "label": self.label}
        return source_of(self.path, "", columns), source_of(self.validation, "", columns) if self.validation else None


@dataclass(frozen=True)
class Comparison:
    """Contestants which differ in their models, and in how these are optimised, and in nothing else.

    Args:
        budget: which each contestant may spend with each seed, as `regard.training.budget` reads it.
        seeds: so many, from 1 on; a seed gives weights their start and examples their order.
        contestants: a run of each, by its name.
        about: a sentence.
        finetune: what pre-trained contestants are measured by.

    Raises:
        ValueError: if contestants do not share what they must, cannot be measured alike, or are fewer than two.
    """

    budget: str
    seeds: int
    contestants: Mapping[str, Run]
    about: str = ""
    finetune: LabelledTask | None = None

    def __post_init__(self):
        Budget.read(self.budget)
        if self.seeds < 1:
            raise ValueError(f"seeds must be 1 or more, got {self.seeds}")
        if len(self.contestants) < 2:
            raise ValueError(f"a comparison needs two contestants or more, got {', '.join(self.contestants) or 'none'}")
        folders: dict[str, str] = {}
        for name in self.contestants:
            if (other := folders.setdefault(folder_name(name), name)) != name:
                raise ValueError(f"the names {other!r} and {name!r} differ too little to be two folders")
        self._require_same_kind()
        self._require_same_data()

    @property
    def first(self) -> Run:
        """One of the runs, for what all share."""
        return next(iter(self.contestants.values()))

    @property
    def reads(self) -> str:
        """What all models read: pairs, text or inputs."""
        return entry_of(self.first.model["kind"]).reads

    @property
    def shared(self) -> tuple[str, ...]:
        """The keys of plans which all share."""
        return shared_by(self.reads)

    def _require_same_kind(self) -> None:
        """Refuse contestants whose models do different things, or learn what no one measure tells of."""
        require_alike({name: run.model["kind"] for name, run in self.contestants.items()})
        if tuned := [name for name, run in self.contestants.items() if run.task is FineTuningTask]:
            raise ValueError(
                f"{tuned[0]} is a run of fine-tuning; compare models which are pre-trained, and fine-tuned after that"
            )
        if self.finetune is not None and self.reads != "inputs":
            raise ValueError("only encoders are fine-tuned on labelled examples; leave finetune out")
        models = [entry_of(run.model["kind"]).model for run in self.contestants.values()]
        learnt = {(hasattr(model, "read"), getattr(model, "is_causal", False)) for model in models}
        if self.reads == "inputs" and len(learnt) > 1 and self.finetune is None:
            raise ValueError(
                "masked, permuted and next words are not equally hard, so that their losses cannot be compared: say by "
                "finetune what the models are measured on"
            )

    def _require_same_data(self) -> None:
        """Refuse contestants which do not learn from the same."""
        for name, run in self.contestants.items():
            if run.plan.budget != self.budget:
                raise ValueError(f"{name} has a budget of its own, {run.plan.budget!r}, not {self.budget!r}")
            differs = [part for part in DATA if getattr(run, part) != getattr(self.first, part)]
            plans = [vars(one.plan) for one in (run, self.first)]
            differs += [f"plan.{key}" for key in self.shared if plans[0].get(key) != plans[1].get(key)]
            if differs:
                raise ValueError(
                    f"contestants share their data and batches, but {name} has another {', '.join(differs)}"
                )

    def run(self, name: str, seed: int) -> Run:
        """The run of a contestant with a seed."""
        run = self.contestants[name]
        return dataclasses.replace(run, name=f"{name}, seed {seed}", plan=dataclasses.replace(run.plan, seed=seed))

    def table(self) -> dict[str, Any]:
        """The comparison as nested plain values."""
        finetune = {} if self.finetune is None else {"finetune": dataclasses.asdict(self.finetune)}
        runs = {name: run.table() for name, run in self.contestants.items()}
        return {"about": self.about, "budget": self.budget, "seeds": self.seeds, **finetune, "contestants": runs}

    def save(self, folder: Path) -> None:
        """Write comparison.toml into a folder."""
        with written_whole(folder / COMPARISON, "wb") as file:
            tomli_w.dump(self.table(), file)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The comparison whose folder this is.

        Raises:
            FileNotFoundError: if it is none.
            ValueError: if the file is not as it was written.
        """
        path = folder / COMPARISON
        if not path.is_file():
            raise FileNotFoundError(f"there is no comparison in {folder}: it has no {COMPARISON}")
        return cls.from_table(read_toml(path), str(path))

    @classmethod
    def from_table(cls, table: dict[str, Any], place: str) -> Self:
        """The reverse of `table`.

        Raises:
            ValueError: if a key or a value is not known.
        """
        values = dict(table)
        if "finetune" in values:
            values["finetune"] = configured(LabelledTask, values["finetune"], f"{place}: finetune")
        runs = values.get("contestants", {})
        values["contestants"] = {name: build_run(run, f"{place}: {name}") for name, run in runs.items()}
        return configured(cls, values, place)


def shared_by(reads: str) -> tuple[str, ...]:
    """The keys of plans which contestants share that read pairs, text or inputs."""
    return (*BATCHES, "context") if reads == "inputs" else BATCHES


def require_alike(kinds: Mapping[str, str]) -> None:
    """Refuse contestants, each with the kind of its model, which do different things.

    Raises:
        ValueError: if there are such; says what they do.
    """
    does = {entry_of(kind).reads: name for name, kind in kinds.items()}
    if len(does) > 1:
        said = ", ".join(f"{name} {READERS[read]}" for read, name in does.items())
        raise ValueError(f"contestants must do the same, but {said}")


READERS = {"pairs": "translates", "text": "writes text", "inputs": "reads text"}  # what models do, by what they read


def folder_name(name: str) -> str:
    """The name of a contestant as that of a folder."""
    return "".join(letter if letter.isalnum() or letter in "-_.+" else "-" for letter in name)
