"""Text to ids and back: a thin face on Hugging Face `tokenizers`.

The tokenizers of what writes, if they are trained here, have the same three special ids, 0 `<pad>`, 1 `</s>` and 2
`<unk>`; those of encoders, `bert`, `albert` and `xlnet`, have the special tokens of their papers' code; what is read
from published files has the ones it was published with. All lie on the disk as one `tokenizer.json`, which Hugging
Face's own library reads as well. The names of special tokens are ordinary text where they stand in a sentence, save
`<unk>` in `whitespace`: no input can smuggle in an end of sentence.

What decoding gives back, for text whose characters were seen in training:

- `bytes`, and GPT-2: any text itself, seen or not.
- `characters`: the text itself, after Unicode normalisation (NFC).
- `bpe`, `unigram`: the same, but for spaces at the ends of the text. The space before a word is a part of its piece
  (`▁Haus`), and punctuation is always a piece of its own.
- `wordpiece`: the same, but a word with an unseen character becomes one `<unk>`.
- `words`: the text, after NFC, with each run of spaces as one space. Punctuation remembers on which side it touched
  (`￭.`), words do not, so a word has one id wherever it stands.
- `whitespace`: the words, as white space divides them, with one space between them. For text which is tokenised
  already, as Penn Treebank and WikiText are; `<unk>` in it is the unknown word.
- GPT: lower-case words, and punctuation as a word of its own.

In `bpe`, `unigram` and `wordpiece` a literal `▁` becomes a space, in `words` a literal `￭` is dropped: they are the
marks.
"""

import codecs
import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import tokenizers
from tokenizers import decoders

from regard.storage.files import written_whole
from regard.text.encoders import CONTINUES, frame_for_tasks, frame_with
from regard.text.framing import BareFraming, Framing, GPTFraming
from regard.text.kinds import KINDS, SPACE, SPECIAL, trained
from regard.text.letters import bytes_of
from regard.text.published import WORD_END, pair_in, read_pair, special_ids
from regard.text.sentencepiece import read_sentencepiece
from regard.text.wordpiece import read_wordpiece

__all__ = ["KINDS", "SPECIAL", "TOKENIZER", "Tokenizer", "Unfolding"]

TOKENIZER = "tokenizer.json"

# Threads inside the library, but none in a forked process: the threads of a pool do not survive the fork.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.register_at_fork(after_in_child=lambda: os.environ.__setitem__("TOKENIZERS_PARALLELISM", "false"))

_SHOWN = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥"})
_PUBLISHED = {".model": read_sentencepiece, ".txt": read_wordpiece}  # other files than tokenizer.json
_THEIRS = {
    "pad": "pad",
    "start": "bos",
    "end": "eos",
    "unknown": "unk",
    "summary": "cls",
    "separator": "sep",
    "mask": "mask",
}
_LONE_BYTES = {0xDC00 + byte: f"<0x{byte:02X}>" for byte in range(0x80, 0x100)}  # as "surrogateescape" reads them


