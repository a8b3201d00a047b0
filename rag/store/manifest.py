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

from rag.errors import IndexFormatError
from rag.store import fsio

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
REMEDY = "Restore the previous index: rag rollback, or rebuild it: rag build"

_SEAL = re.compile(rb'  "sha256": "([0-9a-f]{64})"\n\}\n\Z')
_SEAL_LENGTH = len('  "sha256": ""\n}\n') + 64


class NewerFormatError(IndexFormatError):
    """The generation is of a format version that this program does not know."""


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
    the number of passages by language; ``versions`` the libraries that wrote it; ``files`` every other file.
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
    format_version: int = FORMAT_VERSION

    def to_bytes(self) -> bytes:
        """Return the file's bytes: indented JSON in UTF-8 whose last member seals the bytes before it."""
        record = {"format_version": self.format_version} | {
            name: value for name, value in asdict(self).items() if name != "format_version"
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
            IndexFormatError: A byte was changed or is missing; or NewerFormatError, a subclass, for another
                format version.
        """
        try:
            record = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise IndexFormatError(f"{path} is damaged: it is not JSON. {REMEDY}") from error
        version = record.get("format_version") if isinstance(record, dict) else None
        if isinstance(version, int) and version != FORMAT_VERSION:
            raise NewerFormatError(
                f"{path} has format version {version}, this program reads {FORMAT_VERSION}. "
                "It was made by another version of sanad: upgrade sanad, or rebuild the index: rag build"
            )
        seal = _SEAL.search(data)
        if seal is None or fsio.sha256_hex(data[:-_SEAL_LENGTH]) != seal[1].decode("ascii"):
            raise IndexFormatError(f"{path} is damaged: its checksum does not match. {REMEDY}")
        try:
            return cls(**_members(record))
        except (TypeError, KeyError, ValueError) as error:
            raise IndexFormatError(f"{path} is damaged: {error}. {REMEDY}") from error


def _members(record: dict[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(Manifest)}
    members = {name: record[name] for name in names}
    members["files"] = {name: FileEntry(**entry) for name, entry in record["files"].items()}
    return members


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of the generation in ``folder``.

    Raises:
        IndexFormatError: It is missing, damaged, of another format version, or another generation's.
    """
    path = folder / MANIFEST_FILE
    try:
        data = fsio.read_file(path)
    except FileNotFoundError as error:
        raise IndexFormatError(f"{path} is missing. {REMEDY}") from error
    except OSError as error:
        raise IndexFormatError(f"{path} cannot be read: {error.strerror}. {REMEDY}") from error
    manifest = Manifest.from_bytes(data, path=path)
    if manifest.generation != folder.name:
        raise IndexFormatError(f"{path} belongs to {manifest.generation}, not to {folder.name}. {REMEDY}")
    return manifest


def read_checked(folder: Path, name: str, entry: FileEntry) -> bytes:
    """Return the bytes of one file of a generation, after length and sha256 were found right.

    Raises:
        IndexFormatError: The file is missing, cut, changed or unreadable; the message names it and the remedy.
    """
    path = folder / name
    try:
        data = fsio.read_file(path)
    except FileNotFoundError as error:
        raise IndexFormatError(f"{path} is missing. {REMEDY}") from error
    except OSError as error:
        raise IndexFormatError(f"{path} cannot be read: {error.strerror}. {REMEDY}") from error
    if len(data) != entry.bytes:
        raise IndexFormatError(f"{path} is damaged: it has {len(data):,} bytes, not {entry.bytes:,}. {REMEDY}")
    if fsio.sha256_hex(data) != entry.sha256:
        raise IndexFormatError(f"{path} is damaged: its checksum does not match. {REMEDY}")
    return data
