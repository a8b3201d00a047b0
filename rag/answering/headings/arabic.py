"""Arabic headings as questions: by closed lists, the article, and the shape of the first word; no parser.

Words are compared folded (`rag.text.fold`) and shown as written. What a rule cannot word well it leaves alone: a
heading that makes no question is no loss, there are others.
"""

from __future__ import annotations

import re
from typing import Final

from rag.answering.headings.cleaning import (
    MAX_TOPIC_WORDS,
    Topic,
    Wording,
    are_parallel,
    is_usable,
    names_of,
    shares_term,
    terms_of,
    without_frame,
)
from rag.answering.phrases import phrases
from rag.text import fold_text


def _folded(words: str) -> frozenset[str]:
    return frozenset(fold_text(words).split())


# A question even without its mark; the others need one, for "ما" and "من" may open a statement.
_ASKING: Final = re.compile(
    r"(?:و|ف)?(?:ماذا|لماذا|كيف|متي|هل|كم|بماذا|لمن|ايهما|ما (?:هو|هي|هم|الذي|التي|الفرق|معني)|من (?:هو|هي|هم))\b"
)
_ASKING_MARKED: Final = re.compile(
    r"(?:و|ف)?(?:ما|من|اي|ايه|اين|بكم|عم|عماذا|لم|ليش|ليه|باي|لاي|(?:مع|الي|من|علي|في|منذ) (?:من|اي|اين|متي))\b"
)
_INNER_QUESTION: Final = re.compile(r"\b(?:ماذا|لماذا|كيف|متي|هل)\b")
_RELATIVE: Final = re.compile(r"ما (?=(?:يجب|ينبغي|يمكن|يحدث|يحتاج)\w*\b)")
_PRONOUN: Final = re.compile(
    r"\b(?:(?:و|ف)?(?:له|لها|لهم|به|بها|بهم|فيه|فيها|فيهم|منه|منها|منهم|عليه|عليها|عليهم|عنه|عنها|عنهم|اليه|اليها|لديه|لديها"
    r"|معه|معها|عنده|عندها|بينه|بينها|هو|هي|هم|هذا|هذه|ذلك|تلك|هولاء|غيره|غيرها|ذاته|نفسه|نفسها))\b"
)
_DUAL: Final = re.compile(r"\b\w*(?<!ا)هما\b")  # of two that stand elsewhere
_COPULA: Final = re.compile(r"(?:و|ف)?(?:ما|من|ماذا) (?:هو|هي|هم)\b")
_BETWEEN: Final = re.compile(
    r"(?:ال)?(?:فرق|فروق|فروقات|اختلاف|مقارنة|مقارنه|المقارنة)\s+بين\s+(?P<pair>.+\s(?:و|بين).+)"
)
_VERSUS: Final = re.compile(r"(?P<a>.+?)\s+(?:مقابل|ضد|أم|ام|او|أو|vs\.?)\s+(?P<b>.+)")
_PAIR: Final = re.compile(r"(?P<a>ال.+?)\s+و(?P<b>ال.+)")
_LISTED: Final = _folded(
    """
    أنواع أقسام أشكال أصناف مراحل خطوات مزايا مميزات ميزات فوائد عيوب سلبيات إيجابيات أسباب طرق طرائق أساليب وسائل
    أدوات مهارات مهام وظائف أهداف خصائص صفات عناصر مكونات شروط مبادئ قواعد معايير مؤشرات علامات أعراض مخاطر أخطار
    تحديات مشكلات مشاكل أخطاء نصائح بنود قنوات منصات استراتيجيات آثار أضرار حلول مجالات تطبيقات استخدامات أركان حقوق
    واجبات بدائل جوانب أبعاد مستويات عوامل أولويات متطلبات مستندات رسوم تكاليف ضوابط إجراءات مسؤوليات صلاحيات عقوبات
    فروق إحصاءات دوافع
    """
)
_SINGLE: Final = _folded(
    "أهمية دور هدف غرض أثر تأثير علاقة سبب وظيفة فائدة طبيعة مستقبل قيمة تكلفة كلفة مدة سعر حجم نطاق شرط خصوصية مسؤولية"
    " فعالية إمكانية مكانة موعد خطورة نسبة مكونات تاريخ"
)
_MEANING: Final = _folded("تعريف مفهوم معنى ماهية مصطلح")
_MANNER: Final = _folded("كيفية طريقة آلية")
_ACTIONS: Final = _folded(
    """
    اختيار إنشاء إعداد تصميم كتابة بناء قياس إدارة إطلاق جمع فحص حساب تطوير تهيئة حماية معالجة استخدام ضبط متابعة
    مراقبة إضافة حذف إلغاء إرسال استرجاع استعادة استرداد شراء بيع نشر حل تجنب زيادة خفض صياغة صيانة رفع تنزيل ربط
    كشف اكتشاف علاج اختبار التخطيط التعامل الحصول الاشتراك التسجيل التقديم الوصول البدء الوقاية التأكد التحقق
    التواصل الاستفادة الكشف
    """
)
_NO_ACTION: Final = _folded("تسويق تاريخ تمرين تلميذ توقيت تقويم تيسير")
_NUMBERS: Final = _folded("ثلاث ثلاثة أربع أربعة خمس خمسة ست ستة سبع سبعة ثمان ثماني ثمانية تسع تسعة عشر عشرة")
_PREPOSITIONS: Final = _folded(
    "في من إلى على عن مع عند بين قبل بعد خلال عبر دون بدون ضد تحت أثناء حول لدى نحو ضمن داخل خارج"
)
_NO_PHRASE: Final = _folded(
    """
    لا لم لن ليس ليست غير أن إن إذا لو أو أم بل لكن كل ثم قد يمكن يجب ينبغي الذي التي الذين كما كلما حين عندما كيف
    لماذا ماذا متى هل ما من
    """
)
_AFTER_NOUN: Final = _folded("نفسه نفسها ذاته ذاتها أول أفضل أهم كل أي")
_MAYBE_VERB: Final = re.compile(r"[يت](?!..ي.ه?\b|سويق|جار|طوير|واصل|فاعل|عاون|قني|\w+ات\b)\w+")
_COMMAND: Final = re.compile(r"ا[^ل\W]\w\w\s|\w\w?\u0651\w\s")  # on the letters as written: اضبط، شغّل
_DOCUMENTS: Final = _folded("دليل لائحة سياسة تقرير كتيب وثيقة قانون عقد اتفاقية قرار ميثاق بروتوكول مذكرة دستور مرسوم")
_FROM: Final = _folded("الوقاية الحماية التخلص الشفاء الحد التأكد التحقق")  # a noun that goes with "from"
_DEFINITE: Final = re.compile(r"(?:وال|بال|فال|كال|ال|لل)\w{2,}")


