"""Corpus folders become a new generation of the index; only what changed is read, embedded and analysed again.

What a build takes over from the generation before it: the document of a file whose bytes are the same, the passages
of such a document, and the vector of any text that was embedded before. Each is taken only if the code and the
settings that made it are the same too; the manifest remembers them.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rag.chunking import embedder_texts, split_document
from rag.config import ChunkingConfig, LoadConfig
from rag.datatypes import Document, Passage
from rag.embedder import Embedder, fingerprint_hash
from rag.errors import BuildCancelledError, CorpusError, IndexFormatError, IndexNotFoundError, RagError
from rag.loaders import SUPPORTED_SUFFIXES, DocumentLoader, is_archive, ocr_languages, scan_folders, with_prefixes
from rag.store import Bm25Index, Draft, Generation, IndexStore, VectorIndex
from rag.store.generation import LexicalIndex, bm25_file
from rag.store.reuse import Reuse
from rag.text.analyzers import terms
from rag.web.shelf import source_urls

_SMALLEST_BUDGET = 16
_SHOWN_FAILURES = 3
_UNIT_TOLERANCE = 1e-3
_RECORD_BYTES, _BYTES_PER_TEXT_BYTE = 400, 2.5  # measured on corpus/: 325 and 2.2

# What decides the result of each step, beside its settings: our own sources and the libraries they lean on.
_STEPS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "loading": (
        ("datatypes.py", "loaders/*.py", "text/*.py"),
        (
            *("charset-normalizer", "lxml", "markdown-it-py", "openpyxl", "pypdfium2", "python-docx", "python-pptx"),
            *("py3langid", "PyYAML", "striprtf", "trafilatura"),
        ),
    ),
    "chunking": (("datatypes.py", "chunking.py", "text/*.py"), ("py3langid",)),
    "analysis": (("datatypes.py", "text/*.py"), ("snowballstemmer",)),
}

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that is not in the index: its path, and the reason in one sentence."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a build is: ``done`` of ``total`` in a stage; ``item`` comes next, empty where it has no name.

    The stages are ``"load"`` (files), ``"embed"`` (texts that are not embedded yet) and ``"write"`` (files again).
    """

    stage: str
    done: int
    total: int
    item: str


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file of the corpus.

    ``state`` is ``"added"``, ``"updated"``, ``"unchanged"`` or ``"failed"``. One that failed has a ``reason`` and no
    ``doc_id``; the others have no ``reason``, and no ``path`` where they are part of an archive.
    """

    path: str
    doc_id: str
    state: str
    passages: int = 0
    pages: int = 0
    language: str = ""
    warnings: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did.

    ``documents`` and ``passages`` count what the index holds now. ``added``, ``updated``, ``removed`` and
    ``unchanged`` count documents against the generation before, by doc_id and the sha256 of the file; a document
    whose file can no longer be read is among the removed. ``embedded`` counts the texts given to the embedder.
    ``warnings`` are the loaders' remarks on documents that were read, one sentence each, with the doc_id in front.
    ``files`` is every file, the documents by doc_id, then what failed.
    """

    generation: str
    documents: int
    passages: int
    added: int
    updated: int
    removed: int
    unchanged: int
    failed: tuple[FailedFile, ...]
    seconds: float
    embedded: int = 0
    warnings: tuple[str, ...] = ()
    files: tuple[FileReport, ...] = ()


Progress = Callable[[BuildProgress], None]


