"""Word files (docx), read in document order: headings, paragraphs, lists with their numbers, tables, footnotes.

python-docx opens the package (it resolves no XML entity and refuses deep nesting); the body is then walked as XML,
because its own ``Paragraph.text`` leaves out inserted text, content controls and text boxes. Before it opens the
file, the zip directory and the number of paragraphs are checked: 54 KB can hold two million paragraphs, which cost
43 s and 700 MB.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.exceptions import PackageNotFoundError
from lxml import etree  # type: ignore[import-untyped]

from rag.loaders.blocks import Block, Parsed, UnreadableError, clean, compose, is_plausible_title, one_line
from rag.loaders.numbering import Numbering, Styles
from rag.loaders.tables import page_table

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_MAX_ENTRIES = 5_000
_MAX_EXPANSION = 100
_SMALL_BYTES = 8 * 1024 * 1024  # below this a high ratio harms nobody
_MAX_PARAGRAPHS = 100_000
_PARAGRAPH = re.compile(rb"<(?:\w+:)?p[ />]")
_PSEUDO_HEADING_CHARACTERS = 80


def parse(data: bytes) -> Parsed:
    """Parse a docx file.

    Raises:
        UnreadableError: Not a docx, damaged, encrypted, or far larger inside than outside.
    """
    _check_zip(data)
    try:
        document = docx.Document(io.BytesIO(data))
    except (PackageNotFoundError, KeyError, ValueError, zipfile.BadZipFile, zlib.error, etree.XMLSyntaxError) as error:
        raise UnreadableError(f"the docx is damaged ({one_line(str(error))[:120]}); save it again") from error
    styles = Styles(document.styles.element)
    reader = _Reader(styles, Numbering(_part_xml(document.part, RELATIONSHIP_TYPE.NUMBERING)))
    blocks = list(reader.blocks(document.element.body))
    if not any(block.kind == "heading" for block in blocks):
        blocks = [reader.promote(index, blocks) for index in range(len(blocks))]
    blocks.extend(reader.notes(_part_xml(document.part, RELATIONSHIP_TYPE.FOOTNOTES)))
    properties = document.core_properties
    title = properties.title or ""
    metadata = {
        "author": properties.author or "",
        "date": properties.created.date().isoformat() if properties.created else "",
        "keywords": properties.keywords or "",
    }
    return compose(blocks, title=title if is_plausible_title(title) else "", metadata=metadata)


def _check_zip(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = {entry.filename for entry in entries}
            if "word/document.xml" not in names and "[Content_Types].xml" not in names:
                raise UnreadableError("a zip archive but not a docx; save it as .docx")
            if len(entries) > _MAX_ENTRIES:
                raise UnreadableError(f"the docx holds {len(entries):,} parts, more than {_MAX_ENTRIES:,}")
            total = sum(entry.file_size for entry in entries)
            if total > _SMALL_BYTES and total > _MAX_EXPANSION * len(data):
                raise UnreadableError(
                    f"the docx grows {total // len(data):,}-fold when opened (a zip bomb?); more than "
                    f"{_MAX_EXPANSION}-fold is refused"
                )
            if "word/document.xml" in names:
                paragraphs = _count_paragraphs(archive)
                if paragraphs > _MAX_PARAGRAPHS:
                    raise UnreadableError(f"the docx holds more than {_MAX_PARAGRAPHS:,} paragraphs; split it")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise UnreadableError(f"the docx is damaged ({one_line(str(error))[:120]}); save it again") from error


def _count_paragraphs(archive: zipfile.ZipFile) -> int:
    count = 0
    tail = b""
    with archive.open("word/document.xml") as part:
        while count <= _MAX_PARAGRAPHS and (piece := part.read(1 << 20)):
            window = tail + piece
            count += len(_PARAGRAPH.findall(window))
            if b"<!DOCTYPE" in window:
                raise UnreadableError("the docx declares XML entities, which no Word file does; save it again")
            cut = window.rfind(b"<")
            tail = window[cut:] if cut >= 0 and len(window) - cut < 64 and b">" not in window[cut:] else b""
    return count


def _part_xml(part: Any, relation: str) -> Any:
    """Return the root element of the part related by ``relation``, None if there is none."""
    try:
        related = part.part_related_by(relation)
    except KeyError:
        return None
    element = getattr(related, "element", None)
    if element is not None:
        return element
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(related.blob, parser)


class _Reader:
    """Walks the body of one document; holds the state of its running numbers."""

    def __init__(self, styles: Styles, numbering: Numbering) -> None:
        self._styles = styles
        self._numbering = numbering
        self._bold: set[int] = set()  # positions of paragraphs that are bold throughout
        self._count = 0

    def blocks(self, container: Any) -> Iterator[Block]:
        """Yield the blocks of a body, cell, text box or content control in document order."""
        for element in container.iterchildren():
            if element.tag == f"{_W}p":
                yield from self._paragraph(element)
            elif element.tag == f"{_W}tbl":
                yield from self._table(element)
            elif element.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml", f"{_W}smartTag"):
                yield from self.blocks(element)

    def promote(self, index: int, blocks: list[Block]) -> Block:
        """Return the block, as a heading if it is a short bold line above text; for files without heading styles."""
        block = blocks[index]
        following = blocks[index + 1] if index + 1 < len(blocks) else None
        if (
            index in self._bold
            and block.kind == "paragraph"
            and following is not None
            and index + 1 not in self._bold
            and len(block.text) <= _PSEUDO_HEADING_CHARACTERS
            and "\n" not in block.text.strip()
            and not block.text.rstrip().endswith((".", "،", ":", "؛"))
        ):
            return Block("heading", block.text, level=1 if index == 0 else 2)
        return block

    def notes(self, root: Any) -> Iterator[Block]:
        """Yield the footnotes as paragraphs; separators, which have a type, hold no text of the author."""
        if root is None:
            return
        for note in root.iterchildren(f"{_W}footnote"):
            if note.get(f"{_W}type") in (None, "normal"):
                text = " ".join(_own_text(paragraph) for paragraph in note.iter(f"{_W}p"))
                if clean(text):
                    yield Block("paragraph", text)

    def _paragraph(self, paragraph: Any) -> Iterator[Block]:
        text = _own_text(paragraph)
        if clean(text):
            block = self._block(paragraph, text)
            if block.kind == "paragraph" and _is_bold(paragraph):
                self._bold.add(self._count)
            self._count += 1
            yield block
        for box in _boxes(paragraph):
            for block in self.blocks(box):
                yield block

    def _block(self, paragraph: Any, text: str) -> Block:
        properties = paragraph.find(f"{_W}pPr")
        level = self._styles.heading_level(properties)
        if level:
            return Block("heading", text, level=level)
        number = self._styles.numbering(properties)
        if number is not None:
            marker = self._numbering.marker(*number)
            if marker:
                return Block("item", text, marker=marker)
        return Block("paragraph", text)

    def _table(self, table: Any) -> Iterator[Block]:
        rows = [line for line in table.iter(f"{_W}tr") if _owner(line, f"{_W}tbl") is table]
        cells = [
            [self._cell(cell) for cell in line.iter(f"{_W}tc") if _owner(cell, f"{_W}tr") is line] for line in rows
        ]
        has_header = bool(rows) and rows[0].find(f"{_W}trPr/{_W}tblHeader") is not None
        for text in page_table(cells, is_headed=has_header or None):
            if text:
                self._count += 1
                yield Block("row", text)

    def _cell(self, cell: Any) -> str:
        parts = []
        for paragraph in cell.iter(f"{_W}p"):
            if not any(True for _ in paragraph.iterancestors(_FALLBACK)):
                parts.append(one_line(_own_text(paragraph)))
        return " ".join(part for part in parts if part)


def _owner(element: Any, tag: str) -> Any:
    return next(element.iterancestors(tag))


def _own_text(paragraph: Any) -> str:
    """Return the text of a paragraph as shown: inserted text in, deleted text, field codes and text boxes out."""
    parts: list[str] = []

    def walk(element: Any) -> None:
        for child in element.iterchildren():
            tag = child.tag
            if tag == f"{_W}t":
                parts.append(child.text or "")
            elif tag in (f"{_W}tab", f"{_W}ptab"):
                parts.append("\t")
            elif tag in (f"{_W}br", f"{_W}cr"):
                parts.append("\n")
            elif tag == f"{_W}noBreakHyphen":
                parts.append("-")
            elif tag in _SKIPPED or not isinstance(tag, str):
                continue
            else:
                walk(child)

    walk(paragraph)
    return "".join(parts)


# Deleted and moved-away text, field codes, properties, phonetic guides, and what is walked elsewhere.
_SKIPPED = frozenset(
    f"{_W}{name}" for name in ("pPr", "rPr", "del", "moveFrom", "instrText", "delText", "txbxContent", "rt")
) | {_FALLBACK}


def _boxes(paragraph: Any) -> list[Any]:
    """Return the text boxes anchored in a paragraph, without the copies kept for old programs."""
    return [
        box
        for box in paragraph.iter(f"{_W}txbxContent")
        if not any(True for _ in box.iterancestors(_FALLBACK)) and _owner(box, f"{_W}p") is paragraph
    ]


def _is_bold(paragraph: Any) -> bool:
    """Return whether every run that shows text is set in bold directly."""
    runs = [run for run in paragraph.iter(f"{_W}r") if any((text.text or "").strip() for text in run.iter(f"{_W}t"))]
    return bool(runs) and all(
        any(
            (mark := run.find(f"{_W}rPr/{_W}{name}")) is not None and mark.get(f"{_W}val") not in ("0", "false")
            for name in ("b", "bCs")
        )
        for run in runs
    )
