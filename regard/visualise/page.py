"""One self-contained HTML page of attention, which opens from a disk and needs no network.

The page's text, style and script stand beside this module, as files which any editor knows, and are put into every page
written. Its content security policy allows that style and that script, by their hashes, and nothing else: no
other script runs and nothing is fetched, whatever the tokens are.
"""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from regard.storage.files import written_whole
from regard.visualise.content import content_of
from regard.visualise.maps import Example
from regard.visualise.markup import encodable

VIEWER = ("weights.js", "overview.js", "matrix.js", "links.js", "viewer.js")  # of one example


@dataclass(frozen=True)
class Frame:
    """A page without its contents; `$examples` parts what stands before them from what stands behind.

    Args:
        template: the file of the page's text.
        styles: files.
        scripts: files; the last one starts the page.
    """

    template: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]

    def before(self, title: str, **words: str) -> str:
        """The beginning, with the words of the template, which are HTML; the title is text."""
        words |= {"title": html.escape(encodable(title)), "style": self.style, "viewer": _asset("viewer.html")}
        hashes = {"style_hash": _hash(self.style), "script_hash": _hash(self.script)}
        return Template(self.parts[0]).substitute(words, **hashes)

    def after(self, **words: str) -> str:
        """The end."""
        return Template(self.parts[1]).substitute(words, script=self.script)

    @property
    def parts(self) -> list[str]:
        """Both sides of the template."""
        return _asset(self.template).split("$examples")

    @property
    def style(self) -> str:
        """The style sheet."""
        return "\n".join(map(_asset, self.styles))

    @property
    def script(self) -> str:
        """The script."""
        return "\n".join(map(_asset, self.scripts))


PAGE = Frame("page.html", ("page.css",), (*VIEWER, "page.js"))


def write_page(path: str | Path, examples: Iterable[Example], *, title: str = "Attention") -> None:
    """Write the page of `examples` to `path`; they are taken one by one, so they need not fit in memory together."""
    with written_whole(path) as file:
        file.writelines(page_parts(examples, title=title))


def page_parts(examples: Iterable[Example], *, title: str = "Attention") -> Iterator[str]:
    """The page's text, part by part.

    Raises:
        ValueError: if there is no example.
    """
    yield PAGE.before(title)
    titles = []
    for example in examples:
        titles.append(encodable(example.title))
        yield block_of(content_of(example))
    if not titles:
        raise ValueError("a page needs at least one example")
    yield PAGE.after(titles=_json(titles))


def block_of(content: dict) -> str:
    """An example's content as an element of the page."""
    return f'<script type="application/json" class="example">{_json(content)}</script>\n'


def _json(value: object) -> str:
    """JSON which cannot end the element it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    """A source of a content security policy: this text and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _asset(name: str) -> str:
    """A file beside this module."""
    return files("regard.visualise").joinpath(name).read_text(encoding="utf-8")
