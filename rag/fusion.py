"""Dense and lexical scores become one score that is comparable across passage languages.

Each leg is put on a scale of its own first. Cosines and lexical scores count by how far they stand above the other
passages of their language, in standard deviations: models differ in where their cosines lie, and so do Arabic and
English passages. A lexical score counts once more as its share of what the query could reach, the same in each
language. A leg that finds nothing is the same for all passages and decides nothing. The numbers are weighted and
summed, with weights learnt for each pair of languages by ``training/fusion.py``; one loss over mixed collections
puts all pairs on one scale. Plain rank fusion was measured far below the better leg.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

DEFAULT_WEIGHTS = Path(__file__).parent / "models" / "fusion.json"

_BORROWED = 20.0  # a language of few passages borrows so many from the whole index for its mean and deviation
_LEAST_DEVIATION = 0.02


@dataclass(frozen=True, slots=True)
class PairWeights:
    """How the features of one pair of languages count; see `fuse`."""

    dense: float
    lexical: float
    share: float
    bias: float


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """Weights by pair of languages.

    ``pairs`` maps ``"ar-en"`` (query language, passage language) to its weights; ``"same"`` and ``"cross"`` stand
    for every pair that is not listed.
    """

    pairs: Mapping[str, PairWeights]

    def __post_init__(self) -> None:
        if missing := {"same", "cross"} - set(self.pairs):
            raise ValueError(f"fusion weights lack {sorted(missing)}")

    @classmethod
    def load(cls, path: Path = DEFAULT_WEIGHTS) -> FusionWeights:
        """Read the file that ``training/fusion.py`` writes.

        Raises:
            ValueError: The file is not of that form.
        """
        pairs = json.loads(path.read_text("utf-8"))["pairs"]
        names = [field.name for field in fields(PairWeights)]
        try:
            return cls(
                {pair: PairWeights(*(float(weights[name]) for name in names)) for pair, weights in pairs.items()}
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} holds no fusion weights: {error!r}") from error

    def of(self, query_language: str, passage_language: str) -> PairWeights:
        """Return the weights of a pair; a language that could not be told counts as the same."""
        own = self.pairs.get(f"{query_language}-{passage_language}")
        if own is not None:
            return own
        is_same = query_language == passage_language or "und" in (query_language, passage_language)
        return self.pairs["same" if is_same else "cross"]


@lru_cache(maxsize=1)
def default_weights() -> FusionWeights:
    """Return the shipped weights, read once."""
    return FusionWeights.load()


@dataclass(frozen=True, slots=True)
class Moments:
    """How many values there are, their mean and their variance; finite, 0 where there is no value."""

    n: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: npt.NDArray[np.floating[Any]], *, n: int | None = None) -> Moments:
        """Return the moments of values.

        Args:
            values: Shape (m,).
            n: How many values there are in all, at least m, where the others are 0; None for m.
        """
        total = len(values) if n is None else n
        if not total:
            return cls(0, 0.0, 0.0)
        mean = float(values.sum(dtype=np.float64)) / total
        squares = float(((values - mean) ** 2).sum(dtype=np.float64)) + (total - len(values)) * mean**2
        return cls(total, mean, squares / total)

    def of_all(self, n: int) -> Moments:
        """Return these moments, those of a fair sample, as those of all ``n`` values that it was drawn from."""
        return replace(self, n=n)

    @classmethod
    def pooled(cls, parts: Iterable[Moments]) -> Moments:
        """Return the moments of all values of several parts together."""
        filled = [part for part in parts if part.n]
        total = sum(part.n for part in filled)
        if not total:
            return cls(0, 0.0, 0.0)
        mean = sum(part.n * part.mean for part in filled) / total
        return cls(total, mean, sum(part.n * part.spread(mean) for part in filled) / total)

    def spread(self, around: float) -> float:
        """Return the mean square distance of the values from a point."""
        return self.variance + (self.mean - around) ** 2


def standardise(values: FloatArray, own: Moments, everywhere: Moments) -> FloatArray:
    """Say how far values stand above those of their language's passages, in standard deviations.

    A language of few passages has no background of its own to speak of: its mean and variance are averaged with
    those of the whole index, which counts as 20 passages more.

    Args:
        values: Shape (n,), one leg's values of a query for passages of one language.
        own: Of the values of all passages of that language.
        everywhere: Of the values of all passages of the index.

    Returns:
        Shape (n,), finite, in the order of ``values``.
    """
    total = own.n + _BORROWED
    mean = (own.n * own.mean + _BORROWED * everywhere.mean) / total
    variance = (own.n * own.spread(mean) + _BORROWED * everywhere.spread(mean)) / total
    standardised: FloatArray = (values - mean) / max(variance**0.5, _LEAST_DEVIATION)
    return standardised


@dataclass(frozen=True, slots=True)
class Background:
    """What the values of one passage language are measured against: moments of cosines and of shares."""

    cosines: Moments
    shares: Moments

    @classmethod
    def pooled(cls, parts: Collection[Background]) -> Background:
        """Return that of all languages together."""
        return cls(Moments.pooled(part.cosines for part in parts), Moments.pooled(part.shares for part in parts))


def features(cosines: FloatArray, shares: FloatArray, own: Background, everywhere: Background) -> FloatArray:
    """Return what `fuse` weighs, shape (n, 4), in the order of `PairWeights`.

    Args:
        cosines: Shape (n,), of a query with passages of one language.
        shares: Shape (n,), lexical scores of the same passages as shares of the query's ceiling, in [0, 1).
        own: Of the query with all passages of that language.
        everywhere: Of the query with all passages of the index.
    """
    return np.stack(
        [
            standardise(cosines, own.cosines, everywhere.cosines),
            standardise(shares, own.shares, everywhere.shares),
            shares,
            np.ones_like(shares),
        ],
        axis=1,
    )


def fuse(rows: FloatArray, weights: PairWeights) -> FloatArray:
    """Return one score for each row of `features`, shape (n,); higher is better, comparable across languages.

    Equal rows have equal scores, whatever other rows stand beside them: no matrix product, which rounds by shape.
    """
    dense, lexical, share, one = rows.T
    scores: FloatArray = weights.dense * dense + weights.lexical * lexical + weights.share * share + weights.bias * one
    return scores


def candidates(
    scores: npt.NDArray[np.floating[Any]], eligible: npt.NDArray[np.bool_], top: int
) -> npt.NDArray[np.int64]:
    """Return the positions of the ``top`` best eligible scores, best first; equal scores keep their order."""
    positions = np.flatnonzero(eligible)
    if len(positions) > top:
        cut = np.partition(scores[positions], len(positions) - top)[len(positions) - top]
        positions = positions[scores[positions] >= cut]
    return positions[np.argsort(-scores[positions], kind="stable")][:top]
