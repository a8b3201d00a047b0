"""Fold text into a search key, with a map from every folded character back to the original.

The folded text is for matching only and is never shown. Per character: compatibility decomposition (NFKD, Unicode
Standard Annex 15), removal of diacritics, case folding (Unicode Standard, section 3.13), then the Arabic orthographic
normalisation of Larkey, Ballesteros & Connell, "Improving stemming for Arabic information retrieval" (SIGIR 2002):
one alef, one ya, ta marbuta as ha, no vowel signs, no tatweel.

What is removed: Arabic vowel signs, tatweel, Quranic marks, Hebrew points, combining accents on Latin and Greek
letters, bidi controls, zero-width characters, variation selectors, tag characters and every other format
character (category Cf). What is kept, because letters would become other letters: vowel signs of Indic and
Southeast Asian scripts, Japanese voicing marks, the breve of Cyrillic short i.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final

# Letters that have no decomposition but are one letter to a reader who searches.
_LETTERS: Final = {
    "ٱ": "ا", "ٲ": "ا", "ٳ": "ا", "ٵ": "ا",
    "ى": "ي", "ی": "ي", "ې": "ي", "ۍ": "ي", "ے": "ي", "ٸ": "ي",
    "ة": "ه", "ہ": "ه", "ھ": "ه", "ە": "ه", "ۃ": "ه",
    "ک": "ك", "ڪ": "ك", "ٶ": "و",
    "ı": "i", "ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "ħ": "h", "ŧ": "t",
    "’": "'", "‘": "'", "ʼ": "'", "‛": "'", "“": '"', "”": '"', "„": '"',
    "‐": "-", "‒": "-", "–": "-", "—": "-", "−": "-",
    "٫": ".", "٬": ",", "٪": "%", "ё": "е",
}  # fmt: skip

# Arabic tatweel, small high letters, vowel signs as compatibility characters of their own (U+FE70 is a space
# with fathatan to Unicode, but PDF files put it on the letter before), Hangul fillers, Mongolian selectors.
_DROPPED: Final = frozenset(
    chr(c)
    for block in (
        range(0x0640, 0x0641), range(0x06E5, 0x06E7), range(0xFC5E, 0xFC64), range(0xFE70, 0xFE80),
        range(0x115F, 0x1161), range(0x3164, 0x3165), range(0xFFA0, 0xFFA1), range(0x180B, 0x1810),
        range(0xE0000, 0xE1000),
    )
    for c in block
)  # fmt: skip

_MARK_BLOCKS: Final = (
    range(0x0300, 0x0370), range(0x0483, 0x0488), range(0x0591, 0x05C8), range(0x0610, 0x061B),
    range(0x064B, 0x0660), range(0x0670, 0x0671), range(0x06D6, 0x06EE), range(0x0711, 0x0712),
    range(0x0730, 0x074B), range(0x0897, 0x0900), range(0x1AB0, 0x1B00), range(0x1DC0, 0x1E00),
    range(0x20D0, 0x2100), range(0xFE00, 0xFE10), range(0xFE20, 0xFE30),
)  # fmt: skip
_CYRILLIC: Final = range(0x0400, 0x0530)
_HANGUL_SYLLABLES: Final = range(0xAC00, 0xD7A4)
_JAMO: Final = range(0x1100, 0x1200)

# Sequences that must be composed before single characters are folded: Hangul written in conjoining jamo, and
# Cyrillic short i written with a combining breve.
_DECOMPOSED: Final = re.compile("[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?|[иИіІ][\u0306\u0308]")
_NEEDS_COMPOSING: Final = re.compile("[\u1161-\u1175\u0306\u0308]")
_MARKS: Final = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\ufc5e-\ufc63\ufe70-\ufe7f]+")
_SHAPES: Final = re.compile("[\ufb50-\ufc5d\ufc64-\ufdff\ufe80-\ufefc]+")
_FILLER: Final = "\u200b"  # dropped by the table, so that composing keeps the length


def _is_diacritic(character: str) -> bool:
    code = ord(character)
    return unicodedata.category(character) == "Mn" and any(code in block for block in _MARK_BLOCKS)


def _fold_character(character: str) -> str:
    """Fold one character; a test sees to it that folding the result again changes nothing."""
    code = ord(character)
    category = unicodedata.category(character)
    if character in _DROPPED or category == "Cf":
        return ""
    if category == "Cs":  # a lone surrogate cannot be encoded
        return "\ufffd"
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if 0x1161 <= code < 0x1176:  # a vowel jamo that found no consonant must not fuse with one later
        return chr(code - 0x1161 + 0x314F)
    if code in _HANGUL_SYLLABLES or code in _JAMO:
        return character
    if code in _CYRILLIC:
        lower = character.casefold()
        return _LETTERS.get(lower, "" if _is_diacritic(lower) else lower)
    decomposed = unicodedata.normalize("NFKD", character)
    if any(ord(part) in _JAMO for part in decomposed):
        return character  # compatibility jamo: conjoining forms would fuse with their neighbours
    bare = "".join(part for part in decomposed if part not in _DROPPED and not _is_diacritic(part))
    letters = (_LETTERS.get(part, part) for part in bare.casefold())
    return "".join(str(unicodedata.decimal(part)) if part.isdecimal() else part for part in letters)


class _Table(dict[int, str]):
    """Code point to folded text, filled on first use."""

    def __missing__(self, code: int) -> str:
        folded = _fold_character(chr(code))
        if code < 0x30000:  # above lie rare ideographs and unassigned planes: not worth the memory
            self[code] = folded
        return folded


_TABLE: Final = _Table()


def _compose(text: str) -> str:
    """Compose what must not be folded apart, keeping every offset."""
    if not _NEEDS_COMPOSING.search(text):
        return text

    def compose(match: re.Match[str]) -> str:
        composed = unicodedata.normalize("NFC", match[0])
        return composed + _FILLER * (len(match[0]) - len(composed))

    return _DECOMPOSED.sub(compose, text)


@dataclass(frozen=True, slots=True)
class Folded:
    """A text folded for search, with the way back.

    ``offsets[i]`` is the index in ``source`` of the character that folded character ``i`` came from; a last entry
    holds ``len(source)``. Offsets never decrease, and ``len(offsets) == len(text) + 1``.
    """

    source: str
    text: str
    offsets: Sequence[int]

    def to_original(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of ``source`` that ``text[start:end]`` came from.

        The span takes whole characters (a ligature that folds to two letters is covered by either of them) and
        the diacritics and tatweel after its last letter, but no bidi or zero-width character after it.

        Args:
            start: First folded character, in [0, len(text)].
            end: End of the folded span, exclusive, in [start, len(text)].

        Returns:
            ``(start, end)`` in code points of ``source``; empty if ``start == end``.

        Raises:
            ValueError: The span does not lie within the folded text.
        """
        if not 0 <= start <= end <= len(self.text):
            raise ValueError(f"span {start}:{end} lies outside the folded text of {len(self.text)} characters")
        first = self.offsets[start]
        if start == end:
            return first, first
        last = self.offsets[end - 1] + 1
        while last < len(self.source) and (self.source[last] == "\u0640" or _is_diacritic(self.source[last])):
            last += 1
        return first, last


