"""JSON and JSON Lines: what lies under each path, a list of objects as records; numbers as they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rag.loaders.blocks import Block, Limits, Parsed, UnreadableError, check_length, compose, one_line
from rag.loaders.encoding import decode
from rag.loaders.tables import record

_TITLE_KEYS = ("title", "name", "العنوان", "عنوان", "الاسم", "اسم")
_MAX_DEPTH = 100
_SHOWN_LINES = 5
_TITLE_CHARACTERS = 200


def parse(data: bytes, limits: Limits) -> Parsed:
    """Parse a JSON or JSON Lines file, whichever it is.

    Raises:
        UnreadableError: The bytes are not text, not JSON, nested too deeply, or hold more than the limits allow.
    """
    text, warnings = decode(data)
    check_length(text, limits.max_characters)
    try:
        value, notes = _load(text)
        blocks = []
        for block in _blocks(value, "", level=1 if isinstance(value, list) else 2, depth=0):
            blocks.append(block)
            if len(blocks) > limits.max_cells:
                raise UnreadableError(f"it holds more than {limits.max_cells:,} values; split it")
    except RecursionError as error:
        raise UnreadableError("its values are nested too deeply") from error
    title = _title(value) if isinstance(value, dict) else ""
    return compose(blocks, title=title or None, warnings=(*warnings, *notes))


def _load(text: str) -> tuple[Any, tuple[str, ...]]:
    """Return the value of the file; of several lines with a value each, the list of them and what could not be read."""
    try:
        return _value(text), ()
    except json.JSONDecodeError as error:
        whole = error
    values: list[Any] = []
    wrong: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                values.append(_value(line))
            except json.JSONDecodeError:
                wrong.append(number)
    if not any(isinstance(value, dict | list) for value in values) or len(wrong) > len(values):
        raise UnreadableError(f"not JSON: {whole.msg} in line {whole.lineno}, column {whole.colno}; save it again")
    if not wrong:
        return values, ()
    shown = ", ".join(map(str, wrong[:_SHOWN_LINES])) + (", ..." if len(wrong) > _SHOWN_LINES else "")
    return values, (f"{len(wrong)} lines are not JSON and were left out: {shown}",)


def _value(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)


def _title(value: dict[str, Any]) -> str:
    named = {key.strip().lower(): found for key, found in value.items() if isinstance(found, str)}
    title = next((one_line(named[key]) for key in _TITLE_KEYS if named.get(key, "").strip()), "")
    return title if len(title) <= _TITLE_CHARACTERS else ""


def _blocks(value: Any, path: str, *, level: int, depth: int) -> Iterator[Block]:
    """Yield what lies under a path: fields as lines, a list of objects as records under the name of the path."""
    if depth > _MAX_DEPTH:
        raise UnreadableError(f"its values are nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        if path:
            yield Block("heading", path, level=min(level, 6))
        for item in value:
            if isinstance(item, dict):
                yield from _object(item, "", level=level + 1, depth=depth + 1)
            else:
                yield from _blocks(item, "", level=level + 1, depth=depth + 1)
    elif isinstance(value, dict):
        yield from _object(value, path, level=level, depth=depth)
    elif isinstance(value, list) and not all(map(_is_scalar, value)):
        for index, item in enumerate(value):
            yield from _blocks(item, f"{path}[{index}]", level=level, depth=depth + 1)
    elif isinstance(value, list) and not path:
        yield from (Block("item", _scalar(item)) for item in value)
    else:
        yield from record([(path, _scalar(value))], level=level)


def _object(value: dict[str, Any], path: str, *, level: int, depth: int) -> Iterator[Block]:
    """Yield an object as one record; lists of objects in it follow under headings of their own."""
    fields: list[tuple[str, str]] = []
    lists: list[tuple[str, Any]] = []
    _flatten(value, path, fields, lists, depth)
    title = _title(value) if depth else ""
    if depth and title and lists:
        yield Block("heading", title, level=min(level, 6))
        level += 1
    if depth:
        yield from record(fields, level=min(level, 6), title=title)
    else:
        for name, text in fields:
            yield from record([(name, text)], level=level, title=name)
    for name, items in lists:
        yield from _blocks(items, name, level=level, depth=depth + 1)


def _flatten(
    value: dict[str, Any], path: str, fields: list[tuple[str, str]], lists: list[tuple[str, Any]], depth: int
) -> None:
    if depth > _MAX_DEPTH:
        raise UnreadableError(f"its values are nested deeper than {_MAX_DEPTH} levels")
    for key, item in value.items():
        own = f"{path}.{key}" if path else key
        if isinstance(item, dict):
            _flatten(item, own, fields, lists, depth + 1)
        elif isinstance(item, list) and not all(map(_is_scalar, item)):
            lists.append((own, item))
        else:
            fields.append((own, _scalar(item)))


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(text for text in map(_scalar, value) if text)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
