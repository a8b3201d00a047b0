"""The two legs of a search in the passages of one language: by meaning (cosines) and by words (BM25).

`MemoryLegs` searches an index that is held in memory, `rag.retriever.milvus_legs.MilvusLegs` one in Milvus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from rag.datatypes import Passage
from rag.dictionary import Dictionary
from rag.fusion import Background, Moments, candidates
from rag.lexical import LexicalLeg, LexicalScores, Lexicon
from rag.retriever.filters import Filters
from rag.store import Generation
from rag.store.vectors import Part

Positions = npt.NDArray[np.int64]

_SAMPLE = 512  # passages whose cosines stand for those of a large language: their mean is right to a 20th deviation


Passing = TypeVar("Passing")


class Candidates(Protocol):
    """What both legs found in the passages of one language, for one query.

    ``rows`` are the candidates, increasing; ``cosines``, ``scores`` (BM25, 0 where no word is shared) and ``shares``
    (BM25 as shares of what the query could reach) are theirs. ``background`` is what they are measured against.
    """

    @property
    def rows(self) -> Positions:
        """Return the rows in the index."""

    @property
    def cosines(self) -> npt.NDArray[np.float64]:
        """Return the cosines with the query."""

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """Return the scores of BM25."""

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Return the same as shares, in [0, 1)."""

    @property
    def background(self) -> Background:
        """Return the moments of the numbers of all passages of the language."""

    def dense_rank(self, place: int) -> int:
        """Return the 1-based rank by cosine of a candidate among the passages that pass; ties keep index order."""

    def lexical_rank(self, place: int) -> int | None:
        """Return the 1-based rank by BM25 likewise; None if it shares no word."""


