"""Examples one by one, as a report lists them: what is true, what was predicted, and what finds them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from regard.visualise.markup import Markup, element, joined

LONG = 500  # characters from which on a text has a frame of its own

Stretch = tuple[str, str]  # a part of a text, and what is said of it; nothing is said of most


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


def cases_section(cases: Sequence[Case], examples: int, unit: str, pictures: int) -> Markup | None:
    """The examples in their order; nothing, where there is none.

    Args:
        cases: the worst first.
        examples: how many there are, of which these are some.
        unit: of their loss.
        pictures: so many of the first have one of their attention.
    """
    if not cases:
        return None
    listed = len(cases)
    what = f"The {listed:,} with the largest loss of" if listed < examples else "All"
    note = f"{what} {examples:,}, the worst first."
    if pictures:
        note += f" The attention of the first {f'{pictures} ' if pictures > 1 else ''}can be opened."
    items = [_case(case, n, unit, n <= pictures) for n, case in enumerate(cases, 1)]
    return joined(
        element("p", note, class_="quiet"),
        _finders(cases),
        element("p", f"{listed:,} of {listed:,} listed", id="found", role="status"),
        element("ol", *items, id="case-list"),
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
