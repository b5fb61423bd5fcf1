"""Fine-tuning: an encoder which was trained before, a head, and labelled examples."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from regard.data.benchmarks import GluePart, SquadFile
from regard.data.inputs import Draws, Examples, batches_of
from regard.data.loading import Batches, Cursor, stream
from regard.data.table import Table
from regard.data.tagged import TaggedText
from regard.evaluate.assessment import assess, measured
from regard.models import MODELS, entry_of
from regard.models.directory import Directory
from regard.models.heads import HEADS, Classifier, pairs_of, require_options
from regard.models.parameters import fill, plain_weights
from regard.models.saved import load_encoder, load_model
from regard.objectives.labels import LABELS, labels_of
from regard.reading.preparing import SPANS, Form, Prepared, prepare
from regard.reading.reader import Reader
from regard.storage.configuration import configured
from regard.storage.names import require
from regard.storage.weights import read_tensors, write_tensors
from regard.text.tokenizer import TOKENIZER, Tokenizer
from regard.training.labelled import keep_digest, read_items, validation_items
from regard.training.optimisers import scaled
from regard.training.plan import Batch, Plan, Say, Task

TRAIN = "train.safetensors"
HEAD_DROPOUT = 0.1  # Devlin et al. 2019, appendix A.3


@dataclass(frozen=True)
class FineTuningText:
    """How texts become inputs."""

    longest: int = 128  # tokens of an input, special ones included
    stride: int = 128  # tokens between the starts of two windows of a context
    share: float = 0.1  # of the training examples, to validate on where no others are named
    skip: bool = False  # count and pass over rows which cannot be used, instead of stopping

    def __post_init__(self):
        if self.longest < 4 or self.stride < 1:
            raise ValueError(
                f"text.longest must be 4 or more and text.stride 1 or more, got {self.longest} and {self.stride}"
            )
        if not 0.0 < self.share < 1.0:
            raise ValueError(f"text.share must lie between 0 and 1, got {self.share}")


@dataclass(frozen=True)
class FineTuningPlan(Plan):
    """How an encoder is fine-tuned; the values are those of Devlin et al. 2019, appendix A.3, but for the optimiser.

    Theirs, "bert", leaves out Adam's correction of the first steps, and may end small sets at the most frequent class
    (Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning").
    """

    tokens: int = 0  # no limit: a batch has so many examples, whatever their length
    examples: int = 32  # of a batch on each process
    optimiser: str = "adamw"
    beta2: float = 0.999
    decay: float = 0.01
    rate: float = 5e-5
    schedule: str = "linear"
    clip: float = 1.0
    rise: float = 100.0
    layer_decay: float = 1.0  # the rate of a layer is that of the one above times this
    freeze: int = 0  # lower layers which stay as they are, embeddings with them
    auxiliary: float = 0.0  # share of the next token's loss beside that of the labels; of GPT alone
    best: str = "loss"

    positive: ClassVar = (*Plan.positive, "examples")
    not_negative: ClassVar = (*Plan.not_negative, "freeze", "auxiliary")
    merits: ClassVar = (
        *("loss", "accuracy", "f1", "macro_f1", "matthews", "pearson", "spearman", "entity_f1"),
        *("exact", "best_f1"),
    )

    def __post_init__(self):
        super().__post_init__()
        if self.tokens:
            raise ValueError(f"a batch is bounded by plan.examples here, not by plan.tokens={self.tokens}; leave it 0")
        if not 0.0 < self.layer_decay <= 1.0:
            raise ValueError(f"plan.layer_decay must lie above 0 and up to 1, got {self.layer_decay}")


class FineTuningTask(Task):
    """The task of a run on labelled examples.

    The model's table says `from`, the directory of the encoder; `head`, what stands on it; `labels`, the classes;
    `head_dropout`, the dropout below the head, 0.1 where it is not said; `both_orders`, whether pairs are read in both;
    `scale`, the numbers for which a cosine of 0 and one of 1 stand; and all fields of the encoder's configuration, so
    that a run which was begun does not need that directory any more.
    """

    text, plan = FineTuningText, FineTuningPlan

    @property
    def unit(self) -> str:
        """What is counted as done."""
        return "words" if self.run.model["head"] == "tagging" else "examples"

    @classmethod
    def material(cls, model: dict[str, Any], table: dict[str, Any]) -> type:
        """Where the examples are found."""
        if "task" in table:
            return GluePart
        return {**dict.fromkeys(SPANS, SquadFile), "tagging": TaggedText}.get(str(model.get("head")), Table)

    @classmethod
    def config(cls, model: dict[str, Any], text: FineTuningText, plan: FineTuningPlan, *vocabularies: int) -> Any:
        """The encoder's configuration."""
        values = dict(model)
        kind, head, labels = str(values.pop("kind", "")), values.pop("head", ""), values.pop("labels", [])
        values.pop("from", "")
        rate = values.pop("head_dropout", HEAD_DROPOUT)
        if not isinstance(rate, float) or not 0.0 <= rate < 1.0:
            raise ValueError(f"model.head_dropout must be a rate in [0, 1), got {rate!r}")
        options = _options(values)
        values = {name: value for name, value in values.items() if name not in options}
        entry = entry_of(kind)
        require("model.head", head, LABELS)
        require(f"model.head of {kind}", head, heads_of(kind))
        require_options(head, options, "model.")
        if plan.auxiliary and not entry.model.is_causal:
            raise ValueError(f"plan.auxiliary is of models which see what comes before alone, as gpt, got {kind}")
        if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
            raise ValueError(f"model.labels must be a list of texts, got {labels!r}")
        if bool(labels) != (not HEADS[head].size):
            raise ValueError(f"model.labels must name the classes of a head for {head}, got {labels}")
        require(f"plan.best of {head}", plan.best, ("loss", *measured(head, labels)))
        if hasattr(entry.config, "pools"):
            values["pools"] = HEADS[head].pools
        config = configured(entry.config, values, "model")
        limit = getattr(config, "context", text.longest)
        if text.longest > limit:
            raise ValueError(
                f"text.longest={text.longest} exceeds the {limit} positions which the model knows; lower it"
            )
        layers = getattr(config, "depth", 0)
        if plan.freeze > layers:
            raise ValueError(f"plan.freeze={plan.freeze} exceeds the model's {layers} layers")
        if plan.freeze == layers and not HEADS[head].has_weights:
            raise ValueError(f"{head} has no weight beside the encoder's: lower plan.freeze, or there is none to train")
        if (0 < plan.freeze < layers or plan.layer_decay < 1) and hasattr(config, "groups"):
            raise ValueError("layers which share their weights cannot be told apart: leave plan.freeze and layer_decay")
        return config

    def prepare(self, say: Say, *, keeps: bool) -> None:
        """Make or open the tokenizer and the examples."""
        run, folder = self.run, self.folder
        if not run.is_begun(folder):
            tokenizer_for(Path(run.model["from"]), run.model["kind"]).save(folder / TOKENIZER)
            run.save(folder)  # last: a folder with a run.toml has its tokenizer
        self.tokenizer = Tokenizer.load(folder / TOKENIZER)
        sums_up_last = MODELS[run.model["kind"]].model.sums_up_last
        framing = self.tokenizer.framing(is_last=sums_up_last)
        pairs = pairs_of(run.model["head"], _options(run.model))
        self.form = Form(self.tokenizer, framing, run.text.longest, run.text.stride, pairs)
        place = folder / "data" / TRAIN
        if keeps and place.is_file():
            self.train, self.items = Examples.from_tensors(read_tensors(place)), validation_items(run, folder)
        else:
            train, self.items = read_items(run)
            prepared = self._prepared(train)
            say(f"train: {prepared}")
            self.train = prepared.examples
            if run.model["head"] in SPANS:
                self.train = self.train.chosen(np.flatnonzero(self.train.labels[:, 0].numpy() >= 0))
            place.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(place, self.train.tensors())
            keep_digest(self.items, folder)
        self.validation = self._prepared(self.items)
        say(f"validation: {self.validation}")

    def _prepared(self, items: Any) -> Prepared:
        """Examples as the model reads them."""
        return prepare(self.run.model["head"], items, self.run.model.get("labels", []), self.form)

    def build_config(self) -> Any:
        """The encoder's configuration."""
        return self.config(self.run.model, self.run.text, self.run.plan)

    def build_model(self) -> nn.Module:
        """An encoder of random weights, with the head."""
        model = self.run.model
        encoder = MODELS[model["kind"]].model(self.build_config())
        rate = model.get("head_dropout", HEAD_DROPOUT)
        return HEADS[model["head"]](encoder, model.get("labels", ()), dropout=rate, **_options(model))

    def begin(self, model: Any, say: Say) -> None:
        """Give the encoder the weights which it was trained to before, and the head too, if it is the same there."""
        folder, head = Path(self.run.model["from"]), self.run.model["head"]
        there, labels = Directory.read(folder).head
        if there == head and set(labels) == set(model.labels):
            found = load_model(folder)
            weights, aim = _in_order(plain_weights(found), labels, model.labels), model
            say(f"{folder} has a head for {head}{' with these labels' * bool(labels)}: it is trained further")
        else:
            encoder, is_fresh = load_encoder(folder, pools=HEADS[head].pools)
            weights, aim = plain_weights(encoder), model.encoder
            if is_fresh:
                say(f"{folder} has no layer which sums inputs up: it begins at random")
            other = f"that for {there} in {folder} {'tells other labels apart' if there == head else 'is another'}"
            if HEADS[head].has_weights:
                say(f"the head for {head} begins at random" + (f"; {other}, and is left out" if there else ""))
        if model.encoder.is_causal:  # special tokens which are new begin at random
            name = "token.weight" if aim is model.encoder else "encoder.token.weight"
            known = weights[name][: Tokenizer.load(folder).size]
            weights[name] = torch.cat([known, plain_weights(aim)[name][len(known) :]])
        fill(aim, weights, str(folder))

    def objective(self, model: nn.Module) -> nn.Module:
        """What the head learns, with the lower layers frozen which are to stay; before other processes see them."""
        objective = labels_of(self.run.model["head"], model, self.run.plan.auxiliary)
        depth = self.build_config().depth
        for name, parameter in objective.named_parameters():
            if _layer(name, depth) <= self.run.plan.freeze > 0:
                parameter.requires_grad_(False)
        encoder: Any = model.encoder
        for name in encoder.unread:  # several processes would wait for its gradient
            encoder.get_parameter(name).requires_grad_(False)
        return objective

    def groups(self, objective: nn.Module) -> list[dict[str, Any]]:
        """The parameters by layer, each with its share of the rate; frozen ones are in none."""
        decay, depth = self.run.plan.layer_decay, self.build_config().depth
        layers: dict[int, list[nn.Parameter]] = {}
        for name, parameter in objective.named_parameters():
            if parameter.requires_grad:
                layers.setdefault(_layer(name, depth) if decay < 1 else 0, []).append(parameter)
        top = max(layers)
        return [scaled(own, decay ** (top - layer)) for layer, own in sorted(layers.items())]

    def batches(self, cursor: Cursor, rank: int, processes: int) -> Generator[tuple[Batch, Cursor], None, None]:
        """Batches of examples, in a new order each epoch."""
        plan = self.run.plan
        draws = cast(Batches[Any, Batch], Draws(self.train, plan.examples, plan.seed))
        found = stream(draws, cursor, rank=rank, processes=processes, workers=plan.workers)
        return cast(Generator[tuple[Batch, Cursor], None, None], found)

    def about_batches(self) -> str:
        """How long the run is."""
        plan = self.run.plan
        epochs = plan.steps * plan.accumulate / batches_of(len(self.train), plan.examples)
        what = "windows" if self.run.model["head"] in SPANS else "examples"
        return f"{plan.examples} {what} a batch, {epochs:.3g} epochs"

    def trained(self, model: nn.Module) -> Reader:
        """The reader."""
        return Reader(model, self.tokenizer, longest=self.run.text.longest)

    def measure(self, trained: Reader, products: AbstractContextManager[None]) -> dict[str, float]:
        """What the model makes of the validation examples."""
        with products:
            return assess(trained, self.validation, self.items).measures


def _options(model: Mapping[str, Any]) -> dict[str, Any]:
    """What a model's table says of its head beside labels and dropout: keywords of the head."""
    return {name: model[name] for name in ("both_orders", "scale") if name in model}


def heads_of(kind: str) -> list[str]:
    """The heads which an encoder of this kind may be tuned with; above GPT those which read sums."""
    is_causal = MODELS[kind].model.is_causal
    return [head for head in LABELS if not is_causal or issubclass(HEADS[head], Classifier)]


def tokenizer_for(folder: Path, kind: str) -> Tokenizer:
    """The tokenizer of a model which is to be tuned; GPT's gets its special tokens of tasks."""
    tokenizer = Tokenizer.load(folder)
    return tokenizer.for_tasks() if MODELS[kind].model.is_causal else tokenizer


def _in_order(weights: dict[str, Tensor], labels: Sequence[str], wanted: Sequence[str]) -> dict[str, Tensor]:
    """Weights of a head, its classes in another order."""
    order = [labels.index(label) for label in wanted]
    rows = {name: tensor[order] for name, tensor in weights.items() if name.startswith("output.") and order}
    return weights | rows


def _layer(name: str, depth: int) -> int:
    """Where a parameter stands: 0 for embeddings, 1 and so on for layers, above them the last norm, sum and head."""
    parts = name.split(".")  # wrappers of several processes may stand before the encoder
    if "encoder" not in parts or "pooler" in parts or "end" in parts:
        return depth + 1
    inside = parts[parts.index("encoder") + 1 :]
    return int(inside[1]) + 1 if inside[0] == "blocks" else 0
