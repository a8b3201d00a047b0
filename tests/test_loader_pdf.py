"""PDFs are read from the places of their glyphs: the order on paper decides, not the order in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.loaders import pdf
from rag.loaders.bidi import is_mirrored_arabic, read_line, repair_brackets
from rag.loaders.blocks import UnreadableError
from rag.loaders.pdf_glyphs import Glyph, PageGlyphs, Row
from rag.loaders.pdf_lines import page_lines

CORPUS = Path(__file__).parents[1] / "corpus"


def make_pdf(
    pages: list[list[tuple[float, float, float, str]]], *, drawing: str = "", title: str = "", turned: str = ""
) -> bytes:
    """A PDF of glyphs at exact places: each page lists ``(x, y, size, text)``, one or more glyphs drawn together.

    Every glyph is half its size wide; its meaning stands in a ToUnicode map, no font is embedded.
    """
    characters = sorted({character for page in pages for *_, text in page for character in text})
    codes = {character: number for number, character in enumerate(characters, start=1)}
    mapping = "\n".join(f"<{code:04X}> <{char.encode('utf-16-be').hex()}>" for char, code in codes.items())
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapType 2 def\n1 begincodespacerange "
        f"<0000> <FFFF> endcodespacerange\n{len(codes)} beginbfchar\n{mapping}\nendbfchar endcmap end end"
    )
    count = len(pages)
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {count} /Kids [{' '.join(f'{7 + 2 * n} 0 R' for n in range(count))}] >>",
        "<< /Type /Font /Subtype /Type0 /BaseFont /F /Encoding /Identity-H /DescendantFonts [4 0 R] "
        "/ToUnicode 6 0 R >>",
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /F /DW 500 /FontDescriptor 5 0 R "
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
        "<< /Type /FontDescriptor /FontName /F /Flags 4 /FontBBox [0 -200 500 800] /ItalicAngle 0 /Ascent 800 "
        "/Descent -200 /CapHeight 700 /StemV 80 >>",
        f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream",
    ]
    for number, page in enumerate(pages):
        content = drawing + "".join(
            f"BT /F {size} Tf {x} {y} Td <{''.join(f'{codes[char]:04X}' for char in text)}> Tj ET\n"
            for x, y, size, text in page
        )
        objects.append(
            f"<< /Type /Page {turned}/Parent 2 0 R /MediaBox [0 0 600 800] /Contents {8 + 2 * number} 0 R "
            "/Resources << /Font << /F 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    info = len(objects) + 1
    objects.append(f"<< /Title ({title}) >>")
    out = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("ascii")
    xref = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info {info} 0 R >>\nstartxref\n{xref}\n%%EOF".encode()
    return bytes(out)


def rtl(right: float, y: float, size: float, text: str) -> list[tuple[float, float, float, str]]:
    """The words of ``text``, the first at the right, each drawn from left to right, in a shuffled order."""
    words = []
    for word in text.split(" "):
        right -= len(word) * size / 2
        words.append((right, y, size, word if word.isdigit() else word[::-1]))
        right -= size / 2
    return words[1::2] + words[::2]


def parse(data: bytes):
    return pdf.parse(data, max_pages=100)


@pytest.mark.parametrize(
    ("visual", "logical"),
    [
        ("بحرم", "مرحب"),  # plain letters
        ("ماع 2020 يف", "في 2020 عام"),
        ("OES ليلحت", "تحليل OES"),  # Latin keeps its own order
        ("رالود 1,500 ةينازيمب", "بميزانية 1,500 دولار"),
        ("44.7% ةبسن", "نسبة 44.7%"),
        ("%44.7 ةبسن", "نسبة 44.7%"),  # how the algorithm shows it after an Arabic letter
        ("34-18 نيب", "بين 18-34"),  # a range turns round after Arabic
        ("ةنس 18-34", "18-34 سنة"),  # but not where none stands before it
        ("4G ةكبش", "شبكة 4G"),
        (".1", "1."),
        ("Google Ads ىلع", "على Google Ads"),
        ("ب Web 2.0 أ", "أ Web 2.0 ب"),
        (")SEO( ثحب", "بحث (SEO)"),
        ("«دربم»", "«مبرد»"),
    ],
)
def test_a_right_to_left_line_is_read_as_it_is_meant(visual, logical):
    assert read_line(list(visual), is_rtl=True) == logical


def test_an_arabic_phrase_within_a_left_to_right_line():
    assert read_line(list("the word قيوستلا يمقرلا means 5"), is_rtl=False) == "the word الرقمي التسويق means 5"
    assert read_line(list("no Arabic here (at all)."), is_rtl=False) == "no Arabic here (at all)."


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("قال »رواد الأعمال« اليوم", "قال «رواد الأعمال» اليوم"),
        ("نسبة )44%(، و)5(.", "نسبة (44%)، و(5)."),
        ("(صحيح) «سليم»", "(صحيح) «سليم»"),
        ("a < b", "a < b"),
    ],
)
def test_brackets_are_turned_by_their_place(given, wanted):
    assert repair_brackets(given) == wanted


def test_arabic_drawn_back_to_front_is_told_from_arabic():
    text = "التسويق الرقمي والشركة الناجحة في السوق العربية المتطورة على الشبكات الاجتماعية"
    assert not is_mirrored_arabic(text)
    assert is_mirrored_arabic(text[::-1])


def test_arabic_glyphs_in_any_order_are_read_right_to_left():
    parsed = parse(make_pdf([rtl(550, 700, 12, "تحليل المحتوى في 2020") + rtl(550, 660, 12, "ثم قياس النتيجة.")]))
    assert parsed.text == "تحليل المحتوى في 2020\n\nثم قياس النتيجة."


def test_presentation_forms_become_letters():
    shapes = "\ufe8d\ufedf\ufe98\ufeb4\ufeee\ufbfe\ufed6"  # التسويق in shapes, with one Farsi yeh form
    parsed = parse(make_pdf([rtl(500, 700, 12, shapes)]))
    assert parsed.text.startswith("التسو") and not any("\ufb50" <= char <= "\ufeff" for char in parsed.text)


WORDS = "التسويق الرقمي هو الترويج للمنتجات عبر القنوات التي يصل بها الناس إلى الشبكة في كل يوم"


def lines_of(text: str, count: int) -> list[tuple[float, float, float, str]]:
    return [word for number in range(count) for word in rtl(580, 780 - 16 * number, 10, text)]


def test_arabic_with_exchanged_letters_is_called_damaged_and_arabic_is_not():
    letters = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"
    damaged = WORDS.translate(str.maketrans(letters, letters[9:] + letters[:9]))
    assert parse(make_pdf([lines_of(WORDS, 8)])).warnings == ()
    (warning,) = parse(make_pdf([lines_of(damaged, 8)])).warnings
    assert warning.startswith("its text layer looks damaged (only ") and warning.endswith("consider OCR")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ÇáÊÓæíÞ ÇáÑÞãí åæ ÇáÊÑæíÌ ááãäÊÌÇÊ ÚÈÑ ÇáÞäæÇÊ", "accented Latin ones, as in Arabic of a wrong code page"),
        ("Élève, où étés-vous? À la fenêtre: déjà près du théâtre à côté", ""),
        ("Äpfel für Öfen, überall große Größe", ""),
    ],
)
def test_letters_of_a_wrong_code_page_are_told_from_french_and_german(line, reason):
    warnings = parse(make_pdf([[(40, 780 - 16 * n, 10, line) for n in range(6)]])).warnings
    assert reason in warnings[0] if reason else warnings == ()


def test_letters_set_apart_are_called_damaged():
    letters = WORDS.replace(" ", "")
    page = [(40, 780 - 16 * n, 10, " ".join(letters[n:][::-1])) for n in range(3)]
    (warning,) = parse(make_pdf([page])).warnings
    assert "of its Arabic words are single letters" in warning


def line_of(*glyphs: Glyph) -> str:
    """The text of a right-to-left line of the size 10."""
    page = PageGlyphs(1, [Row(list(glyphs), 700, 10, 400)], right_letters=len(glyphs))
    (line,) = page_lines(page)
    return line.text


@pytest.mark.parametrize("letter", "اىي")
def test_a_lam_drawn_in_one_glyph_with_the_letter_after_it_comes_first(letter):
    both = [Glyph(letter, 1, 100, 700, 100, 105), Glyph("ل", 2, 100, 700, 105, 106)]
    assert line_of(*both, Glyph("إ", 0, 106, 700, 106, 109)) == f"إل{letter}"


@pytest.mark.parametrize(("gap", "text"), [(2.7, "ما تُ"), (1.8, "ماتُ")])
def test_a_space_before_a_letter_whose_box_is_that_of_its_mark(gap, text):
    marked = [Glyph("ت", 2, 100, 706, 100, 102, word=1), Glyph("\u064f", 3, 100, 706, 100, 102, word=1)]
    left = 102 + gap
    rest = [Glyph("ا", 1, left, 700, left, left + 3), Glyph("م", 0, left + 3, 700, left + 3, left + 8)]
    assert line_of(*rest, *marked) == text


def test_mirrored_arabic_is_turned_and_reported():
    words = "التسويق الرقمي والشركة الناجحة في السوق العربية المتطورة على الشبكات الاجتماعية"
    parsed = parse(make_pdf([[(40, 700, 12, words)]]))
    assert parsed.text == words and "back to front" in parsed.warnings[0]


BODY = "the body of the text runs on and on until the margin"


def test_headings_paragraphs_and_items_are_told_by_size_and_place():
    page = [
        (50, 740, 24, "The title"),
        (50, 700, 12, f"First line of {BODY}"),
        (50, 684, 12, f"second line. {BODY}"),
        (50, 668, 12, "short end."),
        (50, 636, 16, "A part"),
        (50, 610, 12, "It has these:"),
        (60, 594, 12, "• one point"),
        (60, 578, 12, "• another"),
        (60, 562, 12, "1. first"),
        (60, 546, 12, "2. second"),
    ]
    parsed = parse(make_pdf([page], title="Meta title"))
    assert parsed.title == "Meta title"
    assert [(level, parsed.text[start:end]) for level, start, end in parsed.headings] == [
        (1, "The title"),
        (2, "A part"),
    ]
    assert parsed.text.split("\n\n")[1:] == [
        f"First line of {BODY} second line. {BODY} short end.",
        "A part",
        "It has these:",
        "- one point\n- another\n1. first\n2. second",
    ]


def test_drawn_dots_are_list_markers():
    dots = "42 604 4 4 re f\n42 584 4 4 re f\n"
    page = [(50, 640, 12, "Choose:"), (56, 602, 12, "apples"), (56, 582, 12, "pears"), (50, 540, 12, "End.")]
    assert parse(make_pdf([page], drawing=dots)).text == "Choose:\n\n- apples\n- pears\n\nEnd."


def test_cells_side_by_side_become_rows_in_reading_order():
    page = [
        (50, 700, 12, "Item"), (250, 700, 12, "Price"),
        (50, 680, 12, "two lines"), (50, 666, 12, "of a cell"), (250, 673, 12, "5.00"),
        (50, 646, 12, "Tax"), (250, 646, 12, "1.25"),
    ]  # fmt: skip
    assert parse(make_pdf([page])).text == "Item | Price\ntwo lines of a cell | 5.00\nTax | 1.25"
    arabic = [*rtl(550, 700, 12, "البند"), *rtl(300, 700, 12, "السعر")]
    assert parse(make_pdf([arabic])).text == "البند | السعر"


@pytest.mark.parametrize("count", [6, 12])
def test_two_columns_are_read_one_after_the_other(count):
    left = [(50, 700 - 16 * n, 12, f"left line number {n} of many.") for n in range(count)]
    right = [(320, 700 - 16 * n, 12, f"right line number {n} of all.") for n in range(count)]
    text = parse(make_pdf([left + right])).text
    assert "|" not in text and text.index(f"left line number {count - 1}") < text.index("right line number 0")


def test_a_heading_of_two_lines_is_one_heading():
    page = [(50, 740, 24, "A rather long title"), (50, 710, 24, "that was broken"), (50, 670, 12, f"Then {BODY}.")]
    parsed = parse(make_pdf([page]))
    assert parsed.title == "A rather long title that was broken" and len(parsed.headings) == 1


def test_running_headers_and_page_numbers_are_left_out_and_paragraphs_go_over_pages():
    pages = []
    for number in range(1, 5):
        pages.append(
            [
                (50, 780, 10, "The Handbook"),
                (50, 700, 12, f"page {number} begins here and {BODY}"),
                (50, 684, 12, f"it ends without a stop {BODY} so"),
                (300, 20, 10, f"{number}"),
            ]
        )
    parsed = parse(make_pdf(pages))
    assert "Handbook" not in parsed.text and "\n" not in parsed.text and " 2 " not in parsed.text.replace("page 2", "")
    assert [number for number, *_ in parsed.pages] == [1, 2, 3, 4]
    for number, start, end in parsed.pages:
        assert parsed.text[start:end].startswith(f"page {number} begins")


def test_a_word_drawn_twice_is_read_once():
    page = [(50 + 6 * n + 0.2 * shift, 700, 12, char) for shift in range(2) for n, char in enumerate("bold")]
    assert parse(make_pdf([page])).text == "bold"


def test_refusals_name_the_reason():
    with pytest.raises(UnreadableError, match="holds no text: a scan"):
        parse(make_pdf([[]]))
    with pytest.raises(UnreadableError, match="3 pages, more than 2"):
        pdf.parse(make_pdf([[], [], []]), max_pages=2)
    assert pdf.parse(make_pdf([[(50, 700, 12, "x")], []]), max_pages=2).pages[1] == (2, 1, 1)
    with pytest.raises(UnreadableError, match="damaged"):
        parse(make_pdf([[]])[:200])


def test_mostly_blank_pages_are_reported():
    parsed = parse(make_pdf([[(50, 700, 12, "cover")], [], []]))
    assert parsed.text == "cover" and "2 of its 3 pages hold no text" in parsed.warnings[0]


@pytest.mark.parametrize(
    ("rotation", "matrix"), [(90, "0 1 -1 0 800 0"), (180, "-1 0 0 -1 600 800"), (270, "0 -1 1 0 0 600")]
)
def test_a_turned_page_is_read_as_the_reader_sees_it(rotation, matrix):
    page = [(50, 540, 24, "The title"), (50, 500, 12, "And its"), (96, 500, 12, "text.")]
    data = make_pdf([page], drawing=f"{matrix} cm\n", turned=f"/Rotate {rotation} ")
    parsed = parse(data)
    assert parsed.text == "The title\n\nAnd its text." and len(parsed.headings) == 1


def test_the_arabic_pdfs_of_the_corpus_read_as_they_were_written():
    seo = parse((CORPUS / "ar" / "seo.pdf").read_bytes()).text
    assert "ويُرمز إليها بالحروف SEO، هي مجموعة أعمال تجعل صفحات موقعك مفهومة لمحرك البحث ونافعة للقارئ" in seo
    assert "حين أعلنت جوجل روبوت المحادثة Bard لينافس ChatGPT الذي أنتجته OpenAI" in seo
    assert "\n2. الفهرسة: تُحفظ الصفحة في فهرس ضخم بحسب موضوعها وكلماتها.\n" in seo
    # Words that touch, and letters whose place is that of their mark: the spaces are right all the same.
    for words in ("اختيار الكلمات المفتاحية", "ثم يُنظر في زمن أول رسم", "صور لم تُضغط وإضافات"):
        assert words in seo
    marketer = parse((CORPUS / "ar" / "digital-marketer.pdf").read_bytes()).text
    assert (
        "\nأساسيات البرمجة | قراءة الشيفرة وفهم الاستضافة دون احترافها | لماذا قد تتأخر صفحة في الظهور؟\n" in marketer
    )
