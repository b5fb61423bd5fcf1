"""Which classes a model took for which, and how well each was found, as a report shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

from regard.visualise.markup import Markup, element, joined, tabled

TABLED = 20  # classes up to which all are set against all; of more, the most frequent confusions are listed
LISTED = 40  # of those, at most
SHADES = 6  # steps of the scale behind the cells


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


def classes_section(found: Confusions | None, counted: Sequence[Counted]) -> Markup | None:
    """Which classes were taken for which, and how well each was found; nothing, where nothing is known of them."""
    if found is None and not counted:
        return None
    shown = None
    if found is not None:
        shown = _matrix(found) if len(found.labels) <= TABLED else _listed(found)
    return element("div", shown, _agreement(counted) if counted else None, class_="classes")


def _agreement(counted: Sequence[Counted]) -> Markup:
    """How well each class was found."""
    rows = [
        [
            one.name,
            *(f"{share:.3f}" for share in (one.precision, one.recall, one.f1)),
            f"{one.predicted:,}",
            f"{one.true:,}",
        ]
        for one in counted
    ]
    return tabled(["", "precision", "recall", "F1", "predicted", "true"], rows, "How well each was found")


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
        lines.append(element("tr", element("th", label, scope="row"), *cells, element("td", f"{total:,}")))
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
    said = joined(element("b", f"{count:,}"), " ", element("small", f"{share:.1%}"))
    if not count:
        return element("td", said, class_=kind)
    words = f"{count:,} of {total:,} which are {true} were taken for {predicted}; list them"
    return element("td", _leading(said, true, predicted, words), class_=kind)


def _leading(said: str, true: str, predicted: str, words: str) -> Markup:
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
    for count, true, predicted, total in wrong[:LISTED]:
        words = f"list the {count} which are {true} and were taken for {predicted}"
        button = _leading(f"{count:,}", true, predicted, words)
        rows.append([true, predicted, button, f"{count / total:.1%}"])
    caption = f"The most frequent of {len(wrong):,} confusions, and their share of the true class"
    return tabled(["true", "predicted", "count", "share"], rows, caption, texts=2)
