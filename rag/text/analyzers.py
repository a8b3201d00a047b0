"""Turn text into index terms, each with its place in the original text.

Every word is folded (:mod:`rag.text.fold`) and stemmed by its own script: a Latin word inside Arabic text gets the
English stemmer. Arabic gets light stemming after Larkey, Ballesteros & Connell, "Light stemming for Arabic
information retrieval" (2007); other languages the Snowball stemmers (M. F. Porter, snowballstem.org); scripts that
do not set words apart, character bigrams, as in Lucene's CJKBigramFilter.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

import snowballstemmer  # type: ignore[import-untyped]

from rag.text.fold import fold, fold_text
from rag.text.stopwords import QUESTION_WORDS, STOP_WORDS

_LONGEST_WORD: Final = 40  # longer runs are no words: cut, neither stemmed nor cached

_ARABIC: Final = "\u0620-\u063f\u0641-\u064a\u066e-\u06d3\u06d5\u06ee-\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08c7"
_UNSPACED: Final = (
    "\u0e00-\u0e3a\u0e40-\u0e4e\u0e80-\u0ece\u1000-\u104f\u1780-\u17d3\u3005-\u3007\u3041-\u309c\u30a1-\u30ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003134f"
)
_INDIC: Final = "\u0900-\u0963\u0970-\u0dff"  # \w leaves out their vowel signs
_TOKEN: Final = re.compile(
    r"(?P<number>\d+(?:[.,]\d+)*)"
    f"|(?P<arabic>[{_ARABIC}]+)"
    f"|(?P<unspaced>[{_UNSPACED}]+)"
    f"|(?P<word>(?:(?![{_ARABIC}{_UNSPACED}])[^\\W_]|[{_INDIC}])+"
    f"(?:'(?:(?![{_ARABIC}{_UNSPACED}])[^\\W\\d_])+)*)"
)
_THOUSANDS: Final = re.compile(r",(?=\d{3}(?!\d))")

# Language to Snowball algorithm. The stemmers of these languages know accents, so they see the word before folding.
_SNOWBALL: Final = {
    "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "es": "spanish", "et": "estonian",
    "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch",
    "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
_SCRIPT_LANGUAGES: Final = (  # the language of a word whose script is not that of its text
    (re.compile("[a-z\u00df-\u024f\u1e00-\u1eff]"), "en", frozenset("en fr de es it pt nl sv da no fi pl cs ro hu tr id"
     " vi sw ca et eu ga lt sr".split())),
    (re.compile("[\u0400-\u052f]"), "ru", frozenset({"ru", "uk", "bg", "sr"})),
    (re.compile("[\u0900-\u097f]"), "hi", frozenset({"hi", "ne", "mr"})),
    (re.compile("[\u0370-\u03ff\u1f00-\u1fff]"), "el", frozenset({"el"})),
    (re.compile("[\u0590-\u05ff]"), "he", frozenset({"he", "yi"})),
)  # fmt: skip


class Token(NamedTuple):
    """An index term and the span of the original text that it came from."""

    term: str
    start: int
    end: int


def analyze(text: str, language: str) -> list[Token]:
    """Cut ``text`` into index terms.

    Args:
        text: Any text.
        language: ISO 639-1 code of the text; it picks the stemmer for words of its script. ``"und"`` is fine.

    Returns:
        Tokens in text order; ``text[token.start:token.end]`` is the word as the reader sees it, with its
        diacritics. Bigrams of scripts without spaces overlap.
    """
    folded = fold(text)
    tokens: list[Token] = []
    for match in _TOKEN.finditer(folded.text):
        start, end = match.span()
        if match.lastgroup == "unspaced":
            for first in range(start, max(end - 1, start + 1)):
                last = min(first + 2, end)
                tokens.append(Token(folded.text[first:last], *folded.to_original(first, last)))
            continue
        original = folded.to_original(start, end)
        word = match[0]
        if match.lastgroup == "number":
            term = _THOUSANDS.sub("", word)
        elif match.lastgroup == "arabic" and language not in ("fa", "ur"):
            term = _stem_arabic(word[:_LONGEST_WORD])
        else:
            term = _stem(word, text[slice(*original)] if language in _SNOWBALL else word, language)
        tokens.append(Token(term, *original))
    return tokens


def whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen ``text[start:end]`` to the words and numbers it begins and ends in; scripts without spaces stay as cut."""
    folded = fold(text)
    spans = [folded.to_original(*m.span()) for m in _TOKEN.finditer(folded.text) if m.lastgroup != "unspaced"]
    inside = [span for span in spans if span[0] < end and start < span[1]]
    return (min(start, inside[0][0]), max(end, inside[-1][1])) if inside else (start, end)


