"""Checkpoints as TensorFlow 1 writes them, of a few float32 tensors: one data file, and an index of one block."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from regard.storage.crc32c import masked


def number(value: int) -> bytes:
    """An integer in groups of seven bits, the lowest first."""
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def part(place: int, value: int | bytes) -> bytes:
    """A field of a message: an integer, or bytes with their length."""
    if isinstance(value, int):
        return number(place << 3) + number(value)
    return number(place << 3 | 2) + number(len(value)) + value


def checksum(data: bytes) -> bytes:
    """Four bytes."""
    return masked(data).to_bytes(4, "little")


def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Keys and values, each key whole, with the end which a block has."""
    data = b"".join(number(0) + number(len(key)) + number(len(value)) + key + value for key, value in pairs)
    data += bytes(4) + (1).to_bytes(4, "little") + b"\0"
    return data + checksum(data)


def write_checkpoint(prefix: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `PREFIX.index` and `PREFIX.data-00000-of-00001`."""
    entries, data = [(b"", part(1, 1))], b""
    for name in sorted(tensors, key=str.encode):
        value = tensors[name].float().contiguous().numpy().tobytes()
        shape = b"".join(part(2, part(1, size)) for size in tensors[name].shape)
        entry = part(1, 1) + part(2, shape) + part(4, len(data)) + part(5, len(value))
        entries.append((name.encode(), entry + number(6 << 3 | 5) + checksum(value)))
        data += value
    first = block(entries)
    unused = block([(b"", b"")])
    places = block([(b"\xff", number(0) + number(len(first) - 5))])
    end = b"".join(number(value) for value in (len(first), len(unused) - 5, len(first) + len(unused), len(places) - 5))
    footer = end.ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little")
    prefix.with_name(f"{prefix.name}.index").write_bytes(first + unused + places + footer)
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
