"""Hugging Face's Trainer by the recipes of Transformers' examples: what their command lines and their runs share."""

import argparse
from typing import Any

import transformers


def add_options(parser: argparse.ArgumentParser, *, epochs: float | None, rate: float, batch: int) -> None:
    """The options of any recipe, with its own values where nothing is said."""
    parser.add_argument("--model", default="minilm", help="a folder of Transformers, or minilm")
    parser.add_argument(
        "--epochs", type=float, default=epochs, help="times which all is seen; without, as in the recipe"
    )
    parser.add_argument("--rate", type=float, default=rate, help="the highest learning rate")
    parser.add_argument("--batch", type=int, default=batch, help="examples or windows of an update")
    parser.add_argument("--seed", type=int, default=1, help="of the Trainer")
    parser.add_argument("--json", action="store_true", help="print JSON")


def told(options: argparse.Namespace) -> dict[str, Any]:
    """What these options tell a Trainer."""
    return {
        "num_train_epochs": options.epochs,
        "learning_rate": options.rate,
        "per_device_train_batch_size": options.batch,
        "seed": options.seed,
    }


def arguments_of(folder: str, **arguments: Any) -> Any:
    """The arguments of a Trainer which keeps and logs nothing."""
    quiet = {"save_strategy": "no", "logging_strategy": "no", "report_to": []}
    return transformers.TrainingArguments(folder, per_device_eval_batch_size=64, **quiet, **arguments)
