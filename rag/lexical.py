"""Lexical scores of a query against passages of any language: BM25, through the dictionary where languages differ.

Across languages each query term becomes one structured term after Darwish & Oard, "Probabilistic structured query
methods" (SIGIR 2003): its translations count together, each with its weight, as if they were spellings of one
term, so that a term with many translations weighs no more than one with a single translation.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from rag.dictionary import Dictionary
from rag.store.bm25 import inverse_document_frequency
from rag.text.analyzers import analyze, content_terms
from rag.text.transliteration import Transliterator, best_of

logger = logging.getLogger(__name__)

_Values = tuple[npt.NDArray[np.integer[Any]], npt.NDArray[np.floating[Any]]]

_POWER = 0.5  # weight of a translation = p ** _POWER: what is said once may be meant as well
_SPELLING = 0.5  # how likely a word found by its sound alone is meant, at best


class Vocabulary(Protocol):
    """The terms of the passages of one language."""

    @property
    def parts(self) -> Sequence[Vocabulary]:
        """Return the vocabularies that it is joined of, itself where it is not."""

    @property
    def terms(self) -> Sequence[str]:
        """Return the terms."""

    def __contains__(self, term: object) -> bool:
        """Say whether a passage holds a term."""


class Postings(Vocabulary, Protocol):
    """What is asked of a BM25 index; see `rag.store.bm25.Bm25Index`."""

    k1: float
    b: float

    @property
    def n_rows(self) -> int:
        """Return the number of passages."""

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Return the number of terms of each passage, shape (n_rows,)."""

    def postings(self, term: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return the rows that hold a term and how often each does."""


@dataclass(frozen=True, slots=True)
class LexicalScores:
    """Scores of one query against the passages of one language.

    ``rows``, int64 and increasing, are the passages that share a term, ``found`` their scores, above 0; all others of
    the ``n_rows`` have 0. ``ceiling`` is what a passage that repeats every term without end would come near to; 0 if
    the query has no terms.
    """

    rows: npt.NDArray[np.int64]
    found: npt.NDArray[np.float64]
    n_rows: int
    ceiling: float

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """Return the score of every passage, shape (n_rows,)."""
        scores = np.zeros(self.n_rows)
        scores[self.rows] = self.found
        return scores

    def at(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the scores of some passages, in their order."""
        if not len(self.rows):
            return np.zeros(len(positions))
        places = np.minimum(np.searchsorted(self.rows, positions), len(self.rows) - 1)
        return np.where(self.rows[places] == positions, self.found[places], 0.0)

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Return the scores as shares of the ceiling, in [0, 1): comparable across languages and indexes."""
        return self.scores / self.ceiling if self.ceiling > 0 else self.scores


class Lexicon:
    """What queries of any language ask of the passages of one language. Immutable; safe to share.

    Args:
        index: The terms of the passages.
        language: Their language.
        dictionary: Translations of terms.
    """

    def __init__(self, index: Vocabulary, language: str, dictionary: Dictionary) -> None:
        self._index, self._language, self._dictionary = index, language, dictionary

    def expand(self, query: str, query_language: str) -> list[Mapping[str, float]]:
        """Return, for each content term of a query, the index terms that stand for it and their weights in (0, 1].

        An entry without terms of the index is kept: the query asks for something that is not there.
        """
        if query_language == self._language or not self._dictionary.covers(query_language, self._language):
            return [{term: 1.0} for term in content_terms(query, self._language)]
        surfaces = {token.term: query[token.start : token.end] for token in reversed(analyze(query, query_language))}
        expanded: list[Mapping[str, float]] = []
        for term in content_terms(query, query_language):
            options = {option: p**_POWER for option, p in self.translate(term, surfaces[term], query_language)}
            if term in self._index:  # Latin words in Arabic text, numbers
                options[term] = 1.0
            expanded.append(options)
        return expanded

    def translate(self, term: str, surface: str, language: str) -> list[tuple[str, float]]:
        """Return what a term of another language may be here, the likeliest first, with weights in (0, 1].

        Args:
            term: A term of `rag.text.analyzers` in ``language``.
            surface: The word that it came from.
            language: ISO 639-1 code, another than that of the passages.

        Returns:
            The dictionary's translations, whether a passage holds them or not. If no passage holds the term or
            one of them, the terms of the passages that sound like the word come too.
        """
        options = self._dictionary.translate(term, language, self._language)
        if term not in self._index and not any(option in self._index for option, _ in options):
            known = {option for option, _ in options}
            alike = best_of(_sounds(part, self._language).find(surface, language) for part in self._index.parts)
            options += [(option, _SPELLING * likeness) for option, likeness in alike if option not in known]
            options.sort(key=lambda option: -option[1])
        return options


class LexicalLeg(Lexicon):
    """Scores queries of any language against the passages of one language. Immutable; safe to share.

    Args:
        index: The BM25 index of the passages.
        language: Their language.
        dictionary: Translations of terms.
    """

    def __init__(self, index: Postings, language: str, dictionary: Dictionary) -> None:
        super().__init__(index, language, dictionary)
        self._postings = index
        mean_length = float(index.lengths.mean()) if index.n_rows else 0.0
        self._norms = index.k1 * (1 - index.b + index.b * index.lengths / (mean_length or 1.0))  # (n_rows,)

    def score(self, query: str, query_language: str) -> LexicalScores:
        """Score every passage for a query.

        Args:
            query: The query as typed.
            query_language: Its language. Where the dictionary has no way from it to the passages' language,
                the query is analysed in the passages' language: names and numbers still match.
        """
        n_rows = self._postings.n_rows
        total, counts = np.zeros(n_rows), np.zeros(n_rows)
        ceiling = 0.0
        for options in self.expand(query, query_language):
            held = [(*self._postings.postings(term), weight) for term, weight in options.items()]
            found = _counted([(rows, weight * times) for rows, times, weight in held if len(rows)], counts)
            idf = inverse_document_frequency(sum(float(np.minimum(own, 1.0).sum()) for _, own in found), n_rows)
            for rows, own in found:
                total[rows] += idf * own / (own + self._norms[rows])
            ceiling += idf
        reached = np.flatnonzero(total)
        return LexicalScores(reached, total[reached], n_rows, ceiling)


def _counted(parts: list[_Values], scratch: npt.NDArray[np.float64]) -> list[_Values]:
    """Return the rows of several lists, each once, with the sum of their values, all above 0.

    Args:
        parts: ``(rows, values)``, no row twice in one list, all values above 0.
        scratch: A zero for each row there is, and again in the end.
    """
    if len(parts) < 2:
        return parts
    for rows, values in parts:
        scratch[rows] += values
    found: list[_Values] = []
    for rows, _ in parts:
        own = scratch[rows]
        scratch[rows] = 0.0
        is_first = own > 0.0
        found.append((rows[is_first], own[is_first]))
    return found


_SOUNDS: WeakKeyDictionary[Vocabulary, Transliterator] = WeakKeyDictionary()


def _sounds(index: Vocabulary, language: str) -> Transliterator:
    """Return the vocabulary of an index by its sounds, worked out once for as long as the index is in use."""
    found = _SOUNDS.get(index)
    if found is None:
        found = _SOUNDS[index] = Transliterator(index.terms, language)
    return found
