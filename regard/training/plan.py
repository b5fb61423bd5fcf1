"""How any model is trained, and what a task adds to that."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from regard.data.loading import Cursor
from regard.models import MODELS
from regard.storage.names import require
from regard.text.tokenizer import KINDS, Tokenizer
from regard.training.beginning import go_on_from
from regard.training.budget import Budget
from regard.training.optimisers import OPTIMISERS, require_use, scaled
from regard.training.schedules import SCHEDULES

Say = Callable[[str], None]
LARGEST_SEED = 2**32 - 1  # steps and processes make seeds of their own of it, which torch takes below 2^64


@dataclass(frozen=True)
class Text:
    """How text becomes ids."""

    kind: str = "bpe"  # one of `kinds`
    vocabulary: int = 8000  # ids of each tokenizer at most; for kinds which only count 0 is all of them
    minimum: int = 1  # how often a unit must be seen
    lowercase: bool = False
    load: str = ""  # a tokenizer.json, or a folder with one, instead of training
    skip: bool = False  # count and pass over what cannot be used, instead of stopping

    kinds: ClassVar = tuple(KINDS)

    def __post_init__(self):
        require("text.kind", self.kind, self.kinds)

    def trained_on(self, texts: Iterable[str]) -> Tokenizer:
        """A tokenizer of this kind, trained on texts."""
        return Tokenizer.train(
            texts,
            kind=self.kind,
            minimum=self.minimum,
            lowercase=self.lowercase,
            vocabulary=self.vocabulary or None,
        )


@dataclass(frozen=True)
class Plan:
    """How a model is trained."""

    steps: int = 10000  # updates; with a budget, its parts by which all else in steps is stretched over it
    budget: str = ""  # what updates may take instead of so many steps, as 10min, 5Mtokens, 2PFLOP
    tokens: int = 4096  # of a batch on each process
    accumulate: int = 1  # batches of each process in one update
    workers: int = 0  # processes which read ahead
    seed: int = 1
    precision: str = "float32"  # or bfloat16
    optimiser: str = "adam"
    decay: float = 0.0  # of matrices, apart from the gradient; of adamw, bert and lamb
    beta2: float = 0.0  # share of squared gradients which a step keeps, but for sgd's; 0 is the optimiser's own
    rate: float = 1.0  # times the schedule
    schedule: str = "noam"
    warmup: int = 4000  # steps
    floor: float = 0.0  # share of the rate at which the schedules "linear" and "cosine" end
    halve_after: int = 0  # steps, of the schedule "halving"
    halve_every: int = 0
    clip: float = 0.0  # largest global norm of a gradient; 0 does not clip
    divide: str = "tokens"  # what the summed loss is divided by: tokens, sentences or nothing
    rise: float = 3.0  # nats a token by which the loss may rise above its lowest before the run is stopped
    validate_every: int = 500  # steps
    best: str = "loss"  # what names the best checkpoint
    save_every: int = 500  # steps
    keep: int = 2  # last checkpoints on the disk
    average: int = 0  # last checkpoints whose mean is tried at the end
    patience: int = 0  # validations without a better one before the run ends; 0 goes on to the last step

    positive: ClassVar = ("steps", "accumulate", "validate_every", "save_every", "keep")
    not_negative: ClassVar = (
        "tokens",
        "workers",
        "seed",
        "warmup",
        "halve_after",
        "clip",
        "average",
        "decay",
        "patience",
    )
    merits: ClassVar = ("loss",)

    def __post_init__(self):
        require("plan.optimiser", self.optimiser, OPTIMISERS)
        require("plan.schedule", self.schedule, SCHEDULES)
        require("plan.precision", self.precision, ("float32", "bfloat16"))
        require("plan.divide", self.divide, ("tokens", "sentences", "nothing"))
        require("plan.best", self.best, self.merits)
        for name in self.positive:
            if getattr(self, name) < 1:
                raise ValueError(f"plan.{name} must be 1 or more, got {getattr(self, name)}")
        for name in self.not_negative:
            if not getattr(self, name) >= 0:  # nor is it "not a number", which is not negative
                raise ValueError(f"plan.{name} must not be negative, got {getattr(self, name)}")
        if self.seed > LARGEST_SEED:
            raise ValueError(f"plan.seed must be {LARGEST_SEED} or less, got {self.seed}")
        for name in ("rate", "rise"):
            if not getattr(self, name) > 0:
                raise ValueError(f"plan.{name} must be a number above 0, got {getattr(self, name)}")
        if self.schedule == "halving" and self.halve_every < 1:
            raise ValueError("plan.schedule='halving' needs plan.halve_every")
        if not 0.0 <= self.floor < 1.0:
            raise ValueError(f"plan.floor must lie in [0, 1), got {self.floor}")
        if self.floor and self.schedule not in ("linear", "cosine"):
            raise ValueError(f"plan.floor is of the schedules linear and cosine, got plan.schedule={self.schedule!r}")
        if self.budget:
            Budget.read(self.budget)
            if self.patience:
                raise ValueError("plan.patience ends a run before plan.budget is spent; leave one of them out")
        require_use(self.optimiser, self.decay, self.beta2)


class Batch(Protocol):
    """What an objective is given."""

    @property
    def parts(self) -> tuple[Any, ...]:
        """The arguments of the objective; the memory of the batch before is one more, where this one goes on."""
        ...

    @property
    def goes_on(self) -> bool:
        """Whether the batch goes on from the one before."""
        ...

    @property
    def targets(self) -> int:
        """Tokens which are predicted."""
        ...

    @property
    def extent(self) -> int:
        """Tokens of the sequences in which something is predicted: what a budget of tokens counts."""
        ...

    def __len__(self) -> int:
        """Sequences which are predicted."""
        ...

    def to(self, device: torch.device | str) -> Any:
        """The same batch with its tokens on `device`."""
        ...


class Trained(Protocol):
    """A model with what it needs to be used."""

    model: Any

    @classmethod
    def load(cls, folder: str | Path) -> Any:
        """What was saved in a model directory."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write all of it into a model directory."""
        ...


