"""Pictures of attention: one interactive page, figures for print, a notebook's display; and the report of a run."""

from regard.storage.figures import save_figure
from regard.visualise.figures import (
    alignment_figure,
    figure_of,
    heads_figure,
    links_figure,
    pattern_figure,
)
from regard.visualise.maps import AttentionMap, Chances, Example, Passage, Pattern
from regard.visualise.page import write_page
from regard.visualise.picture import Picture
from regard.visualise.report import Report, write_report

__all__ = [
    "AttentionMap",
    "Chances",
    "Example",
    "Passage",
    "Pattern",
    "Picture",
    "Report",
    "alignment_figure",
    "figure_of",
    "heads_figure",
    "links_figure",
    "pattern_figure",
    "save_figure",
    "write_page",
    "write_report",
]
