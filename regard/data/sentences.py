"""Where sentences end, and documents of them, in running text.

It is said by one of `DIVISIONS`:

- `lines`: each line is a sentence, as in BERT's own input; there, documents stand between empty lines, which is
  `Corpus(path, documents="paragraphs")`.
- `prose`: each line is a paragraph, and divided by the rule of `sentences_of`.
- `wikitext`: as prose, of tokenised text, in which a full stop stands between spaces. The file is divided into its
  articles, each of which begins with a heading ` = Title = ` between empty lines; "we extract only the text passages
  and ignore lists, tables, and headers" (Devlin et al. 2019, section 3.1), so headings are left out.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from regard.data.corpus import Piece

DIVISIONS = ("lines", "prose", "wikitext")

_OPENING, _CLOSING = "\"'“‘«(\\[", "\"'”’»)\\]"
_STOP = re.compile(
    rf'(?<![.!?])(?P<mark>[.!?]++)[{_CLOSING}]*+(?:\s+(?P<apart>[")]))?(?=\s+[{_OPENING}]*(?P<next>\S))'
    r"|(?P<wide>[。！？]+[」』”’）]*)"
)
_TITLES = {"Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Gen", "Col", "Lt", "Capt", "Sen", "Gov", "Rev", "No", "vs"}
_TITLE, _HEADING = re.compile(r"\s*= (?!=).*(?<!=) =\s*"), re.compile(r"\s*= =.*= =\s*")


def divided(pieces: Iterable[Piece], sentences: str) -> Iterator[str | None]:
    """Sentences, and None where a document ends."""
    lines = _lines(pieces)
    if sentences == "wikitext":
        lines = _articles(lines)
    for line in lines:
        if line is None or sentences == "lines":
            yield line
        else:
            yield from sentences_of(line, is_tokenised=sentences == "wikitext")


def sentences_of(paragraph: str, *, is_tokenised: bool = False) -> list[str]:
    """The sentences of a paragraph, none of them empty.

    A sentence ends after `.`, `!` or `?`, and what they close, where white space follows, and then, behind what it may
    open, anything but a small letter; `。`, `！` and `？` need no space. After a word a full stop does not end it where
    the word is a single capital, has a full stop inside (`U.S.`), or is one of a few titles (`Dr.`). In tokenised text
    only marks between spaces end one. A quotation mark between spaces belongs to the sentence in which it closes a
    quotation. Where the rule is in doubt, sentences come out too long rather than too short.
    """
    found, start = [], 0
    for stop in _STOP.finditer(paragraph):
        if not _ends(paragraph, stop, is_tokenised):
            continue
        end = stop.end()
        if stop["apart"] == '"' and paragraph.count('"', start, end) % 2:
            end = stop.start("apart")  # it opens what follows
        found.append(paragraph[start:end].strip())
        start = end
    found.append(paragraph[start:].strip())
    return [sentence for sentence in found if sentence]


def _ends(paragraph: str, stop: re.Match[str], is_tokenised: bool) -> bool:
    """Whether a sentence ends at this mark."""
    if stop["wide"]:
        return True
    if stop["next"].islower():
        return False
    before = paragraph[max(0, stop.start() - 24) : stop.start()]
    if not before or before[-1].isspace():
        return True
    if is_tokenised or stop["mark"] != ".":
        return not is_tokenised
    word = before.split()[-1].lstrip("\"'“‘«([")
    return not (word in _TITLES or "." in word or (len(word) == 1 and word.isupper()))


def _lines(pieces: Iterable[Piece]) -> Iterator[str | None]:
    """Lines, and None where a document ends; pieces need not end where a line does."""
    held: list[str] = []
    for piece in pieces:
        first, *others = piece.text.split("\n")
        held.append(first)
        for line in others:
            yield "".join(held)
            held = [line]
        if piece.ends:
            yield "".join(held)
            yield None
            held = []
    yield "".join(held)  # its share ended before the document did
    yield None


def _articles(lines: Iterable[str | None]) -> Iterator[str | None]:
    """Lines without headings, and None where an article ends as well.

    Legends of tables have lines ` = Losses , D = ` too; an empty line before and after makes a heading.
    """
    before = ""
    for line, after in pairwise(chain(lines, [""])):
        stands_alone = not ((before or "").strip() or (after or "").strip())
        if line is not None and stands_alone and _TITLE.fullmatch(line):
            yield None
        elif line is None or not _HEADING.fullmatch(line):
            yield line
        before = line
