"""Vectors for growth curves, made where encoding would take hours: noise around real ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

NOISE = 0.5  # length of what is added to a real unit vector
FILE_VARIABLE = "PEERS_SYNTHETIC"

Rows = npt.NDArray[np.float32]


class Synthetic:
    """An encoder without a network: a text's hash picks a real vector and seeds the noise added to it.

    The same text always gets the same vector, and nothing is kept for it. Cosine to the real vector is about
    ``1 / sqrt(1 + NOISE ** 2)``, 0.89. Known questions get their real vectors.

    Args:
        passages: Real vectors to add noise to, shape (n, dim), rows of L2 norm 1.
        questions: Texts whose vectors are known.
        vectors: Their vectors, shape (len(questions), dim).
    """

    def __init__(self, passages: Rows, questions: Sequence[str], vectors: Rows) -> None:
        self._passages = passages
        self._known = dict(zip(questions, vectors, strict=True))

    @property
    def dim(self) -> int:
        """Return the length of a vector."""
        return int(self._passages.shape[1])

    def encode(self, texts: Sequence[str]) -> Rows:
        """Return unit vectors, shape (len(texts), dim). Of a text of several lines only the last one counts."""
        rows = np.empty((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            last = text[text.rfind("\n") + 1 :]
            rows[row] = self._known[last] if last in self._known else self._made(last)
        return rows

    def _made(self, text: str) -> Rows:
        seed = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        noise = np.random.default_rng(seed).standard_normal(self.dim, dtype=np.float32)
        vector = self._passages[seed % len(self._passages)] + NOISE * noise / np.linalg.norm(noise)
        made: Rows = vector / np.linalg.norm(vector)
        return made

    def save(self, path: Path) -> None:
        """Write the real vectors and the known questions."""
        questions = np.array(list(self._known), dtype=np.str_)
        np.savez(path, passages=self._passages, questions=questions, vectors=np.stack(list(self._known.values())))

    @classmethod
    def load(cls, path: Path) -> Synthetic:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["passages"], stored["questions"].tolist(), stored["vectors"])


@cache
def _shared() -> Synthetic:
    return Synthetic.load(Path(os.environ[FILE_VARIABLE]))


def transform(texts: Sequence[str]) -> Rows:
    """Encode by the file that the environment names; for libraries that store the dotted name of a function."""
    return _shared().encode(texts)
