"""What a file says of itself beside its title: author, date, tags and the like.

A list becomes one string, its items joined by ``", "``; `rag.loaders.blocks.bounded` does the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import yaml  # type: ignore[import-untyped]

from rag.loaders.blocks import one_line

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_MAX_YAML_CHARACTERS = 20_000
_LINE = re.compile(r"^([^\W\d][\w .-]{0,63}?)[ \t]*:(?:[ \t]+(.*))?$", re.MULTILINE)
_PDF_DAY = re.compile(r"(?:D:)?(\d{4})(?:(\d{2})(?:(\d{2}))?)?")


def split_front_matter(text: str) -> tuple[str, dict[str, str], str]:
    r"""Cut a YAML front matter off the beginning of a text.

    What stands between two lines ``---`` is front matter only if it consists of keys and values: two rules with prose
    between them are part of the text.

    Args:
        text: With ``\n`` as its one kind of newline.

    Returns:
        ``(title, metadata, rest)``; empty, empty and the whole text where there is no front matter.
    """
    front = _FRONT_MATTER.match(text)
    found = _members(front[1]) if front else None
    if front is None or found is None:
        return "", {}, text
    members = {key.casefold(): value for key, value in reversed(found.items())}
    return members.pop("title", ""), dict(reversed(members.items())), text[front.end() :]


def joined(items: Iterable[str]) -> str:
    """Return a list as one value: its items that are not blank, each once, joined by ``", "``."""
    return ", ".join(dict.fromkeys(item for item in map(one_line, items) if item))


def pdf_day(date: str) -> str:
    """Return the day of a PDF date such as ``D:20260131120000+02'00'``; a shorter one as year or month; else empty."""
    found = _PDF_DAY.match(date.strip())
    return "-".join(part for part in found.groups() if part) if found else ""


def _members(block: str) -> dict[str, str] | None:
    """Return the members of a front matter that are text or lists of text; None if it is no mapping."""
    try:
        if len(block) > _MAX_YAML_CHARACTERS:
            raise yaml.YAMLError("too long to be parsed in reasonable time")
        # This loader leaves every scalar the string that was written, and can make nothing but dict, list and str.
        loaded = yaml.load(block, Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        # Often no more than a title with a colon in it: read the lines that are a key and a value.
        return {key: (value or "").strip().strip("\"'") for key, value in _LINE.findall(block)} or None
    if not isinstance(loaded, dict):
        return None
    members: dict[str, str] = {}
    for key, value in loaded.items():
        if isinstance(key, str) and isinstance(value, str):
            members[key] = value
        elif isinstance(key, str) and isinstance(value, list):
            members[key] = joined(item for item in value if isinstance(item, str))
    return members
