"""Sentences scored by the embedder alone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]

_CACHED_SENTENCES = 10_000  # 896 float32 each: 36 MB


class CosineScorer:
    """The cosine of question and sentence, from the retriever's own embedder.

    Sentence vectors are kept, least recently used dropped first, so that a passage read twice is encoded once.
    Threads may share one.

    Args:
        encode_queries: Texts to unit rows, shape (n, dim).
        encode_passages: The same for what may answer.
    """

    def __init__(self, encode_queries: Encode, encode_passages: Encode) -> None:
        self._encode_queries = encode_queries
        self._encode_passages = encode_passages
        self._vectors: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def score(self, question: str, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the cosine of the question and each sentence, shape (n_sentences,)."""
        if not sentences:
            return np.zeros(0, dtype=np.float32)
        query = self._encode_queries([question])[0]  # (dim,)
        scores: npt.NDArray[np.float32] = np.stack(self._encode(sentences)) @ query
        return scores

    def _encode(self, sentences: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        with self._lock:
            known = {sentence: self._vectors[sentence] for sentence in sentences if sentence in self._vectors}
        missing = [sentence for sentence in dict.fromkeys(sentences) if sentence not in known]
        if missing:
            rows = self._encode_passages(missing)
            known.update((text, row.copy()) for text, row in zip(missing, rows, strict=True))  # no view: it keeps all
        with self._lock:
            for sentence in dict.fromkeys(sentences):
                self._vectors[sentence] = known[sentence]
                self._vectors.move_to_end(sentence)
            while len(self._vectors) > _CACHED_SENTENCES:
                self._vectors.popitem(last=False)
        return [known[sentence] for sentence in sentences]
