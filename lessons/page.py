#!/usr/bin/env python3
"""What a lesson is told with: prose, claims, the library's lines, pictures.

A lesson runs in three ways, and what it tells is shown as each can show it:
as a program it prints to the terminal and writes its pictures into a folder,
in a notebook it displays them, and what a notebook displays holds the text of
a page of the site as well, which `publish.py` collects.

A number is told by who has it: `claim` and `question` take what must hold for
the sentence to be true, and a lesson whose sentence is false stops.
"""

import base64
import html
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from io import BytesIO
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from regard.visualise.maps import Example

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "lessons" / "data"  # texts of the lessons
PAGE = "text/x-myst"  # the kind of output which is text of a page
FOLDER = "REGARD_LESSON_FOLDER"  # where the pictures of a lesson go
Cell = str | int | float
MOST = 16  # rows of the numbers of a curve
WIDEST = 12  # columns of a matrix whose numbers are written into it

# Okabe and Ito's colours, which differ without colour vision too; each has a
# mark and a line of its own beside.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "x")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))

_console = Console(highlight=False)
_figures, _questions = count(1), count(1)
_MATH = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)


def begin(asked: str, first: str, second: str, third: str) -> None:
    """Open a lesson: its question, and the answer in three sentences."""
    lines = "\n\n".join((first, second, third))
    page = f"# {asked}\n\n:::{{admonition}} The answer\n{lines}\n:::"
    _show(
        [Markdown(f"# {asked}"), Padding(_prose(lines), (0, 2))],
        page,
        markdown=f"# {asked}\n\n{_quoted(lines)}",
    )


def tell(markdown: str) -> None:
    """Say something in Markdown, with formulae between dollar signs."""
    markdown = dedent(markdown).strip()
    _show(_parts(markdown), markdown)


def claim(markdown: str, holds: bool) -> None:
    """Say something which holds.

    Raises:
        AssertionError: if it does not.
    """
    if not holds:
        raise AssertionError(f"this does not hold: {markdown}")
    tell(markdown)


def question(asked: str, answer: str, holds: bool) -> None:
    """Ask what the reader can now answer, and answer it.

    Raises:
        AssertionError: if the answer does not hold.
    """
    if not holds:
        raise AssertionError(f"this answer does not hold: {answer}")
    answer = dedent(answer).strip()
    number = next(_questions)
    title = f"**Question {number}.** {asked}"
    if number == 1:
        tell("## Three questions")
    page = (
        f"{title}\n\n<details><summary>Answer</summary>\n\n"
        f"{answer}\n\n</details>"
    )
    _show([*_parts(title), Padding(_prose(answer), (0, 4))], page)


def source(*objects: Any) -> None:
    """Show the library's own lines of functions, classes and methods."""
    for item in map(inspect.unwrap, objects):
        lines, first = inspect.getsourcelines(item)
        path = Path(inspect.getsourcefile(item) or "").resolve()
        place = f"{path.relative_to(ROOT).as_posix()}, line {first}"
        code = dedent("".join(lines)).rstrip()
        page = (
            f"````{{code-block}} python\n:caption: {place}\n"
            f":lineno-start: {first}\n\n{code}\n````"
        )
        shown = Syntax(
            code, "python", line_numbers=True, start_line=first, word_wrap=True
        )
        _show(
            [Text(place, style="italic"), shown],
            page,
            markdown=f"*{place}*\n\n```python\n{code}\n```",
        )


def table(
    caption: str, headings: Sequence[str], rows: Iterable[Sequence[Cell]]
) -> None:
    """Show a table; numbers stand to the right, with four digits."""
    rows = [list(row) for row in rows]
    text = _pipes(headings, rows)
    page = f":::{{table}} {caption}\n{text}\n:::"
    _show(
        [_prose(caption), _grid(headings, rows)],
        page,
        markdown=f"*{caption}*\n\n{text}",
    )


