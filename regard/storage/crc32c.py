"""The checksum CRC-32C (RFC 3720, appendix B.4), which TensorFlow puts on blocks and tensors, at the speed of memory.

A checksum is linear: that of a text is the sum (exclusive or) of those of its words, each with zeros behind it up to
the end. Words are summed in pairs, pairs in pairs, and so on, all of one round in one operation on arrays; "with 2^n
words of zeros behind it" is a look-up in two tables of 65,536 numbers.
"""

from functools import cache

import numpy as np

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, the lowest power in the highest bit
_ROUNDS = 18
_PIECE = 4 << _ROUNDS  # bytes which are summed at once, so that they stay in a processor's cache

Bytes = bytes | bytearray | memoryview | np.ndarray


def crc32c(data: Bytes) -> int:
    """The checksum of some bytes."""
    found = np.frombuffer(data, np.uint8)
    if len(found) < 4:
        return _short(found)
    length = (len(found) - 4) % _PIECE + 4  # of the first piece; the others are whole
    first = np.zeros(1 << (-(-length // 4) - 1).bit_length(), "<u4")  # zeros in front change nothing
    first.view(np.uint8)[-length:] = found[:length]
    first.view(np.uint8)[-length:][:4] ^= 0xFF  # a checksum starts with all its bits set
    total = _sum(first)
    for start in range(length, len(found), _PIECE):
        total = _followed(total, _ROUNDS) ^ _sum(found[start : start + _PIECE].view("<u4"))
    return int(_followed(total, 0)) ^ 0xFFFFFFFF


def masked(data: Bytes) -> int:
    """The checksum as it is stored where it may be a part of what has a checksum again: turned, and moved."""
    found = crc32c(data)
    return ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _sum(words: np.ndarray) -> np.uint32:
    """The sum of 2^n words, each followed by what stands behind it."""
    count = 0
    while len(words) > 1:
        low, high = _tables(count)
        halves = words.view("<u2")
        words = low.take(halves[0::4]) ^ high.take(halves[1::4]) ^ words[1::2]
        count += 1
    return words[0]


def _followed(word: np.uint32, count: int) -> np.uint32:
    """A word with 2^count words of zeros behind it."""
    low, high = _tables(count)
    return low[word & 0xFFFF] ^ high[word >> 16]


@cache
def _tables(count: int) -> tuple[np.ndarray, np.ndarray]:
    """What the lower and the upper half of a word come to with 2^count words of zeros behind them."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if count == 0:
        for _ in range(32):
            bits = _shifted(bits)
    else:
        low, high = _tables(count - 1)
        for _ in range(2):
            bits = low[bits & 0xFFFF] ^ high[bits >> 16]
    return _combinations(bits[:16]), _combinations(bits[16:])


def _combinations(bits: np.ndarray) -> np.ndarray:
    """The sum of each set of them, at the number whose bits name the set."""
    sums = np.zeros(1, np.uint32)
    for bit in bits:
        sums = np.concatenate([sums, sums ^ bit])
    return sums


def _shifted(words: np.ndarray) -> np.ndarray:
    """Words with one bit of zero behind them."""
    return (words >> 1) ^ (words & 1) * np.uint32(_POLYNOMIAL)


def _short(data: np.ndarray) -> int:
    """The checksum by its definition, bit by bit."""
    state = np.full(1, 0xFFFFFFFF, np.uint32)
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = _shifted(state)
    return int(state[0]) ^ 0xFFFFFFFF
