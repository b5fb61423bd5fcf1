"""Numbers of a configuration, and what they may be."""

import dataclasses
from typing import Any


def require_sizes(config: Any, **least: int | None) -> None:
    """Refuse a configuration with whole numbers below 1, rates of dropout outside of [0, 1), or heads of no even width.

    What is which, the defaults of its fields say: a whole number may stand for a rate.

    Args:
        config: a dataclass.
        least: by field, what a number must be at least where that is not 1; None where it may be any.

    Raises:
        ValueError: names the field.
    """
    for field in dataclasses.fields(config):
        name, value, lowest = field.name, getattr(config, field.name), least.get(field.name, 1)
        if isinstance(field.default, float):
            require_rate(name, value)
        elif type(field.default) is int and lowest is not None and value < lowest:
            raise ValueError(f"{name} must be {lowest} or more, got {value}")
    if hasattr(config, "heads"):
        require_heads(config.heads, width=config.width, key_width=getattr(config, "key_width", 0) or config.width)


def require_heads(heads: int, **widths: int) -> None:
    """Refuse heads which do not share out each of these widths evenly.

    Raises:
        ValueError: names the width.
    """
    for name, value in widths.items():
        if heads < 1 or value < heads or value % heads:
            raise ValueError(f"{name} must be a multiple of heads, got {name}={value} and heads={heads}")


def require_rate(name: str, value: float) -> None:
    """Refuse a rate of dropout which drops all, or less than nothing.

    Raises:
        ValueError: names it.
    """
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must lie in [0, 1), got {value}")
