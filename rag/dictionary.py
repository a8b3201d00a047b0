"""Which Arabic terms stand for which English ones, and the other way round.

A statistical dictionary over the terms of `rag.text.analyzers`, learnt from parallel text by
``training/dictionary.py``; with it BM25 finds passages in the other language. The file has one line for each
Arabic term: the term, then for each English term ``TERM P Q``, all separated by tabs, where P is
100 p(English | Arabic) and Q is 100 p(Arabic | English), both whole numbers; 0 says that the pair does not count
in that direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

DEFAULT_DICTIONARY = Path(__file__).parent / "models" / "dictionary" / "ar-en.tsv"

Translations = tuple[tuple[str, float], ...]


class Dictionary:
    """Translations of single terms between Arabic and English. Immutable.

    Args:
        entries: ``(Arabic term, English term, p(English | Arabic), p(Arabic | English))``; a probability of 0
            leaves that direction out.
    """

    def __init__(self, entries: Iterable[tuple[str, str, float, float]]) -> None:
        found: dict[tuple[str, str], dict[str, list[tuple[str, float]]]] = {("ar", "en"): {}, ("en", "ar"): {}}
        for arabic, english, to_english, to_arabic in entries:
            if to_english > 0:
                found["ar", "en"].setdefault(arabic, []).append((english, to_english))
            if to_arabic > 0:
                found["en", "ar"].setdefault(english, []).append((arabic, to_arabic))
        self._translations: dict[tuple[str, str], Mapping[str, Translations]] = {
            pair: {term: tuple(sorted(options, key=lambda o: (-o[1], o[0]))) for term, options in terms.items()}
            for pair, terms in found.items()
        }

    @classmethod
    def load(cls, path: Path = DEFAULT_DICTIONARY) -> Dictionary:
        """Read a dictionary file.

        Raises:
            ValueError: A line is not of the form above.
        """
        entries = []
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            arabic, *rest = line.split("\t")
            if not rest or len(rest) % 3:
                raise ValueError(f"{path}, line {number}: a term and then groups of three are wanted, got {line!r}")
            for english, to_english, to_arabic in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
                entries.append((arabic, english, int(to_english) / 100, int(to_arabic) / 100))
        return cls(entries)

    def __len__(self) -> int:
        """Return the number of terms that have a translation, of both languages together."""
        return sum(len(terms) for terms in self._translations.values())

    def covers(self, source: str, target: str) -> bool:
        """Say whether there are translations from language ``source`` into ``target``."""
        return (source, target) in self._translations

    def translate(self, term: str, source: str, target: str) -> list[tuple[str, float]]:
        """Return what a term may be in another language, the likeliest first.

        Args:
            term: A term of `rag.text.analyzers` in the language ``source``.
            source: ISO 639-1 code.
            target: ISO 639-1 code.

        Returns:
            ``(term, p)`` with p in (0, 1], summing to at most about 1; the term itself where both languages are
            the same; empty where it is not known.
        """
        if source == target:
            return [(term, 1.0)]
        return list(self._translations.get((source, target), {}).get(term, ()))


@lru_cache(maxsize=1)
def default_dictionary() -> Dictionary:
    """Return the shipped dictionary, read once."""
    return Dictionary.load()
