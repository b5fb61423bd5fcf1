"""How contestants are measured: on the way, at the end, and by the length of what they are given."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from regard.compare.comparison import Comparison, LabelledTask
from regard.data.sources import located
from regard.data.text_store import TextStore
from regard.decoding.translator import LENGTH_PENALTY
from regard.evaluate.assessment import assess
from regard.evaluate.lengths import bleu_by_length, in_buckets, words
from regard.evaluate.likelihood import likelihood
from regard.evaluate.scores import score
from regard.reading.predicting import form_of
from regard.reading.preparing import prepare
from regard.reading.reader import Reader
from regard.storage.folders import folder_whole
from regard.training.labelled import validation_items
from regard.training.log import Part
from regard.training.loop import train
from regard.training.planning import Wishes, plan_finetuning
from regard.training.run import Run

BEAMS = 5
FINETUNED = "finetuned"  # folder of a run on labelled examples, inside that of its encoder
UNTRAINED = "untrained"  # folder of an encoder as it was before, inside that of its run
WIDTH = 10  # words of a stretch of lengths of labelled examples


@dataclass(frozen=True)
class Length:
    """What is measured of all which is of one length: how many there are, and the value."""

    name: str
    count: int
    value: float


@dataclass(frozen=True)
class Measured:
    """A model at the end: measures by name, and the quality by length."""

    measures: Mapping[str, float]
    lengths: Sequence[Length] = ()


class Yardstick(ABC):
    """How all contestants of a comparison are measured.

    Attributes:
        quality: the name of the measure by which they are ranked, one of `Measured.measures`.
        is_higher_better: as of BLEU.
        on_the_way: what is measured at shares of the budget, on the validation data.
        by_length: what is measured by length, and what the length is of.
    """

    quality: str
    is_higher_better: bool
    on_the_way: str
    by_length: tuple[str, str]

    def __init__(self, comparison: Comparison):
        self.comparison = comparison

    @abstractmethod
    def value(self, line: Mapping[str, Any]) -> float:
        """The measure on the way, of a line of a run's measures."""

    @abstractmethod
    def measured(self, trained: Any, run: Run, folder: Path, part: Part) -> Measured:
        """The model of a run whose budget is spent.

        Args:
            trained: the model with its tokenizers.
            run: of it.
            folder: of the run.
            part: of all runs, this one.
        """


class OfTranslation(Yardstick):
    """BLEU, or how many sentences are translated exactly, or perplexity: what names the best model of a run."""

    by_length = "BLEU", "words of the source"

    def __init__(self, comparison: Comparison):
        super().__init__(comparison)
        names = {"bleu": "BLEU", "exact_match": "exact match, per cent", "loss": "perplexity a token"}
        self._best = comparison.first.plan.best
        self.quality = names[self._best]
        self.on_the_way = f"{self.quality}, validation{'' if self._best == 'loss' else ', greedy'}"
        self.is_higher_better = self._best != "loss"

    def value(self, line: Mapping[str, Any]) -> float:
        """As the run has it."""
        return line[f"validation_{'perplexity' if self._best == 'loss' else self._best}"]

    def measured(self, trained: Any, run: Run, folder: Path, part: Part) -> Measured:
        """Translations of the test set, or of the validation set where there is none."""
        pairs = list(located(run.test or run.validation).read())
        sources, references = [pair.source for pair in pairs], [pair.target for pair in pairs]
        outputs = trained.translate(sources, beams=BEAMS, length_penalty=LENGTH_PENALTY)
        found = score(outputs, references)
        measures = {"BLEU": found.bleu.value, "chrF": found.chrf.value, "exact match, per cent": found.exact_match}
        table = bleu_by_length(sources, references, {"": outputs})
        lengths = [Length(bucket.range, bucket.sentences, bucket.bleu[""]) for bucket in table.buckets]
        nats = -sum(trained.score(sources, references)) / sum(trained.counts(references))
        return Measured({**measures, "perplexity a token": _perplexity(nats)}, lengths)


