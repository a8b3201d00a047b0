"""The two legs of a search in the passages of one language: by meaning (cosines) and by words (BM25)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.fusion import Background, Moments, candidates
from rag.lexical import LexicalScores
from rag.store.vectors import Part

Positions = npt.NDArray[np.int64]

_SAMPLE = 512  # passages whose cosines stand for those of a large language: their mean is right to a 20th deviation


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
        rows: The row in the index of each position.
        eligible: Which positions may be found.
        dense: By meaning.
        lexical: By words.
        positions: The candidates, increasing.
        cosines: Of the candidates.
        scores: BM25 of the candidates, 0 where no word is shared.
    """

    rows: Positions
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
            return _rank(self.cosines, self.positions, np.ones(len(self.cosines), dtype=np.bool_), own, position)
        return _rank(every, np.arange(len(every)), self.eligible, own, position)

    def lexical_rank(self, place: int) -> int | None:
        """Return the 1-based rank by BM25 of a candidate among eligible passages; None if it shares no word."""
        if self.scores[place] <= 0:
            return None
        found = self.lexical
        return _rank(found.found, found.rows, self.eligible[found.rows], self.scores[place], self.positions[place])


def _rank(
    scores: npt.NDArray[np.floating[Any]],
    positions: Positions,
    eligible: npt.NDArray[np.bool_],
    own: float,
    position: int,
) -> int:
    before = (scores > own) | ((scores == own) & (positions < position))
    return int((before & eligible).sum()) + 1
