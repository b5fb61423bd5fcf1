"""Frozen configurations from the plain values of JSON and TOML, strictly."""

import dataclasses
from typing import Any

from regard.storage.names import did_you_mean


def configured(kind: type, values: dict[str, Any], place: str) -> Any:
    """A frozen configuration from plain values.

    Args:
        kind: a dataclass.
        values: by the names of its fields; a list stands for a tuple, and a whole number for a float.
        place: where the values stand, for errors: a file, or a file and its part, as `run.toml: plan`.

    Raises:
        ValueError: if a key is unknown (names the nearest), or a value is of another type than its field, or is not
            one which the configuration takes.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    fitting = {key: _fitting(fields, key, value, place) for key, value in values.items()}
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{place}: missing {', '.join(missing)}")
    try:
        return kind(**fitting)
    except ValueError as error:  # of values which do not go together
        name = place.rpartition(" ")[2]
        says_where = str(error).startswith(f"{name}.")  # as `plan.rate must be positive` in `run.toml: plan`
        raise ValueError(f"{place.removesuffix(name) if says_where else f'{place}: '}{error}") from error


def _fitting(fields: dict[str, dataclasses.Field], key: str, value: Any, place: str) -> Any:
    """A value of the type which its field has; a field without a default, or with None, takes any."""
    if key not in fields:
        hint = did_you_mean(key, fields) or f"; the keys are {', '.join(fields)}"
        raise ValueError(f"{place}: unknown key {key!r}{hint}")
    default = fields[key].default
    if isinstance(default, tuple) and isinstance(value, list):  # JSON and TOML know no tuples
        return tuple(value)
    if isinstance(default, float) and type(value) is int:
        return value
    if default is not dataclasses.MISSING and default is not None and type(value) is not type(default):
        wanted = "list" if isinstance(default, tuple) else type(default).__name__
        raise ValueError(f"{place}: {key} must be of type {wanted}, got {value!r} of type {type(value).__name__}")
    return value
