"""The two legs of a search in an index in Milvus, which finds the candidates and holds what their scores are made of.

Scores are those of `rag.retriever.legs`: cosines and BM25 of the candidates are computed here, exactly, and the moments
of all scores come from statistics. Those of the cosines are exact. Those of BM25 are made of the passages that were
found, up to ``_FOUND`` for each language, and of what the statistics of the terms leave for all others, as though terms
fell on those independently of each other: exact where no more passages than that hold a word of the query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.datatypes import Passage
from rag.dictionary import Dictionary
from rag.fusion import Background, Moments, candidates
from rag.lexical import Lexicon
from rag.retriever.filters import Filters
from rag.retriever.legs import rank_of
from rag.store.bm25 import inverse_document_frequency
from rag.store.milvus_client import stable_hash
from rag.store.milvus_segment import Found, MilvusSegment, Terms
from rag.store.milvus_statistics import LanguageStatistics, TermStatistics
from rag.store.milvus_writer import folder_mark, metadata_mark
from rag.text.analyzers import content_terms

_FOUND = 1_024

FloatArray = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


class MilvusLegs:
    """Search in a generation that is in Milvus; see `rag.retriever.legs.Legs`. Safe to share between threads.

    Args:
        segment: The generation's.
        dictionary: Translations for the lexical legs.
    """

    def __init__(self, segment: MilvusSegment, dictionary: Dictionary) -> None:
        self._segment, self._dictionary = segment, dictionary
        self.languages: Mapping[str, int] = dict(sorted(segment.languages.items()))
        self._terms = {language: segment.terms(language) for language in self.languages}
        self._lexicons = {language: Lexicon(own, language, dictionary) for language, own in self._terms.items()}

    def passing(self, filters: Filters) -> str:
        """See `Legs.passing`; an expression of Milvus, "" where every passage passes."""
        asked = []
        marks = [folder_mark(filters.collection)] if filters.collection else []
        marks += [metadata_mark(key, value) for key, value in (filters.metadata or {}).items()]
        if marks:
            asked.append(f"ARRAY_CONTAINS_ALL(marks, {marks})")
        if filters.doc_ids is not None:
            hashes = sorted({stable_hash(doc_id) for doc_id in filters.doc_ids})
            asked.append(f"doc in {hashes}" if hashes else "row < 0")
        return " and ".join(asked)

    def search(
        self, query: str, query_language: str, vector: npt.NDArray[np.float32], passing: str, top: int
    ) -> Mapping[str, MilvusCandidates]:
        """See `Legs.search`."""
        return {
            language: self._search(query, query_language, vector, passing, top, language) for language in self.languages
        }

    def _search(
        self, query: str, query_language: str, vector: npt.NDArray[np.float32], passing: str, top: int, language: str
    ) -> MilvusCandidates:
        own = self._segment.statistics[language]
        asked = _Asked.of(self._expand(query, query_language, language), self._terms[language], own)
        nearest = self._segment.nearest(vector, language, passing, top)
        everywhere = passed = Found(np.zeros(0, np.int64), np.zeros((0, len(asked.ids))), np.zeros(0))
        if asked.ids:
            everywhere = passed = self._segment.matching(asked.linear(own), language, "", _FOUND)
            if passing:
                passed = self._segment.matching(asked.linear(own), language, passing, max(_FOUND, top))
        idf = asked.idf(everywhere, own)
        found_scores = asked.scores(passed, idf, own)
        best = candidates(found_scores, found_scores > 0, top)
        rows = np.union1d(nearest, passed.rows[best]).astype(np.int64)
        vectors, held = self._segment.look_at(rows.tolist(), language, asked.ids)
        cosines = (vectors * vector).sum(axis=1)  # no matrix product, which rounds by shape
        mean = float(own.mean @ vector)
        moments = Moments(own.n_passages, mean, max(float(vector @ own.covariance @ vector), 0.0))
        return MilvusCandidates(
            rows=rows,
            cosines=cosines.astype(np.float64),
            scores=asked.scores(held, idf, own),
            ceiling=float(idf.sum()),
            background=Background(moments, asked.moments(everywhere, idf, own)),
            found_rows=passed.rows,
            found_scores=found_scores,
        )

    def _expand(self, query: str, query_language: str, language: str) -> list[Mapping[str, float]]:
        """Return what `Lexicon.expand` does, after one call for all the terms that it may ask for."""
        wanted = content_terms(query, language)
        if query_language != language and self._dictionary.covers(query_language, language):
            wanted = content_terms(query, query_language)
            wanted = [
                *wanted,
                *(
                    option
                    for term in wanted
                    for option, _ in self._dictionary.translate(term, query_language, language)
                ),
            ]
        self._terms[language].look_up(wanted)
        return self._lexicons[language].expand(query, query_language)

    def lexicon(self, language: str) -> Lexicon:
        """See `Legs.lexicon`."""
        return self._lexicons[language]

    def idf(self, term: str, language: str) -> float:
        """See `Legs.idf`."""
        return self._terms[language].idf(term)

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        """See `Legs.passages`."""
        return self._segment.read_passages(rows)

    def vectors(self, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """See `Legs.vectors`."""
        return self._segment.read_vectors(rows)


@dataclass(frozen=True, slots=True)
class MilvusCandidates:
    """See `rag.retriever.legs.Candidates`.

    ``found_rows`` are the passages, up to ``_FOUND``, that pass and share a word; ``found_scores`` their BM25.
    """

    rows: Positions
    cosines: FloatArray
    scores: FloatArray
    ceiling: float
    background: Background
    found_rows: Positions
    found_scores: FloatArray

    @property
    def shares(self) -> FloatArray:
        """See `Candidates.shares`."""
        return self.scores / (self.ceiling or 1.0)

    def dense_rank(self, place: int) -> int:
        """Return the rank by cosine among the candidates: never worse than among all passages that pass."""
        return rank_of(
            self.cosines, self.rows, np.ones(len(self.rows), np.bool_), self.cosines[place], self.rows[place]
        )

    def lexical_rank(self, place: int) -> int | None:
        """Return the rank by BM25 among the passages that were found; None if it shares no word."""
        if self.scores[place] <= 0:
            return None
        every = np.ones(len(self.found_rows), np.bool_)
        return rank_of(self.found_scores, self.found_rows, every, self.scores[place], self.rows[place])


@dataclass(frozen=True, slots=True)
class _Asked:
    """The structured terms of a query, those of one language's passages; see `rag.lexical`.

    Attributes:
        ids: Of the index terms, in any order, each once.
        known: Their statistics, in that order.
        weights: Shape (n_structured, len(ids)): how much an index term counts for a structured term, in [0, 1].
    """

    ids: list[int]
    known: list[TermStatistics]
    weights: FloatArray

    @classmethod
    def of(cls, expanded: Sequence[Mapping[str, float]], terms: Terms, own: LanguageStatistics) -> _Asked:
        known = terms.look_up(sorted({term for options in expanded for term in options}))
        places = {term: place for place, term in enumerate(known)}
        weights = np.zeros((len(expanded), len(known)))
        for number, options in enumerate(expanded):
            for term, weight in options.items():
                if term in places:
                    weights[number, places[term]] = weight
        return cls([each.id for each in known.values()], list(known.values()), weights)

    def linear(self, own: LanguageStatistics) -> dict[int, float]:
        """Return weights by id, whose inner product with a passage is BM25 where no structured term has two terms."""
        frequencies = np.minimum(self.weights @ self._numbers("frequency"), own.n_passages)
        idf = np.array([inverse_document_frequency(each, own.n_passages) for each in frequencies])
        return dict(zip(self.ids, (idf @ self.weights).tolist(), strict=True))

    def idf(self, found: Found, own: LanguageStatistics) -> FloatArray:
        """Return the inverse document frequency of each structured term.

        Its frequency is counted where passages were found; the others are taken to hold one of its terms, once.
        """
        counts = np.minimum(found.counts @ self.weights.T, 1.0).sum(axis=0)
        counts += self.weights @ (self._numbers("frequency") - (found.counts > 0).sum(axis=0))
        return np.array([inverse_document_frequency(min(each, own.n_passages), own.n_passages) for each in counts])

    def scores(self, found: Found, idf: FloatArray, own: LanguageStatistics) -> FloatArray:
        """Return the BM25 of some passages, shape (n,)."""
        counts = found.counts @ self.weights.T
        scores: FloatArray = (idf * counts / (counts + own.norms(found.lengths)[:, None])).sum(axis=1)
        return scores

    def moments(self, found: Found, idf: FloatArray, own: LanguageStatistics) -> Moments:
        """Return the moments of the shares of all passages of the language."""
        ceiling = float(idf.sum())
        if not ceiling or not self.ids:
            return Moments(own.n_passages, 0.0, 0.0)
        scores = self.scores(found, idf, own)
        values = found.counts / (found.counts + own.norms(found.lengths)[:, None])
        weights = idf @ self.weights
        left = np.maximum(self._numbers("total") - values.sum(axis=0), 0.0) * weights
        left_squares = np.maximum(self._numbers("squares") - (values**2).sum(axis=0), 0.0) * weights**2
        together = (left.sum() ** 2 - (left**2).sum()) / max(own.n_passages - len(scores), 1)
        mean = (scores.sum() + left.sum()) / own.n_passages / ceiling
        square = ((scores**2).sum() + left_squares.sum() + together) / own.n_passages / ceiling**2
        return Moments(own.n_passages, float(mean), max(float(square - mean**2), 0.0))

    def _numbers(self, name: str) -> FloatArray:
        return np.array([getattr(each, name) for each in self.known], dtype=np.float64)
