"""How far back heads look: the weight which they give to each distance, over a whole text.

Only queries count which have at least `past` tokens before them, as many as the model's memory holds, or half of the
window where it has none: a query near the beginning of what is read could not look far if it would. Up to `past`, a
weight is the mean over all of these; at larger distances, over those which have a token there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard.attention.record import attentions
from regard.data.text_store import TextStore
from regard.models.protocols import LanguageModel, RecurrentLanguageModel, offers
from regard.visualise.figures import LARGEST, MARK, blues
from regard.visualise.maps import layer_of
from regard.visualise.watching import masks_of, watching

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Reach:
    """What heads attend to by distance.

    Raises:
        ValueError: if no query counts.
    """

    past: int  # tokens which each query that counts has before it, at least
    queries: int  # which count
    totals: dict[str, Numbers]  # by name of the attention: summed weights at the distances 0, 1, ..., [H, D]
    having: NDArray[np.int64]  # how many of the queries have a token at each distance, [D]

    def __post_init__(self):
        if not self.queries:
            raise ValueError(f"the text is too short: no token of it has {self.past:,} before it")

    def __str__(self) -> str:
        return f"{self.queries:,} tokens with {self.past:,} or more before them; mean distance of each head:"

    @property
    def weights(self) -> dict[str, Numbers]:
        """The mean weight at each distance, [H, D]."""
        return {name: total / self.having for name, total in self.totals.items()}

    @property
    def mean_distances(self) -> dict[str, Numbers]:
        """How far back each head looks in the mean, in tokens, [H]."""
        return {name: total @ np.arange(total.shape[1]) / self.queries for name, total in self.totals.items()}

    @property
    def edges(self) -> list[int]:
        """Where octaves of distance begin and end: 0, 1, 2, 3–4, 5–8, ... up to `past`, and what lies beyond."""
        inner = (1 + (1 << k) for k in range(max(self.past - 1, 0).bit_length()))
        return sorted({0, 1, *inner, self.past + 1, len(self.having)})

    @property
    def shares(self) -> dict[str, Numbers]:
        """How much of its attention each head gives to each octave, [H, octaves]."""
        starts = self.edges[:-1]
        return {name: np.add.reduceat(total, starts, axis=1) / self.queries for name, total in self.totals.items()}

    def as_dict(self) -> dict[str, object]:
        """The weights and the mean distances, head by head, in plain values."""
        heads = {}
        for name, weights in self.weights.items():
            means = self.mean_distances[name].tolist()
            rows = zip(means, weights.tolist(), strict=True)
            heads[name] = [{"mean_distance": mean, "weights": own} for mean, own in rows]
        return {"past": self.past, "queries": self.queries, "heads": heads}


def measure_reach(
    model: nn.Module,
    store: TextStore,
    context: int,
    *,
    tokens: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Reach:
    """Read a text as one stream, and measure how far back each head looks.

    A model with memory reads one segment after the other, and carries its memory along. Any other reads windows which
    begin half a window apart, and of each but the first half counts, so that every token counts once. The weights of
    one segment or window are held at a time.

    Args:
        model: a language model with attention.
        store: the text.
        context: tokens of a segment or window.
        tokens: of the text at most; 0 reads all.
        progress: called with the number of tokens which have been read.

    Raises:
        ValueError: if it is no language model with attention, a number is out of its range, or the text is too short.
    """
    masks_of(model)  # says so if it is no language model, or has no attention
    if context < 1 or tokens < 0:
        raise ValueError(f"context must be 1 or more, and tokens not negative, got {context} and {tokens}")
    memory = model.config.memory if offers(model, RecurrentLanguageModel) else 0
    past, longest = memory or context // 2, memory + context
    totals = {name: torch.zeros(own.heads, longest, dtype=torch.float64) for name, own in attentions(model).items()}
    having = torch.zeros(longest, dtype=torch.int64)
    size, queries, carried = min(tokens or store.size, store.size), 0, None
    for first in range(0, size, context if memory else context - past):
        length = min(context, size - first)
        text = store.packed(np.array([first]), np.array([length])).to(next(model.parameters()).device)
        with watching(model) as maps:
            if memory:
                assert offers(model, RecurrentLanguageModel)
                _, carried = model.read(text.tokens[None], carried)
            else:
                assert offers(model, LanguageModel)
                model.hidden(text)
        queries += _add(maps, past, totals, having)
        if progress is not None:
            progress(first + length)
        if first + length == size:
            break
    furthest = int(having.count_nonzero())  # what lies beyond no query has
    return Reach(
        past,
        queries,
        {name: total[:, :furthest].numpy() for name, total in totals.items()},
        having[:furthest].numpy(),
    )


def _add(maps: Mapping[str, Tensor], past: int, totals: dict[str, Tensor], having: Tensor) -> int:
    """Add the weights [1, H, T, S] of one segment or window by distance; how many of its queries count."""
    T, S = next(iter(maps.values())).shape[-2:]
    places = torch.arange(S - T, S)
    is_counted = places >= past
    distances = places[:, None] - torch.arange(S)
    is_seen = (distances >= 0) & is_counted[:, None]  # [T, S]
    own = distances[is_seen]
    having += own.bincount(minlength=len(having))
    for name, weights in maps.items():
        totals[name].index_add_(1, own, weights[0].cpu()[:, is_seen].double())
    return int(is_counted.sum())


def reach_figure(reach: Reach) -> Figure:
    """A row a head: how much of its attention it gives to each octave of distance; a dot is its mean distance.

    Shades are square roots, as those of the page. Right of the line, not every query has a token.
    """
    from matplotlib.figure import Figure

    edges = reach.edges
    shares, means = (_stacked([*values.values()]) for values in (reach.shares, reach.mean_distances))
    names = [str(first) if end == first + 1 else f"{first}–{end - 1}" for first, end in pairwise(edges)]
    heads = [_head_names(name, len(own)) for name, own in reach.shares.items()]
    height = min(0.2, LARGEST / len(shares))  # inches, of a row
    figure = Figure(figsize=(1.8 + 0.55 * len(names), 1.3 + max(len(shares), 4) * height), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(np.sqrt(shares), cmap=blues(), vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    places = np.interp(means, edges, np.arange(len(edges)) - 0.5)
    axes.scatter(places, np.arange(len(means)), 80 * height, MARK, edgecolors="white", linewidths=0.8)
    axes.axvline(edges.index(reach.past + 1) - 0.5, color=MARK, linewidth=1)
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set_yticks(range(len(shares)), [name for own in heads for name in own][:-1], fontsize=min(8, 58 * height))
    axes.tick_params(length=0)
    axes.set_xlabel("tokens back; right of the line, not every query has so many before it", fontsize=8)
    axes.set_title("share of each head's attention by distance; dots: mean distance", fontsize=9)
    values = [0, 0.05, 0.25, 0.5, 1]
    bar = figure.colorbar(image, ticks=np.sqrt(values), pad=0.02, fraction=0.04, aspect=12)
    bar.ax.set_yticklabels([f"{value:g}" for value in values], fontsize=8)
    for frame in (*axes.spines.values(), bar.outline):
        frame.set_visible(False)
    return figure


def _stacked(layers: list[Numbers]) -> Numbers:
    """The heads of all layers, with an empty row between layers."""
    gap = np.full((1, *layers[0].shape[1:]), np.nan)
    return np.concatenate([rows for own in layers for rows in (own, gap)])[:-1]


def _head_names(name: str, heads: int) -> list[str]:
    """Numbers of a layer's heads, the first one led by the layer's, and nothing for the gap below them."""
    return [f"layer {layer_of(name)}   0", *map(str, range(1, heads)), ""]
