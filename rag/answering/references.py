"""What a question leans on that stands outside of it: pronouns, "the second one", a side that is not named.

Rules on folded text. English pronouns and Arabic ones, those written onto a word included: a final ه is a pronoun only
where it cannot be a ta marbuta or a letter of the word itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rag.answering.phrases import Role, Word, is_arabic, is_aspect, is_listed_aspect, without_clitic


class ReferenceKind(StrEnum):
    """How a reference is written, and so how the words it stands for take its place."""

    WORD = "word"  # it, هو: replaced
    POSSESSIVE = "possessive"  # its: "the ... of"
    CLITIC = "clitic"  # ه on تكلفته: the word without it, then the words
    POINTING = "pointing"  # "this method", هذا الأسلوب: the noun stays


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference: the words ``words[first:last]`` of the question."""

    kind: ReferenceKind
    first: int
    last: int


_PRONOUNS = frozenset("it they them he him she this that these those".split())
_POSSESSIVES = frozenset("its their his her theirs".split())
_TIMES = frozenset(
    "year years month months week weeks day days morning evening time moment century الايام السنه الاسبوع الشهر"
    " العام اليوم المره الوقت الساعه الحاله".split()
)
_BEFORE_THAT = frozenset(
    "is was does do did about like of for after from with by to than would will can could should in on why how and be"
    " into mean do use avoid fix prevent measure doing".split()
)
_CLAUSE = re.compile(
    r"[,;:.!?،؛؟]|\b(?:and|but|or|if|when|while|because|before|after|until|without|so|than)\b|"
    r"(?<!\w)(?:إذا|اذا|لو|حتى|قبل|بعد|لما|عشان|علشان|أو|او|أم|ثم|بدون)(?!\w)|\sو",
    re.IGNORECASE,
)
# A pronoun on the end of a word, the relative words it may pick up, and the look of the nouns that it may stand for.
_RELATIVE = {
    "ه": ("الذي", "اللي"),
    "ها": ("التي", "اللي"),
    "هم": ("الذين", "اللي"),
    "هما": (),
    "هن": (),
    "": ("الذي", "التي", "الذين", "اللي"),
}
_ACTOR = re.compile(
    r"ال(?:شركات|شركه|مشروع|مشاريع|ناس|شخص|اشخاص|مبتدي|مبتديين)|compan(?:y|ies)|business(?:es)?|people|person"
)
_FEMININE_VERB = re.compile(r"(?!.*ات$)\w{2,}ت")  # "Mexico took its independence"
_PLURAL_NOUN = re.compile(r"(?:ون|ين|ان|ات|اء|ناس|عملاء|زبائن|أطفال)$")
_LIKE = {
    "ه": re.compile(r"(?<![ةى])(?<!ات)$"),
    "ها": re.compile(r"(?:[ةهى]|ات|ا|اء)$|^(?:ال)?(?:[أا]\w{2}ا\w|\w{2}ا\w{2}|\w{2}ا\wي\w|\w{2}و\w)$|[A-Za-z]$"),
    "هم": _PLURAL_NOUN,
    "هن": _PLURAL_NOUN,
    "هما": re.compile(r"^و|(?:ان|ين)$"),
}
_DEMONSTRATIVES = frozenset(
    "هذا هذه هذي هاي هاد هادا هيدا هيدي ده دي دا ذلك تلك ذاك هولاء دول هدول هذول وهذا وهذه وذلك بهذا بذلك لذلك"
    " لهذا كذلك هاذا هاذي كده هيك كذا".split()
)
_CONNECTIVES = frozenset({"لذلك", "كذلك", "كده", "هيك", "كذا", "بذلك", "لهذا"})
_THIRD = frozenset("هو هي هم هما هوه هيا هيه".split())
_HOSTS = {  # a preposition with its pronoun, and what stays of it
    "ل": "لـ", "ب": "بـ", "في": "في", "من": "من", "عن": "عن", "علي": "على", "الي": "إلى", "مع": "مع", "عند": "عند",
    "لدي": "لدى", "حول": "حول", "ضد": "ضد", "بدون": "بدون", "بعد": "بعد", "قبل": "قبل", "ضمن": "ضمن", "خلال": "خلال",
    "عبر": "عبر", "بين": "بين", "دون": "دون", "مثل": "مثل", "زي": "زي", "وراء": "وراء", "لاجل": "لأجل",
    "بسبب": "بسبب",
}  # fmt: skip
_PREPOSITION = re.compile(rf"(?P<and>[وف]?)(?P<host>{'|'.join(_HOSTS)})(?:ه|ها|هم|هن|هما)")
# Words whose ه, ها or هم is their own.
_WHOLE = re.compile(
    r"[وفبكل]?(?:ال.*|الله|لله|وجه|شبه|فقه|مياه|انتباه|اتجاه|تنبيه|توجيه|ترفيه|تشبيه|تشويه|تنزيه|نزيه|كره|سفيه"
    r"|نبيه|ليه|ايه|ده|"
    r"هذه|سته|عده|مايه|اهم|فهم|مهم|سهم|درهم|دراهم|وهم|متهم|ملهم|مبهم|تفاهم|مساهم|ابها|بها|مها|طه|هذا|ايها|ايهم"
    r"|ايهما|كلاهما|"
    r"كلها|كله|كلهم|نفسه|نفسها|نفسهم|وحده|وحدها|بعضهم|بعضها|غيره|غيرها|انه|انها|انهم|لانه|لانها|لكنه|لكنها|كانه"
    r"|كانها|فيه|"
    r"مين|منه|اذا|مقهي|معه|شويه|هيه|ميه|كويسه|حاجه|بديه|سوقيه|اوجه|موجه|مشابه)"
)
_VERB_WITH_OBJECT = re.compile(r"[وفبحس]?[انتي]\w{2,}ه")
_PLURAL = re.compile(r"\w{2,}(?:اته|ايه|اءه|وده|ونه|ينه)")


