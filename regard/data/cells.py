"""What the cells of a row say: its label, its options, and which of these is right; or what is wrong with them.

Labels come as they are written, but for spaces at their ends: text stays text, a number of JSON or Parquet is a float
(whole ones beyond 2^53 stay text), true and false are the classes of these names. An empty cell, null and not-a-number
are no label.
"""

import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from regard.data.rows import Unusable, text_of
from regard.data.sources import advised

WHOLE = 1 << 53  # whole numbers up to here are floats without loss


def label_of(value: object, column: str, place: str) -> str | float | Unusable:
    """A label, or what is wrong with it."""
    if isinstance(value, str):
        text = text_of(value.strip(), column, place)
        return text or Unusable("without a label", place, f"column {column!r} is empty")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Unusable("without a label", place, f"column {column!r} is empty")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return float(value) if abs(value) <= WHOLE else str(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    what = (
        f"column {column!r} must be text or a number, got {value if isinstance(value, float) else type(value).__name__}"
    )
    return Unusable("with a label which is neither text nor a number", place, what)


def options_of(values: Sequence[Any], columns: Sequence[str], place: str) -> tuple[str, ...] | Unusable:
    """The options of a multiple choice, or what is wrong with them; empty ones after the last are none."""
    if len(columns) == 1:
        values = values[0]
        if isinstance(values, str):
            with suppress(ValueError, RecursionError):
                values = json.loads(values)
        if not isinstance(values, list):
            what = f"column {columns[0]!r} must be a list of texts, got {type(values).__name__}"
            return Unusable("without options", place, what)
        columns = [columns[0]] * len(values)
    options = list(values)
    while options and (options[-1] is None or (isinstance(options[-1], str) and not options[-1].strip())):
        options.pop()
    for option, column in zip(options, columns, strict=False):
        text = text_of(option, column, place)
        if isinstance(text, Unusable):
            return text
        if not text.strip():
            return Unusable("with an empty option", place, f"column {column!r} is empty, though options follow")
    if len(options) < 2:
        return Unusable("without options", place, f"a choice has two options or more, the row has {len(options)}")
    return tuple(options)


def answer_of(label: str | float, options: Sequence[str], first: int) -> int | str:
    """Which option a label calls right, counted from 0, or what is wrong with it.

    A number calls an option by its position. What is written as text, digits too, is first held against the texts of
    the options: where these are numbers, "2" is the option which says so, not the one of that number.
    """
    if isinstance(label, str):
        alike = [number for number, option in enumerate(options) if option.strip() == label]
        if len(alike) == 1:
            return alike[0]
        if alike:
            return f"answer {label!r} is the text of {len(alike)} of {len(options)} options, which must differ"
        if not re.fullmatch(r"\d+(\.0+)?", label, re.ASCII):
            letter = ord(label.upper()) - ord("A") if len(label) == 1 else -1
            if 0 <= letter < len(options):
                return letter
            return (
                f"answer {label!r} is neither the number nor the letter nor the text of one of {len(options)} options"
            )
    number = float(label) - first
    if number.is_integer() and 0 <= number < len(options):
        return int(number)
    hint = (
        f"; if labels count from 1, set {advised('first_option', 1)}" if first == 0 and number == len(options) else ""
    )
    return f"answer {label} is none of {len(options)} options, which count from {first}{hint}"
