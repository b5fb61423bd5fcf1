"""A run's tokenizers and tokenised text, made once in its folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from regard.data.parallel import Pair, ParallelText, Skipped
from regard.data.store import PairStore
from regard.decoding.translator import load_tokenizers, save_tokenizers
from regard.text.tokenizer import Tokenizer
from regard.training.run import RUN_FILE, Run, located


def prepare_tokenizers(run: Run, folder: Path, say: Callable[[str], None]) -> tuple[Tokenizer, Tokenizer]:
    """Those of the folder; at first, loaded or trained, and written there together with run.toml."""
    if not (folder / RUN_FILE).is_file():
        source, target = _load(Path(run.text.load)) if run.text.load else _train(run, say)
        save_tokenizers(source, target, folder)
        run.save(folder)  # last: a folder with a run.toml has its tokenizers
    return load_tokenizers(folder)


def _load(place: Path) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers of a folder, or one of both languages from a file."""
    if place.is_dir():
        return load_tokenizers(place)
    both = Tokenizer.load(place)
    return both, both


def _train(run: Run, say: Callable[[str], None]) -> tuple[Tokenizer, Tokenizer]:
    """One tokenizer of both languages, or one of each."""
    text, corpus = run.text, located(run.train)
    say(f"training {'one tokenizer' if text.joint else 'two tokenizers'} of kind {text.kind}")
    options: dict[str, Any] = {"kind": text.kind, "minimum": text.minimum, "lowercase": text.lowercase}
    options["vocabulary"] = text.vocabulary or None

    def pairs() -> Iterator[Pair]:
        return corpus.read(Skipped() if text.skip else None)

    if text.joint:
        both = Tokenizer.train((side for pair in pairs() for side in (pair.source, pair.target)), **options)
        return both, both
    source = Tokenizer.train((pair.source for pair in pairs()), **options)
    return source, Tokenizer.train((pair.target for pair in pairs()), **options)


def prepare_store(
    run: Run, folder: Path, name: str, text: ParallelText, tokenizers: tuple[Tokenizer, Tokenizer], *, keeps: bool
) -> PairStore:
    """The tokenised corpus of this name.

    Args:
        keeps: take the one which is there as it is, so that a run goes on with the data it began with; else one which
            is not up to date with the text is made anew.
    """
    place = folder / "data" / name
    if keeps and place.is_dir():
        return PairStore.open(place)
    return PairStore.prepare(place, located(text), *tokenizers, longest=run.text.longest, skips=run.text.skip)