def references(text: str, words: Sequence[Word], *, tells_ta_marbuta: bool) -> list[Reference]:
    """Find what refers to something outside of the question, in text order.

    Args:
        text: The question.
        words: Its words.
        tells_ta_marbuta: Whether the writer sets ة apart from ه, so that a final ه is a pronoun more often.

    Returns:
        References that no noun of the question itself can explain.
    """
    found: list[Reference] = []
    for i, word in enumerate(words):
        reference = _english(text, words, i) if not is_arabic(word.folded) else _arabic(words, i, tells_ta_marbuta)
        if reference is not None and not _has_antecedent(text, words, reference):
            found.append(reference)
    return found


def _at(words: Sequence[Word], i: int) -> str:
    return words[i].folded if 0 <= i < len(words) else ""


def _english(text: str, words: Sequence[Word], i: int) -> Reference | None:
    word, before, after = words[i].folded, _at(words, i - 1), _at(words, i + 1)
    if word in _POSSESSIVES:
        return Reference(ReferenceKind.POSSESSIVE, i, i + 1)
    if word in ("one", "ones") and before in ("which", "that", "this", "another", "other", "each"):
        return Reference(ReferenceKind.WORD, i - (before != "which"), i + 1)
    if word in ("one", "ones") and i and words[i - 1].role in (Role.NAME, Role.ASPECT):
        return Reference(ReferenceKind.WORD, i, i + 1)
    if word == "there" and not after and before not in ("is", "are", "was", "were"):
        return Reference(ReferenceKind.WORD, i, i + 1)
    if word not in _PRONOUNS or (word == "it" and _is_empty_subject(text, words, i)):
        return None
    if word in ("this", "that", "these", "those"):
        if after in _TIMES or (word in ("that", "those") and after in ("who", "which", "are")):
            return None
        if after in ("one", "ones"):
            return None  # found at "one"
        role = words[i + 1].role if after else Role.FUNCTION
        if role in (Role.NAME, Role.ASPECT) and not (word == "that" and i and before not in _BEFORE_THAT):
            is_pointing = word != "that" or before in _BEFORE_THAT or not i
            return Reference(ReferenceKind.POINTING, i, i + 2) if is_pointing else None
        if word == "that" and i and before not in _BEFORE_THAT:
            return None
    return Reference(ReferenceKind.WORD, i, i + 1)


