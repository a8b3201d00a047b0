"""One generation of the index: what a build wants written, and what a reader holds from retrieval to citation."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rag.datatypes import Document, Passage
from rag.errors import IndexCorruptError
from rag.store.bm25 import Bm25Index, JoinedBm25
from rag.store.lines import Rows
from rag.store.manifest import Manifest, read_checked, read_manifest
from rag.store.segment import LexicalPart, Segment, SegmentDraft, read_segment
from rag.store.vectors import EXACT_ROWS, Codes, Part, VectorIndex

CALIBRATION_FILE = "calibration.json"

_LEAST_CODED = 1_024  # passages of one segment and language; fewer are scanned exactly beside the codes of others

Item = TypeVar("Item")
LexicalIndex = tuple[Bm25Index | JoinedBm25, npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a build produced, to be written as a generation.

    ``segments`` are new ones, or those of the generation before, which stay as they are. No document is in two. They
    are asked for once, each when the one before it is written: what makes them may keep one in memory at a time, and
    an error that it raises ends the writing. The rest goes to the manifest.
    """

    segments: Iterable[SegmentDraft | Segment]
    embedder: Mapping[str, str | int]
    chunking: Mapping[str, int]
    loading: Mapping[str, int | float]
    pipeline: Mapping[str, str]
    calibration: Mapping[str, Any] | None = None


