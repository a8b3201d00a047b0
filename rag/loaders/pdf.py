"""PDF through PDFium: glyphs (``pdf_glyphs``) become lines (``pdf_lines``), lines become blocks (``pdf_blocks``).

Pages that are scans become lines by OCR (``ocr``). What is wrong with the text is said (``pdf_verdict``).

PDFium is fast, and may abort the process on a hostile file; it runs in the child process only.
"""

from __future__ import annotations

import ctypes
import math
from functools import partial
from typing import Any

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]
from PIL import Image

from rag.loaders.bidi import is_mirrored_arabic
from rag.loaders.blocks import Parsed, UnreadableError, compose, is_plausible_title, one_line
from rag.loaders.metadata import pdf_day
from rag.loaders.ocr import DPI, MAX_PIXELS, Picture, Reading, Recogniser, listed
from rag.loaders.pdf_blocks import to_blocks
from rag.loaders.pdf_glyphs import PageGlyphs, read_glyphs
from rag.loaders.pdf_lines import page_lines
from rag.loaders.pdf_verdict import text_warnings
from rag.loaders.tesseract import REMEDY

_STAMP_GLYPHS = 60  # a page with fewer may be a scan that a program has put its name on
_SCAN_SHARE = 0.6  # of the page that a picture covers


def parse(data: bytes, *, max_pages: int, recogniser: Recogniser | None = None) -> Parsed:
    """Parse a PDF; pages that are scans are read by the recogniser, where there is one.

    Raises:
        UnreadableError: Damaged, encrypted, without text, or of more than ``max_pages`` pages.
    """
    document = open_pdf(data)
    try:
        count = len(document)
        if count > max_pages:
            raise UnreadableError(f"the PDF has {count:,} pages, more than {max_pages:,}; split it")
        glyphs, damaged, scans = _read_pages(document, count)
        title = document.get_metadata_value("Title") or ""
        metadata = {
            "author": document.get_metadata_value("Author") or "",
            "date": pdf_day(document.get_metadata_value("CreationDate") or ""),
            "keywords": document.get_metadata_value("Keywords") or "",
        }
        reading = Reading()
        if recogniser is not None:
            reading = recogniser.read([Picture(number, partial(draw_grey, document, number)) for number in scans])
    finally:
        document.close()
    own = [page for page in glyphs if page.number not in reading.lines]  # read from their glyphs
    lines = {page.number: page_lines(page) for page in own}
    warnings: list[str] = []
    if is_mirrored_arabic("\n".join(line.text for page in lines.values() for line in page)):
        lines = {page.number: page_lines(page, is_mirrored=True) for page in own}
        warnings.append("its Arabic is stored in visual order, back to front, and was put right; check the text")
    if damaged:
        warnings.append(f"{len(damaged)} of its {count} pages are damaged and were left out ({listed(damaged)})")
    blank = [page.number for page in own if not page.rows and page.number not in damaged]
    if len(blank) + len(damaged) == count:
        raise UnreadableError(_no_text(reading, is_damaged=bool(damaged), is_ocr_installed=recogniser is not None))
    if 2 * len(blank) > count and recogniser is None:
        warnings.append(
            f"{len(blank)} of its {count} pages hold no text: scans? To have them read, install OCR ({REMEDY})"
        )
    pages = [reading.lines.get(page.number) or lines[page.number] for page in glyphs]
    return compose(
        to_blocks(pages),
        title=title if is_plausible_title(title) else "",
        warnings=[
            *warnings,
            *text_warnings(own, [line for page in lines.values() for line in page]),
            *reading.warnings(),
        ],
        page_numbers=range(1, count + 1),
        metadata=metadata,
    )


def _no_text(reading: Reading, *, is_damaged: bool, is_ocr_installed: bool) -> str:
    if is_damaged:
        return "the PDF is damaged: none of its pages can be read; save it again"
    if not is_ocr_installed:
        return f"the PDF holds no text: a scan? To have it read, install OCR ({REMEDY})"
    return "; ".join(["the PDF holds no text, and OCR found none", *reading.warnings()])


def open_pdf(data: bytes) -> Any:
    """Return the pypdfium2 document; whoever opens it closes it.

    Raises:
        UnreadableError: Damaged or encrypted.
    """
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UnreadableError("the PDF is encrypted; save it without a password") from error
        raise UnreadableError(f"the PDF is damaged ({one_line(str(error))[:120]}); save it again") from error


def draw_grey(document: Any, number: int) -> Image.Image | None:
    """Return a page in shades of grey, large enough for OCR; None if it cannot be drawn."""
    try:
        page = document[number - 1]
        across, down = page.get_size()
        scale = min(DPI / 72, math.sqrt(MAX_PIXELS / max(across * down, 1.0)))
        image: Image.Image = page.render(scale=scale, grayscale=True).to_pil()
        page.close()
    except (pypdfium2.PdfiumError, ValueError):
        return None
    return image


def _read_pages(document: Any, count: int) -> tuple[list[PageGlyphs], list[int], list[int]]:
    """Return the glyphs of every page, the numbers of the pages that cannot be read, and of those that are scans."""
    glyphs: list[PageGlyphs] = []
    damaged: list[int] = []
    scans: list[int] = []
    for index in range(count):
        try:
            page = document[index]
            text_page = page.get_textpage()
        except pypdfium2.PdfiumError:
            damaged.append(index + 1)
            glyphs.append(PageGlyphs(number=index + 1, rows=[]))
            continue
        glyphs.append(read_glyphs(page, text_page, index + 1))
        if _is_scan(page, glyphs[-1]):
            scans.append(index + 1)
        text_page.close()
        page.close()
    return glyphs, damaged, scans


def _is_scan(page: Any, glyphs: PageGlyphs) -> bool:
    """Return whether a page shows more text than it holds: none, a stamp on a picture, or letters without meaning."""
    known = sum(len(row.glyphs) for row in glyphs.rows)
    if known <= 2 * glyphs.unknown:  # private characters are counted in both
        return True
    if known >= _STAMP_GLYPHS:
        return False
    across, down = page.get_size()
    bounds = [ctypes.c_float() for _ in range(4)]
    for position in range(min(pdfium.FPDFPage_CountObjects(page.raw), _STAMP_GLYPHS)):
        item = pdfium.FPDFPage_GetObject(page.raw, position)
        if pdfium.FPDFPageObj_GetType(item) == pdfium.FPDF_PAGEOBJ_IMAGE and pdfium.FPDFPageObj_GetBounds(
            item, *bounds
        ):
            left, bottom, right, top = (bound.value for bound in bounds)
            if (right - left) * (top - bottom) >= _SCAN_SHARE * across * down:
                return True
    return False