def is_question(text: str) -> bool:
    """Tell whether a cleaned heading asks something."""
    folded = fold_text(text)
    if len(folded.split()) < 2:
        return False
    return bool(
        _ASKING.match(folded) or (folded.endswith("?") or folded.endswith("؟")) and _ASKING_MARKED.match(folded)
    )


def inner_question(text: str) -> str:
    """Return what a heading that ends with a question mark asks, without the words before its question word."""
    words = text.split()
    if not text.endswith(("؟", "?")) or is_question(text):
        return text
    return next(
        (" ".join(words[i:]) for i in range(1, len(words) - 1) if _INNER_QUESTION.match(fold_text(words[i]))), text
    )


def topic_of_title(title: str) -> Topic:
    """Return the subject of a document, from its cleaned title."""
    is_asked = is_question(title)
    if is_asked:
        found = [phrase.surface for phrase in phrases(title) if phrase.terms]
        title = max(found, key=len) if found else ""
    topic = without_frame(re.split("[:؟]", title)[0]).strip()
    is_fit = 0 < len(topic.split()) <= MAX_TOPIC_WORDS and _is_noun_phrase(topic) and not re.search("[،,]", topic)
    if not is_fit or not names_of(topic) or not is_usable(topic):
        return Topic()
    is_joined = re.search(r"\sو\w{3,}", topic) is not None
    return Topic(topic, is_joined, is_asked, is_document=fold_text(topic.split()[0]) in _DOCUMENTS)


def wording(text: str, topic: Topic, *, is_title: bool, is_defined: bool) -> Wording | None:
    """Return the question that a cleaned heading makes; None where none reads well.

    Args:
        text: The heading, or the part of it before its colon.
        topic: The subject of the document.
        is_title: Whether the heading is the document's title, which needs no topic.
        is_defined: Whether the text below says what it is that the heading names.
    """
    if is_question(text):
        return _of_question(text, topic)
    if _RELATIVE.match(fold_text(text)) and not _is_dangling(text):
        return Wording(_ask_within(f"ما الذي {text.split(maxsplit=1)[1]}؟", text, topic), 1)
    text = without_frame(text)
    if not text or re.search("[؟?،,]", text):
        return None
    match = _BETWEEN.fullmatch(text)
    if match:
        return Wording(f"ما الفرق بين {match['pair']}؟", 0)
    match = _VERSUS.fullmatch(text) or _PAIR.fullmatch(text)
    if match and are_parallel(match["a"], match["b"]) and _is_noun_phrase(match["a"]) and _is_noun_phrase(match["b"]):
        return Wording(f"ما الفرق بين {match['a']} و{match['b']}؟", 0)
    if _is_dangling(text) or not _is_noun_phrase(text) or (is_title and topic.is_document):
        return None
    topic = Topic() if is_title else topic
    return _of_phrase(text, topic) or _of_name(text, topic, is_title=is_title, is_defined=is_defined)


