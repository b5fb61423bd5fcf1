"""Charts of a report: SVG which takes its colours from the page's style sheet, and says in words what it shows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

from regard.visualise.markup import Markup, element, joined

WIDTH, HEIGHT = 360, 220  # of a chart, in its own units; letters of 11 are readable on a phone, where these are pixels
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 38
FEW = 40  # points up to which each has a mark
MOST = 2000  # points of a scatter which are drawn
LETTER = 6.5  # width of a letter, about
COLOURS = 6  # of curves, each with its dashes in the style sheet; of the next one only the mark differs
PAIRS = Sequence[tuple[float, float]]
# Marks of curves around their point, which tell them apart without their colours: a square, a triangle, a diamond, a
# cross; the first curve has a disc.
MARKS = (
    "",
    "M-2.5,-2.5H2.5V2.5H-2.5Z",
    "M0,-3.2L3.2,2.6H-3.2Z",
    "M0,-3.6L3.6,0L0,3.6L-3.6,0Z",
    "M-1,-3.2H1V-1H3.2V1H1V3.2H-1V1H-3.2V-1H-1Z",
)


@dataclass(frozen=True)
class Curve:
    """Values by step, or by something else; one without a name stands in no key.

    Raises:
        ValueError: if there is none, or one is not finite.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    is_faint: bool = False  # drawn behind the others, as what they smooth

    def __post_init__(self):
        if not self.points:
            raise ValueError(f"curve {self.name!r} has no points")
        wrong = [point for point in self.points if not all(map(isfinite, point))]
        if wrong:
            raise ValueError(f"curve {self.name!r} must have finite points, got {wrong[0]}")


@dataclass(frozen=True)
class Chart:
    """Curves which share a scale.

    Args:
        title: above it, with what the curves run over where these are not steps.
        curves: the ones which matter last.
        label: what they run over.
        unit: of that, by which its values are named, and the axis; without, they are named by the label.
        names: of the values 0, 1 and so on of that, where they are no numbers.
    """

    title: str
    curves: tuple[Curve, ...]
    label: str = "step"
    unit: str = ""
    names: tuple[str, ...] = ()

    def where(self, value: float) -> str:
        """A place on the axis in words, as `step 10` or `6-10 words`."""
        said = self.names[round(value)] if self.names else f"{value:.4g}" if self.unit else f"{value:g}"
        return f"{said} {self.unit}" if self.unit else f"{self.label} {said}"