def build_index(
    corpus: str | Path | Sequence[str | Path],
    index_dir: str | Path = "index",
    *,
    embedder: Encoder | str | Path | None = None,
    chunking: ChunkingConfig | None = None,
    loading: LoadConfig | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Bring the index up to date with the corpus.

    A new generation is written and made live in one step; until then, and after any failure, the old one answers.
    Where nothing changed, nothing is written. A file that cannot be read is reported and never stops the build.

    Args:
        corpus: The folder of the documents, or several. Of one folder, ``doc_id`` is the path under it; of several,
            the folder's name comes first, so their names must differ.
        index_dir: Where the index is, or will be. Files in it are no part of the corpus.
        embedder: The embedder, or a name or folder to open one by; None for the built-in one.
        chunking: How documents are cut; ``max_tokens`` is lowered to the embedder's window.
        loading: Limits for each file.
        progress: Called in this thread as the stages advance. What it raises ends the build.

    Raises:
        CorpusError: A folder is missing, or no document in them can be read.
        IndexLockedError: Another build of this index is running.
        ModelNotFoundError: The embedder cannot be opened.
        RagError: The index cannot be written, or the embedder is unusable.
        ValueError: No corpus folder is named.
    """
    started = time.perf_counter()
    tell = progress or (lambda step: None)
    loading = loading or LoadConfig()
    store = IndexStore(index_dir)
    found = scan_folders(_corpus_folders(corpus), without=store.index_dir)
    failed = [FailedFile(str(path), reason) for path, reason in found.refused]
    with store.lock():
        encoder = Embedder.open(embedder) if embedder is None or isinstance(embedder, str | Path) else embedder
        budget = _fit_window(chunking or ChunkingConfig(), encoder)
        base = _open_base(store)
        reuse = Reuse(
            base,
            is_same_embedder=base is not None
            and fingerprint_hash(base.manifest.embedder) == fingerprint_hash(encoder.fingerprint),
            chunking=asdict(budget),
            loading=asdict(loading),
            pipeline=_pipeline(),
        )
        documents, sources = _load(found.files, loading, reuse, failed, tell)
        documents = _with_urls(documents, _corpus_folders(corpus))
        if not documents:
            raise _nothing_readable(corpus, failed)
        before = {} if base is None else base.documents
        if base is not None and reuse.is_current and _files(documents) == _files(before.values()):
            name, passages, n_embedded = base.name, list(base.passages), 0
        else:
            passages, rows = _cut(documents, sources, reuse, encoder, budget)
            store.check_space(_estimated_bytes(documents, len(passages), encoder.dim))
            inputs, vectors, n_embedded = _embed(passages, reuse, encoder, budget, tell)
            draft = Draft(
                documents=documents,
                passages=passages,
                inputs=inputs,
                vectors=vectors,
                bm25=_analyse(passages, rows, reuse, tell),
                embedder=encoder.fingerprint,
                chunking=asdict(budget),
                loading=asdict(loading),
                pipeline=_pipeline(),
                calibration=reuse.calibration,
            )
            name = store.write_generation(
                draft, progress=lambda done, total, item: tell(BuildProgress("write", done, total, item))
            )
    failed.sort(key=lambda item: item.path)
    files = _file_reports({doc_id: path for path, doc_id in found.files}, documents, before, passages, failed)
    states = Counter(file.state for file in files)
    return BuildReport(
        generation=name,
        documents=len(documents),
        passages=len(passages),
        added=states["added"],
        updated=states["updated"],
        removed=len(before.keys() - {document.doc_id for document in documents}),
        unchanged=states["unchanged"],
        failed=tuple(failed),
        seconds=time.perf_counter() - started,
        embedded=n_embedded,
        warnings=tuple(f"{document.doc_id}: {warning}" for document in documents for warning in document.warnings),
        files=files,
    )


def _file_reports(
    paths: Mapping[str, Path],
    documents: Sequence[Document],
    before: Mapping[str, Document],
    passages: Sequence[Passage],
    failed: Sequence[FailedFile],
) -> tuple[FileReport, ...]:
    counts = Counter(passage.doc_id for passage in passages)
    reports = []
    for document in documents:
        old = before.get(document.doc_id)
        reports.append(
            FileReport(
                path=str(paths.get(document.doc_id, "")),
                doc_id=document.doc_id,
                state="added" if old is None else "unchanged" if old.sha256 == document.sha256 else "updated",
                passages=counts[document.doc_id],
                pages=len(document.pages),
                language=document.language,
                warnings=document.warnings,
            )
        )
    return (*reports, *(FileReport(item.path, "", "failed", reason=item.reason) for item in failed))


async def abuild_index(
    corpus: str | Path | Sequence[str | Path],
    index_dir: str | Path = "index",
    *,
    embedder: Encoder | str | Path | None = None,
    chunking: ChunkingConfig | None = None,
    loading: LoadConfig | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Do what `build_index` does in a thread, so that the event loop goes on; takes, returns and raises the same.

    ``progress`` is called in that thread. Cancelling ends the build at its next step (the file being read or the batch
    being embedded is finished first), waits for that, and leaves the index as it was, unless the new generation had
    gone live by then.
    """
    is_cancelled = threading.Event()

    def tell(step: BuildProgress) -> None:
        if is_cancelled.is_set():
            raise BuildCancelledError("the build was cancelled; the index is as it was before")
        if progress is not None:
            progress(step)

    build = partial(
        build_index, corpus, index_dir, embedder=embedder, chunking=chunking, loading=loading, progress=tell
    )
    building = asyncio.get_running_loop().run_in_executor(None, build)
    try:
        return await asyncio.shield(building)
    except asyncio.CancelledError:
        is_cancelled.set()
        await asyncio.wait([building])  # the lock of the index is free again when this returns
        building.exception()  # seen: the build was to end
        raise


def _files(documents: Iterable[Document]) -> list[tuple[str, str]]:
    return [(document.doc_id, document.sha256) for document in documents]


@cache
def _pipeline() -> dict[str, str]:
    """Return a fingerprint of the code behind each step, so that a changed step never takes over old results."""
    root = Path(__file__).parent
    fingerprints = {}
    for step, (patterns, libraries) in _STEPS.items():
        digest = hashlib.sha256()
        for path in sorted(path for pattern in patterns for path in root.glob(pattern)):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        for library in libraries:
            digest.update(f"{library}=={importlib.metadata.version(library)}\0".encode())
        if step == "loading":
            digest.update(ocr_languages().encode())  # once OCR is installed, scans are read that were passed over
        fingerprints[step] = digest.hexdigest()
    return fingerprints


def _corpus_folders(corpus: str | Path | Sequence[str | Path]) -> list[tuple[Path, str]]:
    """Return ``(folder, what goes before its doc_ids)``."""
    folders = [Path(corpus)] if isinstance(corpus, str | Path) else [Path(folder) for folder in corpus]
    if not folders:
        raise ValueError("name at least one corpus folder")
    for folder in folders:
        if not folder.exists():
            raise CorpusError(folder, "no such folder. Name the folder that holds the documents")
        if not folder.is_dir():
            raise CorpusError(folder, "not a folder. Name the folder that holds the documents")
    named: dict[str, Path] = {}
    for folder, prefix in with_prefixes(folders):
        if prefix in named:
            other = named[prefix]
            raise CorpusError(
                folder, f"its name is also that of {other}, and doc_ids begin with it. Rename one of the folders"
            )
        named[prefix] = folder
    return with_prefixes(folders)


def _open_base(store: IndexStore) -> Generation | None:
    try:
        return store.open_current()
    except IndexNotFoundError:
        return None
    except IndexFormatError as error:
        logger.warning("the index is built from nothing: %s", error)
        return None


def _fit_window(chunking: ChunkingConfig, encoder: Encoder) -> ChunkingConfig:
    """Return the chunking config, lowered to the embedder's window less a margin of two tokens."""
    budget = min(chunking.max_tokens, encoder.max_tokens - 2)
    if budget < _SMALLEST_BUDGET:
        raise RagError(
            f"the embedder {encoder.name} reads only {encoder.max_tokens} tokens of a text, too few for a passage. "
            "Choose another one with --embedder"
        )
    return replace(
        chunking,
        max_tokens=budget,
        context_tokens=min(chunking.context_tokens, budget // 2),
        min_tokens=min(chunking.min_tokens, budget - 1),
    )


def _load(
    files: Sequence[tuple[Path, str]], loading: LoadConfig, reuse: Reuse, failed: list[FailedFile], tell: Progress
) -> tuple[list[Document], list[str]]:
    """Read every file.

    Returns:
        The documents, in order of doc_id, and for each the doc_id of the same document in the generation before;
        empty where there is none. What cannot be read is added to ``failed``.
    """
    found: list[tuple[Document, str]] = []
    with DocumentLoader(loading) as loader:
        for done, (path, doc_id) in enumerate(files):
            tell(BuildProgress("load", done, len(files), doc_id))
            try:
                if is_archive(path):
                    for member in loader.load_archive(path, doc_id, known=reuse.document):
                        tell(BuildProgress("load", done, len(files), doc_id))  # what ends the build ends it here too
                        if isinstance(member, CorpusError):
                            failed.append(FailedFile(str(member.path), member.reason))
                        else:
                            found.append(member)
                    continue
                known = reuse.document(doc_id, _sha256(path, loading.max_bytes))
                found.append(
                    (replace(known, doc_id=doc_id), known.doc_id) if known else (loader.load(path, doc_id), "")
                )
            except CorpusError as error:
                failed.append(FailedFile(str(path), error.reason))
    tell(BuildProgress("load", len(files), len(files), ""))
    found.sort(key=lambda pair: pair[0].doc_id)
    return [document for document, _ in found], [source for _, source in found]


def _with_urls(documents: list[Document], folders: Sequence[tuple[Path, str]]) -> list[Document]:
    """Return the documents, those that ``rag add`` fetched with their address as the metadata ``url``."""
    urls: dict[str, str] = {}
    for folder, prefix in folders:
        try:
            urls |= {f"{prefix}{doc_id}": url for doc_id, url in source_urls(folder).items()}
        except CorpusError as error:
            logger.warning("pages of the web are indexed without their addresses: %s", error)
    return [
        replace(
            document, metadata=tuple(sorted({**dict(document.metadata[:31]), "url": urls[document.doc_id]}.items()))
        )
        if document.doc_id in urls
        else document
        for document in documents
    ]


def _sha256(path: Path, max_bytes: int) -> str:
    """Return the sha256 of a file; empty if it cannot be read or is too large, which the loader then reports."""
    try:
        if path.stat().st_size > max_bytes:
            return ""
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _nothing_readable(corpus: str | Path | Sequence[str | Path], failed: list[FailedFile]) -> CorpusError:
    folders = [corpus] if isinstance(corpus, str | Path) else list(corpus)
    failed = sorted(failed, key=lambda item: item.path)
    shown = "; ".join(f"{item.path}: {item.reason}" for item in failed[:_SHOWN_FAILURES])
    more = f"; and {len(failed) - _SHOWN_FAILURES} more" if len(failed) > _SHOWN_FAILURES else ""
    return CorpusError(
        ", ".join(map(str, folders)),
        f"no document that can be read. Put files there that end in {', '.join(SUPPORTED_SUFFIXES)}"
        + (f" (refused: {shown}{more})" if failed else ""),
        failed=[(item.path, item.reason) for item in failed],
    )


def _cut(
    documents: list[Document], sources: list[str], reuse: Reuse, encoder: Encoder, budget: ChunkingConfig
) -> tuple[list[Passage], npt.NDArray[np.int64]]:
    """Return the passages of all documents, and for each the row of the same one in the generation before, or -1."""
    passages: list[Passage] = []
    rows: list[int] = []
    for document, source in zip(documents, sources, strict=True):
        known = reuse.passages(source, document.doc_id)
        if known is None:
            own = split_document(document, count_tokens=encoder.count_tokens, config=budget)
            known = own, [-1] * len(own)
        passages += known[0]
        rows += known[1]
    return passages, np.array(rows, dtype=np.int64)


def _estimated_bytes(documents: Sequence[Document], n_passages: int, dim: int) -> int:
    """Return about how many bytes a generation takes: vectors, records, and the texts with their BM25 lists."""
    texts = sum(len(document.text.encode("utf-8", "surrogatepass")) for document in documents)
    return n_passages * (4 * dim + _RECORD_BYTES) + int(_BYTES_PER_TEXT_BYTE * texts)


def _embed(
    passages: list[Passage], reuse: Reuse, encoder: Encoder, budget: ChunkingConfig, tell: Progress
) -> tuple[list[str], VectorIndex, int]:
    """Return the fingerprint of each passage's embedder input, the vectors, and how many texts were embedded."""
    texts = embedder_texts(passages, count_tokens=encoder.count_tokens, config=budget)
    inputs = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32] for text in texts]
    matrix, is_known = reuse.vectors(inputs, encoder.dim)
    wanted: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(~is_known).tolist():
        wanted[inputs[row]].append(row)
    firsts = [same[0] for same in wanted.values()]
    tell(BuildProgress("embed", 0, len(firsts), ""))
    if firsts:
        fresh = encoder.encode_passages(
            [texts[row] for row in firsts],
            progress=lambda done: tell(BuildProgress("embed", done, len(firsts), "")),
        )
        _check_vectors(fresh, [passages[row] for row in firsts], encoder)
        for vector, same in zip(fresh, wanted.values(), strict=True):
            matrix[same] = vector
    return inputs, VectorIndex.build(matrix), len(firsts)


