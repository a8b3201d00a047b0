"""Markdown through markdown-it-py's tokens: what a reader of the rendered page would read.

CommonMark with tables. Link targets, emphasis marks and comments are left out; an image gives its alternative
text; raw HTML gives the text between its tags. A YAML front matter gives the title and is not text.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.loaders.blocks import Block, Parsed, check_length, compose, row
from rag.loaders.encoding import decode

_MAX_NESTING = 100
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title[ \t]*:[ \t]*(.+)$", re.MULTILINE | re.IGNORECASE)
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
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    title = ""
    front = _FRONT_MATTER.match(text)
    if front:
        named = _FRONT_TITLE.search(front.group(1))
        title = named.group(1).strip().strip("\"'") if named else ""
        text = text[front.end() :]
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    if any(token.level >= _MAX_NESTING - 1 for token in tokens):
        warnings += (f"what is nested deeper than {_MAX_NESTING} levels was left out",)
    return compose(_blocks(tokens), title=title, warnings=warnings)


def _blocks(tokens: list[Token]) -> list[Block]:
    blocks: list[Block] = []
    markers: list[str] = []  # marker of each open list item, outermost first
    starts: list[bool] = []  # whether that item has its first block still to come
    level = 0
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
        elif token.type == "tr_open":
            cells = []
        elif token.type in ("th_open", "td_open"):
            is_cell = True
        elif token.type in ("th_close", "td_close"):
            is_cell = False
        elif token.type == "tr_close":
            blocks.append(Block("row", row(cells)))
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
