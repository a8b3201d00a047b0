"""What a sentence may not change of what its source says: numbers, dates, units, names, negation, who did it to whom.

Rules on folded text, for Arabic and English and between them. They look for contradictions and know nothing of meaning:
a sentence that passes may still say something else (see `rag.answering.support`), and a free paraphrase may fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass

from rapidfuzz.distance import OSA

from rag.text import Token, analyze, content_terms, fold, fold_text
from rag.text.transliteration import Transliterator, similarity

Translate = Callable[[str, str, str], Sequence[tuple[str, float]]]  # (term, from, to) -> [(term, probability)]

_PIECE = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[%$€£.;:،؛,-]")
_BREAKS = frozenset(".;:،؛,")


def _numbered(words: str, first: int = 1, step: int = 1) -> dict[str, float]:
    """Read ``"a/b c"`` as a, b: first; c: first + step."""
    return {
        word: float(first + i * step) for i, group in enumerate(fold_text(words).split()) for word in group.split("/")
    }


def _classes(**words: str) -> dict[str, str]:
    return {word: name for name, listed in words.items() for word in fold_text(listed).split()}


_UNITS = {
    **_numbered("two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
                "seventeen eighteen nineteen", 2),
    **_numbered("اثنان/اثنين/اثنتان/اثنتين/اثنا/اثني ثلاث/ثلاثة أربع/أربعة خمس/خمسة ست/ستة سبع/سبعة "
                "ثمان/ثماني/ثمانية تسع/تسعة عشر/عشرة", 2),
}  # fmt: skip
_TENS = {
    **_numbered("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10),
    **_numbered("عشرون/عشرين ثلاثون/ثلاثين أربعون/أربعين خمسون/خمسين ستون/ستين سبعون/سبعين ثمانون/ثمانين "
                "تسعون/تسعين", 20, 10),
}  # fmt: skip
_MAGNITUDES = {
    **dict.fromkeys(fold_text("hundred مئة مائة").split(), 1e2),
    **dict.fromkeys(fold_text("thousand ألف آلاف ألفا").split(), 1e3),
    **dict.fromkeys(fold_text("million مليون ملايين مليونا").split(), 1e6),
    **dict.fromkeys(fold_text("billion bn مليار مليارات مليارا بليون").split(), 1e9),
    **dict.fromkeys(fold_text("trillion تريليون تريليونات").split(), 1e12),
}
_TWICE = {
    **dict.fromkeys(fold_text("مئتان مئتين مائتان مائتين مئتي").split(), 2e2),
    **dict.fromkeys(fold_text("ألفان ألفين ألفي").split(), 2e3),
    **dict.fromkeys(fold_text("مليونان مليونين مليوني").split(), 2e6),
    **dict.fromkeys(fold_text("ملياران مليارين ملياري").split(), 2e9),
}
_PERCENT = frozenset(fold_text("% percent بالمئة بالمائة المئة المائة").split())
_RANGE = frozenset(fold_text("- to and or و إلى أو حتى").split())

_MONTHS = {
    **_numbered("january february march april may june july august september october november december"),
    **_numbered("يناير/جانفي فبراير/فيفري/شباط مارس/آذار أبريل/إبريل/أفريل/نيسان مايو/أيار يونيو/يونيه/جوان/حزيران "
                "يوليو/يوليه/جويلية/تموز أغسطس/أوت/آب سبتمبر/أيلول أكتوبر نوفمبر ديسمبر"),
}  # fmt: skip
_ALSO_WORDS = frozenset(fold_text("may march مارس أوت آب").split())  # a month only beside a number
_TIME = _classes(
    second="seconds ثوان ثواني",
    minute="minute minutes دقيقة دقائق دقيقتين دقيقتان",
    hour="hour hours hourly ساعة ساعات ساعتين ساعتان",
    day="day days daily يوم يوما أيام يومين يومان يوميا",
    week="week weeks weekly أسبوع أسابيع أسبوعا أسبوعين أسبوعان أسبوعيا",
    month="month months monthly شهر شهرا أشهر شهور شهرين شهران شهريا",
    year="year years yearly annual annually سنة سنوات سنين سنتين سنويا عاما أعوام عامين",
)
_MONEY = _classes(
    dollar="$ dollar dollars usd دولار دولارا دولارات",
    euro="€ euro euros eur يورو",
    pound="£ pound pounds جنيه جنيها جنيهات",
    riyal="riyal riyals sar ريال ريالا ريالات",
    dirham="dirham dirhams aed درهم درهما دراهم",
    dinar="dinar dinars دينار دينارا دنانير",
)

_NOT = frozenset(fold_text(
    "not no never without cannot nor neither none nobody nothing avoid لا لم لن ليس ليست ليسوا غير بدون دون عدم بلا "
    "مش مو مب تجنب تفاد تفادي"
).split())  # fmt: skip
_NO_NEGATION_BEFORE = frozenset(fold_text("only يزال تزال يزالون سيما بد فقط").split())
_EXCEPT = frozenset(fold_text("سوى إلا except").split())
_ADVERSATIVE = frozenset(fold_text("but بل لكن ولكن while بينما").split())
_SCOPE = 3  # content terms after a negation that it is about
_BESIDE_NAMES = frozenset(fold_text("بن ابن بنت أبو أبي عبد").split())
_LIKELY = 0.05
_PASSIVE = re.compile(
    r"\b(?:is|are|was|were|been|being|be)\s+(?:\w+\s+)?\w+(?:ed|en)\b|\bby\b|(?:^|\s)(?:من قبل|بواسطه|[يت]?تم)(?:\s|$)"
)
# Words that keep two sides apart in both languages: "more than", "into".
_PIVOTS = (re.compile(r"\bthan\b|\bا\w{3,4} (?:من|مما)\b"), re.compile(r"\binto\b|\bالي\b"))
_SOUNDS_ALIKE = 0.8  # a term whose translation sounds so much like it is a name


@dataclass(frozen=True, slots=True)
class Matcher:
    """Finds the terms of a sentence among those of its source; made by `of`.

    ``terms`` gives each term of the source its position, None where it stands more than once.
    """

    terms: dict[str, int | None]
    language: str
    translate: Translate
    transliterator: Transliterator

    @classmethod
    def of(cls, quote: str, language: str, translate: Translate, *, context: str = "") -> Matcher:
        """Read a source, and the title and headings it stands under."""
        quote = f"{quote}\n{context}"
        tokens = analyze(quote, language)
        places: dict[str, int | None] = {}
        for at, token in enumerate(tokens):
            places[token.term] = None if token.term in places else at
        words = {fold_text(quote[token.start : token.end]) for token in tokens}
        return cls(places, language, translate, Transliterator(words | places.keys(), language))

    def find(self, token: Token, text: str, language: str) -> tuple[float, int | None]:
        """Return how surely a term is there, in [0, 1], and where, if its place is known."""
        if token.term in self.terms:
            return 1.0, self.terms[token.term]
        if language != self.language:
            options = [
                (p, term) for term, p in self.translate(token.term, language, self.language) if term in self.terms
            ]
            if options:
                return min(1.0, 1.5 * sum(p for p, _ in options)), self.terms[max(options)[1]]
            alike = self.transliterator.find(text[token.start : token.end], language)
            return (0.8, self.terms.get(alike[0][0])) if alike else (0.0, None)
        near = [term for term in self.terms if _is_variant(token.term, term)]
        return (0.7, self.terms[near[0]]) if near else (0.0, None)


def contradiction(sentence: str, quote: str, language: str, matcher: Matcher) -> str:
    """Return which rule a sentence breaks against its source, empty if none.

    Args:
        sentence: What was written.
        quote: What it is said to come from.
        language: ISO 639-1 code of the sentence.
        matcher: Made of ``quote``.

    Returns:
        ``"number"`` (a number, percentage or magnitude that the source has not), ``"date"`` (a month), ``"unit"`` (of
        time or money), ``"name"``, ``"negation"`` (said by one and not by the other), ``"order"`` (the two sides of a
        relation have changed places), or ``""``.
    """
    said, source = _PIECE.findall(fold_text(sentence)), _PIECE.findall(fold_text(quote))
    found = set().union(*_numbers(source))
    has_dual = matcher.language == "ar" and any(len(word) > 4 and word.endswith(("ين", "ان")) for word in source)
    for readings in _numbers(said):
        if readings.isdisjoint(found) and not (has_dual and (2.0, False) in readings):
            return "number"
    if not _months(said, is_strict=True) <= _months(source, is_strict=False) | _month_numbers(quote):
        return "date"
    for units in (_TIME, _MONEY):
        theirs = _units(source, units)
        if theirs and not _units(said, units) <= theirs:
            return "unit"
    tokens = analyze(sentence, language)
    content = set(content_terms(sentence, language))
    if _is_name_missing(tokens, content, sentence, language, matcher):
        return "name"
    if _is_negation_changed(sentence, quote, language, matcher):
        return "negation"
    content_tokens = [token for token in tokens if token.term in content]
    if not _PASSIVE.search(fold_text(sentence)) and not _PASSIVE.search(fold_text(quote)):
        if _is_turned_round(sentence, quote, content_tokens, language, matcher):
            return "order"
    return ""


def _is_variant(term: str, other: str) -> bool:
    """Tell whether two terms of one language are forms of one word as far as spelling can tell."""
    longest = max(len(term), len(other))
    return term.isalpha() and min(len(term), len(other)) >= 4 and OSA.distance(term, other) <= (2 if longest > 6 else 1)


def _numbers(pieces: Sequence[str]) -> Iterator[frozenset[tuple[float, bool]]]:
    """Yield the numbers of a text but 0 and 1, each as all it may be read as: ``(value, whether a percentage)``."""
    found: list[tuple[float, float, bool, bool]] = []  # value, magnitude, is a percentage, another follows in a range
    at = 0
    while at < len(pieces):
        value, end = _value(pieces, at)
        if value is None:
            at += 1
            continue
        magnitude = 1.0
        while end < len(pieces) and pieces[end] in _MAGNITUDES:
            magnitude *= _MAGNITUDES[pieces[end]]
            end += 1
        rest = pieces[end : end + 2]
        is_percent = bool(rest) and (
            rest[0] in _PERCENT or rest in (["per", "cent"],) or _PERCENT >= set(rest[1:]) > set() and rest[0] == "في"
        )
        following = next((word for word in pieces[end : end + 2] if word not in _RANGE), "").removeprefix("و")
        has_next = (
            bool(rest) and (rest[0] in _RANGE or rest[0].startswith("و")) and _value([following], 0)[0] is not None
        )
        found.append((value, magnitude, is_percent, has_next))
        at = end
    for i, (value, magnitude, is_percent, has_next) in enumerate(found):
        if value * magnitude in (0.0, 1.0):
            continue
        readings = {(value * magnitude, is_percent)}
        if has_next and magnitude == 1.0 and i + 1 < len(found):
            _, shared, is_shared_percent, _ = found[i + 1]
            readings |= {(value * shared, is_percent or is_shared_percent)}
        yield frozenset(readings)


def _value(pieces: Sequence[str], at: int) -> tuple[float | None, int]:
    """Read the number that begins at ``at``; return it, None where there is none, and where it ends."""
    word = pieces[at]
    if word[0].isdigit():
        return _digits(word), at + 1
    bare = word.removeprefix("و") if word not in _UNITS else word
    if bare in _TWICE:
        return _TWICE[bare], at + 1
    if bare in _MAGNITUDES and bare not in fold_text("آلاف ملايين مليارات تريليونات").split():
        return 1.0, at
    if bare in _TENS:
        has_unit = at + 1 < len(pieces) and pieces[at + 1] in _UNITS and _UNITS[pieces[at + 1]] < 10 and bare.isascii()
        skip = at + 1 < len(pieces) and pieces[at + 1] == "-" and at + 2 < len(pieces) and pieces[at + 2] in _UNITS
        if skip or has_unit:
            unit = pieces[at + 2] if skip else pieces[at + 1]
            return _TENS[bare] + _UNITS[unit], at + (3 if skip else 2)
        return _TENS[bare], at + 1
    if bare in _UNITS:
        following = pieces[at + 1] if at + 1 < len(pieces) else ""
        if not bare.isascii() and following in ("عشر", "عشره") and _UNITS[bare] < 10:
            return 10 + _UNITS[bare], at + 2
        if not bare.isascii() and following.startswith("و") and following[1:] in _TENS:
            return _UNITS[bare] + _TENS[following[1:]], at + 2
        return _UNITS[bare], at + 1
    return None, at


def _digits(word: str) -> float:
    """Read a number in digits: a comma or point before three digits sets off thousands where several could."""
    groups = re.split("[.,]", word)
    if len(groups) > 1 and all(len(group) == 3 for group in groups[1:]) and ("," in word or len(groups) > 2):
        return float("".join(groups))
    return float(groups[0] + "." + "".join(groups[1:])) if len(groups) > 1 else float(word)


def _months(pieces: Sequence[str], *, is_strict: bool) -> set[float]:
    found = set()
    for at, word in enumerate(pieces):
        beside = [*pieces[max(0, at - 1) : at], *pieces[at + 1 : at + 2]]
        is_date = any(piece[0].isdigit() for piece in beside)
        if word in _MONTHS and (is_date or not is_strict or word not in _ALSO_WORDS):
            found.add(_MONTHS[word])
    return found


def _month_numbers(text: str) -> set[float]:
    """Return what may be the month in dates such as 2024-03-12 and 12/3/2024."""
    dates = re.findall(r"\b\d{1,4}[-/.](\d{1,2})[-/.]\d{1,4}\b|\b(\d{1,2})/\d{1,2}/\d{4}\b", fold_text(text))
    return {float(month) for date in dates for month in date if month}


def _units(pieces: Sequence[str], units: dict[str, str]) -> set[str]:
    return {
        units[bare]
        for word in pieces
        for bare in (word, word.removeprefix("ال"), word.removeprefix("ب"), word.removeprefix("و"))
        if bare in units
    }


def _is_name_missing(tokens: Sequence[Token], content: Set[str], text: str, language: str, matcher: Matcher) -> bool:
    """Tell whether a name is not in the source; of a name of several words in the other script half must be found."""
    runs: list[list[Token]] = []
    end = -1
    for at, token in enumerate(tokens):
        if token.term in content and _is_name(at, tokens, text, language, matcher):
            if not runs or text[end : token.start].strip(" -"):
                runs.append([])
            runs[-1].append(token)
            end = token.end
    for run in runs:
        found = sum(matcher.find(token, text, language)[0] > 0 for token in run)
        if found < (len(run) if language == matcher.language else len(run) / 2):
            return True
    return False


def _is_name(at: int, tokens: Sequence[Token], text: str, language: str, matcher: Matcher) -> bool:
    token = tokens[at]
    surface = text[token.start : token.end]
    if not token.term[0].isalpha():
        return False
    if not surface[0].isascii():
        neighbours = (*tokens[max(0, at - 1) : at], *tokens[at + 1 : at + 2])
        words = {fold_text(text[other.start : other.end]) for other in neighbours}
        return language == "ar" and (not _BESIDE_NAMES.isdisjoint(words) or _is_known_name(token, "ar", matcher))
    if language == "ar":
        return len(surface) > 1
    if language != "en" or surface == surface.lower():
        return False
    return at > 0 or surface[1:] != surface[1:].lower() or _is_known_name(token, "en", matcher)


def _is_known_name(token: Token, language: str, matcher: Matcher) -> bool:
    """Tell whether the dictionary shows a term to be a name: it has no translation, or one that sounds like it.

    Arabic has too many forms of a word for "no translation" to tell anything where the source is not Arabic too.
    """
    options = matcher.translate(token.term, language, "en" if language == "ar" else "ar")
    if not options:
        return language in (matcher.language, "en")
    if options[0][0] == token.term:
        return True
    others = [other for other, p in options if p >= _LIKELY]
    alike = [similarity(token.term, o) if language == "ar" else similarity(o, token.term) for o in others]
    return max(alike, default=0.0) >= _SOUNDS_ALIKE


def _is_negation_changed(sentence: str, quote: str, language: str, matcher: Matcher) -> bool:
    said, source = _negated(sentence, language), _negated(quote, matcher.language)
    if bool(said) == bool(source):
        return False
    if said:
        return True
    back = Matcher.of(sentence, language, matcher.translate)
    for scope in source:
        hits = sum(back.find(token, quote, matcher.language)[0] > 0 for token in scope)
        if scope and 2 * hits >= len(scope):
            return True
    return False


def _negated(text: str, language: str) -> list[list[Token]]:
    """Return what each negation of a text is about: the content terms after it, up to the end of the clause."""
    content = set(content_terms(text, language))
    tokens = analyze(text, language)
    words = [fold_text(text[token.start : token.end]) for token in tokens]
    scopes = []
    for at, word in enumerate(words):
        bare = word[1:] if word[:1] in "وف" and word not in _NOT else word
        following = words[at + 1 : at + 7]
        if not (bare in _NOT or word.endswith("n't")) or (following and following[0] in _NO_NEGATION_BEFORE):
            continue
        if not _EXCEPT.isdisjoint(following):
            continue
        scope: list[Token] = []
        for i in range(at + 1, len(tokens)):
            gap = text[tokens[i - 1].end : tokens[i].start]
            if words[i] in _ADVERSATIVE or any(mark in gap for mark in _BREAKS) or len(scope) == _SCOPE:
                break
            if tokens[i].term in content:
                scope.append(tokens[i])
        scopes.append(scope)
    return scopes


def _is_turned_round(sentence: str, quote: str, tokens: Sequence[Token], language: str, matcher: Matcher) -> bool:
    """Tell whether three terms x, r, y of the sentence stand in the source as y, r, x.

    Between languages, where the order of a noun and its modifiers differs, r is a comparison only.
    """
    order = [(token.start, matcher.find(token, sentence, language)[1]) for token in tokens]
    placed = [(start, place) for start, place in order if place is not None]
    pivots = list(placed) if language == matcher.language else []
    said, source = fold(sentence), fold_text(quote)
    for pivot in _PIVOTS:
        here, there = pivot.search(said.text), pivot.search(source)
        if here and there:
            pivots.append((said.offsets[here.end()], len(analyze(source[: there.end()], matcher.language)) - 1))
    return any(
        x_start < r_start < y_start and y_place < r_place < x_place
        for r_start, r_place in pivots
        for x_start, x_place in placed
        for y_start, y_place in placed
    )
