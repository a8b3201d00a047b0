"""Tell the language of a text: its script first, then letters and words, then an n-gram model.

Most languages here are told by their script. Arabic script is told apart by the letters that only Persian or Urdu
use and by very common words. Latin and Cyrillic script go to the naive Bayes n-gram model of Lui & Baldwin,
"langid.py: an off-the-shelf language identification tool" (ACL 2012), restricted to the languages that we can
stem or that have many readers; text too short for it is English unless its words say otherwise.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from rag.text.stopwords import QUESTION_WORDS, STOP_WORDS

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier  # type: ignore[import-untyped]

UNDETERMINED: Final = "und"

_RTL: Final = frozenset({"ar", "fa", "ur", "he", "ps", "sd", "ug", "yi", "ku", "dv"})

_LATIN: Final = frozenset(
    {"en", "fr", "de", "es", "it", "pt", "nl", "sv", "da", "no", "fi", "pl", "cs", "ro", "hu", "tr", "id", "vi", "sw"}
)
_CYRILLIC: Final = frozenset({"ru", "uk", "bg", "sr"})

# One alternative a script; the name is a language where the script has one main language.
_SCRIPTS: Final = {
    "Latin": "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u1e00-\u1eff\ufb00-\ufb06"
    "\uff21-\uff3a\uff41-\uff5a",
    "Arabic": "\u0620-\u064a\u066e-\u06d3\u06d5\u06ee-\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08c7"
    "\ufb50-\ufdfb\ufe76-\ufefc",
    "Cyrillic": "\u0400-\u052f",
    "he": "\u05d0-\u05ea\ufb1d-\ufb4f",
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "hi": "\u0900-\u0963\u0970-\u097f",
    "bn": "\u0980-\u09ff",
    "pa": "\u0a00-\u0a7f",
    "gu": "\u0a80-\u0aff",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "kn": "\u0c80-\u0cff",
    "ml": "\u0d00-\u0d7f",
    "si": "\u0d80-\u0dff",
    "th": "\u0e00-\u0e7f",
    "lo": "\u0e80-\u0eff",
    "my": "\u1000-\u109f",
    "ka": "\u10a0-\u10ff",
    "am": "\u1200-\u137f",
    "km": "\u1780-\u17ff",
    "hy": "\u0530-\u058f",
    "ko": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3",
    "kana": "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9d",
    "Han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f",
}
_RUN: Final = re.compile("|".join(f"(?P<{name}>[{letters}]+)" for name, letters in _SCRIPTS.items()))
# A word of these scripts is not set off by spaces; so many letters count as one word.
_LETTERS_A_WORD: Final = {"Han": 2, "kana": 3, "th": 5, "lo": 5, "my": 5, "km": 5}

_MARKS: Final = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u0300-\u036f\u200c-\u200f]+")
_URDU: Final = re.compile("[ٹڈڑںےہھۓۃ]")
_PERSIAN: Final = re.compile("[پچژگکی]")
_ARABIC: Final = re.compile("[ةىيكأإؤ]|\\bال")
_ARABIC_WORD: Final = re.compile("[\u0620-\u064a\u066e-\u06d3]+")

_SAMPLE: Final = 6_000  # characters looked at: as telling as the whole, and the time stays bounded
_SHORT: Final = 40  # below so many Latin letters the n-gram model is wrong too often


def direction(language: str) -> str:
    """Return ``"rtl"`` for a language written from right to left, ``"ltr"`` for every other code.

    Args:
        language: ISO 639-1 code, with or without a region (``"ar-EG"``); any case.
    """
    return "rtl" if language.lower().replace("_", "-").split("-")[0] in _RTL else "ltr"


def script(language: str) -> str:
    """Return a name of the script that ``language`` is written in; equal names, equal script."""
    if language in _LATIN:
        return "Latin"
    if language in _CYRILLIC:
        return "Cyrillic"
    return "Arabic" if language in ("ar", "fa", "ur") else language


def detect_language(text: str) -> str:
    """Return the language that most of ``text`` is written in.

    In mixed text a script other than Latin wins from a third of the words on: an Arabic question about
    "social media marketing" is Arabic. Long text is judged by its beginning, middle and end.

    Args:
        text: Any text.

    Returns:
        ISO 639-1 code, or ``"und"`` if the text has no letters of a known script.
    """
    if len(text) > 3 * _SAMPLE:
        middle = len(text) // 2
        text = " ".join((text[:_SAMPLE], text[middle : middle + _SAMPLE], text[-_SAMPLE:]))
    text = _MARKS.sub("", text)
    words: Counter[str] = Counter()
    for match in _RUN.finditer(text):
        script = match.lastgroup or ""
        letters = match.end() - match.start()
        words[script] += -(-letters // _LETTERS_A_WORD.get(script, letters))
    if not words:
        return UNDETERMINED
    kana = words.pop("kana", 0)
    if kana:
        words["ja"] = kana + words.pop("Han", 0)
    total = words.total()
    others = [(count, script) for script, count in words.items() if script != "Latin"]
    script = max(others)[1] if others and 3 * max(others)[0] >= total else words.most_common(1)[0][0]
    if script == "Arabic":
        return _of_arabic_script(text)
    if script == "Han":
        return "zh"
    if script == "Latin":
        return _of_latin_script(text)
    if script == "Cyrillic":
        return _classify(text, _CYRILLIC) if words["Cyrillic"] >= 3 else "ru"
    return script


def _of_arabic_script(text: str) -> str:
    words = Counter(_ARABIC_WORD.findall(text))

    def common(language: str) -> int:
        return sum(words[word] for word in STOP_WORDS[language] if word in words)

    shared = len(_PERSIAN.findall(text))
    urdu = len(_URDU.findall(text))
    scores = {
        "ar": len(_ARABIC.findall(text)) + 2 * common("ar"),
        "fa": 2 * shared + 2 * common("fa"),
        "ur": (2 * shared if 50 * urdu >= len(text) else 0) + 4 * urdu + 2 * common("ur"),
    }
    return max(scores, key=lambda language: scores[language])  # "ar" where all are equal


def _of_latin_script(text: str) -> str:
    text = " ".join(word for word in text.split() if not ("://" in word or "@" in word or word.startswith("www.")))
    words = re.findall(r"[^\W\d_]+", text.casefold())
    common = Counter({language: sum(word in vocabulary for word in words) for language, vocabulary in _COMMON.items()})
    (best, most), (_, second) = common.most_common(2)
    if sum(map(len, words)) >= _SHORT:
        return best if most >= second + 2 else _classify(text, _LATIN)
    if most > second:
        return best
    # Names and bare key words are read as English, unless English has no such letters.
    return "en" if text.isascii() or most > 0 and common["en"] == most else _classify(text, _LATIN)


_COMMON: Final = {
    language: STOP_WORDS[language] | QUESTION_WORDS.get(language, frozenset())
    for language in STOP_WORDS
    if language in _LATIN
}


@functools.cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # the model loads slowly

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(sorted(_LATIN | _CYRILLIC))
    return identifier


def _classify(text: str, languages: frozenset[str]) -> str:
    ranking = _identifier().rank(text)
    return next(str(language) for language, _ in ranking if language in languages)
