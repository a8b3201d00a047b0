"""What a build may take over from the generation before it.

Each thing is taken only if what made it is the same now: its settings, the code of its step, and the embedder where
that matters. The manifest of the generation remembers them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.datatypes import Document, Passage
from rag.store.bm25 import Bm25Index
from rag.store.generation import Generation

Rows = npt.NDArray[np.int64]


class Reuse:
    """The reusable parts of a generation. Rows are passage rows of that generation.

    Args:
        generation: The generation before; None where there is none, or none that can be read.
        is_same_embedder: Whether its vectors are those of the embedder in use.
        chunking: The settings in force now.
        loading: The settings in force now.
        pipeline: Fingerprints of the code in force now: ``loading``, ``chunking`` and ``analysis``.

    Attributes:
        is_current: Whether a build of the same documents would give this very generation.
        calibration: The generation's, where embedder and chunking are the same; None otherwise.
    """

    def __init__(
        self,
        generation: Generation | None,
        *,
        is_same_embedder: bool,
        chunking: Mapping[str, int],
        loading: Mapping[str, int | float],
        pipeline: Mapping[str, str],
    ) -> None:
        self._generation = generation
        self._by_content: dict[tuple[str, str], Document] = {}
        self._rows: defaultdict[str, list[int]] = defaultdict(list)
        self._vector_rows: dict[str, int] = {}
        self._is_same_analysis = False
        self.is_current = False
        self.calibration: Mapping[str, Any] | None = None
        if generation is None:
            return
        manifest = generation.manifest
        is_same_step = {name: manifest.pipeline.get(name) == value for name, value in pipeline.items()}
        is_same_loading = is_same_step["loading"] and dict(manifest.loading) == dict(loading)
        is_same_chunking = is_same_embedder and is_same_step["chunking"] and dict(manifest.chunking) == dict(chunking)
        self._is_same_analysis = is_same_step["analysis"]
        if is_same_loading:
            for document in generation.documents.values():
                self._by_content[document.sha256, PurePosixPath(document.doc_id).name] = document
        if is_same_loading and is_same_chunking:
            for row, passage in enumerate(generation.passages):
                self._rows[passage.doc_id].append(row)
        if is_same_embedder:
            self._vector_rows = {text: row for row, text in enumerate(generation.inputs)}
        if is_same_chunking:
            self.calibration = generation.calibration
        self.is_current = is_same_loading and is_same_chunking and self._is_same_analysis and generation.warning is None

    def document(self, doc_id: str, sha256: str) -> Document | None:
        """Return the document of a file with these bytes and this name, wherever it lay; None if there is none.

        Its ``doc_id`` is the one it had.
        """
        by_content = self._by_content.get((sha256, PurePosixPath(doc_id).name))  # the title may come from the name
        if by_content is None or self._generation is None:
            return None
        own = self._generation.documents.get(doc_id)
        return own if own is not None and own.sha256 == sha256 else by_content

    def passages(self, source: str, doc_id: str) -> tuple[list[Passage], list[int]] | None:
        """Return the passages of the document that was ``source`` and is ``doc_id``, and their rows.

        None if they must be cut anew.
        """
        if self._generation is None or source not in self._rows:
            return None
        rows = self._rows[source]
        return [replace(self._generation.passages[row], doc_id=doc_id) for row in rows], rows

    def vectors(self, inputs: list[str], dim: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Look up the vectors of embedder inputs.

        Args:
            inputs: Fingerprints of the texts, as in ``Generation.inputs``.
            dim: Length of a vector.

        Returns:
            ``(matrix, is_known)`` of shapes (len(inputs), dim) and (len(inputs),); a row that is not known is 0.
        """
        rows = np.array([self._vector_rows.get(item, -1) for item in inputs], dtype=np.int64)
        is_known: npt.NDArray[np.bool_] = rows >= 0
        matrix = np.zeros((len(inputs), dim), dtype=np.float32)
        if self._generation is not None:
            matrix[is_known] = self._generation.vectors.reconstruct(rows[is_known])
        return matrix, is_known

    def lexical(self, language: str, rows: Rows) -> tuple[Bm25Index, Rows] | None:
        """Return the BM25 index of a language and, for each passage row in ``rows``, its row in that index.

        -1 in ``rows`` (a new passage) stays -1. None if every passage must be analysed anew.
        """
        if self._generation is None or not self._is_same_analysis or language not in self._generation.bm25:
            return None
        index, passage_rows = self._generation.bm25[language]
        own_rows = np.full(len(self._generation.passages) + 1, -1, dtype=np.int64)  # the last one answers -1
        own_rows[passage_rows] = np.arange(len(passage_rows))
        return index, own_rows[rows]
