"""What a heading says once its number, its leading words and its stray signs are gone, and which say nothing."""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from rag.answering.phrases import Role, split_words, stem
from rag.text import fold, fold_text

MAX_WORDS: Final = 9  # of a heading that is made a question
MAX_TOPIC_WORDS: Final = 6  # of a title that is said in a question about a heading
_NEAR_TOPIC_WORDS: Final = 4  # of one that is said where the heading could do without
_MAX_CHARACTERS: Final = 120
_MIN_LETTERS: Final = 3

_ORDINAL: Final = (
    r"(?:\d+|[ivx]+|[a-z]|one|two|three|four|five|six|seven|eight|nine|ten|(?:ال)?(?:اول|اولي|ثاني|ثانيه|ثالث|ثالثه|رابع"
    r"|رابعه|خامس|خامسه|سادس|سادسه|سابع|سابعه|ثامن|ثامنه|تاسع|تاسعه|عاشر|عاشره))"
)
_NUMBERING: Final = re.compile(  # on folded text
    r"\s*(?:"
    r"\d+(?:\.\d+)+[.)]?\s+(?=[^\W\d])|"
    r"[(\[]?\d{1,3}\s*[)\].:-]+\s*(?=[^\W\d])|"
    r"[(\[]?(?:[a-z]|[ivx]+|[\u0627-\u064a])[)\].]\s+|[\u0627-\u064a]\s?-\s+|"
    r"(?:اولا|ثانيا|ثالثا|رابعا|خامسا|سادسا|سابعا|ثامنا|تاسعا|عاشرا|اخيرا|واخيرا|first(?:ly)?|second(?:ly)?|third(?:ly)?"
    r"|finally)\s*[:,،.-]\s*|"
    r"(?:الفصل|المبحث|الباب|القسم|المطلب|الجزء|المحور|الوحده|الدرس|الخطوه|المرحله|الماده|البند|السوال|سوال|س|ج|chapter"
    rf"|section|part|unit|lesson|step|stage|phase|article|module|question|q|a)\s*\(?{_ORDINAL}?\)?\s*[:.-]\s*|"
    r"(?:لكن|ولكن|و?قد تحدثنا \w+ (?:حول|عن))\s+"
    r")"
)
_END: Final = " \t:;.,،؛…-–—"
_ODD: Final = re.compile(r"[|<>{}\[\]_=@#*\\^~`•\ufffd]|://|www\.")
_ODD_CATEGORIES: Final = frozenset({"So", "Co", "Cn", "Cs", "Cc", "Sk"})

_GENERAL: Final = frozenset(
    fold_text(line.strip())
    for line in """
    مقدمة; توطئة; تمهيد; خاتمة; خلاصة; ملخص; ملخص تنفيذي; نبذة; نبذة مختصرة; نبذة عامة; مراجع; مصادر; مصادر ومراجع;
    فهرس; محتويات; جدول المحتويات; فهرس المحتويات; شكر وتقدير; إهداء; ملاحق; ملحق; عام; نظرة عامة; معلومات عامة;
    أخرى; ملاحظات; ملاحظة; تنبيه; هوامش; روابط; روابط مفيدة; اقرأ أيضا; مواضيع ذات صلة; مقالات ذات صلة; مزيد;
    اتصل بنا; تواصل معنا; من نحن; حول; تعليقات; أضف تعليقا; أسئلة شائعة; أسئلة; أسئلة وأجوبة; كلمات مفتاحية; مستخلص;
    نتائج; مناقشة; توصيات; تعريفات; تعريفان; تعريف; مصطلحات; مقارنة; بيانات; معلومات; تفاصيل; أرقام منشورة;
    كلمة أخيرة; في الختام; وفي الختام; أحكام عامة; أحكام ختامية; خلاصة القول; في سطور; باختصار; ختاما;
    introduction; intro; preface; foreword; overview; general overview; summary; executive summary; conclusion;
    conclusions; references; bibliography; sources; works cited; contents; table of contents; index; appendix;
    appendices; abstract; background; notes; note; faq; faqs; frequently asked questions; acknowledgements;
    acknowledgments; about; about us; about this document; contact; contact us; further reading; see also; general;
    general information; other; others; miscellaneous; related posts; related articles; comments; share; disclaimer;
    licence; license; keywords; results; discussion; methods; review; definitions; two definitions; glossary;
    terminology; information; details; data; final thoughts; final words; takeaways; key takeaways; in short;
    in brief; wrapping up; next steps; revision history; change log; changelog; document control; version; scope
    """.replace("\n", " ").split(";")
)
_GENERAL_FIRST: Final = frozenset(  # what opens with these tells of one case or shows a table
    fold_text(
        "مثال نموذج جدول شكل ملحق تمرين حالة قصة صورة سؤال تذكير ملاحظة تنبيه مقارنة قائمة أسئلة الأسئلة "
        "table figure fig example appendix exercise image photo case note warning tip caution"
    ).split()
)
_GENERAL_ANYWHERE: Final = re.compile(r"\b(?:examples?|checklist|glance|case study|faqs?|frequently asked)\b")
_FRAME: Final = re.compile(  # what a title says about the document, not about its subject
    r"^(?:(?:an? )?(?:(?:short|brief|quick|complete|practical|beginner's|ultimate) )*(?:introduction to|intro to"
    r"|overview of|guide to|basics of|fundamentals of|understanding|all about|everything about|notes on"
    r"|what you need to know about)\s+|(?:مقدمه (?:في|الي|عن)|مدخل الي|نظره عامه (?:علي|عن|حول)|لمحه عن|نبذه عن"
    r"|دليل (?:الي|في)|اساسيات|كل ما تحتاج معرفته عن|تعرف علي)\s+)"
    r"|\s*[,،]?\s*(?:step by step|explained|in (?:brief|short|practice)|at a glance|for (?:beginners|dummies)|basics"
    r"|essentials|fundamentals"
    r"|خطوه بخطوه|باختصار|للمبتدئين|في سطور|في التطبيق|عمليا)$"
)
_BRACKETS: Final = re.compile(r"\s*\([^()]*\)\s*$")
_NUMBER_WORDS: Final = frozenset(
    "two three four five six seven eight nine ten first second third last next more ثلاث ثلاثه اربع اربعه خمس خمسه ست"
    " سته سبع سبعه ثمان ثماني ثمانيه تسع تسعه عشر عشره السبع السبعه الست السته الخمس الخمسه الاربع الاربعه الثلاث"
    " الثلاثه".split()
)


