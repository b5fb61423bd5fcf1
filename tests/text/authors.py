"""How ALBERT's and XLNet's authors cut text: SentencePiece's package, with cleaning before and numbers after it."""

import unicodedata


def cleaned(text: str, lowercase: bool) -> str:
    """Single spaces, quotes of one kind, no accents."""
    text = " ".join(text.strip().split()).replace("``", '"').replace("''", '"')
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return plain.lower() if lowercase else plain


def pieces(processor, text: str, lowercase: bool) -> list[str]:
    """Pieces, of which a number with a comma behind it is cut once more."""
    found = []
    for piece in processor.encode(cleaned(text, lowercase), out_type=str):
        if not (len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()):
            found.append(piece)
            continue
        again = processor.encode(piece[:-1].replace("▁", ""), out_type=str)
        if piece[0] != "▁" and again[0][0] == "▁":  # which was not there before
            again = again[1:] if again[0] == "▁" else [again[0][1:], *again[1:]]
        found += [*again, ","]
    return found


def ids(processor, text: str, lowercase: bool) -> list[int]:
    """The numbers of the pieces."""
    return [processor.piece_to_id(piece) for piece in pieces(processor, text, lowercase)]
