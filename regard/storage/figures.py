"""Matplotlib figures in files. Matplotlib is imported when the first one is saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regard.storage.files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What a file says of its making is left out, so that the same figure gives the same bytes.
_UNDATED = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def require_figure(path: str | Path) -> str:
    """The suffix of a file for a figure, before what it shows is computed.

    Raises:
        ValueError: if no figure is saved as that.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _UNDATED:
        raise ValueError(f"{path}: a figure is saved as {', '.join(_UNDATED)}, got {suffix or 'no suffix'!r}")
    return suffix


def save_figure(figure: Figure, path: str | Path, *, dots_per_inch: int = 200) -> None:
    """Write a figure as PNG, SVG or PDF, as the suffix says; the same figure gives the same bytes.

    Raises:
        ValueError: if the suffix is none of these.
    """
    from matplotlib import rc_context

    suffix = require_figure(path)
    trimmed = {"bbox_inches": "tight", "pad_inches": 0.08}
    with rc_context({"svg.hashsalt": "regard"}), written_whole(path, "wb") as file:
        figure.savefig(file, format=suffix[1:], dpi=dots_per_inch, metadata=_UNDATED[suffix], **trimmed)
