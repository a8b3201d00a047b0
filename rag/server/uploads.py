"""Keep what people upload: safe names, bounded sizes, and no document silently lost to another of the same name."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile, mkdtemp
from typing import BinaryIO

from rag.loaders import SOURCES_NAME
from rag.store.fsio import sync_folder

MAX_NAME_BYTES = 180
MAX_SUFFIX_BYTES = 40
MAX_DEPTH = 8  # folders within the upload folder
MAX_PATH_CHARACTERS = 400  # of folders and name together
TRASH_NAME = ".trash"
_PIECE_BYTES = 1024 * 1024
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
_FORBIDDEN = frozenset('/\\:*?"<>|')


class UploadError(ValueError):
    """What was sent cannot be kept, or what is kept cannot be taken away; ``str(error)`` says why, and the remedy.

    ``code`` names the reason for programs and translators: ``name``, ``folder``, ``type``, ``empty`` or ``large`` of
    what was sent; ``unknown``, ``corpus`` or ``gone`` of what was to be taken away.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class SavedUpload:
    """What became of one uploaded file.

    ``status`` is ``"added"``; ``"renamed"`` when another document already had its name and both were kept; or
    ``"unchanged"`` when the same file was already there. ``doc_id`` is the one it has once it is indexed, where known.
    """

    name: str
    path: Path
    status: str
    doc_id: str = ""


@dataclass(frozen=True, slots=True)
class DeletedDocument:
    """What became of a document that was taken away.

    ``path`` is where its file is now. ``is_in_index`` says that it goes on answering until the next rebuild.
    """

    doc_id: str
    path: Path
    is_in_index: bool


def safe_name(name: str) -> str:
    """Return a file name for ``name`` that stays in its folder and reads as it is written.

    Letters of every script are kept, in NFC. Folders, control, bidi, zero-width and private characters, and those
    a file system refuses, are dropped.

    Raises:
        UploadError: Nothing usable is left.
    """
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rsplit("/", 1)[-1])
    kept = (" " if char.isspace() else char for char in name if char.isspace() or _is_kept(char))
    name = " ".join("".join(kept).split()).strip(" .")
    path = PurePosixPath(name or "_")
    stem, suffix = path.stem.rstrip(" ."), path.suffix.lower()
    if len(suffix.encode()) > MAX_SUFFIX_BYTES:  # no suffix: else a name of nothing but it could not be shortened
        stem, suffix = stem + suffix, ""
    if not stem or not name or stem.lower() in _DEVICES:
        raise UploadError("name", "The file name cannot be used; rename the file and send it again.")
    while len((stem + suffix).encode()) > MAX_NAME_BYTES and len(stem) > 1:
        stem = stem[:-1].rstrip(" .")
    return stem + suffix


def _is_kept(char: str) -> bool:
    return char not in _FORBIDDEN and unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn"}


def save_upload(
    folder: Path,
    name: str,
    data: bytes | BinaryIO,
    *,
    suffixes: frozenset[str],
    max_bytes: int,
    subfolder: str = "",
) -> SavedUpload:
    """Write ``data`` into ``folder`` under a safe form of ``name``, durably.

    A file of the same name and other content is kept; the new one becomes ``name (2).ext``. A stream is copied piece
    by piece, so that no file is in memory as a whole.

    Args:
        folder: Made if it does not exist.
        name: As the browser sent it; never trusted.
        data: The file's bytes, or a stream of them.
        suffixes: Accepted suffixes, lower case, with the dot.
        max_bytes: Largest size kept.
        subfolder: Where in ``folder`` it goes, such as ``"reports/2026"``; each part is made safe as a name is.

    Raises:
        UploadError: The name, folder, type or size is not acceptable.
        OSError: The disk refused.
    """
    name = safe_name(name)
    parts = safe_parts(subfolder)
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    if suffix not in suffixes:
        raise UploadError("type", f"{suffix or 'This type'} cannot be read; send {', '.join(sorted(suffixes))}.")
    if name == SOURCES_NAME:  # about the documents, not one of them: never indexed
        raise UploadError("name", f"{SOURCES_NAME} is a name of its own here; rename the file and send it again.")
    if sum(map(len, parts)) + len(parts) + len(name) > MAX_PATH_CHARACTERS:
        raise UploadError("folder", f"Folders and name are longer than {MAX_PATH_CHARACTERS} characters; shorten them.")
    if data == b"":
        raise UploadError("empty", "The file is empty.")
    folder.mkdir(parents=True, exist_ok=True)
    written = _write_aside(folder, BytesIO(data) if isinstance(data, bytes) else data, max_bytes)
    try:
        home = _home(folder, parts)
        taken = {_folded(path.name): path for path in home.iterdir()}
        target, number = name, 1
        while (path := taken.get(_folded(target))) is not None:
            if path.is_file() and not path.is_symlink() and filecmp.cmp(path, written, shallow=False):
                return SavedUpload(path.name, path, "unchanged")
            number += 1
            target = f"{stem} ({number}){suffix}"
        path = home / target
        os.replace(written, path)
        sync_folder(home)
        return SavedUpload(target, path, "renamed" if number > 1 else "added")
    finally:
        written.unlink(missing_ok=True)


