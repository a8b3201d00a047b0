"""Cut text into its blocks: paragraphs, list items, table rows.

A line is a block of its own, as the loaders write one (see :mod:`rag.loaders`), with two exceptions found in plain
text files and PDF: lines that were wrapped at a fixed width make one paragraph, and an indented line after a list
item belongs to the item. No sentence and no list item crosses a block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

_LINE: Final = re.compile("[^\n\r\x0b\x0c\x85\u2028\u2029]+")
_BULLETS: Final = "-*+•◦▪‣·●○■□–—✓✔➢➤►"
_MARKER: Final = re.compile(
    rf"\s*(?:(?P<bullet>[{_BULLETS}])\s+(?=\S)"
    r"|(?P<number>\(?(?:\d{1,3}[.)]|\d{1,2}[-–]|[a-z]\)|[أ-ي][)\-–]))(?:\s+(?=\S)|(?=[\u0621-\u064a])))"
)
_ROW: Final = re.compile(r"\S[^\S\n]*\|[^\S\n]*\S")
_ENDS_SENTENCE: Final = re.compile(r"[.!?؟:؛…۔]\W*$")
_NARROWEST, _WIDEST = 40, 120  # characters a line in text wrapped at a fixed width


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list item or table row; ``text[start:end]`` has no blank at either end.

    ``content_start`` is where the words begin, after the bullet or number of an item. ``gap`` is true when a blank
    line stands before the block.
    """

    kind: Literal["paragraph", "item", "row"]
    start: int
    end: int
    content_start: int
    gap: bool


@dataclass(slots=True)
class _Line:
    start: int
    end: int
    indent: int
    gap: bool


def _lines(text: str) -> Iterator[_Line]:
    gap = True
    previous = 0
    for match in _LINE.finditer(text):
        breaks = text[previous : match.start()]
        gap = gap or len(breaks.replace("\r\n", "\n")) > 1 or "\x0c" in breaks
        previous = match.end()
        line = match[0]
        stripped = line.strip()
        if not stripped:
            gap = True
            continue
        indent = len(line) - len(line.lstrip())
        start = match.start() + indent
        yield _Line(start, start + len(stripped), indent, gap)
        gap = False


def _are_wrapped(text: str, run: list[_Line]) -> list[bool]:
    """Tell for each line but the last whether it was broken in the middle of a paragraph.

    Text wrapped at a width breaks a line only where the next word would not have fitted. If that holds for nearly
    all lines that do not end a sentence, the lines were wrapped.
    """
    width = max(line.end - line.start for line in run)
    if len(run) < 2 or not _NARROWEST <= width <= _WIDEST:
        return [False] * (len(run) - 1)
    full: list[bool] = []
    open_ended = open_and_full = 0
    for line, following in zip(run, run[1:], strict=False):
        first_word = text[following.start : following.end].split(None, 1)[0]
        is_full = line.end - line.start + 1 + len(first_word) > 0.9 * width
        full.append(is_full)
        if not _ENDS_SENTENCE.search(text, max(line.start, line.end - 6), line.end):
            open_ended += 1
            open_and_full += is_full
    if len(run) == 2 and text[run[1].start].isupper():
        return [False]
    return full if open_ended and open_and_full >= 0.8 * open_ended else [False] * (len(run) - 1)


def split_blocks(text: str) -> list[Block]:
    """Cut ``text`` into blocks, in text order. Every character outside them is white space.

    Args:
        text: Any text.

    Returns:
        Blocks that do not overlap; none for text without a visible character.
    """
    blocks: list[Block] = []
    run: list[_Line] = []

    def flush() -> None:
        if not run:
            return
        first = run[0]
        wrapped = _are_wrapped(text, run)
        for index, line in enumerate(run):
            if index == len(run) - 1 or not wrapped[index]:
                blocks.append(Block("paragraph", first.start, line.end, first.start, first.gap))
                first = run[index + 1] if index + 1 < len(run) else first
        run.clear()

    item_indent: int | None = None  # of the item that an indented line may continue
    for line in _lines(text):
        marker = _MARKER.match(text, line.start, line.end)
        if marker:
            flush()
            blocks.append(Block("item", line.start, line.end, marker.end(), line.gap))
            item_indent = line.indent
        elif _ROW.search(text, line.start, line.end):
            flush()
            blocks.append(Block("row", line.start, line.end, line.start, line.gap))
            item_indent = None
        elif item_indent is not None and not line.gap and line.indent > item_indent:
            last = blocks[-1]
            blocks[-1] = Block(last.kind, last.start, line.end, last.content_start, last.gap)
        else:
            if line.gap:
                flush()
            run.append(line)
            item_indent = None
    flush()
    return blocks
