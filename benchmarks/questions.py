"""SQuAD 2.0 by the recipe of Transformers' example `run_qa`: what `regard squad` has to be better than.

`python -m benchmarks.questions --train FILE --dev FILE --seed 1` fine-tunes a checkpoint by Hugging Face's Trainer as
that script and the figures of its README have it: windows of 384 tokens which overlap by 128, padded to 384; batches of
12; AdamW at 3e-5, falling to nothing, without warm-up or decay; two epochs; the best of the 20 best starts and ends.
The questions, the share of them kept apart and the official scores are those of `regard squad`, so that both sides
learn from the same and are measured alike. The script's threshold of no answer is 0; the second table has the one which
is best on the questions kept apart, as `regard squad` has it.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.peers.trainer import add_options, arguments_of, told
from regard.data.benchmarks import SquadFile
from regard.data.sources import located
from regard.data.squad import Question, read_squad
from regard.evaluate.squad import SquadScores, score
from regard.evaluate.squad_tuning import tune_threshold
from regard.reading.pretrained import find_model

LONGEST, OVERLAP = 384, 128
BATCH, RATE = 12, 3e-5  # as the figures of its README have them
BEST, LONGEST_ANSWER = 20, 30  # starts and ends which are looked at, and tokens of an answer
READ = ("input_ids", "token_type_ids", "attention_mask")
SPAN = ("start_positions", "end_positions")

Scores = NDArray[np.float32]  # [T] of starts or of ends


@dataclass(frozen=True)
class Feature:
    """One padded window: what the model is given, and which characters of the context its tokens stand for."""

    question: int
    inputs: dict[str, Any]
    offsets: list[tuple[int, int] | None]  # None where a token is not of the context


class Features(torch.utils.data.Dataset):
    """Windows as the Trainer takes them."""

    def __init__(self, features: Sequence[Feature], names: Sequence[str]):
        self.columns: dict[str, Tensor] = {
            name: torch.tensor([feature.inputs[name] for feature in features]) for name in names
        }

    def __len__(self) -> int:
        return len(self.columns[READ[0]])

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return {name: column[number] for name, column in self.columns.items()}


def features(questions: Sequence[Question], tokenizer: Any) -> list[Feature]:
    """The windows of questions, with the span of the first answer, or that of the first token where it is not there."""
    encoded = tokenizer(
        [question.text.lstrip() for question in questions],
        [question.context for question in questions],
        truncation="only_second",
        max_length=LONGEST,
        stride=OVERLAP,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length",
    )
    made = []
    for number, of in enumerate(encoded["overflow_to_sample_mapping"]):
        sides, all_offsets = encoded.sequence_ids(number), encoded["offset_mapping"][number]
        offsets = [tuple(own) if side == 1 else None for own, side in zip(all_offsets, sides, strict=True)]
        start, end = _span(questions[of], offsets)
        inputs = {name: encoded[name][number] for name in READ}
        made.append(Feature(of, {**inputs, SPAN[0]: start, SPAN[1]: end}, offsets))
    return made


def _span(question: Question, offsets: Sequence[tuple[int, int] | None]) -> tuple[int, int]:
    """First and last token of the first answer; twice 0, the first token, where the window has not all of it."""
    there = [(place, own) for place, own in enumerate(offsets) if own is not None]
    if not question.answers or not there:
        return 0, 0
    begins = question.answers[0].start
    ends = begins + len(question.answers[0].text)
    if there[0][1][0] > begins or there[-1][1][1] < ends:
        return 0, 0
    starts = [place for place, (start, _) in there if start <= begins]
    return starts[-1], next(place for place, (_, end) in there if end >= ends)


def answer(context: str, windows: Sequence[tuple[Feature, Scores, Scores]]) -> tuple[str, float]:
    """The best answer to a question, and how much better than it having none is."""
    none = min(float(starts[0] + ends[0]) for _, starts, ends in windows)
    best, found = -np.inf, "empty"
    for feature, starts, ends in windows:
        for start, end in product(*(np.argsort(side)[: -BEST - 1 : -1].tolist() for side in (starts, ends))):
            first, last = feature.offsets[start], feature.offsets[end]
            if first is None or last is None or not 0 <= end - start < LONGEST_ANSWER:
                continue
            if starts[start] + ends[end] > best and (text := context[first[0] : last[1]]):
                best, found = float(starts[start] + ends[end]), text
    return found, none - (best if np.isfinite(best) else 0.0)


class Peer:
    """A checkpoint in the hands of Transformers.

    Args:
        checkpoint: the folder of a model.
        folder: for what it writes.
        **arguments: of its training.
    """

    def __init__(self, checkpoint: Path, folder: str, *, seed: int, **arguments: Any):
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
        transformers.set_seed(seed)
        self.model = transformers.AutoModelForQuestionAnswering.from_pretrained(checkpoint)
        self.arguments = arguments_of(folder, seed=seed, **arguments)

    def train(self, questions: Sequence[Question]) -> None:
        """Fine-tune on labelled questions."""
        made = Features(features(questions, self.tokenizer), (*READ, *SPAN))
        self.trainer: Any = transformers.Trainer(self.model, self.arguments, train_dataset=made)
        self.trainer.train()

    def answers(self, questions: Sequence[Question]) -> tuple[dict[str, str], dict[str, float]]:
        """The best answer to each question, and how much better having none is, by id."""
        made = features([question.without_answers() for question in questions], self.tokenizer)
        starts, ends = self.trainer.predict(Features(made, READ)).predictions
        windows: dict[int, list[tuple[Feature, Scores, Scores]]] = {}
        for feature, *scores in zip(made, starts, ends, strict=True):
            windows.setdefault(feature.question, []).append((feature, *scores))
        found = {questions[of].id: answer(questions[of].context, own) for of, own in windows.items()}
        return {id: text for id, (text, _) in found.items()}, {id: odds for id, (_, odds) in found.items()}


def measure(
    train: str, dev: Sequence[Question], checkpoint: Path, *, held: float, **arguments: Any
) -> dict[str, tuple[float, SquadScores]]:
    """Threshold and official scores, as the script has it and with the threshold tuned on questions kept apart."""
    kept, apart = (located(SquadFile(train, part)).read() for part in ((held, 1.0), (0.0, held)))
    with TemporaryDirectory() as folder:
        peer = Peer(checkpoint, folder, **arguments)
        peer.train(kept)
        threshold = tune_threshold(apart, *peer.answers(apart)).threshold
        found = peer.answers(dev)
    thresholds = {"the script's threshold": 0.0, "a tuned threshold": threshold}
    return {name: (value, score(dev, *found, value)) for name, value in thresholds.items()}


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.questions", description="SQuAD 2.0 by the recipe of run_qa."
    )
    parser.add_argument("--train", required=True, help="questions to learn from; SQuAD 2.0's JSON")
    parser.add_argument("--dev", required=True, help="questions on which it is measured")
    parser.add_argument("--held", type=float, default=0.1, help="share of training by which the threshold is tuned")
    add_options(parser, epochs=2.0, rate=RATE, batch=BATCH)
    options = parser.parse_args()
    found = measure(
        options.train,
        read_squad(options.dev),
        find_model(options.model),
        held=options.held,
        **told(options),
    )
    if options.json:
        print(json.dumps({name: {"threshold": value, **scores.as_dict()} for name, (value, scores) in found.items()}))
        return
    for name, (value, scores) in found.items():
        print(f"{name}, {value:.3f}\n{scores}\n")


if __name__ == "__main__":
    main()
