"""Attention patterns drawn as in figure 3 of Child et al. 2019: what one output sees, and the matrix of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regard.attention.masks import (
    Composition,
    Conjunction,
    Fixed,
    Mask,
    PerHead,
    Summaries,
    banded,
    blocked,
    causal,
    strided,
    summaries,
)
from regard.visualise.figures import BLUES, MARK, blues
from regard.visualise.watching import masks_of, seen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 2.6  # inches, of a matrix
OUTPUT, UNSEEN, AHEAD = BLUES[-1], "#e4e8ef", "#ffffff"
LINED = 64  # cells a side, from which on lines between them would hide them


def published(stride: int) -> dict[str, Mask]:
    """The patterns of figure 3 of Child et al. 2019, and the band of Brown et al. 2020, by their titles."""
    return {
        "Transformer": causal(),
        "Sparse Transformer, strided": PerHead(2, [banded(stride), strided(stride)]),
        "Sparse Transformer, fixed": PerHead(2, [blocked(stride), summaries(stride, 1)]),
        "GPT-3, every second layer": banded(stride),
    }


def patterns_of(model: Any) -> dict[str, Mask]:
    """What the layers of a language model see, by a title; layers which share a mask stand together.

    Raises:
        ValueError: if it is no language model.
    """
    layers: dict[Mask, list[int]] = {}
    for layer, mask in enumerate(masks_of(model).values()):
        layers.setdefault(mask, []).append(layer)
    return {_numbered("layer", numbers): mask for mask, numbers in layers.items()}


def row_of(masks: Mapping[str, Mask]) -> int | None:
    """The length of a row in which masks are best seen: the first stride or width among them."""
    parts = [part for mask in masks.values() for part in getattr(mask, "patterns", (mask,))]
    return next((getattr(part, name) for part in parts for name in ("stride", "width") if hasattr(part, name)), None)


def draw_patterns(
    masks: Mapping[str, Mask], *, positions: int = 36, stride: int = 6, output: int | None = None
) -> Figure:
    """One column a mask: above what one output sees of the positions, cut into rows; below all outputs, one framed.

    Heads which see the same share a shade; what several such sets of heads see has that of the first.

    Args:
        masks: by their titles.
        positions: of the sequence.
        stride: the length of a row.
        output: the position whose view is drawn; one in the middle of a late row when left out.

    Raises:
        ValueError: if there is no mask, or a number is out of its range.
    """
    if not masks:
        raise ValueError("there is no mask to draw")
    if not 1 <= stride <= positions:
        raise ValueError(f"stride must lie between 1 and positions={positions}, got {stride}")
    if output is None:
        output = min(positions * 2 // 3 // stride * stride + stride // 2, positions - 1)
    if not 0 <= output < positions:
        raise ValueError(f"output must lie between 0 and {positions - 1}, got {output}")
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

    rows = -(-positions // stride)
    above = PANEL * min(0.6, rows / stride)  # inches
    figure = Figure(figsize=(len(masks) * (PANEL + 0.3), above + PANEL + 1.2), layout="constrained")
    panels = figure.subplots(2, len(masks), squeeze=False, height_ratios=[above, PANEL])
    for (title, mask), upper, lower in zip(masks.items(), *panels, strict=True):
        sets = sets_of(mask, positions)
        colours = _colours(list(sets.values()))
        view = np.full((rows * stride, 3), to_rgb(AHEAD))
        view[:positions] = colours[output]
        view[output] = to_rgb(OUTPUT)
        _draw_cells(upper, view.reshape(rows, stride, 3))
        upper.set_title(fill(title, 34), fontsize=9)
        _draw_cells(lower, colours)
        lower.axhspan(output - 0.5, output + 0.5, fill=False, edgecolor=MARK, linewidth=0.8, zorder=3)
        _name_sets(lower, list(sets))
    return figure


def sets_of(mask: Mask, positions: int) -> dict[str, NDArray[np.bool_]]:
    """Heads which see the same, and what they see, [T, T]."""
    alike: dict[bytes, list[int]] = {}
    allowed = seen(mask, _heads(mask), positions, positions).numpy()
    for head, own in enumerate(allowed):
        alike.setdefault(own.tobytes(), []).append(head)
    if len(alike) == 1:
        return {_words(mask, 0): allowed[0]}
    return {f"{_numbered('head', own)}: {_words(mask, own[0])}": allowed[own[0]] for own in alike.values()}


def _members(mask: Mask) -> tuple[Mask, ...]:
    """The masks of which one is made; none, where it is made of no others."""
    if isinstance(mask, Conjunction):
        return mask.parts
    return mask.masks if isinstance(mask, Composition) else ()


def _heads(mask: Mask) -> int:
    """How many heads a mask, or one of which it is made, tells apart."""
    return max([getattr(mask, "heads", 1), *map(_heads, _members(mask))])


def _words(mask: Mask, head: int) -> str:
    """What a mask is called, with its numbers, as one head has it."""
    if isinstance(mask, PerHead):
        return _words(mask.patterns[head * len(mask.patterns) // mask.heads], head)
    if members := [f"({_words(one, head)})" if _members(one) else _words(one, head) for one in _members(mask)]:
        if len(members) == 1:
            return f"not {members[0]}"
        return (" and " if isinstance(mask, Conjunction) else " or ").join(members)
    words = [type(mask).__name__.lower()]
    words += [f"{name} {getattr(mask, name)}" for name in ("width", "stride") if hasattr(mask, name)]
    if isinstance(mask, Summaries | Fixed):
        words.append(_numbered("cell", mask.cells))
    return ", ".join(words)


def _numbered(what: str, numbers: Sequence[int]) -> str:
    """Numbers in words: "layer 3", "heads 0–3", "layers 1, 3, … 11"."""
    first, last = numbers[0], numbers[-1]
    if len(numbers) == 1:
        return f"{what} {first}"
    step = numbers[1] - first
    if len(numbers) < 4 or list(numbers) != list(range(first, last + 1, step)):
        return f"{what}s {', '.join(map(str, numbers))}"
    return f"{what}s {first}–{last}" if step == 1 else f"{what}s {first}, {numbers[1]}, … {last}"


def _shades(count: int) -> NDArray[np.float64]:
    """Shades of blue, the strongest first, [N, 3]."""
    return blues()(np.linspace(4 / 6, 2 / 6, count))[:, :3]


def _colours(sets: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """The colour of each output and position, [T, T, 3]."""
    from matplotlib.colors import to_rgb

    places = np.arange(len(sets[0]))
    colours = np.where((places <= places[:, None])[..., None], to_rgb(UNSEEN), to_rgb(AHEAD))
    for own, shade in reversed(list(zip(sets, _shades(len(sets)), strict=True))):
        colours[own] = shade
    return colours


def _draw_cells(axes: Axes, colours: NDArray[np.float64]) -> None:
    """Coloured cells [rows, columns, 3], with lines between them where there is room."""
    axes.imshow(colours, interpolation="nearest" if len(colours) <= LINED else "antialiased", aspect="equal")
    axes.tick_params(length=0, which="both", labelleft=False, labelbottom=False)
    for spine in axes.spines.values():
        spine.set(color="#b8c1cf", linewidth=0.8)
    if max(colours.shape) <= LINED:
        for side, size in ((axes.xaxis, colours.shape[1]), (axes.yaxis, colours.shape[0])):
            side.set_ticks(np.arange(1, size) - 0.5, minor=True)
        axes.grid(which="minor", color="#b8c1cf", linewidth=0.4)


def _name_sets(axes: Axes, names: Sequence[str]) -> None:
    """Which shade is whose, below a matrix."""
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=OUTPUT, label="the output")]
    patches += [Patch(facecolor=shade, label=name) for name, shade in zip(names, _shades(len(names)), strict=True)]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.02)}
    axes.legend(handles=patches, fontsize=7, frameon=False, **place)
