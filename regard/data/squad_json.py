"""JSON whose form is checked: every mistake names the file and the path inside it, `dev.json: data[3].title: ...`.

A place is `file: ` at the top of a file, and `file: data[3]` below.
"""

import json
from pathlib import Path
from typing import Any, TypeVar, cast

from regard.data.lines import UNREADABLE, opened

_KINDS = {
    str: "text",
    list: "a list",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
}

Value = TypeVar("Value")


def read_json(path: str | Path) -> object:
    """What a JSON file holds, which may be compressed.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not JSON, or names something twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with opened(path) as file:
            return json.load(file, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: this is not JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: this is not JSON ({error})") from error
    except UNREADABLE as error:
        raise ValueError(f"{path}: the file cannot be read ({error})") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, each name of which is given once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in names if names.count(name) > 1)!r} is given twice")
    return found


def items(value: object, name: str, place: str) -> list[tuple[object, str]]:
    """The items of a list in an object, each with its place."""
    items = entry(value, name, list, place)
    return [(item, f"{_joined(place, name)}[{number}]") for number, item in enumerate(items)]


def has(value: object, name: str, place: str) -> bool:
    """Whether an object has an entry.

    Raises:
        ValueError: if it is not an object.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{place.removesuffix(': ')}: must be an object, got {_kind(value)}")
    return name in value


def entry(value: object, name: str, kind: type[Value], place: str) -> Value:
    """An entry of an object, which is of this kind.

    Raises:
        ValueError: if there is none, or it is of another kind, or is text which cannot be written as UTF-8.
    """
    if not has(value, name, place):
        there = ", ".join(map(repr, value)) if isinstance(value, dict) and value else "nothing"
        raise ValueError(f"{place.removesuffix(': ')}: no {name!r}; there is {there}")
    assert isinstance(value, dict)
    return checked(value[name], kind, _joined(place, name))


def checked(value: object, kind: type[Value], place: str) -> Value:
    """A value which is of this kind; a whole number is a number too, true and false are none.

    Raises:
        ValueError: if it is of another kind, or is not a number, or is text which cannot be written as UTF-8.
    """
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool) or value != value:
        raise ValueError(f"{place}: must be {_KINDS[kind]}, got {_kind(value)}")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{place}: character {error.start + 1} is half of a surrogate pair") from error
    return cast(Value, value)


def _kind(value: object) -> str:
    """What a value of JSON is called."""
    if value != value:
        return "nan"
    return "nothing" if value is None else _KINDS.get(type(value), f"a {type(value).__name__}")


def _joined(place: str, name: str) -> str:
    """The place of an entry: `file: data` at the top, `file: data[0].title` below."""
    return f"{place}{name}" if place.endswith(": ") else f"{place}.{name}"