class Scale(NamedTuple):
    """A stretch of numbers laid along a stretch of the chart."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def curves_chart(chart: Chart) -> Markup:
    """Curves over what they share."""
    points = [point for curve in chart.curves for point in curve.points]
    x, y = _scales(points)
    if chart.names:
        x = x._replace(low=-0.5, high=len(chart.names) - 0.5)
    looks = _looks(chart.curves)
    drawn = [_curve(curve, look, x, y, chart) for curve, look in sorted(looks, key=lambda item: not item[0].is_faint)]
    key = [element("li", _sample(curve, look), curve.name) for curve, look in looks if curve.name]
    words = " ".join(_in_words(curve, chart) for curve in chart.curves if not curve.is_faint)
    marks = _named(chart.names) if chart.names else _numbered(x)
    return _figure(
        chart.title if chart.label == "step" else f"{chart.title}, by {chart.label}",
        f"{chart.title} by {chart.label}. {words}",
        [_axes(x, y, chart.unit or chart.label, "", marks), *drawn],
        element("ul", *key, class_="key") if len(key) > 1 else None,
    )


def scatter_chart(title: str, points: PAIRS) -> Markup:
    """Predicted against true numbers; on the line both are the same."""
    step = -(-len(points) // MOST)
    shown = points[::step]
    both = [value for point in points for value in point]
    low, high = min(both), max(both)
    x, y = _scales([(low, low), (high, high)])
    diagonal = _line([(low, low), (high, high)], x, y, class_="diagonal")
    dots = [_dot(x(true), y(found), f"true {true:.4g}, predicted {found:.4g}", "point") for true, found in shown]
    note = f"one in {step} of {len(points):,} examples" if step > 1 else f"{len(points):,} examples"
    words = f"{title}: {note}, true numbers from {min(t for t, _ in points):.4g} to {max(t for t, _ in points):.4g}."
    return _figure(
        title,
        words,
        [_axes(x, y, "true", "predicted", _numbered(x)), diagonal, *dots],
        element("p", f"A point an example, {note}; on the dashed line predictions are right."),
    )


def bars_chart(title: str, names: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], label: str) -> Markup:
    """Bars side by side for each name, one of each series, each with its number above it."""
    highest = max(max(values) for _, values in series) or 1.0
    y = Scale(0.0, highest * 1.12, HEIGHT - BOTTOM, TOP)
    slot = (WIDTH - LEFT - RIGHT) / len(names)
    wide = min(slot * 0.9, 60) / len(series)
    drawn = [_grid(y)]
    for place, name in enumerate(names):
        middle = LEFT + (place + 0.5) * slot
        drawn.append(_text(middle, HEIGHT - BOTTOM + 14, name))
        for number, (what, values) in enumerate(series):
            left = middle + (number - len(series) / 2) * wide
            top, value = y(values[place]), f"{values[place]:.0f}"
            bar = element(
                "rect",
                element("title", f"{name}, {what}: {values[place]:.4g}"),
                x=f"{left + 0.5:.1f}",
                y=f"{top:.1f}",
                width=f"{wide - 1:.1f}",
                height=f"{HEIGHT - BOTTOM - top:.1f}",
                class_=f"bar of-{number}",
            )
            drawn += [bar, _text(left + wide / 2, top - 3, value, class_="small")]
    drawn.append(_text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 6, label, class_="quiet"))
    words = "; ".join(
        f"{name}: " + ", ".join(f"{what} {values[place]:.4g}" for what, values in series)
        for place, name in enumerate(names)
    )
    key = [element("li", _swatch(number), what) for number, (what, _) in enumerate(series)]
    return _figure(title, f"{title}. {words}", drawn, element("ul", *key, class_="key") if len(series) > 1 else None)


def _figure(title: str, words: str, drawn: Iterable[Markup], below: Markup | None) -> Markup:
    """A chart under its title."""
    box = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria_label": words}
    svg = element("svg", *drawn, **box)
    return element("figure", element("figcaption", title), svg, below, class_="chart")


def _looks(curves: Sequence[Curve]) -> list[tuple[Curve, int]]:
    """Each curve with the number of its look; a faint one has that of the next which is not."""
    return [(curve, sum(not other.is_faint for other in curves[:place])) for place, curve in enumerate(curves)]


def _curve(curve: Curve, number: int, x: Scale, y: Scale, chart: Chart) -> Markup:
    """A line, and a mark at each of a few points."""
    line = _line(curve.points, x, y, class_=_look("curve", curve, number))
    if len(curve.points) > FEW or curve.is_faint:
        return line
    said = [(place, value, f"{curve.name}, {chart.where(place)}: {value:.4g}") for place, value in curve.points]
    return joined(line, *(_mark(number, x(place), y(value), words) for place, value, words in said))


def _look(kind: str, curve: Curve, number: int) -> str:
    """The classes of a curve."""
    return f"{kind} of-{number % COLOURS}{' is-faint' if curve.is_faint else ''}"


def _mark(number: int, x: float, y: float, words: str | None = None) -> Markup:
    """A point of a curve, by its number."""
    kind, shape = f"dot of-{number % COLOURS}", MARKS[number % len(MARKS)]
    title = element("title", words) if words else None
    if not shape:
        return element("circle", title, cx=f"{x:.1f}", cy=f"{y:.1f}", r="2.5", class_=kind)
    return element("path", title, d=shape, transform=f"translate({x:.1f} {y:.1f})", class_=kind)


def _numbered(x: Scale) -> list[tuple[float, str]]:
    """Round places along an axis."""
    return [(tick, _number(tick)) for tick in ticks(x.low, x.high, 5)]


def _named(names: Sequence[str]) -> list[tuple[float, str]]:
    """Places which have names, as many of them as there is room for."""
    room = (WIDTH - LEFT - RIGHT) / len(names)
    step = ceil(LETTER * (max(map(len, names)) + 1) / room)
    return [(float(place), name) for place, name in enumerate(names) if place % step == 0]


def _line(points: PAIRS, x: Scale, y: Scale, **attributes: object) -> Markup:
    """Points joined."""
    path = "M" + "L".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    return element("path", d=path, **attributes)


def _dot(x: float, y: float, words: str, kind: str) -> Markup:
    """A point which says what it is."""
    return element("circle", element("title", words), cx=f"{x:.1f}", cy=f"{y:.1f}", r="2.5", class_=kind)


def _sample(curve: Curve, number: int) -> Markup:
    """A piece of a curve, for the key."""
    has_mark = len(curve.points) <= FEW and not curve.is_faint
    line = element("path", d="M0,6L20,6", class_=_look("curve", curve, number))
    return element("svg", line, _mark(number, 10, 6) if has_mark else None, viewBox="0 0 20 12", aria_hidden="true")


def _swatch(number: int) -> Markup:
    """The colour of a series, for the key."""
    bar = element("rect", x="1", y="1", width="10", height="10", class_=f"bar of-{number}")
    return element("svg", bar, viewBox="0 0 12 12", aria_hidden="true")


def _in_words(curve: Curve, chart: Chart) -> str:
    """Where a curve begins and ends."""
    (first, start), (last, end) = curve.points[0], curve.points[-1]
    values = [value for _, value in curve.points]
    about = f"{curve.name}: {start:.4g} at {chart.where(first)}"
    if len(values) > 1:
        about += f", {end:.4g} at {chart.where(last)}, between {min(values):.4g} and {max(values):.4g}"
    return about + "."


def _scales(points: PAIRS) -> tuple[Scale, Scale]:
    """Scales on which all points have room."""
    (left, right), (low, high) = (_stretch([point[axis] for point in points]) for axis in (0, 1))
    room = (high - low) * 0.05
    return Scale(left, right, LEFT, WIDTH - RIGHT), Scale(low - room, high + room, HEIGHT - BOTTOM, TOP)


def _stretch(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest value, apart from each other."""
    low, high = min(values), max(values)
    if high > low:
        return low, high
    apart = abs(low) * 0.1 or 1.0
    return low - apart, high + apart


