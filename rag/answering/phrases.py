"""What a question is made of: its words, each with the part it plays, and the phrases that name its subject.

No parser and no tagger: closed lists, the word before, and the look of the word. Words match folded
(`rag.text.fold`) and stemmed, so that one entry stands for its inflections.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rag.text import content_terms, fold, terms


class Role(StrEnum):
    """The part a word plays.

    ``NAME`` says what a question is about. ``ASPECT`` says what of it: cost, steps, better; alone it is about
    nothing.
    """

    NAME = "name"
    ASPECT = "aspect"
    VERB = "verb"
    ASKING = "asking"
    FUNCTION = "function"


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text: ``text[start:end]``."""

    surface: str
    folded: str
    start: int
    end: int
    role: Role


@dataclass(frozen=True, slots=True)
class Phrase:
    """A run of words that names something: ``text[start:end] == surface``. ``terms`` are stemmed."""

    surface: str
    start: int
    end: int
    terms: frozenset[str]


_ASPECTS = """
    advantage benefit pro con disadvantage drawback downside upside risk danger problem issue challenge cost price fee
    budget type kind sort form example tip advice idea reason cause purpose goal aim role effect impact result outcome
    difference similarity definition meaning feature aspect part point element component detail information
    explanation
    source figure number amount percentage size step stage phase thing way method approach technique alternative
    option
    choice tool channel platform rule requirement condition mistake error solution limit limitation skill task sign
    time timing frequency duration term year month week day hour minute period beginning start end future past
    good better best bad worse worst cheap cheaper cheapest expensive fast faster fastest quick quicker easy easier
    easiest hard harder difficult important main big bigger biggest small smaller large larger new old different long
    longer short shorter high higher low lower first second third fourth fifth sixth seventh last next previous
    final common effective useful
    right wrong true false safe safer worth free enough possible necessary suitable recommended ideal typical average
    popular successful detailed simple really actually exactly usually often soon early late today now
    company companies business businesses people person beginner someone case practice word sentence order line list
    else instead otherwise again ago two yet model exist available famous please thanks too well
    عيب عيوب ميزة مزايا مميزات ميزات ايجابيات سلبيات فائدة فوائد خطر مخاطر أخطار خطورة تكلفة تكاليف كلفة سعر أسعار
    ثمن رسوم ميزانية نوع أنواع مثال أمثلة خطوة خطوات مرحلة مراحل طريقة طرق طرائق أسلوب أساليب أداة أدوات
    هدف أهداف سبب أسباب دور أهمية فرق فروق فروقات اختلاف تعريف معنى مفهوم شرط شروط قاعدة قواعد نصيحة نصائح خطأ أخطاء
    مشكلة مشاكل مشكلات تحد تحديات حل حلول نتيجة نتائج أثر آثار تأثير تفاصيل تفصيل معلومات شرح توضيح مصدر مصادر رقم
    أرقام عدد حجم قيمة مدة وقت توقيت موعد تكرار بداية نهاية خيار خيارات بديل بدائل صفة صفات خاصية خصائص عنصر عناصر
    مكون مكونات جزء أجزاء قسم أقسام نقطة نقاط بند بنود قناة قنوات منصة منصات مهارة مهارات مهمة مهام جانب جوانب
    أفضل أحسن أسوأ أهم أكثر أقل أكبر أصغر أعلى أدنى أرخص أغلى أسرع أبطأ أسهل أصعب أنسب أقوى أضعف أبرز أشهر أقدم
    أحدث أطول أقصر جيد جيدة سيئ
    سيئة مهم مهمة مناسب مناسبة صحيح صحيحة خاطئ ضروري ضرورية كاف كافي مفيد مفيدة مجاني مكلف مكلفة غالي غالية رخيص صعب
    سهل آمن آمنة فعال فعالة شائع شائعة طويل طويلة قصير قصيرة بعيد قريب كبير كبيرة صغير صغيرة جديد قديم مختلف أول أولى
    ثاني ثانية تاني تانية ثالث ثالثة تالت رابع رابعة خامس خامسة سادس سادسة سابع سابعة آخر أخير أخيرة تالي تالية
    سابق سابقة مدى أجل زمن شيء
    أشياء حاجة حاجات أمر أمور شغلة مرة مرات يوم أيام يوميا أسبوع أسبوعيا شهر شهريا سنة سنويا عام ساعة دقيقة مستقبل
    ترتيب بسرعة بسهولة سرعة سهولة باختصار اختصار فترة مقابل ماضي حالة حالات شخص أشخاص ناس شركات شركة مشروع مشاريع
    ناشئة مبتدئ مبتدئين منيح كويس كويسة زين حلو أحلى فلوس مصاري
    استخدام استعمال استفادة تطبيق قياس تنفيذ اختيار بالضبط تحديدا فعلا حقا صراحة عادة غالبا دائما تقريبا تاني مختصر
    اثنين اتنين اثنتين عملي عملية واقعي كفاية لازم ضرورة شكرا طيب
"""
_VERBS = """
    get make use start begin work help cost take need try find choose pick select avoid measure calculate check
    improve
    increase reduce happen matter apply implement build create set write learn think go come pay spend earn prevent
    fix
    solve do handle manage keep stop change decide recommend suggest suit fit prove ensure protect deal prefer last
    differ compare involve include contain require lead depend mean become look wait expect add remove elaborate
    expand
    continue summarise repeat clarify clear
"""
_ARABIC_VERBS = re.compile(
    r"[وف]?(?:ب|ح|ه|س|ع|كن|دا|لا)?[انتي]ت?"
    r"(?:كلف|عمل|بدا|بلش|ستخدم|ستعمل|نجح|فشل|ناسب|نفع|فيد|ستفيد|ختار|قيس|حسب|حدث|صير|حصل|سوي|ساوي|حتاج|تجنب|عرف|طبق|"
    r"حسن|زيد|قلل|خفف|دفع|صرف|كتب|فرق|ختلف|تختلف|شتغل|وثر|جرب|ضمن|منع|حمي|حل|عالج|تاكد|راقب|تابع|قدر|بني|كون|تكون|"
    r"ستغرق|اخذ|بلغ|رسل|طول|ستحق|كفي|سوا|ساوي|وضح|شرح|تصرف|تعامل|لزم|نصح|فضل|قارن|غير|وقف|تعلم|ستمر|رجع|تم|قصد|عني)"
    r"(?:ه|ها|هم|هن|هما|و|وا|ون|ين|ي)?|بد(?:و|ه|ها|هم|ي|ك|نا)"
)
# Words with no case of their own and no article that open an Arabic verb phrase.
_BEFORE_VERB = frozenset(
    "كيف وكيف فكيف كيفاش ازاي وازاي شلون وشلون اشلون متي ومتي امتي وامتي ايمتي هل وهل لماذا ولماذا ليش وليش ليه وليه "
    "علاش اين واين وين فين منين لازم ممكن اقدر تقدر نقدر ينفع يصح ان اريد ابي ابغي بدي عايز عاوز حابب لا رح راح عم"
    " لن لم سوف قد".split()
)
_MASDAR = re.compile(r"(?:ت..ي.|ا.ت.ا.|است..ا.|ا..ا.|ت...|ان..ا.)ه?")  # nouns that look like verbs
_SUBJECTS = frozenset("i we you they he she it one".split())
_AUXILIARIES = frozenset(
    "do does did can could should would will may might must shall to don't doesn't didn't can't shouldn't won't".split()
)
_OF = frozenset({"of", "per", "&"})
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBER = re.compile(r"\d[\d.,]*%?")
_BREAK = re.compile(r"[,;:.!?()،؛؟«»\"…]|\s[-–—]\s")
_WORD = re.compile(r"\d+(?:[.,]\d+)*%?|[^\W\d_][^\W_]*(?:['&+/.#-]+[^\W_]+)*[+#]*")


