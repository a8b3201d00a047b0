"""RTF through striprtf, after what it does not know is made plain to it: raw bytes, code pages, headings, tables."""

from __future__ import annotations

import re

from striprtf.striprtf import rtf_to_text

from rag.loaders.blocks import Block, Parsed, UnreadableError, clean, compose, is_plausible_title, one_line
from rag.loaders.tables import page_table
from rag.loaders.text import structure

_CODE_PAGE = re.compile(rb"\\ansicpg(\d{1,5})")
_OUTLINE = re.compile(r"\\outlinelevel([0-8])(?!\d) ?")
_TITLE = re.compile(r"\{\\title\s((?:[^{}\\]|\\.)*)\}", re.DOTALL)  # one way to match each escape: linear
_MARK = 0xE000  # private characters stand for what striprtf drops; the levels of headings come after it
_CELL, _ROW = 0xE010, 0xE011
_MARKS = re.compile("[\ue000-\ue008]")
_TABLES = re.compile(r"\\(cell|nestcell|row|nestrow)(?![a-z])(?:-?\d+)? ?")
_BINARY = re.compile(rb"\\bin(\d{1,9}) ?")
_MAX_GROUPS = 2_000_000


def parse(data: bytes) -> Parsed:
    """Parse an RTF file.

    Raises:
        UnreadableError: Damaged, or of too many groups.
    """
    data = _without_binary(data)
    if data.count(b"{") > _MAX_GROUPS:
        raise UnreadableError(f"it holds more than {_MAX_GROUPS:,} groups; save it again")
    named = _CODE_PAGE.search(data[:4096])
    page = named[1].decode("ascii") if named else "1252"
    # A code page of letters above ASCII is written as escapes by most programs, and as it is by some.
    source = re.sub(rb"[\x80-\xff]", lambda found: b"\\'%02x" % found[0][0], data).decode("ascii")
    if page == "1256":  # programs in Arabic name the font's character set "default" and mean the code page
        source = re.sub(r"\\fcharset[01](?!\d)", r"\\fcharset178", source)
    text = _plain(_marked(source), page)
    title_source = _TITLE.search(source)
    title = one_line(_plain(rf"{{\rtf1\ansi\ansicpg{page} {title_source[1]}}}", page)) if title_source else ""
    warnings = (
        ("some letters are not of the code page it names and show as \ufffd; save it again",)
        if "\ufffd" in text
        else ()
    )
    return compose(_blocks(text), title=title if is_plausible_title(title) else "", warnings=warnings)


def _without_binary(data: bytes) -> bytes:
    """Return the file without the raw bytes of its pictures."""
    parts: list[bytes] = []
    start = 0
    while found := _BINARY.search(data, start):
        parts.append(data[start : found.start()])
        start = found.end() + int(found[1])
    return b"".join([*parts, data[start:]])


def _marked(source: str) -> str:
    def mark(code: int) -> str:
        return rf"{{\uc0\u{code} }}"

    source = _OUTLINE.sub(lambda found: rf"\outlinelevel{found[1]}{mark(_MARK + int(found[1]))}", source)
    return _TABLES.sub(lambda found: mark(_CELL if "cell" in found[1] else _ROW), source)


def _plain(source: str, page: str) -> str:
    try:
        text: str = rtf_to_text(source, encoding=f"cp{page}", errors="replace")  # type: ignore[no-untyped-call]
    except (ValueError, LookupError, IndexError, OverflowError, TypeError) as error:
        raise UnreadableError(f"the RTF is damaged ({one_line(str(error))[:80]}); save it again") from error
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # emoji come as two halves


def _blocks(text: str) -> list[Block]:
    """Return the blocks of the text with its marks; without any outline, headings are told as in plain text."""
    is_outlined = _MARKS.search(text) is not None
    blocks: list[Block] = []
    prose: list[str] = []
    rows: list[list[str]] = []

    def flush() -> None:
        if prose:
            found = structure(prose)
            if is_outlined:
                found = [Block("paragraph", each.text) if each.kind == "heading" else each for each in found]
            blocks.extend(found)
            prose.clear()
        if rows:
            blocks.extend(Block("row", line) for line in page_table(rows))
            rows.clear()

    for part in re.split(f"({chr(_ROW)}|\n)", text):
        if chr(_CELL) in part:
            if prose:
                flush()
            rows.append([one_line(_MARKS.sub("", cell)) for cell in part.split(chr(_CELL))[:-1]])
        elif part not in ("\n", chr(_ROW)):
            level = _MARKS.findall(part)
            line = clean(_MARKS.sub("", part))
            if not line and rows:
                continue
            if rows or (level and line):
                flush()
            if level and line:
                blocks.append(Block("heading", line, level=ord(level[-1]) - _MARK + 1))
            else:
                prose += ["", one_line(line)] if line else [""]
    flush()
    return blocks
