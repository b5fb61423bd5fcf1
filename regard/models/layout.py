"""How another library writes one kind of model: its names of configurations and of tensors, as a table.

A layout is applied strictly: what its table does not name is an error, not a guess.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

Allowed = Callable[[Mapping[str, Any]], tuple]


class Form(NamedTuple):
    """How a tensor of theirs lies there and here; both ways are given the number of heads."""

    read: Callable[[Tensor, int], Tensor]
    write: Callable[[Tensor, int], Tensor]


AS_IS = Form(lambda tensor, _: tensor, lambda tensor, _: tensor)
TURNED = Form(*2 * [lambda tensor, _: tensor.T.contiguous() if tensor.ndim == 2 else tensor])  # inputs as rows
Row = tuple[str | tuple[str, ...], str, Form]


def weight_and_bias(theirs: str, ours: str, form: Form = AS_IS) -> list[Row]:
    """The rows of a layer's weight and bias."""
    return [(f"{theirs}.weight", f"{ours}.weight", form), (f"{theirs}.bias", f"{ours}.bias", AS_IS)]


def only(*values: Any) -> Allowed:
    """These values, whatever else a configuration says."""
    return lambda _: values


@dataclass(frozen=True)
class Layout:
    """How Transformers writes one kind of model.

    Args:
        model_type: its name of the kind.
        architecture: its class with a language model's head.
        fields: its names of our configuration's fields; a field may have several, which must then agree.
        fixed: what else decides how it computes: the values which this library computes, the usual one first, from all
            of config.json.
        told: what decides nothing here, and is left aside.
        tensors: rows of its name, our name, and how it lies there; `{}` is a layer's number. Several of its names are
            parts of ours, one under the other. Where a tensor of ours is in two rows, it is written by the first.
        prefix: before its names of tensors, but for those of `head`; files without it are read too.
        head: how names begin which never have the prefix.
        spelled: its values of fields which it spells in words, and ours; the usual one first.
        buffers: its names of what is no parameter.
    """

    model_type: str
    architecture: str
    fields: dict[str, str]
    fixed: dict[str, Allowed]
    told: frozenset[str]
    tensors: list[Row]
    prefix: str
    head: str | tuple[str, ...]
    spelled: dict[str, dict[str, str]] = field(default_factory=dict)
    buffers: tuple[str, ...] = ()

    def read_config(self, about: Mapping[str, Any], place: str) -> dict[str, Any]:
        """Our configuration's values from its config.json.

        Raises:
            ValueError: if something in it asks for what this library does not compute; names it.
        """
        values: dict[str, Any] = {}
        for key, value in about.items():
            if key in self.fields:
                own, value = self.fields[key], self._ours(key, value, place)
                if values.setdefault(own, value) != value:
                    names = " and ".join(name for name in self.fields if self.fields[name] == own and name in about)
                    raise ValueError(f"{place}: {names} differ, but are one value here ({own}); set them equal")
            elif key in self.fixed:
                allowed = self.fixed[key](about)
                if value not in allowed:
                    raise ValueError(f"{place}: {key} is {value!r}, but only {allowed[0]!r} is computed here")
            elif key not in self.told:
                raise ValueError(f"{place}: {key}={value!r} is not known for {self.model_type}; remove it if it may be")
        return values

    def write_config(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Its config.json of our configuration.

        Raises:
            ValueError: if it has no word for a value of ours.
        """
        about: dict[str, Any] = {"architectures": [self.architecture], "model_type": self.model_type}
        about |= {theirs: self._theirs(theirs, values[ours]) for theirs, ours in self.fields.items()}
        return about | {key: allowed(about)[0] for key, allowed in self.fixed.items()}

    def _ours(self, key: str, value: Any, place: str) -> Any:
        """Our word for a value of theirs."""
        words = self.spelled.get(key)
        if words is None:
            return value
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"{place}: {key} is {value!r}, but only {', '.join(words)} are computed here")
        return words[value]

    def _theirs(self, key: str, value: Any) -> Any:
        """Their word for a value of ours."""
        words = self.spelled.get(key)
        if words is None:
            return value
        for theirs, ours in words.items():
            if ours == value:
                return theirs
        raise ValueError(f"a directory of {self.model_type} has no word for {self.fields[key]}={value!r}")

    def read_tensors(self, tensors: Mapping[str, Tensor], place: str, heads: int = 0) -> dict[str, Tensor]:
        """Our tensors by our names; those which no row names keep theirs, so that filling a model lists them.

        Args:
            heads: of an attention, for tensors which lie apart by heads.

        Raises:
            ValueError: if a tensor is there twice, with and without the prefix or with two values.
        """
        found: dict[str, Tensor] = {}
        names: dict[str, str] = {}  # by those without the prefix
        for name in tensors:
            plain = name.removeprefix(self.prefix)
            if plain in names:
                raise ValueError(f"{place}: {plain} is there twice, with and without {self.prefix!r}")
            names[plain] = name
        for theirs, ours, form in self.tensors:
            patterns = (theirs,) if isinstance(theirs, str) else theirs
            for numbers in matches(patterns[0], names):
                parts, own = [pattern.format(*numbers) for pattern in patterns], ours.format(*numbers)
                pieces = [form.read(tensors[names[part]], heads) for part in parts if part in names]
                if len(pieces) < len(parts) or len({piece.shape for piece in pieces}) > 1:
                    continue
                whole = torch.cat([torch.atleast_1d(piece) for piece in pieces]) if len(pieces) > 1 else pieces[0]
                if own in found and not is_same(found[own], whole):
                    raise ValueError(f"{place}: {' and '.join(parts)} has other values under another of its names")
                found[own] = whole
                for part in parts:
                    del names[part]
        for pattern in self.buffers:
            for numbers in matches(pattern, names):
                del names[pattern.format(*numbers)]
        return found | {name: tensors[name] for name in names.values()}

    def write_tensors(self, tensors: Mapping[str, Tensor], heads: int = 0) -> dict[str, Tensor]:
        """Its tensors by its names."""
        written = {}
        for name, tensor in tensors.items():
            for theirs, ours, form in self.tensors:
                if (numbers := match(ours, name)) is not None:
                    parts = (theirs,) if isinstance(theirs, str) else theirs
                    for part, piece in zip(parts, tensor.chunk(len(parts)), strict=True):
                        prefix = "" if part.startswith(self.head) else self.prefix
                        written[prefix + part.format(*numbers)] = form.write(piece, heads)
                    break
            else:
                raise AssertionError(f"the table of {self.model_type} has no row for {name}")
        return written


def is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same values, of whatever type."""
    return one.shape == other.shape and bool((one == other).all())


def matches(pattern: str, names: Iterable[str]) -> list[tuple[str, ...]]:
    """The numbers which stand for `{}` in each of the names which are so made."""
    return [numbers for name in names if (numbers := match(pattern, name)) is not None]


def match(pattern: str, name: str) -> tuple[str, ...] | None:
    """The numbers which stand for `{}` in a name; None where it is another name."""
    found = re.fullmatch(re.escape(pattern).replace(r"\{\}", r"(\d+)"), name)
    return None if found is None else found.groups()
