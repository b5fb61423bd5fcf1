"""Self-supervised pre-training of encoders: running text in, an encoder with its head out."""

import dataclasses
import math
from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, cast

import torch
from torch import nn

from regard.data.corpus import Corpus
from regard.data.loading import Batches, Cursor, stream
from regard.data.masked_sequences import MaskedBatch, MaskedSequences
from regard.data.masking import Masking
from regard.data.permutation import Permuting
from regard.data.permuted_sequences import PermutedSequences
from regard.data.sentence_pairs import NextSentence, SentenceOrder, Unpaired
from regard.data.sentence_store import SentenceStore
from regard.data.sentences import DIVISIONS
from regard.data.sources import located
from regard.decoding.writer import Writer
from regard.layers.dropout import without_dropout
from regard.models import MODELS, entry_of
from regard.models.directory import read_head
from regard.models.heads import HEADS
from regard.models.parameters import fill, plain_weights
from regard.models.saved import load_encoder
from regard.objectives.loss import Memory
from regard.objectives.masked_words import MaskedWords
from regard.objectives.next_token import NextToken
from regard.objectives.permuted_words import PermutedWords
from regard.reading.pretrained import find_model
from regard.reading.reader import Reader
from regard.storage.names import require
from regard.text.kinds import ENCODERS
from regard.training.beginning import configuration, go_on_from, text_tokenizer
from regard.training.plan import Batch, Plan, Say, Task, Text

PAIRS = {"none": Unpaired, "next": NextSentence, "order": SentenceOrder}


@dataclass(frozen=True)
class PretrainingText(Text):
    """How running text becomes ids."""

    kind: str = "bert"
    lowercase: bool = True
    sentences: str = "lines"  # what a sentence is: one of regard.data.sentences.DIVISIONS

    kinds: ClassVar = tuple(ENCODERS)

    def __post_init__(self):
        super().__post_init__()
        require("text.sentences", self.sentences, DIVISIONS)


@dataclass(frozen=True)
class PretrainingPlan(Plan):
    """How an encoder is pre-trained; the values are those of Devlin et al. 2019, appendix A.2, where it gives them."""

    context: int = 128  # tokens of a sequence at most, special ones included
    pairs: str = "next"  # what is told of two texts: next (sentence), (sentence) order, or none
    share: float = 0.15  # of the tokens, which are masked
    most: int = 0  # tokens of a sequence which are masked at most; 0 sets no limit
    together: int = 0  # words which are masked together at most: 1 masks whole words, 3 is ALBERT's; 0 masks pieces
    masks: int = 0  # copies of the text with masks of their own, which epochs take in turn; 0: each has new ones
    reuse: int = 0  # of permuted words: tokens of a sequence which the next one remembers; 0 is half of it
    one_in: int = 6  # of permuted words: of so many tokens one is predicted, section 3.1 of Yang et al. 2019
    both_ways: bool = False  # of permuted words: half of the lanes are read from their ends
    optimiser: str = "bert"
    decay: float = 0.01
    rate: float = 1e-4
    schedule: str = "bert"
    clip: float = 1.0
    validate_batches: int = 50  # of the validation text

    positive: ClassVar = (*Plan.positive, "tokens", "validate_batches", "one_in")
    not_negative: ClassVar = (*Plan.not_negative, "most", "together", "masks", "reuse")

    def __post_init__(self):
        super().__post_init__()
        require("plan.pairs", self.pairs, PAIRS)
        if self.context < 8:
            raise ValueError(f"plan.context must be 8 or more, got {self.context}")
        if self.tokens < self.context:
            raise ValueError(
                f"plan.tokens={self.tokens} cannot hold a sequence of {self.context} tokens; raise it, or lower "
                "plan.context"
            )
        if not 0.0 < self.share < 1.0:
            raise ValueError(f"plan.share must lie between 0 and 1, got {self.share}")


