"""What is known of a comparison, as a table, as JSON, and as a page."""

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from regard.compare.comparison import DATA, OURS, Comparison
from regard.compare.measuring import Length, Yardstick
from regard.compare.running import Point, Result
from regard.compare.verdict import Spread, Verdict, ranking, verdicts
from regard.storage.files import written_whole
from regard.training.budget import Budget
from regard.visualise.charts import Chart, Curve
from regard.visualise.comparison import Comparison as Page
from regard.visualise.comparison import Standing, Table, write_comparison

JSON, PAGE = "comparison.json", "comparison.html"
# What quality is drawn by: in the words of a chart, its unit, and how much of that one of a point's is.
AXES: tuple[tuple[str, str, Callable[[Point], float]], ...] = (
    ("time", "minutes", lambda point: point.seconds / 60),
    ("tokens", "million tokens", lambda point: point.tokens / 1e6),
    ("operations", "TFLOP", lambda point: point.operations / 1e12),
)


class Outcome:
    """A comparison whose runs are done.

    Args:
        comparison: who competed.
        results: of each contestant, one a seed.
        yardstick: by what they were measured.
    """

    def __init__(self, comparison: Comparison, results: Sequence[Result], yardstick: Yardstick):
        self.comparison, self.results, self.yardstick = comparison, results, yardstick

    def of(self, name: str) -> list[Result]:
        """The results of a contestant, by seed."""
        return [result for result in self.results if result.name == name]

    @cached_property
    def qualities(self) -> dict[str, list[float]]:
        """Of each contestant whose runs all came to their ends, one value a seed."""
        whole = [name for name in self.comparison.contestants if not any(one.diverged for one in self.of(name))]
        return {name: [one.measures[self.yardstick.quality] for one in self.of(name)] for name in whole}

    @cached_property
    def order(self) -> list[str]:
        """The best first; last those with a run which diverged."""
        order = ranking(self.qualities, is_higher_better=self.yardstick.is_higher_better)
        return order + [name for name in self.comparison.contestants if name not in order]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Each contestant against each which is above it."""
        yardstick = self.yardstick
        return verdicts(self.qualities, yardstick.quality, is_higher_better=yardstick.is_higher_better)

    def standings(self) -> list[Standing]:
        """The ranking in words."""
        found = []
        for name in self.order:
            if name in self.qualities:
                said = [(one.words, one.difference.is_clear) for one in self.verdicts if one.name == name]
                found.append(Standing(name, f"{_spread(self.qualities[name])} {self.yardstick.quality}", said))
            else:
                said = [(f"seed {one.seed}: {one.diverged}", False) for one in self.of(name) if one.diverged]
                found.append(Standing(name, "not ranked, for not all of its runs came to their ends", said))
        return found

    def table(self) -> Table:
        """Contestants and all that is known of them, medians over seeds."""
        measures = list(dict.fromkeys(name for one in self.results for name in one.measures))
        measures.sort(key=lambda name: name != self.yardstick.quality)
        head = [
            "",
            *measures,
            "parameters",
            "updates",
            "tokens",
            "operations",
            "seconds",
            "tokens/s",
            "FLOP/s",
            "memory",
        ]
        rows = []
        for name in self.order:
            found = [one for one in self.of(name) if not one.diverged]
            if not found:
                rows.append([name, "diverged", *[""] * (len(head) - 2)])
                continue
            values = {measure: [one.measures[measure] for one in found] for measure in measures}
            best, *others = measures
            rows.append(
                [name, _spread(values[best]), *(_rounded(median(values[one])) for one in others), *_spent(found)]
            )
        seeds = self.comparison.seeds
        what = "one seed" if seeds == 1 else f"medians of {seeds} seeds, and in brackets the range"
        return Table(f"After {self.comparison.budget} of training each: {what}", head, rows)

    def charts(self) -> list[Chart]:
        """Quality by what was spent: the median over seeds, and each seed faint behind it."""
        return [Chart(self.yardstick.on_the_way, tuple(self._curves(of)), label, unit) for label, unit, of in AXES]

    def _curves(self, of: Callable[[Point], float]) -> list[Curve]:
        """The curves of one chart."""
        curves = []
        for name in self.order:
            seeds = [one.points for one in self.of(name) if one.points]
            if not seeds:
                continue
            if len(seeds) > 1:
                curves += [Curve("", tuple((of(p), p.value) for p in points), is_faint=True) for points in seeds]
            middle = [(median(map(of, now)), median(p.value for p in now)) for now in zip(*seeds, strict=False)]
            curves.append(Curve(name, tuple(middle)))
        return curves

    def points(self) -> Table:
        """The medians of the curves."""
        rows = []
        for name in self.order:
            seeds = [one.points for one in self.of(name) if one.points]
            for now in zip(*seeds, strict=False):
                spent = [f"{median(of(point) for point in now):.4g}" for _, _, of in AXES]
                rows.append([name, *spent, f"{median(point.value for point in now):.4g}"])
        head = ["", *(unit for _, unit, _ in AXES), self.yardstick.on_the_way]
        return Table("Medians over seeds, at each measurement on the way", head, rows)

    def lengths(self) -> tuple[Chart, Table] | None:
        """Quality by length; of the seeds the mean, for they are measured on the same."""
        found = {name: self._by_length(name) for name in self.order}
        names = list(dict.fromkeys(length.name for lengths in found.values() for length in lengths))
        if len(names) < 2:
            return None
        what, over = self.yardstick.by_length
        curves = [
            Curve(name, tuple((float(names.index(one.name)), one.value) for one in lengths))
            for name, lengths in found.items()
            if lengths
        ]
        chart = Chart(what, tuple(curves), over, names=tuple(names))
        rows = []
        for place in names:
            here = {name: one for name, lengths in found.items() for one in lengths if one.name == place}
            count = f"{max(one.count for one in here.values()):,}"
            rows.append([place, count, *(f"{here[name].value:.4g}" if name in here else "" for name in self.order)])
        return chart, Table(f"{what} by {over}: means over seeds", [over, "how many", *self.order], rows)

    def _by_length(self, name: str) -> list[Length]:
        """The means over seeds."""
        seeds = [one.lengths for one in self.of(name) if one.lengths]
        return [
            Length(now[0].name, now[0].count, sum(one.value for one in now) / len(now))
            for now in zip(*seeds, strict=False)
        ]

    def about(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """How it was done."""
        first, plan = self.comparison.first, vars(self.comparison.first.plan)
        shared = self.comparison.shared
        data = [(part, _in_words(getattr(first, part))) for part in DATA]
        batches = [(key, str(plan[key])) for key in shared if key in plan and key != "seed"]
        found = [
            ("Budget", [("each", str(Budget.read(self.comparison.budget))), ("seeds", str(self.comparison.seeds))]),
            ("Data, which all share", data),
            ("Batches, which all share", batches),
        ]
        if self.comparison.finetune is not None:
            found.append(
                ("Fine-tuned on", [(key, str(value)) for key, value in vars(self.comparison.finetune).items() if value])
            )
        for name, run in self.comparison.contestants.items():
            own = {f"model.{key}": value for key, value in run.model.items()}
            own |= {key: value for key, value in _unusual(run.plan).items() if key not in (*shared, *OURS)}
            found.append((name, [(key, str(value)) for key, value in own.items()]))
        return [*found, ("Machine", list(machine().items()))]

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain values."""
        return {
            "comparison": self.comparison.table(),
            "machine": machine(),
            "quality": self.yardstick.quality,
            "higher_is_better": self.yardstick.is_higher_better,
            "on_the_way": self.yardstick.on_the_way,
            "by_length": list(self.yardstick.by_length),
            "ranking": self.order,
            "contestants": {name: asdict(Spread.of(values)) for name, values in self.qualities.items()},
            "verdicts": [
                {**asdict(one), "is_clear": one.difference.is_clear, "in_words": str(one)} for one in self.verdicts
            ],
            "runs": [asdict(result) for result in self.results],
        }

    def save(self, folder: Path) -> Path:
        """Write the JSON and the page into the folder of the comparison; gives the page."""
        with written_whole(folder / JSON) as file:
            json.dump(self.as_dict(), file, indent=1, allow_nan=False)
        page = Page(
            title=f"Comparison {folder.resolve().name}",
            summary=self.comparison.about or f"{', '.join(self.comparison.contestants)}, {self.comparison.budget} each",
            standings=self.standings(),
            table=self.table(),
            charts=[chart for chart in self.charts() if chart.curves],
            points=self.points(),
            lengths=self.lengths(),
            about=self.about(),
            footer=FOOTER,
        )
        return write_comparison(folder / PAGE, page)


