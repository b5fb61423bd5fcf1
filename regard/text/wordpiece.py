"""BERT's tokenizers, from the `vocab.txt` which Google published: one piece on each line, the first has the id 0."""

import re
from pathlib import Path

import tokenizers
from tokenizers import models

from regard.text.encoders import BERT, CONTINUES, bert_cleaning, cut_into_words, frame, settings

_LONGEST_WORD = 100  # characters, as in Transformers; a longer one is unknown. Google's code allows 200


def read_wordpiece(path: str | Path, *, lowercase: bool | None = None) -> tokenizers.Tokenizer:
    """The library's tokenizer of a vocabulary of BERT's.

    Args:
        path: the vocabulary, whatever it is called.
        lowercase: whether capitals are written small and accents dropped; None is what `tokenizer_config.json` beside
            it says (`do_lower_case`), and without one whether the vocabulary has no capitals.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is none of BERT's, or names a piece twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no vocabulary at {path}")
    said, ids = settings(path), _ids(path)
    if lowercase is None:
        lowercase = said.get(
            "do_lower_case", not any(re.search("[A-Z]", token) for token in ids.keys() - BERT.values())
        )
    model = models.WordPiece(
        ids, unk_token=BERT["unknown"], max_input_chars_per_word=_LONGEST_WORD, continuing_subword_prefix=CONTINUES
    )
    tokenizer = tokenizers.Tokenizer(model)
    spaces_chinese = said.get("tokenize_chinese_chars", True)
    tokenizer.normalizer = bert_cleaning(bool(lowercase), said.get("strip_accents"), bool(spaces_chinese))
    cut_into_words(tokenizer)
    frame(tokenizer, BERT)
    return tokenizer


def _ids(path: Path) -> dict[str, int]:
    """The pieces, and the number of the line of each."""
    try:
        lines = path.read_bytes().decode().split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no vocabulary: {error}") from error
    if not lines[-1]:
        lines.pop()
    ids: dict[str, int] = {}
    for number, line in enumerate(lines):
        token = line.removesuffix("\r")
        if not token or token in ids:
            what = f"{token!r} is on line {ids[token] + 1} too" if token else "it is empty"
            raise ValueError(f"{path}:{number + 1}: each line must be a piece of its own, but {what}")
        ids[token] = number
    if missing := [name for name in BERT.values() if name not in ids]:
        raise ValueError(f"{path} is no vocabulary of BERT's, or was cut short: it has no {', '.join(missing)}")
    return ids
