"""Figures for print: the same maps as PNG or SVG.

Each function gives a Matplotlib `Figure` which belongs to nobody else: pyplot, and with it a window, a backend or a
setting of the caller's, is never touched. Matplotlib is imported when the first figure is asked for.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from regard.visualise.glyphs import drawable, fonts
from regard.visualise.maps import KINDS, AttentionMap, Example, Pattern, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 0.24  # inches
SMALLEST = 2.4  # inches, of a side
LARGEST = 12.0  # inches, of a side
MARK = "#c2410c"  # the page's colour of what is pointed at
BLUES = ["#f3f5f9", "#d9e5f3", "#abcae8", "#6fa4d6", "#3a77b7", "#184a86", "#08254f"]  # the page's scale


def alignment_figure(attention: AttentionMap, head: int | None = 0) -> Figure:
    """Source along the top, output down the side, weights in grey (0: black, 1: white): Bahdanau et al. 2015, figure 3.

    Args:
        attention: whose weights to draw.
        head: which one; None for the mean over heads.
    """
    weights = attention.head(head)
    figure, axes = _sheet(*weights.shape)
    axes.imshow(weights, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    _name_cells(axes, attention.queries, attention.keys)
    return figure


def pattern_figure(allowed: Pattern | ArrayLike, head: int = 0) -> Figure:
    """Queries down, keys across; a cell is dark where the query may look at the key."""
    pattern = allowed if isinstance(allowed, Pattern) else Pattern("pattern", allowed)
    cells = pattern.head(head)
    figure, axes = _sheet(*cells.shape)
    axes.imshow(np.where(cells, 0.75, 0), cmap=blues(), vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    if max(cells.shape) <= 64:
        for side, size in ((axes.xaxis, cells.shape[1]), (axes.yaxis, cells.shape[0])):
            side.set_ticks(np.arange(1, size) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=0.8)
    _name_cells(axes, pattern.queries, pattern.keys)
    return figure


def heads_figure(example: Example) -> Figure:
    """All layers and heads of an example at a glance: a row a layer, a column a head, the mean over heads first.

    Shades are the square roots of the weights, so that weak attention spread over many keys is seen beside strong.
    """
    from matplotlib.figure import Figure

    groups: dict[str, list[tuple[str, list[np.ndarray]]]] = {}
    for drawing in example.drawings:
        name = str(drawing.layer) if drawing.layer is not None else _short(drawing.name, spaces=True)
        groups.setdefault(KINDS[drawing.kind], []).append((name, _tiles(drawing)))
    rows = [row for group in groups.values() for row in group]
    columns = max(len(tiles) for _, tiles in rows)
    side = min(0.8, LARGEST / columns)  # inches
    room = 0.3 + max(len(name) for name, _ in rows) * 0.065 / side  # for names, in tiles
    height = len(rows) + len(groups)
    figure = Figure(figsize=((columns + room) * side + 0.2, height * side + 0.2), layout="constrained")
    axes = figure.add_subplot()
    axes.axis("off")
    place = 0
    for kind, group in groups.items():
        _write(axes, 0.04, place + 0.5, kind, 9, va="center", weight="bold")
        heads = max(len(tiles) for _, tiles in group)
        if kind != KINDS["pattern"] and heads > 1:
            for column in range(heads):
                _write(axes, column + 0.5, place + 0.94, "mean" if column == 0 else str(column - 1), 7, ha="center")
        for row, (name, tiles) in enumerate(group, place + 1):
            _write(axes, -0.12, row + 0.5, name, 7, ha="right", va="center")
            for column, cells in enumerate(tiles):
                extent = (column + 0.04, column + 0.96, row + 0.96, row + 0.04)
                pooled = _pooled(cells, int(side * 184))  # a pixel each, at 200 dots an inch
                axes.imshow(pooled, cmap=blues(), vmin=0, vmax=1, extent=extent, interpolation="nearest")
        place += 1 + len(group)
    axes.set(xlim=(-room, columns), ylim=(height, 0), aspect="equal")
    return figure


def links_figure(attention: AttentionMap, head: int | None = 0, *, least: float = 0.05) -> Figure:
    """Queries on the right, keys on the left, a line for each weight of at least `least`, wider the larger it is."""
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    weights = attention.head(head)
    longest = max(weights.shape)
    figure = Figure(figsize=(6, min(max(longest * CELL + 0.3, SMALLEST / 2), 40)), layout="constrained")
    axes = figure.add_subplot()
    axes.axis("off")
    heights = [np.arange(size, dtype=float) for size in weights.shape]
    queries, keys = np.nonzero(weights >= least)
    bend = np.linspace(0, 1, 32)
    ease = (1 - np.cos(np.pi * bend)) / 2
    lines = [
        np.column_stack([1 - bend, heights[0][i] + (heights[1][j] - heights[0][i]) * ease])
        for i, j in zip(queries, keys, strict=True)
    ]
    strength = weights[queries, keys]
    axes.add_collection(
        LineCollection(lines, linewidths=0.5 + 3.5 * strength, colors="#184a86", alpha=0.15 + 0.8 * strength)
    )
    for x, tokens, side in ((-0.03, attention.keys, "right"), (1.03, attention.queries, "left")):
        for height, token in enumerate(tokens):
            _write(axes, x, height, _short(token), 9, ha=side, va="center")
    axes.set(xlim=(-0.6, 1.6), ylim=(longest - 0.5, -0.5))
    return figure


def figure_of(example: Example) -> Figure:
    """The figure which suits an example: the alignment or the pattern where it holds one head, else all heads."""
    drawings = example.drawings
    if len(drawings) == 1:
        only = drawings[0]
        if isinstance(only, Pattern) and len(only.allowed) == 1:
            return pattern_figure(only)
        if isinstance(only, AttentionMap) and len(only.weights) == 1:
            return alignment_figure(only)
    return heads_figure(example)


def _sheet(queries: int, keys: int) -> tuple[Figure, Axes]:
    """A figure whose cells are `CELL` inches wide, within limits."""
    from matplotlib.figure import Figure

    cell = min(CELL, LARGEST / max(queries, keys))
    width, height = (max(SMALLEST, count * cell) + 1.2 for count in (keys, queries))
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _name_cells(axes: Axes, queries: tuple[str, ...], keys: tuple[str, ...]) -> None:
    """Tokens along the top and down the side; positions where tokens would be too small to read."""
    axes.tick_params(length=0, which="both", top=True, labeltop=True, bottom=False, labelbottom=False, pad=4)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for side, tokens, turn in ((axes.xaxis, keys, 90), (axes.yaxis, queries, 0)):
        size = min(9.0, 72 * LARGEST / max(len(keys), len(queries)) * 0.9)
        if size < 4:
            side.set_tick_params(labelsize=8)
            continue
        texts = [drawable(_short(token)) for token in tokens]
        upright = turn if max(map(len, texts)) > 2 else 0
        side.set_ticks(range(len(tokens)), texts, rotation=upright, fontsize=size, parse_math=False)
        for text in side.get_ticklabels():
            text.set_fontfamily(fonts(text.get_text()))


def _write(axes: Axes, x: float, y: float, words: str, size: float, **how) -> None:
    """Put words on the sheet as they stand, dollar signs and all."""
    words = drawable(words)
    axes.text(x, y, words, fontsize=size, fontfamily=fonts(words), parse_math=False, **how)


def _tiles(drawing: AttentionMap | Pattern) -> list[np.ndarray]:
    """Shades 0..1 of each small picture: the mean over heads and each head, or what each head allows.

    There is none, but NaN, where a query may not look.
    """
    if isinstance(drawing, Pattern):
        return [np.where(cells, 0.75, 0) for cells in drawing.allowed]
    allowed = np.broadcast_to(True if drawing.allowed is None else drawing.allowed, drawing.weights.shape)
    heads = np.where(allowed, drawing.weights, np.nan)
    mean = [np.where(allowed.any(0), drawing.head(None), np.nan)] if len(heads) > 1 else []
    return [np.sqrt(cells) for cells in [*mean, *heads]]


def _short(token: str, longest: int = 24, *, spaces: bool = False) -> str:
    """A label which leaves room for the picture; with `spaces`, of words in which a space is just a space."""
    shown = " ".join(map(label, token.split())) if spaces else label(token)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _pooled(cells: np.ndarray, most: int) -> np.ndarray:
    """Cells [T, S] brought down to at most `most` a side; each keeps the largest of those it stands for."""
    for axis in (0, 1):
        if cells.shape[axis] > most:
            starts = np.linspace(0, cells.shape[axis], most, endpoint=False).astype(int)
            cells = np.fmax.reduceat(cells, starts, axis=axis)
    return cells


@cache
def blues():
    """The page's scale, from nothing to one."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("regard", BLUES)
