"""Silver questions and careless spelling: what the pairs are made from, by rule. Pure functions of text and a seed."""

from __future__ import annotations

import re

import numpy as np

from training.data import clean

# ------------------------------------------------------------------------------------------ cropping

_SENTENCE_END = re.compile(r"(?<=[.!?؟۔])\s+|\n+")


def sentences(text: str) -> list[str]:
    """Cut a text into sentences, roughly: at stops and line ends."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def crop(text: str, words: int, rng: np.random.Generator, *, around: int = -1) -> str:
    """Return up to ``words`` words of a text.

    Args:
        text: The passage.
        words: At most this many words are kept.
        rng: Chooses where the window lies.
        around: A character offset that the window must hold; -1 for none, and then the text's beginning is
            kept in half of the cases.
    """
    parts = text.split(" ")
    if len(parts) <= words:
        return text
    if around >= 0:
        at = text.count(" ", 0, around)
        low, high = max(0, at - words + words // 4), min(at, len(parts) - words)
        start = int(rng.integers(min(low, high), high + 1))
    else:
        start = 0 if rng.random() < 0.5 else int(rng.integers(0, len(parts) - words + 1))
    return " ".join(parts[start : start + words])


# ------------------------------------------------------------------------------------- silver questions

_AR_IS = re.compile(
    r"^(?P<x>(?:\w+\s){0,5}\w+)\s*(?:\([^)]*\)\s*)?،?\s(?P<verb>هو|هي)\s(?P<rest>\w+(?:\s\w+){2,})", re.UNICODE
)
_AR_MONTHS = "يناير|فبراير|مارس|أبريل|إبريل|ابريل|مايو|يونيو|يوليو|أغسطس|اغسطس|سبتمبر|أكتوبر|اكتوبر|نوفمبر|ديسمبر"
_AR_DATE = re.compile(
    r"\s*(?:،\s*)?(?:(?<!\w)[وفلب]?(?:في|بتاريخ|يوم|منذ|حتى|خلال)\s+)?"
    r"(?P<answer>(?:(?<!\w)[وفلب]?(?:ال)?(?:عام|سنة|يوم)\s)?"
    rf"(?:\d{{1,2}}\s(?:{_AR_MONTHS})\s?)?(?:(?<!\w)(?:{_AR_MONTHS})\s)?(?:(?<!\w)(?:عام|سنة)\s)?"
    r"(?<!\w)(?:1[0-9]{3}|20[0-2][0-9])(?:\s?م)?\b)"
)
_AR_NUMBER = re.compile(
    rf"(?:حوالي|نحو|قرابة)?\s*\b(?P<n>\d[\d,.٫]*)\s(?!{_AR_MONTHS})(?P<unit>(?:مليون |ألف |آلاف )?[ء-ي]{{3,}})"
)
_AR_VERB = re.compile(
    r"^(?P<verb>ولد|ولدت|توفي|توفيت|أسس|أسست|تأسس|تأسست|فاز|فازت|بدأ|بدأت|انتقل|انتقلت|حصل|حصلت|تزوج|تزوجت|درس|درست|"
    r"عمل|عملت|شارك|شاركت|تخرج|تخرجت|كتب|كتبت|تقع|يقع|تولى|تولت|اشتهر|اشتهرت|نشأ|نشأت|أصدر|أصدرت|كان|كانت|قام|قامت)\s"
    r"(?P<rest>.+)$"
)
_AR_WHERE = re.compile(r"\s(?:في|إلى)\s(?P<place>(?:مدينة|قرية|محافظة|ولاية|جامعة|مدرسة|كلية|حي|دولة)\s\w+(?:\s\w+)?)")
_EN_IS = re.compile(r"^(?P<x>(?:[\w'-]+\s){0,5}[\w'-]+)\s(?P<verb>is|are)\s(?P<rest>(?:an?|the)\s\w+.{15,})$")
_EN_CAN = re.compile(r"^(?P<head>You can|You must|You need to|To)\s(?P<rest>\w+\s.{10,90}?)(?:,|\.|$)")
_MARKS = re.compile("[\u064b-\u065f\u0670ـ]")
_PRONOUNS = frozenset("هو هي هم هذا هذه ذلك تلك وهو وهي كما ثم الذي التي كان كانت وقد قد كل ما من".split())


def chosen(options: list[str], rng: np.random.Generator) -> str:
    """Return one of the options."""
    return options[int(rng.integers(len(options)))]


def arabic_questions(sentence: str, title: str, rng: np.random.Generator) -> list[str]:
    """Make questions that an Arabic sentence answers, by rule, each without the part that answers it.

    Args:
        sentence: One statement.
        title: The article's title, to name what a verb's missing subject is; may be empty.
        rng: Chooses among wordings.

    Returns:
        No, one or some questions.
    """
    return [question for question, _, _ in arabic_answers(sentence, title, rng)]


def arabic_answers(sentence: str, title: str, rng: np.random.Generator) -> list[tuple[str, str, int]]:
    """Make questions as `arabic_questions` does, each with its answer and where in the sentence that begins.

    The answer is "" and its place -1 where it is not known; a sentence with diacritics is read without them, and so
    are the places.
    """
    found: list[tuple[str, str, int]] = []
    s = _MARKS.sub("", sentence).strip().rstrip(".؛،")
    words = s.split()
    if not 5 <= len(words) <= 45:
        return found
    if (m := _AR_IS.match(s)) and m["x"].split()[0] not in _PRONOUNS and len(m["x"]) > 2:
        she = m["verb"] == "هي"
        ask = chosen(
            [f"ما {m['verb']} {m['x']}؟", f"من {m['verb']} {m['x']}؟", f"ماذا يعني {m['x']}؟", f"عرف {m['x']}",
             f"{'ايه هي' if she else 'ايه هو'} {m['x']}؟", f"ما المقصود ب{m['x']}؟"], rng
        )  # fmt: skip
        found.append((ask, s[m.start("rest") :], m.start("rest")))
    date = _AR_DATE.search(s)
    bare = (s[: date.start()] + " " + s[date.end() :]).strip() if date else ""
    about = "" if not title or title in s else f" {title}"
    if date and len(bare.split()) >= 3:
        clause = _clause(s, date.start(), date.end())
        if len(clause.split()) >= 2:
            ask = chosen(["متى", "في أي عام", "في أي سنة", "متى", "امتى"], rng)
            found.append((f"{ask} {clause}{about}؟", date["answer"], date.start("answer")))
    if number := _AR_NUMBER.search(s):
        clause = _clause(s, number.start(), number.end())
        if not (date and date.start() <= number.start() < date.end()) and len(clause.split()) >= 2:
            ask = f"كم {chosen(['عدد ', '', 'يبلغ عدد '], rng)}{number['unit']} {clause}{about}؟"
            found.append((ask, number.group(0).lstrip(), number.start() + len(number[0]) - len(number[0].lstrip())))
    if (place := _AR_WHERE.search(s)) and (verb := _AR_VERB.match(s)):
        rest = verb["rest"].replace(place.group(0).strip(), " ").strip()
        rest = " ".join(rest.split()[: int(rng.integers(3, 9))])
        ask = f"{chosen(['أين', 'في أي مكان', 'فين'], rng)} {verb['verb']}{about} {rest}؟"
        found.append((ask, place["place"], place.start("place")))
    elif (verb := _AR_VERB.match(s)) and verb["verb"] not in ("كان", "كانت") and title:
        rest = " ".join(verb["rest"].split()[: int(rng.integers(3, 8))])
        found.append((f"{chosen(['من', 'من الذي', 'مين'], rng)} {verb['verb']} {rest}؟", "", -1))
    return [(clean(q), answer, at) for q, answer, at in found if 3 <= len(q.split()) <= 22]


def _clause(sentence: str, start: int, end: int) -> str:
    """Return the clause around a span, without the span: between commas, up to ten words."""
    left = max(sentence.rfind("،", 0, start), sentence.rfind(",", 0, start), sentence.rfind("(", 0, start)) + 1
    right = min((p for p in (sentence.find("،", end), sentence.find(",", end)) if p >= 0), default=len(sentence))
    before = sentence[left:start].split()[-8:]
    after = sentence[end:right].split()[: max(2, 10 - len(before))]
    return " ".join(w.strip("()[]«»\"'") for w in before + after)


def english_questions(sentence: str) -> list[str]:
    """Make questions that an English sentence answers, by rule: "X is a ..." and "You can ...". May be empty."""
    s = sentence.strip().rstrip(".")
    if (m := _EN_IS.match(s)) and m["x"].split()[0].lower() not in {"this", "it", "there", "that", "these", "here"}:
        return [f"What {m['verb']} {m['x']}?"]
    if m := _EN_CAN.match(s):
        return [f"How {'do I' if m['head'] != 'You must' else 'must I'} {m['rest'].strip()}?"]
    return []


# ------------------------------------------------------------------------------------------ augmentation

_KEYS = ["ضصثقفغعهخحجد", "شسيبلاتنمكط", "ئءؤرىةوزظ"]
_NEAR = {c: row[i - 1 : i] + row[i + 1 : i + 2] for row in _KEYS for i, c in enumerate(row)}
_DIALECT = {
    "ما هو": ["ايه هو", "شنو", "وش هو", "شو هو"], "ما هي": ["ايه هي", "شنو", "وش هي", "شو هي"],
    "ماذا": ["ايه", "شنو", "وش", "شو"], "لماذا": ["ليه", "ليش", "علاش"], "كيف": ["ازاي", "شلون", "كيفاش"],
    "متى": ["امتى", "متي"], "أين": ["فين", "وين"], "من هو": ["مين", "مين هو", "منو"], "كم": ["كام"],
}  # fmt: skip


def augment_arabic(text: str, rng: np.random.Generator, *, rate: float = 0.35) -> str:
    """Write an Arabic query the careless way, sometimes: letter forms, articles, slips, dialect question words.

    Args:
        text: A query.
        rng: Decides.
        rate: The share of queries that are changed at all.
    """
    if rng.random() >= rate:
        return text
    for formal, colloquial in _DIALECT.items():
        if text.startswith(formal + " ") and rng.random() < 0.4:
            text = chosen(colloquial, rng) + text[len(formal) :]
            break
    hamza, ta, ya = rng.random(3) < 0.5
    words = text.split()
    for i, word in enumerate(words):
        if hamza:
            word = re.sub("[أإآ]", "ا", word)
        if ta and word.rstrip("؟").endswith("ة"):
            word = word.replace("ة", "ه")
        if ya:
            word = re.sub("ى(؟?)$", r"ي\1", word) if rng.random() < 0.5 else re.sub("ي(؟?)$", r"ى\1", word)
        draw = rng.random()
        if draw < 0.08 and word.startswith("ال") and len(word) > 5:
            word = word[2:]
        elif draw < 0.11 and len(word) > 4 and "\u0621" <= word[1] <= "\u064a":
            at = int(rng.integers(1, len(word) - 1))
            kind = int(rng.integers(3))
            if kind == 0:
                word = word[:at] + word[at + 1 :]
            elif kind == 1:
                word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
            else:
                word = word[:at] + (_NEAR.get(word[at]) or word[at])[0] + word[at + 1 :]
        words[i] = word
    text = " ".join(words)
    return text.rstrip("؟ ") if rng.random() < 0.3 else text
