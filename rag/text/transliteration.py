"""Names across scripts: which English spelling sounds like an Arabic one, and the other way round.

Arabic writes consonants and long vowels; a name is therefore looked up by its consonants, sorted into classes that
both scripts tell apart, and what is found is compared sound by sound by a weighted edit distance (after the idea of
AbdulJaleel & Larkey, "Statistical transliteration for English-Arabic cross language information retrieval", 2003,
with hand-set costs in place of learnt ones).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from rag.text.fold import fold_text

# A sound is (class, detail): equal classes may stand for each other, equal details at no cost.
# Vowels are class "" with the detail a, i or u; h is class "" too, since it is often silent or unwritten.
_ARABIC: Final = {
    "ا": "a", "ع": "a", "ي": "i", "و": "u", "ه": "h", "ح": "h",
    "ب": "b", "پ": "bp", "ت": "t", "ط": "t", "ث": "tT", "ج": "gj", "غ": "g", "گ": "g",
    "ك": "k", "ق": "k", "خ": "kX", "د": "d", "ض": "d", "ذ": "dD", "ظ": "dD", "ر": "r", "ز": "sz", "س": "s", "ص": "s",
    "ش": "sS", "چ": "sC", "ژ": "sz", "ف": "f", "ڤ": "fv", "ل": "l", "م": "m", "ن": "n",
}  # fmt: skip
_ENGLISH: Final = {
    "sch": ("sS",), "tch": ("sC",), "sh": ("sS",), "ch": ("sC",), "ph": ("f",), "th": ("tT",), "kh": ("kX",),
    "gh": ("g",), "ck": ("k",), "qu": ("k", "u"), "dh": ("dD",), "ce": ("s", "i"), "ci": ("s", "i"), "cy": ("s", "i"),
    "ee": ("i",), "ea": ("i",), "ie": ("i",), "oo": ("u",), "ou": ("u",), "ow": ("u",), "au": ("a",), "ai": ("i",),
    "ay": ("i",), "ey": ("i",), "x": ("k", "s"), "a": ("a",), "e": ("e",), "i": ("i",), "o": ("o",), "u": ("u",),
    "y": ("i",), "w": ("u",), "h": ("h",), "b": ("b",), "p": ("bp",), "t": ("t",), "g": ("g",), "j": ("gj",),
    "c": ("k",), "k": ("k",), "q": ("k",), "d": ("d",), "r": ("r",), "s": ("s",), "z": ("sz",), "f": ("f",),
    "v": ("fv",), "l": ("l",), "m": ("m",), "n": ("n",),
}  # fmt: skip
_ENGLISH_SOUND: Final = re.compile("|".join(sorted(_ENGLISH, key=len, reverse=True)))
_WEAK: Final = frozenset("aeiouh")
# Long vowels of Arabic against the vowels of English; any other pair of vowels costs _OTHER_VOWEL.
_VOWELS: Final = {
    ("a", "a"): 0.0, ("a", "e"): 0.2, ("a", "o"): 0.3, ("a", "u"): 0.4, ("i", "i"): 0.0, ("i", "e"): 0.1,
    ("i", "a"): 0.3, ("u", "u"): 0.0, ("u", "o"): 0.0, ("h", "h"): 0.0,
}  # fmt: skip
_OTHER_VOWEL: Final = 0.8
_SHORT_VOWEL: Final = 0.15  # an English vowel that Arabic leaves unwritten
_LONG_VOWEL: Final = 0.7  # an Arabic long vowel that English has not
_SILENT_H: Final = 0.3
_NEAR: Final = 0.25  # two sounds of one class
_ARABIC_PREFIXES: Final = ("وال", "بال", "كال", "فال", "لل", "ال", "و", "ب", "ل", "ف", "ك")
_LEAST_CLASSES: Final = 2
_LEAST_SIMILARITY: Final = 0.6
_MOST_FOUND: Final = 4


@lru_cache(maxsize=1 << 16)
def _arabic_sounds(word: str) -> tuple[str, ...]:
    return _without_doubles(_ARABIC[letter] for letter in word if letter in _ARABIC)


@lru_cache(maxsize=1 << 16)
def _english_sounds(word: str) -> tuple[str, ...]:
    return _without_doubles(sound for letters in _ENGLISH_SOUND.findall(word) for sound in _ENGLISH[letters])


def _without_doubles(sounds: Iterable[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for sound in sounds:
        if not kept or kept[-1] != sound:
            kept.append(sound)
    return tuple(kept)


def _skeleton(sounds: Iterable[str]) -> str:
    classes = [sound[0] for sound in sounds if sound not in _WEAK]
    return "".join(_without_doubles(classes))


def _pair_cost(arabic: str, english: str) -> float:
    if arabic in _WEAK and english in _WEAK:
        return _VOWELS.get((arabic, english), _OTHER_VOWEL)
    if arabic in _WEAK or english in _WEAK or arabic[0] != english[0]:
        return 2.0
    if arabic[-1] == english[-1] or (arabic, english) in {("b", "bp"), ("f", "fv"), ("sS", "sC"), ("gj", "g")}:
        return 0.0
    return _NEAR


def _gap_cost(sound: str, *, is_arabic: bool, at_end: bool) -> float:
    if sound == "h":
        return _SILENT_H
    if sound in _WEAK:
        # Stemming and spelling leave the end of a word uncertain.
        return (_LONG_VOWEL if is_arabic else _SHORT_VOWEL) * (0.5 if at_end else 1.0)
    return 0.5 if at_end else 2.0


def _distance(arabic: tuple[str, ...], english: tuple[str, ...]) -> float:
    width = len(english) + 1
    previous = [0.0] * width
    for column in range(1, width):
        # English words that begin with a vowel are written with an alef.
        previous[column] = previous[column - 1] + (0.8 if english[column - 1] in _WEAK else 2.0)
    for row, left in enumerate(arabic, start=1):
        is_last = row == len(arabic)
        current = [previous[0] + (0.8 if left in _WEAK else 2.0)] + [0.0] * (width - 1)
        for column in range(1, width):
            right = english[column - 1]
            current[column] = min(
                previous[column - 1] + _pair_cost(left, right),
                previous[column] + _gap_cost(left, is_arabic=True, at_end=column == width - 1),
                current[column - 1] + _gap_cost(right, is_arabic=False, at_end=is_last),
            )
        previous = current
    return previous[-1]


def skeleton(word: str) -> str:
    """Return the classes of a folded word's consonants; words of both scripts that sound alike have the same."""
    return _skeleton(_english_sounds(word) if word.isascii() else _arabic_sounds(word))


