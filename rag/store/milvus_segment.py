"""The passages and documents of one generation in Milvus: written once, read by row when they are asked for.

Two collections make up a generation. ``PASSAGES`` has a row a passage: its record, its vector, its terms as a sparse
vector, and what filters ask of it. The other keeps blobs: the manifest, each document, statistics, and the terms.

The value of a term in a passage's sparse vector is its saturated count ``tf / (tf + norm)``, so that the inner product
with ``weight * idf`` is BM25 (see `rag.store.bm25`); since norms are known from lengths, it gives back ``tf`` too. The
moments of all scores need no scan: of cosines, the mean and the covariance of the vectors are stored, of BM25 the sums
and the sums of squares of each term's values.
"""

from __future__ import annotations

import json
import mmap
import threading
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as save_arrays

from rag.datatypes import Document, Passage
from rag.errors import IndexCorruptError
from rag.store.bm25 import Bm25Index, IntArray, inverse_document_frequency
from rag.store.lines import Rows
from rag.store.manifest import FileEntry, Manifest
from rag.store.milvus_client import Milvus
from rag.store.milvus_statistics import LanguageStatistics, TermStatistics, read_statistics, term_home
from rag.store.segment import (
    DOCUMENTS_FILE,
    PASSAGES_FILE,
    VECTORS_FILE,
    Segment,
    bm25_file,
    document_from,
    to_line,
)
from rag.store.vectors import VectorIndex

PASSAGES = "_passages"  # after the name of the collection of blobs
PASSAGES_FIELDS: Mapping[str, Mapping[str, Any]] = {  # and the field of the vectors, "dense"
    "row": {"datatype": "INT64"},
    "doc": {"datatype": "INT64"},  # a hash of its id
    "language": {"datatype": "VARCHAR", "max_length": 64},
    "marks": {"datatype": "ARRAY", "element_type": "INT64", "max_capacity": 4_096},
    "length": {"datatype": "INT64"},  # in terms
    "record": {"datatype": "VARCHAR", "max_length": 65_535},  # a line of passages.jsonl and the text; "" is in a blob
    "sparse": {"datatype": "SPARSE_FLOAT_VECTOR"},
}

_RANGE = 1_000  # rows read at once
_MOST = 16_384  # hits of one search that Milvus gives
_DOCUMENT_LETTERS, _TERM_BLOBS = 20_000_000, 4_096  # held in memory

FloatArray = npt.NDArray[np.float64]


class Terms:
    """The terms of the passages of one language, looked up when asked for. Safe to share between threads.

    Has what `rag.lexical.Lexicon` asks of a vocabulary.
    """

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, TermStatistics]], own: LanguageStatistics) -> None:
        self._read, self._own = read, own

    @property
    def parts(self) -> tuple[Terms, ...]:
        """Return what it is joined of: itself."""
        return (self,)

    @property
    def terms(self) -> tuple[str, ...]:
        """Return the vocabulary, the most frequent terms where it is large."""
        return self._own.terms

    def __contains__(self, term: object) -> bool:
        return isinstance(term, str) and bool(self._read([term]))

    def look_up(self, terms: Sequence[str]) -> Mapping[str, TermStatistics]:
        """Return what is known of those terms that a passage holds."""
        return self._read(terms)

    def idf(self, term: str) -> float:
        """Return the term's inverse document frequency, above 0."""
        known = self._read([term]).get(term)
        return inverse_document_frequency(known.frequency if known else 0, self._own.n_passages)


@dataclass(frozen=True, slots=True)
class Found:
    """Some passages: their rows, the counts of the terms asked for, shape (n, n_terms), and their numbers of terms."""

    rows: IntArray
    counts: FloatArray
    lengths: FloatArray


