"""Bytes as letters: how GPT-2's vocabulary files write what is no visible character (Radford et al. 2019).

The 188 bytes which Latin-1 shows stand for themselves, the others for the code points from 256 on, in order: a space is
`Ġ`, a line break `Ċ`.
"""

_SHOWN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [byte for byte in range(0x100) if byte not in _SHOWN]

BYTES = {chr(byte): byte for byte in _SHOWN} | {chr(0x100 + place): byte for place, byte in enumerate(_HIDDEN)}


def bytes_of(token: str) -> bytes:
    """The bytes which a token of such a vocabulary stands for; one with other characters in it is plain text."""
    try:
        return bytes(BYTES[letter] for letter in token)
    except KeyError:
        return token.encode()
