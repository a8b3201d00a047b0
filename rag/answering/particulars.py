"""The particulars of a question: years, places and names that a text must speak of to answer it.

"What share of Egypt's people is on social networks" is about Egypt: a sentence about Spain does not answer it, however
near it is in every other way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from rag.text import analyze, fold_text
from rag.text.analyzers import Token, content_terms
from rag.text.places import place_at

_YEAR = re.compile(r"1[0-9]{3}|20[0-9]{2}")
_LEAST_LETTERS = 3
_SENTENCE_END = re.compile(r"[.!?:]")
_MAY_BE_NAME = re.compile(r"[^\W\d_a-zايتن]\w{2,}")  # one that begins so may be a verb: أكتب يكتب تكتب نكتب


def particulars(text: str, language: str, is_known: Callable[[str], bool]) -> list[tuple[str, ...]]:
    """Return the particulars of a question, each as its index terms.

    Years; countries and large cities; in Latin letters what is written as a name is; in Arabic, which has no capitals,
    words that are nowhere known. Acronyms are none: a text may spell them out.

    Args:
        text: The question.
        language: ISO 639-1 code of it.
        is_known: Tells whether a term is in the index or the dictionary.
    """
    tokens = analyze(text, language)
    words = [fold_text(text[token.start : token.end]) for token in tokens]
    content = set(content_terms(text, language))
    surfaces = [text[token.start : token.end] for token in tokens]
    is_headline = sum(word[0].isupper() for word in surfaces) * 2 > len(surfaces)  # Every Word Of It
    found: list[tuple[str, ...]] = []
    at = 0
    while at < len(tokens):
        n = place_at(words, at)
        if not n and _YEAR.fullmatch(tokens[at].term):
            n = 1
        if not n:
            names = _names_from(text, tokens, at, language, is_headline=is_headline)
            n = sum(1 for _ in names)
        if not n and tokens[at].term in content and _MAY_BE_NAME.fullmatch(words[at]):
            n = int(not is_known(tokens[at].term))
        if n:
            found.append(tuple(token.term for token in tokens[at : at + n]))
        at += max(n, 1)
    return found


def _names_from(text: str, tokens: list[Token], at: int, language: str, *, is_headline: bool) -> Iterator[str]:
    """Yield the words of a name in Latin letters that begins at a token."""
    for number in range(at, len(tokens)):
        word = text[tokens[number].start : tokens[number].end]
        if not (word.isascii() and word.isalpha() and len(word) >= _LEAST_LETTERS) or word.isupper():
            return
        is_first = number == 0 or _SENTENCE_END.search(text, tokens[number - 1].end, tokens[number].start)
        has_capital = word[0].isupper() and not (language == "en" and (is_first or is_headline))
        if not has_capital and word[1:].islower():
            return
        yield word
