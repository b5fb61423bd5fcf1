"""regard: the lineage of attention, each system as its paper has it."""

__version__ = "0.1.0"
