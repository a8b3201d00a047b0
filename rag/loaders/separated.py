"""Tables as text (csv, tsv): the separator is found by reading, each row says its columns' names."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator

from rag.loaders.blocks import Block, Limits, Parsed, UnreadableError, check_length, compose, one_line
from rag.loaders.encoding import decode
from rag.loaders.tables import is_header, labels, table_row

_SEPARATORS = ",;\t|،؛"
_SAMPLE_CHARACTERS = 64_000
_SAMPLE_ROWS = 100


def parse(data: bytes, limits: Limits) -> Parsed:
    """Parse a csv or tsv file.

    Raises:
        UnreadableError: The bytes are not text, or more characters or cells than the limits allow.
    """
    text, warnings = decode(data)
    check_length(text, limits.max_characters)
    csv.field_size_limit(limits.max_characters + 1)
    separator = find_separator(text)
    blocks: list[Block] = []
    header: list[str] | None = None
    held: list[str] | None = None  # the first row, until the second tells whether it names the columns
    cells = 0
    for row in _rows(text, separator):
        cells += sum(map(bool, row))
        if cells > limits.max_cells:
            raise UnreadableError(f"it holds more than {limits.max_cells:,} cells; split it")
        if not any(row):
            continue
        if header is not None:
            blocks += table_row(row, header)
        elif held is None:
            held = row
        else:
            header = labels(held) if len(held) > 1 and is_header(held, row) else []
            blocks += [] if header else _lone(held)
            blocks += table_row(row, header) if header else _lone(row)
    if header is None and held is not None:
        blocks += _lone(held)
    return compose(blocks, title=None, warnings=warnings)


def _lone(row: list[str]) -> list[Block]:
    return table_row(row, ()) if sum(map(bool, row)) > 1 else [Block("item", "".join(row))]


def find_separator(text: str) -> str:
    """Return the separator that cuts the first rows into the most columns of the same number; a comma if none does."""
    lines = text.split("\n", 1)[0].strip().lower()
    if lines.startswith("sep=") and len(lines) == 5:  # a hint that spreadsheets write and obey
        return lines[4]
    best, best_score = ",", 0.0
    for separator in _SEPARATORS:
        widths: Counter[int] = Counter()
        for count, row in enumerate(_rows(text[:_SAMPLE_CHARACTERS], separator)):
            if any(row):
                widths[len(row)] += 1
            if count >= _SAMPLE_ROWS:
                break
        if not widths:
            continue
        width, rows = widths.most_common(1)[0]
        score = (rows / widths.total()) ** 2 * (width - 1) ** 0.5
        if score > best_score:
            best, best_score = separator, score
    return best


def _rows(text: str, separator: str) -> Iterator[list[str]]:
    stream = io.StringIO(text, newline="")
    if text[:4].lower() == "sep=" and text[5:6] in ("\n", "\r"):
        stream.readline()
    try:
        for row in csv.reader(stream, delimiter=separator, skipinitialspace=True):
            yield [cell.strip() for cell in row]
    except csv.Error as error:
        raise UnreadableError(f"cannot be read as a table ({one_line(str(error))[:80]}); save it again") from error
