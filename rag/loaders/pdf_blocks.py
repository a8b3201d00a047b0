"""The lines of a PDF's pages become blocks: paragraphs, headings, list items and table rows.

A PDF knows no paragraphs. What is told from the page: a line that could have held the next word ends
a paragraph; text clearly larger than the body, or a short bold line, is a heading; a line that steps sideways to
the height of the one before is a cell of the same row; what stands at the same place on many pages is a running
header or footer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rag.loaders.blocks import Block, row
from rag.loaders.pdf_lines import Line
from rag.loaders.text import split_marker

_HEADING_RATIO = 1.12  # of the size of the body
_HEADING_CHARACTERS = 200
_BOLD_HEADING_CHARACTERS = 120
_SAME_SIZE = 0.08
_NEXT_LINE = 1.3  # of the usual distance of two lines
_CELL_LINE = 1.15  # of the usual distance, between two lines of one cell
_MAX_CELL_LINES = 8
_EDGE_LINES = 2  # lines at the top and the bottom of a page that may be running ones
_SAME_PLACE = 3.0  # points
_RUNNING_CHARACTERS = 80
_STOPS = (".", "!", "?", "؟", "…", ":", "۔")
_PAGE_NUMBER = re.compile(
    r"\W*(?:(?:page|p\.|صفحة|ص)\s*)?[0-9٠-٩]{1,4}(?:\s*(?:/|of|من|-|\|)\s*[0-9٠-٩]{1,4})?\W*", re.IGNORECASE
)


@dataclass(slots=True)
class _Group:
    """Lines that become one block. ``cells`` holds the lines of each cell if it is a table row."""

    lines: list[Line]
    cells: list[list[Line]] = field(default_factory=list)


def to_blocks(pages: Sequence[Sequence[Line]]) -> list[Block]:
    """Return the blocks of a document.

    Args:
        pages: The lines of each page, in drawing order.
    """
    kept = _without_running_lines(pages)
    body = _body_size([line for lines in kept for line in lines])
    levels = _heading_levels([line for lines in kept for line in lines], body)
    leading = _leading(kept)
    is_bold_telling = _is_bold_rare(kept)
    groups: list[_Group] = []
    for lines in kept:
        for group in _rows(lines, leading):
            if group.cells:
                groups.append(group)
            else:
                _add_lines(groups, group.lines, lines, body, leading)
    return [_block(group, body, levels, is_bold_telling=is_bold_telling) for group in groups]


def _is_bold_rare(pages: Sequence[Sequence[Line]]) -> bool:
    """Return whether bold type tells anything: some fonts call their regular weight bold."""
    total = sum(len(line.text) for lines in pages for line in lines)
    return 3 * sum(len(line.text) for lines in pages for line in lines if line.is_bold) < total


def _without_running_lines(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Leave out what stands at the same place on many pages, digits aside, and lone page numbers at the edges."""
    places: Counter[tuple[str, int]] = Counter()
    edges: list[list[Line]] = []
    for lines in pages:
        heights = sorted({line.y for line in lines})
        count = _EDGE_LINES if len(heights) > 3 * _EDGE_LINES else 1
        outer = {*heights[:count], *heights[-count:]}
        edges.append([line for line in lines if line.y in outer])
        places.update({(_digitless(line.text), round(line.y / _SAME_PLACE)) for line in edges[-1]})
    wanted = max(min(3, len(pages)), 2, round(0.5 * len(pages)))
    kept: list[list[Line]] = []
    for lines, outer_lines in zip(pages, edges, strict=True):
        dropped = set()
        lowest, highest = min((line.y for line in lines), default=0.0), max((line.y for line in lines), default=0.0)
        for line in outer_lines:
            key, place = _digitless(line.text), round(line.y / _SAME_PLACE)
            count = sum(places[key, near] for near in (place - 1, place, place + 1))
            is_number = len(lines) > 3 and line.y in (lowest, highest) and _PAGE_NUMBER.fullmatch(line.text)
            if count >= wanted or is_number:
                dropped.add(id(line))
        kept.append([line for line in lines if id(line) not in dropped])
    return kept if any(kept) else [list(lines) for lines in pages]


def _digitless(text: str) -> str:
    """Return a short line without its digits, so that "page 3" is "page 4"; a long one as it is."""
    return re.sub(r"[0-9٠-٩]+", "#", text) if len(text) <= _RUNNING_CHARACTERS else text


