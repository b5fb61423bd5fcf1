"""The tokenizers which are trained here, each a model of Hugging Face `tokenizers` between a cutter and a joiner.

Those of `KINDS`, for text which is to be written, all begin with the same three special ids, 0 `<pad>`, 1 `</s>` and 2
`<unk>`. Those of `ENCODERS`, for text which is only read, have BERT's, ALBERT's or XLNet's, from 0 on.
"""

import json
from collections.abc import Callable, Iterable, Iterator

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from regard.storage.names import require
from regard.text import encoders
from regard.text.encoders import SPACE

SPECIAL = ("<pad>", "</s>", "<unk>")
JOINER = "￭"  # stands where a punctuation mark touches its neighbour, as in OpenNMT's tokenizer

_WORD = r"\p{L}\p{M}\p{N}"
_PIECES = Regex(rf"{SPACE}?[\p{{L}}\p{{M}}]+|{SPACE}?\p{{N}}+|{SPACE}?[^{_WORD}{SPACE}]|{SPACE}")
_PUNCTUATION = Regex(rf"{JOINER}?[^\s{_WORD}{JOINER}](?:{JOINER}(?=[{_WORD}]))?")
_NAMES = r"\\*(?:</s>|<pad>)"  # of special tokens, escaped or not

Untrained = tuple[tokenizers.Tokenizer, trainers.Trainer]


def _pieces(model: models.Model, trainer: trainers.Trainer) -> Untrained:
    """A tokenizer whose pieces keep their spaces, so that decoding is concatenation."""
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(SPACE, prepend_scheme="always", split=False),
            pre_tokenizers.Split(_PIECES, "isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(SPACE, prepend_scheme="always")
    return tokenizer, trainer


def _bpe(size: int, minimum: int) -> Untrained:
    """Byte pair encoding over characters (Sennrich et al. 2016)."""
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=minimum, special_tokens=list(SPECIAL), show_progress=False
    )
    return _pieces(models.BPE(unk_token="<unk>", fuse_unk=True), trainer)


def _unigram(size: int, minimum: int) -> Untrained:
    """The unigram language model (Kudo 2018), pruned by likelihood.

    The library breaks ties by the order of a hash table: two trainings may differ in pieces of equal score.
    """
    if minimum > 1:
        raise ValueError(f"minimum is not known to unigram tokenizers, which prune by likelihood, got {minimum}; use 1")
    trainer = trainers.UnigramTrainer(
        vocab_size=size, unk_token="<unk>", special_tokens=list(SPECIAL), show_progress=False
    )
    return _pieces(models.Unigram(), trainer)


def _rounded(tokenizer: tokenizers.Tokenizer, _: int) -> tokenizers.Tokenizer:
    """A unigram tokenizer which is read back as it was written: the library's reader errs in a score's last digit."""
    state = json.loads(tokenizer.to_str())
    state["model"]["vocab"] = [[piece, round(score, 10)] for piece, score in state["model"]["vocab"]]
    return tokenizers.Tokenizer.from_str(json.dumps(state))


def _wordpiece(size: int, minimum: int) -> Untrained:
    """Word pieces, the longest match first, the start of a word marked (Wu et al. 2016, section 4.1)."""
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=minimum,
        special_tokens=list(SPECIAL),
        continuing_subword_prefix="",
        show_progress=False,
    )
    return _pieces(models.WordPiece(unk_token="<unk>", continuing_subword_prefix=""), trainer)


def _words(size: int, minimum: int) -> Untrained:
    """Whole words and punctuation marks, the most frequent first; all others are `<unk>`."""
    tokenizer = tokenizers.Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(JOINER, ""),
            normalizers.Replace(Regex(rf"(?<=\S)(?=[^\s{_WORD}])"), JOINER),
            normalizers.Replace(Regex(rf"(?<=[^\s{_WORD}])(?=[{_WORD}])"), JOINER),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(_PUNCTUATION, "isolated")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix=JOINER, cleanup=False),
            decoders.Fuse(),
            decoders.Replace(JOINER + " ", ""),
            decoders.Replace(JOINER, ""),
        ]
    )
    return tokenizer, _whole(size, minimum)


def _characters(size: int, minimum: int) -> Untrained:
    """Every code point a token, the space too."""
    tokenizer = tokenizers.Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?m:.)"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer, _whole(size, minimum)


def _bytes(size: int, minimum: int) -> Untrained:
    """Byte pair encoding over bytes, to which no text is unknown (Radford et al. 2019, section 2.2)."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if size < len(SPECIAL) + len(alphabet):
        raise ValueError(f"vocabulary must be 259 or more for kind 'bytes', 256 bytes and 3 special tokens, got {size}")
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=minimum,
        special_tokens=list(SPECIAL),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    return tokenizer, trainer


def _whitespace(size: int, minimum: int) -> Untrained:
    """What white space divides, the most frequent first; the word `<unk>` is the unknown one, as in Penn Treebank.

    The words `</s>` and `<pad>` are words like others: a backslash before them, which decoding takes away again, tells
    them from the special tokens.
    """
    tokenizer = tokenizers.Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(Regex(rf"(?<!\S)(?={_NAMES}(?!\S))"), "\\")
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(Regex(rf"\A\\(?={_NAMES}\z)"), ""),
            decoders.WordPiece(prefix=" ", cleanup=False),  # no word starts with a space: all are divided by one
        ]
    )
    return tokenizer, trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=minimum, special_tokens=[], show_progress=False
    )


def _specials_first(tokenizer: tokenizers.Tokenizer, size: int) -> tokenizers.Tokenizer:
    """Words in their order, behind the special tokens: the trainer would number an `<unk>` of the text once more."""
    ids = tokenizer.get_vocab()
    words = [*SPECIAL, *(word for word in sorted(ids, key=lambda word: ids[word]) if word not in SPECIAL)][:size]
    tokenizer.model = models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="<unk>")
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _whole(size: int, minimum: int) -> trainers.Trainer:
    """The trainer which only counts."""
    return trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=minimum, special_tokens=list(SPECIAL), show_progress=False
    )


def _bert(size: int, minimum: int) -> Untrained:
    """BERT's word pieces, of which those which go on with a word have a mark (Devlin et al. 2019, section 3)."""
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token=encoders.BERT["unknown"]))
    encoders.cut_into_words(tokenizer)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=minimum,
        special_tokens=list(encoders.BERT.values()),
        continuing_subword_prefix=encoders.CONTINUES,
        show_progress=False,
    )
    return tokenizer, trainer


