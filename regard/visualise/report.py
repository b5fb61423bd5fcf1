"""A report of what was fine-tuned: one self-contained HTML page, of plain values.

Whoever trained a model says what was trained, how it went and what it makes of examples; the page shows that, without
knowing any model. It is read without a script; with it, examples are found by class and by word, and the attention of
the worst of them is opened in the viewer of the other pages.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regard.storage.files import written_whole
from regard.visualise.charts import Chart, bars_chart, curves_chart, scatter_chart
from regard.visualise.maps import AttentionMap, Example
from regard.visualise.markup import Markup, element, folded, joined, tabled
from regard.visualise.page import VIEWER, Frame, block_of, content_of

REPORT = Frame("report.html", ("page.css", "report.css"), (*VIEWER, "report.js"))
PICTURE = 400_000  # characters of one example's attention, at most
TABLED = 20  # classes up to which all are set against all; of more, the most frequent confusions are listed
CONFUSIONS = 40
SHADES = 6  # steps of the scale behind the cells
LONG = 500  # characters from which on a text has a frame of its own

Stretch = tuple[str, str]  # a part of a text, and what is said of it; nothing is said of most


@dataclass(frozen=True)
class Counted:
    """A class, or a type of entity: how well it was found.

    Args:
        name: of the class.
        precision: share of the predicted which is right.
        recall: share of the true which is found.
        f1: their harmonic mean.
        predicted: how often it was predicted.
        true: how often it is true.
    """

    name: str
    precision: float
    recall: float
    f1: float
    predicted: int
    true: int


@dataclass(frozen=True)
class Confusions:
    """How often which class was taken for which.

    Raises:
        ValueError: if there are not as many counts as classes, in rows and in columns.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]  # a row for each true class, a column for each predicted one

    def __post_init__(self):
        size = len(self.labels)
        if not size or len(self.counts) != size or any(len(row) != size for row in self.counts):
            raise ValueError(f"{size} classes need {size} rows of {size} counts, got {[len(r) for r in self.counts]}")


@dataclass(frozen=True)
class Length:
    """Questions whose answers have so many words, and how well they were answered, in per cent."""

    name: str
    questions: int
    exact: float
    f1: float


@dataclass(frozen=True)
class Case:
    """One example: what is true, and what was predicted.

    Args:
        loss: how far the model was from the truth.
        true: in words.
        predicted: in words.
        is_right: whether both say the same; None where neither is a choice.
        texts: with their names, each in parts.
        true_probability: which the model gave to the truth.
        probability: which it gave to its prediction.
        place: where the example stands.
        pairs: true and predicted classes by which it is found.
    """

    loss: float
    true: str
    predicted: str
    is_right: bool | None
    texts: tuple[tuple[str, tuple[Stretch, ...]], ...]
    true_probability: float | None = None
    probability: float | None = None
    place: str = ""
    pairs: tuple[tuple[str, str], ...] = ()


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
    sections = [
        _section("measures", "Measures", element("dl", *map(_measure, report.measures), class_="measures")),
        _curves(report),
        _classes(report),
        _numbers(report),
        _lengths(report),
        _cases(report, len(blocks)),
        _section("about", "What was trained", element("div", *map(_about, report.about), class_="about")),
    ]
    found = [section for section in sections if section is not None]
    links = [element("a", name, href=f"#{id}") for id, name, _ in found]
    yield REPORT.before(
        report.title,
        summary=joined(report.summary),
        links=joined(*links),
        sections=joined(*(section for _, _, section in found)),
    )
    yield from blocks
    yield REPORT.after()


def compact(example: Example, room: int = PICTURE) -> dict:
    """What a page keeps of an example in so much room, in characters.

    Where all heads are too much, the mean over the heads of each layer is kept; where that is too much, of the last
    layers. The text of the example then says so.
    """
    content = content_of(example, is_coarse=True)
    if _size(content) <= room:
        return content
    means = [AttentionMap(one.name, one.head(None), one.queries, one.keys, _any_head(one)) for one in example.maps]
    for first in range(len(means)):
        kept = means[first:]
        which = "all layers" if not first else f"the last {len(kept)} of {len(means)} layers"
        said = (*example.text, ("shown", f"the mean over the heads of {which}, to keep the page small"))
        shortened = Example(example.title, kept, said, (), example.passages, example.legend, example.chances)
        content = content_of(shortened, is_coarse=True)
        if _size(content) <= room:
            break
    return content


def _size(content: dict) -> int:
    """Characters of all weights."""
    return sum(len(drawing["weights"]) for drawing in content["drawings"])


def _any_head(attention: AttentionMap):
    """Where any head may look."""
    return None if attention.allowed is None else attention.allowed.any(0)


Section = tuple[str, str, Markup]


