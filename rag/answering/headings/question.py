"""One heading, one question: its parts told, the title's subject added where it cannot stand alone."""

from __future__ import annotations

import dataclasses
import functools
import re
from dataclasses import dataclass
from types import ModuleType

from rag.answering.headings import arabic, english
from rag.answering.headings.cleaning import MAX_WORDS, Topic, Wording, clean, is_usable, shares_term
from rag.answering.headings.meaning import says_what
from rag.text import fold_text

LAST_RESORT = 3  # the worst grade
_LANGUAGES: dict[str, ModuleType] = {"ar": arabic, "en": english}
_ABOUT = {"ar": "ماذا تقول المستندات عن {}؟", "en": "What do the documents say about {}?"}
_FEWEST_WORDS = 3  # of a question in another language
_YES_NO = re.compile(r"(?:هل|Is|Are|Was|Were|Do|Does|Did|Can(?! you explain)|Could|Should|Will|Has|Have)\b")
_CAPITALISED = re.compile(r"(?<![\w'])[A-Z][\w'-]*")


@dataclass(frozen=True, slots=True)
class Casing:
    """How a document writes its words within sentences: ``small`` ones, and ``proper`` ones with a capital."""

    small: frozenset[str] = frozenset()
    proper: frozenset[str] = frozenset()

    @classmethod
    def of(cls, text: str) -> Casing:
        """Read it off running text, headings left out."""
        small = frozenset(re.findall(r"(?<![\w'])[a-z][\w'-]*", text))
        proper = frozenset(re.findall(r"(?<=[a-z,] )[A-Z][\w'-]*", text))
        return cls(small, proper)

    def running(self, text: str) -> str:
        """Return a heading as it would stand within a sentence: capitals that only mark a heading become small."""

        def lower(match: re.Match[str]) -> str:
            word = match[0]
            is_marked = word[1:].islower() or len(word) == 1 or (text.isupper() and " " in text)
            is_small = word.lower() in self.small or (match.start() == 0 and word not in self.proper)
            return word.lower() if is_marked and is_small else word

        return _CAPITALISED.sub(lower, text)


def question_of_heading(
    heading: str, title: str, language: str, *, body: str = "", casing: Casing | None = None
) -> Wording | None:
    """Return a question that a section answers, made of its heading.

    Args:
        heading: The heading as the document has it; the document's title, where it is about the whole document.
        title: The document's title.
        language: The document's language. Of other languages than Arabic and English only questions are taken.
        body: How the section begins; what a name means is asked only where this says it.
        casing: How the document writes its words.

    Returns:
        The question in the document's language with one question mark, and how well it reads; None where the heading
        says too little, is too long, or makes no question that reads well.
    """
    if language not in _LANGUAGES:
        text = clean(heading)
        is_asking = text.endswith(("?", "؟")) and is_usable(text) and len(text.split()) >= _FEWEST_WORDS
        return Wording(text, 1) if is_asking else None
    is_defined = bool(body) and says_what(_part(heading, language), body, language)
    return _worded(heading, title, language, is_defined=is_defined, casing=casing or Casing())


@functools.lru_cache(maxsize=1 << 12)
def _worded(heading: str, title: str, language: str, *, is_defined: bool, casing: Casing) -> Wording | None:
    is_title = fold_text(heading) == fold_text(title)
    text = _part(heading, language)
    if not text:
        return None
    topic = _topic(title, language, casing)
    found: Wording | None = _LANGUAGES[language].wording(
        casing.running(text), topic, is_title=is_title, is_defined=is_defined
    )
    if found is None:
        whole = about_heading(heading, title, language, casing) if is_title and not topic.is_document else None
        return Wording(whole, LAST_RESORT) if whole else None
    worse = int(not is_title and not shares_term(found.text, title)) + int(_YES_NO.match(found.text) is not None)
    return dataclasses.replace(found, grade=min(found.grade + worse, LAST_RESORT))


@functools.lru_cache(maxsize=1 << 10)
def about_heading(heading: str, title: str, language: str, casing: Casing | None = None) -> str | None:
    """Return a question on what the documents say about the subject of a heading; None where it names none.

    A heading that is itself a question is taken as `question_of_heading` words it. Takes what that does.
    """
    made = _LANGUAGES.get(language)
    text = _part(heading, language)
    if made is None or (text and made.is_question(text)):
        found = question_of_heading(heading, title, language, casing=casing)
        return found.text if found else None
    if not text:
        return None
    casing = casing or Casing()
    topic = Topic() if fold_text(heading) == fold_text(title) else _topic(title, language, casing)
    subject = made.about(casing.running(text), topic)
    return _ABOUT[language].format(subject) if subject and len(subject.split()) <= MAX_WORDS + 2 else None


def _part(heading: str, language: str) -> str:
    """Return what of a heading is made a question: what stands before its colon, or a question after it; else ""."""
    text = clean(heading)
    if language == "ar":
        text = arabic.inner_question(text)
    is_arabic = re.search("[\u0621-\u064a]", text) is not None  # told by the script: quick, and enough for a heading
    if is_arabic != (language == "ar") and not (text.isascii() and len(text.split()) <= 2):
        return ""
    first, _, after = (part.strip() for part in text.partition(":"))
    if after.endswith(("?", "؟")) and not is_usable(first) and _LANGUAGES[language].is_question(after):
        first = after
    return first if is_usable(first) else ""


@functools.lru_cache(maxsize=1 << 9)
def _topic(title: str, language: str, casing: Casing) -> Topic:
    topic: Topic = _LANGUAGES[language].topic_of_title(clean(title))
    return dataclasses.replace(topic, text=casing.running(topic.text))
