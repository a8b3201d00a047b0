"""A cell's value as a sheet shows it: its number format applied, as far as a reader would miss it."""

from __future__ import annotations

import datetime
import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache

_PARTS = re.compile(r'"([^"]*)"|\\(.)|_.|\*.|\[\$([^\]\-]*)(?:-[^\]]*)?\]|\[[^\]]*\]|(.)')
_DIGITS = re.compile(r"[#0?](?:[#0?,]*[#0?])?(,*)(?:\.([0#?]+))?")
_SECONDS_A_DAY = 86_400


def shown(value: object, number_format: str = "General") -> str:
    """Return a value as text.

    Args:
        value: Text, a number, a truth value, a date, a time or a span of time.
        number_format: The spreadsheet's code, such as ``0.0%`` or ``"$"#,##0.00``.
    """
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return number(value, number_format)
    if isinstance(value, datetime.datetime):
        day, moment = value.date().isoformat(), value.time()
        return day if moment == datetime.time() else f"{day} {_clock(moment)}"
    if isinstance(value, datetime.time):
        return _clock(value)
    if isinstance(value, datetime.timedelta):
        seconds = round(abs(value.total_seconds()))
        sign = "-" if value < datetime.timedelta() else ""
        clock = f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}"
        return f"{clock}:{seconds % 60:02}" if seconds % 60 else clock
    return str(value)


def _clock(moment: datetime.time) -> str:
    moment = moment.replace(microsecond=0)
    return moment.isoformat("seconds" if moment.second else "minutes")


def number(value: float, number_format: str) -> str:
    """Return a number by its format: decimals, thousands, percent and the words around it; plain where it has none."""
    if number_format == "General":
        return plain(value)
    before, digits, after = _split(number_format.split(";")[0])
    found = _DIGITS.fullmatch(digits)
    if not found:
        return plain(value)
    decimals = len(found[2] or "")
    least = len((found[2] or "").rstrip("#?"))
    try:
        amount = Decimal(repr(value)).scaleb(2 if "%" in before + after else 0).scaleb(-3 * len(found[1]))
        rounded = abs(amount).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    except InvalidOperation:  # infinite, not a number, or of more digits than any sheet shows
        return plain(value)
    text = f"{rounded:,f}" if "," in digits.removesuffix(found[1]).split(".")[0] else f"{rounded:f}"
    whole, _, fraction = text.partition(".")
    while len(fraction) > least and fraction.endswith("0"):
        fraction = fraction[:-1]
    sign = "-" if amount < 0 and rounded else ""
    whole = whole.zfill(digits.split(".")[0].count("0"))
    return f"{sign}{before}{whole}{'.' + fraction if fraction else ''}{after}".strip()


def plain(value: float) -> str:
    """Return a number without a format, as a sheet shows it: up to 15 digits, none after the point without need."""
    if isinstance(value, int) and abs(value) < 10**15:
        return str(value)
    return f"{value:.15g}" if abs(value) < 1e308 else str(value)


@lru_cache(maxsize=1024)
def _split(code: str) -> tuple[str, str, str]:
    """Return the words before the digits of a format, the digits, and the words after them."""
    before, digits, after = "", "", ""
    for quoted, escaped, currency, other in _PARTS.findall(code):
        literal = quoted or escaped or currency
        if other and other in "#0?,." and not after:
            digits += other
        elif digits:
            after += literal or other
        else:
            before += literal or other
    if not digits or re.search("[a-zA-Z@/]", re.sub(r'"[^"]*"|\\.|\[[^\]]*\]', "", code)):
        return "", "", ""  # General, a fraction, an exponent, a date
    return before, digits, after
