"""Protocol Buffers' wire format, as far as reading takes it: numbered fields in the order in which they stand.

What a number means, the caller knows. A message within a message is read when it is asked for, so that its depth is the
caller's, not the file's; nothing is copied that was not asked for.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_INTEGER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # what the lowest three bits of a tag say


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message; whatever is asked of it that it is not is a ValueError."""

    number: int
    kind: int
    value: int | memoryview

    @property
    def integer(self) -> int:
        """An integer, a truth value or a number of a list; negative ones count down from 2^64."""
        value = self._of(_INTEGER)
        assert isinstance(value, int)
        return value - (1 << 64) if value >> 63 else value

    @property
    def data(self) -> memoryview:
        """Bytes."""
        return self._view(_BYTES)

    @property
    def text(self) -> str:
        """UTF-8."""
        return str(self.data, "utf-8")

    @property
    def fields(self) -> Iterator["Field"]:
        """Those of a message."""
        return fields(self.data)

    @property
    def fixed(self) -> int:
        """An unsigned integer of four bytes."""
        return int.from_bytes(self._view(_FOUR_BYTES), "little")

    @property
    def real(self) -> float:
        """A float of four bytes."""
        return struct.unpack("<f", self._view(_FOUR_BYTES))[0]

    def _view(self, kind: int) -> memoryview:
        """Bytes of a kind."""
        value = self._of(kind)
        assert isinstance(value, memoryview)
        return value

    def _of(self, kind: int) -> int | memoryview:
        """The value, if it is of this kind."""
        if self.kind != kind:
            raise ValueError(f"field {self.number} is of kind {self.kind}, not {kind}")
        return self.value


def fields(data: bytes | memoryview) -> Iterator[Field]:
    """The fields of a message.

    Raises:
        ValueError: if it is no message, or cut short.
    """
    data, at = memoryview(data), 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise ValueError("a field has the number 0")
        if kind == _INTEGER:
            value, at = varint(data, at)
            yield Field(number, kind, value)
            continue
        if kind == _BYTES:
            length, at = varint(data, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"field {number} is of the unknown kind {kind}")
        if length > len(data) - at:
            raise ValueError(f"field {number} has {length} bytes, of which {len(data) - at} are there")
        yield Field(number, kind, data[at : at + length])
        at += length


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The integer below 2^64 which stands at a place in groups of seven bits, the lowest first; and the place after it.

    Raises:
        ValueError: if it does not end, or is too large.
    """
    if at < len(data) and data[at] < 0x80:  # most have one byte
        return data[at], at + 1
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80 and value < 1 << 64:
            return value, at + place + 1
    raise ValueError("a number does not end" if len(data) - at < 10 else "a number does not fit into 64 bits")
