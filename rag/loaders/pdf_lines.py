"""The glyphs of a page become lines, or cells of lines, each read in its own direction."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace

from rag.loaders.bidi import LEFT, RIGHT, kind_of, read_line
from rag.loaders.pdf_glyphs import Glyph, PageGlyphs, Row

_SPACE_GAP = 0.2  # ems between two letters that are two words, where spaces are not drawn
_WORD_GAP = 0.1  # the same where PDFium too tells two words
# Both beside a letter whose box is not its own. Measured in three fonts: within words at most 0.07 and 0.263, between
# words at least 0.35 and 0.266.
_LOOSE_SPACE_GAP, _LOOSE_WORD_GAP = 0.3, 0.265
_RAISED = 0.05  # ems above or below the baseline: the box is that of the mark
_CELL_GAP = 1.5  # ems between two cells of a table
_CELL_GAP_SPACED = 0.45  # the same on pages that draw their spaces: a gap without one is no word space
_SPACES_IN_CELL_GAP = 4  # a drawn space stretched so far is no word space either
_BOLD_WEIGHT = 600
_LAM, _ALEFS, _FATHATAN = "\u0644", "\u0622\u0623\u0625\u0627\u0671", "\u064b"
_AFTER_LAM = _ALEFS + "\u0649\u064a"  # one glyph with it in many fonts; none begins with them


@dataclass(slots=True)
class Line:
    """A line, or one cell of a line, in reading order. Points, y upwards.

    ``has_bullet``: a dot is drawn before it. ``is_beside``: it stands on the baseline of the line before it.
    """

    text: str
    left: float
    right: float
    y: float
    size: float
    is_bold: bool
    is_rtl: bool
    page: int
    has_bullet: bool = False
    is_beside: bool = False


def page_lines(page: PageGlyphs, *, is_mirrored: bool = False) -> list[Line]:
    """Return the lines of a page in drawing order, each in reading order.

    Args:
        page: The glyphs.
        is_mirrored: The maker drew Arabic letters from left to right without turning them; they are read so.
    """
    is_rtl_page = page.right_letters >= page.left_letters and page.right_letters > 0
    lines: list[Line] = []
    for row in page.rows:
        units = _units(row)
        if not any(not unit.text.isspace() for unit in units):
            continue
        is_rtl = not is_mirrored and _is_rtl(units, is_rtl_page=is_rtl_page)
        gap = (_CELL_GAP_SPACED if page.is_spaced else _CELL_GAP) * row.size
        rules = [x for x, bottom, top in page.rules if bottom - 1 <= row.y <= top]
        groups = _split(units, gap, rules)
        if is_rtl:
            groups.reverse()
        is_beside = False
        for group in groups:
            text = _read(group, row.size, is_rtl=is_rtl, is_mirrored=is_mirrored)
            if not text:
                continue
            shown = [unit for unit in group if not unit.text.isspace()]
            line = Line(
                text=text,
                left=min(unit.left for unit in shown),
                right=max(unit.right for unit in shown),
                y=row.y,
                size=row.size,
                is_bold=row.weight >= _BOLD_WEIGHT,
                is_rtl=is_rtl,
                page=page.number,
                is_beside=is_beside,
            )
            line.has_bullet = not is_beside and _has_drawn_bullet(line, page.bullets)
            lines.append(line)
            is_beside = True
    return lines


def _units(row: Row) -> list[Glyph]:
    """Return the glyphs of a row from left to right, each with its marks, ligature parts together."""
    letters = [glyph for glyph in row.glyphs if not unicodedata.combining(glyph.text[0])]
    marks = [glyph for glyph in row.glyphs if unicodedata.combining(glyph.text[0])]
    letters.sort(key=lambda glyph: (glyph.x, glyph.index))
    units: list[Glyph] = []
    for glyph in letters:
        last = units[-1] if units else None
        if last is not None and abs(glyph.x - last.x) < 0.02 * row.size and not glyph.text.isspace():
            if last.text == glyph.text and abs(glyph.index - last.index) > 2:
                continue  # drawn twice, for a bold look
            if kind_of(glyph.text) == RIGHT and not last.text.isspace() and kind_of(last.text) == RIGHT:
                both = (
                    glyph.text + last.text
                    if glyph.text[0] == _LAM and last.text[0] in _AFTER_LAM
                    else last.text + glyph.text
                )
                units[-1] = replace(
                    last, text=both, left=min(last.left, glyph.left), right=max(last.right, glyph.right)
                )
                continue
        units.append(replace(glyph))
    for mark in sorted(marks, key=lambda glyph: glyph.index):
        _attach(mark, units, row.size, row.y)
    return units


def _attach(mark: Glyph, units: list[Glyph], size: float, baseline: float) -> None:
    """Put a combining mark behind the letter it stands over."""
    for unit in units:
        if unit.x == mark.x and unit.y == mark.y and not unit.text.isspace():
            unit.text += mark.text
            unit.left, unit.right = min(unit.left, mark.left), max(unit.right, mark.right)
            unit.is_loose = abs(unit.y - baseline) > _RAISED * size
            return
    bases = [unit for unit in units if not unit.text.isspace()]
    if not bases:
        return
    centre = (mark.left + mark.right) / 2
    base = min(
        bases,
        key=lambda unit: (
            max(unit.left - centre, centre - unit.right, 0.0),
            abs((unit.left + unit.right) / 2 - centre),
        ),
    )
    if mark.text == _FATHATAN and base.text[-1] in _ALEFS:
        # It is written before the alef that carries it, wherever the font draws it.
        position = bases.index(base)
        if len(base.text) > 1:
            base.text = base.text[:-1] + mark.text + base.text[-1]
        elif position + 1 < len(bases) and kind_of(bases[position + 1].text) == RIGHT:
            bases[position + 1].text += mark.text
        else:
            base.text += mark.text
    else:
        base.text += mark.text


def _is_rtl(units: list[Glyph], *, is_rtl_page: bool) -> bool:
    kinds = [kind_of(unit.text) for unit in units]
    right, left = kinds.count(RIGHT), kinds.count(LEFT)
    if right:
        return is_rtl_page or right >= left
    shown = [unit.text for unit in units if not unit.text.isspace()]
    # A line without Arabic in an Arabic page: its full stop stands at the left if it runs from the right.
    return is_rtl_page and (left == 0 or (shown[0] in ".:،!؟" and shown[-1] not in ".:،!؟)"))


def _split(units: list[Glyph], gap: float, rules: list[float]) -> list[list[Glyph]]:
    """Cut a row where a rule is drawn between two words, or nothing, not even a space, for longer than ``gap``."""
    groups: list[list[Glyph]] = [[]]
    previous: Glyph | None = None
    edge = 0.0
    has_space = False
    for unit in units:
        if unit.text.isspace():
            has_space = True
            groups[-1].append(unit)
            continue
        if previous is not None and unit.left > edge:
            is_loose = previous.is_loose or unit.is_loose
            limit = _SPACES_IN_CELL_GAP * gap if has_space or is_loose else gap
            if unit.left - edge > limit or any(edge - 0.5 <= x <= unit.left + 0.5 for x in rules):
                groups.append([])
        groups[-1].append(unit)
        edge = unit.right if previous is None else max(edge, unit.right)
        previous = unit
        has_space = False
    return groups


def _read(units: list[Glyph], size: float, *, is_rtl: bool, is_mirrored: bool) -> str:
    """Return the text of one cell in reading order, with spaces where words end."""
    texts: list[str] = []
    previous: Glyph | None = None
    edge = 0.0
    for unit in units:
        if unit.text.isspace():
            if texts and texts[-1] != " ":
                texts.append(" ")
            continue
        if previous is not None and texts[-1] != " " and unit.left - edge > _space_gap(previous, unit) * size:
            texts.append(" ")
        texts.append(unit.text)
        edge = unit.right if previous is None else max(edge, unit.right)
        previous = unit
    if is_mirrored:
        return "".join(texts).strip()
    return read_line(texts, is_rtl=is_rtl).strip()


def _space_gap(first: Glyph, second: Glyph) -> float:
    """Return how many ems apart two neighbours must stand to belong to two words."""
    if first.is_loose or second.is_loose:
        return _LOOSE_SPACE_GAP if first.word == second.word else _LOOSE_WORD_GAP
    return _WORD_GAP if first.word != second.word else _SPACE_GAP


def _has_drawn_bullet(line: Line, bullets: list[tuple[float, float]]) -> bool:
    """Return whether a drawn dot stands just before the line, at the height of its letters."""
    for x, y in bullets:
        if not -0.2 * line.size <= y - line.y <= 0.8 * line.size:
            continue
        distance = x - line.right if line.is_rtl else line.left - x
        if 0 < distance < 2.5 * line.size:
            return True
    return False
