"""Excel files (xlsx): each visible sheet a page under its name, each row readable on its own.

Values are shown as the sheet shows them: dates, percentages, decimals, currency. Formulas give the result that was
saved with them. openpyxl reads the cells one by one; which of them are merged, it does not say while it does, so the
parts are searched for that beforehand, and for how many values there are.
"""

from __future__ import annotations

import io
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import openpyxl  # type: ignore[import-untyped]
from openpyxl.utils.cell import range_boundaries  # type: ignore[import-untyped]
from openpyxl.utils.exceptions import InvalidFileException  # type: ignore[import-untyped]

from rag.loaders import package
from rag.loaders.blocks import Block, Limits, Parsed, UnreadableError, compose, is_plausible_title, one_line
from rag.loaders.cells import shown
from rag.loaders.sheets import Merge, sheet_blocks

_VALUE = re.compile(rb"<(?:\w+:)?(?:v|is)[ >]")
_MERGE = re.compile(rb"<(?:\w+:)?mergeCell\s[^>]*?ref=[\"']([A-Za-z]{1,3}\d{1,7}:[A-Za-z]{1,3}\d{1,7})[\"']")
_UNSAVED = re.compile(rb"(?:</(?:\w+:)?f>|<(?:\w+:)?f\b[^>]*/>)\s*(?:<(?:\w+:)?v\s*/>|<v></v>|</(?:\w+:)?c>)")
_MAX_ROWS = 1_048_576
_MAX_POSITIONS = 20_000_000  # cells with and without a value
_MAX_MERGES = 20_000


class _Search:
    """What the sheets' parts hold, found before a cell is read."""

    def __init__(self, max_cells: int) -> None:
        self.values = self.unsaved = 0
        self.merges: defaultdict[str, list[Merge]] = defaultdict(list)
        self._max_cells = max_cells

    def look(self, name: str, piece: bytes) -> None:
        if "/worksheets/" not in f"/{name}":
            return
        self.values += len(_VALUE.findall(piece))
        if self.values > self._max_cells:
            raise UnreadableError(f"the xlsx holds more than {self._max_cells:,} cells with a value; split it")
        self.unsaved += len(_UNSAVED.findall(piece))
        merges = self.merges[name]
        for found in _MERGE.finditer(piece):
            if len(merges) < _MAX_MERGES:
                left, top, right, bottom = range_boundaries(found[1].decode("ascii").upper())
                merges.append(Merge(top - 1, left - 1, bottom - 1, right - 1))


def parse(data: bytes, limits: Limits) -> Parsed:
    """Parse an xlsx file.

    Raises:
        UnreadableError: Not an xlsx, damaged, encrypted, of too many cells, or far larger inside than outside.
    """
    search = _Search(limits.max_cells)
    with package.opened(data, "the xlsx") as archive:
        package.search_parts(archive, "the xlsx", search.look)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what openpyxl cannot keep is not read here either
                book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
                return _read(book, search, limits)
        except (InvalidFileException, ValueError, TypeError, AttributeError, OSError) as error:
            raise UnreadableError(f"the xlsx is damaged ({one_line(str(error))[:120]}); save it again") from error


def _read(book: Any, search: _Search, limits: Limits) -> Parsed:
    shown_sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    hidden = [sheet.title for sheet in book.worksheets if sheet.sheet_state != "visible"]
    if len(shown_sheets) > limits.max_pages:
        raise UnreadableError(f"the xlsx has {len(shown_sheets):,} sheets, more than {limits.max_pages:,}; split it")
    blocks: list[Block] = []
    characters = 0
    for number, sheet in enumerate(shown_sheets, 1):
        own = sheet_blocks(_rows(sheet, limits), search.merges.get(sheet._worksheet_path, ()), page=number)
        for block in own:
            characters += len(block.text)
            if characters > limits.max_characters:
                raise UnreadableError(f"it holds more than {limits.max_characters:,} characters; split it")
            if block is own[0]:
                blocks.append(Block("heading", sheet.title, level=2, page=number))
            blocks.append(block)
    notes = [f"hidden sheets were left out: {', '.join(map(one_line, hidden))}"] if hidden else []
    if search.unsaved:
        notes.append(f"{search.unsaved} formulas hold no saved result; open the file in a spreadsheet and save it")
    properties = book.properties
    title = properties.title or ""
    return compose(
        blocks,
        title=title if is_plausible_title(title) else None,
        warnings=notes,
        page_numbers=range(1, len(shown_sheets) + 1),
        metadata={
            "author": properties.creator if properties.creator not in (None, "openpyxl") else "",
            "date": properties.created.date().isoformat() if properties.created else "",
            "keywords": properties.keywords or "",
        },
    )


def _rows(sheet: Any, limits: Limits) -> Iterator[list[str]]:
    """Yield the cells of each row as they are shown, from the first row of the sheet; empty rows too."""
    sheet.reset_dimensions()  # they may be wrong, and rows would be filled up to them
    positions = characters = 0
    for count, cells in enumerate(sheet.iter_rows(), 1):
        positions += len(cells)
        if count > _MAX_ROWS or positions > _MAX_POSITIONS:
            raise UnreadableError(
                f"the sheet {one_line(sheet.title)} is larger than any program makes it; save it again"
            )
        texts = [_text(cell) for cell in cells]
        characters += sum(map(len, texts))
        if characters > limits.max_characters:
            raise UnreadableError(f"it holds more than {limits.max_characters:,} characters; split it")
        while texts and not texts[-1]:
            texts.pop()
        yield texts


def _text(cell: Any) -> str:
    value = cell.value
    return "" if value is None else shown(value, cell.number_format)
