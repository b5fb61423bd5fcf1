"""Model directories: whatever was trained, with what it needs to be used."""

from pathlib import Path

from regard.decoding.translator import Translator
from regard.decoding.writer import Writer
from regard.models import entry_of
from regard.models.directory import read_config
from regard.reading.reader import Reader

Trained = Translator | Writer | Reader
_KINDS: dict[str, type[Trained]] = {"pairs": Translator, "text": Writer, "inputs": Reader}  # by what a model reads


def load(folder: str | Path) -> Trained:
    """The trained model in `folder`, with its tokenizers.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files are damaged or do not belong together.
    """
    name, _ = read_config(folder)
    return _KINDS[entry_of(name).reads].load(folder)


def save(model: Trained, folder: str | Path) -> None:
    """Write a model and its tokenizers into `folder`, in Hugging Face's layout."""
    model.save(folder)