def _body_size(lines: Sequence[Line]) -> float:
    weights: Counter[float] = Counter()
    for line in lines:
        weights[round(line.size * 2) / 2] += len(line.text)
    return weights.most_common(1)[0][0] if weights else 1.0


def _heading_levels(lines: Sequence[Line], body: float) -> dict[float, int]:
    """Return the level of each size above the body's, the largest first."""
    sizes = sorted({round(line.size * 2) / 2 for line in lines if line.size >= _HEADING_RATIO * body}, reverse=True)
    levels: dict[float, int] = {}
    level = 0
    previous = 0.0
    for size in sizes:
        if not previous or size < previous * (1 - _SAME_SIZE / 2):
            level, previous = level + 1, size
        levels[size] = min(level, 6)
    return levels


def _leading(pages: Sequence[Sequence[Line]]) -> float:
    """Return the usual distance of two lines of one paragraph, in ems."""
    distances = [
        round((first.y - second.y) / first.size, 2)
        for lines in pages
        for first, second in zip(lines, lines[1:], strict=False)
        if _is_same_size(first, second) and 0.9 <= (first.y - second.y) / first.size <= 2.4 and _overlap(first, second)
    ]
    distances.sort()
    return distances[len(distances) // 3] if distances else 1.5


def _rows(lines: Sequence[Line], leading: float) -> list[_Group]:
    """Gather the rows of tables; every other line stays a group of its own."""
    groups: list[_Group] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        last = groups[-1] if groups else None
        cell = _cell_from(lines, index, leading)
        if last is not None and last.cells and _fits_row(last.cells, cell):
            last.cells.append(cell)
            index += len(cell)
            continue
        first = _cell_before(groups, cell, leading)
        if first and _is_level(first, cell) and (line.is_beside or len(first) < 4 or len(cell) < 4):
            del groups[-len(first) :]
            groups.append(_Group([], [first, cell]))
            index += len(cell)
            continue
        groups.append(_Group([line]))
        index += 1
    return groups


def _cell_from(lines: Sequence[Line], index: int, leading: float) -> list[Line]:
    """Return the lines from ``index`` on that may be one cell: each right below the one before."""
    cell = [lines[index]]
    for line in lines[index + 1 : index + _MAX_CELL_LINES]:
        if line.is_beside or not _follows(cell[-1], line, leading) or line.has_bullet:
            break
        cell.append(line)
    return cell


def _cell_before(groups: Sequence[_Group], cell: Sequence[Line], leading: float) -> list[Line]:
    """Return the last lines that stand wholly beside ``cell``: the first cell of a row, if it is one."""
    before: list[Line] = []
    for group in reversed(groups[-_MAX_CELL_LINES:]):
        if group.cells or any(_overlap(group.lines[0], line) for line in cell):
            break
        if before and not _follows(group.lines[0], before[0], leading):
            break
        before.insert(0, group.lines[0])
    return before


def _fits_row(cells: Sequence[Sequence[Line]], cell: Sequence[Line]) -> bool:
    taken = [line for other in cells for line in other]
    return _is_level(taken, cell) and not any(_overlap(line, other) for line in taken for other in cell)


def _is_level(first: Sequence[Line], second: Sequence[Line]) -> bool:
    """Return whether two cells lie at the same height: the middle of one within the other."""
    top, bottom = first[0].y, first[-1].y
    other_top, other_bottom = second[0].y, second[-1].y
    slack = 0.5 * first[0].size
    middle, other_middle = (top + bottom) / 2, (other_top + other_bottom) / 2
    return bottom - slack <= other_middle <= top + slack or other_bottom - slack <= middle <= other_top + slack


def _follows(first: Line, second: Line, leading: float) -> bool:
    """Return whether ``second`` is the next line below ``first`` in one column or cell."""
    distance = first.y - second.y
    return (
        0 < distance <= _CELL_LINE * leading * first.size and _is_same_size(first, second) and _overlap(first, second)
    )


def _overlap(first: Line, second: Line) -> bool:
    return min(first.right, second.right) - max(first.left, second.left) > 0


def _is_same_size(first: Line, second: Line) -> bool:
    return abs(first.size - second.size) <= _SAME_SIZE * max(first.size, second.size)


def _add_lines(groups: list[_Group], lines: Sequence[Line], page: Sequence[Line], body: float, leading: float) -> None:
    """Add the one line of a group to the paragraph above it, or begin a new one."""
    line = lines[0]
    last = groups[-1] if groups else None
    if last is not None and not last.cells and _continues(last.lines, line, page, body, leading):
        last.lines.append(line)
    else:
        groups.append(_Group([line]))


def _continues(above: Sequence[Line], line: Line, page: Sequence[Line], body: float, leading: float) -> bool:
    last = above[-1]
    if line.has_bullet or line.is_rtl != last.is_rtl or not _is_same_size(last, line) or line.is_bold != last.is_bold:
        return False
    is_heading = last.size >= _HEADING_RATIO * body
    marker = split_marker(line.text)[0]
    if marker and not (marker != "-" and _is_full(last, line, page) and marker != _next_marker(above[0])):
        return False
    if last.page != line.page:
        return not is_heading and not last.text.endswith(_STOPS) and len(above[-1].text) > 30
    distance = (last.y - line.y) / last.size
    if not 0 < distance <= _NEXT_LINE * leading or not _overlap(last, line):
        return False
    is_item = above[0].has_bullet or split_marker(above[0].text)[0] != ""
    return is_heading or (is_item and _is_indented(line, above[0])) or _is_full(last, line, page)


def _is_indented(line: Line, item: Line) -> bool:
    """Return whether ``line`` begins at least as far from the margin as the text of the list item above it."""
    inset = item.right - line.right if line.is_rtl else line.left - item.left
    return inset > (-0.5 if item.has_bullet else 0.3) * line.size


def _next_marker(line: Line) -> str:
    marker = split_marker(line.text)[0].rstrip(".")
    return f"{int(marker) + 1}." if marker.isdigit() else ""


def _is_full(line: Line, following: Line, page: Sequence[Line]) -> bool:
    """Return whether the first word of ``following`` found no place at the end of ``line``."""
    column = [other for other in page if _overlap(other, line) and _is_same_size(other, line)]
    word = following.text.split()[0]
    width = (following.right - following.left) * len(word) / max(1, len(following.text))
    slack = 1.2 * line.size
    if line.is_rtl:
        return line.left - min(other.left for other in column or [line]) < width + slack
    return max(other.right for other in column or [line]) - line.right < width + slack


def _block(group: _Group, body: float, levels: dict[float, int], *, is_bold_telling: bool) -> Block:
    if group.cells:
        cells = sorted(group.cells, key=lambda cell: cell[0].left, reverse=group.cells[0][0].is_rtl)
        return Block("row", row(_joined(cell)[0] for cell in cells), page=cells[0][0].page)
    first = group.lines[0]
    text, breaks = _joined(group.lines)
    marker, rest = split_marker(text)
    if first.has_bullet and marker != "-":
        marker, rest = "-", text
    if marker:
        return Block("item", rest, marker=marker, page=first.page)
    if len(text) <= _HEADING_CHARACTERS and any(map(str.isalpha, text)):
        if first.size >= _HEADING_RATIO * body:
            return Block("heading", text, level=levels.get(round(first.size * 2) / 2, 1), page=first.page)
        is_short = len(text) <= _BOLD_HEADING_CHARACTERS and len(group.lines) <= 2
        if is_bold_telling and first.is_bold and is_short and not text.endswith((".", "،", ",", "؛", ";", ":")):
            return Block("heading", text, level=min(6, max(levels.values(), default=0) + 1), page=first.page)
    return Block("paragraph", text, page=first.page, page_breaks=breaks)


def _joined(lines: Sequence[Line]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the lines as one text, and ``(offset, page)`` where it goes on to another page."""
    parts: list[str] = []
    breaks: list[tuple[int, int]] = []
    length = 0
    page = lines[0].page
    for line in lines:
        if parts:
            last = parts[-1]
            # A word broken at a hyphen keeps it; a soft hyphen or a true Unicode hyphen at the end was put there.
            if last.endswith(("\u00ad", "\u2010")):
                parts[-1] = last[:-1]
                length -= 1
            elif not (last.endswith("-") and len(last) > 1 and last[-2].isalpha()):
                parts.append(" ")
                length += 1
        if line.page != page:
            page = line.page
            breaks.append((length, page))
        parts.append(line.text)
        length += len(line.text)
    return "".join(parts), tuple(breaks)
