"""Zip packages (docx, pptx, xlsx, OpenDocument, EPUB): opened only after their directory and XML were found harmless.

A few kilobytes of zip can hold gigabytes, and a few lines of XML can name a billion laughs. The directory is summed
and every XML part searched, piece by piece, before a parser sees it; what a part holds beyond the size it declares is
never inflated.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from lxml import etree  # type: ignore[import-untyped]

from rag.loaders.blocks import UnreadableError, one_line

MAX_ENTRIES = 5_000
MAX_EXPANSION = 100
SMALL_BYTES = 8 * 1024 * 1024  # below this a high ratio harms nobody
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile inflates the others without a bound
_MAX_TAGS = 4_000_000
_PIECE = 1 << 20
_TAIL = 16  # longer than what is searched for
_ENTITY_MARKS = (b"<!DOCTYPE", b"<!ENTITY")
_XML_NAMES = (".xml", ".rels")


class Package(zipfile.ZipFile):
    """A zip archive whose ``read`` inflates no more of a member than it declares."""

    def read(self, name: str | zipfile.ZipInfo, pwd: bytes | None = None) -> bytes:
        """Return a member's bytes. ``ZipFile.read`` would inflate all that is there before it cuts."""
        entry = name if isinstance(name, zipfile.ZipInfo) else self.getinfo(name)
        with self.open(entry, pwd=pwd) as part:
            return part.read(entry.file_size + 1)


@contextmanager
def opened(data: bytes, kind: str) -> Iterator[zipfile.ZipFile]:
    """Open a package whose directory is within bounds; damage that shows while it is open is a refusal too.

    Args:
        data: The whole file.
        kind: What it is called in a message, such as ``"the pptx"``.

    Raises:
        UnreadableError: Damaged, or what `check_directory` refuses.
    """
    try:
        with Package(io.BytesIO(data)) as archive:
            check_directory(archive.infolist(), len(data), kind)
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, KeyError, etree.XMLSyntaxError) as error:
        raise UnreadableError(f"{kind} is damaged ({one_line(str(error))[:120]}); save it again") from error


def check_directory(entries: Collection[zipfile.ZipInfo], size: int, kind: str) -> None:
    """Refuse a package by its directory.

    Raises:
        UnreadableError: Encrypted, of too many parts, packed otherwise than by deflating, or far larger inside than
            outside.
    """
    if len(entries) > MAX_ENTRIES:
        raise UnreadableError(f"{kind} holds {len(entries):,} parts, more than {MAX_ENTRIES:,}")
    if any(entry.flag_bits & 1 for entry in entries):
        raise UnreadableError(f"{kind} is protected by a password; save it without one")
    if any(entry.compress_type not in PACKINGS for entry in entries):
        raise UnreadableError(f"{kind} is packed in a way that is not read; save it again")
    total = sum(entry.file_size for entry in entries)
    if total > SMALL_BYTES and total > MAX_EXPANSION * size:
        raise UnreadableError(
            f"{kind} grows {total // size:,}-fold when opened (a zip bomb?); more than {MAX_EXPANSION}-fold is refused"
        )


def search_parts(archive: zipfile.ZipFile, kind: str, look: Callable[[str, bytes], None] | None = None) -> None:
    """Refuse XML that declares entities, is in another encoding than UTF-8, or holds too many tags.

    Args:
        archive: The package.
        kind: What it is called in a message.
        look: Is shown each piece of a part with the part's name; a piece ends at the end of a tag where one does.

    Raises:
        UnreadableError: A part is not harmless, or what ``look`` raises.
    """
    tags = 0
    for name in archive.namelist():
        if not name.endswith(_XML_NAMES):
            continue
        rest = b""
        is_first = True
        with archive.open(name) as part:
            while piece := part.read(_PIECE):
                if is_first and b"\x00" in piece[:8]:
                    raise UnreadableError(f"{kind} is not written in UTF-8, as every program does; save it again")
                is_first = False
                window = rest + piece
                if any(mark in window for mark in _ENTITY_MARKS):
                    raise UnreadableError(f"{kind} declares XML entities, which no program does; save it again")
                cut = window.rfind(b">") + 1
                if cut == 0 and len(window) < _PIECE + _TAIL:
                    cut = 0
                elif cut == 0:
                    cut = len(window) - _TAIL
                tags += window.count(b"<", 0, cut)
                if tags > _MAX_TAGS:
                    raise UnreadableError(f"{kind} holds more than {_MAX_TAGS:,} XML tags; split it")
                if look is not None:
                    look(name, window[:cut])
                rest = window[cut:]
        if look is not None and rest:
            look(name, rest)


def xml_root(archive: zipfile.ZipFile, name: str) -> Any:
    """Return the root element of a part; no entity is resolved and nothing fetched.

    Raises:
        KeyError: There is no such part.
        etree.XMLSyntaxError: It is no XML, or too deep.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    return etree.fromstring(archive.read(name), parser)


def title_of(text: str | None) -> str:
    """Return a title from a package's metadata on one line; empty if there is none."""
    return re.sub(r"\s+", " ", text or "").strip()