class Tokenizer:
    """Text to ids and back; made by `Tokenizer.train`, `Tokenizer.load` or `Tokenizer.from_files`.

    Raises:
        ValueError: if the special tokens are neither those of `Tokenizer.train` nor those of a published model.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer):
        self._special = special_ids(tokenizer)
        tokenizer.add_special_tokens([tokenizer.id_to_token(id) for id in self._special.values()])
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self._json = tokenizer.to_str()
        added = tokenizer.get_added_tokens_decoder().items()
        self._dropped = frozenset(id for id, token in added if token.special)

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
            kind: one of `KINDS` or, for encoders, of `ENCODERS`.
            vocabulary: ids at most, the special ones included; None is all, for the kinds alone which
                only count: words, whitespace and characters.
            minimum: how often a word, a character or a pair must be seen to become a token of its own.
            lowercase: whether capitals are written small; in `bert` accents go with them.

        Raises:
            ValueError: if an argument is out of its range, there is no text, or the vocabulary cannot hold every
                character that the pieces are made of.
        """
        options = {"kind": kind, "vocabulary": vocabulary, "minimum": minimum, "lowercase": lowercase}
        return cls(trained(lines, **options))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a `tokenizer.json`, or the one in a folder; or, where it has none, what else was published in it.

        Args:
            path: a `tokenizer.json`; a `.model` of SentencePiece, ALBERT's or XLNet's; a `.txt` with BERT's vocabulary;
                or a folder with one of these (`spiece.model`, `vocab.txt`) or with GPT's or GPT-2's pair of files.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if a file is cut short, is not a tokenizer, or has special tokens of its own.
        """
        path = Path(path)
        if path.is_dir():
            path, folder = path / TOKENIZER, path
            if not path.is_file() and (pair := pair_in(folder)):
                return cls.from_files(*pair)
            if not path.is_file():
                path = next((at for at in map(folder.joinpath, ("spiece.model", "vocab.txt")) if at.is_file()), path)
        if path.suffix in _PUBLISHED:
            return cls(_PUBLISHED[path.suffix](path))
        if not path.is_file():
            raise FileNotFoundError(f"no tokenizer at {path}; `Tokenizer.train(...).save(path)` makes one")
        try:
            return cls(tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except Exception as error:  # the library raises plain Exception
            raise ValueError(f"{path} is not a tokenizer which regard can use: {error}") from error

    @classmethod
    def from_files(cls, vocabulary: str | Path, merges: str | Path) -> Self:
        """GPT's or GPT-2's tokenizer, of the two files which OpenAI published, whatever they are called here.

        Args:
            vocabulary: `encoder.json`, `encoder_bpe_40000.json`, or `vocab.json` as Hugging Face calls both.
            merges: `vocab.bpe`, `vocab_40000.bpe` or `merges.txt`.

        Raises:
            FileNotFoundError: if one is not there.
            ValueError: if one is cut short, or they do not belong together.
        """
        return cls(read_pair(Path(vocabulary), Path(merges)))

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
        """The id which fills short sequences; a ValueError where there is none."""
        return self._id("pad")

    @property
    def end(self) -> int:
        """The id which ends a sentence or a text; a ValueError where there is none."""
        return self._id("end")

    @property
    def has_end(self) -> bool:
        """Whether there is an id which ends a text."""
        return "end" in self._special

    @property
    def unknown(self) -> int:
        """The id of whatever was not seen in training; a ValueError where there is none."""
        return self._id("unknown")

    @property
    def special_tokens(self) -> dict[str, str]:
        """The special tokens by the names which Transformers has for them, such as `eos_token`."""
        return {f"{_THEIRS[name]}_token": self._tokenizer.id_to_token(id) or "" for name, id in self._special.items()}

    @property
    def mask(self) -> int:
        """The id which stands for a word that is to be found; a ValueError where there is none."""
        return self._id("mask")

    def framing(self, *, is_last: bool, is_causal: bool = False) -> Framing:
        """How texts become the input of an encoder.

        Args:
            is_last: whether the token whose state sums an input up stands behind the texts, as in XLNet.
            is_causal: whether it sees those before it alone, as in GPT, which may be read without special tokens.

        Raises:
            ValueError: if there are no such special tokens.
        """
        if "start" in self._special:
            return GPTFraming(self._id("summary"), self._id("separator"), is_last, self._id("start"))
        if is_causal and "summary" not in self._special:
            return BareFraming(-1, -1, is_last)
        return Framing(self._id("summary"), self._id("separator"), is_last)

    def framed(self, framing: Framing) -> Self:
        """The same, which in others' hands puts an encoder's special tokens around texts as `framing` does.

        A model may be trained with the tokenizer of another's kind, as XLNet with BERT's.
        """
        found = self._tokenizer.encode("a", "b")
        if (found.ids, found.type_ids) == framing.frame(self.encode("a"), self.encode("b")):
            return self
        tokenizer = tokenizers.Tokenizer.from_str(self._json)
        names = self.special_tokens
        frame_with(tokenizer, names["cls_token"], names["sep_token"], is_last=framing.is_last)
        return type(self)(tokenizer)

    def for_tasks(self) -> Self:
        """The same with the special tokens of GPT's tasks behind all others, if it has them not.

        Radford et al. 2018, section 3.3: one for the start, one between two texts, and one whose state sums up.
        """
        if "start" in self._special:
            return self
        tokenizer = tokenizers.Tokenizer.from_str(self._json)
        frame_for_tasks(tokenizer)
        return type(self)(tokenizer)

    @cached_property
    def begins_word(self) -> list[bool]:
        """Whether each id begins a word; special ids do, and pieces of punctuation."""
        marks = isinstance(self._tokenizer.decoder, decoders.WordPiece)
        tokens = [self._tokenizer.id_to_token(id) or "" for id in range(self.size)]
        if marks:  # those which go on are marked
            return [not token.startswith(CONTINUES) for token in tokens]
        return [
            token.startswith(SPACE) or not token[:1].isalnum() or id in self._dropped for id, token in enumerate(tokens)
        ]

    def _id(self, name: str) -> int:
        """A special id."""
        if name not in self._special:
            there = ", ".join(f"{name}: {id}" for name, id in self._special.items())
            raise ValueError(f"this tokenizer has no {name} token, its special ids are {there}")
        return self._special[name]

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides how text is cut, the same in every process."""
        return hashlib.sha256(self._json.encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of one text, without an end."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, without ends."""
        return [encoded.ids for encoded in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def locate_batch(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Ids of many texts, and of each id from which character of the text to which it stands."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [(one.ids, one.offsets) for one in encoded]

    def encode_words(self, words: Sequence[str]) -> tuple[list[int], list[int]]:
        """Ids of words which are cut apart already, and the number of the word in which each id stands."""
        encoded = self._tokenizer.encode(list(words), is_pretokenized=True, add_special_tokens=False)
        return encoded.ids, [word for word in encoded.word_ids if word is not None]

    def decode(self, ids: Iterable[int], *, keeps_unknown: bool = False) -> str:
        """The text of these ids; special ids are dropped, save `<unk>` where asked for."""
        return self._tokenizer.decode(self._plain(ids, keeps_unknown), skip_special_tokens=False)

    def decode_batch(self, batch: Iterable[Iterable[int]], *, keeps_unknown: bool = False) -> list[str]:
        """The texts of many sequences of ids."""
        plain = [self._plain(ids, keeps_unknown) for ids in batch]
        return self._tokenizer.decode_batch(plain, skip_special_tokens=False)

    def _plain(self, ids: Iterable[int], keeps_unknown: bool) -> list[int]:
        """Ids which are text; an id outside the vocabulary is the caller's mistake, not a missing word."""
        plain, size = [], self.size
        dropped = self._dropped - {self._special.get("unknown")} if keeps_unknown else self._dropped
        for id in map(int, ids):
            if not 0 <= id < size:
                raise ValueError(f"ids must be from 0 to {size - 1}, got {id}")
            if id not in dropped:
                plain.append(id)
        return plain

    def unfolding(self, after: Iterable[int] = (), *, keeps_unknown: bool = False) -> "Unfolding":
        """The text of ids which come one by one.

        Args:
            after: ids which came before, whose text is told already.
            keeps_unknown: as of `decode`.
        """
        unfolding = Unfolding(self, keeps_unknown)
        for id in after:
            unfolding.add(id)
        return unfolding

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Each id as a picture shows it.

        A piece which goes on with a word is led by `·`, or by `##` in BERT; a space which stands alone is `␣`, a line
        break `⏎`, a tab `⇥` and a byte of a character which is not whole `<0xE4>`; special ids show names.
        """
        shown, inside = [], False
        knows_spaces = isinstance(
            self._tokenizer.decoder, decoders.Metaspace | decoders.ByteLevel | decoders.BPEDecoder
        )
        for id in map(int, ids):
            token = self._tokenizer.id_to_token(id)
            if token is None:
                raise ValueError(f"ids must be from 0 to {self.size - 1}, got {id}")
            if id in self._dropped:
                shown.append(token)
                inside = False
                continue
            text = self._text(id, token)
            goes_on = knows_spaces and inside and text[:1].isalnum()
            inside = text[-1:].isalnum()
            shown.append("·" * goes_on + (text.strip(" ") or text).translate(_SHOWN))
        return shown

    def _text(self, id: int, token: str) -> str:
        """A piece as it stands in the middle of a text, with its spaces where they are its own."""
        match self._tokenizer.decoder:
            case decoders.Metaspace():
                return token.replace(SPACE, " ")
            case decoders.BPEDecoder():
                return token.replace(WORD_END, " ")
            case decoders.WordPiece():
                return token  # which has BERT's own mark where it goes on with a word, `##`
            case decoders.ByteLevel():
                return bytes_of(token).decode(errors="surrogateescape").translate(_LONE_BYTES)
            case _:
                return self._tokenizer.decode([id], skip_special_tokens=False)

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


class Unfolding:
    """The text of ids which come one by one: all that it gives, put together, is what `decode` gives for all of them.

    Made by `Tokenizer.unfolding`. Only the bytes of a character which is not whole are held back.
    """

    def __init__(self, tokenizer: Tokenizer, keeps_unknown: bool):
        self._face, self._keeps_unknown = tokenizer, keeps_unknown
        self._last: list[int] = []
        self._characters = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, id: int) -> str:
        """The text which this id makes certain; none of a special id."""
        plain = self._face._plain([id], self._keeps_unknown)
        return self._characters.decode(self._bytes(plain[0])) if plain else ""

    def rest(self) -> str:
        """What was held back, once no more ids come."""
        return self._characters.decode(b"", final=True)

    def _bytes(self, id: int) -> bytes:
        """What an id adds to the text, which depends on the one before it alone, and in `bytes` on none."""
        library = self._face._tokenizer
        if isinstance(library.decoder, decoders.ByteLevel):
            return bytes_of(library.id_to_token(id) or "")
        last, self._last = self._last, [id]
        told = library.decode(last, skip_special_tokens=False)
        return library.decode([*last, id], skip_special_tokens=False)[len(told) :].encode()


def _restore(text: str) -> Tokenizer:
    """A tokenizer out of its JSON, for pickle."""
    return Tokenizer(tokenizers.Tokenizer.from_str(text))
