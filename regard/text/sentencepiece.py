"""ALBERT's and XLNet's tokenizers, from the `spiece.model` which SentencePiece wrote (Kudo and Richardson 2018).

The file is a message of Protocol Buffers: pieces with their scores, how the model was trained, and a table of
characters which are written otherwise first. The pieces which it calls control symbols stand for no text.

Their authors cut a piece like `▁1990,`, a number with a comma, once more, into the number and the comma. Here, as in
Transformers, such pieces are made so unlikely that none is taken. Seldom, a number comes apart in another place
(`11,003`: `▁1 1,0 03`, not `▁11 , 00 3`).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import models, normalizers

from regard.storage.protobuf import Field, fields
from regard.text.encoders import ALBERT, PARAGRAPH, XLNET, apart, cut_at_spaces, frame, piece_cleaning, settings

_NORMAL, _UNKNOWN, _CONTROL, _GIVEN = 1, 2, 3, 4  # ModelProto.SentencePiece.Type
_UNLIKELY = 100.0  # nats by which a piece with a comma loses
_TRAINER = {3: ("model_type", 1), 24: ("treat_whitespace_as_suffix", 0), 35: ("byte_fallback", 0)}  # and what is read
_NORMALISER = {3: ("add_dummy_prefix", 1), 4: ("remove_extra_whitespaces", 1), 5: ("escape_whitespaces", 1)}


@dataclass(frozen=True)
class _Piece:
    """One of the vocabulary."""

    text: str
    score: float  # log-probability
    type: int


def read_sentencepiece(path: str | Path, *, lowercase: bool | None = None) -> tokenizers.Tokenizer:
    """The library's tokenizer of a SentencePiece model of ALBERT's or XLNet's form.

    Args:
        path: the model, whatever it is called.
        lowercase: whether capitals are written small; None is what `tokenizer_config.json` beside it says
            (`do_lower_case`), and without one what was published: ALBERT's are, XLNet's are not.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, or of another form.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no SentencePiece model at {path}")
    said = settings(path)
    try:
        pieces, rules = _read(path.read_bytes())
        names = _names(pieces)
    except ValueError as error:
        raise ValueError(f"{path} is damaged, or is not a SentencePiece model which regard can use: {error}") from error
    if lowercase is None:
        lowercase = said.get("do_lower_case", names is ALBERT)
    vocabulary = [(one.text, _likelihood(one)) for one in pieces]
    unknown = [one.type for one in pieces].index(_UNKNOWN)
    tokenizer = tokenizers.Tokenizer(models.Unigram(vocabulary, unk_id=unknown, byte_fallback=False))
    tokenizer.normalizer = piece_cleaning(bool(lowercase), bool(said.get("keep_accents", False)), *rules)
    special = [one.text for one in pieces if one.type in (_UNKNOWN, _CONTROL) or one.text == PARAGRAPH]
    cut_at_spaces(tokenizer, apart(special))
    frame(tokenizer, names)
    tokenizer.add_special_tokens(special)
    return tokenizer


def _likelihood(piece: _Piece) -> float:
    """The score of a piece, in steps so large that sums of scores are exact.

    Then, of several cuts with the same pieces, the first is taken, as SentencePiece does (`2.666`: `6 66`, not `66 6`),
    and the library, whose reader errs in a seventeenth digit, reads what it wrote.
    """
    is_number = piece.text[-1] == "," and piece.text[-2:-1].isdigit()
    score = piece.score - _UNLIKELY * is_number
    step = 2.0**-14 if abs(score) < 90 else 1.0
    return round(score / step) * step


def _read(data: bytes) -> tuple[list[_Piece], list[normalizers.Normalizer]]:
    """Pieces, and the rules of the normaliser (ModelProto)."""
    pieces: list[_Piece] = []
    rules: list[normalizers.Normalizer] = []
    for part in fields(data):
        match part.number:
            case 1:
                pieces.append(_piece(part))
            case 2:
                _require(part, _TRAINER)
            case 3:
                _require(part, _NORMALISER)
                table = b"".join(entry.data for entry in part.fields if entry.number == 2)
                if table:
                    _require_sound(table)
                    rules = [normalizers.Precompiled(table)]
    if len({one.text for one in pieces}) < len(pieces):
        raise ValueError("a piece is there twice")
    if [one.type for one in pieces].count(_UNKNOWN) != 1:
        raise ValueError("it must have one piece for what is unknown")
    return pieces, rules


def _piece(message: Field) -> _Piece:
    """One piece (ModelProto.SentencePiece)."""
    text, score, kind = "", 0.0, _NORMAL
    for part in message.fields:
        match part.number:
            case 1:
                text = part.text
            case 2:
                score = part.real
            case 3:
                kind = part.integer
    piece = _Piece(text, score, kind)
    if not piece.text or not math.isfinite(piece.score):
        raise ValueError(f"the piece {piece.text!r} has the score {piece.score}")
    if piece.type not in (_NORMAL, _UNKNOWN, _CONTROL, _GIVEN):
        raise ValueError(f"the piece {piece.text!r} is of type {piece.type}; unused pieces and bytes are not read")
    return piece


def _names(pieces: list[_Piece]) -> dict[str, str]:
    """The special pieces, ALBERT's or XLNet's."""
    special = {one.text for one in pieces if one.type in (_UNKNOWN, _CONTROL)}
    for names in (ALBERT, XLNET):
        if special.issuperset(names.values()):
            return names
    listed = ", ".join(sorted(special)) or "none"
    raise ValueError(
        f"its special pieces are neither ALBERT's ({', '.join(ALBERT.values())}) nor XLNet's "
        f"({', '.join(XLNET.values())}); they are {listed}"
    )


def _require(message: Field, numbers: dict[int, tuple[str, int]]) -> None:
    """Refuse what is not done here; a field which is not there has the value which is."""
    for part in message.fields:
        name, value = numbers.get(part.number, ("", 0))
        if name and part.integer != value:
            raise ValueError(
                f"its {name} is {part.integer}, and only {value} is read (a unigram model, with spaces first)"
            )


def _require_sound(table: bytes) -> None:
    """Refuse a table of characters in which the library would look up what is not there, and end the process.

    The table is a tree of byte strings laid out in one array ("double array"), and the texts which its leaves point to.
    A node's children lie at its place, turned by its offset and by the byte of each.
    """
    size = int.from_bytes(table[:4], "little")
    if size < 4 or size % 4 or 4 + size >= len(table):
        raise ValueError("its table of characters is cut short")
    nodes = np.frombuffer(table, "<u4", size // 4, 4).astype(np.int64)
    texts = np.frombuffer(table, np.uint8, offset=4 + size)
    str(texts.tobytes(), "utf-8")
    has_value, is_node = nodes >> 8 & 1 == 1, nodes >> 31 == 0
    first = np.arange(len(nodes)) ^ (nodes >> 10 << (nodes >> 6 & 8))
    is_node[0] = True
    values = nodes[first[is_node & has_value] % len(nodes)] & 0x7FFFFFFF
    if (first[is_node] | 0xFF).max() >= len(nodes) or (values >= len(texts)).any() or (texts[values] >> 6 == 2).any():
        raise ValueError("its table of characters points outside of itself")
