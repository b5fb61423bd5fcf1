#!/usr/bin/env python3
"""Make notebooks of the lessons, run them, and build the site.

    lessons/publish.py          # all lessons, and the site in build/site
    lessons/publish.py 03 04    # run these anew, keep the others' pages

A lesson is read as a notebook and run by a kernel, so that what stands on its
page is what came out. Cells which only tell are left out of the page, which
has what they told; cells which compute stand on it with what they gave.
"""

import ast
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import jupytext
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode, write

from page import FOLDER, PAGE

HOME = Path(__file__).resolve().parent
ROOT = HOME.parent
BUILD = ROOT / "build"  # the site is in `site`, its text in `pages`
LONGEST = 600  # seconds of a cell
LONG = 16  # lines of a cell which stand open on a page
TELLING = {
    "attention",
    "bars",
    "begin",
    "claim",
    "curves",
    "figure",
    "heat",
    "question",
    "source",
    "table",
    "tell",
}
DOCUMENTS = (
    "docs/*.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/RESULTS.md",
)


def lessons() -> list[Path]:
    """Find the lessons, in their order."""
    return sorted(HOME.glob("[0-9][0-9]_*.py"))


def is_telling(code: str) -> bool:
    """Say whether a cell holds nothing but what it tells."""
    return all(
        isinstance(line, ast.Expr)
        and isinstance(line.value, ast.Call)
        and isinstance(line.value.func, ast.Name)
        and line.value.func.id in TELLING
        for line in ast.parse(code).body
    )


def is_opening(code: str) -> bool:
    """Say whether a cell holds nothing but a docstring and imports."""
    return all(
        isinstance(line, ast.Import | ast.ImportFrom)
        or (
            isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
        )
        for line in ast.parse(code).body
    )


def notebook_of(path: Path) -> NotebookNode:
    """Read a lesson as a notebook, whose telling cells hide their code."""
    notebook = jupytext.read(path)
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(
            name="python3", display_name="Python 3", language="python"
        )
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = NotebookNode()
        if cell.cell_type == "code" and is_telling(cell.source):
            cell.metadata.jupyter = NotebookNode(source_hidden=True)
    return notebook


def run(notebook: NotebookNode, folder: Path) -> None:
    """Run a notebook; its pictures go into a folder.

    Raises:
        CellExecutionError: if a cell fails, as when a claim does not hold.
    """
    with TemporaryDirectory() as sockets:
        kernel = AsyncKernelManager(
            kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel"
        )
        client = NotebookClient(
            notebook,
            km=kernel,
            timeout=LONGEST,
            resources={"metadata": {"path": str(HOME)}},
            record_timing=False,
        )
        client.owns_km = True  # so that the kernel ends with the lesson
        client.execute(env={**os.environ, FOLDER: str(folder)})


def page_of(notebook: NotebookNode, name: str) -> str:
    """Write the page of a notebook which was run."""
    parts: list[str] = []
    opening: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        code = cell.source.strip()
        if is_opening(code):
            opening.append(code)
        elif not is_telling(code):
            parts.append(computing(code))
        parts.extend(told(cell))
    parts.append(
        "---\n\nThis lesson is a program, "
        f"{{download}}`{name}.py <{name}.py>`, and a notebook, "
        f"{{download}}`{name}.ipynb <{name}.ipynb>`.\n\n"
        + folded("What it imports", "\n\n".join(opening))
    )
    text = "\n\n".join(parts) + "\n"
    return re.sub(r"\]\((\d\d_\w+)\.py\)", r"](\1.md)", text)


def computing(code: str) -> str:
    """Show the lines of a cell, behind a word where they are many."""
    lines = code.count("\n") + 1
    if lines > LONG:
        return folded(f"How it is computed, {lines} lines", code)
    return f"```python\n{code}\n```"


def folded(word: str, code: str) -> str:
    """Show lines behind a word."""
    return (
        f'<details class="code"><summary>{word}</summary>\n\n'
        f"```python\n{code}\n```\n\n</details>"
    )


