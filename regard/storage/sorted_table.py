"""Sorted tables of keys and values, as LevelDB lays them out and TensorFlow takes them over.

A table is blocks of pairs, one block which says where these lie, and a footer which says where that one lies. A key
leaves out what it has in common with the one before it. Every block has a checksum, which is compared.
"""

from collections.abc import Iterator

from regard.storage.crc32c import masked
from regard.storage.protobuf import varint

_MAGIC = 0xDB4775248B80FB57  # the last eight bytes of a table
_FOOTER = 48
_LONGEST_KEY = 4096  # bytes


def sorted_pairs(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Keys and values of a table, in order.

    Raises:
        ValueError: if it is damaged, or no such table.
    """
    if len(data) < _FOOTER or int.from_bytes(data[-8:], "little") != _MAGIC:
        raise ValueError("it does not end as a table does")
    view = memoryview(data)
    at = len(data) - _FOOTER
    for _ in range(2):  # start and length of a block of filters, which is not used
        _, at = varint(view, at)
    last, before = None, 0
    for _, handle in _pairs(_block(view, *_place(view[at:]))):
        start, length = _place(handle)
        if start < before:
            raise ValueError("its blocks overlap")
        before = start + length
        for key, value in _pairs(_block(view, start, length)):
            if last is not None and key <= last:
                raise ValueError("its keys are not in order")
            last = key
            yield key, value


def _place(handle: memoryview) -> tuple[int, int]:
    """Start and length of a block."""
    start, at = varint(handle, 0)
    return start, varint(handle, at)[0]


def _block(data: memoryview, start: int, length: int) -> memoryview:
    """A block of a table."""
    end = start + length
    if end + 5 > len(data) - _FOOTER:  # a byte for its compression, four for its checksum
        raise ValueError("a block reaches beyond its end")
    if masked(data[start : end + 1]) != int.from_bytes(data[end + 1 : end + 5], "little"):
        raise ValueError("a block does not match its checksum")
    if data[end]:
        raise ValueError("it is compressed, which TensorFlow's writer never does")
    return data[start:end]


def _pairs(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Keys and values of a block. Behind them stand the places where a whole key begins, and how many."""
    end = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")
    if len(block) < 4 or end <= 0:
        raise ValueError("a block is empty")
    block, at, key = block[:end], 0, b""
    while at < end:
        shared, at = varint(block, at)
        own, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or own + length > end - at:
            raise ValueError("a key or its value reaches beyond its block")
        if shared + own > _LONGEST_KEY:
            raise ValueError(f"a name has {shared + own} bytes, more than {_LONGEST_KEY}")
        key = key[:shared] + bytes(block[at : at + own])
        at += own + length
        yield key, block[at - length : at]
