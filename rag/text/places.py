"""Names of countries and large cities, in Arabic and English: ``places.tsv``, from the Unicode Consortium's CLDR."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from rag.text.analyzers import terms
from rag.text.fold import fold_text

_FILE = Path(__file__).parent / "places.tsv"
_PREFIX = re.compile(r"[وف]?(?:[بكل]?ال|لل|[بكل])?")
_LONGEST = 4  # words of a name

Name = tuple[str, ...]  # its index terms


@lru_cache(maxsize=1)
def _table() -> tuple[Mapping[Name, frozenset[Name]], Mapping[str, frozenset[Name]]]:
    """Return what else a place is called, by its name in folded words, and by the stem of one that means nothing else.

    Arabic names stand there without the article.
    """
    rows = [line.split("\t") for line in _FILE.read_text("utf-8").splitlines()]
    of: defaultdict[str, set[Name]] = defaultdict(set)  # names in the other language, and with them the own one
    for arabic, english, _ in rows:
        own = {tuple(terms(arabic, "ar")), tuple(terms(english, "en"))}
        of[arabic] |= own
        of[english] |= own
    words: defaultdict[Name, set[Name]] = defaultdict(set)
    stems: defaultdict[str, set[Name]] = defaultdict(set)
    for arabic, english, has_forms in rows:
        names = of[arabic] | of[english]
        words[tuple(fold_text(english).split())] |= names
        words[tuple(fold_text(arabic).removeprefix("ال").split())] |= names
        if has_forms == "1":
            stems[terms(arabic, "ar")[0]] |= names
    return (
        {key: frozenset(value) for key, value in words.items()},
        {key: frozenset(value) for key, value in stems.items()},
    )


def place_at(words: list[str], at: int) -> tuple[int, frozenset[Name]]:
    """Return how many words from one on name a place, 0 if none do, and the names of that place in both languages.

    Args:
        words: Folded (`rag.text.fold`); an Arabic one may have particles before it.
        at: Where to look, in [0, len(words)).
    """
    names, stems = _table()
    first = words[at]
    openings = {first, *(first[match.end() :] for match in [_PREFIX.match(first)] if match)}
    for n in range(min(_LONGEST, len(words) - at), 0, -1):
        for opening in sorted(openings):
            if found := names.get((opening, *words[at + 1 : at + n])):
                return n, found
    if not first.isascii():
        for stem in terms(first, "ar"):
            if found := stems.get(stem):
                return 1, found
    return 0, frozenset()