def figure(
    drawn: "Figure",
    caption: str,
    alt: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[Cell]],
) -> None:
    """Show a figure, and the numbers which it is drawn from.

    Args:
        drawn: by Matplotlib.
        caption: what is to be seen.
        alt: what the picture shows, for who does not see it.
        headings: of the table of numbers.
        rows: of the table of numbers.
    """
    rows = [list(row) for row in rows]
    _picture(drawn, caption, alt, headings, rows, _grid(headings, rows))


def _picture(
    drawn: "Figure",
    caption: str,
    alt: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    in_terminal: RenderableType,
) -> None:
    """Show a figure, and what stands for it in a terminal."""
    from regard.storage.figures import save_figure

    alt = _inline(alt)
    name = f"figure-{next(_figures)}.svg"
    folder = _folder()
    if folder is not None:
        save_figure(drawn, folder / name)
    numbers, note = _details(headings, rows), html.escape(_inline(caption))
    page = (
        f":::{{figure}} {_local(name)}\n:alt: {alt}\n\n{caption}\n:::\n\n"
        f"{numbers}"
    )
    shown: list[RenderableType] = [_prose(caption), in_terminal]
    if folder is not None:
        shown.append(Text(f"drawn in {_short(folder / name)}", style="dim"))
    _show(
        shown,
        page,
        notebook=lambda: (
            f'<figure><img alt="{html.escape(alt)}" src="{_data(drawn)}">'
            f"<figcaption>{note}</figcaption></figure>{numbers}"
        ),
    )


