"""BLEU by the length of the source sentence, as a table and as a figure (Bahdanau et al. 2015, figure 2).

The figure is the argument for attention: a model which squeezes a sentence into one vector falls off with length.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from regard.evaluate.bleu import bleu, check_pairs
from regard.storage.figures import save_figure


@dataclass(frozen=True)
class LengthBucket:
    """The sentences whose source has `shortest` to `longest` words, and each system's BLEU on them."""

    shortest: int  # words
    longest: int  # words, itself included
    sentences: int
    bleu: Mapping[str, float]  # by the name of the system

    @property
    def range(self) -> str:
        """How the bucket is called in a table and under a figure."""
        return f"{self.shortest}" if self.shortest == self.longest else f"{self.shortest}-{self.longest}"


@dataclass(frozen=True)
class BleuByLength:
    """BLEU of one or several systems by source length; printed, a table."""

    buckets: tuple[LengthBucket, ...]
    signature: str

    @property
    def systems(self) -> tuple[str, ...]:
        """The names of the systems, in the order in which they were given."""
        return tuple(self.buckets[0].bleu)

    def __str__(self) -> str:
        rows = [("words", "sentences", *self.systems)]
        for bucket in self.buckets:
            values = (f"{bucket.bleu[system]:.2f}" for system in self.systems)
            rows.append((bucket.range, f"{bucket.sentences:,}", *values))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(lines) + f"\nBLEU: {self.signature}"

    def as_dict(self) -> dict[str, object]:
        """The table in plain types."""
        rows = [
            {
                "shortest": bucket.shortest,
                "longest": bucket.longest,
                "sentences": bucket.sentences,
                "bleu": dict(bucket.bleu),
            }
            for bucket in self.buckets
        ]
        return {"signature": self.signature, "buckets": rows}

    def as_json(self) -> str:
        """The table as JSON."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)

    def draw(self, path: str | Path, *, title: str = "") -> None:
        """Draw the figure, one line a system, into a PNG, SVG or PDF file, which is written whole.

        Raises:
            ValueError: if the name ends in none of these.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        places = range(len(self.buckets))
        for system, marker in zip(self.systems, "osD^vP*Xhp" * len(self.systems), strict=False):
            axes.plot(places, [bucket.bleu[system] for bucket in self.buckets], marker=marker, label=system)
        axes.set_xticks(places, [f"{bucket.range}\n{bucket.sentences:,}" for bucket in self.buckets])
        axes.set_xlabel("words of the source sentence; below, sentences of that length")
        axes.set_ylabel("BLEU")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False)
        axes.set_title(title)
        save_figure(figure, path, dots_per_inch=150)


def words(text: str) -> int:
    """How many words there are between white space."""
    return len(text.split())


def bleu_by_length(
    sources: Sequence[str],
    references: Sequence[str],
    systems: Mapping[str, Sequence[str]],
    *,
    width: int = 5,
    fewest: int = 20,
    length: Callable[[str], int] = words,
) -> BleuByLength:
    """Corpus BLEU of each system in buckets of source length.

    Args:
        systems: the translations of each system, by its name.
        width: of a bucket, in words; the first holds the sources of up to `width` words.
        fewest: a bucket of fewer sentences says little, so it is joined to the next longer one, the last to the one
            before it.
        length: how long a source is, where words between white space are not the measure.

    Raises:
        ValueError: if there is no system, a system has not one translation a source, or a size is not positive.
    """
    if not systems:
        raise ValueError("there is no system to score; give the translations of at least one by its name")
    check_pairs(sources, references, "sources")
    for system, hypotheses in systems.items():
        try:
            check_pairs(hypotheses, references)
        except ValueError as error:
            raise ValueError(f"system {system!r}: {error}") from None

    buckets, signature = [], ""
    for shortest, longest, sentences in in_buckets([length(source) for source in sources], width, fewest):
        wanted = [references[sentence] for sentence in sentences]
        scores = {
            system: bleu([hypotheses[sentence] for sentence in sentences], wanted)
            for system, hypotheses in systems.items()
        }
        signature = next(iter(scores.values())).signature
        values = MappingProxyType({system: metric.value for system, metric in scores.items()})
        buckets.append(LengthBucket(shortest, longest, len(sentences), values))
    return BleuByLength(tuple(buckets), signature)


def in_buckets(lengths: Sequence[int], width: int = 5, fewest: int = 20) -> list[tuple[int, int, list[int]]]:
    """Things of these lengths in buckets of neighbouring ones, as (shortest, longest, numbers of its members).

    Args:
        lengths: of each thing; one of none is as one of 1.
        width: of a bucket; the first holds lengths up to it.
        fewest: members of a bucket, unless it is the only one.

    Raises:
        ValueError: if a size is not positive.
    """
    if width < 1 or fewest < 1:
        raise ValueError(f"width and fewest must be at least 1, got width={width} and fewest={fewest}")
    groups: dict[int, list[int]] = {}
    for number, length in enumerate(lengths):
        groups.setdefault(max(length - 1, 0) // width, []).append(number)
    return [(first * width + 1, (last + 1) * width, members) for first, last, members in _joined(groups, fewest)]


def _joined(groups: Mapping[int, list[int]], fewest: int) -> list[tuple[int, int, list[int]]]:
    """Neighbouring groups as (first, last, members), joined until each but an only one has `fewest` members."""
    joined: list[tuple[int, int, list[int]]] = []
    for number in sorted(groups):
        if joined and len(joined[-1][2]) < fewest:
            first, _, members = joined.pop()
            joined.append((first, number, members + groups[number]))
        else:
            joined.append((number, number, groups[number]))
    if len(joined) > 1 and len(joined[-1][2]) < fewest:
        _, last, tail = joined.pop()
        first, _, members = joined.pop()
        joined.append((first, last, members + tail))
    return joined
