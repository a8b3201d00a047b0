"""Bytes become the text that was meant, and every guess is reported."""

from __future__ import annotations

import pytest

from rag.loaders.blocks import UnreadableError
from rag.loaders.encoding import decode

ARABIC = "التسويق عبر البريد الإلكتروني من أقدم الأدوات، وما زال من أقلّها تكلفة."
MIXED = "تحليل SEO و Google Ads بميزانية 1,500 دولار: «الاعلانات الرقمية» (SMS) ومعدل التحويل 44.7%."
DIACRITICS = "كَتَبَ المُسَوِّقُ رِسَالَةً إِلَى العُمَلاءِ ثُمَّ قَاسَ النَّتِيجَةَ."
FRENCH = "Le marketing numérique coûte moins cher là où l’équipe mesure déjà ses résultats, ça va de soi."
GERMAN = "Für größere Märkte müssen Verkäufer häufig höhere Beträge einplanen, schätzt das Büro in Österreich."
SPANISH = "La campaña del próximo año costará más de mil euros según el señor Muñoz; ¿quién la pagará?"
RUSSIAN = "Маркетинг в социальных сетях требует времени, но расходы на рекламу остаются небольшими."
LETTER = "ولد"


@pytest.mark.parametrize("text", [ARABIC, MIXED, DIACRITICS, FRENCH, RUSSIAN, "日本語のテキスト", "plain ASCII"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_exactly_and_without_a_warning(text, encoding):
    assert decode(text.encode(encoding)) == (text, ())


@pytest.mark.parametrize("text", [ARABIC, MIXED])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_read_with_a_warning(text, encoding):
    decoded, warnings = decode((text * 3).encode(encoding))
    assert decoded == text * 3 and "UTF-16" in warnings[0]


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        (ARABIC, "cp1256", "windows-1256"),
        (MIXED, "cp1256", "windows-1256"),
        (DIACRITICS, "cp1256", "windows-1256"),
        (LETTER, "cp1256", "windows-1256"),
        ("Chapter 2: التسويق", "cp1256", "windows-1256"),
        (ARABIC, "iso8859_6", "ISO-8859-6"),
        ("تحليل المحتوى وقياس النتائج", "iso8859_6", "ISO-8859-6"),
        (FRENCH, "cp1252", "windows-1252"),
        (GERMAN, "cp1252", "windows-1252"),
        (SPANISH, "cp1252", "windows-1252"),
        (RUSSIAN, "cp1251", "windows-1251"),
    ],
)
def test_code_pages_are_told_apart_and_the_guess_is_reported(text, encoding, name):
    decoded, warnings = decode(text.encode(encoding, errors="ignore"))
    assert decoded == text.encode(encoding, errors="ignore").decode(encoding)
    assert len(warnings) == 1 and name in warnings[0] and "UTF-8" in warnings[0]


def test_every_prefix_of_arabic_in_windows_1256_is_read_as_arabic():
    data = MIXED.encode("cp1256")
    for end in range(5, len(data)):
        assert decode(data[:end])[0] == data[:end].decode("cp1256"), end


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_file_cut_within_a_character_keeps_the_rest_and_says_so(cut):
    data = (ARABIC + "😀").encode()
    decoded, warnings = decode(data[: len(data) - cut])
    assert decoded == ARABIC and f"last {4 - cut} bytes" in warnings[0]


def test_a_few_damaged_places_are_shown_and_counted_with_the_line():
    data = bytearray((ARABIC + "\n" + ARABIC).encode())
    damaged = data.index(b"\n") + 1
    data[damaged] = 0xFF
    decoded, warnings = decode(bytes(data))
    assert decoded.count("\ufffd") >= 1 and decoded.startswith(ARABIC)
    assert "line 2" in warnings[0] and "UTF-8" in warnings[0]


def test_lines_of_a_code_page_within_utf8_are_read_by_line():
    data = "\n".join([ARABIC, MIXED, FRENCH]).encode() + b"\n" + ARABIC.encode("cp1256", errors="ignore")
    decoded, warnings = decode(data)
    assert decoded.split("\n")[:3] == [ARABIC, MIXED, FRENCH]
    assert decoded.split("\n")[3] == ARABIC.encode("cp1256", errors="ignore").decode("cp1256")
    assert warnings[0].startswith("1 of its lines") and "windows-1256" in warnings[0]


def test_a_declared_encoding_is_believed_only_where_it_can_be():
    data = "Ελληνικά κείμενο".encode("cp1253")
    assert decode(data, declared="windows-1253") == ("Ελληνικά κείμενο", ())
    assert decode(ARABIC.encode(), declared="windows-1253")[0] == ARABIC
    assert "windows-1256" in decode(ARABIC.encode("cp1256"), declared="no-such-thing")[1][0]


@pytest.mark.parametrize("data", [b"\x00\x01\x02\x03" * 50, bytes(range(256)) * 4, b"\x01\x02text\x03\x04" * 20])
def test_what_is_no_text_is_refused(data):
    with pytest.raises(UnreadableError, match="not a text file"):
        decode(data)
