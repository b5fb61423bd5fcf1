"""HTML and SVG made of elements; whatever text is put into them stays text."""

import html
from collections.abc import Sequence

VOID = {"br", "input"}  # HTML elements which have no end


class Markup(str):
    """Text which is HTML already."""

    __slots__ = ()


def element(name: str, *children: "str | Markup | None", **attributes: object) -> Markup:
    """An element with its children: texts, which are escaped, and elements; None is left out.

    `class_` gives the attribute class, `data_pairs` data-pairs. True gives an attribute without a value; None and False
    give none.
    """
    said = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = "viewBox" if key == "viewBox" else key.rstrip("_").replace("_", "-")
        said.append(f" {key}" if value is True else f' {key}="{html.escape(encodable(str(value)))}"')
    start = f"<{name}{''.join(said)}>"
    return Markup(start if name in VOID else f"{start}{joined(*children)}</{name}>")


def joined(*children: "str | Markup | None") -> Markup:
    """Texts and elements side by side."""
    parts = (child for child in children if child is not None)
    return Markup("".join(part if isinstance(part, Markup) else html.escape(encodable(part)) for part in parts))


def tabled(head: Sequence[str], rows: Sequence[Sequence[str | Markup]], caption: str, *, texts: int = 1) -> Markup:
    """A table which scrolls by itself; its first columns are texts."""
    lines = [
        element(
            "tr",
            *(element("th", cell, scope="row") for cell in row[:1]),
            *(element("td", cell, class_="is-text" if n < texts else None) for n, cell in enumerate(row[1:], 1)),
        )
        for row in rows
    ]
    columns = [
        element("th", name, scope="col", class_="is-text" if n < texts else None) if name else element("td")
        for n, name in enumerate(head)
    ]
    table = element(
        "table", element("caption", caption), element("thead", element("tr", *columns)), element("tbody", *lines)
    )
    return element("div", table, class_="scrolls", tabindex="0", role="region", aria_label=caption)


def folded(summary: str, inside: Markup) -> Markup:
    """What opens when asked for."""
    return element("details", element("summary", summary), inside, class_="folded")


def encodable(text: str) -> str:
    """The text with lone surrogates, which no file may hold, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