class PretrainingTask(Task):
    """The task of a run which pre-trains an encoder: `model.head` is masked, masked-pair or permuted.

    One which sees only what comes before has none: it learns next words, and is a language model in the end.
    """

    text, plan = PretrainingText, PretrainingPlan

    @property
    def unit(self) -> str:
        """What is counted as done."""
        return "hidden words" if self.head else super().unit

    @classmethod
    def material(cls, model: dict[str, Any], table: dict[str, Any]) -> type:
        """Where the text is found."""
        return Corpus

    @classmethod
    def config(cls, model: dict[str, Any], text: Text, plan: PretrainingPlan, *vocabularies: int) -> Any:
        """The encoder's configuration for a tokenizer of this size."""
        values = dict(model)
        kind, head = str(values.get("kind", "")), str(values.pop("head", ""))
        wanted = _head_of(kind, plan)
        if head and head != wanted:
            raise ValueError(
                f"model.head={head!r} does not go with {kind} and plan.pairs={plan.pairs!r}: {wanted or 'none'!r} does"
            )
        if not wanted and "from" in values:
            own = next(name for name, entry in MODELS.items() if entry.tuned == kind)
            raise ValueError(f"{kind} begins at random; to go on from {values['from']}, say kind={own!r}")
        if not wanted and plan.pairs != "none":
            raise ValueError(f"{kind} learns next words, and nothing of pairs: set plan.pairs='none'")
        of_masks, of_permutation = ("share", "most", "together"), ("reuse", "one_in", "both_ways")
        ignored = {"permuted": ("pairs", "masks", *of_masks), "": (*of_masks, *of_permutation)}
        for name in ignored.get(wanted, of_permutation):
            default = next(field.default for field in dataclasses.fields(PretrainingPlan) if field.name == name)
            if getattr(plan, name) != default:
                raise ValueError(f"plan.{name} means nothing to {kind}; leave it out")
        pools = {"pools": HEADS[wanted].pools} if wanted else {}
        config = configuration(values, **pools, vocabulary=vocabularies[0])
        if wanted == "masked-pair" and config.segments < 2:
            raise ValueError(f"model.segments={config.segments} tells no two texts apart: set plan.pairs='none'")
        limit = getattr(config, "context", plan.context)
        if plan.context > limit:
            raise ValueError(f"plan.context={plan.context} exceeds the {limit} positions which the model has")
        return config

    @property
    def head(self) -> str:
        """What stands on the encoder; nothing on one which learns next words, for it has their scores itself."""
        return _head_of(self.run.model["kind"], self.run.plan)

    def prepare(self, say: Say, *, keeps: bool) -> None:
        """Make or open the tokenizer and the two stores of text."""
        self.tokenizer = text_tokenizer(self.run, self.folder, say)
        self.train, self.validation = (self._store(name, say, keeps) for name in ("train", "validation"))

    def _store(self, name: str, say: Say, keeps: bool) -> SentenceStore:
        """The tokenised text of this name."""
        place, text = self.folder / "data" / name, self.run.text
        if keeps and place.is_dir():
            store = SentenceStore.open(place)
        else:
            corpus = located(getattr(self.run, name))
            store = SentenceStore.prepare(place, corpus, self.tokenizer, sentences=text.sentences, skips=text.skip)
        counts = ", ".join(f"{count:,} {unit}" for unit, count in store.counts.items())
        say(f"{name}: {counts}; {store.skipped}")
        return store

    def build_config(self) -> Any:
        """The encoder's configuration for the tokenizer which was prepared."""
        return self.config(self.run.model, self.run.text, self.run.plan, self.tokenizer.size)

    def build_model(self) -> nn.Module:
        """The encoder with its head, at its published start."""
        encoder = MODELS[self.run.model["kind"]].model(self.build_config())
        return HEADS[self.head](encoder) if self.head else encoder

    def begin(self, model: Any, say: Say) -> None:
        """Go on from the weights of another model, where the run names one: its head too, if it is the same."""
        if "from" not in self.run.model:
            return
        folder = find_model(self.run.model["from"])
        if read_head(folder)[0] == self.head:
            go_on_from(model, folder)
            return
        encoder, is_fresh = load_encoder(folder, pools=HEADS[self.head].pools)
        fill(model.encoder, plain_weights(encoder), str(folder))
        also = ", and so does what sums inputs up" if is_fresh else ""
        say(f"{folder} has no head for {self.head}: it begins at random{also}")

    def objective(self, model: nn.Module) -> nn.Module:
        """Masked, permuted or next words."""
        return {"permuted": PermutedWords, "": NextToken}.get(self.head, MaskedWords)(model)

    def batches(self, cursor: Cursor, rank: int, processes: int) -> Generator[tuple[Batch, Cursor], None, None]:
        """The stream of masked or of permuted sequences."""
        batches = self._batches(self.train, rank, processes)
        if self.head == "permuted":
            rank, processes = 0, 1  # each process has its own lanes already
        planned = cast(Batches[Any, Batch], batches)
        found = stream(planned, cursor, rank=rank, processes=processes, workers=self.run.plan.workers)
        return cast(Generator[tuple[Batch, Cursor], None, None], found)

    def _batches(self, store: SentenceStore, rank: int = 0, processes: int = 1) -> MaskedSequences | PermutedSequences:
        """How a store is made into batches."""
        plan, tokenizer = self.run.plan, self.tokenizer
        framing = tokenizer.framing(is_last=MODELS[self.run.model["kind"]].model.sums_up_last)
        if self.head == "permuted":
            reuse = plan.reuse or plan.context // 2
            permuting = Permuting(tokenizer.begins_word, one_in=plan.one_in)
            where = {"both_ways": plan.both_ways, "seed": plan.seed, "rank": rank, "processes": processes}
            return PermutedSequences(store, permuting, framing, plan.context, reuse, plan.tokens, **where)
        masking = None
        if self.head:
            begins_word = tuple(tokenizer.begins_word)
            masking = Masking(tokenizer.mask, tokenizer.size, begins_word, plan.together, plan.share, plan.most)
        passages = PAIRS[plan.pairs]()
        return MaskedSequences(store, passages, masking, framing, plan.context, plan.tokens, plan.masks, plan.seed)

    def about_batches(self) -> str:
        """What is hidden of the text."""
        plan = self.run.plan
        what = {
            "masked": "masked words",
            "masked-pair": f"masked words, and of two texts their {'order' if plan.pairs == 'order' else 'sequence'}",
            "permuted": "permuted words",
            "": "next words",
        }
        return f"{plan.tokens:,} tokens a batch, in sequences of {plan.context:,} at most: {what[self.head]}"

    def trained(self, model: nn.Module) -> Reader | Writer:
        """The reader, or the writer of next words."""
        if not self.head:
            return Writer(model, self.tokenizer)
        longest = getattr(model.config, "context", None)
        return Reader(model, self.tokenizer, longest=longest)

    def measure(self, trained: Reader | Writer, products: AbstractContextManager[None]) -> dict[str, float]:
        """Loss and accuracy on hidden words of the validation text, and on its pairs; the same ones each time."""
        objective = self.objective(trained.model)
        nats, words, right, pairs = 0.0, 0, 0, 0
        memory: Memory = ()
        batches = cast(Batches[Any, Any], self._batches(self.validation))
        batches.check(Cursor())
        device = trained.device
        with without_dropout(trained.model), torch.inference_mode(), products:
            for item, _ in islice(batches.plan(Cursor()), self.run.plan.validate_batches):
                batch = batches.batch(item).to(device)
                loss = objective(*batch.parts, *((memory,) if batch.goes_on else ()))
                memory = loss.memory
                nats, words = nats - float(loss.log_likelihood), words + loss.tokens
                if isinstance(batch, MaskedBatch) and batch.pair_labels is not None:
                    _, scores = trained.model.both(batch.text, batch.segments, batch.positions)
                    right += int((scores.argmax(1) == batch.pair_labels).sum())
                    pairs += len(batch)
        found = {"nats": nats / words, "perplexity": math.exp(min(50.0, nats / words))}
        return {**found, "pair_accuracy": right / pairs} if pairs else found

    @property
    def of_memory(self) -> tuple[str, ...]:
        """What decides how many lanes there are, where in the text each of them is, and how much it remembers."""
        return ("both_ways", "context", "reuse", "tokens") if self.head == "permuted" else ()


def _head_of(kind: str, plan: PretrainingPlan) -> str:
    """What stands on an encoder of this kind in pre-training, or nothing."""
    model = entry_of(kind).model
    if model.is_causal:
        return ""
    return "permuted" if hasattr(model, "read") else "masked" if plan.pairs == "none" else "masked-pair"
