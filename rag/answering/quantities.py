"""The numbers, months and units of a text in Arabic or English, in digits or in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rag.text import fold_text

_PIECE = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[%$€£.;:،؛,-]")


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
TIME = _classes(
    second="seconds ثوان ثواني",
    minute="minute minutes دقيقة دقائق دقيقتين دقيقتان",
    hour="hour hours hourly ساعة ساعات ساعتين ساعتان",
    day="day days daily يوم يوما أيام يومين يومان يوميا",
    week="week weeks weekly أسبوع أسابيع أسبوعا أسبوعين أسبوعان أسبوعيا",
    month="month months monthly شهر شهرا أشهر شهور شهرين شهران شهريا",
    year="year years yearly annual annually سنة سنوات سنين سنتين سنويا عاما أعوام عامين",
)
MONEY = _classes(
    dollar="$ dollar dollars usd دولار دولارا دولارات",
    euro="€ euro euros eur يورو",
    pound="£ pound pounds جنيه جنيها جنيهات",
    riyal="riyal riyals sar ريال ريالا ريالات",
    dirham="dirham dirhams aed درهم درهما دراهم",
    dinar="dinar dinars دينار دينارا دنانير",
)


def pieces_of(text: str) -> list[str]:
    """Cut a text, folded, into the words, numbers and signs that the functions here read."""
    return _PIECE.findall(fold_text(text))


def numbers(pieces: Sequence[str]) -> Iterator[frozenset[tuple[float, bool]]]:
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
    if word[:1].isdecimal():
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


def months(pieces: Sequence[str], *, is_strict: bool) -> set[float]:
    """Return the months named, 1 to 12; strictly, a word such as "may" is a month beside a number only."""
    found = set()
    for at, word in enumerate(pieces):
        beside = [*pieces[max(0, at - 1) : at], *pieces[at + 1 : at + 2]]
        is_date = any(piece[0].isdigit() for piece in beside)
        if word in _MONTHS and (is_date or not is_strict or word not in _ALSO_WORDS):
            found.add(_MONTHS[word])
    return found


def month_numbers(text: str) -> set[float]:
    """Return what may be the month in dates such as 2024-03-12 and 12/3/2024."""
    dates = re.findall(r"\b\d{1,4}[-/.](\d{1,2})[-/.]\d{1,4}\b|\b(\d{1,2})/\d{1,2}/\d{4}\b", fold_text(text))
    return {float(month) for date in dates for month in date if month}


def units(pieces: Sequence[str], classes: dict[str, str]) -> set[str]:
    """Return the units of one kind, `TIME` or `MONEY`, that a text names."""
    return {
        classes[bare]
        for word in pieces
        for bare in (word, word.removeprefix("ال"), word.removeprefix("ب"), word.removeprefix("و"))
        if bare in classes
    }
