"""The short answer inside a quoted sentence: a number, a date, a name, where the question asks for one.

The reader finds the span; here it is held against what the question asks for, so that a number is never offered for a
"when" nor half a sentence for a "who". Always a slice of the document.
"""

from __future__ import annotations

import re

from rag.answering.evidence import Candidate
from rag.answering.question import Question, QuestionKind
from rag.datatypes import Document
from rag.text import content_terms, fold_text, whole_words

_WANTS_SHORT = frozenset({QuestionKind.QUANTITY, QuestionKind.TIME, QuestionKind.PERSON, QuestionKind.OTHER})
_MAX_WORDS = 12
_EDGES = " \t\n.,;:!?،؛؟…-–—*•«»\"'“”"
_NUMBER_WORDS = frozenset(
    fold_text(
        "واحد واحدة اثنان اثنين ثلاث ثلاثة أربع أربعة خمس خمسة ست ستة سبع سبعة ثمان ثماني ثمانية تسع تسعة عشر عشرة "
        "عشرون عشرين مئة مائة ألف آلاف مليون ملايين مليار مليارات ثلث ثلثي ربع نصف ضعف مرة مرتين يومين أسبوعين شهرين "
        "ساعتين عامين سنتين one two three four five six seven eight nine ten twelve twenty thirty hundred thousand "
        "million billion half third quarter twice double once dozen"
    ).split()
)
_TIME_WORDS = frozenset(
    fold_text(
        "عام سنة يوم شهر أسبوع ساعة دقيقة صباح مساء فجر ليل ظهر ربيع صيف خريف شتاء قرن يناير فبراير مارس أبريل مايو "
        "يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر رمضان عيد قبل بعد خلال عند كل الأحد الاثنين الثلاثاء الأربعاء "
        "الخميس الجمعة السبت year month week day hour minute morning evening night noon spring summer autumn winter "
        "century january february march april may june july august september october november december before after "
        "during when every sunday monday tuesday wednesday thursday friday saturday within daily weekly monthly"
    ).split()
)


def short_answer(
    question: Question, candidate: Candidate, document: Document, *, threshold: float
) -> tuple[int, int] | None:
    """Return where in the document the short answer stands, inside the candidate's unit; None if there is none.

    Args:
        question: What was asked.
        candidate: The unit that answers.
        document: Its document.
        threshold: Least log-odds of the reader's span.
    """
    span, unit = candidate.span, candidate.unit
    if question.kind not in _WANTS_SHORT or span is None or span.score < threshold:
        return None
    start, end = whole_words(document.text, span.start, span.end)
    start, end = max(start, unit.start), min(end, unit.end)
    while start < end and document.text[start] in _EDGES:
        start += 1
    while start < end and document.text[end - 1] in _EDGES:
        end -= 1
    text = document.text[start:end]
    words = re.findall(r"\w+", fold_text(text))
    if not 0 < len(words) <= _MAX_WORDS or "\n" in text or (end - start) * 5 > (unit.end - unit.start) * 4:
        return None
    asked = set(content_terms(question.text, question.language))
    if asked and set(content_terms(text, candidate.hit.passage.language)) <= asked:
        return None  # it only says the question again
    return (start, end) if _is_wanted(question.kind, words) else None


def _is_wanted(kind: QuestionKind, words: list[str]) -> bool:
    """Tell whether folded words are of the kind asked for."""
    stems = {word.removeprefix("ال").removeprefix("وال") for word in words} | set(words)
    has_digit = any(char.isdigit() for word in words for char in word)
    if kind is QuestionKind.QUANTITY:
        return has_digit or not _NUMBER_WORDS.isdisjoint(stems)
    if kind is QuestionKind.TIME:
        return has_digit or not _TIME_WORDS.isdisjoint(stems)
    return kind is not QuestionKind.PERSON or not has_digit
