"""Writes one generation into Milvus; see `rag.store.milvus_segment` for what is there then."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from rag.datatypes import _LIST_COMMA, Document
from rag.store.bm25 import Bm25Index, IntArray, JoinedBm25
from rag.store.generation import Draft
from rag.store.milvus_client import Milvus, blob_rows, stable_hash
from rag.store.milvus_segment import PASSAGES_FIELDS
from rag.store.milvus_statistics import LanguageTerms, language_statistics, term_blobs, write_statistics
from rag.store.segment import (
    LexicalPart,
    Segment,
    SegmentDraft,
    document_record,
    documents_of,
    passage_record,
    to_line,
)
from rag.store.vectors import VectorIndex

_EXACT_PASSAGES = 100_000  # Milvus scans so many vectors; beyond it, it chooses an index for them
_RECORD_BYTES = 65_000
_MARKS = 4_096  # of a passage, at most: folders, and values of metadata
_NOTHING = {0: 1.0}  # Milvus takes no empty sparse vector; the ids of terms start at 1


class Writer:
    """What a build produced, joined to one, and how it is written.

    Args:
        milvus: Where to.
        draft: What.

    Raises:
        ValueError: The parts do not belong together; see `SegmentDraft.to_files`.
    """

    def __init__(self, milvus: Milvus, draft: Draft) -> None:
        segments = list(draft.segments)
        for segment in segments:
            if isinstance(segment, SegmentDraft):
                segment.to_files()  # checks it
        self._milvus, self._calibration = milvus, draft.calibration
        self.documents = [document for segment in segments for document in documents_of(segment)]
        self._passages = list(chain.from_iterable(segment.passages for segment in segments))
        self._inputs = list(chain.from_iterable(segment.inputs for segment in segments))
        self.vectors = VectorIndex.joined(
            [each.vectors for each in segments if len(each.vectors)] or [segments[0].vectors]
        )
        lexical = _joined(segments)
        self.rows_of = {language: rows for language, (_, rows) in lexical.items()}
        self._terms: dict[str, LanguageTerms] = {}
        first_id = 1
        for language, (index, _) in lexical.items():
            self._terms[language] = LanguageTerms.of(index, first_id)
            first_id += len(index.terms)
        self._statistics = {
            language: language_statistics(index, self._terms[language], self.vectors, rows)
            for language, (index, rows) in lexical.items()
        }

    @property
    def n_passages(self) -> int:
        """Return the number of passages."""
        return len(self._passages)

    def write_passages(self, collection: str) -> Iterator[int]:
        """Write the passages into a collection that is created; yield how many are written, now and again."""
        self._milvus.create(
            collection, {**PASSAGES_FIELDS, "dense": {"datatype": "FLOAT_VECTOR", "dim": self.vectors.dim}}
        )
        done = 0
        for n_rows in self._milvus.insert(collection, self._rows()):
            done += n_rows
            yield done
        kind = "FLAT" if self.n_passages <= _EXACT_PASSAGES else "AUTOINDEX"
        self._milvus.finish(collection, {"dense": kind, "sparse": "SPARSE_INVERTED_INDEX"})

    def _rows(self) -> Iterator[dict[str, Any]]:
        marks = {document.doc_id: marks_of(document) for document in self.documents}
        lengths = np.zeros(self.n_passages, dtype=np.int64)
        terms: dict[int, dict[int, float]] = {}
        for language, own in self._terms.items():
            rows = self.rows_of[language]
            lengths[rows] = own.lengths
            ends = np.searchsorted(own.places, np.arange(len(rows) + 1))
            for place, row in enumerate(rows.tolist()):
                here = slice(ends[place], ends[place + 1])
                terms[row] = dict(zip(own.ids[here].tolist(), own.values[here].tolist(), strict=True))
        for row, passage in enumerate(self._passages):
            record = self._record(row)
            yield {
                "row": row,
                "doc": stable_hash(passage.doc_id),
                "language": passage.language,
                "marks": marks[passage.doc_id],
                "length": int(lengths[row]),
                "record": record.decode("utf-8") if len(record) <= _RECORD_BYTES else "",
                "dense": self.vectors.reconstruct(np.array([row]))[0].tolist(),
                "sparse": terms.get(row) or _NOTHING,
            }

    def _record(self, row: int) -> bytes:
        passage = self._passages[row]
        return to_line(passage_record(passage, self._inputs[row]) | {"text": passage.text})

    def write_blobs(self, collection: str) -> None:
        """Write all else but the manifest into a collection that is created."""
        self._milvus.create_blobs(collection)
        for _ in self._milvus.insert(collection, self._blobs()):
            pass

    def _blobs(self) -> Iterator[dict[str, Any]]:
        for row in range(self.n_passages):
            record = self._record(row)
            if len(record) > _RECORD_BYTES:
                yield from blob_rows("passage", str(row), record)
        counts = Counter(passage.doc_id for passage in self._passages)
        documents = sorted(self.documents, key=lambda document: document.doc_id)
        for document in documents:
            yield from blob_rows("document", document.doc_id, to_line(document_record(document)))
        catalogue = [(document.doc_id, counts[document.doc_id]) for document in documents]
        yield from blob_rows("catalogue", "", json.dumps(catalogue).encode("ascii"))
        n_blobs, blobs = term_blobs(self._terms)
        for name, data in blobs:
            yield from blob_rows("terms", name, data)
        yield from blob_rows("statistics", "", write_statistics(self._statistics, n_blobs))
        if self._calibration is not None:
            yield from blob_rows("calibration", "", json.dumps(dict(self._calibration)).encode("ascii"))


def marks_of(document: Document) -> list[int]:
    """Return what filters ask of a document: the folders that it is in, and what its metadata says; see `Scope`."""
    folders = document.doc_id.split("/")[:-1]
    marks = [folder_mark("/".join(folders[: depth + 1])) for depth in range(len(folders))]
    for key, value in document.metadata:
        marks += [metadata_mark(key, each) for each in dict.fromkeys([value, *_LIST_COMMA.split(value)])]
    return list(dict.fromkeys(marks))[:_MARKS]


def folder_mark(folder: str) -> int:
    """Return the mark of all documents in a folder of the corpus and below it."""
    return stable_hash("folder", folder)


def metadata_mark(key: str, value: str) -> int:
    """Return the mark of all documents that have a value under a key, whatever the case of the letters."""
    return stable_hash("metadata", key.strip().casefold(), value.strip().casefold())


def _joined(segments: Sequence[SegmentDraft | Segment]) -> dict[str, LexicalPart]:
    """Return the BM25 index and the passage rows of each language, of all segments together."""
    parts: dict[str, list[tuple[Bm25Index, IntArray]]] = {}
    start = 0
    for segment in segments:
        for language, (index, rows) in segment.bm25.items():
            parts.setdefault(language, []).append((index, rows + start))
        start += len(segment.passages)
    joined: dict[str, LexicalPart] = {}
    for language, own in sorted(parts.items()):
        rows = np.concatenate([rows for _, rows in own])
        index = own[0][0]
        if len(own) > 1:
            taken = JoinedBm25([index for index, _ in own]), np.arange(len(rows))
            index = Bm25Index.build([()] * len(rows), base=taken, k1=index.k1, b=index.b)
        joined[language] = (index, rows)
    return joined