class OfText(Yardstick):
    """Bits a byte, which do not depend on the tokenizer."""

    quality, is_higher_better = "bits a byte", False
    on_the_way = "bits a byte, validation"
    by_length = "bits a byte", "tokens read before, in the window or segment"

    def value(self, line: Mapping[str, Any]) -> float:
        """As the run has it."""
        return line["validation_bits_per_byte"]

    def measured(self, trained: Any, run: Run, folder: Path, part: Part) -> Measured:
        """The test text, or the validation text where there is none, read as in training."""
        task: Any = run.task(run, folder)
        task.prepare(lambda text: None, keeps=True)
        store = task.validation
        if run.test is not None:
            store = TextStore.prepare(folder / "data" / "test", located(run.test), task.tokenizer, skips=run.text.skip)
        found = likelihood(trained.model, store, task.reading)
        size = store.counts["bytes"] / store.tokens * math.log(2)  # nats of a token which has a bit a byte
        lengths = []
        for first, last in _doubling(len(found.counts)):
            count, nats = int(found.counts[first:last].sum()), float(found.by_place[first:last].sum())
            if count:
                name = f"{first}" if last == first + 1 else f"{first}-{last - 1}"
                lengths.append(Length(name, count, nats / count / size))
        nats = found.nats / found.tokens
        return Measured({"bits a byte": nats / size, "perplexity a token": _perplexity(nats)}, lengths)


class OfReading(Yardstick):
    """What pre-trained encoders are worth: on labelled examples where a comparison names some, else on hidden words."""

    on_the_way = "nats a hidden word, in pre-training"
    by_length = "per cent right", "words of the texts"

    def __init__(self, comparison: Comparison):
        super().__init__(comparison)
        self.quality, self.is_higher_better = "nats a hidden word", False
        if comparison.finetune is not None:
            self.quality = comparison.finetune.ranks_by
            self.is_higher_better = self.quality not in ("nats", "mean_squared_error", "mean_absolute_error")

    def value(self, line: Mapping[str, Any]) -> float:
        """As the run has it."""
        return line["validation_nats"]

    def measured(self, trained: Any, run: Run, folder: Path, part: Part) -> Measured:
        """Hidden words of the validation text; and what the model learns of labelled examples."""
        task: Any = run.task(run, folder)
        task.prepare(lambda text: None, keeps=True)
        found = task.measure(trained, nullcontext())
        measures = {"nats a hidden word": found["nats"]}
        if self.comparison.finetune is None:
            return Measured(measures)
        more = _finetuned(self.comparison.finetune, run, folder, part)
        measures |= more.measures
        if self.comparison.finetune.untrained:
            before = _finetuned(self.comparison.finetune, run, _as_begun(task, folder / UNTRAINED), part)
            measures[f"{self.quality} before pre-training"] = before.measures[self.quality]
        return Measured(measures, more.lengths)


def _as_begun(task: Any, folder: Path) -> Path:
    """The directory of the model with which a run of pre-training began."""
    if not folder.is_dir():
        with folder_whole(folder) as filled:
            task.trained(task.begun(lambda text: None)).save(filled)
    return folder


def _finetuned(labelled: LabelledTask, run: Run, folder: Path, part: Part) -> Measured:
    """Fine-tune the encoder in a folder, or go on with that, and measure the best of its epochs."""
    place = folder / FINETUNED
    plan = {"examples": labelled.examples, "rate": labelled.rate, "seed": run.plan.seed, "best": labelled.ranks_by}
    wishes = Wishes(labelled.epochs, text={"longest": labelled.longest}, plan={**plan, "precision": run.plan.precision})
    tuning, _ = plan_finetuning(folder, f"{run.name}, fine-tuned", *labelled.sources(), wishes)
    now = Part(f"{part.name}, fine-tuned", part.number, part.runs)
    reader: Reader = train(tuning, place, resume=Run.is_begun(place), part=now)
    items = validation_items(tuning, place)
    prepared = prepare(reader.head, items, reader.labels, form_of(reader))
    found = assess(reader, prepared, items)
    measures = {name: value for name, value in found.measures.items() if name != "nats"}
    if reader.head != "classification":
        return Measured(measures)
    right = [guess == item.label for guess, item in zip(found.predictions, items, strict=True)]
    lengths = []
    for shortest, longest, members in in_buckets([sum(map(words, item.texts)) for item in items], WIDTH):
        share = 100 * sum(right[number] for number in members) / len(members)
        lengths.append(Length(f"{shortest}-{longest}", len(members), share))
    return Measured(measures, lengths)


def _perplexity(nats: float) -> float:
    """Of nats a token; of hopeless ones a number which JSON can hold."""
    return math.exp(min(50.0, nats))


def _doubling(context: int) -> list[tuple[int, int]]:
    """Stretches of places, each as long as all before it: 0, 1, 2 and 3, 4 to 7, and so on, the last one cut."""
    ends = [0, 1]
    while ends[-1] < context:
        ends.append(ends[-1] * 2)
    return [(first, min(last, context)) for first, last in pairwise(ends)]


YARDSTICKS: dict[str, type[Yardstick]] = {"pairs": OfTranslation, "text": OfText, "inputs": OfReading}
