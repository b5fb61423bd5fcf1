"""Fonts for any script: which installed family can draw a character.

Matplotlib draws a character which its font lacks as an empty box, with a warning each time. Here other families are
asked first, and where none has it, a box is drawn and said once.
"""

import warnings
from collections.abc import Callable
from functools import cache

FONT = "DejaVu Sans"  # comes with Matplotlib, so it is always there


def fonts(text: str) -> list[str]:
    """Font families which have the text's glyphs between them, the usual one first."""
    return list(dict.fromkeys([FONT, *(family for character in text if (family := font_with(character)))]))


def drawable(text: str) -> str:
    """The text, with a box for each character of which no installed font has a glyph; said once for each."""
    return "".join(character if font_with(character) else "□" for character in text)


@cache
def font_with(character: str) -> str | None:
    """A family which has a glyph for a character; None, with one warning, where there is none."""
    for family, glyphs in _installed():
        if ord(character) in glyphs():
            return family
    warnings.warn(
        f"no installed font has a glyph for {character!r} (U+{ord(character):04X}); a box stands for it", stacklevel=2
    )
    return None


@cache
def _installed() -> list[tuple[str, Callable[[], frozenset[int]]]]:
    """Installed families, each with a function which gives the characters it can draw; files are read when asked."""
    from matplotlib.font_manager import fontManager
    from matplotlib.ft2font import FT2Font

    def reader(path: str):
        @cache
        def glyphs() -> frozenset[int]:
            try:
                return frozenset(FT2Font(path).get_charmap())
            except (OSError, RuntimeError):
                return frozenset()  # a font which cannot be read has no glyphs

        return glyphs

    families = {
        font.name: reader(font.fname)
        for font in fontManager.ttflist
        if font.style == "normal"
        and font.weight in (400, "normal", "regular")
        and "Last Resort" not in font.name  # claims every character, and draws each as a box
    }
    return sorted(families.items(), key=lambda item: (item[0] != FONT, "Sans" not in item[0], item[0]))
