"""One self-contained HTML page of attention, which opens from a disk and needs no network.

The page's text, style and script stand beside this module, as files which any editor knows, and are put into every page
written. Its content security policy allows that style and that script, by their hashes, and nothing else: no
other script runs and nothing is fetched, whatever the tokens are.
"""

import base64
import hashlib
import html
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np

from regard.storage.files import written_whole
from regard.visualise.maps import KINDS, AttentionMap, Chances, Example, Passage, Pattern, label

VIEWER = ("weights.js", "overview.js", "matrix.js", "links.js", "viewer.js")  # of one example
STEPS = 65535  # a weight is kept as a whole number of these steps, so within 0.000008
COARSE = 255  # where pages must be small, its square root is, of these


@dataclass(frozen=True)
class Frame:
    """A page without its contents; `$examples` parts what stands before them from what stands behind.

    Args:
        template: the file of the page's text.
        styles: files.
        scripts: files; the last one starts the page.
    """

    template: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]

    def before(self, title: str, **words: str) -> str:
        """The beginning, with the words of the template, which are HTML; the title is text."""
        words |= {"title": html.escape(encodable(title)), "style": self.style, "viewer": _asset("viewer.html")}
        hashes = {"style_hash": _hash(self.style), "script_hash": _hash(self.script)}
        return Template(self.parts[0]).substitute(words, **hashes)

    def after(self, **words: str) -> str:
        """The end."""
        return Template(self.parts[1]).substitute(words, script=self.script)

    @property
    def parts(self) -> list[str]:
        """Both sides of the template."""
        return _asset(self.template).split("$examples")

    @property
    def style(self) -> str:
        """The style sheet."""
        return "\n".join(map(_asset, self.styles))

    @property
    def script(self) -> str:
        """The script."""
        return "\n".join(map(_asset, self.scripts))


PAGE = Frame("page.html", ("page.css",), (*VIEWER, "page.js"))


def write_page(path: str | Path, examples: Iterable[Example], *, title: str = "Attention") -> None:
    """Write the page of `examples` to `path`; they are taken one by one, so they need not fit in memory together."""
    with written_whole(path) as file:
        file.writelines(page_parts(examples, title=title))


def page_parts(examples: Iterable[Example], *, title: str = "Attention") -> Iterator[str]:
    """The page's text, part by part.

    Raises:
        ValueError: if there is no example.
    """
    yield PAGE.before(title)
    titles = []
    for example in examples:
        titles.append(encodable(example.title))
        yield block_of(content_of(example))
    if not titles:
        raise ValueError("a page needs at least one example")
    yield PAGE.after(titles=_json(titles))


def block_of(content: dict) -> str:
    """An example's content as an element of the page."""
    return f'<script type="application/json" class="example">{_json(content)}</script>\n'


def content_of(example: Example, *, is_coarse: bool = False) -> dict:
    """What the script reads of one example; lists of tokens, and masks, which several maps share are kept once.

    Args:
        example: any.
        is_coarse: keep one byte of a weight, so that it is within 0.004.
    """
    tokens: dict[tuple[str, ...], int] = {}
    masks: dict[str, int] = {}
    drawings = []
    for drawing in example.drawings:
        allowed = drawing.allowed if isinstance(drawing, AttentionMap) else None
        place = {side: tokens.setdefault(getattr(drawing, side), len(tokens)) for side in ("queries", "keys")}
        drawings.append(
            {
                "name": encodable(drawing.name),
                "title": encodable(drawing.title),
                "kind": drawing.kind,
                "layer": drawing.layer,
                **place,
                **_weights(drawing, is_coarse),
                "allowed": None if allowed is None else masks.setdefault(_packed(allowed), len(masks)),
            }
        )
    return {
        "text": [[encodable(name), encodable(value)] for name, value in example.text],
        "tokens": [[label(token) for token in row] for row in tokens],
        "masks": list(masks),
        "kinds": KINDS,
        "drawings": drawings,
        "passages": [_passage(passage) for passage in example.passages],
        "legend": example.legend,
        "chances": [_chances(chances) for chances in example.chances],
        "isCoarse": is_coarse,
    }


def _passage(passage: Passage) -> dict:
    """A passage with its tokens made visible."""
    return {
        "name": encodable(passage.name),
        "tokens": [label(token) for token in passage.tokens],
        "bits": passage.bits,
        "notes": [[encodable(note) for note in notes] for notes in passage.notes],
        "marked": passage.marked,
    }


def _chances(chances: Chances) -> dict:
    """What was chosen among, with names made visible."""
    shares = [[encodable(name) if name.strip() else label(name), min(share, 1.0)] for name, share in chances.shares]
    return {"title": encodable(chances.title), "shares": shares, "note": encodable(chances.note)}


def _weights(drawing: AttentionMap | Pattern, is_coarse: bool) -> dict:
    """Heads and weights: all high bytes, then all low bytes, for alike stand together, and pack well."""
    values = (drawing.weights if isinstance(drawing, AttentionMap) else drawing.allowed).astype(np.float64)
    if is_coarse:
        return {"heads": len(values), "weights": _packed(np.rint(np.sqrt(values) * COARSE).astype(np.uint8))}
    steps = np.rint(values * STEPS).astype("<u2")
    planes = np.stack([steps >> 8, steps & 255]).astype(np.uint8)
    return {"heads": len(values), "weights": _packed(planes)}


def _packed(values: np.ndarray) -> str:
    """Bytes or booleans, deflated, in base64."""
    return base64.b64encode(zlib.compress(values.tobytes(), 6)).decode("ascii")


def _json(value: object) -> str:
    """JSON which cannot end the element it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def encodable(text: str) -> str:
    """The text with lone surrogates, which no file may hold, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _hash(text: str) -> str:
    """A source of a content security policy: this text and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _asset(name: str) -> str:
    """A file beside this module."""
    return files("regard.visualise").joinpath(name).read_text(encoding="utf-8")