def _section(id: str, name: str, *children: Markup | None) -> Section:
    """A part of the page, with its address and its heading."""
    return id, name, element("section", element("h2", name), *children, id=id)


def _measure(measure: tuple[str, str]) -> Markup:
    """A name and a large number."""
    name, value = measure
    return element("div", element("dt", name), element("dd", value))


def _about(part: tuple[str, tuple[tuple[str, str], ...]]) -> Markup:
    """A list with its heading."""
    heading, values = part
    rows = [joined(element("dt", name), element("dd", value)) for name, value in values]
    return element("div", element("h3", heading), element("dl", *rows))


def _curves(report: Report) -> Section | None:
    """How the run went, as curves and as a table."""
    if not report.charts:
        return None
    charts = element("div", *map(curves_chart, report.charts), class_="charts")
    curves = [curve for chart in report.charts for curve in chart.curves if not curve.is_faint]
    by_step = [dict(curve.points) for curve in curves]
    steps = sorted({step for points in by_step for step in points})
    rows = [[f"{step:g}", *(f"{p[step]:.4g}" if step in p else "" for p in by_step)] for step in steps]
    numbers = tabled(["step", *(curve.name for curve in curves)], rows, "Values by step")
    return _section("curves", "Curves", charts, folded("Numbers of the curves", numbers))


def _classes(report: Report) -> Section | None:
    """Which classes were taken for which, and how well each was found."""
    if report.confusions is None and not report.counted:
        return None
    found = report.confusions
    shown = None
    if found is not None:
        shown = _matrix(found) if len(found.labels) <= TABLED else _listed(found)
    head = ["", "precision", "recall", "F1", "predicted", "true"]
    rows = [
        [one.name, *(f"{value:.3f}" for value in (one.precision, one.recall, one.f1)), *map(_count, counts)]
        for one in report.counted
        for counts in [(one.predicted, one.true)]
    ]
    counted = tabled(head, rows, "How well each was found") if rows else None
    return _section("classes", "Classes", element("div", shown, counted, class_="classes"))


def _matrix(found: Confusions) -> Markup:
    """A row for each true class; each cell has its count and its share of the row."""
    head = [element("th", label, scope="col") for label in found.labels]
    lines = []
    for true, (label, row) in enumerate(zip(found.labels, found.counts, strict=True)):
        total = sum(row)
        cells = [
            _cell(label, other, count, total, is_right=true == place)
            for place, (other, count) in enumerate(zip(found.labels, row, strict=True))
        ]
        lines.append(element("tr", element("th", label, scope="row"), *cells, element("td", _count(total))))
    corner = element("td", "true ↓ predicted →", class_="corner")
    table = element(
        "table",
        element("caption", "Which class was taken for which: counts, and shares of the true class"),
        element("thead", element("tr", corner, *head, element("th", "all", scope="col"))),
        element("tbody", *lines),
        class_="confusions",
    )
    return element("div", table, class_="scrolls", tabindex="0", role="region", aria_label="Confusions")


def _cell(true: str, predicted: str, count: int, total: int, *, is_right: bool) -> Markup:
    """A cell; one with examples leads to them."""
    share = count / total if total else 0.0
    kind = f"shade-{round(share * SHADES)}{' is-right' if is_right else ''}"
    said = joined(element("b", _count(count)), " ", element("small", f"{share:.1%}"))
    if not count:
        return element("td", said, class_=kind)
    words = f"{_count(count)} of {_count(total)} which are {true} were taken for {predicted}; list them"
    return element("td", _leading(said, true, predicted, words), class_=kind)


def _leading(said: Markup, true: str, predicted: str, words: str) -> Markup:
    """A button which lists the examples of a true and a predicted class."""
    return element(
        "button", said, type="button", class_="leads", data_true=true, data_predicted=predicted, aria_label=words
    )


def _listed(found: Confusions) -> Markup:
    """The most frequent confusions, where there are too many classes for a matrix."""
    wrong = [
        (count, true, predicted, sum(row))
        for true, row in zip(found.labels, found.counts, strict=True)
        for predicted, count in zip(found.labels, row, strict=True)
        if count and true != predicted
    ]
    wrong.sort(key=lambda one: (-one[0], one[1], one[2]))
    rows = []
    for count, true, predicted, total in wrong[:CONFUSIONS]:
        words = f"list the {count} which are {true} and were taken for {predicted}"
        button = _leading(joined(_count(count)), true, predicted, words)
        rows.append([true, predicted, button, f"{count / total:.1%}"])
    caption = f"The most frequent of {_count(len(wrong))} confusions, and their share of the true class"
    return tabled(["true", "predicted", "count", "share"], rows, caption, texts=2)