def _axes(x: Scale, y: Scale, label: str, side: str, marks: Sequence[tuple[float, str]]) -> Markup:
    """Lines behind the drawing, numbers beside it, and marks below it."""
    bottom = HEIGHT - BOTTOM
    numbers = [_text(x(place), bottom + 14, name) for place, name in marks]
    across = _text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 6, label, class_="quiet")
    turned = {"transform": f"translate(9 {(TOP + bottom) / 2:.0f}) rotate(-90)", "class_": "quiet"}
    return joined(_grid(y), *numbers, across, element("text", side, **turned) if side else None)


def _grid(y: Scale) -> Markup:
    """A line across for each round number of the upright axis."""
    parts = []
    for tick in ticks(y.low, y.high, 5):
        place = f"{y(tick):.1f}"
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=place, y2=place, class_="grid"))
        parts.append(_text(LEFT - 6, y(tick) + 4, _number(tick), class_="at-end"))
    return joined(*parts)


def _text(x: float, y: float, words: str, **attributes: object) -> Markup:
    """Words in the middle of a place."""
    return element("text", words, x=f"{x:.1f}", y=f"{y:.1f}", **attributes)


def _number(value: float) -> str:
    """A short number: 10k for ten thousand."""
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two others, at most so many.

    >>> ticks(0.0, 1.0, 5), ticks(17.0, 912.0, 5), ticks(0.42, 0.49, 5)
    ([0.0, 0.25, 0.5, 0.75, 1.0], [200.0, 400.0, 600.0, 800.0], [0.42, 0.44, 0.46, 0.48])
    """
    unit = 10.0 ** floor(log10((high - low) / most))
    fits: Callable[[float], list[float]] = lambda step: [
        round(step * k, 12) for k in range(-floor(-low / step + 1e-9), floor(high / step + 1e-9) + 1)
    ]
    return next(found for times in (1, 2, 2.5, 5, 10, 20) if len(found := fits(unit * times)) <= most)
