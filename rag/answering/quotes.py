"""What of a document can be quoted: its sentences, list items and table rows, and the block each stands in.

Every span is of `Document.text`, so a quote is always a literal slice of the source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from rag.datatypes import Document
from rag.text import Block, fold_text, split_block, split_blocks, split_sentences

# A sentence that opens so leans on the one before it. Folded Arabic; a leading "و" or "ف" is allowed.
_DANGLING = re.compile(
    r"[\W_]*(?:[وف]?(?:هو|هي|هم|هما|هذا|هذه|هولاء|ذلك|تلك|لذلك|لذا|بذلك|كذلك|ايضا|لكن|لكنه|لكنها|بل|انه|انها|بينما|كما|ثم|بالتالي|عليه|منها|فيه|"
    r"فيها)\b|(?:it|its|they|their|them|this|these|those|that|he|she|his|her|such|however|therefore|instead|also|but|"
    r"and|so|then|both|another|in addition|for this reason|as a result|the (?:first|second|former|latter|other))\b)"
)
_MAX_BLOCK_CHARACTERS = 1_600
_MAX_TABLE_ROWS = 12


class UnitKind(StrEnum):
    """What a unit is in the layout of its document."""

    SENTENCE = "sentence"
    ITEM = "item"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class Unit:
    """Something that can be quoted: ``document.text[start:end]``, free of white space and list marks around it."""

    start: int
    end: int
    kind: UnitKind


def units_of(document: Document, start: int, end: int) -> list[Unit]:
    """List what can be quoted of ``document.text[start:end]``, in text order; headings are left out."""
    text = document.text[start:end]
    units: list[Unit] = []
    for block in split_blocks(text):
        if _is_heading(document, start + block.start):
            continue
        if block.kind == "item":
            units.append(Unit(start + block.content_start, start + block.end, UnitKind.ITEM))
        elif block.kind == "row":
            units.append(Unit(start + block.start, start + block.end, UnitKind.ROW))
        else:
            spans = split_block(text, block)
            units.extend(Unit(start + first, start + last, UnitKind.SENTENCE) for first, last in spans)
    return units


def block_of(document: Document, unit: Unit) -> tuple[int, int] | None:
    """Return the whole list (with the sentence that introduces it) or the whole table that holds ``unit``.

    For a sentence this is the list or table that it introduces. None where there is none, or where it is too long to
    quote whole.
    """
    text = document.text
    blocks = split_blocks(text)
    at = next((i for i, block in enumerate(blocks) if block.start <= unit.start < block.end), None)
    if at is None:
        return None
    if unit.kind is UnitKind.SENTENCE:
        if not _introduces(text, unit) or at + 1 == len(blocks) or blocks[at + 1].kind == "paragraph":
            return None
        at += 1
    kind = blocks[at].kind
    top = bottom = at
    while top > 0 and blocks[top - 1].kind == kind and not _is_heading(document, blocks[top - 1].start):
        top -= 1
    while bottom + 1 < len(blocks) and blocks[bottom + 1].kind == kind:
        bottom += 1
    if kind == "row" and bottom - top + 1 > _MAX_TABLE_ROWS:
        return None
    start = blocks[top].start
    if top > 0 and blocks[top - 1].kind == "paragraph" and not _is_heading(document, blocks[top - 1].start):
        above = blocks[top - 1]
        if _introduces(text, above) or not blocks[top].gap:
            start = split_block(text, above)[-1][0]
    end = blocks[bottom].end
    return (start, end) if end - start <= _MAX_BLOCK_CHARACTERS else None


def with_antecedent(document: Document, unit: Unit) -> tuple[int, int]:
    """Return the unit's span, begun one sentence earlier where it would open with a dangling pronoun or connective."""
    if unit.kind is not UnitKind.SENTENCE or not _DANGLING.match(fold_text(document.text[unit.start : unit.end])):
        return unit.start, unit.end
    line_start = document.text.rfind("\n", 0, unit.start) + 1
    before = split_sentences(document.text[line_start : unit.start])
    return (line_start + before[-1][0], unit.end) if before else (unit.start, unit.end)


def paragraph_of(document: Document, unit: Unit) -> tuple[int, int]:
    """Return the span of the line that holds ``unit``, without white space around it."""
    start = document.text.rfind("\n", 0, unit.start) + 1
    end = document.text.find("\n", unit.end)
    line = document.text[start : end if end >= 0 else len(document.text)]
    start += len(line) - len(line.lstrip())
    return start, start + len(line.strip())


def sentences_after(document: Document, unit: Unit) -> list[tuple[int, int]]:
    """Return the sentences that follow ``unit`` in its paragraph, in text order."""
    line_end = document.text.find("\n", unit.end)
    rest = document.text[unit.end : line_end if line_end >= 0 else len(document.text)]
    return [(unit.end + start, unit.end + end) for start, end in split_sentences(rest)]


def split_lines(text: str) -> list[tuple[str, bool]]:
    """Split a quoted block into ``(line, is_item)``; list marks are dropped."""
    return [(text[block.content_start : block.end], block.kind != "paragraph") for block in split_blocks(text)]


def _is_heading(document: Document, start: int) -> bool:
    return any(heading.start == start for heading in document.headings)


def _introduces(text: str, span: Block | Unit) -> bool:
    return text[span.start : span.end].endswith((":", "："))
