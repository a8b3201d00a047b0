"""EPUB: the chapters of the spine in reading order, each through the HTML reader, each under a heading.

A book is no web page: nothing of a chapter is judged to be furniture. Only what the book itself calls navigation, or
no part of the reading order, is left out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote
from zipfile import ZipFile

from lxml import etree  # type: ignore[import-untyped]

from rag.loaders import package
from rag.loaders.blocks import Block, Limits, Parsed, UnreadableError, compose, is_plausible_title, one_line
from rag.loaders.html import read_whole
from rag.loaders.metadata import joined

_CONTAINER = "META-INF/container.xml"
_ROOTFILE = "{urn:oasis:names:tc:opendocument:xmlns:container}rootfile"
_OPF = "{http://www.idpf.org/2007/opf}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_NCX = "{http://www.daisy.org/z3986/2005/ncx/}"
_REFERENCE = "{http://www.w3.org/2001/04/xmlenc#}CipherReference"
_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
_MAX_CHAPTERS = 2_000


def parse(data: bytes, limits: Limits) -> Parsed:
    """Parse an EPUB file.

    Raises:
        UnreadableError: Not an EPUB, damaged, protected, or far larger inside than outside.
    """
    with package.opened(data, "the EPUB") as archive:
        opf_name = next((found.get("full-path", "") for found in _root(archive, _CONTAINER).iter(_ROOTFILE)), "")
        opf = _root(archive, opf_name)
        folder = posixpath.dirname(opf_name)
        chapters = _chapters(opf, folder)
        if len(chapters) > _MAX_CHAPTERS:
            raise UnreadableError(f"the EPUB has more than {_MAX_CHAPTERS:,} chapters; split it")
        names = set(archive.namelist())
        protected = _protected(archive) if "META-INF/encryption.xml" in names else frozenset()
        if any(name in protected for name in chapters):
            raise UnreadableError("the EPUB is protected (DRM); only its seller's programs can read it")
        labels = _labels(archive, opf, folder)
        blocks: list[Block] = []
        notes: list[str] = []
        characters = 0
        for name in chapters:
            if name not in names:
                notes.append(f"the chapter {one_line(name)[:80]} is missing")
                continue
            try:
                own, own_notes = read_whole(archive.read(name))
            except UnreadableError as error:
                if str(error) != "it holds no text":
                    notes.append(f"the chapter {one_line(name)[:80]} was left out: {error}")
                continue
            notes += own_notes
            if own and own[0].kind != "heading" and labels.get(name):
                blocks.append(Block("heading", labels[name], level=1))
            blocks += own
            characters += sum(len(block.text) for block in own)
            if characters > limits.max_characters:
                raise UnreadableError(f"it holds more than {limits.max_characters:,} characters; split it")
    title = one_line(opf.findtext(f".//{_DC}title") or "")
    metadata = {
        "author": joined(each.text or "" for each in opf.iter(f"{_DC}creator")),
        "date": opf.findtext(f".//{_DC}date") or "",
        "keywords": joined(each.text or "" for each in opf.iter(f"{_DC}subject")),
    }
    return compose(blocks, title=title if is_plausible_title(title) else "", warnings=notes, metadata=metadata)


def _root(archive: ZipFile, name: str) -> Any:
    """Return the root of a part that may have a document type, as tables of contents do, but no entities."""
    data = archive.read(name)
    if b"<!ENTITY" in data or b"\x00" in data[:8]:
        raise UnreadableError("the EPUB declares XML entities, which no program does; save it again")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    return etree.fromstring(data, parser)


def _path(folder: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(folder, unquote(target.partition("#")[0])))


def _chapters(opf: Any, folder: str) -> list[str]:
    """Return the parts of the spine in reading order, without navigation and asides."""
    items = {item.get("id"): item for item in opf.iter(f"{_OPF}item")}
    chapters: list[str] = []
    for reference in opf.iter(f"{_OPF}itemref"):
        item = items.get(reference.get("idref"))
        if (
            item is not None
            and reference.get("linear") != "no"
            and item.get("media-type") in _PAGES
            and "nav" not in (item.get("properties") or "").split()
        ):
            chapters.append(_path(folder, item.get("href") or ""))
    return list(dict.fromkeys(chapters))


def _protected(archive: ZipFile) -> frozenset[str]:
    return frozenset(
        unquote(each.get("URI", "")) for each in _root(archive, "META-INF/encryption.xml").iter(_REFERENCE)
    )


def _labels(archive: ZipFile, opf: Any, folder: str) -> dict[str, str]:
    """Return what the table of contents calls each chapter; empty where it has none that can be read."""
    labels: dict[str, str] = {}
    for item in opf.iter(f"{_OPF}item"):
        is_nav = "nav" in (item.get("properties") or "").split()
        if not is_nav and item.get("media-type") != "application/x-dtbncx+xml":
            continue
        name = _path(folder, item.get("href") or "")
        try:
            root = _root(archive, name)
        except (KeyError, etree.XMLSyntaxError, UnreadableError):
            continue  # the chapters have headings of their own
        for target, label in _entries(root):
            labels.setdefault(_path(posixpath.dirname(name), target), one_line(label))
    return labels


def _entries(root: Any) -> Iterator[tuple[str, str]]:
    for point in root.iter(f"{_NCX}navPoint"):
        source, label = point.find(f"{_NCX}content"), point.findtext(f"{_NCX}navLabel/{_NCX}text")
        if source is not None and label:
            yield source.get("src", ""), label
    for link in root.iter("{http://www.w3.org/1999/xhtml}a"):
        yield link.get("href", ""), "".join(link.itertext())
