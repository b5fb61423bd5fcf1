"""Numbers of a configuration, and what they may be."""

import dataclasses
from typing import Any


def require_sizes(config: Any, **least: int | None) -> None:
    """Refuse a configuration with whole numbers below 1, or rates of dropout outside of [0, 1).

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


def require_rate(name: str, value: float) -> None:
    """Refuse a rate of dropout which drops all, or less than nothing.

    Raises:
        ValueError: names it.
    """
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must lie in [0, 1), got {value}")