def terms(text: str, language: str) -> list[str]:
    """Return the terms of :func:`analyze` alone, faster where the language needs no map to the original."""
    if language in _SNOWBALL:
        return [token.term for token in analyze(text, language)]
    return [term for _, term in _folded_terms(text, language)]


def content_terms(question: str, language: str) -> list[str]:
    """Return the terms of a question that say what it is about.

    Function words, question words and phrases of asking are left out, in Modern Standard Arabic, the large Arabic
    dialects and English in full, in other languages as far as :mod:`rag.text.stopwords` lists them.

    Args:
        question: The question as typed.
        language: ISO 639-1 code of the question.

    Returns:
        Terms as :func:`terms` makes them, in question order, each once. Empty if the question asks about nothing
        ("what is it?").
    """
    found: dict[str, None] = {}
    for token in analyze(question, language):
        word = fold_text(question[token.start : token.end])
        spoken_in = _language_of(word, language)
        if not _is_stop_word(word, spoken_in):
            found[token.term] = None
    return list(found)


def _folded_terms(text: str, language: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(fold_text(text)):
        kind, word = match.lastgroup, match[0]
        if kind == "arabic" and language not in ("fa", "ur"):
            yield word, _stem_arabic(word[:_LONGEST_WORD])
        elif kind == "number":
            yield word, _THOUSANDS.sub("", word)
        elif kind == "unspaced":
            for first in range(max(len(word) - 1, 1)):
                yield word[first : first + 2], word[first : first + 2]
        else:
            yield word, _stem(word, word, language)


def _language_of(word: str, language: str) -> str:
    """Return the language to read a folded word in: the text's if the scripts agree, else its script's."""
    if "\u0600" <= word[0] <= "\u08ff":
        return language if language in ("fa", "ur") else "ar"
    for letters, default, languages in _SCRIPT_LANGUAGES:
        if letters.match(word):
            return language if language in languages else default
    return language


@functools.cache
def _stop_words(language: str) -> frozenset[str]:
    return frozenset(
        fold_text(word) for word in STOP_WORDS.get(language, frozenset()) | QUESTION_WORDS.get(language, frozenset())
    )


def _is_stop_word(word: str, language: str) -> bool:
    stop_words = _stop_words(language)
    if word in stop_words:
        return True
    # Arabic writes "and" and "so" onto the next word: "and what", "so who".
    return language == "ar" and len(word) > 2 and word[0] in "وف" and word[1:] in stop_words


def _stem(word: str, original: str, language: str) -> str:
    if len(word) > _LONGEST_WORD:
        return word[:_LONGEST_WORD]
    language = _language_of(word, language)
    return _stem_english(word) if language == "en" else _stem_snowball(original, language)


@functools.cache
def _snowball(algorithm: str) -> snowballstemmer.stemmer:
    return snowballstemmer.stemmer(algorithm)


@functools.lru_cache(maxsize=1 << 16)
def _stem_english(word: str) -> str:
    return str(_snowball("english").stemWord(word))


@functools.lru_cache(maxsize=1 << 16)
def _stem_snowball(original: str, language: str) -> str:
    if language not in _SNOWBALL:
        return fold_text(original)
    if language == "tr":
        original = original.replace("İ", "i").replace("I", "ı")
    word = unicodedata.normalize("NFKC", original).casefold()
    return fold_text(str(_snowball(_SNOWBALL[language]).stemWord(word))) or fold_text(original)


@functools.lru_cache(maxsize=1 << 16)
def _stem_arabic(word: str) -> str:
    """Light10 of Larkey, Ballesteros & Connell (2007), on a folded word."""
    if len(word) > 3 and word[0] == "و":
        word = word[1:]
    for prefix in ("ال", "وال", "بال", "كال", "فال", "لل"):
        if word.startswith(prefix) and len(word) - len(prefix) >= 2:
            word = word[len(prefix) :]
            break
    for suffix in ("ها", "ان", "ات", "ون", "ين", "يه", "ه", "ي"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 2:
            word = word[: -len(suffix)]
    return word
