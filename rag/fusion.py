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
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

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


def standardise(values: FloatArray, background: FloatArray) -> FloatArray:
    """Say how far values stand above those of their language's passages, in standard deviations.

    A language of few passages has no background of its own to speak of: its mean and variance are averaged with
    those of the whole index, which counts as 20 passages more.

    Args:
        values: Shape (n,), one leg's values of a query for every passage of one language.
        background: Shape (m,), the same for every passage of the index.

    Returns:
        Shape (n,), finite, in the order of ``values``.
    """
    if not len(values):
        return values
    total = len(values) + _BORROWED
    mean = (values.sum() + _BORROWED * background.mean()) / total
    variance = (((values - mean) ** 2).sum() + _BORROWED * ((background - mean) ** 2).mean()) / total
    standardised: FloatArray = (values - mean) / max(float(np.sqrt(variance)), _LEAST_DEVIATION)
    return standardised


def features(cosines: FloatArray, shares: FloatArray, *, all_cosines: FloatArray, all_shares: FloatArray) -> FloatArray:
    """Return what `fuse` weighs, shape (n, 4), in the order of `PairWeights`.

    Args:
        cosines: Shape (n,), of a query with every passage of one language.
        shares: Shape (n,), lexical scores of the same passages as shares of the query's ceiling, in [0, 1).
        all_cosines: Shape (m,), of the query with every passage of the index.
        all_shares: Shape (m,), likewise.
    """
    return np.stack(
        [standardise(cosines, all_cosines), standardise(shares, all_shares), shares, np.ones_like(shares)], axis=1
    )


def fuse(rows: FloatArray, weights: PairWeights) -> FloatArray:
    """Return one score for each row of `features`, shape (n,); higher is better, comparable across languages.

    Equal rows have equal scores, whatever other rows stand beside them: no matrix product, which rounds by shape.
    """
    dense, lexical, share, one = rows.T
    scores: FloatArray = weights.dense * dense + weights.lexical * lexical + weights.share * share + weights.bias * one
    return scores


def candidates(scores: FloatArray, eligible: npt.NDArray[np.bool_], top: int) -> npt.NDArray[np.int64]:
    """Return the positions of the ``top`` best eligible scores, best first; equal scores keep their order."""
    positions = np.flatnonzero(eligible)
    if len(positions) > top:
        cut = np.partition(scores[positions], len(positions) - top)[len(positions) - top]
        positions = positions[scores[positions] >= cut]
    return positions[np.argsort(-scores[positions], kind="stable")][:top]
