"""Text of scans: pictures of pages read by the program tesseract, in Arabic and English.

Measured on five printed pages drawn at 300 dpi, 1,162 words, share of the words read exactly: English 1.00; Arabic 0.97
in Noto Naskh, 0.91 in Noto Sans, 0.91 in DejaVu Sans. Read once in both languages, Arabic falls to 0.95, 0.89 and 0.87,
as words of it are taken for Latin ones; read as Arabic alone, it has no Latin words at all. On two busy cores a page
took 3 to 9 s, and 14 to 17 s where it was read a second time.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from PIL import Image

from rag.loaders.pdf_lines import Line
from rag.loaders.tesseract import LANGUAGES, Word, languages, read_words

DPI = 300
MAX_PIXELS = 40_000_000  # of one picture; A4 at 300 dpi has 9 million

_BLANK_RANGE = 24  # of 255 grey levels: a page that varies less is empty
_LEADING = 1.5  # ems between two lines
_LINE_STEP = 1.8  # heights of a word between two lines, where there are no two
_HEADING_RATIO = 1.4  # of the usual height of a word; heights vary with the letters
# Arabic words read as Latin ones are as sure as 22 to 96; as Arabic ones nearly always surer, which true Latin words
# never are: those become digits and marks, of a certainty of 0.
_LATIN_ADVANTAGE = 5.0
_ARABIC = re.compile("[\u0621-\u064a]")
_LATIN = re.compile("[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Picture:
    """A page to be read: its 1-based number, and what draws it (in shades of grey, None if it cannot be drawn)."""

    number: int
    draw: Callable[[], Image.Image | None]


@dataclass(slots=True)
class Reading:
    """What OCR made of some pages of a document.

    ``lines`` holds the lines of each page that was read, by its number, in reading order.
    ``confidence`` is tesseract's, in [0, 100], the mean over the letters. ``unread`` lists the pages that tesseract
    failed on or had no time for, ``left_out`` those beyond the limit. Pages in none of them are blank.
    """

    lines: dict[int, list[Line]] = field(default_factory=dict)
    confidence: float = 0.0
    unread: list[int] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)

    def warnings(self) -> list[str]:
        """Return what the reader of a build report should know, one sentence each."""
        found = []
        if self.lines:
            known = " and ".join(name for code, name in LANGUAGES.items() if code in languages())
            missing = "" if "ara" in languages() else "; for Arabic: apt install tesseract-ocr-ara"
            found.append(
                f"read by OCR ({known}{missing}): page {listed(sorted(self.lines))}, "
                f"mean confidence {self.confidence:.0f} %; check what matters against the page"
            )
        if self.unread:
            found.append(f"OCR failed or took too long: page {listed(self.unread)} left out")
        if self.left_out:
            found.append(f"more scanned pages than OCR is allowed: page {listed(self.left_out)} left out; split it")
        return found


class Recogniser:
    """Reads pictures of pages.

    Args:
        max_pages: Pages read at most, over the life of this object.
        page_timeout_s: For each.
        announce: Called with the number of pages before they are read: they take time.
    """

    def __init__(self, *, max_pages: int, page_timeout_s: float, announce: Callable[[int], None]) -> None:
        self._left = max_pages
        self._page_timeout_s = page_timeout_s
        self._announce = announce

    def read(self, pictures: Sequence[Picture]) -> Reading:
        """Read the pages that are not blank."""
        wanted = pictures[: self._left]
        reading = Reading(left_out=[picture.number for picture in pictures[self._left :]])
        if not wanted:
            return reading
        self._left -= len(wanted)
        self._announce(len(wanted))
        letters = certain = 0.0
        for picture in wanted:
            image = picture.draw()
            if image is not None and _is_blank(image):
                continue
            found = None if image is None else self._words(image)
            if found is None:
                reading.unread.append(picture.number)
                continue
            lines = _lines(found, picture.number)
            if lines:
                reading.lines[picture.number] = lines
            for word in (word for line in found for word in line):
                letters += len(word.text)
                certain += len(word.text) * word.confidence
        reading.confidence = certain / letters if letters else 0.0
        return reading

    def _words(self, image: Image.Image) -> list[list[Word]] | None:
        """Return the words of each line, in reading order; None if tesseract fails or takes too long."""
        data = io.BytesIO()
        image.save(data, "PPM")
        end = time.monotonic() + self._page_timeout_s
        lines = read_words(data.getvalue(), languages(), dpi=DPI, timeout_s=self._page_timeout_s)
        if lines and "ara" in languages() and _is_arabic_with_latin(lines):
            arabic = read_words(data.getvalue(), "ara", dpi=DPI, timeout_s=max(0.0, end - time.monotonic())) or []
            known = [word for line in arabic for word in line if _ARABIC.search(word.text)]
            lines = [[_rather_arabic(word, known) for word in line] for line in lines]
        return lines


def _is_arabic_with_latin(lines: Sequence[Sequence[Word]]) -> bool:
    text = "".join(word.text for line in lines for word in line)
    latin = len(_LATIN.findall(text))
    return 0 < latin < len(_ARABIC.findall(text))


def _rather_arabic(word: Word, arabic: Sequence[Word]) -> Word:
    """Return a word, or what stands there for who reads Arabic only: about as sure, it is no Latin word."""
    if not _LATIN.search(word.text):
        return word
    for other in arabic:
        if (
            min(word.left + word.width, other.left + other.width) - max(word.left, other.left) > 0.6 * word.width
            and abs(word.top + word.height / 2 - other.top - other.height / 2) < 0.5 * word.height
            and other.width < 1.6 * word.width
            and other.confidence >= word.confidence - _LATIN_ADVANTAGE
        ):
            return other
    return word


def to_grey(image: Image.Image) -> Image.Image:
    """Return a picture in shades of grey, what is transparent in it as white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("L")


def listed(numbers: Sequence[int]) -> str:
    """Return page numbers as text, neighbours as a range: ``"1-3, 7"``; of many ranges the first five."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = ", ".join(f"{first}-{last}" if first < last else str(first) for first, last in ranges[:5])
    return f"{shown}, …" if len(ranges) > 5 else shown


def _is_blank(image: Image.Image) -> bool:
    shades = [shade for shade, count in enumerate(image.histogram()) if count]
    return shades[-1] - shades[0] < _BLANK_RANGE


def _lines(found: Sequence[Sequence[Word]], page: int) -> list[Line]:
    """Return lines, in ems of the page: the body of every page has the size 1, lines clearly larger are headings."""
    if not found:
        return []
    usual = median(median(word.height for word in words) for words in found for _ in words)
    bottoms = [median(word.top + word.height for word in words) for words in found]
    steps = [below - above for above, below in pairwise(bottoms) if usual < below - above < 3 * usual]
    em = (median(steps) if steps else _LINE_STEP * usual) / _LEADING
    lines = []
    for words, bottom in zip(found, bottoms, strict=True):
        height = sorted(word.height for word in words)[len(words) // 4]  # marks and joined words make some too high
        text = " ".join(word.text for word in words)
        right = sum("\u0590" <= char <= "\u08ff" for char in text)
        lines.append(
            Line(
                text=text,
                left=min(word.left for word in words) / em,
                right=max(word.left + word.width for word in words) / em,
                y=-bottom / em,
                size=height / usual if height >= _HEADING_RATIO * usual else 1.0,
                is_bold=False,
                is_rtl=2 * right > sum(map(str.isalpha, text)),
                page=page,
            )
        )
    return lines