class Task(ABC):
    """What a model is trained for: its data, its objective, and what it is worth.

    Args:
        run: a run whose parts are of this task's types.
        folder: of the run.
    """

    text: ClassVar[type]
    plan: ClassVar[type[Plan]]

    def __init__(self, run: Any, folder: Path):
        self.run, self.folder = run, folder

    @property
    def unit(self) -> str:
        """What is counted as done."""
        return "target tokens"

    @classmethod
    @abstractmethod
    def material(cls, model: dict[str, Any], table: dict[str, Any]) -> type:
        """The class which says where the text of a run is found, for the model and a table of its file."""

    @classmethod
    @abstractmethod
    def config(cls, model: dict[str, Any], text: Any, plan: Any, *vocabularies: int) -> Any:
        """The model's configuration for tokenizers of these sizes.

        Raises:
            ValueError: if these parts of a run do not go together.
        """

    @abstractmethod
    def prepare(self, say: Say, *, keeps: bool) -> None:
        """Make or open the tokenizers and the tokenised text in the folder.

        Args:
            say: what was found is said here.
            keeps: take the text which is there as it is, so that a run goes on with the data it began with; else one
                which is not up to date is made anew.
        """

    @abstractmethod
    def build_config(self) -> Any:
        """The model's configuration for the tokenizers which were prepared."""

    def build_model(self) -> nn.Module:
        """The model, at its published start."""
        return MODELS[self.run.model["kind"]].model(self.build_config())

    def begin(self, model: nn.Module, say: Say) -> None:
        """Give a new run's model the weights which it goes on from, where the run names a model which has some."""
        if first := self.run.model.get("from"):
            go_on_from(model, first)

    def begun(self, say: Say) -> nn.Module:
        """The model with which a new run of this seed begins."""
        torch.manual_seed(self.run.plan.seed)
        model = self.build_model()
        self.begin(model, say)
        return model

    def groups(self, objective: nn.Module) -> list[dict[str, Any]]:
        """The parameters which are trained, each group with its share of the rate."""
        return [scaled(objective.parameters())]

    @abstractmethod
    def objective(self, model: nn.Module) -> nn.Module:
        """A module around a model which gives the `Loss` of a batch's parts."""

    @abstractmethod
    def batches(self, cursor: Cursor, rank: int, processes: int) -> Generator[tuple[Batch, Cursor], None, None]:
        """The stream of batches of one process, each with the cursor after it."""

    @abstractmethod
    def about_batches(self) -> str:
        """What is said of the batches at the start of a run."""

    @abstractmethod
    def trained(self, model: nn.Module) -> Trained:
        """A model with its tokenizers."""

    @abstractmethod
    def measure(self, trained: Any, products: AbstractContextManager[None]) -> dict[str, float]:
        """What a model is worth on the validation text, `nats` (a token) among it."""

    @property
    def of_memory(self) -> tuple[str, ...]:
        """Settings of the plan by which a memory is laid out, where batches go on from those before: a run keeps them.

        It also goes on with the number of processes it had alone, each of which has the memory of its own lanes.
        """
        return ()
