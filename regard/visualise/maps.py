"""What the pictures are drawn from: attention weights with the tokens they belong to.

A picture knows no model. Whoever records attention puts its weights into an `AttentionMap`, lays several of them with
the text they come from into an `Example`, and hands examples to `write_page`, `Picture` or a function of `figures`.
"""

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Kind = Literal["encoder", "decoder", "cross", "self", "pattern"]

KINDS: dict[Kind, str] = {
    "encoder": "Encoder self-attention",
    "decoder": "Decoder self-attention",
    "cross": "Cross-attention",
    "self": "Self-attention",
    "pattern": "Patterns",
}

LONGEST_LABEL = 120  # characters; a longer token is shown shortened


@dataclass(frozen=True, eq=False, init=False)
class AttentionMap:
    """Weights [H, T, S] of one attention: how much each of T queries looks at each of S keys, head by head.

    Args:
        name: of the module which made them, such as "decoder.0.source_attention"; it tells the kind and the layer.
        weights: [H, T, S], each in 0..1; [T, S] is taken for one head. A torch tensor of any device will do.
        queries: the T tokens which look.
        keys: the S tokens which are looked at.
        allowed: where a query may look at all, boolean [H, T, S], or [T, S] for all heads; everywhere when left out.

    Raises:
        ValueError: if the shapes disagree, or a weight is not a number in 0..1.
    """

    name: str
    weights: NDArray[np.float32] = field(repr=False)
    queries: tuple[str, ...]
    keys: tuple[str, ...]
    allowed: NDArray[np.bool_] | None = field(repr=False)  # [1 | H, T, S]

    def __init__(
        self,
        name: str,
        weights: ArrayLike,
        queries: Iterable[str],
        keys: Iterable[str],
        allowed: ArrayLike | None = None,
    ):
        values = _headed(_array(weights).astype(np.float32))
        tokens = _tokens(name, "weights", values, queries, keys)
        if not np.isfinite(values).all():
            head, query, key = np.argwhere(~np.isfinite(values))[0].tolist()
            value = values[head, query, key]
            raise ValueError(f"{name}: weights must be finite, got {value} at head {head}, [{query}, {key}]")
        low, high = float(values.min()), float(values.max())
        if low < -1e-6 or high > 1 + 1e-3:  # room for the rounding of half precision, none for scores
            raise ValueError(f"{name}: weights must lie in 0..1, got {low:g}..{high:g}; are these raw scores?")
        seen = None if allowed is None else _allowed(name, allowed)
        if seen is not None and seen.shape not in (values.shape, (1, *values.shape[1:])):
            raise ValueError(
                f"{name}: allowed {list(seen.shape)} does not go with weights [H, T, S] = {list(values.shape)}"
            )
        _set(self, name=name, weights=values.clip(0, 1), queries=tokens[0], keys=tokens[1], allowed=seen)

    @property
    def kind(self) -> Kind:
        """Which part of a model it belongs to, read from the name and, where that says nothing, from the tokens."""
        parts = self.name.split(".")
        if parts[-1].startswith("source"):
            return "cross"
        if parts[0] == "encoder" or parts[0] == "decoder":
            return parts[0]
        return "self" if self.queries == self.keys else "cross"

    @property
    def layer(self) -> int | None:
        """The first number in the name, or None."""
        return layer_of(self.name)

    @property
    def title(self) -> str:
        """The kind and the layer in words."""
        return KINDS[self.kind] if self.layer is None else f"{KINDS[self.kind]}, layer {self.layer}"

    def head(self, head: int | None) -> NDArray[np.float32]:
        """Weights [T, S] of one head, or their mean over all heads for None."""
        if head is None:
            return self.weights.mean(0)
        if not 0 <= head < len(self.weights):
            raise ValueError(f"{self.name} has heads 0..{len(self.weights) - 1}, got head={head}")
        return self.weights[head]


