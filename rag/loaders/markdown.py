"""Markdown through markdown-it-py's tokens: what a reader of the rendered page would read.

CommonMark with tables. Link targets, emphasis marks and comments are left out; an image gives its alternative
text; raw HTML gives the text between its tags. A YAML front matter gives title and metadata and is not text.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.loaders.blocks import Block, Parsed, check_length, compose, one_line
from rag.loaders.encoding import decode
from rag.loaders.metadata import split_front_matter
from rag.loaders.tables import page_table

_MAX_NESTING = 100
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_UNSHOWN = re.compile(r"<(script|style|template)\b.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[/!?a-zA-Z][^<>]*>")


def parse(data: bytes, *, max_characters: int) -> Parsed:
    """Parse a Markdown file.

    Raises:
        UnreadableError: The bytes are not text, or more than ``max_characters``.
    """
    text, warnings = decode(data)
    check_length(text, max_characters)
    title, metadata, text = split_front_matter(text.replace("\r\n", "\n").replace("\r", "\n"))
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    if any(token.level >= _MAX_NESTING - 1 for token in tokens):
        warnings += (f"what is nested deeper than {_MAX_NESTING} levels was left out",)
    return compose(_blocks(tokens), title=title, warnings=warnings, metadata=metadata)


def _blocks(tokens: list[Token]) -> list[Block]:
    blocks: list[Block] = []
    markers: list[str] = []  # marker of each open list item, outermost first
    starts: list[bool] = []  # whether that item has its first block still to come
    level = 0
    rows: list[list[str]] = []
    cells: list[str] = []
    is_cell = False
    for token in tokens:
        if token.type == "heading_open":
            level = int(token.tag[1])
        elif token.type == "heading_close":
            level = 0
        elif token.type == "list_item_open":
            markers.append(f"{token.info}." if token.info else "-")
            starts.append(True)
        elif token.type == "list_item_close":
            markers.pop()
            starts.pop()
        elif token.type == "table_open":
            rows = []
        elif token.type == "table_close":
            blocks += [Block("row", line) for line in page_table(rows, is_headed=True)]
        elif token.type == "tr_open":
            cells = []
        elif token.type in ("th_open", "td_open"):
            is_cell = True
        elif token.type in ("th_close", "td_close"):
            is_cell = False
        elif token.type == "tr_close":
            rows.append([one_line(cell) for cell in cells])
        elif token.type in ("inline", "fence", "code_block", "html_block"):
            text = _text(token)
            if is_cell:
                cells.append(text)
            elif level:
                blocks.append(Block("heading", text, level=level))
            elif markers and starts[-1]:
                blocks.append(Block("item", text, marker=markers[-1]))
                starts[-1] = False
            elif markers and blocks and blocks[-1].kind == "item":
                last = blocks[-1]
                blocks[-1] = Block("item", f"{last.text}\n{text}", marker=last.marker)
            else:
                blocks.append(Block("paragraph", text))
    return blocks


def _text(token: Token) -> str:
    """Return what a reader sees of an inline, code or HTML token."""
    if token.type == "html_block":
        return _TAG.sub(" ", _UNSHOWN.sub(" ", _COMMENT.sub(" ", token.content)))
    if token.type != "inline":
        return token.content
    parts: list[str] = []
    for child in token.children or ():
        if child.type in ("text", "code_inline", "image"):
            parts.append(child.content)  # the content of an image is its alternative text
        elif child.type == "softbreak":
            parts.append(" ")
        elif child.type == "hardbreak" or (child.type == "html_inline" and child.content.lower().startswith("<br")):
            parts.append("\n")
    return "".join(parts)
