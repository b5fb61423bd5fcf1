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
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.syntax import Syntax
from rich.text import Text

from typesetting import (
    Cell,
    details_of,
    grid_of,
    inline,
    parts_of,
    pipes_of,
    prose,
    quoted,
    shades_of,
    written,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from regard.visualise.maps import Example

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "lessons" / "data"  # texts of the lessons
PAGE = "text/x-myst"  # the kind of output which is text of a page
FOLDER = "REGARD_LESSON_FOLDER"  # where the pictures of a lesson go
MOST = 16  # rows of the numbers of a curve
WIDEST = 12  # columns of a matrix whose numbers are written into it

# Okabe and Ito's colours, which differ without colour vision too; each has a
# mark and a line of its own beside.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "x")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))

_console = Console(highlight=False)
_figures, _questions = count(1), count(1)


def begin(asked: str, first: str, second: str, third: str) -> None:
    """Open a lesson: its question, and the answer in three sentences."""
    lines = "\n\n".join((first, second, third))
    page = f"# {asked}\n\n:::{{admonition}} The answer\n{lines}\n:::"
    _show(
        [Markdown(f"# {asked}"), Padding(prose(lines), (0, 2))],
        page,
        markdown=f"# {asked}\n\n{quoted(lines)}",
    )


def tell(markdown: str) -> None:
    """Say something in Markdown, with formulae between dollar signs."""
    markdown = dedent(markdown).strip()
    _show(parts_of(markdown), markdown)


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
    _show([*parts_of(title), Padding(prose(answer), (0, 4))], page)


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
    text = pipes_of(headings, rows)
    page = f":::{{table}} {caption}\n{text}\n:::"
    _show(
        [prose(caption), grid_of(headings, rows)],
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
    _picture(drawn, caption, alt, headings, rows, grid_of(headings, rows))


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

    alt = inline(alt)
    name = f"figure-{next(_figures)}.svg"
    folder = _folder()
    if folder is not None:
        save_figure(drawn, folder / name)
    numbers, note = details_of(headings, rows), html.escape(inline(caption))
    page = (
        f":::{{figure}} {_local(name)}\n:alt: {alt}\n\n{caption}\n:::\n\n"
        f"{numbers}"
    )
    shown: list[RenderableType] = [prose(caption), in_terminal]
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
        f"{name} from {written(points[0])} to {written(points[-1])}"
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
        drawn_bars, [written(heights[name]) for name in names], padding=4
    )
    axes.set(xlabel=down)
    axes.margins(x=0.15)
    if prepare is not None:
        prepare(axes)
    alt = (
        f"Bars of {down}: "
        + "; ".join(
            f"{name} {written(height)}" for name, height in heights.items()
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
        grid_of(headings, named)
        if is_small
        else shades_of(cells, rows, columns)
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


def _data(drawn: "Figure") -> str:
    """Write a figure as an address which holds it."""
    file = BytesIO()
    drawn.savefig(file, format="png", dpi=120)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode(
        "ascii"
    )
