"""OpenDocument (odt, ods, odp): text, sheets and slides by one walk over ``content.xml``.

lxml reads the part with entities, network and huge trees switched off; odfdo would open it with lxml's defaults.
Repeated rows and cells are written once with a count, and a count costs nothing to write: it is bounded here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rag.loaders import package
from rag.loaders.blocks import (
    Block,
    Limits,
    Parsed,
    UnreadableError,
    clean,
    compose,
    is_plausible_title,
    one_line,
)
from rag.loaders.sheets import Merge, sheet_blocks
from rag.loaders.tables import page_table

_NS = "{urn:oasis:names:tc:opendocument:xmlns:%s:1.0}"
_OFFICE, _TEXT, _TABLE, _DRAW = _NS % "office", _NS % "text", _NS % "table", _NS % "drawing"
_PRESENTATION, _STYLE, _META = _NS % "presentation", _NS % "style", _NS % "meta"
_MANIFEST = _NS % "manifest"
_DC = "{http://purl.org/dc/elements/1.1/}"
_SKIPPED = frozenset(
    [f"{_TEXT}{name}" for name in ("tracked-changes", "note", "sequence-decls", "bookmark-ref", "ruby-text", "number")]
    + [f"{_OFFICE}{name}" for name in ("annotation", "annotation-end", "forms", "scripts")]
    + [f"{_TABLE}{name}" for name in ("shapes", "named-expressions", "tracked-changes")]
)
_INDEXES = frozenset(
    f"{_TEXT}{name}" for name in ("table-of-content", "alphabetical-index", "illustration-index", "table-index")
)
_HOLDERS = frozenset(
    [f"{_TEXT}{name}" for name in ("section", "bibliography", "index-body")]
    + [f"{_DRAW}{name}" for name in ("frame", "g", "text-box", "custom-shape", "rect", "ellipse", "page", "a")]
    + [f"{_OFFICE}text"]
)
_MAX_SPACES = 100
_MAX_COLUMNS = 1_000  # of repeated cells that hold a value
_MAX_ROWS = 10_000


def parse(data: bytes, limits: Limits) -> Parsed:
    """Parse an OpenDocument file: a text, a spreadsheet or a presentation.

    Raises:
        UnreadableError: Not one, damaged, encrypted, of too many cells or pages, or far larger inside than outside.
    """
    kind = "the OpenDocument file"
    with package.opened(data, kind) as archive:
        package.search_parts(archive, kind)
        names = archive.namelist()
        if "META-INF/manifest.xml" in names:
            manifest = package.xml_root(archive, "META-INF/manifest.xml")
            if next(manifest.iter(f"{_MANIFEST}encryption-data"), None) is not None:
                raise UnreadableError(f"{kind} is protected by a password; save it without one")
        content = package.xml_root(archive, "content.xml")
        meta = package.xml_root(archive, "meta.xml") if "meta.xml" in names else None
    body = content.find(f"{_OFFICE}body")
    if body is None or len(body) == 0:
        raise UnreadableError("it holds no text")
    reader = _Reader(content, limits)
    about, metadata = _about(meta)
    title: str | None = about
    part = body[0]
    pages: Sequence[int] = ()
    if part.tag == f"{_OFFICE}spreadsheet":
        blocks, pages = reader.spreadsheet(part)
        title = title or None  # a sheet's name is no title of the whole
    elif part.tag == f"{_OFFICE}presentation":
        blocks, pages = reader.presentation(part)
    else:
        blocks = [*reader.blocks(part), *reader.notes(part)]
    return compose(blocks, title=title, warnings=reader.warnings, page_numbers=pages, metadata=metadata)


def _about(meta: Any) -> tuple[str, dict[str, str]]:
    if meta is None:
        return "", {}
    title = one_line(next((element.text or "" for element in meta.iter(f"{_DC}title")), ""))
    first = {
        "author": (f"{_META}initial-creator", f"{_DC}creator"),
        "date": (f"{_META}creation-date", f"{_DC}date"),
        "keywords": (f"{_META}keyword",),
    }
    metadata = {
        key: next((element.text or "" for tag in tags for element in meta.iter(tag)), "") for key, tags in first.items()
    }
    return title if is_plausible_title(title) else "", metadata


class _Reader:
    """Walks the content of one file; holds what belongs to the whole of it."""

    def __init__(self, content: Any, limits: Limits) -> None:
        self.warnings: list[str] = []
        self._limits = limits
        self._cells = 0
        self._hidden_styles = {
            style.get(f"{_STYLE}name")
            for style in content.iter(f"{_STYLE}style")
            for properties in style.iter(f"{_STYLE}table-properties", f"{_STYLE}drawing-page-properties")
            if properties.get(f"{_TABLE}display") == "false" or properties.get(f"{_PRESENTATION}visibility") == "hidden"
        }
        self._numbered = {
            style.get(f"{_STYLE}name"): {
                int(level.get(f"{_TEXT}level", "1")) for level in style.iter(f"{_TEXT}list-level-style-number")
            }
            for style in content.iter(f"{_TEXT}list-style")
        }

    def blocks(self, container: Any, page: int | None = None) -> Iterator[Block]:
        """Yield the blocks of a body, frame or section in document order."""
        for element in container.iterchildren():
            tag = element.tag
            if tag in _SKIPPED or tag in _INDEXES or not isinstance(tag, str):
                continue
            if tag == f"{_TEXT}h":
                level = _count(element, f"{_TEXT}outline-level")
                yield from _own(Block("heading", _text(element), level=min(level, 6), page=page))
            elif tag == f"{_TEXT}p":
                yield from _own(Block("paragraph", _text(element), page=page))
                for frame in element.iterchildren(f"{_DRAW}frame", f"{_DRAW}custom-shape", f"{_DRAW}g"):
                    yield from self.blocks(frame, page)
            elif tag == f"{_TEXT}list":
                yield from self._list(element, page, 1, element.get(f"{_TEXT}style-name"))
            elif tag == f"{_TABLE}table":
                rows = [cells for cells, _ in self._rows(element)]
                has_header = next(element.iter(f"{_TABLE}table-header-rows"), None) is not None
                for line in page_table(rows, is_headed=has_header or None):
                    yield Block("row", line, page=page)
            elif tag in _HOLDERS:
                yield from self.blocks(element, page)

    def notes(self, body: Any) -> Iterator[Block]:
        """Yield footnotes and endnotes as paragraphs."""
        for note in body.iter(f"{_TEXT}note-body"):
            yield from _own(Block("paragraph", " ".join(_text(part) for part in note.iter(f"{_TEXT}p"))))

    def spreadsheet(self, body: Any) -> tuple[list[Block], range]:
        """Return the blocks of every visible sheet, and the pages that these are."""
        blocks: list[Block] = []
        tables = list(body.iterchildren(f"{_TABLE}table"))
        shown = [each for each in tables if each.get(f"{_TABLE}style-name") not in self._hidden_styles]
        hidden = [each.get(f"{_TABLE}name", "") for each in tables if each not in shown]
        if hidden:
            self.warnings.append(f"hidden sheets were left out: {', '.join(map(one_line, hidden))}")
        pages = self._pages(len(shown), "sheets")
        for number, each in zip(pages, shown, strict=True):
            rows: list[list[str]] = []
            merges: list[Merge] = []
            for cells, own in self._rows(each):
                merges += [Merge(len(rows), left, len(rows) + down, left + across) for left, down, across in own]
                rows.append(cells)
            found = sheet_blocks(rows, merges, page=number)
            name = Block("heading", each.get(f"{_TABLE}name", ""), level=2, page=number)
            blocks += [name, *found] if found else []
        return blocks, pages

    def presentation(self, body: Any) -> tuple[list[Block], range]:
        """Return the blocks of every visible slide, title first and notes last, and the pages that these are."""
        blocks: list[Block] = []
        slides = list(body.iterchildren(f"{_DRAW}page"))
        pages = self._pages(len(slides), "slides")
        hidden = []
        for number, slide in zip(pages, slides, strict=True):
            if slide.get(f"{_DRAW}style-name") in self._hidden_styles:
                hidden.append(str(number))
                continue
            frames = list(slide.iterchildren(f"{_DRAW}frame", f"{_DRAW}custom-shape", f"{_DRAW}g", f"{_DRAW}rect"))
            title = next((each for each in frames if each.get(f"{_PRESENTATION}class") == "title"), None)
            if title is not None:
                text = " ".join(_text(part) for part in title.iter(f"{_TEXT}p"))
                blocks += _own(Block("heading", text, level=1 if number == 1 else 2, page=number))
            for frame in frames:
                if frame is not title:
                    blocks += self.blocks(frame, number)
            notes = [
                block for each in slide.iterchildren(f"{_PRESENTATION}notes") for block in self.blocks(each, number)
            ]
            if notes:
                blocks += [Block("heading", "Speaker notes", level=3, page=number), *notes]
        if hidden:
            self.warnings.append(f"hidden slides were left out: {', '.join(hidden)}")
        return blocks, pages

    def _pages(self, count: int, what: str) -> range:
        if count > self._limits.max_pages:
            raise UnreadableError(f"it has {count:,} {what}, more than {self._limits.max_pages:,}; split it")
        return range(1, count + 1)

    def _list(self, element: Any, page: int | None, depth: int, style: str | None) -> Iterator[Block]:
        is_numbered = depth in self._numbered.get(style, ())
        number = 0
        for item in element.iterchildren(f"{_TEXT}list-item", f"{_TEXT}list-header"):
            number = _count(item, f"{_TEXT}start-value", number + 1)
            lines = [_text(part) for part in item.iterchildren(f"{_TEXT}p", f"{_TEXT}h")]
            marker = f"{number}." if is_numbered else "-"
            yield from _own(Block("item", " ".join(lines), marker=marker, page=page))
            for inner in item.iterchildren(f"{_TEXT}list"):
                yield from self._list(inner, page, depth + 1, inner.get(f"{_TEXT}style-name") or style)

    def _rows(self, table: Any) -> Iterator[tuple[list[str], list[tuple[int, int, int]]]]:
        """Yield the cells of each row, and ``(column, rows, columns)`` more that a cell of it takes up."""
        for line in table.iter(f"{_TABLE}table-row"):
            if next(line.iterancestors(f"{_TABLE}table")) is not table:
                continue
            cells: list[str] = []
            merges: list[tuple[int, int, int]] = []
            for cell in line.iterchildren(f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
                text = " ".join(filter(None, (one_line(_text(part)) for part in cell.iter(f"{_TEXT}p"))))
                down = _count(cell, f"{_TABLE}number-rows-spanned") - 1
                across = _count(cell, f"{_TABLE}number-columns-spanned") - 1
                if down or across:
                    merges.append((len(cells), down, across))
                repeated = _count(cell, f"{_TABLE}number-columns-repeated")
                cells += [text] * min(repeated, _MAX_COLUMNS)
            while cells and not cells[-1]:
                cells.pop()
            repeated = min(_count(line, f"{_TABLE}number-rows-repeated"), _MAX_ROWS if cells else 1)
            for _ in range(repeated):
                self._cells += sum(map(bool, cells))
                if self._cells > self._limits.max_cells:
                    raise UnreadableError(f"it holds more than {self._limits.max_cells:,} cells with a value; split it")
                yield list(cells), merges


def _own(block: Block) -> Iterator[Block]:
    if clean(block.text):
        yield block


def _count(element: Any, name: str, default: int = 1) -> int:
    value = element.get(name, "")
    return max(1, int(value)) if value.isascii() and value.isdigit() and len(value) < 10 else default


def _text(element: Any) -> str:
    """Return the text of a paragraph as shown: notes, comments and what is walked elsewhere left out."""
    parts: list[str] = [element.text or ""]
    for child in element.iterchildren():
        tag = child.tag
        if tag == f"{_TEXT}s":
            parts.append(" " * min(_count(child, f"{_TEXT}c"), _MAX_SPACES))
        elif tag == f"{_TEXT}tab":
            parts.append("\t")
        elif tag == f"{_TEXT}line-break":
            parts.append("\n")
        elif isinstance(tag, str) and tag not in _SKIPPED and not tag.startswith(_DRAW):
            parts.append(_text(child))
        parts.append(child.tail or "")
    return "".join(parts)
