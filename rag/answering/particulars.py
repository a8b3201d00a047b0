"""The particulars of a question: years, places and names that a text must speak of to answer it.

"What share of Egypt's people is on social networks" is about Egypt: a sentence about Spain does not answer it, however
near it is in every other way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from rag.text import analyze, fold_text
from rag.text.analyzers import Token
from rag.text.places import Name, place_at

_YEAR = re.compile(r"1[0-9]{3}|20[0-9]{2}")
_LEAST_LETTERS = 3
_FORM = 5  # first letters that "American" and "America" have in common
_SENTENCE_END = re.compile(r"[.!?:]")


@dataclass(frozen=True, slots=True)
class Particular:
    """A year, a place or a name: its index terms in the question, and what else a place is called."""

    terms: Name
    others: frozenset[Name] = frozenset()

    def is_named(self, found: set[str], holds: Callable[[str], bool]) -> bool:
        """Tell whether a text speaks of it.

        Args:
            found: The terms of the text.
            holds: Tells whether a term of the question is among them, in whatever language.
        """
        if any(name and found.issuperset(name) for name in self.others) or any(map(holds, self.terms)):
            return True
        openings = tuple(
            term[:_FORM] for term in self.terms if len(term) >= _FORM and term.isascii() and term.isalpha()
        )
        return bool(openings) and any(term.startswith(openings) for term in found)


def particulars(text: str, language: str) -> list[Particular]:
    """Return the particulars of a question.

    Years; countries and large cities; what is written in Latin letters as a name is. Acronyms are none: a text may
    spell them out.

    Args:
        text: The question.
        language: ISO 639-1 code of it.
    """
    tokens = analyze(text, language)
    surfaces = [text[token.start : token.end] for token in tokens]
    words = [fold_text(surface) for surface in surfaces]
    is_headline = sum(word[0].isupper() for word in surfaces) * 2 > len(surfaces)  # Every Word Of It
    found: list[Particular] = []
    at = 0
    while at < len(tokens):
        n, others = place_at(words, at)
        if not n:
            n = int(bool(_YEAR.fullmatch(tokens[at].term))) or _name_at(text, tokens, at, language, is_headline)
        if n:
            found.append(Particular(tuple(token.term for token in tokens[at : at + n]), others))
        at += max(n, 1)
    return found


def _name_at(text: str, tokens: list[Token], at: int, language: str, is_headline: bool) -> int:
    """Return how many words from one on are a name in Latin letters."""
    for number in range(at, len(tokens)):
        word = text[tokens[number].start : tokens[number].end]
        is_first = number == 0 or _SENTENCE_END.search(text, tokens[number - 1].end, tokens[number].start)
        has_capital = word[0].isupper() and not (language == "en" and (is_first or is_headline))
        is_word = word.isascii() and word.isalpha() and len(word) >= _LEAST_LETTERS and not word.isupper()
        if not is_word or not (has_capital or not word[1:].islower()):
            return number - at
    return len(tokens) - at
