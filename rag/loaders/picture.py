"""Pictures (PNG, JPEG, TIFF): scans and photographs of pages, read by OCR; each frame of a TIFF is a page."""

from __future__ import annotations

import io
from functools import partial

from PIL import Image, ImageOps

from rag.loaders.blocks import Parsed, UnreadableError, compose, one_line
from rag.loaders.ocr import MAX_PIXELS, Picture, Recogniser, to_grey
from rag.loaders.pdf_blocks import to_blocks
from rag.loaders.tesseract import REMEDY

_SMALL_WIDTH = 1200  # pixels across; a screen or a small scan, whose letters are too small for OCR
_MIN_SIDE = 100  # pixels; an icon holds no text


def parse(data: bytes, *, max_pages: int, recogniser: Recogniser | None) -> Parsed:
    """Parse a picture.

    Raises:
        UnreadableError: OCR is not installed, or the picture is damaged, too small, too large or without text.
    """
    if recogniser is None:
        raise UnreadableError(f"a picture: to read its text, install OCR ({REMEDY})")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "TIFF")) as image:
            _check_size(image)
            count = int(getattr(image, "n_frames", 1))
            if count > max_pages:
                raise UnreadableError(f"the picture has {count:,} pages, more than {max_pages:,}; split it")
            reading = recogniser.read(
                [Picture(number, partial(_frame, image, number)) for number in range(1, count + 1)]
            )
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableError(f"the picture is damaged ({one_line(str(error))[:120]}); save it again") from error
    if not reading.lines:
        raise UnreadableError("; ".join(["OCR found no text in the picture", *reading.warnings()]))
    pages = [reading.lines.get(number, []) for number in range(1, count + 1)]
    return compose(to_blocks(pages), warnings=reading.warnings(), page_numbers=range(1, count + 1))


def _frame(image: Image.Image, number: int) -> Image.Image:
    """Return one frame as a reader sees it, a small one at twice its size."""
    image.seek(number - 1)
    _check_size(image)
    frame = to_grey(ImageOps.exif_transpose(image))
    return frame.resize((2 * frame.width, 2 * frame.height)) if frame.width < _SMALL_WIDTH else frame


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableError(f"the picture has more than {MAX_PIXELS // 1_000_000} million pixels; scale it down")
    if min(image.size) < _MIN_SIDE:
        raise UnreadableError("the picture is too small to hold text")
