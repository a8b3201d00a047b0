"""One generation of the index, in memory, and its files: the bytes of each, and back.

A :class:`Draft` is what a build produced; a :class:`Generation` is what a reader holds from retrieval to citation.
``index/README.md`` describes the files for programs that do without this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from rag.datatypes import Document, Heading, Page, Passage
from rag.errors import IndexCorruptError, IndexFormatError
from rag.store.bm25 import Bm25Index
from rag.store.manifest import Manifest, read_checked, read_manifest
from rag.store.vectors import VectorIndex

VECTORS_FILE = "vectors.faiss"
PASSAGES_FILE = "passages.jsonl"
DOCUMENTS_FILE = "documents.jsonl"
CALIBRATION_FILE = "calibration.json"

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")

LexicalIndex = tuple[Bm25Index, npt.NDArray[np.int64]]


def bm25_file(language: str) -> str:
    """Return the name of the file that holds the BM25 lists of one passage language."""
    return f"bm25-{language}.safetensors"


@dataclass(frozen=True, slots=True)
class Draft:
    """What a build produced, to be written as a generation.

    ``passages``, ``inputs`` and the rows of ``vectors`` belong together, position by position, in the order of
    ``documents`` and of offsets. ``inputs`` are fingerprints of the text the embedder saw. ``bm25`` maps a passage
    language to its index and the passage row of each of its rows, increasing. The rest goes to the manifest.
    """

    documents: Sequence[Document]
    passages: Sequence[Passage]
    inputs: Sequence[str]
    vectors: VectorIndex
    bm25: Mapping[str, LexicalIndex]
    embedder: Mapping[str, str | int]
    chunking: Mapping[str, int]
    loading: Mapping[str, int | float]
    pipeline: Mapping[str, str]
    calibration: Mapping[str, Any] | None = None

    def to_files(self) -> dict[str, bytes]:
        """Return the bytes of every file but the manifest, by name.

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
        files = {
            VECTORS_FILE: self.vectors.to_bytes(),
            PASSAGES_FILE: _to_jsonl(map(_passage_record, self.passages, self.inputs)),
            DOCUMENTS_FILE: _to_jsonl(map(_document_record, self.documents)),
        }
        for language, (index, rows) in sorted(self.bm25.items()):
            if not _LANGUAGE.fullmatch(language):
                raise ValueError(f"{language!r} is no language code")
            if len(rows) != index.n_rows:
                raise ValueError(f"{len(rows)} passages for {index.n_rows} rows of BM25 in {language!r}")
            files[bm25_file(language)] = save_arrays({**index.to_arrays(), "passages": rows})
        if self.calibration is not None:
            files[CALIBRATION_FILE] = json.dumps(dict(self.calibration), indent=2).encode("utf-8")
        return files


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of the index, whole and in memory. Nothing in it changes, whatever happens on disk.

    ``documents`` is in order of doc_id. ``passages[row]``, ``inputs[row]`` and row ``row`` of ``vectors`` belong
    together. ``bm25`` maps a passage language to ``(index, rows)``; ``rows[i]``, int64, is the passage row of the
    index's row i. ``calibration`` is what was measured on this index, None if nothing was. ``warning`` says why
    this is not the generation that ``CURRENT`` names, None if it is.
    """

    name: str
    manifest: Manifest
    documents: Mapping[str, Document]
    passages: Sequence[Passage]
    inputs: Sequence[str]
    vectors: VectorIndex
    bm25: Mapping[str, LexicalIndex]
    calibration: Mapping[str, Any] | None = None
    warning: str | None = None


def load_generation(folder: Path) -> Generation:
    """Read one generation into memory, after every file was found unchanged.

    Args:
        folder: The generation's folder, such as ``index/gen-000007``.

    Raises:
        IndexFormatError: A file is missing, damaged, of another format version or of another generation; the
            message names it and the remedy.
        RagError: A file may be whole but cannot be read; see `fsio.read_error`.
    """
    manifest = read_manifest(folder)
    files = {name: read_checked(folder, name, entry) for name, entry in manifest.files.items()}
    name = ""
    try:
        name = DOCUMENTS_FILE
        documents = {document.doc_id: document for document in map(_document, _from_jsonl(files[name]))}
        name = PASSAGES_FILE
        records = _from_jsonl(files[name])
        passages = tuple(_passage(record, documents) for record in records)
        inputs = tuple(record["input"] for record in records)
        name = VECTORS_FILE
        vectors = VectorIndex.from_bytes(files[name])
        bm25: dict[str, LexicalIndex] = {}
        for language in sorted(manifest.languages):
            name = bm25_file(language)
            arrays = load_arrays(files[name])
            bm25[language] = (Bm25Index.from_arrays(arrays), arrays["passages"])
        name = CALIBRATION_FILE
        calibration = json.loads(files[name]) if name in files else None
    except (ValueError, LookupError, TypeError, AttributeError, SafetensorError, IndexFormatError) as error:
        raise IndexCorruptError(folder / name, f"cannot be understood: {error!r}") from error
    found = {"documents": len(documents), "passages": len(passages), "dim": vectors.dim}
    if found != dict(manifest.counts) or len(vectors) != len(passages):
        raise IndexCorruptError(
            folder, f"holds {found} and {len(vectors)} vectors, its manifest says {dict(manifest.counts)}"
        )
    return Generation(
        name=folder.name,
        manifest=manifest,
        documents=MappingProxyType(documents),
        passages=passages,
        inputs=inputs,
        vectors=vectors,
        bm25=MappingProxyType(bm25),
        calibration=calibration,
    )


def _document_record(document: Document) -> dict[str, Any]:
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


def _document(record: dict[str, Any]) -> Document:
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


def _passage_record(passage: Passage, embedder_input: str) -> dict[str, Any]:
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
    return b"".join(map(_to_line, records))


def _to_line(record: dict[str, Any]) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"
    except UnicodeEncodeError:  # a lone surrogate: only JSON's own escapes can carry it
        return json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def _from_jsonl(data: bytes) -> list[dict[str, Any]]:
    # One array is parsed in half the time of many lines; within JSON a line feed is always escaped.
    records: list[dict[str, Any]] = json.loads(b"[" + data.removesuffix(b"\n").replace(b"\n", b",") + b"]")
    return records