def curves(
    caption: str,
    across: str,
    down: str,
    values: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    prepare: Callable[["Axes"], Any] | None = None,
) -> None:
    """Draw numbers which go together as lines, and show them as a table.

    Args:
        caption: what is to be seen.
        across: the name of the horizontal axis.
        down: the name of the vertical axis.
        values: along the horizontal axis.
        series: as many numbers for each line, by its name.
        prepare: is given the axes, to change their scales.
    """
    drawn, axes = sheet()
    looks = list(zip(COLOURS, MARKS, LINES, strict=True))[: len(series)]
    named = zip(series.items(), looks, strict=True)
    for (name, points), (colour, mark, line) in named:
        every = max(1, len(points) // 12)
        axes.plot(
            values,
            points,
            color=colour,
            marker=mark,
            linestyle=line,
            markevery=every,
            label=name,
        )
    axes.set(xlabel=across, ylabel=down)
    if prepare is not None:
        prepare(axes)
    if len(series) > 1:
        drawn.legend(
            loc="outside upper center",
            ncols=2 if max(map(len, series)) > 12 else len(series),
            frameon=False,
        )
    ends = "; ".join(
        f"{name} from {_cell(points[0])} to {_cell(points[-1])}"
        for name, points in series.items()
    )
    alt = f"{down} by {across}, lines: {ends}."
    rows = list(zip(values, *series.values(), strict=True))
    rows = rows[:: -(-len(rows) // MOST)]
    figure(drawn, caption, alt, [across, *series], rows)


def bars(
    caption: str,
    down: str,
    heights: Mapping[str, float],
    *,
    prepare: Callable[["Axes"], Any] | None = None,
) -> None:
    """Draw numbers as bars with their values, and show them as a table."""
    drawn, axes = sheet(height=0.7 + 0.42 * len(heights))
    names = list(heights)[::-1]
    drawn_bars = axes.barh(
        names, [heights[name] for name in names], color=COLOURS[0]
    )
    axes.bar_label(
        drawn_bars, [_cell(heights[name]) for name in names], padding=4
    )
    axes.set(xlabel=down)
    axes.margins(x=0.15)
    if prepare is not None:
        prepare(axes)
    alt = (
        f"Bars of {down}: "
        + "; ".join(
            f"{name} {_cell(height)}" for name, height in heights.items()
        )
        + "."
    )
    figure(drawn, caption, alt, ["", down], heights.items())


def heat(
    caption: str,
    matrix: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    form: str = ".2f",
    corner: str = "",
) -> None:
    """Draw a matrix as shades, with its numbers where there is room.

    Args:
        caption: what is to be seen.
        matrix: [rows, columns], of numbers from 0 on, or booleans.
        rows: their names.
        columns: their names.
        form: of a number.
        corner: what rows and columns are, such as "query, key".
    """
    import numpy as np

    from regard.visualise.figures import blues

    cells = np.asarray(matrix, dtype=float)
    high = float(cells.max()) or 1.0
    cell = 0.45 if cells.shape[1] <= WIDEST else 0.2
    drawn, axes = sheet(
        1.6 + cell * cells.shape[1], 0.9 + cell * cells.shape[0]
    )
    axes.imshow(
        cells,
        cmap=blues(),
        vmin=0,
        vmax=high,
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_xticks(
        range(len(columns)),
        columns,
        rotation=90 if max(map(len, columns)) > 4 else 0,
    )
    axes.set_yticks(range(len(rows)), rows)
    axes.spines[:].set_visible(False)
    axes.tick_params(
        length=0, top=True, labeltop=True, bottom=False, labelbottom=False
    )
    if cells.shape[1] <= WIDEST:
        for (i, j), value in np.ndenumerate(cells):
            axes.text(
                j,
                i,
                format(value, form),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if value > 0.65 * high else "black",
            )
    named = [
        [name, *(format(value, form) for value in row)]
        for name, row in zip(rows, cells, strict=True)
    ]
    strongest = "; ".join(
        f"{name}: {columns[int(row.argmax())]}"
        for name, row in list(zip(rows, cells, strict=True))[:24]
    )
    alt = f"A matrix of shades. The darkest of each row: {strongest}."
    headings = [corner, *columns]
    is_small = len(columns) <= WIDEST
    in_terminal = (
        _grid(headings, named) if is_small else _shades(cells, rows, columns)
    )
    _picture(drawn, caption, alt, headings, named, in_terminal)


def sheet(width: float = 6.4, height: float = 3.4) -> tuple["Figure", "Axes"]:
    """Make an empty figure of a size in inches, and its axes."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    axes = drawn.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return drawn, axes


def attention(caption: str, examples: "Iterable[Example]") -> None:
    """Show the interactive page of what a model attends to.

    Args:
        caption: what is to be seen.
        examples: such as `regard.visualise.view.pictures` gives.
    """
    from regard.visualise.picture import Picture

    picture = Picture(list(examples), caption)
    name = f"attention-{next(_figures)}.html"
    folder = _folder()
    shown = [Text(f"{caption}: ")]
    if folder is not None:
        picture.save(folder / name)
        shown.append(Text(f"  open {_short(folder / name)}", style="dim"))
    title, place = html.escape(caption), _local(name)
    page = (
        f'```{{raw}} html\n<figure class="attention"><iframe '
        f'title="{title}" src="{place}" sandbox="allow-scripts" '
        f'loading="lazy"></iframe><figcaption>{title} '
        f'(<a href="{place}">the page by itself</a>)</figcaption>'
        "</figure>\n```"
    )
    _show(shown, page, notebook=picture._repr_html_)


def _show(
    shown: Sequence[RenderableType],
    page: str,
    *,
    markdown: str | None = None,
    notebook: Callable[[], str] | None = None,
) -> None:
    """Show something as what the lesson runs in can show it.

    Args:
        shown: in a terminal.
        page: its text on a page of the site.
        markdown: in a notebook; the page's where left out.
        notebook: makes the HTML which a notebook shows instead.
    """
    if not _is_notebook():
        for part in shown:
            _console.print(part)
        _console.print()
        return
    from IPython.display import display

    bundle = {PAGE: page}
    if notebook is not None:
        bundle["text/html"] = notebook()
    else:
        bundle["text/markdown"] = page if markdown is None else markdown
    display(bundle, raw=True)


def _is_notebook() -> bool:
    """Say whether a kernel runs the lesson."""
    shell = sys.modules.get("IPython")
    return shell is not None and hasattr(shell.get_ipython(), "kernel")


def _folder() -> Path | None:
    """Where pictures go; nowhere from a notebook which nobody publishes."""
    if FOLDER in os.environ:
        folder = Path(os.environ[FOLDER])
    elif _is_notebook():
        return None
    else:
        folder = ROOT / "runs" / "lessons" / Path(sys.argv[0]).stem
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _local(name: str) -> str:
    """Where a page of the site finds a picture."""
    folder = _folder()
    return name if folder is None else f"{folder.name}/{name}"


def _short(path: Path) -> str:
    """Write a path from where the reader stands, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _prose(markdown: str) -> Markdown:
    """Set Markdown for the terminal, with its formulae as plain signs."""
    return Markdown(
        _MATH.sub(
            lambda found: _escaped(_plain(found[1] or found[2])), markdown
        )
    )


def _parts(markdown: str) -> list[RenderableType]:
    """Set Markdown for the terminal, displayed formulae on their own lines."""
    parts: list[RenderableType] = []
    for number, part in enumerate(markdown.split("$$")):
        if number % 2:
            parts.append(Padding(Text(_plain(part)), (0, 6)))
        elif part.strip():
            parts.append(_prose(part))
    return parts


def _plain(formula: str) -> str:
    """Write a formula in LaTeX with signs of plain text."""
    text = _setter().latex_to_text(formula)
    text = re.sub(r"(?<![_^])\{(\w+)\}", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()


@cache
def _setter() -> Any:
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


def _escaped(text: str) -> str:
    """Keep Markdown from reading marks into plain text."""
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)


def _quoted(markdown: str) -> str:
    """Set Markdown as a quotation."""
    return "\n".join(f"> {line}" for line in markdown.splitlines())


def _cell(value: Cell) -> str:
    """Write a cell of a table."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(column: Sequence[Cell]) -> bool:
    """Say whether a column holds numbers, or what reads as such."""
    return all(
        re.fullmatch(r"[−+-]?[\d.,]+( %|e[+-]?\d+)?|", _cell(value))
        for value in column
    )


def _columns(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list:
    """Say of each column whether it holds numbers."""
    return [
        _is_number([row[place] for row in rows])
        for place in range(len(headings))
    ]


def _grid(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    """Set a table for the terminal."""
    grid = Table()
    for heading, right in zip(headings, _columns(headings, rows), strict=True):
        grid.add_column(
            Text(_inline(heading)), justify="right" if right else "left"
        )
    for row in rows:
        grid.add_row(*(Text(_inline(_cell(value))) for value in row))
    return grid


def _shades(cells: Any, rows: Sequence[str], columns: Sequence[str]) -> Text:
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


def _inline(text: str) -> str:
    """Write the formulae and code of a cell as plain text."""
    return _MATH.sub(lambda found: _plain(found[1] or found[2]), text).replace(
        "`", ""
    )


def _pipes(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Set a table in Markdown."""
    lines = [
        list(headings),
        ["---:" if right else "---" for right in _columns(headings, rows)],
        *(
            [
                _cell(value)
                .replace("|", "\\|")
                .replace("<", "\\<")
                .replace("\n", " ")
                for value in row
            ]
            for row in rows
        ),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _details(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Set a table in HTML which is opened when it is wanted."""
    right = _columns(headings, rows)
    head = "".join(
        f"<th>{html.escape(_inline(name))}</th>" for name in headings
    )
    opened = [
        '<td class="number">' if is_right else "<td>" for is_right in right
    ]
    body = "".join(
        "<tr>"
        + "".join(
            f"{tag}{html.escape(_inline(_cell(value)))}</td>"
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


def _data(drawn: "Figure") -> str:
    """Write a figure as an address which holds it."""
    file = BytesIO()
    drawn.savefig(file, format="png", dpi=120)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode(
        "ascii"
    )
