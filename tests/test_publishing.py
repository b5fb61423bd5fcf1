"""A lesson becomes a notebook and a page, and the site of pages and documents has no link without an end."""

import re
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("jupytext", reason="needs regard[lessons]")
HOME = Path(__file__).parent.parent / "lessons"

LESSON = '''#!/usr/bin/env python3
"""A lesson of one of everything."""

from regard.attention.masks import causal
from regard.visualise import AttentionMap, Example

from page import attention, begin, claim, curves, heat, question, source, table, tell

# %%
begin("What is this?", "It is small.", "It is whole.", "It is shown.")

# %%
total = sum(range(5))
print("computed")

# %%
tell(r"See [the first](01_attention.py): $\\sqrt{d_k}$ and $$\\frac{a}{b}$$")
claim(f"The sum is {total}.", total == 10)
source(causal)
table("A table.", ["name", "number"], [["sum", total]])
curves("A curve.", "x", "y", [1, 2], {"one": [1.0, 2.0]})
heat("A matrix.", [[0.0, 1.0]], ["row"], ["a", "b"])
attention("Attention", [Example("it", [AttentionMap("map", [[1.0]], ["q"], ["k"])])])
question("Is that all?", f"Yes, {total}.", total == 10)
'''


class Links(HTMLParser):
    """Addresses which a page leads to or shows, and the places in it."""

    def __init__(self):
        super().__init__()
        self.addresses: list[str] = []
        self.places: set[str] = set()
        self.untitled: list[str] = []

    def handle_starttag(self, tag, attributes):
        """Note what a tag leads to."""
        values = dict(attributes)
        self.places.update(filter(None, (values.get("id"), values.get("name"))))
        self.addresses += [value for name in ("href", "src") if (value := values.get(name))]
        if (tag == "img" and not values.get("alt")) or (tag == "iframe" and not values.get("title")):
            self.untitled.append(tag)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A lesson's page as text, and the site with it and all documents."""
    place = tmp_path_factory.mktemp("site")
    sys.path.insert(0, str(HOME))
    try:
        publish = import_module("publish")
    finally:
        sys.path.remove(str(HOME))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "BUILD", place)
        for lesson in publish.lessons():
            page = place / "pages" / "lessons" / f"{lesson.stem}.md"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(f"# {lesson.stem}\n")
        lesson = place / "01_attention.py"  # stands for the one of that name
        lesson.write_text(LESSON)
        publish.publish(lesson)
        publish.stage()
        assert publish.build() == 0
    return place


def test_a_page_shows_what_was_told_and_what_was_computed(site):
    page = (site / "pages" / "lessons" / "01_attention.md").read_text()
    assert page.startswith("# What is this?")
    assert "The sum is 10." in page
    assert "total = sum(range(5))" in page
    assert "computed" in page
    assert "claim(" not in page
    assert "regard/attention/masks.py, line" in page


def test_a_notebook_holds_what_came_out(site):
    import nbformat

    notebook = nbformat.read(site / "01_attention.ipynb", 4)
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("The sum is 10." in output.get("data", {}).get("text/markdown", "") for output in shown)
    assert any("data:image/png" in output.get("data", {}).get("text/html", "") for output in shown)


def test_formulae_need_no_script(site):
    page = (site / "site" / "lessons" / "01_attention.html").read_text()
    assert "<msqrt>" in page
    assert "<mfrac>" in page
    assert not re.search(r"<script[^>]*https?:", page)


def test_every_link_of_the_site_leads_somewhere(site):
    root = site / "site"
    found = {}
    for path in root.rglob("*.html"):
        found[path.resolve()] = links = Links()
        links.feed(path.read_text(encoding="utf-8"))
    assert len(found) > 10
    for path, links in found.items():
        assert not links.untitled, f"{path.name}: a picture or a frame without words"
        for address in links.addresses:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                assert not re.search(r"\.(js|css)$", parts.path), f"{path.name} fetches {address}"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name} leads to {address}, which is not there"
            if parts.fragment and target in found:
                places = found[target].places
                assert unquote(parts.fragment) in places, f"{path.name} leads to {address}, which is no place there"