@dataclass(frozen=True, eq=False, init=False)
class Pattern:
    """Which key a query may look at: a mask made visible.

    Args:
        name: what to call it, such as "banded, width 4".
        allowed: boolean [H, T, S], True where attention is allowed; [T, S] is taken for one head.
        queries: the T tokens which look; positions when left out.
        keys: the S tokens which are looked at; positions when left out.

    Raises:
        ValueError: if the shapes disagree, or `allowed` is not boolean.
    """

    name: str
    allowed: NDArray[np.bool_] = field(repr=False)
    queries: tuple[str, ...]
    keys: tuple[str, ...]

    kind: ClassVar[Kind] = "pattern"
    layer: ClassVar[None] = None

    def __init__(
        self, name: str, allowed: ArrayLike, queries: Iterable[str] | None = None, keys: Iterable[str] | None = None
    ):
        values = _allowed(name, allowed)
        tokens = _tokens(name, "allowed", values, queries, keys)
        _set(self, name=name, allowed=values, queries=tokens[0], keys=tokens[1])

    @property
    def title(self) -> str:
        """Its name."""
        return self.name

    def head(self, head: int) -> NDArray[np.bool_]:
        """What one head allows, [T, S]."""
        if not 0 <= head < len(self.allowed):
            raise ValueError(f"{self.name} has heads 0..{len(self.allowed) - 1}, got head={head}")
        return self.allowed[head]


@dataclass(frozen=True)
class Passage:
    """A part of a text as a model reads it: its tokens, and what is to be said of each.

    Raises:
        ValueError: if there are not as many numbers or notes as tokens, a number is not finite, or there is no token
            where one is marked.
    """

    name: str  # such as "text", or "written" for what the model added
    tokens: tuple[str, ...]
    bits: tuple[float | None, ...] = ()  # -log2 of the probability of each token; None where nothing predicts it
    notes: tuple[tuple[str, ...], ...] = ()  # lines which stand under each token
    marked: tuple[int, int] | None = None  # the first and the last token of what was found here

    def __post_init__(self):
        for what, values in (("numbers", self.bits), ("notes", self.notes)):
            if values and len(values) != len(self.tokens):
                raise ValueError(f"passage {self.name!r} has {len(self.tokens)} tokens, but {len(values)} {what}")
        wrong = [bits for bits in self.bits if bits is not None and not math.isfinite(bits)]
        if wrong:
            raise ValueError(f"passage {self.name!r}: bits must be finite, got {wrong[0]}")
        if self.marked is not None and not 0 <= self.marked[0] <= self.marked[1] < len(self.tokens):
            raise ValueError(f"passage {self.name!r} has {len(self.tokens)} tokens, but those marked are {self.marked}")


@dataclass(frozen=True)
class Chances:
    """What a model chooses among, and how probable each is to it.

    Raises:
        ValueError: if a probability does not lie in 0..1.
    """

    title: str
    shares: tuple[tuple[str, float], ...]
    note: str = ""

    def __post_init__(self):
        for name, share in self.shares:
            if not 0.0 <= share <= 1.0 + 1e-6:
                raise ValueError(f"{self.title}: the probability of {name!r} must lie in 0..1, got {share}")


