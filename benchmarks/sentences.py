"""GLUE by the recipe of Transformers' example `run_glue`: what the same checkpoint comes to in other hands.

`python -m benchmarks.sentences --data glue --task CoLA --seed 1` fine-tunes a checkpoint by Hugging Face's Trainer as
that script and the figures of its README have it: inputs of 128 tokens at most; batches of 32; AdamW at 2e-5, falling
to nothing, without warm-up or decay; three epochs, five of MRPC and WNLI. Inputs are padded to the longest of a batch,
not to 128 tokens, which changes nothing but the time. The examples and the scores are those of `regard glue`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import transformers

from benchmarks.peers.trainer import add_options, arguments_of, told
from regard.data.examples import Example
from regard.data.glue import GLUE_TASKS, GlueTask, read_glue
from regard.evaluate.glue import GlueScores, score_task
from regard.reading.pretrained import find_model

LONGEST, BATCH, RATE = 128, 32, 2e-5
EPOCHS = {"MRPC": 5.0, "WNLI": 5.0}  # and three of all others


class Peer:
    """A checkpoint in the hands of Transformers.

    Args:
        checkpoint: the folder of a model.
        task: which it is to learn.
        folder: for what it writes.
        **arguments: of its training.
    """

    def __init__(self, checkpoint: Path, task: GlueTask, folder: str, *, seed: int, **arguments: Any):
        self.task, self.tokenizer = task, transformers.AutoTokenizer.from_pretrained(checkpoint)
        transformers.set_seed(seed)
        self.model = transformers.AutoModelForSequenceClassification.from_pretrained(
            checkpoint, num_labels=len(task.labels) or 1
        )
        self.arguments = arguments_of(folder, seed=seed, **arguments)

    def train(self, examples: Sequence[Example]) -> None:
        """Fine-tune on labelled examples."""
        collator = transformers.DataCollatorWithPadding(self.tokenizer)
        self.trainer: Any = transformers.Trainer(
            self.model, self.arguments, train_dataset=self.encoded(examples), data_collator=collator
        )
        self.trainer.train()

    def encoded(self, examples: Sequence[Example]) -> Any:
        """Examples as the Trainer takes them."""
        rows = [dict(self.tokenizer(*one.texts, truncation=True, max_length=LONGEST)) for one in examples]
        for row, one in zip(rows, examples, strict=True):
            row["labels"] = one.label if self.task.is_regression else self.task.labels.index(one.label)
        return rows

    def predicted(self, examples: Sequence[Example]) -> list[Any]:
        """What the model says of examples."""
        logits = self.trainer.predict(self.encoded(examples)).predictions
        if self.task.is_regression:
            return logits[:, 0].tolist()
        return [self.task.labels[number] for number in np.argmax(logits, 1)]


def measure(data: Path, name: str, checkpoint: Path, **arguments: Any) -> GlueScores:
    """The development scores of a task."""
    with TemporaryDirectory() as folder:
        peer = Peer(checkpoint, GLUE_TASKS[name], folder, **arguments)
        peer.train(read_glue(name, data, "train"))
        return GlueScores(score_task(name, data, peer.predicted))


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sentences", description="GLUE by the recipe of run_glue."
    )
    parser.add_argument("--data", required=True, type=Path, help="the folder with CoLA, SST-2 and so on")
    parser.add_argument("--task", required=True, choices=[name for name in GLUE_TASKS if name != "AX"])
    parser.add_argument("--warmup", type=int, default=0, help="steps in which the rate rises")
    add_options(parser, epochs=None, rate=RATE, batch=BATCH)
    options = parser.parse_args()
    options.epochs = options.epochs or EPOCHS.get(options.task, 3.0)
    checkpoint = find_model(options.model)
    found = measure(options.data, options.task, checkpoint, warmup_steps=options.warmup, **told(options))
    print(found.as_json() if options.json else found)


if __name__ == "__main__":
    main()
