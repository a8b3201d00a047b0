"""Tables whose rows can be cited one by one: each row says its columns' names, ``Name: Sara | City: Amman``.

A row that is quoted, or that a passage begins with, stands without the header above it. So the header goes into every
row; it gets no line of its own. The bar between the cells is what marks a row for the rest of the package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rag.loaders.blocks import Block, one_line, row

_LABEL_CHARACTERS = 80
_RECORD_CHARACTERS = 500  # a longer row is read, not looked at: its fields become paragraphs
_FIELD_CHARACTERS = 120
_PLAIN_ROWS = 12  # a table of a page or a letter up to here is quoted as it stands
_NUMBER = re.compile(r"[\s+\-(]*[$€£¥₪﷼]?\s*[\d٠-٩][\d٠-٩.,٫٬\s:/\-]*[)%٪]?\s*\S{0,4}")
_YEAR = re.compile(r"(?:1[89]|20)\d\d|[١٢][٠٨٩][٠-٩]{2}")

Cells = Sequence[str]


def is_number(cell: str) -> bool:
    """Return whether a cell holds an amount, a date or a time; a year alone is none, since it may name a column."""
    return _NUMBER.fullmatch(cell) is not None and _YEAR.fullmatch(cell) is None


def is_header(cells: Cells, following: Cells | None) -> bool:
    """Return whether a row names the columns of the rows below it.

    Args:
        cells: The first row.
        following: The row below, None if there is none.
    """
    named = [cell for cell in cells if cell]
    return (
        following is not None
        and len(named) >= min(2, len(cells))
        and len(named) >= len(cells) - 1
        and len(set(named)) == len(named)
        and all(len(cell) <= _LABEL_CHARACTERS and not is_number(cell) for cell in named)
        and any(map(str.isalpha, "".join(named)))
    )


def labels(cells: Cells) -> list[str]:
    """Return the names of columns as they stand in each row."""
    return [one_line(cell).rstrip(" :") for cell in cells]


def record(
    pairs: Iterable[tuple[str, str]], *, level: int = 3, title: str = "", page: int | None = None
) -> list[Block]:
    """Return one record: a row if it is short, else a heading with its short fields in a row and long ones below.

    Args:
        pairs: ``(name, value)`` of its fields; a field without a value is left out, a name may be empty.
        level: Of the heading.
        title: Its name; empty for the first short field that is one.
        page: The page it is on.
    """
    fields = [(name, value) for name, value in pairs if value and not value.isspace()]
    texts = [f"{name}: {value}" if name else value for name, value in fields]
    if sum(map(len, texts)) <= _RECORD_CHARACTERS:
        return [Block("row", " | ".join(texts).replace("\n", " "), page=page)] if texts else []
    names = (
        value for _, value in fields if len(value) <= _FIELD_CHARACTERS and not is_number(value) and "\n" not in value
    )
    heading = title or next(names, "")
    blocks = [Block("heading", heading, level=level, page=page)] if heading else []
    short: list[str] = []
    for text in texts:
        if len(text) <= _FIELD_CHARACTERS:
            short.append(one_line(text))
            continue
        blocks += [Block("row", " | ".join(short), page=page)] if short else []
        short = []
        blocks.append(Block("paragraph", text, page=page))
    return blocks + ([Block("row", " | ".join(short), page=page)] if short else [])


def table(
    rows: Sequence[Cells], *, header: Cells | None = None, level: int = 3, page: int | None = None
) -> list[Block]:
    """Return the blocks of one table.

    Args:
        rows: Of any lengths; empty rows are left out.
        header: The names of the columns; None looks for them in the first row.
        level: Of the heading that a long row gets.
        page: The page it is on.
    """
    rows = [cells for cells in rows if any(cells)]
    if header is None and rows and is_header(rows[0], rows[1] if len(rows) > 1 else None):
        header, rows = labels(rows[0]), rows[1:]
    return [block for cells in rows for block in table_row(cells, header or (), level=level, page=page)]


def table_row(cells: Cells, header: Cells, *, level: int = 3, page: int | None = None) -> list[Block]:
    """Return the blocks of one row under a header, which may be empty."""
    return record(zip_labels(cells, header), level=level, page=page)


def zip_labels(cells: Cells, header: Cells) -> Iterator[tuple[str, str]]:
    """Yield ``(name of the column, cell)``; the name is empty where the header has none."""
    for column, cell in enumerate(cells):
        yield (header[column] if column < len(header) else ""), cell


def page_table(rows: Sequence[Cells], *, is_headed: bool | None = None) -> list[str]:
    """Return the rows of a table within a text: as they stand while header and rows share a passage, else labelled.

    Args:
        rows: The cells of each row, empty rows too.
        is_headed: Whether the first row is a header; None if the format does not say.

    Returns:
        One line a row, empty where the row is; the header of a labelled table is empty too.
    """
    if is_headed is None:
        filled = [cells for cells in rows if any(cells)]
        is_headed = bool(filled) and filled[0] is rows[0] and is_header(rows[0], filled[1] if filled[1:] else None)
    if len(rows) <= _PLAIN_ROWS or not is_headed:
        return [row(cells) for cells in rows]
    header = labels(rows[0])
    return [
        "",
        *(
            row(f"{name}: {cell}" if name and cell else cell for name, cell in zip_labels(cells, header) if cell)
            for cells in rows[1:]
        ),
    ]
