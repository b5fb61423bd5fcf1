"""From a model of any kind to its page."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from regard.decoding.translator import Translator
from regard.decoding.writer import Writer
from regard.reading.packed import PackedReader
from regard.visualise import inputs, texts, translations
from regard.visualise.maps import Example
from regard.visualise.page import write_page

Model = Translator | Writer | PackedReader


def pictures(model: Model, sentences: Iterable[Any], **options: Any) -> Iterator[Example]:
    """What a model of any kind attends to in each sentence.

    Args:
        model: with attention.
        sentences: or texts; for an encoder what its head reads, such as pairs of texts, see `inputs.examples`.
        options: of `translations.examples` for a translator, of `texts.examples` for a language model, of
            `inputs.examples` for an encoder.

    Raises:
        ValueError: if there is no sentence, and what those three raise.
    """
    sentences = list(sentences)
    if not sentences:
        raise ValueError("there is no sentence to look at")
    if isinstance(model, PackedReader):
        return inputs.examples(model, sentences, **options)
    if isinstance(model, Writer):
        return texts.examples(model, sentences, **options)
    return translations.examples(model, sentences, **options)


def view(model: Model, sentences: Iterable[Any], path: str | Path, *, title: str = "Attention", **options: Any) -> Path:
    """Write one self-contained HTML page of what a model attends to; arguments as for `pictures`."""
    write_page(path, pictures(model, sentences, **options), title=title)
    return Path(path)
