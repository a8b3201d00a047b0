"""PDF through PDFium: glyphs (``pdf_glyphs``) become lines (``pdf_lines``), lines become blocks (``pdf_blocks``).

PDFium is fast, and may abort the process on a hostile file; it runs in the child process only.
"""

from __future__ import annotations

from typing import Any

import pypdfium2  # type: ignore[import-untyped]

from rag.loaders.bidi import is_mirrored_arabic
from rag.loaders.blocks import Parsed, UnreadableError, compose, is_plausible_title, one_line
from rag.loaders.pdf_blocks import to_blocks
from rag.loaders.pdf_glyphs import PageGlyphs, read_glyphs
from rag.loaders.pdf_lines import page_lines

_MAX_UNKNOWN_SHARE = 0.1


def parse(data: bytes, *, max_pages: int) -> Parsed:
    """Parse a PDF.

    Raises:
        UnreadableError: Damaged, encrypted, without text, or of more than ``max_pages`` pages.
    """
    document = open_pdf(data)
    try:
        count = len(document)
        if count > max_pages:
            raise UnreadableError(f"the PDF has {count:,} pages, more than {max_pages:,}; split it")
        glyphs, damaged = _read_pages(document, count)
        title = document.get_metadata_value("Title") or ""
    finally:
        document.close()
    pages = [page_lines(page) for page in glyphs]
    warnings: list[str] = []
    if is_mirrored_arabic("\n".join(line.text for lines in pages for line in lines)):
        pages = [page_lines(page, is_mirrored=True) for page in glyphs]
        warnings.append("its Arabic is drawn back to front and was turned round; check the text")
    blank = [page.number for page in glyphs if not page.rows and page.number not in damaged]
    if len(blank) + len(damaged) == count:
        if damaged:
            raise UnreadableError("the PDF is damaged: none of its pages can be read; save it again")
        raise UnreadableError("the PDF holds no text: a scan? Recognise its text (OCR) with another program first")
    if damaged:
        warnings.append(f"{len(damaged)} of its {count} pages are damaged and were left out ({_listed(damaged)})")
    if 2 * len(blank) > count:
        warnings.append(
            f"{len(blank)} of its {count} pages hold no text: scans? Text recognition (OCR) is not built in"
        )
    unknown = sum(page.unknown for page in glyphs)
    total = sum(len(row.glyphs) for page in glyphs for row in page.rows)
    if unknown > _MAX_UNKNOWN_SHARE * (total + unknown):
        warnings.append(f"{100 * unknown // (total + unknown)} % of its letters have no meaning given in the file")
    return compose(
        to_blocks(pages),
        title=title if is_plausible_title(title) else "",
        warnings=warnings,
        page_numbers=range(1, count + 1),
    )


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


def _read_pages(document: Any, count: int) -> tuple[list[PageGlyphs], list[int]]:
    """Return the glyphs of every page, and the numbers of the pages that cannot be read."""
    glyphs: list[PageGlyphs] = []
    damaged: list[int] = []
    for index in range(count):
        try:
            page = document[index]
            text_page = page.get_textpage()
        except pypdfium2.PdfiumError:
            damaged.append(index + 1)
            glyphs.append(PageGlyphs(number=index + 1, rows=[]))
            continue
        glyphs.append(read_glyphs(page, text_page, index + 1))
        text_page.close()
        page.close()
    return glyphs, damaged


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return f"{shown}, …" if len(numbers) > 5 else shown
