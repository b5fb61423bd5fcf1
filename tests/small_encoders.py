"""Small encoders with tokenizers of their own, in folders, and data which they can learn in seconds."""

import random
from pathlib import Path

import torch

from regard.models import MODELS
from regard.models.heads import HEADS
from regard.reading.reader import Reader
from regard.text.tokenizer import Tokenizer

GOOD, BAD = ("good", "fine", "bright"), ("bad", "poor", "dull")
THINGS = ("film", "book", "song", "day", "walk", "dinner")
LINES = [f"the {word} {thing} was {word} and the {thing} ended" for word in GOOD + BAD for thing in THINGS]


def tokenizer() -> Tokenizer:
    """A tokenizer of an encoder which knows the words of these sentences."""
    return Tokenizer.train(LINES * 3, kind="bert", vocabulary=120, lowercase=True)


def small_reader(kind: str = "bert", head: str = "", labels: tuple[str, ...] = (), **changes) -> Reader:
    """A small encoder at its published start, with a head where one is asked for."""
    words, torch_state = tokenizer(), torch.random.get_rng_state()
    torch.manual_seed(3)
    pools = not head or HEADS[head].pools
    values = {"vocabulary": words.size, "width": 32, "depth": 2, "heads": 2, "hidden": 48, "pools": pools, **changes}
    config = MODELS[kind].sizes["tiny"]
    model = MODELS[kind].model(type(config)(**{**vars(config), **values}))
    if head:
        model = HEADS[head](model, labels)
    torch.random.set_rng_state(torch_state)
    return Reader(model.eval(), words)


def save_reader(folder: Path, *args, **changes) -> Path:
    """The folder of a small encoder."""
    small_reader(*args, **changes).save(folder)
    return folder


def reviews(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Sentences which are good or bad, and which they are."""
    chance, found = random.Random(seed), []
    for _ in range(count):
        is_good = chance.random() < 0.5
        word, thing = chance.choice(GOOD if is_good else BAD), chance.choice(THINGS)
        found.append(
            (f"the {thing} was {word}" if chance.random() < 0.5 else f"{word} {thing}", "pos" if is_good else "neg")
        )
    return found


def write_sentences(path: Path, count: int, seed: int = 0) -> None:
    """They as a split of SST-2 which has labels."""
    lines = [f"{text}\t{int(label == 'pos')}" for text, label in reviews(count, seed)]
    path.write_text("\n".join(["sentence\tlabel", *lines]) + "\n")


def write_reviews(path: Path, count: int, seed: int = 0) -> Path:
    """They as CSV."""
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in reviews(count, seed)))
    return path
