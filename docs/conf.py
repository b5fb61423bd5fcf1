"""How Sphinx builds the site of what `lessons/publish.py` lays out for it."""

from typing import Any

from latex2mathml.converter import convert

project = "regard"
html_title = "regard"
language = "en"
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_dmath_allow_space = False
myst_dmath_allow_digits = False
myst_heading_anchors = 3
html_theme = "furo"
html_static_path = ["site"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_math_renderer = "mathml"


def setup(app: Any) -> None:
    """Set formulae in MathML, which browsers read by themselves: nothing is fetched, and a screen reader speaks it."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))


def _inline(translator: Any, node: Any) -> None:
    """A formula in a sentence."""
    _set(translator, convert(node.astext()))


def _display(translator: Any, node: Any) -> None:
    """A formula on a line of its own."""
    _set(translator, f'<div class="formula">{convert(node.astext(), display="block")}</div>')


def _set(translator: Any, markup: str) -> None:
    """Put markup in place of a node."""
    from docutils.nodes import SkipNode

    translator.body.append(markup)
    raise SkipNode