@dataclass(frozen=True, slots=True)
class Wording:
    """A question made of a heading. ``grade``: 0 reads best, 3 is the last resort."""

    text: str
    grade: int


@dataclass(frozen=True, slots=True)
class Topic:
    """The subject of a document in few words, as its title says it; ``text`` is empty where none can be told.

    ``is_joined``: it names two things, or one that an article belongs to. ``is_asked``: the title asks about it, so it
    may be a person or a thing rather than a field that something belongs to. ``is_document``: it names the document
    itself, a handbook or a regulation.
    """

    text: str = ""
    is_joined: bool = False
    is_asked: bool = False
    is_document: bool = False

    @property
    def near(self) -> str:
        """Return it where it is short enough to be said though the heading could do without; else nothing."""
        return "" if self.is_joined or self.is_asked else self.opening

    @property
    def needed(self) -> str:
        """Return it where it can complete a heading that names nothing itself; else nothing."""
        return "" if self.is_joined else self.text

    @property
    def opening(self) -> str:
        """Return it where it is short enough to stand before a question, with a colon; else nothing."""
        return self.text if len(self.text.split()) <= _NEAR_TOPIC_WORDS else ""


def clean(text: str) -> str:
    """Return a heading without numbering, tatweel, leading connectives, stray spaces, or punctuation at its end.

    A question mark stays, one alone, next to its word; of two questions the first stays.
    """
    text = re.sub(r"[\s\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+", " ", text.replace("\u0640", "")).strip()
    while True:
        folded = fold(text)
        match = _NUMBERING.match(folded.text)
        if match is None or match.end() == 0 or match.end() >= len(folded.text):
            break
        text = text[folded.to_original(0, match.end())[1] :].strip()
    text = re.sub(r"\s+([?؟:،,])", r"\1", text)
    text = re.sub(r"(?<=\s)و\s+(?=[\u0621-\u064a])", "و", text)  # "and" is written onto the next word
    question = re.match(r"[^?؟]+[?؟]", text)
    return question[0] if question else text.strip(_END).strip()


def is_usable(text: str) -> bool:
    """Tell whether a cleaned heading may become a question: of a fit length, of letters, and about something."""
    folded = re.sub(r"^(?:the|an?)\s|^ال", "", fold_text(text).rstrip("?؟ "))
    words = folded.split()
    return (
        0 < len(words) <= MAX_WORDS
        and len(text) <= _MAX_CHARACTERS
        and sum(character.isalpha() for character in folded) >= _MIN_LETTERS
        and not _ODD.search(text)
        and not any(unicodedata.category(character) in _ODD_CATEGORIES for character in text)
        and folded not in _GENERAL
        and "ال" + folded not in _GENERAL
        and words[0].rstrip(":،,") not in _GENERAL_FIRST
        and not _GENERAL_ANYWHERE.search(folded)
    )


def without_frame(text: str) -> str:
    """Return a heading or title without "Introduction to", "explained", خطوة بخطوة, or an abbreviation in brackets."""
    text = _BRACKETS.sub("", text)
    while True:
        folded = fold(text)
        match = _FRAME.search(folded.text)
        if match is None or len(match[0]) >= len(folded.text):
            return text
        start, end = folded.to_original(*match.span())
        text = f"{text[:start]}{text[end:]}".strip()


def names_of(text: str) -> frozenset[str]:
    """Return the stems of the words that say what a text is about; numbers and mere aspects of a thing are left out."""
    return _stems(text, (Role.NAME,))


def terms_of(text: str) -> frozenset[str]:
    """Return the stems of the nouns of a text, aspects among them: cost, steps; numbers are left out."""
    return _stems(text, (Role.NAME, Role.ASPECT))


@functools.lru_cache(maxsize=1 << 13)
def _stems(text: str, roles: tuple[Role, ...]) -> frozenset[str]:
    return frozenset(
        stem(word.folded)
        for word in split_words(text)
        if word.role in roles and word.folded not in _NUMBER_WORDS and not word.folded[0].isdigit()
    )


def shares_term(text: str, other: str) -> bool:
    """Tell whether two texts have a noun in common; a stem that begins another counts as the same word."""
    return any(
        one == two or (min(len(one), len(two)) >= 3 and (one.startswith(two) or two.startswith(one)))
        for one in terms_of(text)
        for two in terms_of(other)
    )


def are_parallel(one: str, other: str) -> bool:
    """Tell whether two names are of a kind, so that they can be compared: equally long, with a word in common."""
    lengths = len(one.split()), len(other.split())
    return lengths[0] == lengths[1] and 2 <= lengths[0] <= 3 and bool(names_of(one) & names_of(other))