@dataclass(frozen=True, eq=False, init=False)
class Example:
    """One thing to look at: a title, the text it comes from, and what was attended to.

    Args:
        title: how to find it among others.
        maps: attention weights, in the order of the model.
        text: what stands above the picture, such as {"source": ..., "output": ..., "reference": ..., "score": ...}.
        patterns: masks to show beside the weights.
        passages: the text token by token, in parts which follow one another; maps show where one ends.
        legend: what the numbers and notes under the tokens of passages mean.
        chances: what the model chose among.

    Raises:
        ValueError: if there is nothing to draw, or two maps have one name.
    """

    title: str
    maps: tuple[AttentionMap, ...]
    text: tuple[tuple[str, str], ...]
    patterns: tuple[Pattern, ...]
    passages: tuple[Passage, ...]
    legend: str
    chances: tuple[Chances, ...]

    def __init__(
        self,
        title: str,
        maps: Iterable[AttentionMap] = (),
        text: Mapping[str, object] | Iterable[tuple[str, object]] = (),
        patterns: Iterable[Pattern] = (),
        passages: Iterable[Passage] = (),
        legend: str = "",
        chances: Iterable[Chances] = (),
    ):
        pairs = text.items() if isinstance(text, Mapping) else text
        words = tuple((str(name), str(value)) for name, value in pairs)
        parts = {"maps": tuple(maps), "patterns": tuple(patterns), "passages": tuple(passages)}
        _set(self, title=title, text=words, legend=legend, chances=tuple(chances), **parts)
        if not self.drawings:
            raise ValueError(f"example {title!r} has nothing to draw: give it maps or patterns")
        names = [drawing.name for drawing in self.drawings]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"example {title!r} has several maps or patterns called {', '.join(twice)}")

    @property
    def drawings(self) -> list[AttentionMap | Pattern]:
        """Maps and patterns, kind by kind."""
        order = list(KINDS)
        return sorted([*self.maps, *self.patterns], key=lambda drawing: order.index(drawing.kind))


def layer_of(name: str) -> int | None:
    """The first number in the name of a module, or None."""
    return next((int(part) for part in name.split(".") if part.isdecimal()), None)


def label(token: str) -> str:
    """A token as one can see it: spaces, control characters and lone marks made visible, overlong ones shortened.

    >>> label(" "), label("a b"), label("\\n"), label("")
    ('␣', 'a␣b', '␊', '∅')
    """
    if len(token) > LONGEST_LABEL:
        token = token[: LONGEST_LABEL - 1] + "…"
    shown = "".join(_visible(character) for character in token)
    if shown and unicodedata.combining(shown[0]):
        shown = "◌" + shown
    return shown or "∅"


def _visible(character: str) -> str:
    """A character, or a stand-in where it has no ink of its own."""
    if character < " ":
        return chr(0x2400 + ord(character))  # Unicode's pictures of the control characters
    category = unicodedata.category(character)
    if category == "Zs":
        return "␣"
    # Joiners shape the letters around them; every other format character, direction marks above all, is spelled out.
    if category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and character not in "\u200c\u200d\u00ad"):
        return f"U+{ord(character):04X}"
    return character


def _array(values: ArrayLike) -> NDArray:
    """A NumPy array of anything array-like; torch tensors may live on a device, need a gradient, be bfloat16."""
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()  # pyright: ignore[reportAttributeAccessIssue]
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return np.asarray(values)


def _headed(values: NDArray) -> NDArray:
    """[T, S] as one head; anything else as it is."""
    return values[None] if values.ndim == 2 else values


def _allowed(name: str, allowed: ArrayLike) -> NDArray[np.bool_]:
    """A mask [1 | H, T, S] of anything array-like which is boolean."""
    values = _headed(_array(allowed))
    if values.dtype != np.bool_:
        raise ValueError(f"{name}: allowed must be boolean, True where attention is allowed, got {values.dtype}")
    return values


def _tokens(
    name: str, what: str, values: NDArray, queries: Iterable[str] | None, keys: Iterable[str] | None
) -> list[tuple[str, ...]]:
    """Queries and keys, as many as [H, T, S] has places; positions in place of None."""
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(f"{name}: {what} must be [H, T, S] or [T, S] with no empty axis, got {list(values.shape)}")
    sides = []
    for side, given, places in (("queries", queries, values.shape[1]), ("keys", keys, values.shape[2])):
        tokens = tuple(str(token) for token in (range(places) if given is None else given))
        if len(tokens) != places:
            shape = list(values.shape)
            raise ValueError(f"{name}: {what} [H, T, S] = {shape} needs {places} {side}, got {len(tokens)}")
        sides.append(tokens)
    return sides


def _set(frozen: object, **attributes: object) -> None:
    """Fill a frozen object which is being made."""
    for name, value in attributes.items():
        object.__setattr__(frozen, name, value)
