"""Keep what people upload: safe names, bounded sizes, and no document silently lost to another of the same name."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile

MAX_NAME_BYTES = 180
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
_FORBIDDEN = frozenset('/\\:*?"<>|')


class UploadError(ValueError):
    """A file that was sent cannot be kept; ``str(error)`` says why, one sentence.

    ``code`` is one of ``name``, ``type``, ``empty``, ``large`` and names the reason for programs and translators.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class SavedUpload:
    """What became of one uploaded file.

    ``status`` is ``"added"``; ``"renamed"`` when another document already had its name and both were kept; or
    ``"unchanged"`` when the same file was already there.
    """

    name: str
    path: Path
    status: str


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
    if not stem or not name or stem.lower() in _DEVICES:
        raise UploadError("name", "The file name cannot be used; rename the file and send it again.")
    while len((stem + suffix).encode()) > MAX_NAME_BYTES and len(stem) > 1:
        stem = stem[:-1].rstrip(" .")
    return stem + suffix


def _is_kept(char: str) -> bool:
    return char not in _FORBIDDEN and unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn"}


def save_upload(folder: Path, name: str, data: bytes, *, suffixes: frozenset[str], max_bytes: int) -> SavedUpload:
    """Write ``data`` into ``folder`` under a safe form of ``name``, durably.

    A file of the same name and other content is kept; the new one becomes ``name (2).ext``.

    Args:
        folder: Made if it does not exist.
        name: As the browser sent it; never trusted.
        data: The file's bytes.
        suffixes: Accepted suffixes, lower case, with the dot.
        max_bytes: Largest size kept.

    Raises:
        UploadError: The name, type or size is not acceptable.
        OSError: The disk refused.
    """
    name = safe_name(name)
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    if suffix not in suffixes:
        raise UploadError("type", f"{suffix or 'This type'} cannot be read; send {', '.join(sorted(suffixes))}.")
    if not data:
        raise UploadError("empty", "The file is empty.")
    if len(data) > max_bytes:
        raise UploadError("large", f"The file is larger than {max_bytes // (1024 * 1024)} MB.")
    folder.mkdir(parents=True, exist_ok=True)
    taken = {unicodedata.normalize("NFC", path.name).casefold(): path for path in folder.iterdir()}
    target, number = name, 1
    while (path := taken.get(target.casefold())) is not None:
        if path.is_file() and not path.is_symlink() and path.read_bytes() == data:
            return SavedUpload(path.name, path, "unchanged")
        number += 1
        target = f"{stem} ({number}){suffix}"
    path = folder / target
    _write(path, data)
    return SavedUpload(target, path, "renamed" if number > 1 else "added")


def _write(path: Path, data: bytes) -> None:
    """Write a whole file or none: into a sibling first, then a rename. A hidden name is never indexed."""
    with NamedTemporaryFile(dir=path.parent, prefix=".upload-", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
