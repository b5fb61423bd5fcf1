"""Pictures of attention: one interactive page, figures for print, a notebook's display."""

from regard.storage.figures import save_figure
from regard.visualise.figures import (
    alignment_figure,
    figure_of,
    heads_figure,
    links_figure,
    pattern_figure,
)
from regard.visualise.maps import AttentionMap, Example, Passage, Pattern
from regard.visualise.page import write_page
from regard.visualise.picture import Picture

__all__ = [
    "AttentionMap",
    "Example",
    "Passage",
    "Pattern",
    "Picture",
    "alignment_figure",
    "figure_of",
    "heads_figure",
    "links_figure",
    "pattern_figure",
    "save_figure",
    "write_page",
]