def _albert(size: int, minimum: int) -> Untrained:
    """ALBERT's unigram model, of text without accents (Lan et al. 2020, section 4.1)."""
    return _framed_unigram(size, minimum, list(encoders.ALBERT.values()))


def _xlnet(size: int, minimum: int) -> Untrained:
    """XLNet's unigram model, as ALBERT's but for its special tokens (Yang et al. 2019, section 3.1)."""
    return _framed_unigram(size, minimum, list(encoders.XLNET.values()))


def _framed_unigram(size: int, minimum: int, special: list[str]) -> Untrained:
    """A unigram model with an encoder's special tokens, whose pieces keep letters, numbers and punctuation apart."""
    tokenizer, _ = _unigram(size, minimum)
    encoders.cut_at_spaces(tokenizer, pre_tokenizers.Split(_PIECES, "isolated"))
    trainer = trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", special_tokens=special, show_progress=False)
    return tokenizer, trainer


KINDS: dict[str, Callable[[int, int], Untrained]] = {
    "bpe": _bpe,
    "unigram": _unigram,
    "wordpiece": _wordpiece,
    "bytes": _bytes,
    "words": _words,
    "whitespace": _whitespace,
    "characters": _characters,
}
ENCODERS: dict[str, Callable[[int, int], Untrained]] = {"bert": _bert, "albert": _albert, "xlnet": _xlnet}
COUNTED = ("words", "whitespace", "characters")  # kinds which may take everything they see
VERBATIM = ("bytes", "whitespace")  # kinds which leave Unicode as it came
_FINISH = {
    "unigram": _rounded,
    "albert": _rounded,
    "xlnet": _rounded,
    "whitespace": _specials_first,
}  # what the library's trainer leaves to do


def trained(
    lines: Iterable[str], *, kind: str, vocabulary: int | None, minimum: int, lowercase: bool
) -> tokenizers.Tokenizer:
    """The library's tokenizer of this kind, trained on lines; its arguments and errors are `Tokenizer.train`'s."""
    require("kind", kind, [*KINDS, *ENCODERS])
    special = len(encoders.NAMES.get(kind, SPECIAL))
    if vocabulary is None and kind not in COUNTED:
        raise ValueError(f"vocabulary must be given for kind {kind!r}; only {', '.join(COUNTED)} do without")
    if vocabulary is not None and vocabulary <= special:
        raise ValueError(f"vocabulary must leave room beside the {special} special tokens, got {vocabulary}")
    if minimum < 1:
        raise ValueError(f"minimum must be 1 or more, got {minimum}")
    most = vocabulary if vocabulary is not None else 2**31
    tokenizer, trainer = (KINDS | ENCODERS)[kind](most, minimum)
    cleaning = _cleaning(kind, lowercase)
    if tokenizer.normalizer is not None:
        cleaning.append(tokenizer.normalizer)
    if cleaning:
        tokenizer.normalizer = normalizers.Sequence(cleaning)
    try:
        tokenizer.train_from_iterator(_with_text(lines), trainer)
    except Exception as error:  # the library raises plain Exception
        if "not large enough to contain all chars" not in str(error):
            raise
        raise ValueError(
            f"vocabulary={vocabulary} cannot hold the characters of the text and the {special} special tokens; ask for "
            "more"
        ) from error
    if kind in _FINISH:
        tokenizer = _FINISH[kind](tokenizer, most)
    size = tokenizer.get_vocab_size()
    if size <= special:
        raise ValueError("there is nothing to train a tokenizer on: the text is empty, or minimum is too high")
    if size > most:
        raise ValueError(
            f"vocabulary={vocabulary} cannot hold the {size - special} characters of the text and the {special} "
            f"special tokens; ask for more than {size}"
        )
    if kind in ENCODERS:
        encoders.frame(tokenizer, encoders.NAMES[kind])
    return tokenizer


def _cleaning(kind: str, lowercase: bool) -> list[normalizers.Normalizer]:
    """What is done to text first."""
    if kind == "bert":
        return [encoders.bert_cleaning(lowercase)]
    if kind in ENCODERS:
        return [encoders.piece_cleaning(lowercase, False, normalizers.Nmt(), normalizers.NFKC())]
    cleaning: list[normalizers.Normalizer] = [] if kind in VERBATIM else [normalizers.NFC()]
    return [*cleaning, normalizers.Lowercase()] if lowercase else cleaning


def _with_text(lines: Iterable[str]) -> Iterator[str]:
    """The lines, of which one must have text: bytes alone would make a vocabulary out of nothing."""
    empty = True
    for line in lines:
        empty = empty and not line
        yield line
    if empty:
        raise ValueError("there is nothing to train a tokenizer on: the text is empty")
