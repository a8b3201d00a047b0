"""One part of an index: some documents, their passages, vectors and BM25 lists, and their files.

A small index is one segment. A large one is several, so that a build writes anew only what changed: the files of the
other segments become files of the new generation by a link. ``index/README.md`` describes the files.
"""

from __future__ import annotations

import io
import json
import mmap
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from rag.datatypes import Document, Heading, Page, Passage
from rag.errors import IndexCorruptError, IndexFormatError
from rag.store import fsio
from rag.store.bm25 import Bm25Index
from rag.store.lines import Lines, arrays_in, map_file
from rag.store.manifest import FileEntry, Manifest, check_file, read_checked
from rag.store.vectors import Codes, VectorIndex

VECTORS_FILE = "vectors.faiss"
PASSAGES_FILE = "passages.jsonl"
DOCUMENTS_FILE = "documents.jsonl"

MAPPED_BYTES = 32 << 20  # vectors of a segment that stay in their file, from so many on
READ_BY_ROW_BYTES = 8 << 20  # passages, or BM25 lists of one language, likewise

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_DOC_ID = re.compile(rb'^\{"doc_id":("(?:[^"\\]|\\.)*")', re.MULTILINE)
_INPUT = re.compile(rb'"input":"([0-9a-f]*)"\}$', re.MULTILINE)
_BM25_FILE = re.compile(r"bm25-(.+)\.safetensors")

# Segments that are worked out, by `Segment.key`: a build takes from those that answer questions what they hold.
_parsed: WeakValueDictionary[frozenset[tuple[str, str]], Segment] = WeakValueDictionary()

LexicalPart = tuple[Bm25Index, npt.NDArray[np.int64]]


def bm25_file(language: str) -> str:
    """Return the name of the file that holds the BM25 lists of one passage language."""
    return f"bm25-{language}.safetensors"


def prefix(number: int) -> str:
    """Return what the names of a segment's files begin with; ``number`` is its place in the generation, from 0."""
    return f"s{number + 1}-" if number else ""


@dataclass(frozen=True, slots=True)
class SegmentDraft:
    """What a build produced for one segment.

    ``passages``, ``inputs`` and the rows of ``vectors`` belong together, position by position, in the order of
    ``documents`` and of offsets. ``inputs`` are fingerprints of the text the embedder saw. ``bm25`` maps a passage
    language to its index and the passage row of each of its rows, increasing.
    """

    documents: Sequence[Document]
    passages: Sequence[Passage]
    inputs: Sequence[str]
    vectors: VectorIndex
    bm25: Mapping[str, LexicalPart]

    @property
    def languages(self) -> dict[str, int]:
        """Return the number of passages by language."""
        return {language: len(rows) for language, (_, rows) in self.bm25.items()}

    def to_files(self) -> dict[str, Callable[[], bytes]]:
        """Return what makes the bytes of every file, by name without the segment's prefix: one in memory at a time.

        Raises:
            ValueError: The parts do not belong together, for instance a passage whose text is not
                ``document.text[start:end]``. That is a bug in whoever made them; nothing may be stored.
        """
        documents = {document.doc_id: document for document in self.documents}
        if len(documents) != len(self.documents):
            raise ValueError("two documents have the same doc_id")
        if not len(self.passages) == len(self.inputs) == len(self.vectors):
            raise ValueError(
                f"{len(self.passages)} passages, {len(self.inputs)} inputs and {len(self.vectors)} vectors do not fit"
            )
        covered = np.sort(np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in self.bm25.values())]))
        if not np.array_equal(covered, np.arange(len(self.passages))):
            raise ValueError("the BM25 lists do not cover each passage once")
        for passage in self.passages:
            if not passage.text or documents[passage.doc_id].text[passage.start : passage.end] != passage.text:
                raise ValueError(f"passage {passage.passage_id} is not a slice of its document")
        files: dict[str, Callable[[], bytes]] = {
            VECTORS_FILE: self.vectors.to_bytes,
            PASSAGES_FILE: lambda: _to_jsonl(map(passage_record, self.passages, self.inputs)),
            DOCUMENTS_FILE: lambda: _to_jsonl(map(document_record, self.documents)),
        }
        for language, (index, rows) in sorted(self.bm25.items()):
            if not _LANGUAGE.fullmatch(language):
                raise ValueError(f"{language!r} is no language code")
            if len(rows) != index.n_rows:
                raise ValueError(f"{len(rows)} passages for {index.n_rows} rows of BM25 in {language!r}")
            files[bm25_file(language)] = partial(_lexical_bytes, index, rows)
        return files


