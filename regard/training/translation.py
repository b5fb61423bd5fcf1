"""Training for translation: sentence pairs in, a translator out."""

import dataclasses
import math
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import nn

from regard.data.batches import PairBatch
from regard.data.buckets import Batching, Buckets, ordered, padding
from regard.data.loading import Cursor, stream
from regard.data.pair_store import PairStore
from regard.data.parallel import Pair, ParallelText
from regard.data.rows import Skipped
from regard.data.sources import located
from regard.decoding.translator import Translator, load_search, load_tokenizers, save_tokenizers
from regard.evaluate.bleu import bleu
from regard.evaluate.scores import exact_match
from regard.models import entry_of
from regard.objectives.translation import Translation
from regard.text.tokenizer import Tokenizer
from regard.training.beginning import as_begun, configuration, tokenizer_place
from regard.training.plan import Plan, Say, Task, Text


@dataclass(frozen=True)
class TranslationText(Text):
    """How the text of two languages becomes ids."""

    joint: bool = True  # one tokenizer for both languages
    longest: int = 256  # tokens of a sentence


@dataclass(frozen=True)
class TranslationPlan(Plan):
    """How an encoder-decoder is trained."""

    sentences: int = 0  # of a batch on each process; 0 is no limit, as it is of tokens (of the larger side)
    pool: int = 16384  # sentences which are sorted by length together
    smoothing: float = 0.0  # of labels
    validate_sentences: int = 500  # which are translated in validation; 0 translates none
    best: str = "bleu"  # what names the best checkpoint: bleu, exact_match or loss

    positive: ClassVar = (*Plan.positive, "pool")
    not_negative: ClassVar = (*Plan.not_negative, "sentences", "validate_sentences")
    merits: ClassVar = ("bleu", "exact_match", "loss")

    def __post_init__(self):
        super().__post_init__()
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"plan.smoothing must lie in [0, 1), got {self.smoothing}")
        if not self.tokens and not self.sentences:
            raise ValueError("a batch needs a limit: set plan.tokens or plan.sentences")
        if self.best != "loss" and not self.validate_sentences:
            raise ValueError(f"plan.best={self.best!r} needs translations: set plan.validate_sentences")


class TranslationTask(Task):
    """The task of a run on sentence pairs."""

    text, plan = TranslationText, TranslationPlan

    @classmethod
    def material(cls, model: dict[str, Any], table: dict[str, Any]) -> type:
        """Where the text is found."""
        return ParallelText

    @classmethod
    def config(cls, model: dict[str, Any], text: TranslationText, plan: Plan, *vocabularies: int) -> Any:
        """The model's configuration for tokenizers of these sizes, of source and target."""
        kind = str(model.get("kind", ""))
        if "vocabulary" not in {field.name for field in dataclasses.fields(entry_of(kind).config)}:
            source, target = vocabularies
            return configuration(model, source_vocabulary=source, target_vocabulary=target)
        if not text.joint:
            raise ValueError(f"{kind} shares one vocabulary (section 3.4): set text.joint = true")
        return configuration(model, vocabulary=vocabularies[0])

    def prepare(self, say: Say, *, keeps: bool) -> None:
        """Make or open the tokenizers and the two stores of pairs."""
        run, folder = self.run, self.folder
        if not run.is_begun(folder):
            place = tokenizer_place(run)
            self.source, self.target = _train(run, say) if place is None else _load(place)
            save_tokenizers(self.source, self.target, folder)
            as_begun(run, self.build_config()).save(folder)  # last: a folder with a run.toml has its tokenizers
        self.source, self.target = load_tokenizers(folder)
        self.train, self.validation = (self._store(name, say, keeps) for name in ("train", "validation"))
        plan = run.plan
        self.buckets = Buckets(self.train, Batching(plan.tokens or None, plan.sentences or None, plan.pool, plan.seed))

    def _store(self, name: str, say: Say, keeps: bool) -> PairStore:
        """The tokenised pairs of this name."""
        place, text = self.folder / "data" / name, self.run.text
        if keeps and place.is_dir():
            store = PairStore.open(place)
        else:
            pairs, tokenizers = located(getattr(self.run, name)), (self.source, self.target)
            store = PairStore.prepare(place, pairs, *tokenizers, longest=text.longest, skips=text.skip)
        tokens = " + ".join(f"{count:,}" for count in store.tokens)
        say(f"{name}: {len(store):,} pairs, {tokens} tokens; {store.skipped}")
        return store

    def build_config(self) -> Any:
        """The model's configuration for the tokenizers which were prepared."""
        return self.config(self.run.model, self.run.text, self.run.plan, self.source.size, self.target.size)

    def objective(self, model: nn.Module) -> Translation:
        """Each target word from the source and the words before it."""
        return Translation(model, smoothing=self.run.plan.smoothing)

    def batches(self, cursor: Cursor, rank: int, processes: int) -> Generator[tuple[PairBatch, Cursor], None, None]:
        """The stream of pairs."""
        batches = stream(self.buckets, cursor, rank=rank, processes=processes, workers=self.run.plan.workers)
        return cast(Generator[tuple[PairBatch, Cursor], None, None], batches)

    def about_batches(self) -> str:
        """What packing saves."""
        return str(padding(self.buckets))

    def trained(self, model: nn.Module) -> Translator:
        """The translator, with the length penalty which was chosen for the folder, if one was."""
        return Translator(model, self.source, self.target, length_penalty=load_search(self.folder))

    def measure(self, trained: Translator, products: AbstractContextManager[None]) -> dict[str, float]:
        """Loss and perplexity of the validation set, and BLEU and exact match of its first greedy translations."""
        run, device = self.run, trained.device
        objective = Translation(trained.model).eval()
        batching = Batching(tokens=max(run.plan.tokens, run.text.longest, 4096))
        nats, tokens = 0.0, 0
        with torch.no_grad(), products:
            for _, batch in ordered(self.validation, batching):
                result = objective(*batch.to(device).parts)
                nats, tokens = nats - float(result.log_likelihood), tokens + result.tokens
        measures = {"nats": nats / tokens, "perplexity": math.exp(min(50.0, nats / tokens))}
        if run.plan.validate_sentences and math.isfinite(nats):
            text = located(run.validation).read(Skipped() if run.text.skip else None)
            pairs = list(islice(text, run.plan.validate_sentences))
            outputs = trained.translate([pair.source for pair in pairs], beams=1, length_penalty=0.0)
            references = [pair.target for pair in pairs]
            measures["bleu"] = bleu(outputs, references).value
            measures["exact_match"] = exact_match(outputs, references)
        return measures


def _load(place: Path) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers of a folder, or one of both languages from a file."""
    if place.is_dir():
        return load_tokenizers(place)
    both = Tokenizer.load(place)
    return both, both


def _train(run: Any, say: Say) -> tuple[Tokenizer, Tokenizer]:
    """One tokenizer of both languages, or one of each."""
    text, corpus = run.text, located(run.train)
    say(f"training {'one tokenizer' if text.joint else 'two tokenizers'} of kind {text.kind}")

    def pairs() -> Iterator[Pair]:
        return corpus.read(Skipped() if text.skip else None)

    if text.joint:
        both = text.trained_on(side for pair in pairs() for side in (pair.source, pair.target))
        return both, both
    source = text.trained_on(pair.source for pair in pairs())
    return source, text.trained_on(pair.target for pair in pairs())