class Legs(Protocol[Passing]):
    """Search in all passages of a generation, wherever they are. Safe to share between threads."""

    @property
    def languages(self) -> Mapping[str, int]:
        """Return the number of passages by language."""

    def passing(self, filters: Filters) -> Passing:
        """Return the passages whose documents pass, as `search` takes them; their language is not looked at."""

    def search(
        self, query: str, query_language: str, vector: npt.NDArray[np.float32], passing: Passing, top: int
    ) -> Mapping[str, Candidates]:
        """Return by language the ``top`` best passages of each leg that pass.

        Args:
            query: As typed.
            query_language: ISO 639-1 code.
            vector: Its unit vector, shape (dim,).
            passing: See `passing`.
            top: At least 1.
        """

    def lexicon(self, language: str) -> Lexicon:
        """Return the terms of the passages of a language that there is."""

    def idf(self, term: str, language: str) -> float:
        """Return a term's inverse document frequency among the passages of a language that there is."""

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        """Return the passages of rows, in their order."""

    def vectors(self, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return a copy of the vectors of rows, shape (len(rows), dim)."""


class DenseLeg:
    """Cosines of queries with the passages of one language. Immutable; safe to share.

    Of many passages only the nearest are told, and a fixed sample stands for all the others.

    Args:
        part: The vectors of these passages.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        self._sample: npt.NDArray[np.float32] | None = None
        if not part.is_exact:
            chosen = np.random.default_rng(0).choice(len(part), min(_SAMPLE, len(part)), replace=False)
            self._sample = part.reconstruct(np.sort(chosen))

    def score(self, query: npt.NDArray[np.float32], eligible: npt.NDArray[np.bool_], top: int) -> DenseScores:
        """Score passages for a query.

        Args:
            query: Its unit vector, shape (dim,).
            eligible: Which passages may be found, shape (n,).
            top: How many of them to find.
        """
        if self._sample is None:
            cosines = self._part.cosines(query)
            return DenseScores(query, self._part, candidates(cosines, eligible, top), Moments.of(cosines), cosines)
        moments = Moments.of(self._sample @ query).of_all(len(self._part))
        return DenseScores(query, self._part, self._part.nearest(query, eligible, top), moments, None)


@dataclass(frozen=True, slots=True)
class DenseScores:
    """Cosines of one query with passages of one language.

    ``nearest`` are the best eligible positions, best first; ``moments`` are those of all cosines, or of a fair sample;
    ``every`` is the cosine of every passage, None where they are too many.
    """

    query: npt.NDArray[np.float32]
    part: Part
    nearest: Positions
    moments: Moments
    every: npt.NDArray[np.float32] | None

    def at(self, positions: Positions) -> npt.NDArray[np.float64]:
        """Return the cosines of some positions, in their order."""
        found = self.part.cosines(self.query, positions) if self.every is None else self.every[positions]
        return found.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Leg:
    """What both legs found in the passages of one language, for one query.

    Attributes:
        every_row: The row in the index of each position.
        eligible: Which positions may be found.
        dense: By meaning.
        lexical: By words.
        positions: The candidates, increasing.
        cosines: Of the candidates.
        scores: BM25 of the candidates, 0 where no word is shared.
    """

    every_row: Positions
    eligible: npt.NDArray[np.bool_]
    dense: DenseScores
    lexical: LexicalScores
    positions: Positions
    cosines: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls,
        rows: Positions,
        eligible: npt.NDArray[np.bool_],
        dense: DenseScores,
        lexical: LexicalScores,
        top: int,
    ) -> Leg:
        """Take the ``top`` best eligible passages of each leg for candidates."""
        best = lexical.rows[candidates(lexical.found, eligible[lexical.rows], top)]
        positions = np.union1d(dense.nearest, best).astype(np.int64)
        return cls(rows, eligible, dense, lexical, positions, dense.at(positions), lexical.at(positions))

    @property
    def rows(self) -> Positions:
        """Return the rows of the candidates."""
        return self.every_row[self.positions]

    @property
    def background(self) -> Background:
        """Return what the numbers of these passages are measured against."""
        ceiling = self.lexical.ceiling or 1.0
        return Background(self.dense.moments, Moments.of(self.lexical.found / ceiling, n=self.lexical.n_rows))

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Return the lexical scores of the candidates as shares of what the query could reach."""
        return self.scores / (self.lexical.ceiling or 1.0)

    def dense_rank(self, place: int) -> int:
        """Return the 1-based rank by cosine of a candidate among eligible passages; ties keep index order.

        Where not every cosine is known, among the candidates: never worse than it is.
        """
        own, position = self.cosines[place], self.positions[place]
        every = self.dense.every
        if every is None:
            return rank_of(self.cosines, self.positions, np.ones(len(self.cosines), dtype=np.bool_), own, position)
        return rank_of(every, np.arange(len(every)), self.eligible, own, position)

    def lexical_rank(self, place: int) -> int | None:
        """Return the 1-based rank by BM25 of a candidate among eligible passages; None if it shares no word."""
        if self.scores[place] <= 0:
            return None
        found = self.lexical
        return rank_of(found.found, found.rows, self.eligible[found.rows], self.scores[place], self.positions[place])


@dataclass(frozen=True, slots=True)
class _Language:
    """The passages of one language: their rows, increasing, and their legs over the same positions."""

    rows: npt.NDArray[np.int64]
    dense: DenseLeg
    lexical: LexicalLeg


class MemoryLegs:
    """Search in a generation that is held in memory; see `Legs`.

    Args:
        generation: The generation.
        dictionary: Translations for the lexical legs.
    """

    def __init__(self, generation: Generation, dictionary: Dictionary) -> None:
        self._generation = generation
        self.parts = {
            language: _Language(rows, DenseLeg(generation.part(language)), LexicalLeg(index, language, dictionary))
            for language, (index, rows) in sorted(generation.bm25.items())
        }
        self._doc_ids = {doc_id: number for number, doc_id in enumerate(generation.documents)}
        own = [
            np.array([self._doc_ids[doc_id] for doc_id in segment.documents], dtype=np.int64)[segment.doc_numbers]
            for segment in generation.segments
        ]
        self._doc_of_row = np.concatenate(own)

    @property
    def languages(self) -> Mapping[str, int]:
        """See `Legs.languages`."""
        return {language: len(part.rows) for language, part in self.parts.items()}

    def passing(self, filters: Filters) -> npt.NDArray[np.bool_]:
        """See `Legs.passing`; shape (n_rows,)."""
        if filters.is_open:
            return np.ones(len(self._doc_of_row), dtype=bool)
        passes = np.zeros(len(self._doc_ids), dtype=bool)
        passes[[self._doc_ids[doc_id] for doc_id in filters.passing(self._generation.documents)]] = True
        return passes[self._doc_of_row]

    def search(
        self, query: str, query_language: str, vector: npt.NDArray[np.float32], passing: npt.NDArray[np.bool_], top: int
    ) -> Mapping[str, Leg]:
        """See `Legs.search`."""
        return {
            language: Leg.of(
                part.rows,
                (eligible := passing[part.rows]),
                part.dense.score(vector, eligible, top),
                part.lexical.score(query, query_language),
                top,
            )
            for language, part in self.parts.items()
        }

    def lexicon(self, language: str) -> Lexicon:
        """See `Legs.lexicon`."""
        return self.parts[language].lexical

    def idf(self, term: str, language: str) -> float:
        """See `Legs.idf`."""
        return self._generation.bm25[language][0].idf(term)

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        """See `Legs.passages`."""
        return [self._generation.passages[row] for row in rows]

    def vectors(self, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """See `Legs.vectors`."""
        return self._generation.vectors.reconstruct(np.array(rows, dtype=np.int64))


def rank_of(
    scores: npt.NDArray[np.floating[Any]],
    positions: Positions,
    eligible: npt.NDArray[np.bool_],
    own: float,
    position: int,
) -> int:
    """Return the 1-based rank of a score among those that are eligible; of equal ones the lower position is first."""
    before = (scores > own) | ((scores == own) & (positions < position))
    return int((before & eligible).sum()) + 1
