"""Model directories: whatever was trained, with what it needs to be used."""

from pathlib import Path

from regard.decoding.translator import Translator
from regard.decoding.writer import Writer
from regard.models.saved import entry_of, read_config


def load(folder: str | Path) -> Translator | Writer:
    """The trained model in `folder`, with its tokenizers.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files are damaged or do not belong together.
    """
    name, _ = read_config(folder)
    return Translator.load(folder) if entry_of(name).reads == "pairs" else Writer.load(folder)


def save(model: Translator | Writer, folder: str | Path) -> None:
    """Write a model and its tokenizers into `folder`, in Hugging Face's layout."""
    model.save(folder)