def fold(text: str) -> Folded:
    """Fold ``text`` for search and keep the map back to it.

    Args:
        text: Any text, lone surrogates included.

    Returns:
        The folded text with its offsets. ``fold(fold(text).text).text == fold(text).text``.
    """
    if text.isascii():
        return Folded(text, text.lower(), range(len(text) + 1))
    pieces = [_TABLE[code] for code in map(ord, _compose(text))]
    offsets = [*chain.from_iterable(map(repeat, range(len(pieces)), map(len, pieces))), len(text)]
    return Folded(text, "".join(pieces), offsets)


def fold_text(text: str) -> str:
    """Return ``fold(text).text``, without the cost of the map."""
    if text.isascii():
        return text.lower()
    return _compose(text).translate(_TABLE)


def for_tokenizer(text: str) -> str:
    """Return ``text``, as long as before, as every tokenizer can take it: lone surrogates and NUL become a space."""
    return re.sub("[\ud800-\udfff\x00]", " ", text)


def for_embedder(text: str) -> str:
    """Return ``text`` as an embedder should see it: its vector then does not depend on how Arabic is typed.

    Diacritics and tatweel are left out and presentation forms become letters: most tokenizers take each of them for a
    letter of its own. The rest is that of `for_tokenizer`.
    """
    shapes = _SHAPES.sub(lambda found: unicodedata.normalize("NFKC", found[0]), for_tokenizer(text))
    return _MARKS.sub("", shapes)
