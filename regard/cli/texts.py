"""Running text which a command reads once."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regard.data.corpus import Corpus
    from regard.data.text_store import TextStore
    from regard.text.tokenizer import Tokenizer


@contextmanager
def tokenised(corpus: "Corpus", tokenizer: "Tokenizer", *, skips: bool = False) -> Iterator["TextStore"]:
    """A text as ids, as long as the block lasts; an error in it names the text, and not where its ids lie."""
    from regard.data.text_store import TextStore

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "text"
        try:
            yield TextStore.prepare(place, corpus, tokenizer, skips=skips)
        except ValueError as error:
            raise ValueError(str(error).replace(str(place), corpus.path)) from error
