"""The page of a comparison: who was how good, whether they differ, and how they got there; of plain values.

It has no script, and is read from a disk without a network. Contestants are told apart by marks and dashes as well as
by colours, and every chart stands beside its numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regard.storage.files import written_whole
from regard.visualise.charts import Chart, curves_chart
from regard.visualise.markup import Markup, element, folded, joined, tabled
from regard.visualise.page import Frame

PAGE = Frame("comparison.html", ("page.css", "report.css", "comparison.css"), ())


@dataclass(frozen=True)
class Table:
    """Cells in rows below their heads; the first of a row says what it is of."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        cells = [list(self.head), *map(list, self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in cells)
        return "\n".join("  ".join(line).rstrip() for line in lines)


@dataclass(frozen=True)
class Standing:
    """A contestant in its place of the ranking.

    Args:
        name: of it.
        quality: in words.
        verdicts: sentences about it and those above it, each with whether the two can be told apart.
    """

    name: str
    quality: str
    verdicts: Sequence[tuple[str, bool]] = ()


@dataclass(frozen=True)
class Comparison:
    """All that the page says.

    Args:
        title: of the page.
        summary: a sentence below it.
        standings: the best first.
        table: of all contestants.
        charts: quality by what was spent.
        points: the numbers of those.
        lengths: quality by length, and its numbers.
        about: how it was done: lists with their headings.
        footer: how to read the page.
    """

    title: str
    summary: str
    standings: Sequence[Standing]
    table: Table
    charts: Sequence[Chart]
    points: Table
    about: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    lengths: tuple[Chart, Table] | None = None
    footer: str = ""


def write_comparison(path: str | Path, comparison: Comparison) -> Path:
    """Write the page into an HTML file."""
    with written_whole(path) as file:
        file.writelines(comparison_parts(comparison))
    return Path(path)


def comparison_parts(comparison: Comparison) -> Iterator[str]:
    """The page's text, part by part."""
    found = [part for part in _sections(comparison) if part is not None]
    links = [element("a", name, href=f"#{id}") for id, name, _ in found]
    sections = [element("section", element("h2", name), *children, id=id) for id, name, children in found]
    yield PAGE.before(
        comparison.title,
        summary=joined(comparison.summary),
        links=joined(*links),
        sections=joined(*sections),
        footer=joined(comparison.footer),
    )
    yield PAGE.after()


def _sections(comparison: Comparison) -> Iterator[tuple[str, str, Sequence[Markup]] | None]:
    """Each part with its address and its heading."""
    yield "verdicts", "Who is better", [element("ol", *map(_standing, comparison.standings), class_="verdicts")]
    yield "table", "Side by side", [_table(comparison.table)]
    charts = element("div", *map(curves_chart, comparison.charts), class_="charts")
    yield "curves", "By what was spent", [charts, folded("Numbers of the curves", _table(comparison.points))]
    if comparison.lengths is not None:
        chart, table = comparison.lengths
        drawn = element("div", curves_chart(chart), class_="charts")
        yield "lengths", "By length", [drawn, folded("Numbers of the curves", _table(table))]
    lists = [
        element("div", element("h3", heading), element("dl", *(_pair(*pair) for pair in pairs)))
        for heading, pairs in comparison.about
    ]
    yield "about", "How it was done", [element("div", *lists, class_="about")]


def _standing(standing: Standing) -> Markup:
    """A place of the ranking, with what is said about it."""
    said = [element("li", words, class_=None if is_clear else "is-open") for words, is_clear in standing.verdicts]
    return element("li", element("b", standing.name), f": {standing.quality}", element("ul", *said) if said else None)


def _table(table: Table) -> Markup:
    """The same as HTML."""
    return tabled(table.head, table.rows, table.caption)


def _pair(name: str, value: str) -> Markup:
    """A line of a list."""
    return joined(element("dt", name), element("dd", value))
