"""Styles and running numbers of a Word file: which paragraph is a heading, which an item, and with what number."""

from __future__ import annotations

import re
from typing import Any

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_MAX_DEPTH = 16  # of styles based on styles; a circle ends here


def _value(element: Any, path: str) -> str | None:
    found = element.find(path) if element is not None else None
    return None if found is None else found.get(f"{_W}val")


def _integer(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


class Styles:
    """The paragraph styles of one document, looked up through what each is based on."""

    def __init__(self, root: Any) -> None:
        self._styles = {style.get(f"{_W}styleId"): style for style in root.iterchildren(f"{_W}style")}
        self._default = next(
            (
                style.get(f"{_W}styleId")
                for style in self._styles.values()
                if style.get(f"{_W}type") == "paragraph" and style.get(f"{_W}default") in ("1", "true")
            ),
            None,
        )

    def heading_level(self, properties: Any) -> int:
        """Return the level of the heading, 1 the outermost, 0 for any other paragraph.

        A level comes from the paragraph itself, or from the first style of its chain that has the built-in name
        ("heading 2", "Title") or an outline level. Names are the same in every language of Word.
        """
        level = _integer(_value(properties, f"{_W}outlineLvl"))
        if level is not None:
            return level + 1 if 0 <= level < 9 else 0
        for style in self._chain(properties):
            name = _value(style, f"{_W}name") or ""
            match = _HEADING.fullmatch(name)
            if match:
                return int(match.group(1))
            if name.lower() == "title":
                return 1
            level = _integer(_value(style, f"{_W}pPr/{_W}outlineLvl"))
            if level is not None:
                return level + 1 if 0 <= level < 9 else 0
        return 0

    def numbering(self, properties: Any) -> tuple[str, int] | None:
        """Return ``(numId, level)`` of a list item, the level 0-based; None for any other paragraph."""
        number, level = _value(properties, f"{_W}numPr/{_W}numId"), _value(properties, f"{_W}numPr/{_W}ilvl")
        for style in self._chain(properties):
            if number is None:
                number = _value(style, f"{_W}pPr/{_W}numPr/{_W}numId")
            if level is None:
                level = _value(style, f"{_W}pPr/{_W}numPr/{_W}ilvl")
        if number is None or number == "0":  # 0 takes a style's numbering away
            return None
        return number, max(0, _integer(level) or 0)

    def _chain(self, properties: Any) -> list[Any]:
        """Return the paragraph's style and those it is based on, nearest first."""
        name = _value(properties, f"{_W}pStyle") or self._default
        chain: list[Any] = []
        while name in self._styles and len(chain) < _MAX_DEPTH:
            chain.append(self._styles[name])
            name = _value(chain[-1], f"{_W}basedOn")
        return chain


class Numbering:
    """The running numbers of one document. Lists that share a definition share their count, as in Word."""

    def __init__(self, root: Any) -> None:
        self._definitions: dict[str, Any] = {}
        self._numbers: dict[str, Any] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._restarted: set[tuple[str, int]] = set()
        if root is not None:
            self._definitions = {node.get(f"{_W}abstractNumId"): node for node in root.iterchildren(f"{_W}abstractNum")}
            self._numbers = {node.get(f"{_W}numId"): node for node in root.iterchildren(f"{_W}num")}

    def marker(self, number: str, level: int) -> str:
        """Count one item and return its marker: ``"-"`` or a number such as ``"3."``; empty if none is shown."""
        node = self._numbers.get(number)
        abstract = _value(node, f"{_W}abstractNumId") if node is not None else None
        definition = self._definitions.get(abstract) if abstract is not None else None
        if definition is None or abstract is None:
            return ""
        shape = self._level(definition, level)
        form = _value(shape, f"{_W}numFmt") or "decimal"
        if form == "bullet":
            return "-"
        if form == "none":
            return ""
        counts = self._counts.setdefault(abstract, {})
        override = self._override(node, level)
        if override is not None and (number, level) not in self._restarted:
            self._restarted.add((number, level))
            counts[level] = override
        elif level in counts:
            counts[level] += 1
        else:
            start = _integer(_value(shape, f"{_W}start"))
            counts[level] = 1 if start is None else start
        for deeper in [other for other in counts if other > level]:
            del counts[deeper]
        return f"{counts[level]}."

    @staticmethod
    def _level(definition: Any, level: int) -> Any:
        for node in definition.iterchildren(f"{_W}lvl"):
            if node.get(f"{_W}ilvl") == str(level):
                return node
        return None

    @staticmethod
    def _override(node: Any, level: int) -> int | None:
        for change in node.iterchildren(f"{_W}lvlOverride"):
            if change.get(f"{_W}ilvl") == str(level):
                return _integer(_value(change, f"{_W}startOverride"))
        return None