FOOTER = (
    "A contestant is said to be worse where the difference of the means is more than the spread of the seeds makes "
    "likely (Welch’s t-test, 95 %). Time is that of updates, without validation. Operations are those of products, "
    "forward and backward, with what is computed again. Thick curves are medians over seeds, faint ones the seeds."
)


def machine() -> dict[str, str]:
    """Where this runs."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {
        "device": device,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "regard": version("regard"),
    }


def _spread(values: Sequence[float]) -> str:
    """A median, and the lowest and highest of several."""
    spread = Spread.of(values)
    said = _rounded(spread.median)
    return said if len(values) == 1 else f"{said} ({_rounded(spread.lowest)} to {_rounded(spread.highest)})"


def _rounded(value: float) -> str:
    """A measure as it is read: 38.1 of BLEU, 1.272 of bits a byte."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _spent(found: Sequence[Result]) -> list[str]:
    """What a contestant is and took, medians over seeds."""
    of: Callable[[Callable[[Result], float]], float] = lambda value: median(map(value, found))
    memory = of(lambda one: one.memory)
    return [
        f"{found[0].parameters:,}",
        f"{of(lambda one: one.updates):,.0f}",
        short(of(lambda one: one.tokens)),
        short(of(lambda one: one.operations)),
        f"{of(lambda one: one.seconds):,.1f}",
        short(of(lambda one: one.tokens / one.seconds)),
        short(of(lambda one: one.operations / one.seconds)),
        f"{memory / 1e6:,.0f} MB" if memory else "",
    ]


def short(number: float) -> str:
    """Three digits and a letter: 12.3 M.

    >>> short(999), short(12_345_678), short(2e15)
    ('999', '12.3 M', '2 P')
    """
    for letter in ("", " k", " M", " G", " T"):
        if abs(number) < 999.5:
            return f"{number:.3g}{letter}"
        number /= 1000
    return f"{number:.3g} P"


def _in_words(part: Any) -> str:
    """Where text is found, or how it becomes ids."""
    if part is None:
        return "none: models are measured on the validation data"
    values = _unusual(part)
    if values.get("vocabulary") == 0:  # of kinds whose size the text decides
        values["vocabulary"] = "all"
    return ", ".join(str(value) if key == "path" else f"{key} {value}" for key, value in values.items())


def _unusual(part: Any) -> dict[str, Any]:
    """The fields of a dataclass which are not as they are by default."""
    return {field.name: value for field in fields(part) if (value := getattr(part, field.name)) != field.default}