class Segment:
    """One segment, whole and in memory. Nothing in it changes, whatever happens on disk. Safe to share.

    But for the vectors, the passages and the BM25 lists of a large one, which are mapped: they outlive the removal of
    their file, and no change of it.

    What its bytes say is worked out when it is first asked for, or by `parse`. Rows count its own passages.

    Args:
        folder: The generation that it was read from, or another that has the same files.
        number: Its place there, from 0.
        files: Length and sha256 of each of its files, by name without prefix.
        data: Their bytes, found to have those checksums, but for vectors that are to stay in their file.
    """

    def __init__(
        self, folder: Path, number: int, files: Mapping[str, FileEntry], data: dict[str, bytes | mmap.mmap]
    ) -> None:
        self.folder, self.number, self.files = folder, number, files
        self._data = data
        self._codes: dict[str, Codes] = {}

    def path(self, name: str) -> Path:
        """Return where one of the files is."""
        return self.folder / f"{prefix(self.number)}{name}"

    @property
    def languages(self) -> dict[str, int]:
        """Return the number of passages by language, out of the heads of the files."""
        found = {}
        for name in self._data:
            if match := _BM25_FILE.fullmatch(name):
                found[match[1]] = self._understood(name, _rows_in)
        return found or {language: len(rows) for language, (_, rows) in self.bm25.items()}

    @property
    def n_passages(self) -> int:
        """Return the number of passages, likewise."""
        return sum(self.languages.values())

    @cached_property
    def passages_of(self) -> Mapping[str, int]:
        """Return the number of passages of each document."""
        if (twin := self._twin) is not None:
            return twin.passages_of
        if PASSAGES_FILE not in self._data or self._is_read_by_row:
            totals = np.bincount(self.doc_numbers, minlength=len(self.documents)).tolist()
            return dict(zip(self.documents, totals, strict=True))
        counts = Counter(_DOC_ID.findall(self._data[PASSAGES_FILE]))  # ten times as fast as to parse it
        return {json.loads(doc_id): n for doc_id, n in counts.items()}

    @property
    def key(self) -> frozenset[tuple[str, str]]:
        """Return what two segments of the same content have in common: name and sha256 of each file."""
        return frozenset((name, entry.sha256) for name, entry in self.files.items())

    @property
    def _twin(self) -> Segment | None:
        """Return another segment of the same content that is worked out, if there is one."""
        twin = _parsed.get(self.key)
        return None if twin is self else twin

    @cached_property
    def documents(self) -> Mapping[str, Document]:
        """Return the documents by doc_id, in its order."""
        if (twin := self._twin) is not None:
            return twin.documents
        records = self._understood(DOCUMENTS_FILE, _from_jsonl)
        return MappingProxyType({each.doc_id: each for each in self._each(DOCUMENTS_FILE, document_from, records)})

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = self._understood(PASSAGES_FILE, _from_jsonl)
        return records

    @cached_property
    def passages(self) -> Sequence[Passage]:
        """Return the passages by row."""
        if self._is_read_by_row:
            documents = self.documents
            return Lines(self._data[PASSAGES_FILE], lambda line: _passage(json.loads(line), documents))
        return tuple(self._each(PASSAGES_FILE, lambda record: _passage(record, self.documents), self._records))

    @cached_property
    def doc_numbers(self) -> npt.NDArray[np.int32]:
        """Return which of the documents each passage is of, by row: its place among them, from 0."""
        numbers = {doc_id: number for number, doc_id in enumerate(self.documents)}
        if self._is_read_by_row:
            raw = _DOC_ID.findall(self._data[PASSAGES_FILE])
            by_raw = {doc_id: numbers[json.loads(doc_id)] for doc_id in set(raw)}
            return np.array([by_raw[doc_id] for doc_id in raw], dtype=np.int32)
        return np.array([numbers[passage.doc_id] for passage in self.passages], dtype=np.int32)

    @property
    def _is_read_by_row(self) -> bool:
        return isinstance(self._data.get(PASSAGES_FILE), mmap.mmap)

    @cached_property
    def inputs(self) -> Sequence[str]:
        """Return the fingerprint of what the embedder saw, by row."""
        if self._is_read_by_row:
            return Lines(self._data[PASSAGES_FILE], lambda line: str(json.loads(line)["input"]))
        return tuple(self._each(PASSAGES_FILE, lambda record: str(record["input"]), self._records))

    def rows_of(self, inputs: Set[str]) -> dict[str, int]:
        """Return a row for each of some inputs that a passage has."""
        if (twin := self._twin) is not None:
            return twin.rows_of(inputs)
        if PASSAGES_FILE in self._data:
            every = _INPUT.findall(self._data[PASSAGES_FILE])  # as above
            wanted = {text.encode("ascii") for text in inputs}
            return {text.decode("ascii"): row for row, text in enumerate(every) if text in wanted}
        return {text: row for row, text in enumerate(self.inputs) if text in inputs}

    @cached_property
    def vectors(self) -> VectorIndex:
        """Return the vectors by row."""
        if VECTORS_FILE not in self._data:
            path = self.path(VECTORS_FILE)
            try:
                return VectorIndex.from_file(path)
            except OSError as error:
                raise fsio.read_error(error, path) from error
            except IndexFormatError as error:
                raise self._damaged(VECTORS_FILE, error) from error
        vectors: VectorIndex = self._understood(VECTORS_FILE, VectorIndex.from_bytes)
        return vectors

    @cached_property
    def bm25(self) -> Mapping[str, LexicalPart]:
        """Return ``(index, rows)`` by passage language; ``rows[i]``, int64, is the row of the index's row i."""
        found: dict[str, LexicalPart] = {}
        for name in sorted(self.files):
            if match := _BM25_FILE.fullmatch(name):
                found[match[1]] = self._understood(name, _lexical)
        return MappingProxyType(found)

    def codes(self, language: str) -> Codes:
        """Return the short codes of the vectors of one language, made when they are first asked for."""
        if language not in self._codes:
            self._codes[language] = Codes(self.vectors, self.bm25[language][1])
        return self._codes[language]

    def parse(self) -> None:
        """Work everything out, but for passages that are read by row, and let go of the bytes.

        Raises:
            IndexCorruptError: A file cannot be understood, or two do not fit together.
        """
        counts = {len(self.passages), len(self.inputs), len(self.vectors), sum(len(r) for _, r in self.bm25.values())}
        if len(counts) != 1:
            raise IndexCorruptError(self.folder, f"holds files that do not fit together: {sorted(counts)} passages")
        assert self.documents is not None  # worked out before the bytes go
        self.__dict__.pop("_records", None)
        by_row = {PASSAGES_FILE: self._data[PASSAGES_FILE]} if self._is_read_by_row else {}
        self._data.clear()
        self._data |= by_row
        _parsed[self.key] = self

    def _understood(self, name: str, read: Any) -> Any:
        try:
            return read(self._data[name])
        except (ValueError, LookupError, TypeError, AttributeError, SafetensorError, IndexFormatError) as error:
            raise self._damaged(name, error) from error

    def _each(self, name: str, read: Any, records: list[dict[str, Any]]) -> Iterator[Any]:
        try:
            yield from map(read, records)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: Exception) -> IndexCorruptError:
        return IndexCorruptError(self.path(name), f"cannot be understood: {error!r}")


