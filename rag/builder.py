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
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath

from rag.config import ChunkingConfig, LoadConfig
from rag.datatypes import Document
from rag.drafting import Drafter
from rag.embedder import Embedder, fingerprint_hash
from rag.engine import BuildProgress, Encoder, Engine, LocalEngine, Progress
from rag.errors import BuildCancelledError, CorpusError, IndexFormatError, IndexNotFoundError, RagError
from rag.loaders import SUPPORTED_SUFFIXES, ocr_languages, scan_folders, with_prefixes
from rag.store import Draft, Generation, IndexStore, MilvusStore, Segment, SegmentDraft, open_store
from rag.store.reuse import Reuse
from rag.web.shelf import source_urls

_SMALLEST_BUDGET = 16
_SHOWN_FAILURES = 3

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


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that is not in the index: its path, and the reason in one sentence."""

    path: str
    reason: str


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


def build_index(
    corpus: str | Path | Sequence[str | Path],
    index_dir: str | Path = "index",
    *,
    embedder: Encoder | str | Path | None = None,
    chunking: ChunkingConfig | None = None,
    loading: LoadConfig | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Bring the index up to date with the corpus.

    A new generation is written and made live in one step; until then, and after any failure, the old one answers.
    Where nothing changed, nothing is written. A file that cannot be read is reported and never stops the build.

    Args:
        corpus: The folder of the documents, or several. Of one folder, ``doc_id`` is the path under it; of several,
            the folder's name comes first, so their names must differ.
        index_dir: Where the index is, or will be: a folder, whose files are no part of the corpus, or an address in
            Milvus such as ``milvus:http://host:19530``.
        embedder: The embedder, or a name or folder to open one by; None for the built-in one.
        chunking: How documents are cut; ``max_tokens`` is lowered to the embedder's window.
        loading: Limits for each file.
        engine: Who reads, cuts and embeds; None for this process, `rag.ray_engine.RayEngine` for a Ray cluster.
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
    engine = engine or LocalEngine()
    store = open_store(index_dir)
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
            pipeline=pipeline(),
        )
        documents, sources = _load(found.files, loading, reuse, engine, failed, tell)
        documents = _with_urls(documents, _corpus_folders(corpus))
        if not documents:
            raise _nothing_readable(corpus, failed)
        before = {} if base is None else base.documents
        is_read = BuildProgress("load", len(found.files), len(found.files), "")
        drafter = Drafter(reuse, encoder, budget, engine, check_space=store.check_space, tell=tell, told=is_read)
        if base is not None and reuse.is_current and _files(documents) == _files(before.values()):
            name, kept = base.name, list(base.segments)
        else:
            kept = reuse.keep(documents)
            held = {doc_id for segment in kept for doc_id in segment.documents}
            new = [(each, source) for each, source in zip(documents, sources, strict=True) if each.doc_id not in held]

            def segments() -> Iterator[Segment | SegmentDraft]:
                yield from kept
                yield from drafter.drafts(new)
                failed.extend(_failed_documents(drafter.lost, found.files))
                if len(drafter.lost) == len(documents):
                    raise _nothing_readable(corpus, failed)

            draft = Draft(
                segments=segments(),
                embedder=encoder.fingerprint,
                chunking=asdict(budget),
                loading=asdict(loading),
                pipeline=pipeline(),
                calibration=reuse.calibration,
            )
            name = store.write_generation(draft, progress=drafter.tell_written)
            documents = [document for document in documents if document.doc_id not in drafter.lost]
    failed.sort(key=lambda item: item.path)
    counts = drafter.counts
    for segment in kept:
        counts.update(segment.passages_of)
    files = _file_reports({doc_id: path for path, doc_id in found.files}, documents, before, counts, failed)
    states = Counter(file.state for file in files)
    return BuildReport(
        generation=name,
        documents=len(documents),
        passages=counts.total(),
        added=states["added"],
        updated=states["updated"],
        removed=len(before.keys() - {document.doc_id for document in documents}),
        unchanged=states["unchanged"],
        failed=tuple(failed),
        seconds=time.perf_counter() - started,
        embedded=drafter.embedded,
        warnings=tuple(f"{document.doc_id}: {warning}" for document in documents for warning in document.warnings),
        files=files,
    )


def _file_reports(
    paths: Mapping[str, Path],
    documents: Sequence[Document],
    before: Mapping[str, Document],
    counts: Mapping[str, int],
    failed: Sequence[FailedFile],
) -> tuple[FileReport, ...]:
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
    engine: Engine | None = None,
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
        build_index,
        corpus,
        index_dir,
        embedder=embedder,
        chunking=chunking,
        loading=loading,
        engine=engine,
        progress=tell,
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
def pipeline() -> dict[str, str]:
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


def _open_base(store: IndexStore | MilvusStore) -> Generation | None:
    try:
        base = store.open_current(parse=False)
        assert base.documents is not None  # the rest is worked out where it is needed
        return base
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
    files: Sequence[tuple[Path, str]],
    loading: LoadConfig,
    reuse: Reuse,
    engine: Engine,
    failed: list[FailedFile],
    tell: Progress,
) -> tuple[list[Document], list[str]]:
    """Read every file.

    Returns:
        The documents, in order of doc_id, and for each the doc_id of the same document in the generation before;
        empty where there is none. What cannot be read is added to ``failed``.
    """
    found: list[tuple[Document, str]] = []

    def progress(done: int, doc_id: str) -> None:
        tell(BuildProgress("load", done, len(files), doc_id))

    with closing(engine.load(files, loading, known=reuse.document, progress=progress)) as loaded:
        for one in loaded:
            if isinstance(one, CorpusError):
                failed.append(FailedFile(str(one.path), one.reason))
            else:
                found.append(one)
    progress(len(files), "")
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


def _failed_documents(lost: Mapping[str, str], files: Sequence[tuple[Path, str]]) -> Iterator[FailedFile]:
    """Yield the file of each lost document; that of one in an archive goes on into the archive."""
    paths = {doc_id: path for path, doc_id in files}
    for doc_id, reason in lost.items():
        pure = PurePosixPath(doc_id)
        home = next(parent for parent in (pure, *pure.parents) if str(parent) in paths)
        yield FailedFile(str(paths[str(home)] / pure.relative_to(home)), reason)