def _numbers(report: Report) -> Section | None:
    """Predicted against true numbers."""
    if not report.numbers:
        return None
    charts = element("div", scatter_chart("Predicted and true numbers", report.numbers), class_="charts")
    return _section("numbers", "Numbers", charts)


def _lengths(report: Report) -> Section | None:
    """Questions by the length of their answers."""
    if not report.lengths:
        return None
    names, label = [one.name for one in report.lengths], "words of the true answer"
    scores = [("F1", [one.f1 for one in report.lengths]), ("exact", [one.exact for one in report.lengths])]
    counts = [("questions", [float(one.questions) for one in report.lengths])]
    charts = element(
        "div",
        bars_chart("F1 and exact match, per cent", names, scores, label),
        bars_chart("Questions", names, counts, label),
        class_="charts",
    )
    rows = [[one.name, _count(one.questions), f"{one.f1:.1f}", f"{one.exact:.1f}"] for one in report.lengths]
    table = tabled([label, "questions", "F1", "exact"], rows, "By the length of the answer")
    return _section("lengths", "Answers by length", charts, folded("Numbers of the bars", table))


def _cases(report: Report, pictures: int) -> Section | None:
    """The examples, with what finds them."""
    if not report.cases:
        return None
    listed = len(report.cases)
    what = f"The {_count(listed)} with the largest loss of" if listed < report.examples else "All"
    note = f"{what} {_count(report.examples)}, the worst first."
    if pictures:
        note += f" The attention of the first {f'{pictures} ' if pictures > 1 else ''}can be opened."
    cases = [_case(case, n, report.unit, n <= pictures) for n, case in enumerate(report.cases, 1)]
    return _section(
        "cases",
        "Examples",
        element("p", note, class_="quiet"),
        _finders(report.cases),
        element("p", f"{_count(listed)} of {_count(listed)} listed", id="found", role="status"),
        element("ol", *cases, id="case-list"),
        element("p", "No example is like that.", id="none", hidden=True),
    )


def _finders(cases: Sequence[Case]) -> Markup:
    """What finds examples: words, classes, and whether they are mistakes."""
    parts = [element("label", "Find ", element("input", type="search", id="words", autocomplete="off"))]
    for side, name in enumerate(("true", "predicted")):
        classes = sorted({pair[side] for case in cases for pair in case.pairs})
        if classes:
            options = [
                element("option", "any", value=""),
                *(element("option", one, value=f"={one}") for one in classes),
            ]
            parts.append(element("label", f"{name.capitalize()} ", element("select", *options, id=f"{name}-class")))
    if any(case.is_right for case in cases) and any(case.is_right is False for case in cases):
        box = element("input", type="checkbox", id="mistakes")
        parts.append(element("label", box, " mistakes only", class_="box"))
    parts.append(element("button", "Show all", type="button", id="all"))
    return element("form", *parts, id="finders", role="search", hidden=True)


def _case(case: Case, number: int, unit: str, has_picture: bool) -> Markup:
    """An example: what is true, what was predicted, the texts, and where its attention opens."""
    verdict = {True: "right", False: "wrong", None: None}[case.is_right]
    mark = {"right": "✓ right", "wrong": "✗ wrong"}
    said = element(
        "p",
        element("span", mark[verdict], class_=f"verdict is-{verdict}") if verdict else None,
        _claim("true", case.true, case.true_probability),
        _claim("predicted", case.predicted, case.probability),
        element("span", f"loss {case.loss:.3f} {unit}", class_="quiet"),
        element("span", case.place, class_="quiet place") if case.place else None,
        class_="claims",
    )
    texts = [joined(element("dt", name), _told(stretches)) for name, stretches in case.texts]
    details = element("details", element("summary", "Attention"), element("div", class_="opened"))
    return element(
        "li",
        said,
        element("dl", *texts, class_="texts"),
        details if has_picture else None,
        class_="case",
        value=number,
        data_pairs=json.dumps(case.pairs),
        data_right={True: "yes", False: "no", None: None}[case.is_right],
    )


def _claim(name: str, value: str, probability: float | None) -> Markup:
    """What is true, or what was predicted, and how probable it was to the model."""
    share = None if probability is None else element("small", f"p {probability:.3f}")
    return element("span", f"{name} ", element("b", value or "(nothing)"), " ", share, class_="claim")


def _told(stretches: Sequence[Stretch]) -> Markup:
    """A text, with what is said of parts of it."""
    parts = [
        element("mark", text, element("small", note), class_="told") if note else joined(text)
        for text, note in stretches
    ]
    is_long = sum(len(text) for text, _ in stretches) > LONG
    return element("dd", *parts, class_="is-long" if is_long else None, tabindex="0" if is_long else None)


def _count(number: int) -> str:
    """A count with its thousands apart."""
    return f"{number:,}"
