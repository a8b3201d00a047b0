"""Zip archives of documents: the members that can be read, a batch at a time, each within bounds of its own.

Nothing is written to disk. A member that is encrypted, damaged, too large or badly named is refused alone; its
neighbours are read.
"""

from __future__ import annotations

import base64
import hashlib
import io
import posixpath
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rag.loaders.blocks import UnreadableError, one_line
from rag.loaders.encoding import arabic_score
from rag.loaders.package import MAX_EXPANSION, PACKINGS, SMALL_BYTES, Package
from rag.loaders.scan import SOURCES_NAME, SUPPORTED_SUFFIXES, is_archive, name_problem, unsupported_reason

_BATCH_BYTES = 16 * 1024 * 1024
_NAME_CHARACTERS = 400
_UTF8_NAME = 0x800
_ENCRYPTED = 0x1
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may hold: members in all, bytes of one, bytes of all that are read."""

    max_members: int
    max_bytes: int
    max_total: int


def unpack(data: bytes, limits: ArchiveLimits, *, first: int = 0, is_digest: bool = False) -> dict[str, object]:
    """Return a batch of the documents in a zip archive, in order of their names.

    Args:
        data: The whole archive.
        limits: Bounds.
        first: The member to begin with, 0-based; what ``"next"`` of the batch before says.
        is_digest: Whether the sha256 is wanted in place of the bytes; the batch is then the last one.

    Returns:
        ``{"members", "next"}``: each member ``{"name", "data"}`` with the bytes in base64, ``{"name", "sha256"}``, or
        ``{"name", "reason"}`` where it is refused; ``"next"`` is None after the last one.

    Raises:
        UnreadableError: No zip archive, damaged, or of too many members.
    """
    members: list[dict[str, str]] = []
    try:
        with Package(io.BytesIO(data)) as archive:
            if len(archive.filelist) > limits.max_members:
                raise UnreadableError(
                    f"the archive holds {len(archive.filelist):,} files, more than {limits.max_members:,}; split it"
                )
            listed = list(_listed(archive, limits))
            batch = 0
            for number in range(first, len(listed)):
                name, entry, reason = listed[number]
                content = b""
                if not reason:
                    content, reason = _content(archive, entry)
                batch += len(content)
                if reason:
                    members.append({"name": name, "reason": reason})
                elif is_digest:
                    members.append({"name": name, "sha256": hashlib.sha256(content).hexdigest()})
                else:
                    members.append({"name": name, "data": base64.b64encode(content).decode("ascii")})
                    if batch >= _BATCH_BYTES and number + 1 < len(listed):
                        return {"members": members, "next": number + 1}
    except _DAMAGE as error:
        raise UnreadableError(f"the archive is damaged ({one_line(str(error))[:120]}); pack it again") from error
    return {"members": members, "next": None}


def _listed(archive: zipfile.ZipFile, limits: ArchiveLimits) -> Iterator[tuple[str, zipfile.ZipInfo, str]]:
    """Yield name, entry and reason of refusal of each file that is meant as a document, sorted by name."""
    total = 0
    seen: set[str] = set()
    names = _names(archive)
    for entry in sorted(archive.filelist, key=lambda entry: names[id(entry)]):
        name = names[id(entry)].replace("\\", "/")
        parts = name.split("/")
        if not name or name.endswith("/") or parts[0] == "__MACOSX" or parts[-1] == SOURCES_NAME:
            continue
        if any(part.startswith(".") and part not in (".", "..") for part in parts):
            continue
        reason = _refusal(name, entry, limits)
        if not reason:
            name = posixpath.normpath(name)
            reason = "there is another file of this name in the archive" if name in seen else ""
            seen.add(name)
        if not reason:
            total += entry.file_size
            if total > limits.max_total:
                reason = f"the archive holds more than {limits.max_total // 1024**2:,} MiB; split it"
        yield one_line(name).lstrip("/")[:_NAME_CHARACTERS] or "?", entry, reason


def _refusal(name: str, entry: zipfile.ZipInfo, limits: ArchiveLimits) -> str:
    """Return why a member is refused by its entry in the directory, empty if it is not."""
    parts = name.split("/")
    suffix = posixpath.splitext(name)[1]
    problem = name_problem(name)
    if problem:
        return problem
    if name.startswith("/") or ".." in parts or ":" in parts[0]:
        return "its name leads out of the archive; pack it again"
    if len(name) > _NAME_CHARACTERS:
        return f"its name is longer than {_NAME_CHARACTERS} characters; shorten it"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "a link; pack the file that it leads to"
    if is_archive(name):
        return "an archive within an archive; unpack it first"
    if suffix.lower() not in SUPPORTED_SUFFIXES:
        return unsupported_reason(suffix)
    if entry.flag_bits & _ENCRYPTED:
        return "protected by a password; pack it without one"
    if entry.compress_type not in PACKINGS:
        return "packed in a way that is not read; pack it again"
    if entry.file_size > limits.max_bytes:
        return f"larger than {limits.max_bytes // 1024**2:,} MiB; split it or raise the limit"
    if entry.file_size > SMALL_BYTES and entry.file_size > MAX_EXPANSION * max(1, entry.compress_size):
        return f"it grows more than {MAX_EXPANSION}-fold when unpacked (a zip bomb?)"
    return "" if entry.file_size else "the file is empty"


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[bytes, str]:
    try:
        return archive.read(entry), ""
    except _DAMAGE as error:
        return b"", f"damaged in the archive ({one_line(str(error))[:80]}); pack it again"


def _names(archive: zipfile.ZipFile) -> Mapping[int, str]:
    """Return the name of each entry, by the entry's ``id``.

    Names that are not marked as UTF-8 were read as code page 437, whatever the packer meant: often UTF-8 all the same,
    or an Arabic code page, which is told from all of them together.
    """
    raw = {id(entry): name for entry in archive.filelist if (name := _raw_name(entry)) is not None}
    above = b"\n".join(name for name in raw.values() if not name.isascii())
    page = "utf-8"
    try:
        above.decode("utf-8")
    except UnicodeDecodeError:
        scores = {encoding: arabic_score(above, encoding) for encoding in ("cp1256", "cp720")}
        best = max(scores, key=lambda encoding: scores[encoding])
        page = best if scores[best] > 0 else "cp437"
    return {
        id(entry): raw[id(entry)].decode(page, "replace") if id(entry) in raw else entry.filename
        for entry in archive.filelist
    }


def _raw_name(entry: zipfile.ZipInfo) -> bytes | None:
    """Return the bytes of a name of no declared encoding; None where the archive says how its name is written."""
    # Python 3.12 takes the name from the Unicode Path field (0x7075) where there is one, and sets no flag.
    is_replaced = _with_slashes(entry.filename) != _with_slashes(entry.orig_filename.partition("\0")[0])
    if entry.flag_bits & _UTF8_NAME or is_replaced:
        return None
    return entry.filename.encode("cp437")


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/")
