"""A page of attention as one object, which a notebook shows by itself."""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from regard.storage.figures import save_figure
from regard.visualise.figures import figure_of
from regard.visualise.maps import Example
from regard.visualise.page import page_parts, write_page


class Picture:
    """Examples to look at: shown by a notebook as the interactive page, saved as a page or a figure.

    Args:
        examples: one, or several.
        title: of the page.
        height: of the frame in a notebook, in CSS pixels.

    Raises:
        ValueError: if there is no example.
    """

    def __init__(self, examples: Example | Iterable[Example], title: str = "Attention", *, height: int = 820):
        self.examples: Sequence[Example] = [examples] if isinstance(examples, Example) else list(examples)
        self.title = title
        self.height = height
        if not self.examples:
            raise ValueError("a picture needs at least one example")

    def _repr_html_(self) -> str:
        """The page in a frame of its own, where its script can reach nothing of the notebook."""
        page = html.escape("".join(page_parts(self.examples, title=self.title)))
        style = f"width: 100%; height: {self.height}px; border: 0"
        name = html.escape(self.title)
        return f'<iframe title="{name}" sandbox="allow-scripts" style="{style}" srcdoc="{page}"></iframe>'

    def save(self, path: str | Path) -> None:
        """Write a page (.html), or a figure of the only example (.png, .svg).

        Raises:
            ValueError: if the suffix is another, or a figure is asked for of several examples.
        """
        if Path(path).suffix.lower() == ".html":
            write_page(path, self.examples, title=self.title)
            return
        if len(self.examples) > 1:
            raise ValueError(
                f"a figure shows one example, got {len(self.examples)}; save a page (.html), or Picture(examples[0])"
            )
        save_figure(figure_of(self.examples[0]), path)
