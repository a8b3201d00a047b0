"""Find where a text may be cut without tearing a letter from its marks.

The extended grapheme clusters of Unicode Standard Annex 29, without its prefix rules (a number sign before digits)
and Indic conjuncts: marks, joiners, variation selectors, tag characters, emoji modifiers and flags stay whole.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

_JOINER: Final = "\u200d"
_EXTENDERS: Final = frozenset("\u200c\u200d\u0e33\u0eb3\uff9e\uff9f")
_REGIONAL: Final = range(0x1F1E6, 0x1F200)
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)
_TAGS: Final = range(0xE0000, 0xE0080)
_MEDIAL_AND_FINAL_JAMO: Final = range(0x1160, 0x1200)


def extends(character: str) -> bool:
    """Tell whether ``character`` belongs to the one before it, whatever that is."""
    if character.isascii():
        return False
    code = ord(character)
    return (
        character in _EXTENDERS
        or code in _SKIN_TONES
        or code in _TAGS
        or code in _MEDIAL_AND_FINAL_JAMO
        or unicodedata.category(character) in ("Mn", "Mc", "Me")
    )


def cluster_starts(text: str, start: int, end: int) -> Iterator[int]:
    """Yield where each grapheme cluster of ``text[start:end]`` begins, ``start`` first."""
    flags = 0  # regional indicators in a row: two make a flag
    for position in range(start, end):
        character = text[position]
        flags = flags + 1 if ord(character) in _REGIONAL else 0
        if position == start:
            yield position
            continue
        previous = text[position - 1]
        joined = previous == _JOINER or (previous == "\r" and character == "\n")
        if not joined and not extends(character) and not (flags and flags % 2 == 0):
            yield position
