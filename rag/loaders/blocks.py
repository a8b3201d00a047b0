"""What every parser hands back: a list of blocks, and how they become the one text of a document.

A parser says what it saw (headings, paragraphs, list items, table rows), top to bottom; ``compose`` writes
them in the one layout the rest of the package knows: a blank line between blocks, one line an item or a row,
no control characters. Offsets are counted here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.loaders.ocr import Recogniser

# C0 and C1 controls without tab and newline, DEL, lone surrogates and the two "not a character" marks.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# What draws nothing, so that text in it is hidden from the reader, or draws text in another order than it is stored in
# (CVE-2021-42574). What writing needs is kept: one joiner, one direction mark (LRM, RLM), one variation selector.
_HIDDEN = (
    (re.compile("[\U000e0000-\U000e007f]"), "{} hidden characters (Unicode tags) were left out"),
    (
        re.compile("[\u202a-\u202e\u2066-\u206f]"),
        "{} hidden direction marks were left out; the text stands in the order it is stored in",
    ),
    (
        re.compile(
            "[\u180e\u2060-\u2065\ufeff\ufff9-\ufffb]|(?<=[\u00ad\u200b-\u200f])[\u00ad\u200b-\u200f]+"
            "|(?<=[\ufe00-\ufe0f\U000e0100-\U000e01ef])[\ufe00-\ufe0f\U000e0100-\U000e01ef]+"
        ),
        "{} invisible characters were left out",
    ),
)
_ANY_HIDDEN = re.compile("|".join(pattern.pattern for pattern, _ in _HIDDEN))
_NEWLINES = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SPACES = re.compile(r"[^\S\n]+")
_SPACED_NEWLINES = re.compile(r" ?\n ?")
_BLANK_LINES = re.compile(r"\n{2,}")

TITLE_CHARACTERS = 200
_NO_TITLE = re.compile(
    r"(?:microsoft (?:word|excel|powerpoint)\b.*|powerpoint presentation|presentation|untitled.*|word document"
    r"|document ?\d*|title|about:blank|بلا عنوان)\Z",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(r"\.(?:docx?|pptx?|xlsx?|pdf|html?|od[tsp]|rtf|txt|csv|indd|pages)\Z", re.IGNORECASE)

_METADATA_KEYS = 32
_KEY_CHARACTERS = 64
_VALUE_CHARACTERS = 1_000
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?=[T ]\d)")


class UnreadableError(Exception):
    """A parser's refusal: one clear sentence, with the remedy where there is one. Never leaves this package."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a document.

    ``kind`` is ``"heading"``, ``"paragraph"``, ``"item"`` or ``"row"``. ``level`` counts for headings only,
    1 is the outermost. ``marker`` counts for items only: ``"-"`` or a number such as ``"3."``. ``page`` is the
    1-based page the block begins on, None where the format has no pages; ``page_breaks`` are ``(offset, page)``
    where a paragraph goes on to another page, the offset counted in its text, which is then clean already.
    """

    kind: str
    text: str
    level: int = 0
    marker: str = "-"
    page: int | None = None
    page_breaks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may hold: code points of text, pages, cells with a value in all its tables together.

    ``recogniser`` reads the pages of it that are scans; None where OCR is not installed.
    """

    max_characters: int
    max_pages: int
    max_cells: int
    recogniser: Recogniser | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file as text. Headings are ``(level, start, end)``, pages ``(number, start, end)``, both in text order.

    ``metadata`` is what the file says of itself beside its title, as it stands there; the worker bounds it.
    """

    title: str
    text: str
    headings: tuple[tuple[int, int, int], ...] = ()
    pages: tuple[tuple[int, int, int], ...] = ()
    warnings: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def check_length(text: str, max_characters: int) -> None:
    """Refuse a text that is too long.

    Raises:
        UnreadableError: It holds more than ``max_characters``.
    """
    if len(text) > max_characters:
        raise UnreadableError(f"it holds {len(text):,} characters, more than {max_characters:,}; split it")


def bounded(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata fit to be kept: at most 32 keys of 64 characters, values of 1,000, each on one line, none empty.

    Keys are folded to lower case; the first ones are kept, and of two that are equal the first one. ``date`` becomes
    ``YYYY-MM-DD`` where it holds a whole date and a time.
    """
    kept: dict[str, str] = {}
    for raw_key, raw_value in metadata.items():
        key = one_line(raw_key).casefold()[:_KEY_CHARACTERS].strip()
        value = one_line(raw_value)[:_VALUE_CHARACTERS].strip()
        if key == "date" and (day := _DAY.match(value)):
            value = day[1]
        if key and value and key not in kept and len(kept) < _METADATA_KEYS:
            kept[key] = value
    return kept


