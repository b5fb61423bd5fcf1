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
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np

from regard.storage.files import written_whole
from regard.visualise.maps import KINDS, AttentionMap, Example, Pattern, label

SCRIPTS = ["weights.js", "overview.js", "matrix.js", "links.js", "page.js"]  # the last one starts the page
STEPS = 65535  # a weight is kept as a whole number of these steps, so within 0.000008


def write_page(path: str | Path, examples: Iterable[Example], *, title: str = "Attention") -> None:
    """Write the page of `examples` to `path`; they are taken one by one, so they need not fit in memory together."""
    with written_whole(path) as file:
        file.writelines(page_parts(examples, title=title))


def page_parts(examples: Iterable[Example], *, title: str = "Attention") -> Iterator[str]:
    """The page's text, part by part.

    Raises:
        ValueError: if there is no example.
    """
    style, script = _asset("page.css"), "\n".join(map(_asset, SCRIPTS))
    before, after = _asset("page.html").split("$examples")
    title = html.escape(_encodable(title))
    yield Template(before).substitute(title=title, style=style, style_hash=_hash(style), script_hash=_hash(script))
    titles = []
    for example in examples:
        titles.append(_encodable(example.title))
        yield f'<script type="application/json" class="example">{_json(_content(example))}</script>\n'
    if not titles:
        raise ValueError("a page needs at least one example")
    yield Template(after).substitute(titles=_json(titles), script=script)


def _content(example: Example) -> dict:
    """What the script reads of one example; lists of tokens, and masks, which several maps share are kept once."""
    tokens: dict[tuple[str, ...], int] = {}
    masks: dict[str, int] = {}
    drawings = []
    for drawing in example.drawings:
        allowed = drawing.allowed if isinstance(drawing, AttentionMap) else None
        place = {side: tokens.setdefault(getattr(drawing, side), len(tokens)) for side in ("queries", "keys")}
        drawings.append(
            {
                "name": _encodable(drawing.name),
                "title": _encodable(drawing.title),
                "kind": drawing.kind,
                "layer": drawing.layer,
                **place,
                **_weights(drawing),
                "allowed": None if allowed is None else masks.setdefault(_packed(allowed), len(masks)),
            }
        )
    passages = [
        {"name": _encodable(part.name), "tokens": [label(token) for token in part.tokens], "bits": part.bits}
        for part in example.passages
    ]
    return {
        "text": [[_encodable(name), _encodable(value)] for name, value in example.text],
        "tokens": [[label(token) for token in row] for row in tokens],
        "masks": list(masks),
        "kinds": KINDS,
        "drawings": drawings,
        "passages": passages,
    }


def _weights(drawing: AttentionMap | Pattern) -> dict:
    """Heads and weights: all high bytes, then all low bytes, for alike stand together, and pack well."""
    values = drawing.weights if isinstance(drawing, AttentionMap) else drawing.allowed
    steps = np.rint(values.astype(np.float64) * STEPS).astype("<u2")
    planes = np.stack([steps >> 8, steps & 255]).astype(np.uint8)
    return {"heads": len(values), "weights": _packed(planes)}


def _packed(values: np.ndarray) -> str:
    """Bytes or booleans, deflated, in base64."""
    return base64.b64encode(zlib.compress(values.tobytes(), 6)).decode("ascii")


def _json(value: object) -> str:
    """JSON which cannot end the element it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _encodable(text: str) -> str:
    """The text with lone surrogates, which no file may hold, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _hash(text: str) -> str:
    """A source of a content security policy: this text and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _asset(name: str) -> str:
    """A file beside this module."""
    return files("regard.visualise").joinpath(name).read_text(encoding="utf-8")
