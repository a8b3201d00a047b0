"""From the order in which a line is drawn to the order in which it is read.

A PDF says where each letter stands, not in which order it is read. Letters sorted from left to right are the visual
order; for a line of Arabic this module undoes the Unicode bidirectional algorithm (UAX 9): right to left,
but numbers and words of other scripts left to right within it. The inverse is not unique; the rules below take
the common reading (``SEO 2020`` beside each other is one left-to-right run, rule W7).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

RIGHT, LEFT, DIGIT, SPACE, OTHER = "R", "L", "D", "S", "N"
_OPEN = "([{«‹<"
_CLOSE = ")]}»›>"
_PAIR = dict(zip(_OPEN + _CLOSE, _CLOSE + _OPEN, strict=True))
_SEPARATORS = ".,:/٫٬"  # within a number, whatever stands before it (W4)
_RANGE_MARKS = "-–+"  # within a number only where no Arabic letter stands before it (W2)


def kind_of(text: str) -> str:
    """Return the direction class of a unit of text by its first character."""
    character = text[0]
    direction = unicodedata.bidirectional(character)
    if direction in ("R", "AL"):
        return RIGHT
    if direction == "L":
        return LEFT
    if direction in ("EN", "AN") and character.isdigit():
        return DIGIT
    return SPACE if character.isspace() else OTHER


def read_line(units: Sequence[str], *, is_rtl: bool) -> str:
    """Return the units of one line, given from left to right, in reading order.

    Args:
        units: Letters with their marks, from left to right as drawn; spaces are units too.
        is_rtl: Whether the line as a whole runs from right to left.
    """
    kinds = [kind_of(unit) for unit in units]
    if is_rtl:
        return repair_brackets("".join(_read_rtl(units, kinds)))
    if RIGHT not in kinds:
        return "".join(units)
    return repair_brackets("".join(_read_ltr(units, kinds)))


def _read_ltr(units: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """Read a left-to-right line: stretches from one right-to-left letter to the last before Latin are turned."""
    out: list[str] = []
    index = 0
    while index < len(units):
        if kinds[index] != RIGHT:
            out.append(units[index])
            index += 1
            continue
        end = index
        scan = index
        while scan < len(units) and kinds[scan] != LEFT:
            if kinds[scan] == RIGHT:
                end = scan
            scan += 1
        out.extend(_read_rtl(units[index : end + 1], kinds[index : end + 1]))
        index = end + 1
    return out


def _read_rtl(units: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """Read a right-to-left stretch, from its right end."""
    out: list[str] = []
    after_arabic = False
    index = len(units) - 1
    while index >= 0:
        kind = kinds[index]
        start = index
        is_number = kind == DIGIT or (units[index] in "%٪‰" and index > 0 and kinds[index - 1] == DIGIT)
        reach = _latin_reach(kinds, index) if is_number or kind == LEFT else None
        if reach is not None:
            start = reach
            after_arabic = False
        elif is_number:
            start = _number_start(units, kinds, index if kind == DIGIT else index - 1, after_arabic=after_arabic)
        elif kind == RIGHT:
            after_arabic = True
        out.extend(units[start : index + 1])
        index = start - 1
    return out


def _latin_reach(kinds: Sequence[str], index: int) -> int | None:
    """Return where the left-to-right run that ends at ``index`` begins; None if it holds no left-to-right letter."""
    leftmost = None
    scan = index
    while scan >= 0 and kinds[scan] != RIGHT:
        if kinds[scan] == LEFT:
            leftmost = scan
        scan -= 1
    while leftmost is not None and leftmost > 0 and kinds[leftmost - 1] == DIGIT:
        leftmost -= 1  # the 4 of "4G"
    return leftmost


def _number_start(units: Sequence[str], kinds: Sequence[str], index: int, *, after_arabic: bool) -> int:
    """Return where the number that ends at ``index`` begins."""
    inner = _SEPARATORS if after_arabic else _SEPARATORS + _RANGE_MARKS
    while index > 0:
        if kinds[index - 1] == DIGIT:
            index -= 1
        elif index > 1 and units[index - 1] in inner and kinds[index - 2] == DIGIT:
            index -= 2
        else:
            break
    return index


def repair_brackets(text: str) -> str:
    """Return ``text`` with each bracket turned the way its place asks for.

    Whether a PDF names a bracket by its look or by its meaning differs from maker to maker. A bracket after a space
    and before a letter opens, one after a letter and before a space closes; where that does not tell, it closes
    what is open.
    """
    out = list(text)
    depth = 0
    for index, character in enumerate(text):
        if character not in _PAIR or character in "<>":
            continue
        before = text[index - 1] if index else " "
        after = text[index + 1] if index + 1 < len(text) else " "
        starts = before.isspace() or before in _PAIR
        ends = after.isspace() or after in ".,،؛;:؟?!" or after in _PAIR
        opens = starts if starts != ends else depth == 0
        depth = depth + 1 if opens else max(0, depth - 1)
        if (character in _OPEN) != opens:
            out[index] = _PAIR[character]
    return "".join(out)


def is_mirrored_arabic(text: str) -> bool:
    """Return whether Arabic text reads backwards: its words end in the article and begin with letters that end words.

    The article ``ال`` begins about a third of all words, and ``ة`` and ``ى`` only end them.
    """
    forward = backward = 0
    for word in text.split():
        if len(word) >= 4 and all("\u0600" <= character <= "\u06ff" for character in word):
            forward += word.startswith("ال") + (word[-1] in "ةى")
            backward += word.endswith("لا") + (word[0] in "ةى")
    return backward >= 5 and backward > 3 * forward
