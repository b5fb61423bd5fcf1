"""What is said about a name which nobody knows."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where one of the known names is near, else nothing."""
    near = difflib.get_close_matches(name, list(known), 1, 0.4)
    return f"; did you mean {near[0]!r}?" if near else ""


def require(what: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a value which is not among the choices.

    Raises:
        ValueError: names the choices, and the nearest of them.
    """
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}, got {value!r}{did_you_mean(value, choices)}")