class Joined(Rows[Item]):
    """Several sequences as one, none of them copied."""

    def __init__(self, parts: Sequence[Sequence[Item]]) -> None:
        self._parts = [part for part in parts if len(part)]
        self._ends = list(accumulate(map(len, self._parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def row(self, row: int) -> Item:
        """Return the item of the part that has the row."""
        part = bisect_right(self._ends, row)
        return self._parts[part][row - (self._ends[part - 1] if part else 0)]

    def __iter__(self) -> Iterator[Item]:
        return chain.from_iterable(self._parts)


@dataclass(frozen=True)
class Generation:
    """One generation of the index, whole and in memory. Nothing in it changes, whatever happens on disk.

    Attributes:
        manifest: What the folder says of itself.
        segments: Its parts; rows go through them one after another.
        calibration: What was measured on this index, None if nothing was.
        warning: Why this is not the generation that ``CURRENT`` names, None if it is.
    """

    manifest: Manifest
    segments: Sequence[Segment]
    calibration: Mapping[str, Any] | None = None
    warning: str | None = None

    @property
    def is_partial(self) -> bool:
        """Return whether segments are left out, being damaged."""
        return len(self.segments) < self.manifest.segments

    @property
    def name(self) -> str:
        """Return the folder's name, such as ``gen-000007``."""
        return self.manifest.generation

    def warned(self, warning: str) -> Generation:
        """Return the same generation with a warning."""
        return replace(self, warning=warning)

    @cached_property
    def documents(self) -> Mapping[str, Document]:
        """Return the documents by doc_id, in its order."""
        if len(self.segments) == 1:
            return self.segments[0].documents
        every = chain.from_iterable(segment.documents.items() for segment in self.segments)
        return MappingProxyType(dict(sorted(every)))

    @cached_property
    def passages(self) -> Sequence[Passage]:
        """Return the passages by row."""
        return _joined([segment.passages for segment in self.segments])

    @cached_property
    def passages_of(self) -> Mapping[str, int]:
        """Return the number of passages of each document, by doc_id."""
        return {doc_id: n for segment in self.segments for doc_id, n in segment.passages_of.items()}

    @cached_property
    def inputs(self) -> Sequence[str]:
        """Return the fingerprint of what the embedder saw, by row."""
        return _joined([segment.inputs for segment in self.segments])

    @cached_property
    def vectors(self) -> VectorIndex:
        """Return the vectors by row."""
        return VectorIndex.joined([segment.vectors for segment in self.segments])

    @cached_property
    def bm25(self) -> Mapping[str, LexicalIndex]:
        """Return ``(index, rows)`` by passage language; ``rows[i]``, int64, is the passage row of the index's row i."""
        languages = sorted({language for segment in self.segments for language in segment.bm25})
        return MappingProxyType({language: self._lexical(language) for language in languages})

    def part(self, language: str) -> Part:
        """Return search by meaning among the passages of one language; positions are those of its BM25 lists."""
        _, rows = self.bm25[language]
        coded: list[tuple[int, Codes]] = []
        if len(self.passages) > EXACT_ROWS:
            start = 0
            for segment in self.segments:
                n_rows = len(segment.bm25[language][1]) if language in segment.bm25 else 0
                if n_rows >= _LEAST_CODED:
                    coded.append((start, segment.codes(language)))
                start += n_rows
        return Part(self.vectors, rows, coded)

    def check(self) -> None:
        """Check that the segments are what the manifest says.

        Raises:
            IndexCorruptError: They are not.
        """
        found = {"documents": len(self.documents), "passages": len(self.passages), "dim": self.vectors.dim}
        folder = self.segments[0].folder.with_name(self.name)
        if found != dict(self.manifest.counts):
            raise IndexCorruptError(folder, f"holds {found}, its manifest says {dict(self.manifest.counts)}")
        languages = {language: len(rows) for language, (_, rows) in self.bm25.items()}
        if languages != dict(self.manifest.languages):
            raise IndexCorruptError(folder, f"holds {languages}, its manifest says {dict(self.manifest.languages)}")

    def _lexical(self, language: str) -> LexicalIndex:
        parts: list[LexicalPart] = []
        start = 0
        for segment in self.segments:
            if language in segment.bm25:
                index, rows = segment.bm25[language]
                parts.append((index, rows + start))
            start += len(segment.passages)
        if len(parts) == 1:
            return parts[0]
        every = np.concatenate([rows for _, rows in parts])
        return JoinedBm25([index for index, _ in parts]), every


def load_generation(folder: Path, *, known: Generation | None = None, parse: bool = True) -> Generation:
    """Read one generation into memory, after every file was found unchanged.

    Args:
        folder: The generation's folder, such as ``index/gen-000007``.
        known: Another one, whose segments need not be read again where they are part of this one.
        parse: Work out at once what the bytes say. Without, whoever asks first finds what cannot be understood.

    Raises:
        IndexFormatError: A file is missing, damaged, of another format version or of another generation; the
            message names it and the remedy.
        RagError: A file may be whole but cannot be read; see `fsio.read_error`.
    """
    manifest = read_manifest(folder)
    held = {} if known is None else {each.key: each for each in known.segments}
    segments: list[Segment] = []
    for number in range(manifest.segments):
        segments.append(read_segment(folder, number, manifest, held))
        if parse:
            segments[-1].parse()  # its bytes go before those of the next one come
    calibration = None
    if CALIBRATION_FILE in manifest.files:
        data = read_checked(folder, CALIBRATION_FILE, manifest.files[CALIBRATION_FILE])
        try:
            calibration = json.loads(data)
        except ValueError as error:
            raise IndexCorruptError(folder / CALIBRATION_FILE, f"cannot be understood: {error!r}") from error
    generation = Generation(manifest, tuple(segments), calibration)
    if parse:
        generation.check()
    return generation


def load_whole_segments(folder: Path) -> Generation:
    """Read of a generation what is not damaged; see `load_generation`.

    Raises:
        IndexFormatError: Nothing is whole.
        RagError: A file may be whole but cannot be read.
    """
    manifest = read_manifest(folder)
    whole: list[Segment] = []
    for number in range(manifest.segments):
        with suppress(IndexCorruptError):
            segment = read_segment(folder, number, manifest, {})
            segment.parse()
            whole.append(segment)
    if not whole or manifest.segments == 1:
        raise IndexCorruptError(folder, "is damaged in all its parts")
    return Generation(manifest, tuple(whole))


def _joined(parts: Sequence[Sequence[Item]]) -> Sequence[Item]:
    return parts[0] if len(parts) == 1 else Joined(parts)
