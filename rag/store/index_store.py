"""The index folder: its generations, the pointer to the live one, and the lock of its one builder.

Readers take no lock: they read ``CURRENT``, check and load that generation, and hold it in memory. The builder
writes a new folder beside it and swaps the pointer last, so that a crash at any point leaves the old index or the
new one, whole. The lock is the operating system's (``flock``): it dies with its process, and needs a local disk.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from rag.errors import IndexCorruptError, IndexFormatError, IndexLockedError, IndexNotFoundError, RagError
from rag.store import fsio
from rag.store.generation import CALIBRATION_FILE, Draft, Generation, load_generation, load_whole_segments
from rag.store.manifest import (
    MANIFEST_FILE,
    FileEntry,
    Manifest,
    NewerFormatError,
    read_checked,
    read_manifest,
)
from rag.store.segment import Segment, SegmentDraft, documents_of, prefix

CURRENT_FILE = "CURRENT"
LOCK_FILE = ".lock"

_NAME = re.compile(r"gen-\d{6,12}")
_OPEN_ATTEMPTS = 5
_FOLDER_OVERHEAD_BYTES = 64 * 1024
_PICKLES = frozenset({".pkl", ".pickle"})

logger = logging.getLogger(__name__)


class IndexStore:
    """The index in one folder.

    Args:
        index_dir: The folder; it is created by :meth:`lock`, the first thing a build does.
    """

    def __init__(self, index_dir: str | Path) -> None:
        self.index_dir = Path(index_dir)
        self._locked = False
        self._found_whole: set[str] = set()  # by this builder, since it has the lock

    def generations(self) -> list[str]:
        """Return the names of the complete-looking generations, oldest first; empty if there is none."""
        try:
            names = [entry.name for entry in self.index_dir.iterdir() if _NAME.fullmatch(entry.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise RagError(f"{self.index_dir} cannot be read: {error.strerror}") from error
        return sorted(names, key=number_of)

    def current_name(self) -> str:
        """Return the name of the live generation, such as ``gen-000007``. One short file is read.

        Raises:
            IndexNotFoundError: There is no index in the folder.
            IndexCorruptError: ``CURRENT`` is missing beside generations, or does not hold a generation's name.
            RagError: ``CURRENT`` may be whole but cannot be read; see `fsio.read_error`.
        """
        path = self.index_dir / CURRENT_FILE
        try:
            data = fsio.read_file(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            if self.generations():
                raise IndexCorruptError(path, "is missing") from error
            raise self._no_index() from error
        except OSError as error:
            raise fsio.read_error(error, path) from error
        name = data.decode("ascii", "replace").removesuffix("\n")
        if not _NAME.fullmatch(name):
            raise IndexCorruptError(path, f"is damaged: {name[:40]!r} names no generation")
        return name

    def open(self, name: str, *, known: Generation | None = None, parse: bool = True) -> Generation:
        """Load one generation, whether it is the live one or not; see `load_generation`.

        Raises:
            IndexFormatError: It is missing, damaged, or of another format version.
            RagError: It may be whole but cannot be read; see `fsio.read_error`.
        """
        folder = self.index_dir / name
        if not folder.is_dir():
            raise IndexCorruptError(folder, "is missing")
        generation = load_generation(folder, known=known, parse=parse)
        if self._locked:
            self._found_whole.add(name)
        return generation

    def open_current(self, *, fallback: bool = True, known: Generation | None = None, parse: bool = True) -> Generation:
        """Load the live generation.

        Args:
            known: See `load_generation`.
            parse: Likewise.
            fallback: If the live generation is damaged, answer from the newest older one that is intact, then from
                any intact one, then from the segments of one that are; its ``warning`` says so, and so does the log.
                False raises instead.

        Raises:
            IndexNotFoundError: There is no index in the folder.
            IndexFormatError: It is damaged, with no intact generation to fall back to; or it was made by a program
                with a newer format, which is never passed over in silence.
            RagError: It may be whole but cannot be read; see `fsio.read_error`.
        """
        generation, failure = self._find(fallback=fallback, known=known, parse=parse)
        if failure is None:
            return generation
        part = f"{len(generation.documents)} documents of " if generation.is_partial else ""
        warning = f"{failure}. Answers come from {part}{generation.name} meanwhile"
        logger.warning("%s", warning)
        return generation.warned(warning)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the builder's lock, and remove what interrupted builds left behind.

        Raises:
            IndexLockedError: Another builder holds it; the message has its process id.
            RagError: The folder cannot be created or written.
        """
        path = self.index_dir / LOCK_FILE
        lock = FileLock(path, blocking=False)
        try:
            fsio.make_folder(self.index_dir)
            lock.acquire()
        except Timeout as error:
            holder = _holder(path)
            raise IndexLockedError(
                f"{self.index_dir} is being built by another process{holder}. Wait until it has ended, then try again"
            ) from error
        except OSError as error:
            raise fsio.write_error(error, self.index_dir) from error
        try:
            self._locked = True
            with suppress(OSError):  # the process id is a courtesy, the lock is held without it
                path.write_text(f"{os.getpid()}\n", encoding="ascii")
            self._remove_leftovers()
            yield
        finally:
            self._locked = False
            self._found_whole.clear()
            with suppress(OSError):
                os.truncate(path, 0)
            lock.release()

    def check_space(self, estimate: int) -> None:
        """Refuse a build that may not fit, before any work is spent on it.

        Args:
            estimate: Bytes that the new generation will take, about; twice that must be free.

        Raises:
            RagError: Less is free; the message has the bytes needed and free. Or the disk cannot be asked.
        """
        try:
            free = fsio.free_bytes(self.index_dir)
        except OSError as error:
            raise fsio.write_error(error, self.index_dir, needed=2 * estimate) from error
        if free < 2 * estimate:
            raise fsio.no_space(self.index_dir, 2 * estimate, free)

    def write_generation(self, draft: Draft, *, progress: Callable[[int, int, str], None] | None = None) -> str:
        """Write a new generation, make it the live one, and collect all but it and the one before it.

        Call it with :meth:`lock` held. Whatever goes wrong, the live generation is the old one or the new one.

        Args:
            draft: What to write.
            progress: Called with (files written, files in all, file name).

        Returns:
            The new generation's name.

        Raises:
            RagError: The disk is full, or the folder cannot be written; the message has the bytes needed and free.
            RuntimeError: The lock is not held.
        """
        if not self._locked:
            raise RuntimeError("write_generation needs the builder's lock")
        former = ""
        with suppress(RagError):
            former = self.current_name()
        name = f"gen-{max(map(number_of, [*self.generations(), former or 'gen-000000'])) + 1:06d}"
        target = self.index_dir / name
        temporary = self.index_dir / f"{name}.tmp"
        contents = _Contents(draft)
        others = 1 + (draft.calibration is not None)  # files, beside those of segments
        try:
            with self._writing(0):
                fsio.make_folder(temporary)
            for segment in draft.segments:
                files, taken = contents.add(segment)
                with self._writing(_FOLDER_OVERHEAD_BYTES):
                    for file_name, source in taken.items():
                        fsio.link_file(source, temporary / file_name)
                self._write(temporary, contents, files, others, progress)
                del segment, files
            self._write(temporary, contents, contents.rest(), 1, progress)
            self._write(temporary, contents, {MANIFEST_FILE: lambda: contents.manifest(name).to_bytes()}, 0, progress)
            with self._writing(0):
                fsio.sync_folder(temporary)
                fsio.rename_folder(temporary, target)
                fsio.replace_file(self.index_dir / CURRENT_FILE, f"{name}\n".encode("ascii"))
        except BaseException:
            self._discard(temporary, target)
            raise
        if progress is not None:
            progress(contents.written, contents.written, name)
        self._collect(name, former)
        return name

    def rollback(self) -> str:
        """Make the newest intact generation before the live one the live one; return its name.

        Where ``CURRENT`` itself is lost or points nowhere, that is the newest intact generation.

        Raises:
            IndexNotFoundError: There is no index in the folder.
            IndexFormatError: No earlier generation is intact.
            IndexLockedError: A builder is at work.
        """
        if not self.generations():
            raise self._no_index()
        with self.lock():
            names = self.generations()
            with suppress(RagError):
                current = self.current_name()
                names = [name for name in names if number_of(name) < number_of(current)]
            for name in reversed(names):
                if self._is_intact(name):
                    try:
                        fsio.replace_file(self.index_dir / CURRENT_FILE, f"{name}\n".encode("ascii"))
                    except OSError as error:
                        raise fsio.write_error(error, self.index_dir) from error
                    return name
        raise IndexFormatError(f"{self.index_dir} holds no earlier intact generation. Rebuild the index: rag build")

    def verify(self) -> list[str]:
        """Check every generation in full; return what is wrong, one sentence each, empty if nothing is.

        Raises:
            IndexNotFoundError: There is no index in the folder.
        """
        problems: list[str] = []
        names = self.generations()
        try:
            current = self.current_name()
            if current not in names:
                problems.append(
                    str(IndexCorruptError(self.index_dir / CURRENT_FILE, f"names {current}, which is missing"))
                )
        except IndexNotFoundError:
            raise
        except RagError as error:
            problems.append(str(error))
        for name in names:
            try:
                known = {*self.open(name).manifest.files, MANIFEST_FILE}
                strays = sorted({entry.name for entry in (self.index_dir / name).iterdir()} - known)
                problems.extend(
                    f"{self.index_dir / name / stray} is no part of the index. Remove it" for stray in strays
                )
            except RagError as error:
                problems.append(str(error))
        return problems

    def standing(self) -> str:
        """Return in one sentence what a reader gets that opens the index now, and the remedy where that is not right.

        Raises:
            IndexNotFoundError: There is no index in the folder.
        """
        try:
            generation, failure = self._find(fallback=True)
        except NewerFormatError as error:
            return str(error)
        except IndexFormatError:
            return f"no generation in {self.index_dir} is intact. Rebuild the index: rag build"
        if failure is None:
            return f"{self.index_dir / generation.name} answers"
        if generation.is_partial:
            n_documents = len(generation.documents)
            return f"{n_documents} documents of {self.index_dir / generation.name} answer meanwhile. Build: rag build"
        return (
            f"{self.index_dir / generation.name} answers meanwhile. Make it the live one: rag rollback, "
            "or build what is missing: rag build"
        )

    def _no_index(self) -> IndexNotFoundError:
        pickles: list[str] = []
        with suppress(OSError):
            pickles = sorted(entry.name for entry in self.index_dir.iterdir() if entry.suffix in _PICKLES)
        if pickles:
            return IndexNotFoundError(
                f"{self.index_dir} holds no index but {pickles[0]}, a pickle, which may run code and is never opened. "
                "Build an index from the documents: rag build"
            )
        return IndexNotFoundError(f"{self.index_dir} holds no index. Build it: rag build")

    def _find(
        self, *, fallback: bool, known: Generation | None = None, parse: bool = True
    ) -> tuple[Generation, IndexFormatError | None]:
        """Return what `open_current` does, and why it is not the live generation."""
        name = ""
        for _ in range(_OPEN_ATTEMPTS):
            try:
                name = self.current_name()
                return self.open(name, known=known, parse=parse), None
            except NewerFormatError:
                raise
            except IndexFormatError as error:
                failure = error
                with suppress(RagError):
                    if self.current_name() != name:
                        continue  # a builder moved on and collected the generation while it was being read
                break
        if fallback:
            for other in self._fallbacks(name):
                with suppress(RagError):
                    return self.open(other, known=known, parse=parse), failure
            for other in filter(None, [name, *self._fallbacks(name)]):
                with suppress(RagError):
                    return load_whole_segments(self.index_dir / other), failure
        raise failure

    def _fallbacks(self, name: str) -> list[str]:
        others = [other for other in reversed(self.generations()) if other != name]
        if not name:
            return others
        older = [other for other in others if number_of(other) < number_of(name)]
        return older + [other for other in others if other not in older]

    def _is_intact(self, name: str) -> bool:
        folder = self.index_dir / name
        try:
            for file_name, entry in read_manifest(folder).files.items():
                read_checked(folder, file_name, entry)
        except IndexFormatError:
            return False
        return True

    def _is_worth_keeping(self, name: str) -> bool:
        if name in self._found_whole:
            return True
        try:
            read_manifest(self.index_dir / name)
            return self._is_intact(name)
        except NewerFormatError:
            return True  # another version of the program may read it
        except IndexFormatError:
            return False
        except RagError:
            return True  # it could not be looked at

    @contextmanager
    def _writing(self, needed: int) -> Iterator[None]:
        """Write so many bytes.

        Raises:
            RagError: They do not fit, or what is done within the context failed.
        """
        try:
            if needed and (free := fsio.free_bytes(self.index_dir)) < needed:
                raise fsio.no_space(self.index_dir, needed, free)
            yield
        except OSError as error:
            raise fsio.write_error(error, self.index_dir, needed=needed) from error

    def _write(
        self,
        folder: Path,
        contents: _Contents,
        files: Mapping[str, Callable[[], bytes]],
        n_after: int,
        progress: Callable[[int, int, str], None] | None,
    ) -> None:
        n_before = contents.written
        for file_name, make in files.items():
            if progress is not None:
                progress(contents.written, n_before + len(files) + n_after, file_name)
            data = make()
            with self._writing(len(data)):
                fsio.write_new_file(folder / file_name, data)
            contents.enter(file_name, data)
            del data

    def _discard(self, temporary: Path, target: Path) -> None:
        """Remove an unfinished generation, unless it went live before the failure."""
        live = ""
        with suppress(RagError):
            live = self.current_name()
        self._remove([temporary] if live == target.name else [temporary, target])

    def _collect(self, name: str, former: str) -> None:
        """Remove all generations but ``name`` and the newest intact one before it, preferably ``former``."""
        others = [other for other in reversed(self.generations()) if other != name]
        others.sort(key=lambda other: other != former)
        previous = next((other for other in others if self._is_worth_keeping(other)), None)
        self._remove([self.index_dir / other for other in others if other != previous])

    def _remove_leftovers(self) -> None:
        try:
            leftovers = [entry for entry in self.index_dir.iterdir() if entry.name.endswith(".tmp")]
        except OSError as error:
            raise fsio.write_error(error, self.index_dir) from error
        self._remove(leftovers)

    def _remove(self, paths: list[Path]) -> None:
        for path in paths:
            try:
                if _NAME.fullmatch(path.name) and path.is_dir():
                    path = fsio.rename_folder(path, path.with_name(f"{path.name}.tmp"))  # never half a generation
                fsio.remove(path)
            except OSError as error:
                logger.warning("%s cannot be removed: %s", path, error.strerror)


