#!/usr/bin/env python3
"""How a lesson's text is set: formulae, cells and tables.

Markdown with formulae in LaTeX is what a lesson writes. A notebook and a page
of the site set it themselves; a terminal has plain signs only.
"""

import html
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from rich.console import RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Cell = str | int | float
MATH = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)


def prose(markdown: str) -> Markdown:
    """Set Markdown for the terminal, with its formulae as plain signs."""
    return Markdown(
        MATH.sub(lambda found: escaped(plain(found[1] or found[2])), markdown)
    )


def parts_of(markdown: str) -> list[RenderableType]:
    """Set Markdown for the terminal, displayed formulae on their own lines."""
    parts: list[RenderableType] = []
    for number, part in enumerate(markdown.split("$$")):
        if number % 2:
            parts.append(Padding(Text(plain(part)), (0, 6)))
        elif part.strip():
            parts.append(prose(part))
    return parts


def plain(formula: str) -> str:
    """Write a formula in LaTeX with signs of plain text."""
    text = setter().latex_to_text(formula)
    text = re.sub(r"(?<![_^])\{(\w+)\}", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()


@cache
def setter() -> Any:
    """What sets formulae in plain text, with what it lacks by itself."""
    from pylatexenc.latex2text import (
        LatexNodes2Text,
        MacroTextSpec,
        get_default_latex_context_db,
    )

    def side(node: Any, place: int, setter: Any) -> str:
        """Write a side of a fraction, in brackets where it needs some."""
        text = setter.node_arg_to_text(node, place).strip("{}")
        return (
            text
            if re.fullmatch(r"[\w√^]*(\([^()]*\))?", text)
            else (f"({text})")
        )

    def fraction(node: Any, l2tobj: Any) -> str:
        """Write a fraction."""
        return f"{side(node, 0, l2tobj)} / {side(node, 1, l2tobj)}"

    arrows = {
        "overrightarrow": "\u20d7",
        "overleftarrow": "\u20d6",
        "hat": "\u0302",
        "tilde": "\u0303",
        "bar": "\u0304",
    }
    known = get_default_latex_context_db()
    known.add_context_category(
        "regard",
        prepend=True,
        macros=[
            MacroTextSpec("frac", fraction),
            *(
                MacroTextSpec(name, f"%s{mark}")
                for name, mark in arrows.items()
            ),
        ],
    )
    return LatexNodes2Text(known, math_mode="text", keep_braced_groups=True)


def escaped(text: str) -> str:
    """Keep Markdown from reading marks into plain text."""
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)


def quoted(markdown: str) -> str:
    """Set Markdown as a quotation."""
    return "\n".join(f"> {line}" for line in markdown.splitlines())


def written(value: Cell) -> str:
    """Write a cell of a table."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def is_number(column: Sequence[Cell]) -> bool:
    """Say whether a column holds numbers, or what reads as such."""
    return all(
        re.fullmatch(r"[−+-]?[\d.,]+( ?%|e[+-]?\d+)?|", written(value))
        for value in column
    )


def numeric(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list:
    """Say of each column whether it holds numbers."""
    return [
        is_number([row[place] for row in rows])
        for place in range(len(headings))
    ]


def grid_of(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    """Set a table for the terminal."""
    grid = Table()
    for heading, right in zip(headings, numeric(headings, rows), strict=True):
        grid.add_column(
            Text(inline(heading)), justify="right" if right else "left"
        )
    for row in rows:
        grid.add_row(*(Text(inline(written(value))) for value in row))
    return grid


def shades_of(cells: Any, rows: Sequence[str], columns: Sequence[str]) -> Text:
    """Draw a matrix with letters of five shades."""
    shades, wide = " ░▒▓█", max(map(len, rows))
    high = float(cells.max()) or 1.0
    lines = [
        f"{name:>{wide}} "
        + "".join(shades[int(4.99 * value / high)] for value in row)
        for name, row in zip(rows, cells, strict=True)
    ]
    if max(map(len, columns)) == 1:
        lines.insert(0, " " * (wide + 1) + "".join(columns))
    return Text("\n".join(lines))


def inline(text: str) -> str:
    """Write the formulae and code of a cell as plain text."""
    return MATH.sub(lambda found: plain(found[1] or found[2]), text).replace(
        "`", ""
    )


def pipes_of(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Set a table in Markdown."""
    lines = [
        list(headings),
        ["---:" if right else "---" for right in numeric(headings, rows)],
        *(
            [
                written(value)
                .replace("|", "\\|")
                .replace("<", "\\<")
                .replace("\n", " ")
                for value in row
            ]
            for row in rows
        ),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def details_of(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Set a table in HTML which is opened when it is wanted."""
    right = numeric(headings, rows)
    head = "".join(
        f"<th>{html.escape(inline(name))}</th>" for name in headings
    )
    opened = [
        '<td class="number">' if is_right else "<td>" for is_right in right
    ]
    body = "".join(
        "<tr>"
        + "".join(
            f"{tag}{html.escape(inline(written(value)))}</td>"
            for tag, value in zip(opened, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        '<details class="numbers"><summary>The numbers</summary>'
        '<div class="table-wrapper"><table class="docutils">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        "</div></details>"
    )
