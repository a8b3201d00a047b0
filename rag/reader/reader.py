"""`Reader`: where in a passage is the answer, and how sure is that?

A question answering model gives each token the log-odds of a span's start and end, and of "no answer" (Devlin et al.
2019); the built-in one, or any of transformers by its folder.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from rag.datatypes import Hit
from rag.errors import ModelNotFoundError
from rag.reader.networks import Network, OnnxNetwork, TransformersNetwork, Window
from rag.reader.reading import Reading
from rag.text.fold import for_tokenizer

DEFAULT_READER = Path(__file__).parents[1] / "models" / "reader"

_BATCH = 8


class Reader:
    """An extractive question answering model. Safe to share between threads.

    Args:
        folder: A transformers folder with a question answering head and safetensors weights.
        device: A torch device; None takes the CPU, and ONNX Runtime for the built-in reader.

    Raises:
        ModelNotFoundError: The folder has no such model.
    """

    def __init__(self, folder: Path = DEFAULT_READER, *, device: str | None = None) -> None:
        if not (folder / "config.json").is_file():
            raise ModelNotFoundError(
                f"there is no reader in {folder}: config.json is missing. Name a transformers folder with a question "
                "answering model, or leave it out to use the built-in one"
            )
        is_built_in = folder.resolve() == DEFAULT_READER.resolve() and device is None
        self._network: Network = OnnxNetwork(folder) if is_built_in else TransformersNetwork(folder, device or "cpu")
        self._lock = threading.Lock()

    def read(self, question: str, passages: Sequence[str]) -> list[Reading]:
        """Read passages for the answer to a question.

        Args:
            question: Any text; beyond 64 tokens the rest is not read.
            passages: Any texts, in any language; longer ones than the model's window are read piece by piece.

        Returns:
            One reading a passage, finite for any text; without a token for a passage without one.
        """
        texts = [for_tokenizer(passage) for passage in passages]
        found: list[list[Window]] = [[] for _ in texts]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with self._lock:
            for at in range(0, len(order), _BATCH):
                rows = order[at : at + _BATCH]
                for source, window in self._network.read(for_tokenizer(question), [texts[row] for row in rows]):
                    found[rows[source]].append(window)
        return [_joined(pieces) for pieces in found]

    def rerank(self, question: str, hits: Sequence[Hit], *, weight: float = 0.5) -> list[Hit]:
        """Order hits anew by their score and by how likely their passage holds the answer.

        Args:
            question: What was searched for.
            hits: As `Retriever.search` returns them.
            weight: What one unit of log-odds counts against one of the fused score; 0 changes nothing.

        Returns:
            The same passages, best first, with new scores and ranks; equal scores keep their order.
        """
        readings = self.read(question, [f"{hit.passage.context}\n{hit.passage.text}" for hit in hits])
        scores = [
            hit.score + weight * _log_odds(reading.support()) for hit, reading in zip(hits, readings, strict=True)
        ]
        order = sorted(range(len(hits)), key=lambda i: -scores[i])
        return [replace(hits[i], score=scores[i], rank=rank) for rank, i in enumerate(order, start=1)]


def _log_odds(probability: float) -> float:
    """Return ln(p / (1 - p)), kept within -6 and 6."""
    bounded = min(max(probability, 1e-9), 1 - 1e-9)
    return max(-6.0, min(6.0, math.log(bounded / (1 - bounded))))


@lru_cache(maxsize=1)
def default_reader() -> Reader:
    """Return the built-in reader, loaded once in a process."""
    return Reader()


def _joined(pieces: list[Window]) -> Reading:
    """Put the windows of one passage together; a token of two windows keeps its higher log-odds."""
    best: dict[tuple[int, int], tuple[float, float]] = {}
    for offsets, starts, ends in pieces:
        for (first, last), start, end in zip(offsets.tolist(), starts.tolist(), ends.tolist(), strict=True):
            known = best.get((first, last), (-np.inf, -np.inf))
            best[first, last] = max(known[0], start), max(known[1], end)
    keys = sorted(best)
    return Reading(
        np.array(keys, dtype=np.int64).reshape(-1, 2),
        np.array([best[key][0] for key in keys], dtype=np.float32),
        np.array([best[key][1] for key in keys], dtype=np.float32),
    )
