"""``manifest.json``: what a generation holds, with the length and sha256 of each file, and of itself.

The manifest is written last, so a folder without one is no generation. Its last line is the sha256 of all the bytes
before that line; any changed byte, of the manifest or of a file it lists, is found before anything is parsed.
The checksums catch accidents. Whoever may write the folder can also forge them: treat an index as trusted data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from rag.errors import IndexCorruptError, IndexFormatError
from rag.store import fsio

OLDEST_VERSION = 1
FORMAT_VERSION = 2  # 1 knows no segments; an index of one segment is written as that
MANIFEST_FILE = "manifest.json"

_SEAL = re.compile(rb'  "sha256": "([0-9a-f]{64})"\n\}\n\Z')
_SEAL_LENGTH = len('  "sha256": ""\n}\n') + 64


class NewerFormatError(IndexFormatError):
    """The generation is of a later format version than this program knows; a later program may read it."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Length in bytes and sha256 (64 hexadecimal digits) of one file of a generation."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one generation holds.

    ``created`` is UTC, ISO 8601; the number in ``generation``, not the time, orders generations. ``embedder`` is the
    embedder's fingerprint; ``chunking`` and ``loading`` the configs in force (``chunking`` after it was lowered to
    the embedder's window); ``pipeline`` fingerprints of the code that loads, cuts and analyses text; ``corpus`` the
    fingerprint of doc_ids and file contents; ``counts`` has ``documents``, ``passages`` and ``dim``; ``languages``
    the number of passages by language; ``versions`` the libraries that wrote it; ``files`` every other file;
    ``segments`` the number of parts that they make up.
    """

    generation: str
    created: str
    embedder: Mapping[str, str | int]
    chunking: Mapping[str, int]
    loading: Mapping[str, int | float]
    pipeline: Mapping[str, str]
    corpus: str
    counts: Mapping[str, int]
    languages: Mapping[str, int]
    versions: Mapping[str, str]
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    segments: int = 1
    format_version: int = 1

    def __post_init__(self) -> None:
        if self.segments < 1 or (self.format_version == 1) != (self.segments == 1):
            raise ValueError(f"format version {self.format_version} cannot have {self.segments} segments")

    def to_bytes(self) -> bytes:
        """Return the file's bytes: indented JSON in UTF-8 whose last member seals the bytes before it."""
        without = {"format_version"} if self.segments > 1 else {"format_version", "segments"}
        record = {"format_version": self.format_version} | {
            name: value for name, value in asdict(self).items() if name not in without
        }
        body = json.dumps(record, ensure_ascii=True, indent=2, sort_keys=False).removesuffix("\n}") + ",\n"
        head = body.encode("utf-8")
        return head + b'  "sha256": "' + fsio.sha256_hex(head).encode("ascii") + b'"\n}\n'

    @classmethod
    def from_bytes(cls, data: bytes, *, path: Path) -> Manifest:
        """Read a manifest.

        Args:
            data: The file's bytes.
            path: Where they come from, for the messages.

        Raises:
            IndexCorruptError: A byte was changed or is missing.
            NewerFormatError: It is of a later format version. One that has a seal is asked for it first, so that a
                damaged version number is not taken for a later one.
            IndexFormatError: It is of a format version that never was.
        """
        try:
            record = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise IndexCorruptError(path, "is damaged: it is not JSON") from error
        version = record.get("format_version") if isinstance(record, dict) else None
        seal = _SEAL.search(data)
        is_whole = seal is not None and fsio.sha256_hex(data[:-_SEAL_LENGTH]) == seal[1].decode("ascii")
        if isinstance(version, int) and version > FORMAT_VERSION and (is_whole or seal is None):
            raise NewerFormatError(
                f"{path} has format version {version}, this program reads {FORMAT_VERSION}. "
                "It was made by a newer version of sanad: upgrade sanad, or rebuild the index: rag build"
            )
        if not is_whole:
            raise IndexCorruptError(path, "is damaged: its checksum does not match")
        if not isinstance(version, int) or not OLDEST_VERSION <= version <= FORMAT_VERSION:
            raise IndexFormatError(
                f"{path} has format version {version!r}, which this program does not know. Rebuild the index: rag build"
            )
        try:
            return cls(**_members(record))
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise IndexCorruptError(path, f"is damaged: {error}") from error


def _members(record: dict[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(Manifest)}
    members = {name: record[name] for name in names - {"segments"}} | {"segments": int(record.get("segments", 1))}
    members["files"] = {name: FileEntry(**entry) for name, entry in record["files"].items()}
    for name in members["files"]:
        if not name or Path(name).name != name:
            raise ValueError(f"{name!r} is no name of a file in its folder")
    return members


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of the generation in ``folder``.

    Raises:
        IndexFormatError: It is missing, damaged, of another format version, or another generation's.
        RagError: It may be whole but cannot be read; see `fsio.read_error`.
    """
    path = folder / MANIFEST_FILE
    manifest = Manifest.from_bytes(_read(path), path=path)
    if manifest.generation != folder.name:
        raise IndexCorruptError(path, f"belongs to {manifest.generation}, not to {folder.name}")
    return manifest


def read_checked(folder: Path, name: str, entry: FileEntry) -> bytes:
    """Return the bytes of one file of a generation, after length and sha256 were found right.

    Raises:
        IndexCorruptError: The file is missing, cut, changed or lies on a failing disk.
        RagError: It may be whole but cannot be read; see `fsio.read_error`.
    """
    path = folder / name
    data = _read(path)
    if len(data) != entry.bytes:
        raise IndexCorruptError(path, f"is damaged: it has {len(data):,} bytes, not {entry.bytes:,}")
    if fsio.sha256_hex(data) != entry.sha256:
        raise IndexCorruptError(path, "is damaged: its checksum does not match")
    return data


def check_file(folder: Path, name: str, entry: FileEntry) -> None:
    """Do what `read_checked` does, but keep nothing of the file in memory."""
    path = folder / name
    try:
        size, sha256 = path.stat().st_size, fsio.file_sha256(path)
    except OSError as error:
        raise fsio.read_error(error, path) from error
    if size != entry.bytes:
        raise IndexCorruptError(path, f"is damaged: it has {size:,} bytes, not {entry.bytes:,}")
    if sha256 != entry.sha256:
        raise IndexCorruptError(path, "is damaged: its checksum does not match")


def _read(path: Path) -> bytes:
    try:
        return fsio.read_file(path)
    except OSError as error:
        raise fsio.read_error(error, path) from error