class MilvusSegment(Segment):
    """All passages and documents of a generation, in Milvus. Safe to share; nothing in it changes while it is there.

    Args:
        milvus: Where it is.
        collection: Its collection of blobs; that of its passages has the same name and ``PASSAGES``.
        manifest: What it says of itself.
        in_memory: Whether documents and passages are all held once they are asked for, as a build wants them;
            otherwise a few of those used last are.
    """

    def __init__(self, milvus: Milvus, collection: str, manifest: Manifest, *, in_memory: bool) -> None:
        self._milvus, self._collection, self._manifest = milvus, collection, manifest
        self._in_memory = in_memory
        names = (VECTORS_FILE, PASSAGES_FILE, DOCUMENTS_FILE, *map(bm25_file, manifest.languages))
        files = {name: FileEntry(0, "") for name in names}
        super().__init__(Path(milvus.address), 0, files, _Files(self._file))
        from cachetools import LRUCache

        self._lock = threading.Lock()
        self._term_blobs: LRUCache[str, dict[str, dict[str, TermStatistics]]] = LRUCache(_TERM_BLOBS)

    @property
    def languages(self) -> dict[str, int]:
        """Return the number of passages by language."""
        return dict(self._manifest.languages)

    @cached_property
    def documents(self) -> Mapping[str, Document]:
        """Return the documents by doc_id, in its order."""
        return super().documents if self._in_memory else Documents(self)

    @cached_property
    def passages(self) -> Sequence[Passage]:  # type: ignore[override]
        """Return the passages by row."""
        return super().passages if self._in_memory else Passages(self)

    @cached_property
    def passages_of(self) -> Mapping[str, int]:
        """Return the number of passages of each document."""
        counts = json.loads(self.blob("catalogue"))
        return {doc_id: n for doc_id, n in counts}

    def blob(self, kind: str, name: str = "") -> bytes:
        """Return what `MilvusSegment` keeps as a blob.

        Raises:
            IndexCorruptError: It is missing.
        """
        found = self._milvus.blobs(self._collection, kind, [name])
        if name not in found:
            raise self._lost(f"lacks its {kind} {name}".rstrip())
        return found[name]

    def read_documents(self, doc_ids: Sequence[str]) -> dict[str, Document]:
        """Return documents by doc_id, without those that are not there."""
        found = self._milvus.blobs(self._collection, "document", doc_ids)
        return {doc_id: document_from(json.loads(data)) for doc_id, data in found.items()}

    def read_passages(self, rows: Sequence[int]) -> list[Passage]:
        """Return the passages of rows, in their order."""
        found = {row["row"]: row["record"] for row in self._get(rows, ["row", "record"])}
        if missing := [row for row in rows if row not in found]:
            raise self._lost(f"lacks {len(missing)} passages")
        return [_passage(self._record(row, found[row])) for row in rows]

    def records(self, start: int, end: int) -> list[dict[str, Any]]:
        """Return the records of a range of rows."""
        return [self._record(row["row"], row["record"]) for row in self._range(start, end, ["row", "record"])]

    def _record(self, row: int, text: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(text or self.blob("passage", str(row)))
        return record

    # ---- search

    @cached_property
    def _statistics(self) -> tuple[dict[str, LanguageStatistics], int]:
        return read_statistics(self.blob("statistics"), self.folder)

    @property
    def statistics(self) -> Mapping[str, LanguageStatistics]:
        """Return what is known of the passages of each language."""
        return self._statistics[0]

    def terms(self, language: str) -> Terms:
        """Return the terms of the passages of a language."""
        return Terms(lambda terms: self._look_up(language, terms), self.statistics[language])

    def _look_up(self, language: str, terms: Sequence[str]) -> dict[str, TermStatistics]:
        homes = {term: term_home(language, term, self._statistics[1]) for term in terms}
        with self._lock:
            held = {home: self._term_blobs[home] for home in set(homes.values()) if home in self._term_blobs}
        if missing := sorted(set(homes.values()) - held.keys()):
            for home, data in self._milvus.blobs(self._collection, "terms", missing).items():
                held[home] = {
                    own: {term: TermStatistics(*numbers) for term, numbers in known.items()}
                    for own, known in json.loads(data).items()
                }
            with self._lock:
                for home in missing:
                    self._term_blobs[home] = held.setdefault(home, {})
        return {
            term: known for term, home in homes.items() if (known := held[home].get(language, {}).get(term)) is not None
        }

    def nearest(self, query: npt.NDArray[np.float32], language: str, passing: str, top: int) -> IntArray:
        """Return the rows of about the ``top`` nearest passages of a language that pass a filter, in no order.

        16,384 at most.
        """
        (found,) = self._milvus(
            "search",
            self._collection + PASSAGES,
            data=[query.tolist()],
            anns_field="dense",
            limit=min(top, _MOST),
            filter=_of(language, passing),
            output_fields=["row"],
            search_params={"metric_type": "IP"},
        )
        return np.array([hit["row"] for hit in found], dtype=np.int64)

    def matching(self, weights: Mapping[int, float], language: str, passing: str, top: int) -> Found:
        """Return the ``top`` passages of a language that pass a filter, by inner product with the weights of terms.

        Args:
            weights: By term id, at least one, above 0.
            language: Of the passages.
            passing: A filter of `rag.retriever.milvus_legs`, or "".
            top: How many; all that hold a term where they are fewer.
        """
        (found,) = self._milvus(
            "search",
            self._collection + PASSAGES,
            data=[dict(weights)],
            anns_field="sparse",
            limit=min(top, _MOST),
            filter=_of(language, passing),
            output_fields=["row", "length", "sparse"],
            search_params={"metric_type": "IP"},
        )
        hits = sorted((hit["entity"] for hit in found), key=lambda hit: int(hit["row"]))
        return self._found(hits, list(weights), language)

    def look_at(self, rows: Sequence[int], language: str, ids: Sequence[int]) -> tuple[npt.NDArray[np.float32], Found]:
        """Return the vectors of rows of a language, shape (len(rows), dim), and what they hold of terms."""
        known = {row["row"]: row for row in self._get(rows, ["row", "length", "dense", "sparse"])}
        if len(known) != len(rows):
            raise self._lost(f"lacks {len(rows) - len(known)} passages")
        own = [known[row] for row in rows]
        vectors = np.array([row["dense"] for row in own], dtype=np.float32).reshape(
            len(own), self._manifest.counts["dim"]
        )
        return vectors, self._found(own, ids, language)

    def _found(self, hits: Sequence[Mapping[str, Any]], ids: Sequence[int], language: str) -> Found:
        lengths = np.array([hit["length"] for hit in hits], dtype=np.float64)
        values = np.array([[hit["sparse"].get(id, 0.0) for id in ids] for hit in hits], dtype=np.float64)
        values = values.reshape(len(hits), len(ids))
        norms = self.statistics[language].norms(lengths)[:, None]
        counts = np.rint(values * norms / np.maximum(1.0 - values, 1e-9))
        return Found(np.array([hit["row"] for hit in hits], dtype=np.int64), counts, lengths)

    def read_vectors(self, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return a copy of the vectors of rows, shape (len(rows), dim)."""
        known = {row["row"]: row for row in self._get(rows, ["row", "dense"])}
        return self._matrix([known[row] for row in rows])

    def _matrix(self, rows: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float32]:
        matrix = np.array([row["dense"] for row in rows], dtype=np.float32)
        return matrix.reshape(len(rows), self._manifest.counts["dim"])

    def _get(self, rows: Sequence[int], fields: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for start in range(0, len(rows), _RANGE):
            own = [int(row) for row in rows[start : start + _RANGE]]
            found += self._milvus("get", self._collection + PASSAGES, ids=own, output_fields=fields)
        return found

    def _range(self, start: int, end: int, fields: list[str]) -> list[dict[str, Any]]:
        """Return a range of rows, all of them, in order."""
        found: list[dict[str, Any]] = []
        for first in range(start, end, _RANGE):
            last = min(first + _RANGE, end)
            rows = self._milvus(
                "query",
                self._collection + PASSAGES,
                filter=f"row >= {first} and row < {last}",
                output_fields=fields,
                limit=_RANGE,
            )
            if len(rows) != last - first:
                raise self._lost(f"lacks {last - first - len(rows)} passages")
            found += sorted(rows, key=lambda row: int(row["row"]))
        return found

    def _lost(self, reason: str) -> IndexCorruptError:
        return IndexCorruptError(self.folder, f"({self._manifest.generation}) {reason}")

    # ---- the whole of it, as the files of a segment

    def _file(self, name: str) -> bytes:
        n_passages = self._manifest.counts["passages"]
        if name == PASSAGES_FILE:
            return b"".join(to_line(record) for record in self.records(0, n_passages))
        if name == DOCUMENTS_FILE:
            doc_ids = list(self.passages_of)
            found = self._milvus.blobs(self._collection, "document", doc_ids)
            if len(found) != len(doc_ids):
                raise self._lost(f"lacks {len(doc_ids) - len(found)} documents")
            return b"".join(found[doc_id] for doc_id in doc_ids)
        if name == VECTORS_FILE:
            return VectorIndex.build(self._matrix(self._range(0, n_passages, ["row", "dense"]))).to_bytes()
        return self._bm25_files[name]

    @cached_property
    def _bm25_files(self) -> Mapping[str, bytes]:
        names: dict[str, dict[int, str]] = {language: {} for language in self._manifest.languages}
        homes = [str(number) for number in range(self._statistics[1])]
        for data in self._milvus.blobs(self._collection, "terms", homes).values():
            for language, known in json.loads(data).items():
                names[language] |= {numbers[0]: term for term, numbers in known.items()}
        rows = self._range(0, self._manifest.counts["passages"], ["row", "language", "length", "sparse"])
        files = {}
        for language, known in names.items():
            ids = sorted(known)
            own = [row for row in rows if row["language"] == language]
            lengths = np.array([row["length"] for row in own], dtype=np.int32)
            sizes = np.array([sum(id > 0 for id in row["sparse"]) for row in own], dtype=np.int64)
            pairs = [(id, value) for row in own for id, value in row["sparse"].items() if id > 0]
            owners = np.array([id for id, _ in pairs], dtype=np.int64)
            values = np.array([value for _, value in pairs], dtype=np.float64)
            places = np.repeat(np.arange(len(own)), sizes)
            norms = self.statistics[language].norms(lengths.astype(np.float64))[places]
            counts = np.rint(values * norms / np.maximum(1.0 - values, 1e-9)).astype(np.int32)
            order = np.lexsort((places, owners))
            index = Bm25Index(
                [known[id] for id in ids],
                np.searchsorted(owners[order], np.array([*ids, np.iinfo(np.int64).max])).astype(np.int64),
                places[order].astype(np.int32),
                counts[order],
                lengths,
                k1=self.statistics[language].k1,
                b=self.statistics[language].b,
            )
            passages = np.array([row["row"] for row in own], dtype=np.int64)
            files[bm25_file(language)] = save_arrays({**index.to_arrays(), "passages": passages})
        return files


class _Files(dict[str, bytes | mmap.mmap]):
    """Bytes by name of file, worked out when they are asked for."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> bytes:
        return self._read(name)


class Documents(Mapping[str, Document]):
    """Documents by doc_id, read when they are asked for; a few are held. Safe to share between threads."""

    def __init__(self, segment: MilvusSegment) -> None:
        from cachetools import LRUCache

        self._segment = segment
        self._lock = threading.Lock()
        self._held: LRUCache[str, Document] = LRUCache(_DOCUMENT_LETTERS, getsizeof=lambda each: len(each.text) + 1_000)

    def __len__(self) -> int:
        return self._segment._manifest.counts["documents"]

    def __iter__(self) -> Iterator[str]:
        return iter(self._segment.passages_of)

    def __getitem__(self, doc_id: str) -> Document:
        with self._lock:
            held = self._held.get(doc_id)
        if held is None:
            held = self._segment.read_documents([doc_id])[doc_id]
            with self._lock:
                if len(held.text) < _DOCUMENT_LETTERS / 2:
                    self._held[doc_id] = held
        return held

    def items(self) -> ItemsView[str, Document]:
        """Return documents with their ids, read many at once."""
        return _Items(self)

    def values(self) -> ValuesView[Document]:
        """Return documents, read many at once."""
        return _Values(self)

    def each(self) -> Iterator[tuple[str, Document]]:
        """Yield what `items` holds."""
        doc_ids = list(self)
        for start in range(0, len(doc_ids), 100):
            own = doc_ids[start : start + 100]
            found = self._segment.read_documents(own)
            yield from ((doc_id, found[doc_id]) for doc_id in own)


class _Items(ItemsView[str, Document]):
    _mapping: Documents

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        return self._mapping.each()


class _Values(ValuesView[Document]):
    _mapping: Documents

    def __iter__(self) -> Iterator[Document]:
        return (document for _, document in self._mapping.each())


class Passages(Rows[Passage]):
    """Passages by row, read when they are asked for."""

    def __init__(self, segment: MilvusSegment) -> None:
        self._segment = segment

    def __len__(self) -> int:
        return self._segment._manifest.counts["passages"]

    def row(self, row: int) -> Passage:
        """Return the passage of a row."""
        return self._segment.read_passages([row])[0]

    def rows(self, rows: range) -> list[Passage]:
        """Return the passages of several rows, read at once."""
        return self._segment.read_passages(rows)

    def __iter__(self) -> Iterator[Passage]:
        for start in range(0, len(self), _RANGE):
            yield from map(_passage, self._segment.records(start, min(start + _RANGE, len(self))))


def _passage(record: Mapping[str, Any]) -> Passage:
    return Passage(
        doc_id=record["doc_id"],
        start=record["start"],
        end=record["end"],
        text=record["text"],
        language=record["language"],
        title=record["title"],
        heading=tuple(record["heading"]),
        page=record["page"],
    )


def _of(language: str, passing: str) -> str:
    return f'language == "{language}"' + (f" and {passing}" if passing else "")