def safe_parts(folder: str) -> list[str]:
    """Return the parts of a relative folder path, each made safe as ``safe_name`` does; empty for no folder.

    Raises:
        UploadError: It is absolute, leads upwards, has an unusable part, or is deeper than ``MAX_DEPTH``.
    """
    folder = folder.replace("\\", "/")
    if folder.startswith("/") or re.match("[A-Za-z]:", folder):
        raise UploadError("folder", "The folder is an absolute one; send its path within the uploads.")
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if len(parts) > MAX_DEPTH:
        raise UploadError("folder", f"The folders are more than {MAX_DEPTH} deep; send a folder further in.")
    try:
        parts = [safe_name(part) for part in parts]
    except UploadError as error:
        raise UploadError("folder", "The name of a folder cannot be used; rename it and send it again.") from error
    if SOURCES_NAME in parts:
        raise UploadError("folder", f"{SOURCES_NAME} is a name of its own here; rename the folder and send it again.")
    return parts


def _folded(name: str) -> str:
    """Return a name in the form in which two names that a file system may take for one are equal."""
    return unicodedata.normalize("NFC", name).casefold()


def _home(folder: Path, parts: Sequence[str]) -> Path:
    """Return the folder that ``parts`` leads to, made where it is missing. A link is never followed."""
    for part in parts:
        known = next((path for path in folder.iterdir() if _folded(path.name) == _folded(part)), None)
        if known is not None and (known.is_symlink() or not known.is_dir()):
            raise UploadError("folder", f"{part} is no folder here; rename the folder and send it again.")
        folder = known or folder / part
        folder.mkdir(exist_ok=True)
    return folder


def _write_aside(folder: Path, data: BinaryIO, max_bytes: int) -> Path:
    """Write a whole file or none under a hidden name, which is never indexed; return its path."""
    with NamedTemporaryFile(dir=folder, prefix=".upload-", delete=False) as file:
        try:
            size = 0
            while piece := data.read(_PIECE_BYTES):
                size += len(piece)
                if size > max_bytes:
                    raise UploadError("large", f"The file is larger than {max_bytes // (1024 * 1024)} MB.")
                file.write(piece)
            if not size:
                raise UploadError("empty", "The file is empty.")
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return Path(file.name)


def move_to_trash(folder: Path, path: Path) -> Path:
    """Move a file of the upload folder to a place of its own in the hidden ``.trash`` there, which is never indexed.

    Folders that this empties are removed. What is in the trash stays until somebody removes it by hand.

    Args:
        folder: The upload folder.
        path: A file below it, as ``folder / ...``.

    Returns:
        Where it is now, under the same path below a folder named for the moment.

    Raises:
        OSError: The disk refused, or the file is there no more.
    """
    trash = folder / TRASH_NAME
    trash.mkdir(exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ-")
    relative = path.relative_to(folder)
    place = Path(mkdtemp(dir=trash, prefix=moment))
    target = place / relative
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
    except OSError:
        shutil.rmtree(place, ignore_errors=True)
        raise
    for emptied in relative.parents[:-1]:
        try:
            (folder / emptied).rmdir()
        except OSError:
            break  # something else is in it
    return target