def told(cell: NotebookNode) -> Iterator[str]:
    """Write what a cell gave, part by part."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield f"```text\n{output.text.rstrip()}\n```"
        elif PAGE in output.data:
            yield output.data[PAGE]
        elif "text/plain" in output.data:
            yield f"```text\n{output.data['text/plain']}\n```"


def publish(path: Path) -> None:
    """Make the notebook and the page of a lesson."""
    started, name = monotonic(), path.stem
    folder = BUILD / "pages" / "lessons" / name
    drawn = BUILD / "running" / name  # pictures, until all are there
    shutil.rmtree(drawn, ignore_errors=True)
    drawn.mkdir(parents=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    notebook = notebook_of(path)
    run(notebook, drawn)
    shutil.rmtree(folder, ignore_errors=True)
    drawn.rename(folder)
    write(notebook, path.with_suffix(".ipynb"))
    shutil.copy(path, folder.parent)
    shutil.copy(path.with_suffix(".ipynb"), folder.parent)
    page = page_of(notebook, name)
    (folder.parent / f"{name}.md").write_text(page, encoding="utf-8")
    print(f"{name}: {monotonic() - started:.0f} s", flush=True)


def stage() -> None:
    """Lay the documents beside the lessons' pages, as the repository has them.

    Links between them stay as they are; those to a lesson lead to its page.
    """
    documents = [
        path for pattern in DOCUMENTS for path in sorted(ROOT.glob(pattern))
    ]
    others = [
        path.relative_to(ROOT).with_suffix("").as_posix()
        for path in documents
        if path.stem != "lessons"
    ]
    told = [
        f"lessons/{path.stem}"
        for path in lessons()
        if (BUILD / "pages" / "lessons" / f"{path.stem}.md").is_file()
    ]
    for path in documents:
        lay(path, path.relative_to(ROOT))
    lay(ROOT / "README.md", Path("index.md"))
    with (BUILD / "pages" / "index.md").open("a", encoding="utf-8") as index:
        index.write(contents("Lessons", ["docs/lessons", *told]))
        index.write(contents("Documents", others))


def lay(document: Path, place: Path) -> None:
    """Put a document on its place, and the files which it leads to."""
    text = document.read_text(encoding="utf-8")
    text = re.sub(r"(lessons/\d\d_\w+)\.py\)", r"\1.md)", text)
    pages = BUILD / "pages"
    (pages / place).parent.mkdir(parents=True, exist_ok=True)
    (pages / place).write_text(text, encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        file = (document.parent / link).resolve()
        if file.is_file() and file.suffix != ".md":
            copy = pages / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)


def contents(caption: str, names: list[str]) -> str:
    """Write a list of pages for the site's side."""
    lines = "\n".join(names)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


def build() -> int:
    """Build the site of what is staged; a link without an end is an error."""
    from sphinx.cmd.build import main

    options = ["-q", "-n", "-W", "--keep-going", "-c", str(ROOT / "docs")]
    places = [BUILD / name for name in ("doctrees", "pages", "site")]
    status = main([*options, "-d", *map(str, places)])
    *_, pages, site = places
    for frame in pages.glob("lessons/*/*.html"):  # which Sphinx does not know
        copy = site / frame.relative_to(pages)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(frame, copy)
    return status


def chosen(names: list[str]) -> list[Path]:
    """Find the lessons whose names begin so; all of them for no name.

    Raises:
        SystemExit: if there is none of a name.
    """
    for name in names:
        if not any(path.stem.startswith(name) for path in lessons()):
            known = ", ".join(path.stem for path in lessons())
            raise SystemExit(f"no lesson {name!r}; there are {known}")
    return [
        path
        for path in lessons()
        if not names or path.stem.startswith(tuple(names))
    ]


def main() -> int:
    """Run the lessons which are asked for, and build the site."""
    for path in chosen(sys.argv[1:]):
        publish(path)
    stage()
    return build()


if __name__ == "__main__":
    sys.exit(main())
