"""What a question asks for: its language, its kind and, for a comparison, its two sides.

Rules on folded text (`rag.text.fold`), so that hamza, diacritics and spelling variants do not matter. Modern Standard
Arabic, Egyptian, Gulf, Levantine and Maghrebi question words, and English.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from rag.text import detect_language, fold_text


class QuestionKind(StrEnum):
    """The shape of answer a question wants."""

    COMPARISON = "comparison"
    DEFINITION = "definition"
    LIST = "list"
    METHOD = "method"
    PERSON = "person"
    QUANTITY = "quantity"
    REASON = "reason"
    TIME = "time"
    YES_NO = "yes_no"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what was understood of it. ``sides`` holds two texts for a comparison, else nothing."""

    text: str
    language: str
    kind: QuestionKind
    sides: tuple[str, ...] = ()


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives))


# Order matters: the first that matches wins. Arabic is written folded (ا for every alef, ه for ة, ي for ى).
_KINDS: tuple[tuple[QuestionKind, re.Pattern[str]], ...] = (
    (
        QuestionKind.COMPARISON,
        _pattern(
            r"\b(?:ال)?(?:فرق|فروق|فروقات|اختلاف)\b.*\bبين\b",
            r"\bيختلف\w*\b",
            r"\b(?:قارن|مقارنه)\b",
            r"\bايهما\b",
            r"\bdiff(?:er|ers|erent|erence|erences)\b",
            r"\bcompar\w+\b",
            r"\b(?:versus|vs)\b",
            r"\bdistinguish\w*\b",
        ),
    ),
    (
        QuestionKind.QUANTITY,
        _pattern(
            r"(?:^|\s)[وفب]?كم\b",
            r"(?:^|\s)(?:ب?كام|قد ايه|اد ايه|قديش|اديش|قديه|شقد|اشحال|شحال)\b",
            r"\b(?:ما|ايه|شو|وش|شنو)\b.{0,12}\b(?:نسبه|حجم|عدد|قيمه|مبلغ|سعر|معدل|متوسط|راتب|اجره|رسوم|ثمن)\b",
            r"\bhow (?:many|much|big|large|often|long|old|far)\b",
            r"\b(?:what is|what was|what's) the (?:average|typical|usual|median|total|minimum|maximum|monthly) .*"
            r"\b(?:rate|cost|price|salary|wage|fee|income|number|share|size|revenue|length|duration)\b",
            r"\bwhat (?:percentage|percent|share|proportion|number|size|amount|fraction|portion)\b",
        ),
    ),
    (
        QuestionKind.TIME,
        _pattern(
            r"(?:^|\s)(?:متي|امتي|ايمتي|وينتا|وقتاش|ايمتا)\b",
            r"\b(?:اي|ايه) (?:عام|سنه|تاريخ|يوم|شهر|قرن|وقت)\b",
            r"\bwhen\b",
            r"\b(?:what|which) (?:year|date|day|month|century|time)\b",
        ),
    ),
    (
        QuestionKind.REASON,
        _pattern(
            r"(?:^|\s)(?:لماذا|ليش|ليه|لم|علاش|وراش|لويش)\b",
            r"\b(?:سبب|اسباب)\b",
            r"\bwhy\b",
            r"\bhow come\b",
            r"\b(?:reasons?|causes?) (?:for|of|why|behind)\b",
        ),
    ),
    (
        QuestionKind.LIST,
        _pattern(
            r"\b(?:خطوات|مراحل|انواع|اهم|ابرز|عناصر|مهام|مهارات|فوائد|مزايا|عيوب|طرق|امثله|نصائح|مخاطر|اقسام|قنوات|ادوات|مؤشرات|موشرات)\b",
            r"(?:^|\s)(?:اذكر|عدد لي|اسرد|سرد)\b",
            r"\b(?:steps|stages|types|kinds|list|name|examples|advantages|disadvantages|benefits|risks|tips|ways|tasks|"
            r"skills|tools|channels|components|elements|metrics|signs|mistakes)\b",
        ),
    ),
    (
        QuestionKind.METHOD,
        _pattern(
            r"(?:^|\s)[وف]?(?:كيف|ازاي|شلون|كيفاش|كيفيه|اشلون)\b",
            r"\bhow (?:do|does|to|can|should|is|are|did|would|could|will)\b",
            r"^how\b",
        ),
    ),
    (
        QuestionKind.PERSON,
        _pattern(r"(?:^|\s)(?:من هو|من هي|من هم|مين|منو|من الذي|من التي)\b", r"^من\b", r"\bwho(?:se|m)?\b"),
    ),
    (
        QuestionKind.YES_NO,
        _pattern(
            r"^(?:هل|ينفع|ممكن|يصح|في امكانيه)\b",
            r"^(?:is|are|was|were|does|do|did|can|could|should|would|will|has|have|may|must)\b",
        ),
    ),
    (
        QuestionKind.DEFINITION,
        _pattern(
            r"(?:^|\s)(?:ما|ماذا) (?:هو|هي|معني|المقصود|يعني|تعني|تعريف)\b",
            r"^ما ال\w+ ?(?:\w+ ?){0,3}$",
            r"(?:^|\s)(?:تعريف|عرف|معني|(?:ايه|شو|وش|شنو) (?:هو|هي|يعني)|يعني (?:ايه|شو|وش|شنو))\b",
            r"\b(?:what (?:is|are)|define|definition of|meaning of|what does .* mean|what's)\b",
        ),
    ),
)

_SIDES = (
    re.compile(r"بين\s+(?P<a>.+?)\s+(?:و\s*(?:بين\s+)?|وبين\s+)(?P<b>\S.*)"),
    re.compile(r"\bbetween\s+(?P<a>.+?)\s+and\s+(?P<b>.+)", re.IGNORECASE),
    re.compile(r"\b(?:compare|is|are)\s+(?P<a>.+?)\s+(?:with|to|and|or|different from)\s+(?P<b>.+)", re.IGNORECASE),
    re.compile(r"\bhow (?:does|do|is|are)\s+(?P<a>.+?)\s+differ(?:ent)?\s+from\s+(?P<b>.+)", re.IGNORECASE),
    re.compile(r"^(?P<a>.+?)\s+(?:versus|vs\.?|ضد|مقابل)\s+(?P<b>.+)", re.IGNORECASE),
)


def understand(text: str) -> Question:
    """Tell the language and the kind of a question.

    Args:
        text: The question as typed; surrounding white space is dropped.

    Returns:
        The question. ``kind`` is ``OTHER`` when no rule matches.
    """
    text = text.strip()
    folded = re.sub(r"\s+", " ", re.sub(r"[^\w\s']", " ", fold_text(text))).strip()
    kind = next((kind for kind, pattern in _KINDS if pattern.search(folded)), QuestionKind.OTHER)
    sides = _sides(text) if kind is QuestionKind.COMPARISON else ()
    return Question(text, detect_language(text), kind, sides)


def _sides(text: str) -> tuple[str, ...]:
    for pattern in _SIDES:
        match = pattern.search(text)
        if match:
            sides = tuple(match.group(name).strip(" ?؟.!,،\"'«»") for name in ("a", "b"))
            if all(sides):
                return sides
    return ()