def corpus_fingerprint(documents: Iterator[tuple[str, str]]) -> str:
    """Return the sha256 over (doc_id, sha256 of the file), in order of doc_id: equal corpora, equal fingerprints."""
    digest = hashlib.sha256()
    for doc_id, sha256 in sorted(documents):
        digest.update(f"{doc_id}\0{sha256}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


class _Contents:
    """What a generation holds, as far as it is written."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._files: dict[str, FileEntry] = {}
        self._languages: Counter[str] = Counter()
        self._documents: list[tuple[str, str]] = []
        self._n_segments = self._dim = 0
        self._has_new = False
        self.written = 0

    def add(self, segment: SegmentDraft | Segment) -> tuple[dict[str, Callable[[], bytes]], dict[str, Path]]:
        """Count a segment in; return its files by name: what makes those to write, or what to take over from where."""
        start = prefix(self._n_segments)
        self._n_segments += 1
        self._languages.update(segment.languages)
        self._documents += [(document.doc_id, document.sha256) for document in documents_of(segment)]
        is_new = isinstance(segment, SegmentDraft)
        if is_new or not self._has_new:
            self._dim, self._has_new = segment.vectors.dim, is_new
        if isinstance(segment, Segment):
            self._files |= {f"{start}{name}": entry for name, entry in segment.files.items()}
            return {}, {f"{start}{name}": segment.path(name) for name in segment.files}
        return {f"{start}{name}": make for name, make in segment.to_files().items()}, {}

    def rest(self) -> dict[str, Callable[[], bytes]]:
        """Return the files that belong to no segment, without the manifest."""
        calibration = self._draft.calibration
        if calibration is None:
            return {}
        return {CALIBRATION_FILE: lambda: json.dumps(dict(calibration), indent=2).encode("utf-8")}

    def enter(self, name: str, data: bytes) -> None:
        """Take down a file that was written."""
        self._files[name] = FileEntry(len(data), fsio.sha256_hex(data))
        self.written += 1

    def manifest(self, name: str) -> Manifest:
        """Return the manifest of a generation of that name; every other file is written."""
        draft = self._draft
        return Manifest(
            generation=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            embedder=draft.embedder,
            chunking=draft.chunking,
            loading=draft.loading,
            pipeline=draft.pipeline,
            corpus=corpus_fingerprint(iter(self._documents)),
            counts={"documents": len(self._documents), "passages": self._languages.total(), "dim": self._dim},
            languages=dict(sorted(self._languages.items())),
            versions={"python": platform.python_version()}
            | {library: version_of(library) for library in ("sanad", "numpy", "faiss-cpu", "safetensors")},
            files=self._files,
            segments=self._n_segments,
            format_version=1 if self._n_segments == 1 else 2,
        )


def version_of(distribution: str) -> str:
    """Return the version of an installed distribution, ``"unknown"`` where there is none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def number_of(name: str) -> int:
    """Return the number of a generation by its name; the higher, the newer."""
    return int(name.removeprefix("gen-"))


def _holder(path: Path) -> str:
    try:
        pid = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        pid = ""
    return f" (process {pid})" if pid.isdigit() else ""
