"""A sheet becomes blocks: which rows are captions, which name the columns, which cells belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rag.loaders.blocks import Block
from rag.loaders.tables import is_header, is_number, labels, table_row

_MAX_FILLED = 200_000  # cells that get the value of the one they are merged with
_Wide = Mapping[tuple[int, int], int]


@dataclass(frozen=True, slots=True)
class Merge:
    """Cells shown as one, which has the value of the first; 0-based, ends included."""

    top: int
    left: int
    bottom: int
    right: int


def sheet_blocks(
    rows: Iterable[Sequence[str]], merges: Sequence[Merge] = (), *, page: int | None = None
) -> list[Block]:
    """Return the blocks of one sheet.

    A sheet may hold several tables with empty rows between them, each with a caption of one cell above it. A cell that
    is merged downwards counts for every row beside it, one that is merged to the right for the columns under it. A
    sheet of one column is a list.

    Args:
        rows: All rows of the sheet from the first, as texts; rows may differ in length.
        merges: The merged cells.
        page: The page it is.
    """
    grid = [list(cells) for cells in rows]
    wide = _fill(grid, merges)
    blocks: list[Block] = []
    header: list[str] = []
    is_start = True  # of the sheet, or below an empty row or a caption
    at = 0
    while at < len(grid):
        cells, below = grid[at], _filled(grid, at + 1)
        count = sum(map(bool, cells))
        used = 1
        if count == 0:
            is_start = True
        elif count == 1 and is_start and below != 1:
            blocks.append(Block("paragraph", "".join(cells), page=page))
            header = [] if below else header
        elif is_start and count > 1 and below and (found := _header(grid, at, wide, header)):
            header, used = labels(found[0]), found[1]
            is_start = False
        elif count == 1 and not header:
            blocks.append(Block("item", "".join(cells), page=page))
            is_start = False
        else:
            blocks += table_row(cells, header, page=page)
            is_start = False
        at += used
    return blocks


def _filled(grid: Sequence[Sequence[str]], at: int) -> int:
    """Return how many cells of a row have a value; 0 beyond the last row."""
    return sum(map(bool, grid[at])) if at < len(grid) else 0


def _fill(grid: list[list[str]], merges: Sequence[Merge]) -> _Wide:
    """Repeat merged cells downwards; return the last column of those that are merged to the right."""
    wide: dict[tuple[int, int], int] = {}
    budget = _MAX_FILLED
    for merge in merges:
        if merge.top >= len(grid) or merge.left >= len(grid[merge.top]):
            continue
        value = grid[merge.top][merge.left]
        if merge.right > merge.left:
            wide[merge.top, merge.left] = merge.right
        for cells in grid[merge.top + 1 : merge.bottom + 1] if value else ():
            budget -= 1
            if budget > 0 and any(cells):
                cells.extend([""] * (merge.left + 1 - len(cells)))
                cells[merge.left] = cells[merge.left] or value
    return wide


def _header(grid: Sequence[list[str]], at: int, wide: _Wide, known: Sequence[str]) -> tuple[list[str], int] | None:
    """Return the names of the columns if a table begins at a row, and how many rows they take; None if none does.

    Below an empty row the table before may just go on: it does, unless the columns are others or hold numbers under
    words, which speaks for names.
    """
    cells, following = grid[at], grid[at + 1]
    upper = _spread(cells, at, wide)
    lower = [cell for cell in following if cell]
    if upper != cells and _filled(grid, at + 2) > 1 and not any(map(is_number, lower)):
        pairs = zip_longest(upper, following, fillvalue="")
        return [" – ".join(dict.fromkeys(part for part in pair if part)) for pair in pairs], 2
    first = next(column for column, cell in enumerate(cells) if cell)
    if not is_header(cells[first:], following[first:]):
        return None
    columns = [[column for column, cell in enumerate(line) if cell] for line in (known, cells)]
    is_typed = any(
        is_number(cell) and name and not is_number(name) for name, cell in zip(cells, following, strict=False)
    )
    return None if columns[0] == columns[1] and not is_typed else (list(cells), 1)


def _spread(cells: list[str], at: int, wide: _Wide) -> list[str]:
    """Return a row with the cells that are merged to the right repeated over their columns."""
    spread = list(cells)
    for column in range(len(cells)):
        last = min(wide.get((at, column), column), column + len(cells) + 50)
        spread.extend([""] * (last + 1 - len(spread)))
        spread[column + 1 : last + 1] = [spread[column]] * (last - column)
    return spread
