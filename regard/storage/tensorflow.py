"""Google's checkpoints, as TensorFlow 1 wrote them, without TensorFlow: `model.ckpt.index` and `model.ckpt.data-*`.

The index is a sorted table. A key of it is a tensor's name, and its value says of which type and shape the tensor is,
in which data file it lies and where; the empty key has what goes for all. A variable which was saved in parts has an
entry without data, which lists them; the key of each part is the name and the place in an encoding of its own.

Every checksum is compared, and no size is believed before it is compared with that of the file.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from regard.storage.crc32c import masked
from regard.storage.protobuf import Field, fields
from regard.storage.sorted_table import sorted_pairs

_TYPES = {  # DataType, of tensorflow/core/framework/types.proto
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    9: torch.int64,
    10: torch.bool,
    14: torch.bfloat16,
    19: torch.float16,
}
_MOST_AXES = 64

Extents = tuple[tuple[int, int | None], ...]  # start and length along each axis; None is all of it


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies, and what it is."""

    type: int = 0
    shape: tuple[int, ...] = ()
    file: int = 0
    offset: int = 0
    size: int = 0  # bytes
    checksum: int = 0
    parts: list[Extents] = field(default_factory=list)


def read_checkpoint(path: str | Path, keeps: Callable[[str], bool] = lambda name: True) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by TensorFlow's names.

    Args:
        path: what its files are called without their ends (`bert_model.ckpt`), its index, or a folder with one.
        keeps: whether a tensor of this name is read; where a run is checkpointed, two thirds are its optimiser's.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or is none of a checkpoint, or a tensor is of a type which is not read.
    """
    index = _index_in(Path(path))
    try:
        files, entries, parts = _read_index(index.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{index} is damaged or is not the index of a TensorFlow checkpoint ({error}); fetch or save it again"
        ) from error
    prefix = index.name.removesuffix(".index")
    data = [index.with_name(f"{prefix}.data-{number:05d}-of-{files:05d}") for number in range(files)]
    _require_room(index, data, [*entries.values(), *parts.values()])
    tensors = {}
    for name, entry in entries.items():
        if keeps(name):
            tensors[name] = _whole(data, name, entry, parts) if entry.parts else _read(data[entry.file], name, entry)
    return tensors


def _index_in(path: Path) -> Path:
    """The index of a checkpoint."""
    if path.is_dir():
        found = sorted(path.glob("*.index"))
        if len(found) != 1:
            raise FileNotFoundError(f"{path} has {len(found)} files called *.index; name the checkpoint you mean")
        return found[0]
    index = path if path.suffix == ".index" else path.with_name(f"{path.name}.index")
    if not index.is_file():
        raise FileNotFoundError(
            f"no checkpoint at {path}: there is no {index.name}; checkpoints of TensorFlow 0, which are one file, are "
            "not read"
        )
    return index


def _read_index(data: bytes) -> tuple[int, dict[str, _Entry], dict[bytes, _Entry]]:
    """How many data files there are, the tensors by name, and parts of tensors by key."""
    files, entries, parts = 0, {}, {}
    for key, value in sorted_pairs(data):
        if key == b"":
            files = _header(value)
        elif key.startswith(b"\0"):
            parts[key] = _entry(value)
        else:
            entries[str(key, "utf-8")] = _entry(value)
    if not files:
        raise ValueError("it has no header")
    expected = {_key(name, extents) for name, entry in entries.items() for extents in entry.parts}
    if expected != parts.keys():
        raise ValueError(f"{len(expected ^ parts.keys())} parts of tensors are missing or belong to none")
    for entry in [*entries.values(), *parts.values()]:
        if entry.file >= files:
            raise ValueError(f"a tensor lies in data file {entry.file}, but there are {files}")
    return files, entries, parts


def _header(value: memoryview) -> int:
    """How many data files there are (BundleHeaderProto)."""
    files = 0
    for part in fields(value):
        match part.number:
            case 1:
                files = part.integer
            case 2 if part.integer:
                raise ValueError("it was written on a big-endian machine")
            case 3 if any(version.number == 2 and version.integer > 1 for version in part.fields):
                raise ValueError("it is of a later version of the format")
    if not 0 < files < 100_000:  # which have five digits in the files' names
        raise ValueError(f"it says that there are {files} data files")
    return files


def _entry(value: memoryview) -> _Entry:
    """One tensor (BundleEntryProto)."""
    found = {}
    parts: list[Extents] = []
    for part in fields(value):
        match part.number:
            case 1:
                found["type"] = part.integer
            case 2:
                found["shape"] = _shape(part)
            case 3:
                found["file"] = part.integer
            case 4:
                found["offset"] = part.integer
            case 5:
                found["size"] = part.integer
            case 6:
                found["checksum"] = part.fixed
            case 7:
                parts.append(_extents(part))
    entry = _Entry(**found, parts=parts)
    if min(entry.file, entry.offset, entry.size) < 0:
        raise ValueError("a tensor has a negative place")
    return entry


def _shape(message: Field) -> tuple[int, ...]:
    """Sizes (TensorShapeProto); one which is left out is 0."""
    sizes = []
    for part in message.fields:
        if part.number == 3 and part.integer:
            raise ValueError("a tensor has no shape")
        if part.number == 2:
            sizes.append(next((size.integer for size in part.fields if size.number == 1), 0))
    if any(size < 0 for size in sizes) or len(sizes) > _MOST_AXES or math.prod(size or 1 for size in sizes) >> 56:
        raise ValueError(f"a tensor has the shape {sizes[: _MOST_AXES + 1]}")
    return tuple(sizes)


def _extents(message: Field) -> Extents:
    """Start and length along each axis (TensorSliceProto)."""
    found = []
    for part in message.fields:
        if part.number == 1:
            edges = {edge.number: edge.integer for edge in part.fields}
            found.append((edges.get(1, 0), edges.get(2)))
    if any(start < 0 or (length or 0) < 0 for start, length in found) or len(found) > _MOST_AXES:
        raise ValueError("a part of a tensor has a negative place")
    return tuple(found)


def _key(name: str, extents: Extents) -> bytes:
    """The key of a part of a variable: 0, its name, how many axes it has, and start and length along each.

    So that such keys are in order, a name ends in 0 1, and a 0 within it has one byte more.
    """
    raw = name.encode().replace(b"\0", b"\0\xff") + b"\0\1"
    axes = bytes([1, len(extents)]) if extents else b"\0"
    edges = b"".join(_ordered(start) + _ordered(-1 if length is None else length) for start, length in extents)
    return b"\0" + raw + axes + edges


def _ordered(value: int) -> bytes:
    """A signed integer: the more bytes, the more bits at the start, which are the opposite of the sign, say so."""
    length = ((value if value >= 0 else ~value).bit_length() + 7) // 7
    mark = ((1 << length) - 1) << 7 * length  # `length` ones in front of 7 bits a byte
    return ((value ^ mark) & ((1 << 8 * length) - 1)).to_bytes(length, "big")


def _require_room(index: Path, data: list[Path], entries: list[_Entry]) -> None:
    """Whether each tensor lies within its file, and none where another lies."""
    ends: dict[int, int] = {}
    for entry in sorted((entry for entry in entries if entry.size), key=lambda entry: (entry.file, entry.offset)):
        if entry.offset < ends.get(entry.file, 0):
            raise ValueError(f"{index} is damaged: two tensors lie in the same place of {data[entry.file].name}")
        ends[entry.file] = entry.offset + entry.size
    for number, end in ends.items():
        if not data[number].is_file():
            raise FileNotFoundError(f"{index} names {data[number].name}, which is missing; fetch it again")
        if data[number].stat().st_size < end:
            raise ValueError(
                f"{data[number]} is cut short: it has {data[number].stat().st_size} of {end} bytes; fetch it again"
            )


def _read(file: Path, name: str, entry: _Entry) -> Tensor:
    """A tensor which lies in one piece."""
    dtype = _type(file, name, entry)
    if math.prod(entry.shape) * dtype.itemsize != entry.size:
        raise ValueError(f"{file}: {name} has {entry.size} bytes, which is not what {list(entry.shape)} take")
    if not entry.size:
        return torch.empty(entry.shape, dtype=dtype)
    found = np.fromfile(file, np.uint8, entry.size, offset=entry.offset)
    if len(found) != entry.size or masked(found) != entry.checksum:
        raise ValueError(f"{file} is damaged: {name} does not match its checksum; fetch it again")
    if dtype is torch.bool and found.max() > 1:
        raise ValueError(f"{file} is damaged: {name} has truth values which are neither 0 nor 1")
    return torch.from_numpy(found).view(dtype).reshape(entry.shape)


def _type(file: Path, name: str, entry: _Entry) -> torch.dtype:
    """The type of a tensor."""
    if entry.type not in _TYPES:
        raise ValueError(f"{file}: {name} is of TensorFlow's type {entry.type}, which is not read; leave it out")
    return _TYPES[entry.type]


def _whole(data: list[Path], name: str, entry: _Entry, parts: dict[bytes, _Entry]) -> Tensor:
    """A tensor which was saved in parts."""
    found = {extents: parts[_key(name, extents)] for extents in entry.parts}
    wrong = ValueError(f"the parts of {name} in {data[0]} and its like do not make up the shape {list(entry.shape)}")
    # what is there bounds what is allocated: sizes were compared with the files
    if sum(part.size for part in found.values()) != math.prod(entry.shape) * _type(data[0], name, entry).itemsize:
        raise wrong
    whole = torch.empty(entry.shape, dtype=_type(data[0], name, entry))
    is_there = torch.zeros(entry.shape, dtype=torch.bool)
    for extents, part in found.items():
        place = tuple(slice(start, None if length is None else start + length) for start, length in extents)
        if part.type != entry.type or len(place) != len(entry.shape) or whole[place].shape != part.shape:
            raise wrong
        whole[place] = _read(data[part.file], name, part)
        is_there[place] = True
    if not is_there.all():
        raise wrong
    return whole
