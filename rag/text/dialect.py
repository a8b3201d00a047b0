"""Spoken Arabic and loanwords in a question, said the way a document would write them.

People ask in dialect, and documents answer in Modern Standard Arabic: neither keyword search nor a small embedder sees
that «الأكاونت مضروب» is «الحساب مزيف». ``dialect.tsv`` is a lexicon of ours for Egyptian, Levantine, Gulf, Iraqi and
Maghrebi words and for loanwords: forms, what a document writes (``-`` for nothing, ``=`` for a standard word that only
looks like a form with something in front), and how sure that is.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rag.text.fold import fold_text

LEXICON = Path(__file__).with_name("dialect.tsv")

_NOTHING, _KEPT = "-", "="
_WORD = re.compile(
    r"[\u0610-\u061a\u0620-\u065f\u066e-\u06d3\u06d5-\u06dc\u06df-\u06e8\u06ea-\u06ef\u06fa-\u06ff\u0750-\u077f]+"
)
_LONGEST = 3  # words of a phrase
_ARTICLE = "ال"
# What Arabic writes onto the front of a word, longest first, and what goes in front of the new word.
_FRONT = {
    "وبال": "وبال", "ولل": "ولل", "فبال": "فبال", "وال": "وال", "فال": "فال", "بال": "بال", "كال": "كال", "لل": "لل",
    "عال": "على ال", "هال": "هذا ال", "ال": "ال", "و": "و", "ف": "ف", "ب": "ب", "ل": "ل",
}  # fmt: skip


class _Entry(NamedTuple):
    """What a document writes for a form, and its tier: ``sure`` shows a spoken question, which ``maybe`` needs."""

    written: str
    tier: str


@cache
def _lexicon() -> dict[str, _Entry]:
    """Return the entries by folded form, words apart by one space."""
    found: dict[str, _Entry] = {}
    for line in LEXICON.read_text("utf-8").splitlines():
        forms, written, tier = line.split("\t")
        for form in forms.split(" | "):
            found.setdefault(" ".join(fold_text(form).split()), _Entry(written, tier))
    return found


def in_standard_arabic(query: str) -> str:
    """Return a query with spoken words and loanwords as Modern Standard Arabic writes them; the rest as it is.

    A form that is a standard word too, such as «حد», is read as spoken only where another word of the query is surely
    spoken. Words that say nothing to a search, such as «بتاع», are left out, but never all of them.
    """
    spans = [match.span() for match in _WORD.finditer(query)]
    if not spans:
        return query
    words = [fold_text(query[start:end]) for start, end in spans]
    found: list[tuple[int, int, _Entry, str]] = []  # first word, one past the last, entry, what stands in front
    at = 0
    while at < len(words):
        size, entry, front = _look_up(words, at)
        if entry is not None:
            found.append((at, at + size, entry, front))
        at += size
    is_spoken = any(entry.tier == "sure" for _, _, entry, _ in found)
    pieces, last = [], 0
    for first, beyond, entry, front in found:
        if entry.written == _KEPT or (entry.tier == "maybe" and not is_spoken):
            continue
        pieces += [query[last : spans[first][0]], "" if entry.written == _NOTHING else _joined(front, entry.written)]
        last = spans[beyond - 1][1]
    standard = " ".join("".join([*pieces, query[last:]]).split())
    return standard if re.search(r"\w", standard) else query


def _look_up(words: list[str], at: int) -> tuple[int, _Entry | None, str]:
    """Return how many words from ``at`` are one form, its entry, and what is written onto its front."""
    lexicon = _lexicon()
    for size in range(min(_LONGEST, len(words) - at), 0, -1):
        form = " ".join(words[at : at + size])
        if form in lexicon:
            return size, lexicon[form], ""
        for front, written in _FRONT.items():
            if form.startswith(front) and len(form) - len(front) > 2 and form[len(front) :] in lexicon:
                return size, lexicon[form[len(front) :]], written
    return 1, None, ""


def _joined(front: str, written: str) -> str:
    """Put what stood in front of a form in front of what is written for it; an article once, and on one word only."""
    if front.endswith(_ARTICLE) and (written.startswith(_ARTICLE) or " " in written):
        return front.removesuffix(_ARTICLE) + written
    if front == "ل" and written.startswith(_ARTICLE):
        return "لل" + written.removeprefix(_ARTICLE)
    return front + written