def is_arabic(word: str) -> bool:
    """Tell whether a folded word is written in Arabic letters."""
    return "\u0600" <= word[0] <= "\u06ff"


def stem(word: str) -> str:
    """Return the index term of one folded word; the word itself where it makes none."""
    found = terms(word, "ar" if is_arabic(word) else "en")
    return found[0] if found else word


@functools.cache
def _stems(words: str) -> frozenset[str]:
    return frozenset(stem(fold(word).text) for word in words.split())


def is_listed_aspect(word: str) -> bool:
    """Tell whether a folded word is an aspect letter by letter, so that its ending is its own."""
    return word.removeprefix("ال") in _listed()


@functools.cache
def _listed() -> frozenset[str]:
    return frozenset(fold(word).text for word in _ASPECTS.split())


@functools.lru_cache(maxsize=1 << 14)
def is_aspect(word: str) -> bool:
    """Tell whether a folded word says only what of a subject is asked: a cost, a step, the best."""
    aspects = _stems(_ASPECTS)
    if stem(word) in aspects:
        return True
    # A possessive is written onto the word, and turns its ta marbuta to ta: "its cost" is one word.
    if word.endswith("ا") and word[:-1] in _listed():  # an accusative
        return True
    bare = without_clitic(word)
    return bare != word and stem(bare) in aspects


def without_clitic(word: str) -> str:
    """Return a folded Arabic word without a pronoun written onto its end; others as they are."""
    match = re.fullmatch(r"(?P<host>.{2,}?)(?:هما|هم|هن|ها|ه)", word) if is_arabic(word) else None
    if match is None:
        return word
    host = match["host"]
    return f"{host[:-1]}ه" if host.endswith("ت") and not host.endswith("ات") and len(host) > 2 else host