def about(text: str, topic: Topic) -> str | None:
    """Return what the documents may be asked to say something about: a heading as a noun phrase; None for others."""
    text = without_frame(text)
    if is_question(text) or re.search("[؟?،,]", text) or _is_dangling(text) or not _is_noun_phrase(text):
        return None
    if fold_text(text.split()[0]).removeprefix("ال") in _MEANING:
        return None
    found = wording(text, topic, is_title=False, is_defined=False)
    whose = re.fullmatch(r"ما (?!الذي )(.+)؟", found.text) if found else None
    if whose:
        return whose[1]  # "what are the steps of planning" says whose steps they are
    return _within(text, text, topic)


def with_ba(text: str) -> str:
    """Return a noun phrase with the preposition بـ written onto it; a Latin term stands in quotes."""
    return f"بمصطلح «{text}»" if not "\u0600" <= text[0] <= "\u06ff" else f"ب{text}"


def with_li(text: str) -> str:
    """Return a noun phrase with the preposition لـ written onto it: ل and ال make لل."""
    if text.startswith("ال"):
        return f"ل{text[2:]}" if text.startswith("الل") else f"لل{text[2:]}"
    return f"لـ {text}" if not "\u0600" <= text[0] <= "\u06ff" else f"ل{text}"


def _of_question(text: str, topic: Topic) -> Wording | None:
    bare = re.sub(r"^[وف](?=(?:كيف|ماذا|لماذا|متى|هل|كم)\b)", "", text.rstrip("؟? ").strip())
    stands_alone = len(names_of(bare)) >= 2 or shares_term(bare, topic.text)
    if stands_alone and not _is_dangling(bare):
        return Wording(f"{bare}؟", 0)
    if topic.opening and not _DUAL.search(fold_text(bare)):
        return Wording(f"{topic.opening}: {bare}؟", 2)
    return Wording(f"{bare}؟", 2) if len(terms_of(bare)) >= 2 and not _is_dangling(bare) else None


def _of_phrase(text: str, topic: Topic) -> Wording | None:
    """Word a noun phrase by its first word; None where that says nothing of how to ask."""
    words = text.split()
    first, rest = fold_text(words[0]), " ".join(words[1:])
    bare = first.removeprefix("ال")
    is_after = bool(rest) and _is_preposition(fold_text(words[1]))
    if first in _NUMBERS:
        return _of_number(words, topic)
    if bare in _LISTED | _SINGLE:
        return _of_aspect(words, topic, is_after=is_after)
    if bare in _MEANING:
        is_of = rest and not is_after and _is_definite(words[1:])
        return Wording(f"ما المقصود {with_ba(rest)}؟", 0) if is_of else None
    if rest and first in _MANNER and not is_after:
        return Wording(_ask_within(f"كيف يمكن {rest}؟", text, topic), 0)
    is_done = is_after or (not first.startswith("ال") and len(words[-1]) > 2 and "/" not in rest)
    return Wording(_ask_within(f"كيف يمكن {text}؟", text, topic), 0) if rest and _is_action(first) and is_done else None


def _of_name(text: str, topic: Topic, *, is_title: bool, is_defined: bool) -> Wording | None:
    """Ask what a name means where the text says it, else what there is to know of it."""
    words = text.split()
    bare = fold_text(words[0]).removeprefix("ال")
    is_known = _is_definite(words) and bare not in _LISTED | _SINGLE | _MEANING | _MANNER | _NUMBERS
    if not is_known or len(words) > 6 or re.search(r"\sو(?!ال)\w{3,}", text):
        return None
    if len(words) == 1 and not is_title and not is_defined and not topic.near:
        return None
    if is_defined and " و" not in text:
        return Wording(_ask_within(f"ما المقصود {with_ba(text)}؟", text, topic), 0)
    is_plain = " و" not in text and not any(_is_preposition(fold_text(word)) for word in words)
    topic = Topic() if topic.is_document else topic
    return Wording(
        _ask_within(f"ما الذي ينبغي معرفته عن {text}؟", text, topic), 1 if is_title else 2 if is_plain else 3
    )