def _is_empty_subject(text: str, words: Sequence[Word], i: int) -> bool:
    """Tell whether "it" only holds the subject's place: "is it better to pay", "how long does it take to rank"."""
    rest = [word.folded for word in words[i + 1 :]]
    before = _at(words, i - 1)
    is_weather = before in ("is", "was", "does", "would", "will", "can", "did") or _at(words, i + 1) == "is"
    if is_weather and any(word in ("to", "that", "if", "when") for word in rest):
        return any(word.role is Role.NAME for word in words[i + 1 :])
    return bool(rest) and before == "is" and rest[-1] not in ("it",) and "or" in rest and "that" in rest


def _arabic(words: Sequence[Word], i: int, tells_ta_marbuta: bool) -> Reference | None:
    word, before, after = words[i].folded, _at(words, i - 1), _at(words, i + 1)
    bare = word[1:] if word[0] in "وف" and len(word) > 2 else word
    if bare in _THIRD:
        role = words[i + 1].role if after else None
        if (
            i == 0
            or words[i - 1].role is Role.NAME
            or (after and before in ("ما", "ماذا", "من", "ايه", "شو", "وش", "ايش", "شنو", "مين", "منو"))
        ):
            return None
        if after.startswith("ال") or (role is Role.NAME and after and not is_aspect(after) and len(words) > i + 3):
            return None
        return Reference(ReferenceKind.WORD, i, i + 1)
    if word in _DEMONSTRATIVES:
        if word in _CONNECTIVES and (i == 0 or after):
            return None
        if after in _TIMES or (before in _TIMES):
            return None
        if after.startswith("ال"):
            return Reference(ReferenceKind.POINTING, i, i + 2)
        if before.startswith(("ال", "بال", "لل", "وال")):
            return Reference(ReferenceKind.POINTING, i - 1, i + 1)
        is_name = word in ("ده", "دي", "دا") and i > 0 and after
        return None if is_name else Reference(ReferenceKind.WORD, i, i + 1)
    if _PREPOSITION.fullmatch(word) and before != "فيما" and not (after and (word[:2] == "في" or before == "كم")):
        return Reference(ReferenceKind.CLITIC, i, i + 1)
    if words[i].surface.endswith(("ة", "ًا", "اً", "ةً")) or _WHOLE.fullmatch(word) or without_clitic(word) == word:
        return None
    is_owner = is_aspect(without_clitic(word))
    if i and after and not is_owner and words[i - 1].role in (Role.NAME, Role.ASPECT) and before[:2] != "ال":
        return None  # "a stage that the author mentions": the noun is in the question
    if re.fullmatch(r".{2,}(?:ها|هما)|.{3,}هم", word):
        return Reference(ReferenceKind.CLITIC, i, i + 1)
    is_verb = words[i].role is Role.VERB
    if not word.endswith("ه") or len(word) < 4 or (word.endswith("يه") and not is_verb):
        return None
    is_construct = i > 0 and not after and words[i - 1].role is Role.ASPECT and not before.startswith("ال")
    is_pronoun = (
        (word.endswith("ته") and len(word) > 4)
        or _PLURAL.fullmatch(word) is not None
        or (is_owner and not after.startswith("ال") and not is_listed_aspect(word))
        or (is_verb and _VERB_WITH_OBJECT.fullmatch(word) is not None)
        or is_construct
        or tells_ta_marbuta
    )
    return Reference(ReferenceKind.CLITIC, i, i + 1) if is_pronoun else None


def _has_antecedent(text: str, words: Sequence[Word], reference: Reference) -> bool:
    """Tell whether something before in the question itself can be what is meant.

    An English object means no noun of its own clause ("does a shop need it"); a possessive may, and so may an Arabic
    pronoun, whose noun mostly comes first.
    """
    if reference.kind is ReferenceKind.POINTING:
        return False
    before, leaning = words[: reference.first], words[reference.last - 1].folded
    nouns = [word for word in before if word.role is Role.NAME or _ACTOR.fullmatch(word.folded)]
    if reference.kind is ReferenceKind.CLITIC:
        ending = re.search("(?:هما|هم|هن|ها|ه)$", leaning)
        is_like = _LIKE[ending[0]] if ending else None
        if any(word.folded in _RELATIVE.get(ending[0] if ending else "", ()) for word in before):
            return True
        if leaning.endswith("ها") and nouns and any(_FEMININE_VERB.fullmatch(word.folded) for word in before):
            return True
        return any(is_like is None or is_like.search(word.surface) for word in nouns)
    if reference.kind is ReferenceKind.POSSESSIVE or any(word.folded in _RELATIVE[""] for word in before):
        return bool(nouns)
    if leaning in ("one", "ones") and words[reference.last - 2].folded in _ORDINALS:
        return False
    if leaning in ("one", "ones"):
        return len(nouns) > (words[reference.last - 2].role is Role.NAME)
    if nouns and words[0].role is not Role.ASKING and before[-1].folded in ("is", "does", "do", "can", "should"):
        return True  # "customer acquisition cost, does it include salaries"
    return any(_CLAUSE.search(text, word.end, words[reference.first].start) for word in nouns)


