"""A report of what was fine-tuned: one self-contained HTML page, of plain values.

Whoever trained a model says what was trained, how it went and what it makes of examples; the page shows that, without
knowing any model. It is read without a script; with it, examples are found by class and by word, and the attention of
the worst of them is opened in the viewer of the other pages.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regard.storage.files import written_whole
from regard.visualise.cases import Case, cases_section
from regard.visualise.charts import Chart, bars_chart, curves_chart, scatter_chart
from regard.visualise.confusions import Confusions, Counted, classes_section
from regard.visualise.content import compact
from regard.visualise.maps import Example
from regard.visualise.markup import Markup, element, folded, joined, tabled
from regard.visualise.page import VIEWER, Frame, block_of

REPORT = Frame("report.html", ("page.css", "report.css"), (*VIEWER, "report.js"))


@dataclass(frozen=True)
class Length:
    """Questions whose answers have so many words, and how well they were answered, in per cent."""

    name: str
    questions: int
    exact: float
    f1: float


@dataclass(frozen=True)
class Report:
    """All that a report says.

    Args:
        title: of the page.
        summary: a sentence below it.
        measures: names and values in words.
        about: what was trained: lists with their headings.
        charts: how the run went.
        confusions: of classes.
        counted: how well classes were found, or types of entities.
        numbers: true and predicted ones.
        lengths: questions by the length of their answers.
        cases: the worst first.
        examples: how many there are, of which `cases` are some.
        unit: of the loss.
    """

    title: str
    summary: str
    measures: tuple[tuple[str, str], ...]
    about: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    charts: tuple[Chart, ...] = ()
    confusions: Confusions | None = None
    counted: tuple[Counted, ...] = ()
    numbers: tuple[tuple[float, float], ...] = ()
    lengths: tuple[Length, ...] = ()
    cases: tuple[Case, ...] = ()
    examples: int = 0
    unit: str = "nats"


def write_report(path: str | Path, report: Report, pictures: Iterable[Example] = ()) -> Path:
    """Write a report.

    Args:
        path: an HTML file.
        report: what it says.
        pictures: the attention of its first cases, in their order; they are taken one by one.
    """
    with written_whole(path) as file:
        file.writelines(report_parts(report, pictures))
    return Path(path)


def report_parts(report: Report, pictures: Iterable[Example] = ()) -> Iterator[str]:
    """The report's text, part by part.

    Raises:
        ValueError: if there are more pictures than cases.
    """
    blocks = [block_of(compact(picture)) for picture in pictures]
    if len(blocks) > len(report.cases):
        raise ValueError(f"there are {len(blocks)} pictures, but {len(report.cases)} examples")
    sections = [  # address, heading, and what stands below it
        ("measures", "Measures", element("dl", *map(_measure, report.measures), class_="measures")),
        ("curves", "Curves", _curves(report.charts)),
        ("classes", "Classes", classes_section(report.confusions, report.counted)),
        ("numbers", "Numbers", _numbers(report.numbers)),
        ("lengths", "Answers by length", _lengths(report.lengths)),
        ("cases", "Examples", cases_section(report.cases, report.examples, report.unit, len(blocks))),
        ("about", "What was trained", element("div", *map(_about, report.about), class_="about")),
    ]
    found = [section for section in sections if section[2] is not None]
    yield REPORT.before(
        report.title,
        summary=joined(report.summary),
        links=joined(*(element("a", name, href=f"#{id}") for id, name, _ in found)),
        sections=joined(*(element("section", element("h2", name), inside, id=id) for id, name, inside in found)),
    )
    yield from blocks
    yield REPORT.after()


def _measure(measure: tuple[str, str]) -> Markup:
    """A name and a large number."""
    name, value = measure
    return element("div", element("dt", name), element("dd", value))


def _about(part: tuple[str, tuple[tuple[str, str], ...]]) -> Markup:
    """A list with its heading."""
    heading, values = part
    rows = [joined(element("dt", name), element("dd", value)) for name, value in values]
    return element("div", element("h3", heading), element("dl", *rows))


def _curves(charts: Sequence[Chart]) -> Markup | None:
    """How the run went, as curves and as a table."""
    if not charts:
        return None
    curves = [curve for chart in charts for curve in chart.curves if not curve.is_faint]
    by_step = [dict(curve.points) for curve in curves]
    steps = sorted({step for points in by_step for step in points})
    rows = [[f"{step:g}", *(f"{p[step]:.4g}" if step in p else "" for p in by_step)] for step in steps]
    numbers = tabled(["step", *(curve.name for curve in curves)], rows, "Values by step")
    drawn = element("div", *map(curves_chart, charts), class_="charts")
    return joined(drawn, folded("Numbers of the curves", numbers))


def _numbers(pairs: Sequence[tuple[float, float]]) -> Markup | None:
    """Predicted against true numbers."""
    if not pairs:
        return None
    return element("div", scatter_chart("Predicted and true numbers", pairs), class_="charts")


def _lengths(lengths: Sequence[Length]) -> Markup | None:
    """Questions by the length of their answers."""
    if not lengths:
        return None
    names, label = [one.name for one in lengths], "words of the true answer"
    scores = [("F1", [one.f1 for one in lengths]), ("exact", [one.exact for one in lengths])]
    counts = [("questions", [float(one.questions) for one in lengths])]
    charts = element(
        "div",
        bars_chart("F1 and exact match, per cent", names, scores, label),
        bars_chart("Questions", names, counts, label),
        class_="charts",
    )
    rows = [[one.name, f"{one.questions:,}", f"{one.f1:.1f}", f"{one.exact:.1f}"] for one in lengths]
    table = tabled([label, "questions", "F1", "exact"], rows, "By the length of the answer")
    return joined(charts, folded("Numbers of the bars", table))
