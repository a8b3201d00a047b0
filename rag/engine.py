"""Who does the work of a build: `LocalEngine` in this process, `rag.ray_engine.RayEngine` on a cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rag.chunking import split_document
from rag.config import ChunkingConfig, LoadConfig
from rag.datatypes import Document, Passage
from rag.errors import CorpusError
from rag.loaders import DocumentLoader, is_archive


class Encoder(Protocol):
    """What a build needs of an embedder; ``rag.embedder.Embedder`` has it."""

    @property
    def name(self) -> str:
        """Return what the model was opened by."""

    @property
    def dim(self) -> int:
        """Return the length of a vector."""

    @property
    def max_tokens(self) -> int:
        """Return the tokens of a text that the model reads."""

    @property
    def fingerprint(self) -> Mapping[str, str | int]:
        """Return what decides the vectors; all but ``name`` equal means equal vectors."""

    def encode_passages(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dim)."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the model's number of tokens of each text."""


Known = Callable[[str, str], Document | None]  # the document of a doc_id and a sha256, where it was read before
Loaded = tuple[Document, str] | CorpusError  # with the doc_id that a known document had, empty where it was read now
Lost = Mapping[int, str]  # the positions of what was given up, and why


class Engine(Protocol):
    """Who reads files, cuts documents and embeds texts: `LocalEngine`, or `rag.ray_engine.RayEngine`.

    Whatever the engine, the results are the same, but for vectors, which may differ by the rounding of floats. What
    ``progress`` raises ends the work. An engine that survives what kills a process gives up, and names, whatever keeps
    doing so.
    """

    def load(
        self,
        files: Sequence[tuple[Path, str]],
        config: LoadConfig,
        *,
        known: Known,
        progress: Callable[[int, str], None],
    ) -> Generator[Loaded, None, None]:
        """Yield the documents of files, and the errors of those that cannot be read, in any order.

        Args:
            files: ``(path, doc_id)`` of each.
            config: Limits for each file.
            known: What need not be read again.
            progress: Called with the number of files done and the doc_id of the next one, where it has a name.
        """

    def cut(
        self,
        documents: Sequence[Document],
        encoder: Encoder,
        config: ChunkingConfig,
        *,
        progress: Callable[[int], None],
    ) -> tuple[list[list[Passage]], Lost]:
        """Return the passages of each document, none of a lost one; ``progress`` gets the number of those done."""

    def encode(
        self, texts: Sequence[str], encoder: Encoder, *, progress: Callable[[int], None]
    ) -> tuple[npt.NDArray[np.float32], Lost]:
        """Return a unit vector a text, shape (len(texts), dim); the rows of lost texts mean nothing."""


class LocalEngine:
    """Does the work in this process, and reads files in a child of it. Nothing is ever lost."""

    def load(
        self,
        files: Sequence[tuple[Path, str]],
        config: LoadConfig,
        *,
        known: Known,
        progress: Callable[[int, str], None],
    ) -> Generator[Loaded, None, None]:
        """See `Engine.load`; documents come in the order of the files."""
        with DocumentLoader(config) as loader:
            for done, (path, doc_id) in enumerate(files):
                progress(done, doc_id)
                try:
                    if is_archive(path):
                        for member in loader.load_archive(path, doc_id, known=known):
                            progress(done, doc_id)  # what ends the build ends it here too
                            yield member
                        continue
                    same = known(doc_id, _sha256(path, config.max_bytes))
                    yield (replace(same, doc_id=doc_id), same.doc_id) if same else (loader.load(path, doc_id), "")
                except CorpusError as error:
                    yield error

    def cut(
        self,
        documents: Sequence[Document],
        encoder: Encoder,
        config: ChunkingConfig,
        *,
        progress: Callable[[int], None],
    ) -> tuple[list[list[Passage]], Lost]:
        """See `Engine.cut`; ``progress`` is not called."""
        count_tokens = encoder.count_tokens
        return [split_document(each, count_tokens=count_tokens, config=config) for each in documents], {}

    def encode(
        self, texts: Sequence[str], encoder: Encoder, *, progress: Callable[[int], None]
    ) -> tuple[npt.NDArray[np.float32], Lost]:
        """See `Engine.encode`."""
        return encoder.encode_passages(texts, progress=progress), {}


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a build is: ``done`` of ``total`` in a stage; ``item`` comes next, empty where it has no name.

    The stages are ``"load"`` (files), ``"embed"`` (texts that are not embedded yet) and ``"write"`` (files again).
    """

    stage: str
    done: int
    total: int
    item: str


Progress = Callable[[BuildProgress], None]


def _sha256(path: Path, max_bytes: int) -> str:
    """Return the sha256 of a file; empty if it cannot be read or is too large, which the loader then reports."""
    try:
        if path.stat().st_size > max_bytes:
            return ""
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""