@lru_cache(maxsize=65_536)  # the segments of an index share their words
def similarity(arabic: str, english: str) -> float:
    """Say how alike two folded words sound, in [0, 1]; 1 is as alike as the two scripts can show.

    Args:
        arabic: A word of Arabic letters, folded.
        english: A word of the letters a-z, folded.
    """
    left, right = _arabic_sounds(arabic), _english_sounds(english)
    if not left or not right:
        return 0.0
    n_classes = max(len(_skeleton(left)), len(_skeleton(right)), 1)
    return max(0.0, 1.0 - _distance(left, right) / n_classes)


class Transliterator:
    """Finds the terms of one index that sound like a word of the other script. Immutable; safe to share.

    Args:
        terms: The vocabulary of the index.
        language: ``"ar"`` takes the terms of Arabic letters, ``"en"`` those of the letters a-z, another none.
    """

    def __init__(self, terms: Iterable[str], language: str) -> None:
        self._language = language
        self._terms: dict[str, list[str]] = {}
        if language not in ("ar", "en"):
            return
        for term in terms:
            if term.isalpha() and term.isascii() == (language == "en"):
                sounds = _english_sounds(term) if language == "en" else _arabic_sounds(term)
                self._terms.setdefault(_skeleton(sounds), []).append(term)

    def find(self, word: str, language: str) -> list[tuple[str, float]]:
        """Return the terms that sound like ``word``, the likest first, with their similarity in (0, 1].

        Args:
            word: A word as it stands in the query, unstemmed, with any prefix that Arabic writes onto it.
            language: The language of the query; only ``"ar"`` and ``"en"`` find terms of the other one.
        """
        if {language, self._language} != {"ar", "en"}:
            return []
        folded = fold_text(word)
        if language == "en":
            folded = folded.removesuffix("'s")
        if not folded.isalpha() or folded.isascii() != (language == "en"):
            return []
        found: dict[str, float] = {}
        for form in _forms(folded) if language == "ar" else (folded,):
            sounds = _arabic_sounds(form) if language == "ar" else _english_sounds(form)
            skeleton = _skeleton(sounds)
            if len(skeleton) < _LEAST_CLASSES:
                continue
            # A stemmed term may have lost its last consonant.
            keys = (skeleton, skeleton[:-1]) if len(skeleton) > _LEAST_CLASSES + 1 else (skeleton,)
            for term in (term for key in keys for term in self._terms.get(key, ())):
                likeness = similarity(form, term) if language == "ar" else similarity(term, form)
                if likeness >= _LEAST_SIMILARITY:
                    found[term] = max(found.get(term, 0.0), likeness)
        return best_of([list(found.items())])


def best_of(found: Iterable[Sequence[tuple[str, float]]]) -> list[tuple[str, float]]:
    """Return the likest of terms found in several vocabularies, the likest first; each term once."""
    likeness = {term: value for part in found for term, value in part}
    best = sorted(likeness.items(), key=lambda item: (-item[1], item[0]))[:_MOST_FOUND]
    return [(term, value) for term, value in best if value >= best[0][1] - 0.15]


def _forms(word: str) -> list[str]:
    """Return an Arabic word with and without what may be written onto its front."""
    return [word, *(word[len(p) :] for p in _ARABIC_PREFIXES if word.startswith(p) and len(word) - len(p) >= 3)]
