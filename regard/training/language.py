"""Training of language models: running text in, a writer out."""

import math
from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from torch import nn

from regard.data.corpus import Corpus
from regard.data.loading import Batches, Cursor, stream
from regard.data.sources import located
from regard.data.text_store import TextStore
from regard.data.windows import Segments, Stretches, Windows
from regard.decoding.writer import Writer
from regard.evaluate.likelihood import Reading, likelihood
from regard.models import entry_of
from regard.objectives.next_token import NextToken
from regard.objectives.segments import NextTokenOfSegments
from regard.storage.names import require
from regard.training.beginning import configuration, text_tokenizer
from regard.training.plan import Batch, Plan, Say, Task, Text

READINGS = ("documents", "stream", "segments")


@dataclass(frozen=True)
class LanguageText(Text):
    """How running text becomes ids."""

    kind: str = "bytes"


@dataclass(frozen=True)
class LanguagePlan(Plan):
    """How a language model is trained."""

    context: int = 0  # tokens which are predicted together at most; 0 is the model's own context
    # `documents`, none of which sees another; one `stream`, cut anywhere; or `segments` of one, in order, with memory
    reading: str = "documents"

    positive: ClassVar = (*Plan.positive, "tokens")
    not_negative: ClassVar = (*Plan.not_negative, "context")

    def __post_init__(self):
        super().__post_init__()
        require("plan.reading", self.reading, READINGS)


class LanguageTask(Task):
    """The task of a run on running text."""

    text, plan = LanguageText, LanguagePlan

    @classmethod
    def material(cls, model: dict[str, Any], table: dict[str, Any]) -> type:
        """Where the text is found."""
        return Corpus

    @classmethod
    def config(cls, model: dict[str, Any], text: Text, plan: LanguagePlan, *vocabularies: int) -> Any:
        """The model's configuration for a tokenizer of this size."""
        config, kind = configuration(model, vocabulary=vocabularies[0]), model["kind"]
        longest = getattr(config, "context", 0)
        if not longest and not plan.context:
            raise ValueError(f"{kind} has no context of its own: set plan.context, the tokens of a segment")
        if longest and plan.context > longest:
            raise ValueError(f"plan.context={plan.context} exceeds the {longest} positions of the model's context")
        if plan.reading == "segments" and not hasattr(entry_of(kind).model, "read"):
            raise ValueError(f"{kind} carries no memory from segment to segment: set plan.reading = 'stream'")
        if (plan.context or longest) > plan.tokens:
            raise ValueError(
                f"plan.tokens={plan.tokens} cannot hold one stretch of {plan.context or longest} tokens; raise it, or "
                "lower plan.context"
            )
        return config

    def prepare(self, say: Say, *, keeps: bool) -> None:
        """Make or open the tokenizer and the two stores of text."""
        self.tokenizer = text_tokenizer(self.run, self.folder, say)
        self.train, self.validation = (self._store(name, say, keeps) for name in ("train", "validation"))
        self.context = self.run.plan.context or self.build_config().context

    def _store(self, name: str, say: Say, keeps: bool) -> TextStore:
        """The tokenised text of this name."""
        place = self.folder / "data" / name
        if keeps and place.is_dir():
            store = TextStore.open(place)
        else:
            corpus = located(getattr(self.run, name))
            store = TextStore.prepare(place, corpus, self.tokenizer, skips=self.run.text.skip)
        counts = ", ".join(f"{count:,} {unit}" for unit, count in store.counts.items())
        say(f"{name}: {counts}; {store.skipped}")
        return store

    def build_config(self) -> Any:
        """The model's configuration for the tokenizer which was prepared."""
        return self.config(self.run.model, self.run.text, self.run.plan, self.tokenizer.size)

    def objective(self, model: nn.Module) -> nn.Module:
        """Each token from those before it."""
        return NextTokenOfSegments(model) if self.run.plan.reading == "segments" else NextToken(model)

    def batches(self, cursor: Cursor, rank: int, processes: int) -> Generator[tuple[Batch, Cursor], None, None]:
        """The stream of windows, or of segments."""
        plan = self.run.plan
        if plan.reading == "segments":
            batches = Segments(self.train, self.context, plan.tokens, rank, processes)
            rank, processes = 0, 1  # each process has its own lanes already
        else:
            documents = plan.reading == "documents"
            batches = Windows(self.train, self.context, plan.tokens, documents, plan.seed)
        planned = cast(Batches[Stretches, Batch], batches)
        found = stream(planned, cursor, rank=rank, processes=processes, workers=plan.workers)
        return cast(Generator[tuple[Batch, Cursor], None, None], found)

    def about_batches(self) -> str:
        """How the text is read."""
        plan = self.run.plan
        ways = {
            "documents": f"documents, cut into windows of {self.context:,} tokens, none of which sees another",
            "stream": f"one stream, cut into windows of {self.context:,} tokens",
            "segments": f"{plan.tokens // self.context:,} lanes of segments of {self.context:,} tokens, with memory",
        }
        return f"{plan.tokens:,} tokens a batch: {ways[plan.reading]}"

    def trained(self, model: nn.Module) -> Writer:
        """The writer."""
        return Writer(model, self.tokenizer)

    def measure(self, trained: Writer, products: AbstractContextManager[None]) -> dict[str, float]:
        """Loss, perplexity and bits per character and byte of the validation text, read as in training."""
        with products:
            found = likelihood(trained.model, self.validation, self.reading)
        nats = found.nats / found.tokens
        characters, bytes = (self.validation.counts[unit] / self.validation.tokens for unit in ("characters", "bytes"))
        return {
            "nats": nats,
            "perplexity": math.exp(min(50.0, nats)),
            "bits_per_character": nats / math.log(2) / characters,
            "bits_per_byte": nats / math.log(2) / bytes,
        }

    @property
    def reading(self) -> Reading:
        """How a text is read to be measured: as in training."""
        plan = self.run.plan
        return Reading(
            context=self.context,
            tokens=plan.tokens,
            documents=plan.reading == "documents",
            lanes=plan.tokens // self.context if plan.reading == "segments" else 0,
        )

    @property
    def of_memory(self) -> tuple[str, ...]:
        """What decides how many lanes there are, and where in the text each of them is."""
        return ("context", "reading", "tokens") if self.run.plan.reading == "segments" else ()
