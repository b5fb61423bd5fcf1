"""A tokenizer in a model's directory: its own file, and what Transformers has to be told of it."""

import json
from pathlib import Path
from typing import Any

from regard.storage.files import written_whole
from regard.text.encoders import TOKENIZER_CONFIG
from regard.text.tokenizer import TOKENIZER, Tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, **about: Any) -> None:
    """Write both files into a folder.

    Without the second one Transformers takes the tokenizer for the published one of the model's kind, and cuts words in
    other places than the file says.

    Args:
        tokenizer: any.
        folder: of the model.
        **about: what else is told, by Transformers' names.
    """
    tokenizer.save(folder / TOKENIZER)
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    with written_whole(folder / TOKENIZER_CONFIG) as file:
        json.dump({**told, **about, **tokenizer.special_tokens}, file, indent=2)
        file.write("\n")