def _check_vectors(vectors: npt.NDArray[np.float32], passages: list[Passage], encoder: Encoder) -> None:
    if vectors.shape != (len(passages), encoder.dim):
        raise RagError(
            f"the embedder {encoder.name} gave vectors of shape {vectors.shape}, "
            f"not ({len(passages)}, {encoder.dim}). Choose another one with --embedder"
        )
    is_unit = np.abs(np.linalg.norm(vectors, axis=1) - 1) <= _UNIT_TOLERANCE  # false for NaN
    if not is_unit.all():
        passage = passages[int(np.argmin(is_unit))]
        raise RagError(
            f"the embedder {encoder.name} gave no unit vector for the passage {passage.passage_id}. "
            "Choose another one with --embedder"
        )


def _analyse(
    passages: list[Passage], rows: npt.NDArray[np.int64], reuse: Reuse, tell: Progress
) -> dict[str, LexicalIndex]:
    """Return the BM25 lists of each passage language; a passage's context counts once."""
    by_language: defaultdict[str, list[int]] = defaultdict(list)
    for row, passage in enumerate(passages):
        by_language[passage.language].append(row)
    lists: dict[str, LexicalIndex] = {}
    for done, (language, own) in enumerate(sorted(by_language.items())):
        tell(BuildProgress("write", done, len(by_language), bm25_file(language)))
        own_rows = np.array(own, dtype=np.int64)
        taken = reuse.lexical(language, rows[own_rows])
        is_known = [False] * len(own) if taken is None else (taken[1] >= 0).tolist()
        term_lists = (
            [] if known else terms(f"{passages[row].context}\n{passages[row].text}", language)
            for row, known in zip(own, is_known, strict=True)
        )
        lists[language] = (Bm25Index.build(term_lists, base=taken), own_rows)
    return lists
