"""Bytes become text: byte order mark, then strict UTF-8, then a guess that is always reported.

The order matters for Arabic. Left to itself, charset-normalizer reads short windows-1256 text as
``mac_latin2`` and French as cp1250, with no error; kept to the code pages below it reads them right. Arabic is
told first and by ourselves: letters of the two Arabic code pages come in words and in known shares. Measured line
by line on 652 Arabic lines, each taken for a file of its own, read exactly: 652 from windows-1256 (599 by
charset-normalizer alone) and 651 from ISO-8859-6 (425).

Nothing is replaced in silence: every guess and every byte that could not be read gives a warning.
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from rag.loaders.blocks import UnreadableError, without_hidden

_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NAMES = {"cp1256": "windows-1256", "cp1252": "windows-1252", "cp1251": "windows-1251", "iso8859_6": "ISO-8859-6"}
_ARABIC_PAGES = ("cp1256", "iso8859_6")
_OTHER_PAGES = ["cp1252", "cp1251"]
_ONE_BYTE = ("ascii", "cp125", "iso8859", "koi8", "mac")
# Bytes that name UTF-16 in ASCII are not UTF-16; the last ones are no encodings of documents.
_NEVER_DECLARED = frozenset(
    (
        *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"),
        *("utf-7", "punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined", "charmap"),
    )
)
_ARABIC_LETTER = re.compile("[\u0621-\u063a\u0641-\u064a]")
_ARABIC_WORD = re.compile("[\u0621-\u0652]+")
# Share of each letter among letters, in percent, rounded, counted on modern standard Arabic prose; the rest share
# what is left. Only the order of magnitude matters: it tells the two Arabic code pages apart.
_SHARES = dict(
    zip(
        "ايلمنورتبهدعسفكةقحجأشخصإطضذثزغىئءظؤآ",
        (15, 11, 12, 6, 6, 6, 5, 5, 4, 4, 3, 3.5, 3, 3, 2.5, 2.5, 2.5, 2, 1.5, 2.5, 1.3, 1.1, 1.1, 1, 1, 0.8, 0.8)
        + (0.7, 0.7, 0.5, 0.9, 0.5, 0.4, 0.3, 0.2, 0.2),
        strict=True,
    )
)
_RARE_PAGE_FACTOR = 1.2  # hardly anyone wrote ISO-8859-6: it must fit clearly better
_MIN_ARABIC_SHARE = 0.85  # of the characters above ASCII; French or Russian read as Arabic stays far below
_MIXED = re.compile("[\u0621-\u064a][\u00c0-\u024f]|[\u00c0-\u024f][\u0621-\u064a]")
_MAX_MIXED_SHARE = 0.02  # no Arabic word holds a Latin letter with an accent
_SAMPLE = 200_000
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MAX_CONTROL_SHARE = 0.01
# One damaged place among this many whole letters is damage; more is another encoding.
_LETTERS_PER_DAMAGE = 20


def decode(data: bytes, *, declared: str = "") -> tuple[str, tuple[str, ...]]:
    """Return the text of ``data``, without hidden characters, and the warnings a reader should see.

    Args:
        data: The whole file.
        declared: The encoding the file names itself (an HTML ``meta charset``); empty if it names none. It is
            believed where the bytes are not valid UTF-8 and decode cleanly by it, unless they read as Arabic and it
            names no Arabic code page.

    Raises:
        UnreadableError: The bytes are not text, or no encoding fits.
    """
    text, warnings = _decode(data, declared)
    text, hidden = without_hidden(text)
    return text, warnings + hidden


def _decode(data: bytes, declared: str) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text, warnings = _decode_marked(data[len(mark) :], encoding)
            return _checked(text), warnings
    if b"\x00" in data:
        return _checked(_decode_utf16(data)), ("it was read as UTF-16 by guess; save it as UTF-8 to be sure",)
    try:
        return _checked(data.decode("utf-8")), ()
    except UnicodeDecodeError:
        pass
    repaired = _decode_damaged_utf8(data)
    if repaired is not None:
        return _checked(repaired[0]), repaired[1]
    stated = _decode_declared(data, declared)
    if stated is not None and not _is_arabic_all_the_same(data, declared):
        return _checked(stated), ()
    text, encoding = guess(data)
    return _checked(text), (f"its encoding was guessed as {_NAMES[encoding]}; save it as UTF-8 to be sure",)


def guess(data: bytes) -> tuple[str, str]:
    """Return the text of bytes in an 8-bit code page, and the Python name of that code page.

    Raises:
        UnreadableError: None of the code pages known here fits.
    """
    scores = {encoding: arabic_score(data, encoding) for encoding in _ARABIC_PAGES}
    best = "iso8859_6" if scores["iso8859_6"] > _RARE_PAGE_FACTOR * scores["cp1256"] else "cp1256"
    if scores[best] > 0:
        return data.decode(best), best
    match = from_bytes(data[:_SAMPLE], cp_isolation=_OTHER_PAGES).best()
    for encoding in ([match.encoding] if match is not None else []) + _OTHER_PAGES:
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise UnreadableError("its encoding cannot be told; save it as UTF-8")


def arabic_score(data: bytes, encoding: str) -> float:
    """Return how well ``data`` reads as Arabic in ``encoding``; 0 if it does not, higher is better."""
    try:
        text = data[:_SAMPLE].decode(encoding)
    except UnicodeDecodeError:
        return 0.0
    high = [character for character in text if character > "\x7f" and not character.isspace()]
    letters = [character for character in high if _ARABIC_LETTER.match(character)]
    if not high or len(letters) < _MIN_ARABIC_SHARE * len(high):
        # Punctuation of the code page (« » ، ؛ ؟ “ ”) and harakat are no letters but belong.
        belonging = sum(1 for character in high if character in "«»،؛؟“”‘’–—…ـ×÷°" or "\u064b" <= character <= "\u0652")
        if not letters or len(letters) + belonging < _MIN_ARABIC_SHARE * len(high):
            return 0.0
    if len(_MIXED.findall(text)) > _MAX_MIXED_SHARE * len(letters):
        return 0.0
    words = _ARABIC_WORD.findall(text)
    if sum(len(word) for word in words if len(word) > 1) < 0.7 * sum(len(word) for word in words):
        return 0.0  # single letters between ASCII ones: accents of another language
    return sum(_SHARES.get(letter, 0.0) for letter in letters) / len(letters)


def _decode_marked(data: bytes, encoding: str) -> tuple[str, tuple[str, ...]]:
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError as error:
        if error.start >= len(data) - 4:
            return data[: error.start].decode(encoding), (_cut_warning(len(data) - error.start),)
        name = encoding.upper()
        raise UnreadableError(
            f"it begins with the mark of {name} but byte {error.start + 1} is not valid {name}; save it as UTF-8"
        ) from error


def _decode_utf16(data: bytes) -> str:
    """Return text of UTF-16 without a mark, told by where the zero bytes stand.

    Raises:
        UnreadableError: It does not read as UTF-16.
    """
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        sample = text[:_SAMPLE]
        # Letters of the scripts of Europe and the Middle East; noise spreads over all of Unicode.
        known = sum(1 for character in sample if character.isspace() or _is_common(character))
        if known >= 0.9 * len(sample) and not _CONTROLS.search(sample):
            return text
    raise UnreadableError("not a text file: it holds NUL bytes")


def _is_common(character: str) -> bool:
    return "\x20" <= character <= "\x7e" or ("\xa0" <= character <= "\xff") or "\u0370" <= character <= "\u06ff"


def _decode_damaged_utf8(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """Return text and warnings of UTF-8 that is cut, damaged in few places, or mixed with lines of a code page.

    None if the bytes are no UTF-8 at all.
    """
    text = data.decode("utf-8", errors="surrogateescape")
    damaged = [index for index, character in enumerate(text) if "\udc80" <= character <= "\udcff"]
    whole = sum(1 for character in text if character > "\x7f") - len(damaged)
    tail = len(text)
    while tail > 0 and "\udc80" <= text[tail - 1] <= "\udcff":
        tail -= 1
    if len(text) - tail <= 3 and len(damaged) == len(text) - tail and whole >= 2:
        return text[:tail], (_cut_warning(len(text) - tail),)
    if whole >= _LETTERS_PER_DAMAGE * len(damaged):
        line = text.count("\n", 0, damaged[0]) + 1
        repaired = re.sub("[\udc80-\udcff]+", "\ufffd", text)
        return repaired, (
            f"{repaired.count(chr(0xFFFD)) - text.count(chr(0xFFFD))} places are not valid UTF-8, the first on line "
            f"{line}, and show as {chr(0xFFFD)}; save it again as UTF-8",
        )
    return _decode_mixed_lines(data)


def _decode_mixed_lines(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """Return text and a warning if most lines above ASCII are UTF-8 and the others are of a code page."""
    lines = data.split(b"\n")
    texts: list[str | None] = []
    for line in lines:
        try:
            texts.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(None)
    others = b"\n".join(line for line, text in zip(lines, texts, strict=True) if text is None)
    count = sum(1 for text in texts if text is None)
    if count >= sum(1 for text in texts if text is not None and not text.isascii()):
        return None
    _, encoding = guess(others)
    joined = [line.decode(encoding) if text is None else text for line, text in zip(lines, texts, strict=True)]
    return "\n".join(joined), (
        f"{count} of its lines are not UTF-8 and were read as {_NAMES[encoding]} by guess; save it as UTF-8 to be sure",
    )


def _decode_declared(data: bytes, declared: str) -> str | None:
    """Return the text by the encoding the file names, None if it names none, an unknown one, or a wrong one."""
    try:
        encoding = codecs.lookup(declared).name if declared else ""
        return data.decode(encoding) if encoding and encoding not in _NEVER_DECLARED else None
    except (LookupError, UnicodeError, ValueError):
        return None


def _is_arabic_all_the_same(data: bytes, declared: str) -> bool:
    """Return whether bytes that name another encoding are Arabic of a code page: many old pages say ``iso-8859-1``."""
    encoding = codecs.lookup(declared).name
    if not encoding.startswith(_ONE_BYTE):
        return False  # letters of several bytes can look like Arabic ones
    best = max(arabic_score(data, page) for page in _ARABIC_PAGES)
    return best > _RARE_PAGE_FACTOR * arabic_score(data, encoding)


def _cut_warning(count: int) -> str:
    return f"it ends in the middle of a character; its last {count} bytes were left out"


def _checked(text: str) -> str:
    """Return ``text`` unless it is full of control characters.

    Raises:
        UnreadableError: More than one character in a hundred is a control character.
    """
    controls = len(_CONTROLS.findall(text))
    if controls > max(2, _MAX_CONTROL_SHARE * len(text)):
        raise UnreadableError("not a text file: it is full of control characters")
    return text