def split_words(text: str) -> list[Word]:
    """Cut a question into words, in text order."""
    folded = fold(text)
    words: list[Word] = []
    has_auxiliary = False
    for match in _WORD.finditer(folded.text):
        start, end = folded.to_original(*match.span())
        before = words[-1].folded if words else ""
        word = match[0]
        if words and _BREAK.search(text[words[-1].end : start]):
            before = ""
        role = _role(word, before, has_auxiliary=has_auxiliary)
        has_auxiliary = has_auxiliary or word in _AUXILIARIES
        if role is Role.VERB and before and words[-1].role is Role.VERB and is_aspect(before):
            words[-1] = dataclasses.replace(words[-1], role=Role.ASPECT)  # "does acquisition cost include"
        words.append(Word(text[start:end], word, start, end, role))
    if len(words) == 2 and words[0].folded in _BEFORE_VERB and not words[1].folded.startswith("ال"):
        is_bare = is_arabic(words[1].folded) and words[1].role is Role.NAME
        words[1] = dataclasses.replace(words[1], role=Role.VERB) if is_bare else words[1]  # "when was he born"
    return words


def is_common_verb(word: str) -> bool:
    """Tell whether a folded English word can be a verb of asking about anything: cost, work, choose."""
    return stem(word) in _stems(_VERBS)


def _role(word: str, before: str, *, has_auxiliary: bool) -> Role:
    if _NUMBER.fullmatch(word):
        return Role.NAME
    language = "ar" if is_arabic(word) else "en"
    if is_aspect(word) and not (language == "en" and has_auxiliary and is_common_verb(word)):
        return Role.ASPECT
    if not content_terms(word, language):
        return Role.ASKING if _is_asking(word, language) else Role.FUNCTION
    if language == "ar":
        is_open = before in _BEFORE_VERB and word[0] in "انتيبح" and word[:2] != "ال"
        is_verb = _ARABIC_VERBS.fullmatch(word) or (is_open and not _MASDAR.fullmatch(word))
        return Role.VERB if is_verb else Role.NAME
    if before in _SUBJECTS or (has_auxiliary and is_common_verb(word)):
        return Role.VERB
    return Role.NAME


def _is_asking(word: str, language: str) -> bool:
    return bool(_ASKING.fullmatch(word[1:] if language == "ar" and word[0] in "وف" and len(word) > 3 else word))


_ASKING = re.compile(
    r"what(?:'?s)?|which|who(?:se|m|'s)?|when|where|why|how|ما|ماذا|لماذا|متي|اين|كيف|كم|بكم|اي|ايه|هل|ازاي|ليه|ليش|"
    r"امتي|ايمتي|فين|مين|منين|كام|بكام|قديش|اديش|شو|شنو|وش|ايش|ويش|وشو|وين|شلون|شكون|علاش|كيفاش|شحال|منو|ايهما|ايها|ايهم|انهي|"
    r"explain|describe|define|tell|give|show|list|name|compare|اشرح|اشرحلي|وضح|وضحلي|اذكر|عدد|قارن|اعطني|اعطيني|اديني|"
    r"عطني|قلي|قولي|احكيلي|خبرني"
)


def phrases(text: str, words: Sequence[Word] | None = None) -> list[Phrase]:
    """Return the phrases of a text that name something, in text order.

    What of the subject is asked is left out where it leads: of "the advantages of email marketing" stays "email
    marketing", while "open rate" stays whole.
    """
    return list(_phrases(text, split_words(text) if words is None else words))


def _phrases(text: str, words: Sequence[Word]) -> Iterator[Phrase]:
    run: list[Word] = []
    bridge: list[Word] = []  # "of the" that may join two runs
    for word in words:
        last = (bridge or run)[-1] if run else None
        is_cut = last is not None and _BREAK.search(text[last.end : word.start]) is not None
        if is_cut or (is_arabic(word.folded) and word.folded.startswith("لل") and run):
            yield from _phrase(text, run)
            run, bridge = [], []
        if word.role is Role.NAME or (word.role is Role.ASPECT and run):
            run += [*bridge, word]
            bridge = []
        elif run and (word.folded in _OF or (bridge and word.folded in _ARTICLES)):
            bridge.append(word)
        else:
            yield from _phrase(text, run)
            run, bridge = [], []
    yield from _phrase(text, run)


def _phrase(text: str, run: Iterable[Word]) -> Iterator[Phrase]:
    words = list(run)
    if words:
        start, end = words[0].start, words[-1].end
        yield Phrase(text[start:end], start, end, frozenset(stem(w.folded) for w in words if w.role is Role.NAME))
