"""Find the sentences of a text, in Arabic, English and most other scripts.

Rules, no model: a full stop ends a sentence unless it belongs to an abbreviation, an initial, a number or a list
mark, or the next word begins in lower case (the cues of Kiss & Strunk, "Unsupervised multilingual sentence boundary
detection", 2006, with word lists instead of learnt ones). Two dots do not end an Arabic sentence: writers use them
as a dash.
"""

from __future__ import annotations

import re
from typing import Final

from rag.text.blocks import Block, split_blocks

_STOP: Final = re.compile("[.!?؟۔…।॥。！？｡‼⁇⁈⁉]+")
_CLOSING: Final = re.compile(r"[\"'”’»›)\]}」』）】]*(?:[ \u00a0]?\[[\dA-Za-z٠-٩]{1,4}\])*")
_OPENING: Final = re.compile(r"\s*[\"'“‘«‹(\[{—–\-]*\s*")
_LAST_WORD: Final = re.compile(r"[^\s(\[{«“\"،,;:]+$")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NEEDS_NO_SPACE: Final = frozenset("。！？｡")
_ARABIC_LETTER: Final = re.compile("[\u0621-\u063a\u0641-\u064a]")
_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]$")
_LOOK_BACK: Final = 24  # characters before a full stop that can decide about it

# Never the last word of a sentence.
_ABBREVIATIONS: Final = frozenset(
    """
    dr mr mrs ms mx prof rev hon st gen col sgt capt lt gov sen rep pres messrs vs cf e.g i.e eg ie viz al approx est
    dept univ assn bros ph.d m.sc b.sc jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri
    z.b d.h bzw ca m mme mlle sra
    """.split()
)
# Before a number only: "No. 5", but "He said no. Then he left".
_BEFORE_NUMBER: Final = frozenset("no nos fig figs p pp vol ch sec art eq ver v tel ext nr núm".split())
# May end a sentence; it did if the next word is one that opens sentences.
_OFTEN_LAST: Final = frozenset("inc ltd co corp llc jr sr u.s u.k u.n e.u u.a.e a.m p.m d.c b.c a.d etc".split())
_OPENERS: Final = frozenset(
    """
    the a an it its this that these those he she we they you i his her our their your my there here in on at for with
    from to by as of and but or so yet if when while after before although because since however therefore moreover
    also what who which why how where some many most all both each no not one two another such finally first second
    """.split()
)
_ARABIC_ABBREVIATIONS: Final = frozenset("أ.د ص.ب ق.م د أ م ص ج ت هـ ه ع س ط ب.م".split())
_ET_CETERA: Final = frozenset("الخ إلخ ألخ etc".split())
_ARABIC_DOMAINS: Final = frozenset("كوم نت أورج اورج".split())


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Find the sentences of ``text``.

    A sentence never crosses a block (paragraph, list item, table row, see :func:`rag.text.blocks.split_blocks`). A
    table row is one sentence. Of a list item the bullet is left out, a number is kept. Text without a stop is one
    sentence, however long.

    Args:
        text: Any text.

    Returns:
        Spans ``(start, end)`` in text order, without overlap and without white space at either end. Every letter
        and digit of the text lies in one; a line of ornaments alone lies in none.
    """
    return [span for block in split_blocks(text) for span in split_block(text, block)]


def split_block(text: str, block: Block) -> list[tuple[int, int]]:
    """Find the sentences of one block of ``text``; see :func:`split_sentences`."""
    start = block.content_start if not text[block.start].isalnum() and text[block.start] != "(" else block.start
    if block.kind == "row":
        spans = [(start, block.end)]
    else:
        spans = []
        for end in _ends(text, block):
            spans.append((start, end))
            start = end
            while start < block.end and text[start].isspace():
                start += 1
        spans.append((start, block.end))
    return [span for span in spans if any(map(str.isalnum, text[slice(*span)]))]


def _ends(text: str, block: Block) -> list[int]:
    ends: list[int] = []
    begin = block.content_start
    for match in _STOP.finditer(text, block.content_start, block.end):
        closing = _CLOSING.match(text, match.end(), block.end)
        end = closing.end() if closing else match.end()
        if end < block.end and _is_end(text, begin, block.end, match.span(), end):
            ends.append(end)
            begin = end
    return ends


def _is_end(text: str, begin: int, last: int, stop: tuple[int, int], end: int) -> bool:
    """Tell whether a stop ends a sentence.

    Args:
        text: The whole text.
        begin: Where the sentence begins, white space aside.
        last: Where its block ends.
        stop: The span of the stop.
        end: Where what closes it ends, brackets, quotes and footnote marks.
    """
    mark = text[slice(*stop)]
    if mark[-1] in _NEEDS_NO_SPACE:
        return True
    before = _LAST_WORD.search(text, max(begin, stop[0] - _LOOK_BACK), stop[0])
    word = before[0] if before else ""
    position = before.start() if before else stop[0]
    opening = _OPENING.match(text, end, last)
    next_position = opening.end() if opening else end
    following = text[next_position : next_position + 1]
    next_word = _WORD.match(text, next_position, min(last, next_position + _LOOK_BACK))
    first = next_word[0] if next_word else ""
    if not text[end].isspace():
        return end == stop[1] and _is_end_without_space(mark, word, first)
    if following.islower() or first in _ET_CETERA:
        return False
    if "!" in mark or "?" in mark or "؟" in mark:
        return True
    if mark == "..":
        return following.isupper()
    if mark != "." or end > stop[1]:  # a closing bracket or quote settles it
        return True
    if word.isdigit() and len(word) <= 2:
        return not _is_list_number(text, begin, position)
    return not _is_abbreviation(text, word, position, first, following)


def _is_end_without_space(mark: str, last: str, first: str) -> bool:
    """A writer forgot the space after the stop; seen often in Arabic web text, between whole words only."""
    word = _WORD.search(last[::-1])
    return (
        mark in (".", "!", "؟", "?")
        and word is not None
        and word.start() == 0
        and len(word[0]) >= 3
        and len(first) >= 2
        and bool(_ARABIC_LETTER.match(last[-1]))
        and bool(_ARABIC_LETTER.match(first))
        and first not in _ARABIC_DOMAINS
    )


def _is_list_number(text: str, begin: int, position: int) -> bool:
    """A number that opens its sentence, or follows a colon or comma, counts: "steps: 1. Plan"."""
    head = text[max(begin, position - 3) : position].rstrip()
    return not head or head[-1] in ":;،,؛("


def _is_abbreviation(text: str, last: str, position: int, first: str, following: str) -> bool:
    word = last.lower().strip("'’\"-_*")
    if word in _ABBREVIATIONS:
        return True
    if word in _BEFORE_NUMBER and following.isdigit():
        return True
    if _ARABIC_LETTER.match(word):
        word = word.removeprefix("و") or word
        if word not in _ARABIC_ABBREVIATIONS and not _INITIALS.match(word):
            return False
        # "2020 م." may end a sentence, "د. محمد" never does.
        return not text[max(0, position - 2) : position].rstrip()[-1:].isdigit()
    if word == "etc":
        return False
    if word in _OFTEN_LAST or _INITIALS.match(word):
        return first.lower() not in _OPENERS
    return False
