"""What documents there are: those of the index and of the folders side by side, and what the last build refused."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from rag.config import LoadConfig
from rag.errors import CorpusError
from rag.loaders import DocumentLoader, Scan, is_archive, scan_folders, with_prefixes
from rag.store import Generation, fsio
from rag.views import DocumentRow, document_rows

logger = logging.getLogger(__name__)

FAILED_FILE = "failed.json"
_FORMAT_VERSION = 1
_LOOK_INTERVAL_S = 1.0
_SHOWN_REASONS = 3  # of the documents in an archive
_LOOK_SHARE = 4  # a look that takes long is believed this many times as long

# What a name is refused for: it would mislead a reader, or no JSON can carry it.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]")

# What tells that a file is another one by now: inode, size, and when its content and its entry changed, in ns.
_Stamp = tuple[int, int, int, int]
_NO_STAMP: _Stamp = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the corpus. ``refused`` says why no build reads it, empty if one does."""

    path: Path
    doc_id: str
    stamp: _Stamp
    refused: str = ""

    @property
    def size(self) -> int:
        """Return its bytes."""
        return self.stamp[1]

    @property
    def added(self) -> datetime | None:
        """Return when its content came, UTC; None where that cannot be looked up."""
        return datetime.fromtimestamp(self.stamp[2] // 1_000_000_000, UTC) if self.stamp != _NO_STAMP else None


@dataclass(frozen=True, slots=True)
class _Look:
    """What the folders held. ``until`` is how long that is believed; ``folders`` counts those that were looked at."""

    until: float
    files: dict[str, StoredFile]
    folders: int


class Library:
    """The documents of the folders, looked at once a second at the most. Safe to share between threads.

    A file is compared with the index by its sha256, which is counted again only when the file system says that the file
    may have changed.

    Args:
        index_dir: The index; which files the last build could not read is kept in it.
        upload_dir: Where uploaded documents are; only those can be deleted.
        sources: Returns the folders that a build reads now.
        max_bytes: A larger file is not compared: no build reads it.
    """

    def __init__(
        self,
        index_dir: Path,
        upload_dir: Path,
        sources: Callable[[], Sequence[Path]],
        *,
        max_bytes: int = LoadConfig().max_bytes,
    ) -> None:
        self.index_dir, self.upload_dir, self.max_bytes = index_dir, upload_dir, max_bytes
        self._sources = sources
        self._lock = threading.RLock()
        self._look: _Look | None = None
        self._indexed: tuple[str, dict[str, DocumentRow]] = ("", {})
        self._rows: tuple[str, _Look, list[DocumentRow]] | None = None
        self._hashes: dict[Path, tuple[_Stamp, str]] = {}
        self._archives: dict[Path, tuple[_Stamp, dict[str, str]]] = {}

    def rows(self, generation: Generation | None) -> list[DocumentRow]:
        """Return every document, by ``doc_id``; see `rag.views.DocumentRow` for the states.

        Where no folder is known the index is taken as it is: nothing can be newer.

        Args:
            generation: What answers questions now; None where there is no index.
        """
        with self._lock:
            look, name = self._looked(), generation.name if generation else ""
            if self._rows is not None and self._rows[0] == name and self._rows[1] is look:
                return self._rows[2]
            if generation is None:
                self._indexed = ("", {})
            elif self._indexed[0] != name:
                rows = document_rows(generation.documents, generation.passages_of)
                self._indexed = (name, {row.doc_id: row for row in rows})
            indexed, failures = self._indexed[1], self._failures()
            uploads = _Below(self.upload_dir)
            found: list[DocumentRow] = []
            for file in look.files.values():
                row, reason = indexed.get(file.doc_id), file.refused
                if is_archive(file.path) and not reason:
                    members = self._members(file)
                    inner = [row for row in indexed.values() if row.doc_id.startswith(f"{file.doc_id}/")]
                    inner = [_member_row(row, members, generation) for row in inner]
                    found += [replace(row, added=file.added) for row in inner if row.state != "gone"]
                    row = _archive_row(file, inner, members, failures)
                elif row is None:
                    reason = reason or failures.get((file.doc_id, file.stamp), "")
                    row = _unread_row(file, reason)
                else:
                    assert generation is not None
                    is_same = self._sha256(file) == generation.documents[file.doc_id].sha256
                    row = replace(row, state="indexed" if is_same else "changed")
                is_deletable = not file.refused and uploads.hold(file.path)
                found.append(replace(row, bytes=file.size, added=file.added, is_deletable=is_deletable))
            listed = {row.doc_id for row in found}
            gone = (row for doc_id, row in indexed.items() if doc_id not in listed)
            found += (replace(row, state="gone") for row in gone) if look.folders else gone
            found.sort(key=lambda row: row.doc_id)
            self._rows = (name, look, found)
            return found

    def forget(self) -> None:
        """Look at the folders again next time, however soon that is."""
        with self._lock:
            self._look = None

    def note(self, path: Path) -> None:
        """Take up that one file has come, changed or gone; the others are as they were looked at last."""
        with self._lock:
            if self._look is None:
                return
            doc_id, stamp = self.doc_id(path), _stamp(path)
            files = {known: file for known, file in self._look.files.items() if known != doc_id}
            if doc_id and stamp is not None:
                files[doc_id] = StoredFile(path, doc_id, stamp)
            self._look = replace(self._look, files=files)

    def is_deletable(self, doc_id: str) -> bool:
        """Tell whether a document is a file of its own among the uploaded ones."""
        with self._lock:
            file = self._looked().files.get(doc_id)
            return file is not None and not file.refused and _Below(self.upload_dir).hold(file.path)

    def file(self, doc_id: str) -> StoredFile | None:
        """Return the file of a document; None if there is none that a build reads.

        Of a document in an archive, the path goes on into the archive, and the rest is the archive's.
        """
        with self._lock:
            files = self._looked().files
            found = files.get(doc_id) or self._archive_of(doc_id)
            if found is None or found.refused:
                return None
            return (
                found if found.doc_id == doc_id else replace(found, path=found.path / doc_id[len(found.doc_id) + 1 :])
            )

    def sha256(self, doc_id: str) -> str:
        """Return the sha256 of a document's file; empty if there is none, or it cannot be read."""
        with self._lock:
            found = self._looked().files.get(doc_id)
            archive = self._archive_of(doc_id)
            if archive is not None:
                return self._members(archive).get(doc_id, "")
            if found is None or (stamp := _stamp(found.path)) is None:
                return ""
            return self._sha256(replace(found, stamp=stamp))

    def doc_id(self, path: Path) -> str:
        """Return the ``doc_id`` of a file of the folders; empty if it lies in none."""
        for folder, prefix in with_prefixes(self._sources()):
            try:
                return prefix + path.resolve().relative_to(folder.resolve()).as_posix()
            except ValueError:
                continue
        return ""

    def keep_failures(self, failed: Iterable[tuple[str, str]]) -> None:
        """Remember which files a build could not read, in place of those before; a new version of a file is waiting.

        Args:
            failed: ``(path, reason)``, the paths as the build came upon them.
        """
        with self._lock:
            self.forget()
            by_path = {str(file.path): file for file in self._looked().files.values()}
            records = [
                {"doc_id": by_path[path].doc_id, "reason": reason, "stamp": by_path[path].stamp}
                for path, reason in _by_file(failed, by_path)
                if not by_path[path].refused
            ]
            data = json.dumps({"format_version": _FORMAT_VERSION, "failed": records}, ensure_ascii=False, indent=1)
            try:
                fsio.make_folder(self.index_dir)
                fsio.replace_file(self.index_dir / FAILED_FILE, data.encode("utf-8"))
            except OSError as error:
                logger.warning("%s cannot be written: %s", self.index_dir / FAILED_FILE, error.strerror)

    def _failures(self) -> dict[tuple[str, _Stamp], str]:
        """Return why each file could not be read that the last build reported, by doc_id and state of the file."""
        path = self.index_dir / FAILED_FILE
        try:
            record: Any = json.loads(fsio.read_file(path))
            if record["format_version"] != _FORMAT_VERSION:
                return {}
            return {(str(item["doc_id"]), _to_stamp(item["stamp"])): str(item["reason"]) for item in record["failed"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be read: %s", path, error)
            return {}

    def _looked(self) -> _Look:
        began = time.monotonic()
        if self._look is None or began >= self._look.until:
            folders = with_prefixes(self._sources())
            files = {file.doc_id: file for file in _files(folders, self.index_dir)}
            paths = {file.path for file in files.values()}
            self._hashes = {path: known for path, known in self._hashes.items() if path in paths}
            self._archives = {path: known for path, known in self._archives.items() if path in paths}
            ended = time.monotonic()
            until = ended + max(_LOOK_INTERVAL_S, _LOOK_SHARE * (ended - began))
            self._look = _Look(until, files, len(folders))
        return self._look

    def _archive_of(self, doc_id: str) -> StoredFile | None:
        """Return the archive that holds a document; None if it is in none."""
        files = self._looked().files
        parents = (files.get(parent.as_posix()) for parent in PurePosixPath(doc_id).parents)
        return next(
            (file for file in parents if file and is_archive(file.path) and doc_id in self._members(file)), None
        )

    def _members(self, file: StoredFile) -> dict[str, str]:
        """Return the sha256 of each document in an archive, by doc_id; the archive is opened anew when it changed."""
        known = self._archives.get(file.path)
        if known is None or known[0] != file.stamp:
            try:
                with DocumentLoader() as loader:
                    digests = loader.digests(file.path)
            except CorpusError as error:
                logger.debug("%s", error)
                digests = {}
            known = file.stamp, {f"{file.doc_id}/{name}": digest for name, digest in digests.items()}
            self._archives[file.path] = known
        return known[1]

    def _sha256(self, file: StoredFile) -> str:
        if file.refused or file.size > self.max_bytes:
            return ""
        known = self._hashes.get(file.path)
        if known is not None and known[0] == file.stamp:
            return known[1]
        try:
            digest = fsio.file_sha256(file.path)
        except OSError:
            return ""
        self._hashes[file.path] = (file.stamp, digest)
        return digest


class _Below:
    """Tells which paths lie in a folder, links resolved; each folder is looked up once."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()
        self._known: dict[Path, bool] = {}

    def hold(self, path: Path) -> bool:
        parent = path.parent
        if parent not in self._known:
            self._known[parent] = parent.resolve().is_relative_to(self._root)
        return self._known[parent]


def _files(folders: Sequence[tuple[Path, str]], index_dir: Path) -> Iterable[StoredFile]:
    """Yield the files of the folders that are there; what a build would end at is no end here."""
    for folder, prefix in folders:
        try:
            found = scan_folders([(folder, prefix)], without=index_dir)
        except CorpusError as error:
            logger.debug("%s", error)
            found = Scan((), ())
        for path, doc_id in found.files:
            if (stamp := _stamp(path)) is not None:
                yield StoredFile(path, doc_id, stamp)
        for path, reason in found.refused:
            doc_id = prefix + path.relative_to(folder).as_posix()
            yield StoredFile(path, _UNSHOWN.sub("\ufffd", doc_id), _stamp(path) or _NO_STAMP, reason)


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _to_stamp(values: Sequence[int]) -> _Stamp:
    inode, size, modified, changed = map(int, values)
    return inode, size, modified, changed


def _by_file(failed: Iterable[tuple[str, str]], files: Mapping[str, StoredFile]) -> list[tuple[str, str]]:
    """Return ``(path of a file, reason)``; what is said of documents in an archive is said of the archive, in one."""
    reasons: dict[str, list[str]] = {}
    for path, reason in failed:
        if path in files:
            reasons.setdefault(path, []).append(reason)
            continue
        archive = next((str(each) for each in Path(path).parents if str(each) in files), "")
        if archive:
            reasons.setdefault(archive, []).append(f"{Path(path).relative_to(archive).as_posix()}: {reason}")
    more = {path: f"; and {len(own) - _SHOWN_REASONS} more" for path, own in reasons.items() if own[_SHOWN_REASONS:]}
    return [(path, "; ".join(own[:_SHOWN_REASONS]) + more.get(path, "")) for path, own in reasons.items()]


def _member_row(row: DocumentRow, members: Mapping[str, str], generation: Generation | None) -> DocumentRow:
    """Return the row of a document in an archive as the archive is now; it is gone where the archive has it no more."""
    assert generation is not None
    if row.doc_id not in members:
        return replace(row, state="gone")
    is_same = members[row.doc_id] == generation.documents[row.doc_id].sha256
    return replace(row, state="indexed" if is_same else "changed")


def _archive_row(
    file: StoredFile,
    inner: Sequence[DocumentRow],
    members: Mapping[str, str],
    failures: Mapping[tuple[str, _Stamp], str],
) -> DocumentRow:
    """Return the row of an archive: it can be taken away as a whole, and says what of it could not be read."""
    reason = failures.get((file.doc_id, file.stamp), "")
    row = _unread_row(file, reason)  # its documents count their passages themselves
    if not inner:
        return row
    is_whole = reason or {row.doc_id for row in inner} == {doc_id for doc_id, digest in members.items() if digest}
    is_same = is_whole and all(row.state == "indexed" for row in inner)
    return replace(row, state="indexed" if is_same else "changed", error=reason)


def _unread_row(file: StoredFile, reason: str) -> DocumentRow:
    path = PurePosixPath(file.doc_id)
    return DocumentRow(
        doc_id=file.doc_id,
        title=path.stem,
        language="und",
        kind=path.suffix.lstrip(".").lower(),
        passages=0,
        characters=0,
        state="failed" if reason else "waiting",
        error=reason,
    )
