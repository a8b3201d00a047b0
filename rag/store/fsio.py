"""Durable reads and writes: every byte of an index passes through these few functions.

A file is whole on disk when :func:`write_new_file` returns, its name is safe once :func:`sync_folder` returned for
its folder, and :func:`replace_file` changes a small file in one step that a crash cannot split. Nothing here knows
what an index is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from rag.errors import IndexCorruptError, RagError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM})
_NO_LINK = frozenset({errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
_DESCRIPTOR_REMEDY = "Raise the limit (ulimit -n) or end other programs, then try again"


def sha256_hex(data: bytes | memoryview) -> str:
    """Return the sha256 of ``data`` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 hexadecimal digits. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_file(path: Path) -> bytes:
    """Return a file's bytes. Raises OSError."""
    return path.read_bytes()


def write_new_file(path: Path, data: bytes) -> None:
    """Create ``path`` with ``data`` and wait until its content is on disk.

    The name itself is durable only after :func:`sync_folder` of its folder. Raises OSError, also when ``path``
    exists; a short write is carried on, never taken for a whole one.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link_file(source: Path, target: Path) -> None:
    """Give a file, which is on disk and never changes, a second name; a copy where the disk has no such thing.

    Like that of :func:`write_new_file`, the name is durable after :func:`sync_folder`. Raises OSError.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        write_new_file(target, source.read_bytes())


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, each durable; an existing folder is left alone. Raises OSError."""
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent)
    with suppress(FileExistsError):
        os.mkdir(path)
    sync_folder(path.parent)


def rename_folder(source: Path, target: Path) -> Path:
    """Rename a folder within its parent and wait until the new name is on disk; return it. Raises OSError."""
    os.rename(source, target)
    sync_folder(target.parent)
    return target


def replace_file(path: Path, data: bytes) -> None:
    """Set a small file's content in one step: a reader, or a crash, meets the old or the new bytes. Raises OSError."""
    temporary = path.with_name(path.name + ".tmp")
    remove(temporary)
    write_new_file(temporary, data)
    os.replace(temporary, path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing there is no error. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        for entry in path.iterdir():
            remove(entry)
        os.rmdir(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)


def free_bytes(folder: Path) -> int:
    """Return how many bytes an ordinary user may still write to the disk that holds ``folder``. Raises OSError."""
    return shutil.disk_usage(folder).free


def no_space(folder: Path, needed: int | None, free: int | None) -> RagError:
    """Return the RagError that tells a user how many bytes a build needs and how many are free, where known."""
    want = "" if needed is None else f"the new index needs {needed:,} bytes, "
    left = "the disk does not say how many bytes are free" if free is None else f"{free:,} bytes are free"
    return RagError(
        f"{folder}: no space left: {want}{left}. The index that was there is untouched. "
        "Free some space and build again: rag build"
    )


def read_error(error: OSError, path: Path) -> RagError:
    """Return the error for a file of the index that could not be read.

    An `IndexCorruptError` where the file is missing or its disk fails; a plain RagError where only the way to it is
    barred, which says nothing of the file: no other generation may stand in for it, and none may be thrown away.
    """
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        return IndexCorruptError(path, "is missing")
    if error.errno in _NO_DESCRIPTOR:
        return RagError(f"{path} cannot be read: {reason}. {_DESCRIPTOR_REMEDY}")
    if error.errno in _NOT_ALLOWED:
        return RagError(f"{path} cannot be read: {reason}. Give yourself permission to read it")
    if error.errno == errno.ENOMEM:
        return RagError(f"{path} cannot be read: {reason}. End other programs, then try again")
    return IndexCorruptError(path, f"cannot be read: {reason}")


def write_error(error: OSError, folder: Path, *, needed: int | None = None) -> RagError:
    """Return the RagError that tells a user why ``folder`` could not be written, and the remedy.

    Args:
        error: What the system said.
        folder: The folder being written.
        needed: Bytes that the whole write needs, where known.
    """
    if error.errno in _NO_SPACE:
        free = None
        with suppress(OSError):
            free = free_bytes(folder)
        return no_space(folder, needed, free)
    reason = f"{folder} cannot be written: {error.strerror or error}. The index that was there is untouched."
    if error.errno in _NO_DESCRIPTOR:
        return RagError(f"{reason} {_DESCRIPTOR_REMEDY}")
    if error.errno == errno.EROFS:
        return RagError(f"{reason} Mount the disk for writing, or choose another folder with --index-dir")
    if error.errno in _NOT_ALLOWED:
        return RagError(f"{reason} Give yourself write permission there, or choose another folder with --index-dir")
    return RagError(f"{reason} Check the disk, or choose another folder with --index-dir")