def documents_of(segment: SegmentDraft | Segment) -> Iterable[Document]:
    """Return the documents of a segment, written or not."""
    return segment.documents.values() if isinstance(segment, Segment) else segment.documents


def read_segment(
    folder: Path, number: int, manifest: Manifest, known: Mapping[frozenset[tuple[str, str]], Segment]
) -> Segment:
    """Return a segment of a generation; a known one where its content is the same.

    Raises:
        IndexCorruptError: A file is missing or damaged.
        RagError: A file may be whole but cannot be read; see `fsio.read_error`.
    """
    start = prefix(number)
    files = {
        name.removeprefix(start): entry
        for name, entry in manifest.files.items()
        if name.startswith(start) and _is_of_segment(name.removeprefix(start))
    }
    same = known.get(frozenset((name, entry.sha256) for name, entry in files.items()))
    if same is not None:
        return same
    data: dict[str, bytes | mmap.mmap] = {}
    for name, entry in files.items():
        if not _is_mapped(name, entry):
            data[name] = read_checked(folder, f"{start}{name}", entry)
            continue
        check_file(folder, f"{start}{name}", entry)
        if name != VECTORS_FILE:  # FAISS maps it itself
            path = folder / f"{start}{name}"
            try:
                data[name] = map_file(path)
            except OSError as error:
                raise fsio.read_error(error, path) from error
    return Segment(folder, number, files, data)


