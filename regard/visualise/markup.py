"""HTML and SVG made of elements; whatever text is put into them stays text."""

import html

from regard.visualise.page import encodable

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
