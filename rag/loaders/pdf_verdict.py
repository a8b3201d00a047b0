"""What is wrong with the text layer of a PDF, in plain sentences for the build report.

How many letters were stored as shapes (presentation forms) cannot be told: PDFium has made letters of them before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.loaders.pdf_glyphs import PageGlyphs
from rag.loaders.pdf_lines import Line
from rag.text.fold import fold_text
from rag.text.stopwords import STOP_WORDS

_UNKNOWN_SHARE = 0.1
_SAMPLE_WORDS = 3_000
_MIN_WORDS = 100
# Share of the Arabic words with the article or of the most common ones. Measured on pieces of 800 characters: 0.38 to
# 0.49 as written, at most 0.05 with the letters exchanged for others, 0.11 back to front.
_MIN_COMMON_SHARE = 0.15
_MAX_SINGLE_SHARE = 0.4  # of the Arabic words are one letter long; at most 0.12 as written
# Arabic whose code page was taken for a Western one is written in these; French has 4 % of them among its letters.
_MAX_ACCENTED_SHARE = 0.35
_ARTICLES = ("ال", "وال", "بال", "لل", "فال", "كال")
_WORD = re.compile("[\u0621-\u064a]+")
_MARKS = re.compile("[\u064b-\u0652\u0640]")
_ACCENTED = re.compile("[\u00c0-\u00ff]")
_LATIN = re.compile("[A-Za-z\u00c0-\u00ff]")
_COMMON = frozenset(fold_text(word) for word in STOP_WORDS["ar"] if len(word) > 1)


def text_warnings(pages: Sequence[PageGlyphs], lines: Sequence[Line]) -> list[str]:
    """Return what a reader of the build report should know of the text layer, one sentence each.

    Args:
        pages: Those whose text layer was read.
        lines: The lines they became.
    """
    warnings: list[str] = []
    unknown = sum(page.unknown for page in pages)
    total = sum(len(row.glyphs) for page in pages for row in page.rows)
    if unknown > _UNKNOWN_SHARE * (total + unknown):
        warnings.append(f"{100 * unknown // (total + unknown)} % of its letters have no meaning given in the file")
    reason = _damage(" ".join(line.text for line in lines))
    if reason:
        warnings.append(f"its text layer looks damaged ({reason}): look at the page, and consider OCR")
    return warnings


def _damage(text: str) -> str:
    """Return what is odd about a text; empty if nothing is, or if it is too short to tell."""
    latin, accented = len(_LATIN.findall(text)), len(_ACCENTED.findall(text))
    if latin >= _MIN_WORDS and accented > _MAX_ACCENTED_SHARE * latin:
        return f"{100 * accented // latin} % of its letters are accented Latin ones, as in Arabic of a wrong code page"
    words = _WORD.findall(_MARKS.sub("", text))[:_SAMPLE_WORDS]
    if len(words) < _MIN_WORDS:
        return ""
    single = sum(len(word) == 1 for word in words)
    if single > _MAX_SINGLE_SHARE * len(words):
        return f"{100 * single // len(words)} % of its Arabic words are single letters"
    common = sum(word.startswith(_ARTICLES) or fold_text(word) in _COMMON for word in words)
    if common < _MIN_COMMON_SHARE * len(words):
        return f"only {100 * common // len(words)} % of its Arabic words are common ones or have the article"
    return ""
