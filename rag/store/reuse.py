"""What a build may take over from the generation before it.

Each thing is taken only if what made it is the same now: its settings, the code of its step, and the embedder where
that matters. The manifest of the generation remembers them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.datatypes import Document, Passage
from rag.store.bm25 import Bm25Index, JoinedBm25
from rag.store.generation import Generation
from rag.store.segment import Segment

Rows = npt.NDArray[np.int64]

SEGMENT_PASSAGES = 32_768  # of a new segment at most: what a change in it makes a build write anew
_ONE_SEGMENT = 8_192  # passages of an index that is not worth cutting up
_GROWTH = 4  # a segment is joined to what is new until it is so many times as large: few segments, few rewrites


class Reuse:
    """The reusable parts of a generation. Rows count the passages of the segments that are not kept.

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
        self._old = generation  # what is taken apart; see `keep`
        self._kept: list[Segment] = []
        self._by_content: dict[tuple[str, str], Document] = {}
        self._documents: Mapping[str, Document] = {}
        self._is_same_embedder, self._is_same_analysis, self._is_same_chunking = is_same_embedder, False, False
        self.is_current = False
        self.calibration: Mapping[str, Any] | None = None
        if generation is None:
            return
        manifest = generation.manifest
        is_same_step = {name: manifest.pipeline.get(name) == value for name, value in pipeline.items()}
        is_same_loading = is_same_step["loading"] and dict(manifest.loading) == dict(loading)
        is_same_chunking = is_same_embedder and is_same_step["chunking"] and dict(manifest.chunking) == dict(chunking)
        self._is_same_analysis = is_same_step["analysis"]
        self._is_same_chunking = is_same_loading and is_same_chunking
        if is_same_loading:
            self._documents = generation.documents
            for document in self._documents.values():
                self._by_content[document.sha256, PurePosixPath(document.doc_id).name] = document
        if is_same_chunking:
            self.calibration = generation.calibration
        self.is_current = self._is_same_chunking and self._is_same_analysis and generation.warning is None

    def document(self, doc_id: str, sha256: str) -> Document | None:
        """Return the document of a file with these bytes and this name, wherever it lay; None if there is none.

        Its ``doc_id`` is the one it had.
        """
        by_content = self._by_content.get((sha256, PurePosixPath(doc_id).name))  # the title may come from the name
        own = self._documents.get(doc_id)
        return own if by_content is not None and own is not None and own.sha256 == sha256 else by_content

    def keep(self, documents: Sequence[Document]) -> list[Segment]:
        """Choose the segments that stay as they are; the rest is taken apart from now on.

        Kept are those whose documents are all among ``documents``, unchanged, unless they are so small beside what is
        new that they are better written together with it.
        """
        if self._old is None or not self.is_current:
            return []
        wanted = {document.doc_id: document for document in documents}
        kept = [
            segment
            for segment in self._old.segments
            if all(wanted.get(doc_id) == document for doc_id, document in segment.documents.items())
        ]
        kept.sort(key=lambda segment: segment.n_passages, reverse=True)
        held = {doc_id for segment in kept for doc_id in segment.documents}
        letters = sum(len(document.text) for document in self._old.documents.values())
        fresh = sum(len(document.text) for document in documents if document.doc_id not in held)
        n_new = -(-fresh * self._old.manifest.counts["passages"] // max(letters, 1))
        if n_new + sum(segment.n_passages for segment in kept) <= _ONE_SEGMENT:
            return []
        while kept and kept[-1].n_passages < _GROWTH * n_new and kept[-1].n_passages + n_new <= SEGMENT_PASSAGES:
            n_new += kept.pop().n_passages
        self._kept = kept
        apart = [segment for segment in self._old.segments if segment not in kept]
        self._old = Generation(self._old.manifest, apart)
        return kept

    @cached_property
    def _rows(self) -> Mapping[str, list[int]]:
        rows: defaultdict[str, list[int]] = defaultdict(list)
        if self._old is not None and self._is_same_chunking:
            for row, passage in enumerate(self._old.passages):
                rows[passage.doc_id].append(row)
        return rows

    @cached_property
    def _vector_rows(self) -> Mapping[str, int]:
        if self._old is None or not self._is_same_embedder:
            return {}
        return {text: row for row, text in enumerate(self._old.inputs)}

    def passages(self, source: str, doc_id: str) -> tuple[list[Passage], list[int]] | None:
        """Return the passages of the document that was ``source`` and is ``doc_id``, and their rows.

        None if they must be cut anew.
        """
        if self._old is None or source not in self._rows:
            return None
        rows = self._rows[source]
        return [replace(self._old.passages[row], doc_id=doc_id) for row in rows], rows

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
        if self._old is not None and is_known.any():
            matrix[is_known] = self._old.vectors.reconstruct(rows[is_known])
        for segment in self._kept:  # a copy of what stays as it is
            found = segment.rows_of({text for text, known in zip(inputs, is_known, strict=True) if not known})
            places = [place for place, text in enumerate(inputs) if not is_known[place] and text in found]
            if places:
                own = np.array([found[inputs[place]] for place in places], dtype=np.int64)
                matrix[places], is_known[places] = segment.vectors.reconstruct(own), True
        return matrix, is_known

    def lexical(self, language: str, rows: Rows) -> tuple[Bm25Index | JoinedBm25, Rows] | None:
        """Return the BM25 index of a language and, for each passage row in ``rows``, its row in that index.

        -1 in ``rows`` (a new passage) stays -1. None if every passage must be analysed anew.
        """
        if self._old is None or not self._is_same_analysis or language not in self._old.bm25:
            return None
        index, passage_rows = self._old.bm25[language]
        own_rows = np.full(len(self._old.passages) + 1, -1, dtype=np.int64)  # the last one answers -1
        own_rows[passage_rows] = np.arange(len(passage_rows))
        return index, own_rows[rows]