def split_preposition(word: str) -> str | None:
    """Return what stays of a folded preposition without its pronoun, written out; None where it is none."""
    match = _PREPOSITION.fullmatch(word)
    return match["and"] + _HOSTS[match["host"]] if match else None


_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "last": -1,
    "1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "former": 1, "latter": 2,
    "اول": 1, "اولي": 1, "ثاني": 2, "ثانيه": 2, "تاني": 2, "تانيه": 2, "ثالث": 3, "ثالثه": 3, "تالت": 3, "تالته": 3,
    "رابع": 4, "رابعه": 4, "خامس": 5, "خامسه": 5, "سادس": 6, "سادسه": 6, "سابع": 7, "سابعه": 7,
    "اخير": -1, "اخيره": -1, "اخر": -1,
}  # fmt: skip
_NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "7": 7,
    "واحد": 1, "اثنين": 2, "اتنين": 2, "تلاته": 3, "ثلاثه": 3, "اربعه": 4, "خمسه": 5, "سته": 6, "سبعه": 7,
}  # fmt: skip
_ITEM = (
    r"(?:one|point|item|step|stage|option|type|kind|tip|mistake|way|method|reason|question|phase|rule|sign|نقطه"
    r"|خطوه|مرحله|"
    r"بند|خيار|نوع|نصيحه|خطا|طريقه|سبب|عنصر|واحد|واحده|علامه|قاعده)"
)
_PLACE = r"1st|2nd|3rd|4th|5th|first|second|third|fourth|fifth|sixth|seventh|last"
_ARABIC_PLACE = r"(?:اول|ثاني|تاني|ثالث|تالت|رابع|خامس|سادس|سابع|اخير)(?:ه|ي)?"
_ORDINAL = re.compile(
    rf"\b(?:the )?(?:{_PLACE}) {_ITEM}\b|\bthe (?:{_PLACE})(?=\W*$| (?:mean|means|work|is|about))"
    rf"|\bthe (?:former|latter)\b"
    rf"|\b{_ITEM} (?:number |no\.? ?|# ?)?(?:one|two|three|four|five|six|seven|[1-7])\b"
    rf"|(?<!\w)(?:[وفب]|عن )?(?:ال|لل){_ITEM} ال{_ARABIC_PLACE}(?!\w)"
    rf"|(?<!\w)(?:{_ARABIC_PLACE}|اخر) {_ITEM}(?!\w)"
    rf"|(?<!\w)(?:ال)?{_ITEM} رقم \w+"
    rf"|^(?:[وف]|ماذا عن |وماذا عن )?ال{_ARABIC_PLACE}(?=\W*$)"
)


def ordinal(folded: str) -> tuple[int, int, int] | None:
    """Find a place in a list that a folded question names: "the second one", "النقطة الثانية".

    Returns:
        ``(n, start, end)``: the 1-based place, -1 for the last one, and the span of its words; None without one.
    """
    match = _ORDINAL.search(folded)
    for word in re.findall(r"\w+", match[0])[::-1] if match else ():
        for form in (word, word.removeprefix("و").removeprefix("ال")):
            n = _ORDINALS.get(form) or _NUMBERS.get(form)
            if n and match and not (form == "one" and len(match[0].split()) > 1 and n == 1 and _names_place(match[0])):
                return (n, *match.span())
    return None


def _names_place(phrase: str) -> bool:
    """Tell whether another word than "one" says which: "the second one"."""
    return any(word in _ORDINALS for word in phrase.split())