def clean(text: str) -> str:
    """Return ``text`` with one kind of newline and without control and hidden characters; the letters stay as they are.

    Runs of other white space become one space; lines are trimmed and empty lines dropped.
    """
    text = _NEWLINES.sub("\n", text)
    text = without_hidden(_CONTROLS.sub("", text))[0]
    text = _SPACED_NEWLINES.sub("\n", _SPACES.sub(" ", text))
    return _BLANK_LINES.sub("\n", text).strip()


def without_hidden(text: str) -> tuple[str, tuple[str, ...]]:
    """Return ``text`` without what no reader can see, and a warning a kind of it."""
    if not _ANY_HIDDEN.search(text):
        return text, ()
    warnings = []
    for pattern, warning in _HIDDEN:
        text, count = pattern.subn("", text)
        if count:
            warnings.append(warning.format(count))
    return text, tuple(warnings)


def one_line(text: str) -> str:
    """Return ``clean(text)`` on a single line."""
    return clean(text).replace("\n", " ")


def row(cells: Iterable[str]) -> str:
    """Return one table row: its cells joined by ``" | "``, empty if every cell is empty."""
    texts = [one_line(cell) for cell in cells]
    return " | ".join(texts) if any(texts) else ""


def is_plausible_title(title: str) -> bool:
    """Return whether a title from a file's metadata is one, not the trace of a program or a file name."""
    bare = title.strip()
    return any(map(str.isalpha, bare)) and not _NO_TITLE.match(bare) and not _FILE_NAME.search(bare)


def compose(
    blocks: Sequence[Block],
    *,
    title: str | None = "",
    warnings: Sequence[str] = (),
    page_numbers: Sequence[int] = (),
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> Parsed:
    """Write ``blocks`` as the text of one document.

    Args:
        blocks: In reading order. Blocks without text are left out.
        title: Title from the file's own metadata; empty if it has none. A heading at the very top or the first one of
            level 1 follows, then nothing (the caller then takes the file's name). None where no heading names it.
        warnings: Carried over; a warning about hidden characters is added where it applies.
        page_numbers: Every page of a paged document, blank ones too. Empty for other formats.
        metadata: What the file says of itself beside its title; see `rag.loaders.metadata`.

    Returns:
        The text with headings and pages; ``pages`` tile the text in page order.
    """
    parts: list[str] = []
    headings: list[tuple[int, int, int]] = []
    page_starts: dict[int, int] = {}
    length = 0
    previous = ""
    hidden: list[str] = []
    first_heading = ""
    for block in blocks:
        if _ANY_HIDDEN.search(block.text):
            hidden.append(block.text)
        text = clean(block.text) if block.kind == "paragraph" else one_line(block.text)
        if not text:
            continue
        if block.kind == "item":
            text = f"{block.marker} {text}"
        if parts:
            separator = "\n" if block.kind == previous and block.kind in ("item", "row") else "\n\n"
            parts.append(separator)
            length += len(separator)
        if block.page is not None:
            page_starts.setdefault(block.page, length)
        for offset, page in block.page_breaks:
            page_starts.setdefault(page, length + min(offset, len(text)))
        if block.kind == "heading":
            headings.append((max(1, block.level), length, length + len(text)))
            if not first_heading and (block.level <= 1 or not parts):
                first_heading = text
        parts.append(text)
        length += len(text)
        previous = block.kind
    notes = [*warnings, *without_hidden("\n".join(hidden))[1]]
    return Parsed(
        title=("" if title is None else one_line(title) or first_heading)[:TITLE_CHARACTERS].strip(),
        text="".join(parts),
        headings=tuple(headings),
        pages=_tile_pages(page_numbers, page_starts, length),
        warnings=tuple(notes),
        metadata=dict(metadata),
    )


def append(parsed: Parsed, other: Parsed, *, heading: str) -> Parsed:
    """Return a document with another one as a section at its end; pages and title of the other are left out."""
    start = len(parsed.text) + 2 if parsed.text else 0
    inner = start + len(heading) + 2
    gap = "\n\n" if parsed.text else ""
    return replace(
        parsed,
        text=f"{parsed.text}{gap}{heading}\n\n{other.text}",
        headings=(
            *parsed.headings,
            (2, start, start + len(heading)),
            *((level + 2, first + inner, last + inner) for level, first, last in other.headings),
        ),
        warnings=(*parsed.warnings, *(f"{heading}: {warning}" for warning in other.warnings)),
    )


def _tile_pages(numbers: Sequence[int], starts: dict[int, int], length: int) -> tuple[tuple[int, int, int], ...]:
    """Return ``(number, start, end)`` for each page; a page ends where the next one that holds text begins."""
    pages: list[tuple[int, int, int]] = []
    end = length
    for number in reversed(numbers):
        start = starts.get(number, end)
        pages.append((number, start, end))
        end = start
    pages.reverse()
    if pages and pages[0][1] > 0:
        pages[0] = (pages[0][0], 0, pages[0][2])
    return tuple(pages)
