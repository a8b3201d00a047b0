"""Names of countries and large cities, in Arabic and English: ``places.tsv``, from the Unicode Consortium's CLDR."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from rag.text.analyzers import terms
from rag.text.fold import fold_text

_FILE = Path(__file__).parent / "places.tsv"
_PREFIX = re.compile(r"[وف]?(?:[بكل]?ال|لل|[بكل])?")
_LONGEST = 4  # words of a name


@lru_cache(maxsize=1)
def _names() -> tuple[frozenset[tuple[str, ...]], frozenset[str]]:
    """Return the names as folded words, without the Arabic article, and the stems that mean nothing else."""
    found: set[tuple[str, ...]] = set()
    stems: set[str] = set()
    for line in _FILE.read_text("utf-8").splitlines():
        arabic, english, has_forms = line.split("\t")
        found |= {tuple(fold_text(english).split()), tuple(fold_text(arabic).removeprefix("ال").split())}
        if has_forms == "1":
            stems.update(terms(arabic, "ar"))
    return frozenset(found), frozenset(stems)


def place_at(words: list[str], at: int) -> int:
    """Return how many words from one on name a place; 0 if none do.

    Args:
        words: Folded (`rag.text.fold`); an Arabic one may have particles before it.
        at: Where to look, in [0, len(words)).
    """
    names, stems = _names()
    first = words[at]
    openings = {first, *(first[match.end() :] for match in [_PREFIX.match(first)] if match)}
    for n in range(min(_LONGEST, len(words) - at), 0, -1):
        if any((opening, *words[at + 1 : at + n]) in names for opening in openings):
            return n
    return int(not first.isascii() and not stems.isdisjoint(terms(first, "ar")))
