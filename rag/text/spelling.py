"""Misspelt words of a query, put right by the words of the documents.

Only a word that stands in no document and that the embedder does not know either is touched, and only where one word
of the documents is clearly nearest: optimal string alignment distance (a swap of neighbours counts once) of 1 from
five letters, of 2 from eight. Arabic words are shorter and denser, so they need two letters more; the usual Arabic
variants (hamza, ta marbuta, ya) are folded before and need no correction.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from rapidfuzz import process
from rapidfuzz.distance import OSA

from rag.text.fold import fold_text

_WORD = re.compile(r"[^\W\d_]+")
_LEAST, _LEAST_FOR_TWO, _ARABIC_EXTRA = 5, 8, 2


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Return how often each word, folded, stands in some texts."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_WORD.findall(fold_text(text)))
    return counts


class SpellChecker:
    """Corrects queries with the words of a collection.

    Args:
        counts: How often each word stands in each part of the collection; see `count_words`.
    """

    def __init__(self, counts: Iterable[Mapping[str, int]]) -> None:
        self._counts: Counter[str] = Counter()
        for part in counts:
            self._counts.update(part)
        self._by_length: dict[int, list[str]] = {}
        for word in self._counts:
            self._by_length.setdefault(len(word), []).append(word)

    def correct(self, query: str, is_word: Callable[[str], bool]) -> str:
        """Return ``query`` with its misspelt words put right, and everything else as it was.

        Args:
            query: Any text.
            is_word: Tells whether a word is known elsewhere; such a word is left alone.
        """
        return _WORD.sub(lambda match: self._nearest(match[0], is_word) or match[0], query)

    def _nearest(self, surface: str, is_word: Callable[[str], bool]) -> str | None:
        word = fold_text(surface)
        extra = 0 if word.isascii() else _ARABIC_EXTRA
        if len(word) < _LEAST + extra or word in self._counts or is_word(surface):
            return None
        limit = 2 if len(word) >= _LEAST_FOR_TWO + extra else 1
        lengths = range(len(word) - limit, len(word) + limit + 1)
        choices = [choice for length in lengths for choice in self._by_length.get(length, ())]
        found = process.extract(word, choices, scorer=OSA.distance, score_cutoff=limit, limit=None)
        if not found:
            return None
        nearest = min(distance for _, distance, _ in found)
        same_start = [c for c, distance, _ in found if distance == nearest and c[0] == word[0]]
        best = sorted(same_start, key=lambda choice: -self._counts[choice])[:2]
        if not best or (len(best) == 2 and self._counts[best[0]] < 3 * self._counts[best[1]]):
            return None
        return best[0]
