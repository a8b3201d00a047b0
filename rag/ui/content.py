"""What an answer says, whatever the format: on the page, in an exported file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

from rag.datatypes import Answer, Citation, Statement
from rag.ui.conversation import ERRORS, Turn

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_CELL_END = re.compile(r"(?:^|\s)\|(?:\s|$)")  # also of an empty first or last cell
_BULLET = re.compile(r"^(?:[-•*]|\d+[.)])\s+")


def printable(text: str) -> str:
    """Return ``text`` with U+FFFD for what no file of text can hold; the loaders let none of that through anyway."""
    return _UNPRINTABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return ``text`` with single spaces for all white space."""
    return " ".join(text.split())


def without_bullet(text: str) -> str:
    """Return the words of an item of a list."""
    return _BULLET.sub("", text)


def table_of(items: Sequence[Statement]) -> list[list[str]]:
    """Return the cells of a quoted table, its head first; empty where the items are no lines of the same cells."""
    rows = [_CELL_END.split(item.text) for item in items]
    is_table = len(rows) > 1 and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1
    return rows if is_table else []


def time_of(exported: datetime) -> str:
    """Return when a file was made, for its reader: ``2026-07-30 11:05 UTC``."""
    return f"{exported:%Y-%m-%d %H:%M %Z}".strip()


def trouble_of(turn: Turn) -> str:
    """Return the key of the words that say why a turn has no answer."""
    return turn.error if turn.error in ERRORS else "error"


def searched_for(answer: Answer) -> str:
    """Return what was searched for where that is not what was asked, else an empty text."""
    return answer.query if answer.query != answer.question else ""


def blocks_of(answer: Answer) -> Iterator[list[Statement]]:
    """Yield the statements of an answer: the items of one list together, any other one alone."""
    statements = [statement for statement in answer.statements if statement.text.strip()]
    if not statements and answer.text.strip():
        statements = [Statement(answer.text, "frame")]
    for items_of, run in groupby(statements, key=lambda one: one.citations if one.kind == "item" else None):
        if items_of is None:
            yield from ([statement] for statement in run)
        else:
            yield list(run)


def numbers_of(statement: Statement, answer: Answer) -> list[int]:
    """Return the numbers that a statement cites, in its order; none that the answer has no citation for."""
    known = {citation.n for citation in answer.citations}
    return [n for n in statement.citations if n in known]


def language_of(statement: Statement, answer: Answer) -> str:
    """Return the language of the first document that a statement cites; the answer's for one that cites nothing."""
    cited = [citation.language for citation in answer.citations if citation.n in statement.citations]
    return cited[0] if cited else answer.language


def origin_of(citation: Citation) -> list[str]:
    """Return the title and the headings above a quote, outermost first, each said once on one line."""
    parts = map(one_line, (citation.title, *citation.heading))
    return list(dict.fromkeys(part for part in parts if part)) or [citation.doc_id]
