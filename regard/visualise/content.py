"""What the script of a page reads of an example: its weights, packed, with their tokens and masks."""

import base64
import zlib

import numpy as np

from regard.visualise.maps import KINDS, AttentionMap, Chances, Example, Passage, Pattern, label
from regard.visualise.markup import encodable

STEPS = 65535  # a weight is kept as a whole number of these steps, so within 0.000008
COARSE = 255  # where pages must be small, its square root is, of these
PICTURE = 400_000  # characters of one example's attention, at most, in a page which must be small


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


def compact(example: Example, room: int = PICTURE) -> dict:
    """What a page keeps of an example in so much room, in characters.

    Where all heads are too much, the mean over the heads of each layer is kept; where that is too much, of the last
    layers. The text of the example then says so.
    """
    content = content_of(example, is_coarse=True)
    if _size(content) <= room:
        return content
    means = [AttentionMap(one.name, one.head(None), one.queries, one.keys, _any_head(one)) for one in example.maps]
    for first in range(len(means)):
        kept = means[first:]
        which = "all layers" if not first else f"the last {len(kept)} of {len(means)} layers"
        said = (*example.text, ("shown", f"the mean over the heads of {which}, to keep the page small"))
        shortened = Example(example.title, kept, said, (), example.passages, example.legend, example.chances)
        content = content_of(shortened, is_coarse=True)
        if _size(content) <= room:
            break
    return content


def _size(content: dict) -> int:
    """Characters of all weights."""
    return sum(len(drawing["weights"]) for drawing in content["drawings"])


def _any_head(attention: AttentionMap):
    """Where any head may look."""
    return None if attention.allowed is None else attention.allowed.any(0)


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