def _of_aspect(words: list[str], topic: Topic, *, is_after: bool) -> Wording | None:
    """Word what names steps, risks, kinds: whose they are follows it, or is the topic."""
    text = " ".join(words)
    has_article = words[0].startswith("ال")
    if has_article and (is_after or shares_term(text, topic.text)):
        return Wording(_ask_within(f"ما {text}؟", text, topic), 1)
    if has_article and topic.needed:
        if len(words) == 1 and not topic.is_document:
            return Wording(f"ما {text.removeprefix('ال')} {topic.needed}؟", 1)
        return Wording(f"ما {text} {_whose(topic)}؟", 1)  # an adjective after it
    if has_article or len(words) == 1:
        return None
    if is_after:
        return Wording(_ask_within(f"ما ال{text}؟", text, topic), 1)
    if not _is_definite(words[1:]):
        return None
    return Wording(f"ما {text}؟" if len(words) > 2 else _ask_within(f"ما {text}؟", text, topic), 0)


def _of_number(words: list[str], topic: Topic) -> Wording | None:
    """Word "three levels of work" as "what are the three levels of work": the number follows as an adjective."""
    if len(words) < 2 or words[1].startswith("ال"):
        return None
    number, noun, rest = words[0], words[1], words[2:]
    text = " ".join(words)
    if len(rest) == 2 and rest[0] == "من" and rest[1].startswith("ال"):
        return Wording(_ask_within(f"ما {noun} {rest[1]} ال{number}؟", text, topic), 1)
    asked = f"ما ال{noun} ال{number}"
    if not rest:
        return Wording(f"{asked} {_whose(topic)}؟", 1) if topic.needed else None
    return (
        Wording(_ask_within(f"{asked} {' '.join(rest)}؟", text, topic), 1)
        if _is_preposition(fold_text(rest[0]))
        else None
    )


def _is_preposition(word: str) -> bool:
    return word in _PREPOSITIONS or re.match(r"ل(?:ل|[^ا]..)", word) is not None


def _is_action(word: str) -> bool:
    return word in _ACTIONS or (re.fullmatch(r"ت..ي.ه?|است..ا.ه?", word) is not None and word not in _NO_ACTION)


def _is_definite(words: list[str]) -> bool:
    """Tell whether a noun phrase names something known: by its article, or by that of a word it leans on."""
    for place, word in enumerate(map(fold_text, words), start=1):
        if word in _PREPOSITIONS:
            return False
        is_known = word.startswith("ال") or not "\u0600" <= word[0] <= "\u06ff" or word in _AFTER_NOUN
        if is_known or (_is_action(word) and place < len(words)):
            return True
    return False


def _is_noun_phrase(text: str) -> bool:
    """Tell whether a heading looks like a noun phrase: no verb is seen, and no predicate after a definite noun."""
    words = [fold_text(word) for word in text.split()]
    if _COMMAND.match(text):
        return False
    if words[0] in _PREPOSITIONS or words[0] in _NO_PHRASE or set(words[1:]) & (_NO_PHRASE - _PREPOSITIONS):
        return False
    for before, word in zip(words, words[1:], strict=False):
        is_open = _DEFINITE.fullmatch(word) or word in _PREPOSITIONS or word in _AFTER_NOUN or not word[0].isalpha()
        if is_open or not "\u0600" <= word[0] <= "\u06ff" or re.match(r"[وبلك]\w{2,}", word):
            continue
        if _DEFINITE.fullmatch(before) or _MAYBE_VERB.fullmatch(word):
            return False
    return (
        not _MAYBE_VERB.fullmatch(words[0])
        or _is_action(words[0])
        or len(words) == 1
        or words[0] in _LISTED | _SINGLE | _MEANING
    )


def _is_dangling(text: str) -> bool:
    """Tell whether a pronoun refers to something outside of the text."""
    folded = _COPULA.sub("", fold_text(text))
    if _DUAL.search(folded):
        return True
    match = _PRONOUN.search(folded)
    return match is not None and not names_of(folded[: match.start()])


def _whose(topic: Topic) -> str:
    return f"بحسب {topic.needed}" if topic.is_document else with_li(topic.needed)


def _ask_within(question: str, text: str, topic: Topic) -> str:
    return f"{_within(question.removesuffix('؟'), text, topic)}؟"


def _within(asked: str, text: str, topic: Topic) -> str:
    """Add the topic where the heading names none of it and both are short."""
    is_needed = topic.near and not shares_term(text, topic.near) and len(text.split()) < 5 and " في " not in text
    if not is_needed:
        return asked
    preposition = "من" if fold_text(text.split()[-1]) in _FROM else "في"
    return f"{asked} {'بحسب' if topic.is_document else preposition} {topic.near}"