def _is_mapped(name: str, entry: FileEntry) -> bool:
    if name == VECTORS_FILE:
        return entry.bytes >= MAPPED_BYTES
    return name != DOCUMENTS_FILE and entry.bytes >= READ_BY_ROW_BYTES


def _is_of_segment(name: str) -> bool:
    return name in (VECTORS_FILE, PASSAGES_FILE, DOCUMENTS_FILE) or _BM25_FILE.fullmatch(name) is not None


def _rows_in(data: bytes | mmap.mmap) -> int:
    length = int.from_bytes(data[:8], "little")  # of the head, which says the shapes
    return int(json.loads(data[8 : 8 + length])["passages"]["shape"][0])


def _lexical(data: bytes | mmap.mmap) -> LexicalPart:
    arrays = load_arrays(data) if isinstance(data, bytes) else arrays_in(data)
    return Bm25Index.from_arrays(arrays), arrays["passages"]


def _lexical_bytes(index: Bm25Index, rows: npt.NDArray[np.int64]) -> bytes:
    return save_arrays({**index.to_arrays(), "passages": rows})


def document_record(document: Document) -> dict[str, Any]:
    """Return the line of ``documents.jsonl`` of a document; ValueError where a heading is no slice of its text."""
    for heading in document.headings:
        if document.text[heading.start : heading.end] != heading.text:
            raise ValueError(f"a heading of {document.doc_id} is not a slice of its text: {heading}")
    return {
        "doc_id": document.doc_id,
        "title": document.title,
        "language": document.language,
        "sha256": document.sha256,
        "text": document.text,
        "headings": [{"level": item.level, "start": item.start, "end": item.end} for item in document.headings],
        "pages": [{"number": item.number, "start": item.start, "end": item.end} for item in document.pages],
        "warnings": list(document.warnings),
        "metadata": dict(document.metadata),
    }


def document_from(record: dict[str, Any]) -> Document:
    """Return the document of a line of ``documents.jsonl``."""
    text = record["text"]
    return Document(
        doc_id=record["doc_id"],
        title=record["title"],
        text=text,
        language=record["language"],
        sha256=record["sha256"],
        headings=tuple(
            Heading(text[item["start"] : item["end"]], item["level"], item["start"], item["end"])
            for item in record["headings"]
        ),
        pages=tuple(Page(item["number"], item["start"], item["end"]) for item in record["pages"]),
        warnings=tuple(record["warnings"]),
        metadata=tuple(sorted(record.get("metadata", {}).items())),  # older generations have none
    )


def passage_record(passage: Passage, embedder_input: str) -> dict[str, Any]:
    """Return the line of ``passages.jsonl`` of a passage."""
    return {
        "doc_id": passage.doc_id,
        "start": passage.start,
        "end": passage.end,
        "language": passage.language,
        "title": passage.title,
        "heading": list(passage.heading),
        "page": passage.page,
        "input": embedder_input,
    }


def _passage(record: dict[str, Any], documents: Mapping[str, Document]) -> Passage:
    start, end = record["start"], record["end"]
    return Passage(
        doc_id=record["doc_id"],
        start=start,
        end=end,
        text=documents[record["doc_id"]].text[start:end],
        language=record["language"],
        title=record["title"],
        heading=tuple(record["heading"]),
        page=record["page"],
    )


def _to_jsonl(records: Iterator[dict[str, Any]]) -> bytes:
    data = io.BytesIO()  # to join the lines would hold them twice
    data.writelines(map(to_line, records))
    return data.getvalue()


def to_line(record: dict[str, Any]) -> bytes:
    """Return a record as one line of JSON in UTF-8."""
    try:
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"
    except UnicodeEncodeError:  # a lone surrogate: only JSON's own escapes can carry it
        return json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def _from_jsonl(data: bytes) -> list[dict[str, Any]]:
    # One array is parsed in half the time of many lines; within JSON a line feed is always escaped.
    records: list[dict[str, Any]] = json.loads(b"[" + data.removesuffix(b"\n").replace(b"\n", b",") + b"]")
    return records
