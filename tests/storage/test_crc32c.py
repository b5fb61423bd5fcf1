"""The checksum, beside published values and its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.storage.crc32c import _PIECE, crc32c, masked


def by_definition(data: bytes) -> int:
    """Bit by bit: the remainder of a division by Castagnoli's polynomial."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"\0" * 32, 0x8A9136AA),  # RFC 3720, appendix B.4, the bytes as one number
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),  # the customary check of a checksum
    ],
)
def test_published_checksums(data, checksum):
    assert crc32c(data) == checksum


@given(st.binary(max_size=200))
def test_short_texts_have_the_checksum_of_the_definition(data):
    assert crc32c(data) == by_definition(data)


def test_long_texts_are_summed_in_pieces():
    """A checksum goes on from that of what came before: the definition is too slow for more than the ends."""
    data = np.random.default_rng(0).integers(0, 256, 2 * _PIECE + 7, dtype=np.uint8)
    for length in (_PIECE - 1, _PIECE, _PIECE + 1, 2 * _PIECE + 6):
        whole = bytes(data[:length])
        state = crc32c(whole) ^ 0xFFFFFFFF
        for byte in bytes(data[length : length + 1]):
            state ^= byte
            for _ in range(8):
                state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
        assert crc32c(data[: length + 1]) == state ^ 0xFFFFFFFF


def test_a_text_with_its_checksum_behind_it_has_always_the_same_checksum_but_for_the_mask():
    for text in (b"a", b"some text", bytes(100)):
        assert crc32c(text + crc32c(text).to_bytes(4, "little")) == 0x48674BC7
        assert masked(text) != crc32c(text)
