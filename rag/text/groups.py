"""See which lines of a text belong together: a list with the line that introduces it, a title with its text.

A group is what a passage should hold whole: a paragraph, a list, a table. Its pieces are what may be moved to the
next passage: sentences, items, rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rag.text.blocks import Block, split_blocks
from rag.text.sentences import split_block

_TITLE_LIKE_CHARACTERS: Final = 80
_INTRODUCES: Final = re.compile(r"(?:[:：…]|\.\.)\W{0,3}$")
_ENDS_PROSE: Final = re.compile(r"[.!,;،؛…۔。]\W{0,3}$")


@dataclass(slots=True)
class Piece:
    """A span that is not cut: a sentence, list item or table row.

    ``stays`` is true if the piece must not be parted from what follows. ``tokens`` is for the caller to fill in.
    """

    start: int
    end: int
    stays: bool = False
    tokens: int = 0


@dataclass(slots=True)
class Group:
    """Pieces that belong together, in text order; ``is_list`` is true for a list or a table."""

    pieces: list[Piece]
    is_list: bool = False

    @property
    def tokens(self) -> int:
        """Return the tokens of all pieces together."""
        return sum(piece.tokens for piece in self.pieces)


def split_groups(text: str, start: int, end: int) -> list[Group]:
    """Cut ``text[start:end]`` into groups.

    Args:
        text: The whole text; the pieces' offsets count in it.
        start: Where to begin.
        end: Where to end, exclusive.

    Returns:
        Groups in text order. Every character outside their pieces is white space.
    """
    part = text[start:end]
    blocks = split_blocks(part)
    groups: list[Group] = []
    previous: Block | None = None
    for index, block in enumerate(blocks):
        following = blocks[index + 1] if index + 1 < len(blocks) else None
        if block.kind == "paragraph" or _heads_paragraph(part, previous, block, following):
            pieces = cut_at(part, block.start, block.end, [first for first, _ in split_block(part, block)][1:])
            pieces[-1].stays = _introduces(part, block, following)
            groups.append(Group(pieces))
            previous = block if block.kind == "paragraph" else None
            continue
        if previous is not None and previous.kind == block.kind:
            groups[-1].pieces.append(Piece(block.start, block.end))
        else:
            if groups and not block.gap:
                groups[-1].pieces[-1].stays = True
            groups.append(Group([Piece(block.start, block.end)], is_list=True))
        previous = block
    for group in groups:
        for piece in group.pieces:
            piece.start += start
            piece.end += start
    return groups


def cut_at(text: str, start: int, end: int, starts: Iterable[int]) -> list[Piece]:
    """Cut ``text[start:end]`` before each of ``starts``; the pieces leave out nothing but white space around them.

    Args:
        text: The whole text.
        start: Where to begin, at a visible character.
        end: Where to end, after a visible character.
        starts: Increasing positions. Those not after ``start``, or at white space, are passed over.
    """
    edges = [start, *(position for position in starts if position > start and not text[position].isspace()), end]
    return [Piece(first, first + len(text[first:last].rstrip())) for first, last in zip(edges, edges[1:], strict=False)]


def is_title_like(text: str, start: int, end: int) -> bool:
    """Tell whether ``text[start:end]``, a line, looks like a heading: short, with letters, not ended like prose."""
    return (
        end - start <= _TITLE_LIKE_CHARACTERS
        and any(map(str.isalpha, text[start:end]))
        and not _ENDS_PROSE.search(text, max(start, end - 6), end)
    )


def _heads_paragraph(text: str, previous: Block | None, block: Block, following: Block | None) -> bool:
    """Tell whether an item stands alone between paragraphs and heads the one below, as in many web articles."""
    return (
        block.kind == "item"
        and block.gap
        and following is not None
        and following.gap
        and following.kind == "paragraph"
        and (previous is None or previous.kind == "paragraph")
        and is_title_like(text, block.start, block.end)
    )


def _introduces(text: str, block: Block, following: Block | None) -> bool:
    if following is None:
        return False
    if _INTRODUCES.search(text, max(block.start, block.end - 6), block.end):
        return True
    return (
        following.kind == "paragraph"
        and is_title_like(text, block.start, block.end)
        and not is_title_like(text, following.start, following.end)
    )
