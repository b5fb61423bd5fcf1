"""How runs went: loss and quality by the tokens they were trained on, side by side."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from regard.storage.names import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUALITIES = {
    "validation_bleu": "BLEU",
    "validation_exact_match": "exact match, per cent",
    "validation_bits_per_character": "bits a character",
}
SMOOTHED = 15  # neighbouring losses whose mean is drawn


def curves_figure(runs: Mapping[str, Sequence[Mapping[str, float]]], *, quality: str = "validation_bleu") -> Figure:
    """Left the loss in training and validation, right the quality of the validation set, by target tokens trained on.

    Args:
        runs: the lines of each run's measures.jsonl, by its name.
        quality: what is drawn on the right, one of `QUALITIES`.

    Raises:
        ValueError: if there is no run, a run has measured nothing yet, or the quality is not known.
    """
    require("quality", quality, QUALITIES)
    if not runs:
        raise ValueError("there is no run to draw")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (name, lines) in enumerate(runs.items()):
        trained = [(line["step"], line["tokens"], line["loss"]) for line in lines if "loss" in line]
        if not trained:
            raise ValueError(f"{name} has no measures of its training yet")
        steps, tokens, losses = zip(*trained, strict=True)
        colour, millions = f"C{number % 10}", [count / 1e6 for count in tokens]
        left.plot(millions, smoothed(losses, SMOOTHED), color=colour, alpha=0.45, linewidth=1)
        for axes, key in ((left, "validation_nats"), (right, quality)):
            points = [(line["step"], line[key]) for line in lines if key in line]
            places = [millions[min(bisect_left(steps, step), len(steps) - 1)] for step, _ in points]
            axes.plot(places, [value for _, value in points], color=colour, marker="o", markersize=3, label=name)
    left.set_ylabel("nats a token: validation with points, training faint")
    right.set_ylabel(f"{QUALITIES[quality]} of the validation set")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xlabel("target tokens trained on, millions")
        axes.grid(axis="y", alpha=0.3)
    right.legend(frameon=False)
    return figure


def smoothed(values: Sequence[float], width: int) -> list[float]:
    """The mean of each value and its neighbours, `width` in all where there are as many."""
    half = width // 2
    parts = (values[max(0, place - half) : place + half + 1] for place in range(len(values)))
    return [sum(part) / len(part) for part in parts]
