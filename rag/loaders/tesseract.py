"""The program tesseract, which reads pictures of text: is it there, and what does it read.

It runs as a process beside the parser, in its process group and under its limits: what ends the one ends the other.
Picture and words go through pipes, for a parser may write no file; pytesseract, which hands over files, could not be
used.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

REMEDY = "apt install tesseract-ocr tesseract-ocr-ara"
LANGUAGES = {"ara": "Arabic", "eng": "English"}

_PROGRAM = "tesseract"
_LIST_TIMEOUT_S = 10.0
_MIN_CONFIDENCE = 30.0  # below are specks and the edges of photographs, hardly ever words
_WORD_LEVEL = "5"
_NUMBERS = ("left", "top", "width", "height", "conf")
# Tesseract puts direction marks beside words of the other direction.
_MARKS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Word:
    """A word in a picture; pixels from the top left. ``confidence`` is in [0, 100]."""

    text: str
    left: float
    top: float
    width: float
    height: float
    confidence: float


@cache
def languages() -> str:
    """Return the languages that can be read, as tesseract wants them (``"ara+eng"``); empty if it is not installed."""
    if shutil.which(_PROGRAM) is None:
        return ""
    try:
        done = subprocess.run(
            [_PROGRAM, "--list-langs"], capture_output=True, text=True, timeout=_LIST_TIMEOUT_S, check=True
        )
    except (subprocess.SubprocessError, OSError):
        return ""
    installed = done.stdout.split()
    return "+".join(code for code in LANGUAGES if code in installed)


def read_words(picture: bytes, language: str, *, dpi: int, timeout_s: float) -> list[list[Word]] | None:
    """Return the words of each line of a picture, in reading order; None if tesseract fails or takes too long.

    Args:
        picture: In a format that tesseract reads, PPM for instance.
        language: One or more of ``LANGUAGES``, joined by ``+``.
        dpi: How finely it is drawn.
        timeout_s: After this many seconds the program is ended.
    """
    try:
        done = subprocess.run(
            [_PROGRAM, "stdin", "stdout", "-l", language, "--dpi", str(dpi), "tsv"],
            input=picture,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        return None
    lines: dict[tuple[str, ...], list[Word]] = {}
    rows = csv.DictReader(io.StringIO(done.stdout.decode("utf-8", "replace")), delimiter="\t", quoting=csv.QUOTE_NONE)
    for row in rows:
        text = _MARKS.sub("", row["text"] or "").strip() if row["level"] == _WORD_LEVEL else ""
        if text and float(row["conf"]) >= _MIN_CONFIDENCE:
            place = tuple(row[name] for name in ("block_num", "par_num", "line_num"))
            left, top, width, height, confidence = (float(row[name]) for name in _NUMBERS)
            lines.setdefault(place, []).append(Word(text, left, top, width, height, confidence))
    return list(lines.values())
