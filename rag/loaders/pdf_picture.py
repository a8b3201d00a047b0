"""A page of a PDF as a picture. PDFium may abort the process on a hostile file; it runs in the child process only."""

from __future__ import annotations

import io

import pypdfium2  # type: ignore[import-untyped]

from rag.loaders.blocks import UnreadableError
from rag.loaders.pdf import open_pdf

_MAX_HEIGHT_RATIO = 4  # of the width; a page that is taller is drawn narrower, so that no file sets the memory used


def draw_page(data: bytes, number: int, *, width: int) -> bytes:
    """Return a page as PNG.

    Args:
        data: The PDF.
        number: 1-based.
        width: Pixels across; less for a page more than four times as tall as it is wide.

    Raises:
        UnreadableError: Damaged, encrypted, or without such a page.
    """
    document = open_pdf(data)
    try:
        if not 1 <= number <= len(document):
            raise UnreadableError(f"the PDF has {len(document):,} pages, no page {number:,}")
        document.init_forms()  # what was filled in is drawn too
        try:
            page = document[number - 1]
            across, down = page.get_size()  # as it is turned
            if across <= 0 or down <= 0:
                raise UnreadableError(f"page {number:,} of the PDF has no size")
            scale = min(width / across, width * _MAX_HEIGHT_RATIO / down)
            picture = page.render(scale=scale).to_pil()
        except pypdfium2.PdfiumError as error:
            raise UnreadableError(f"page {number:,} of the PDF is damaged") from error
        out = io.BytesIO()
        picture.save(out, "PNG")
        return out.getvalue()
    finally:
        document.close()
