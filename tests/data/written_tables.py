"""Tables as Python's own module writes them."""

import csv
import io


def csv_text(rows, dialect="excel", **how):
    """A table as Python's module writes it."""
    text = io.StringIO()
    csv.writer(text, dialect, **how).writerows(rows)
    return text.getvalue()
