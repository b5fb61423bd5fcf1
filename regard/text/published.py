"""GPT's and GPT-2's tokenizers, from the vocabulary files which OpenAI published.

Each is a pair of files: a JSON table of ids, and the merges in the order in which they were learnt. What a pair is, its
tokens tell: GPT-2's are bytes (Radford et al. 2019, section 2.2) and one of them is `<|endoftext|>`; those of GPT
(Radford et al. 2018, section 4.1) end a word with `</w>`, and the first of them is `<unk>`.
"""

import json
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from regard.text.encoders import GPT, NAMES
from regard.text.kinds import SPECIAL

PAIRS = {  # vocabulary: merges
    "encoder.json": "vocab.bpe",  # OpenAI's names for GPT-2
    "encoder_bpe_40000.json": "vocab_40000.bpe",  # and for GPT
    "vocab.json": "merges.txt",  # Hugging Face's for both
}
END = "<|endoftext|>"
WORD_END = "</w>"


def pair_in(folder: Path) -> tuple[Path, Path] | None:
    """The vocabulary and the merges of a folder which has such a pair.

    Raises:
        FileNotFoundError: if one of the two has no partner.
    """
    for names in PAIRS.items():
        there = [name for name in names if (folder / name).is_file()]
        if len(there) == 2:
            return folder / names[0], folder / names[1]
        if there:
            [missing] = set(names) - set(there)
            raise FileNotFoundError(f"{folder} has {there[0]} but not its partner {missing}; put both there")
    return None


def read_pair(vocabulary: Path, merges: Path) -> tokenizers.Tokenizer:
    """The library's tokenizer of a published pair of files.

    Raises:
        ValueError: if one of the files is cut short or they do not belong together.
    """
    ids, pairs = _ids(vocabulary), _pairs(merges)
    if not (_is_gpt(ids) or _is_gpt2(ids)):
        raise ValueError(
            f"{vocabulary} is neither GPT-2's vocabulary, 256 bytes and {END}, nor GPT's, with <unk>: 0 and words "
            f"which end in {WORD_END}"
        )
    merged = {token for token in ids if len(token.removesuffix(WORD_END)) > 1 and token not in (END, "<unk>")}
    strange = merged ^ {left + right for left, right in pairs} | {part for pair in pairs for part in pair} - ids.keys()
    if strange:
        raise ValueError(
            f"{merges} does not belong to {vocabulary}, or one of them is cut short: {min(strange)!r} is known to "
            "one alone"
        )
    return _gpt2(ids, pairs) if _is_gpt2(ids) else _gpt(ids, pairs)


def _ids(path: Path) -> dict[str, int]:
    """The table of a vocabulary file."""
    try:
        ids = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no vocabulary, or was cut short: {error}") from error
    if not isinstance(ids, dict) or set(map(repr, ids.values())) != set(map(repr, range(len(ids)))):
        raise ValueError(f"{path} is no vocabulary: it must number its tokens from 0, without gaps")
    return ids


def _pairs(path: Path) -> list[tuple[str, str]]:
    """The merges of a file, which has one on each line behind its version."""
    try:
        lines = path.read_bytes().decode().split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no list of merges: {error}") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        parts = line.split(" ")
        if len(parts) != 2:
            raise ValueError(f"{path}:{number}: a merge must be two tokens with a space between them, got {line!r}")
        pairs.append((parts[0], parts[1]))
    return pairs


def _is_gpt(ids: dict[str, int]) -> bool:
    """Whether a vocabulary has the first GPT's form."""
    return ids.get("<unk>") == 0 and END not in ids and any(token.endswith(WORD_END) for token in ids)


def _is_gpt2(ids: dict[str, int]) -> bool:
    """Whether a vocabulary has GPT-2's form."""
    has_bytes = ids.keys() >= set(pre_tokenizers.ByteLevel.alphabet())
    return END in ids and has_bytes and not any(token.endswith(WORD_END) for token in ids)


def _gpt(ids: dict[str, int], pairs: list[tuple[str, str]]) -> tokenizers.Tokenizer:
    """Byte pair encoding in lower-case words, as Hugging Face cuts them.

    "We use the ftfy library to clean the raw text in BooksCorpus, standardize some punctuation and whitespace, and use
    the spaCy tokenizer", section 4.1. Neither is used here: words are BERT's, and a contraction which spaCy cuts into
    `do n't` is `don ' t`.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE(ids, pairs, unk_token="<unk>", end_of_word_suffix=WORD_END))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(WORD_END)
    return tokenizer


def _gpt2(ids: dict[str, int], pairs: list[tuple[str, str]]) -> tokenizers.Tokenizer:
    """Byte pair encoding over bytes, within words, numbers and punctuation, each with the space before it."""
    tokenizer = tokenizers.Tokenizer(models.BPE(ids, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def special_ids(tokenizer: tokenizers.Tokenizer) -> dict[str, int]:
    """Where a tokenizer has its pad, end and unknown, and an encoder's summary, separator and mask; as far as it does.

    Raises:
        ValueError: if its special tokens are neither those of `Tokenizer.train` nor those of a published model.
    """
    added = {token.content: id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    tasks = {name: added[token] for name, token in GPT.items() if added.keys() >= set(GPT.values())}
    return _own_special_ids(tokenizer) | tasks


def _own_special_ids(tokenizer: tokenizers.Tokenizer) -> dict[str, int]:
    """The same without what GPT is given for tasks."""
    for names in NAMES.values():
        ids = {name: id for name, token in names.items() if (id := tokenizer.token_to_id(token)) is not None}
        if len(ids) == len(names):
            return ids
    found, end = {name: tokenizer.token_to_id(name) for name in SPECIAL}, tokenizer.token_to_id(END)
    suffix = tokenizer.model.end_of_word_suffix if isinstance(tokenizer.model, models.BPE) else None
    if list(found.values()) == [0, 1, 2]:
        return {"pad": 0, "end": 1, "unknown": 2}
    if suffix == WORD_END and found["<unk>"] == 0 and end is None:
        return {"unknown": 0}
    if not suffix and end is not None and isinstance(tokenizer.decoder, decoders.ByteLevel):
        return {"end": end}
    listed = ", ".join(f"{name}: {'missing' if at is None else at}" for name, at in {**found, END: end}.items())
    raise ValueError(
        f"the special tokens must have the ids <pad>: 0, </s>: 1, <unk>: 2; or be those of GPT-2, {END} alone in a "
        f"vocabulary of bytes, of GPT, <unk>: 0 where words end in {WORD_END}, or of BERT, ALBERT or XLNet, which have "
        f"all of pad, unknown, [CLS] or <cls>, [SEP] or <sep>, and mask; got {listed}"
    )
