"""What a reader saw in a passage, and the answer that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
Offsets = npt.NDArray[np.int64]

_LONGEST_ANSWER = 40  # tokens


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """``passage[start:end]`` answers; ``score`` is the log-odds of that against "no answer here"."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model saw in one passage, token by token.

    Attributes:
        offsets: Code points where each token begins and ends, shape (n, 2), in text order.
        starts: Log-odds of the answer starting at the token against there being none, shape (n,).
        ends: The same for its last token.
    """

    offsets: npt.NDArray[np.int64]
    starts: Logits
    ends: Logits

    def best(self, start: int = 0, end: int | None = None) -> AnswerSpan | None:
        """Return the best answer inside ``passage[start:end]``; None if there is no token."""
        rows = self._rows(start, end)
        if not len(rows):
            return None
        starts, ends = self.starts[rows], self.ends[rows]
        best = (-np.inf, 0, 0)
        for length in range(min(_LONGEST_ANSWER, len(rows))):
            sums = starts[: len(rows) - length] + ends[length:]
            first = int(sums.argmax())
            best = max(best, (float(sums[first]), -length, first))
        score, length, first = best[0], -best[1], best[2]
        return AnswerSpan(int(self.offsets[rows[first], 0]), int(self.offsets[rows[first + length], 1]), score)

    def support(self, start: int = 0, end: int | None = None) -> float:
        """Return how likely the answer lies inside ``passage[start:end]``, in [0, 1].

        The geometric mean of the probabilities that it starts and that it ends there; "no answer" is among the
        outcomes, so values of different passages can be compared.
        """
        rows = self._rows(start, end)
        return float(np.sqrt(_share(self.starts, rows) * _share(self.ends, rows)))

    def _rows(self, start: int, end: int | None) -> npt.NDArray[np.int64]:
        inside = self.offsets[:, 1] > start
        if end is not None:
            inside &= self.offsets[:, 0] < end
        return np.flatnonzero(inside)


def _share(logits: Logits, rows: npt.NDArray[np.int64]) -> float:
    """Return the probability mass of some tokens, with "no answer" at logit 0."""
    top = max(0.0, float(logits.max(initial=0.0)))
    total = np.exp(logits - top).sum() + np.exp(-top)
    return float(np.exp(logits[rows] - top).sum() / total)
