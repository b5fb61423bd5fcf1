"""Text to ids and back: a thin face on Hugging Face `tokenizers`.

Every tokenizer trained here has the same three special ids, 0 `<pad>`, 1 `</s>` and 2 `<unk>`, and lies on the disk as
one `tokenizer.json`, which Hugging Face's own library reads as well. The names of special tokens are ordinary text
where they stand in a sentence: no input can smuggle in an end of sentence.

What decoding gives back, after Unicode normalisation (NFC), for text without spaces at its ends:

- `bpe`, `unigram`: the text itself, as long as its characters were seen in training. The space before a word is a part
  of its piece (`▁Haus`), and punctuation is always a piece of its own.
- `wordpiece`: the same, but a word with an unseen character becomes one `<unk>`.
- `words`: the text with each run of spaces as one space. Punctuation remembers on which side it touched (`￭.`), words
  do not, so a word has one id wherever it stands.
- `characters`: the text itself.

A literal `▁` becomes a space and a literal `￭` is dropped: they are the marks.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from regard.storage.files import written_whole
from regard.storage.names import require

# Threads inside the library, but none in a forked process: the threads of a pool do not survive the fork.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.register_at_fork(after_in_child=lambda: os.environ.__setitem__("TOKENIZERS_PARALLELISM", "false"))

SPECIAL = ("<pad>", "</s>", "<unk>")
SPACE = "▁"  # stands for the space before a piece, as in SentencePiece
JOINER = "￭"  # stands where a punctuation mark touches its neighbour, as in OpenNMT's tokenizer

_WORD = r"\p{L}\p{M}\p{N}"
_PIECES = Regex(rf"{SPACE}?[\p{{L}}\p{{M}}]+|{SPACE}?\p{{N}}+|{SPACE}?[^{_WORD}{SPACE}]|{SPACE}")
_PUNCTUATION = Regex(rf"{JOINER}?[^\s{_WORD}{JOINER}](?:{JOINER}(?=[{_WORD}]))?")

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


def _settled(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
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


def _whole(size: int, minimum: int) -> trainers.Trainer:
    """The trainer which only counts."""
    return trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=minimum, special_tokens=list(SPECIAL), show_progress=False
    )


KINDS: dict[str, Callable[[int, int], Untrained]] = {
    "bpe": _bpe,
    "unigram": _unigram,
    "wordpiece": _wordpiece,
    "words": _words,
    "characters": _characters,
}
COUNTED = ("words", "characters")  # kinds which may take everything they see


class Tokenizer:
    """Text to ids and back; made by `Tokenizer.train` or `Tokenizer.load`.

    Raises:
        ValueError: if the special tokens are not where every model expects them.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer):
        found = {name: tokenizer.token_to_id(name) for name in SPECIAL}
        if list(found.values()) != [0, 1, 2]:
            listed = ", ".join(f"{name}: {'missing' if at is None else at}" for name, at in found.items())
            raise ValueError(f"the special tokens must have the ids <pad>: 0, </s>: 1, <unk>: 2, got {listed}")
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self._json = tokenizer.to_str()
        pre = json.dumps(json.loads(self._json)["pre_tokenizer"])
        self._marks_spaces = "Metaspace" in pre

    @classmethod
    def train(
        cls,
        lines: Iterable[str],
        *,
        kind: str,
        vocabulary: int | None = None,
        minimum: int = 1,
        lowercase: bool = False,
    ) -> Self:
        """Train on lines of text, which are read once and never held together in memory.

        Args:
            kind: one of `KINDS`.
            vocabulary: ids at most, the three special ones included; None, for words and characters alone, is all.
            minimum: how often a word, a character or a pair must be seen to become a token of its own.

        Raises:
            ValueError: if an argument is out of its range, there is no text, or the vocabulary cannot hold every
                character that the pieces are made of.
        """
        require("kind", kind, KINDS)
        if vocabulary is None and kind not in COUNTED:
            raise ValueError(f"vocabulary must be given for kind {kind!r}; only {' and '.join(COUNTED)} do without")
        if vocabulary is not None and vocabulary <= len(SPECIAL):
            raise ValueError(f"vocabulary must leave room beside the 3 special tokens, got {vocabulary}")
        if minimum < 1:
            raise ValueError(f"minimum must be 1 or more, got {minimum}")
        tokenizer, trainer = KINDS[kind](vocabulary if vocabulary is not None else 2**31, minimum)
        cleaning = [normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])]
        if tokenizer.normalizer is not None:
            cleaning.append(tokenizer.normalizer)
        tokenizer.normalizer = normalizers.Sequence(cleaning)
        tokenizer.train_from_iterator(iter(lines), trainer)
        if kind == "unigram":
            tokenizer = _settled(tokenizer)
        size = tokenizer.get_vocab_size()
        if size <= len(SPECIAL):
            raise ValueError("there is nothing to train a tokenizer on: the text is empty, or minimum is too high")
        if vocabulary is not None and size > vocabulary:
            raise ValueError(
                f"vocabulary={vocabulary} cannot hold the {size - len(SPECIAL)} characters of the text and the 3 "
                f"special tokens; ask for more than {size}"
            )
        return cls(tokenizer)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a `tokenizer.json`, or the one in a folder.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if the file is cut short, is not a tokenizer, or has no special tokens at 0, 1 and 2.
        """
        path = Path(path)
        path = path / "tokenizer.json" if path.is_dir() else path
        if not path.is_file():
            raise FileNotFoundError(f"no tokenizer at {path}; `Tokenizer.train(...).save(path)` makes one")
        try:
            return cls(tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except Exception as error:  # the library raises plain Exception
            raise ValueError(f"{path} is not a tokenizer which regard can use: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write `tokenizer.json` to this path, whole or not at all."""
        with written_whole(path) as file:
            file.write(self._tokenizer.to_str(pretty=True))

    @property
    def size(self) -> int:
        """How many ids there are, special ones included."""
        return self._tokenizer.get_vocab_size()

    @property
    def pad(self) -> int:
        """The id which fills short sequences."""
        return 0

    @property
    def end(self) -> int:
        """The id which ends a sentence."""
        return 1

    @property
    def unknown(self) -> int:
        """The id of whatever was not seen in training."""
        return 2

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides how text is cut, the same in every process."""
        return hashlib.sha256(self._json.encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of one text, without an end."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, without ends."""
        return [encoded.ids for encoded in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Iterable[int], *, keeps_unknown: bool = False) -> str:
        """The text of these ids; special ids are dropped, save `<unk>` where asked for."""
        return self._tokenizer.decode(self._plain(ids, keeps_unknown), skip_special_tokens=False)

    def decode_batch(self, batch: Iterable[Iterable[int]], *, keeps_unknown: bool = False) -> list[str]:
        """The texts of many sequences of ids."""
        plain = [self._plain(ids, keeps_unknown) for ids in batch]
        return self._tokenizer.decode_batch(plain, skip_special_tokens=False)

    def _plain(self, ids: Iterable[int], keeps_unknown: bool) -> list[int]:
        """Ids which are text; an id outside the vocabulary is the caller's mistake, not a missing word."""
        plain, size, dropped = [], self.size, 2 if keeps_unknown else 3
        for id in ids:
            if not 0 <= id < size:
                raise ValueError(f"ids must be from 0 to {size - 1}, got {id}")
            if id >= dropped:
                plain.append(int(id))
        return plain

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Each id as a picture shows it.

        A piece which goes on with a word is led by `·`, a space which stands alone is `␣`; special ids show names.
        """
        shown, inside = [], False
        for id in ids:
            token = self._tokenizer.id_to_token(int(id))
            if token is None:
                raise ValueError(f"ids must be from 0 to {self.size - 1}, got {id}")
            if token in SPECIAL:
                shown.append(token)
                inside = False
                continue
            text = token.removeprefix(SPACE) if self._marks_spaces else token.replace(JOINER, "")
            goes_on = self._marks_spaces and inside and token[0].isalnum()
            inside = token[-1].isalnum()
            shown.append("·" + text if goes_on else text.replace(" ", "␣") or "␣")
        return shown

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self._json == other._json

    def __hash__(self) -> int:
        return hash(self._json)

    def __repr__(self) -> str:
        return f"Tokenizer(size={self.size})"

    def __reduce__(self):
        return _restore, (self._json,)


def _restore(text: str) -> Tokenizer:
    """A tokenizer out of its JSON, for pickle."""
    return Tokenizer(tokenizers.Tokenizer.from_str(text))
