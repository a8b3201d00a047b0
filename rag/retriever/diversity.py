"""Maximal marginal relevance: passages that are good and do not repeat each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def diversify(scores: FloatArray, vectors: FloatArray, *, diversity: float, top: int) -> list[int]:
    """Order candidates by maximal marginal relevance (Carbonell and Goldstein, 1998).

    One after another, the candidate i is taken for which

        (1 - diversity) * relevance(i) - diversity * max over j taken before of cosine(i, j)

    is greatest; the maximum over none is 0, so the best candidate comes first whatever the diversity. Fused scores have
    no fixed scale: relevance(i) is the score brought to [0, 1], (score(i) - worst) / (best - worst), and 1 for all
    where they are equal. Ties keep the order given.

    Args:
        scores: Shape (n,), n at least 1, higher is better.
        vectors: Shape (n, dim), unit vectors of the same passages.
        diversity: In [0, 1]; 0 orders by score alone.
        top: Passages wanted, at least 1.

    Returns:
        The positions of the min(n, top) passages taken, in the order they were taken.
    """
    spread = scores.max() - scores.min()
    relevance = (scores - scores.min()) / spread if spread > 0 else np.ones_like(scores)
    nearest = np.zeros_like(scores)  # the greatest cosine with a passage taken before
    is_left = np.ones(len(scores), dtype=bool)
    taken: list[int] = []
    for _ in range(min(top, len(scores))):
        worth = np.where(is_left, (1.0 - diversity) * relevance - diversity * nearest, -np.inf)
        best = int(np.argmax(worth))
        cosines = vectors @ vectors[best]
        nearest = np.maximum(nearest, cosines) if taken else cosines
        is_left[best] = False
        taken.append(best)
    return taken
