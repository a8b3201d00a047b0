"""Slides, sheets, OpenDocument, RTF, books and mails become text with headings and pages; hostile ones a reason."""

from __future__ import annotations

import functools
import io
import random
import time
import zipfile
from email.message import EmailMessage

import odfdo
import openpyxl
import papers
import pptx
import pytest
from pptx.util import Inches
from test_loaders import assert_contract, headings

from rag.config import LoadConfig
from rag.datatypes import Document
from rag.errors import CorpusError
from rag.loaders import DocumentLoader


@pytest.fixture(scope="module")
def loader():
    with DocumentLoader() as shared:
        yield shared


@pytest.fixture
def load(loader, tmp_path):
    def load_file(name: str, content: bytes) -> Document:
        path = tmp_path / name
        path.write_bytes(content)
        return loader.load(path, name)

    return load_file


def page_text(document: Document, number: int) -> str:
    page = document.pages[number - 1]
    return document.text[page.start : page.end].strip()


@pytest.mark.parametrize("name", papers.every_format())
def test_every_format_keeps_the_contract_and_its_sentence(load, name):
    content, sentence, page = papers.every_format()[name]
    document = load(name, content)
    assert_contract(document)
    assert document.page_at(document.text.index(sentence)) == page


def test_slides_are_pages_with_titles_columns_tables_and_notes(load):
    document = load("deck.pptx", papers.deck())
    assert document.title == "Launch 2026" and ("author", "Sara") in document.metadata
    assert headings(document) == [(1, "خطة الإطلاق"), (2, "Who does what"), (3, "Speaker notes"), (2, "الأهداف")]
    assert page_text(document, 2) == (
        "Who does what\n\nLeft column\n\nRight column\n\n"
        "الاسم: سارة | المدينة: عمّان | تاريخ التعيين: 2021-04-01\n"
        "الاسم: Omar | المدينة: Irbid | تاريخ التعيين: 2023-09-15\n\n"
        "Questions go to the front desk.\n\nSpeaker notes\n\nMention that Omar is on leave in May."
    )
    third = page_text(document, 3)
    assert "- زيادة المبيعات\n- تقليل الشكاوى" in third and "نص داخل مجموعة" in third
    assert "February | Visits: 340" in third


def test_arabic_slides_are_read_from_the_right_column(load):
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[6])
    for left, text in ((1, "العمود الأيسر"), (6, "العمود الأيمن")):
        slide.shapes.add_textbox(Inches(left), Inches(2), Inches(3), Inches(1)).text_frame.text = text
    assert load("a.pptx", papers.saved(show)).text == "العمود الأيمن\n\nالعمود الأيسر"


def test_a_hidden_slide_is_left_out_and_named_and_the_others_keep_their_numbers(load):
    show = pptx.Presentation(io.BytesIO(papers.deck()))
    show.slides[0]._element.set("show", "0")
    document = load("deck.pptx", papers.saved(show))
    assert document.warnings == ("hidden slides were left out: 1",)
    assert "إعداد" not in document.text and document.page_at(document.text.index("Left column")) == 2


def test_sheets_are_pages_whose_rows_name_their_columns(load):
    document = load("prices.xlsx", papers.workbook())
    assert page_text(document, 1) == (
        "الأسعار\n\nقائمة الأسعار\n\n"
        "المنتج: غلاية زرقاء | السعر: 1,250.50 د.أ | الخصم: 15% | متاح منذ: 2026-03-01 | متوفر: TRUE\n"
        "المنتج: محمصة | السعر: 900.00 د.أ | متاح منذ: 2026-04-02 14:30 | متوفر: FALSE"
    )
    assert document.title == "prices" and headings(document) == [(2, "الأسعار"), (2, "Sales")]


def test_merged_cells_count_for_every_row_and_column_that_they_cover(load):
    assert page_text(load("prices.xlsx", papers.workbook()), 2) == (
        "Sales\n\nRegion: North | Visits – 2024: 10 | Visits – 2025: 20\n"
        "Region: North | Visits – 2024: 30 | Visits – 2025: 40\n"
        "Contact: Front desk | Phone: +962 6 555 0100"
    )


def test_a_hidden_sheet_is_left_out_and_named(load):
    document = load("prices.xlsx", papers.workbook())
    assert document.warnings == ("hidden sheets were left out: Salaries",) and "secret" not in document.text


def test_formulas_without_a_saved_result_are_reported(load):
    book = openpyxl.Workbook()
    book.active.append(["Item", "Sum"])
    book.active.append(["Rent", "=1+1"])
    document = load("sums.xlsx", papers.saved(book))
    assert document.text == "Sheet\n\nItem: Rent"
    assert document.warnings[0].startswith("1 formulas hold no saved result")


def test_a_table_goes_on_below_an_empty_row_and_a_sheet_of_one_column_is_a_list(load):
    book = openpyxl.Workbook()
    for row in (["Name", "City"], ["Sara", "Amman"], [], ["Omar", "Irbid"], ["Lina", "Aqaba"]):
        book.active.append(row)
    book.create_sheet("Notes").append(["Call the printer."])
    book["Notes"].append(["Order the chairs."])
    assert load("a.xlsx", papers.saved(book)).text == (
        "Sheet\n\nName: Sara | City: Amman\nName: Omar | City: Irbid\nName: Lina | City: Aqaba\n\n"
        "Notes\n\n- Call the printer.\n- Order the chairs."
    )


def test_a_long_cell_stands_below_the_name_of_its_row(load):
    book = openpyxl.Workbook()
    answer = "Fill the kettle with vinegar and wait. " * 20
    book.active.append(["Topic", "Answer"])
    book.active.append(["Cleaning", answer])
    document = load("faq.xlsx", papers.saved(book))
    assert document.text == f"Sheet\n\nCleaning\n\nTopic: Cleaning\n\nAnswer: {answer.strip()}"
    assert headings(document) == [(2, "Sheet"), (3, "Cleaning")]


def test_opendocument_text_has_headings_lists_tables_and_notes(load):
    document = load("handbook.odt", papers.opendocument_text())
    assert document.text == (
        "دليل الموظف\n\nتبدأ ساعات العمل في الثامنة صباحًا.\n\nHolidays\n\n- Independence Day\n- Labour Day\n\n"
        "الاسم | المدينة | تاريخ التعيين\nسارة | عمّان | 2021-04-01\nOmar | Irbid | 2023-09-15\n\nما عدا شهر رمضان."
    )
    assert headings(document) == [(1, "دليل الموظف"), (2, "Holidays")] and document.title == "Staff handbook"


def test_opendocument_sheets_and_slides_are_pages(load):
    sheet = load("staff.ods", papers.opendocument_sheet())
    assert page_text(sheet, 1).startswith("الموظفون\n\nالاسم: سارة | المدينة: عمّان")
    slides = load("garden.odp", papers.opendocument_slides())
    assert page_text(slides, 2) == "الشريحة الثانية\n\nتُغلق الحديقة في تشرين الثاني."
    assert headings(slides) == [(1, "First slide"), (2, "الشريحة الثانية")]


def test_rtf_reads_arabic_code_pages_headings_and_tables(load):
    document = load("lease.rtf", papers.rich_text())
    assert document.text == ("مدة العقد\n\nمدة العقد سنة واحدة تجدد تلقائيًا.\n\nItem | Sum\nRent | 300\n\nSmile 😀")
    assert headings(document) == [(1, "مدة العقد")] and document.title == "عقد الإيجار"


@pytest.mark.parametrize(
    "source",
    [
        rb"{\rtf1\ansi\ansicpg1256 WORD\par}",  # the letters as they are
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 A;}{\f1\fcharset178 B;}}\f1 WORD\par}",  # by the font
    ],
)
def test_rtf_finds_the_code_page_of_arabic_letters(load, source):
    assert load("a.rtf", source.replace(b"WORD", "أهلًا بكم".encode("cp1256"))).text == "أهلًا بكم"


def test_rtf_prefers_unicode_to_its_substitute_letters(load):
    assert load("a.rtf", rb"{\rtf1\ansi\ansicpg1252\uc1 \u1575\'c7\u1604\'e1 ok\par}").text == "ال ok"


def test_a_book_is_read_in_the_order_of_its_spine_without_its_navigation(load):
    document = load("garden.epub", papers.book())
    assert (
        document.text == "التربة\n\nتحتاج الطماطم إلى تربة خفيفة.\n\nWatering\n\nWater the beds every second morning."
    )
    assert headings(document) == [(1, "التربة"), (1, "Watering")]  # the second one from the table of contents
    assert document.title == "حديقة البيت" and ("author", "ليلى") in document.metadata


def test_a_mail_has_its_headers_its_body_and_its_attachments(load):
    document = load("meeting.eml", papers.letter())
    assert document.text == (
        "موعد الاجتماع\n\nFrom: Sara <sara@example.org>\nTo: omar@example.org\n"
        "Date: Sun, 01 Mar 2026 09:30:00 +0300\n\n"
        "يبدأ الاجتماع في العاشرة صباحًا.\n\nRoom 4\n\nagenda.md\n\nAgenda\n\nThe budget comes first."
    )
    assert headings(document) == [(1, "موعد الاجتماع"), (2, "agenda.md"), (3, "Agenda")]
    assert document.warnings[0] == "the attachment room.png was not read: unsupported format"
    assert document.warnings[1].startswith("the attachment broken.pdf was not read: the PDF is damaged")
    assert ("date", "2026-03-01") in document.metadata


def test_a_mail_of_plain_text_and_unknown_charset_is_read(load):
    data = b"From: a@example.org\nSubject: Hours\nContent-Type: text/plain; charset=x-unknown\n\nDear all\n\n" + (
        "نفتح غدًا في التاسعة كالمعتاد.".encode("cp1256")
    )
    document = load("hours.eml", data)
    assert document.text.endswith("Dear all\n\nنفتح غدًا في التاسعة كالمعتاد.")
    assert headings(document) == [(1, "Hours")]


# What a file holds decides, not its name.


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pptx", papers.workbook, "not a pptx: it is an xlsx; rename it to .xlsx"),
        ("a.xlsx", papers.deck, "not an xlsx: it is a pptx; rename it to .pptx"),
        ("a.docx", papers.opendocument_text, "not a docx: it is an odt; rename it to .odt"),
        ("a.odt", papers.book, "not an odt: it is an EPUB; rename it to .epub"),
        ("a.epub", lambda: papers.packed({"a.txt": "x"}), "a zip archive but not an EPUB; save it as .epub"),
        ("a.xlsx", lambda: b"<html><table><tr><td>1", "not an xlsx: it is an HTML page; rename it to .html"),
        ("a.csv", lambda: b"<!DOCTYPE html><p>x", "not a csv: it is an HTML page; rename it to .html"),
        ("a.xlsx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(90), "save it as .xlsx without a password"),
        ("a.rtf", lambda: b"%PDF-1.7", "not an RTF file: it is a PDF; rename it to .pdf"),
        ("a.txt", lambda: rb"{\rtf1 x}", "not a text file: it is an RTF file; rename it to .rtf"),
        ("a.pptx", lambda: b"PK\x03\x04" + bytes(90), "the pptx is damaged"),
        ("a.eml", lambda: b"Dear all,\nno headers here.\n", "not a mail: it does not begin with a mail's headers"),
    ],
)
def test_a_file_under_the_wrong_name_is_named_for_what_it_is(load, name, content, reason):
    with pytest.raises(CorpusError) as caught:
        load(name, content())
    assert reason in caught.value.reason and "\n" not in caught.value.reason


# Hostile files end in a reason, within the limits.

LAUGHS = '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def with_part(package: bytes, name: str, change) -> bytes:
    """Return a package with one part changed, or added where it is not there."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    parts[name] = change(parts.get(name, b""))
    return papers.packed(parts)


def declaring(declaration: str):
    """Return what puts a document type into a part."""

    def change(part: bytes) -> bytes:
        start = part.find(b"?>") + 2 if part.startswith(b"<?xml") else 0
        return part[:start] + declaration.encode() + part[start:]

    return change


def cells(count: int) -> bytes:
    noise = random.Random(1)
    row = "<row>{}</row>".format
    rows = (row("".join(f"<c><v>{noise.randrange(10**6)}</v></c>" for _ in range(100))) for _ in range(count // 100))
    return sheet(f"<sheetData>{''.join(rows)}</sheetData>".encode())


def sheet(inner: bytes) -> bytes:
    start = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    return with_part(papers.workbook(), "xl/worksheets/sheet1.xml", lambda _: start + inner + b"</worksheet>")


def deep_mail() -> bytes:
    boundary = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(3_000))
    return b"From: a@example.org\nSubject: deep\n" + boundary.encode()


def repeated_cells() -> bytes:
    row = odfdo.Row()
    cell = odfdo.Cell("x")
    cell.set_attribute("table:number-columns-repeated", "16384")
    row.append(cell)
    row.set_attribute("table:number-rows-repeated", "1048576")
    document = odfdo.Document("spreadsheet")
    document.body.clear()
    table = odfdo.Table("t")
    table.append(row)
    document.body.append(table)
    return papers.saved(document)


@functools.cache
def hostile() -> dict[str, tuple[bytes, str]]:
    zeros = lambda part: bytes(60_000_000)  # noqa: E731
    content = "content.xml"
    return {
        "laughs.pptx": (with_part(papers.deck(), "ppt/slides/slide1.xml", declaring(LAUGHS)), "declares XML entities"),
        "laughs.xlsx": (with_part(papers.workbook(), "xl/workbook.xml", declaring(LAUGHS)), "declares XML entities"),
        "laughs.odt": (with_part(papers.opendocument_text(), content, declaring(LAUGHS)), "declares XML entities"),
        "laughs.epub": (with_part(papers.book(), "OPS/book.opf", declaring(LAUGHS)), "declares XML entities"),
        "outside.pptx": (with_part(papers.deck(), "ppt/presentation.xml", declaring(OUTSIDE)), "declares XML entities"),
        "outside.xlsx": (with_part(papers.workbook(), "xl/styles.xml", declaring(OUTSIDE)), "declares XML entities"),
        "wide.odt": (
            with_part(papers.opendocument_text(), content, lambda part: part.decode().encode("utf-16")),
            "not written in UTF-8",
        ),
        "bomb.pptx": (with_part(papers.deck(), "ppt/media/a.png", zeros), "zip bomb"),
        "bomb.xlsx": (with_part(papers.workbook(), "xl/media/a.png", zeros), "zip bomb"),
        "bomb.ods": (with_part(papers.opendocument_sheet(), "Pictures/a.png", zeros), "zip bomb"),
        "bomb.epub": (papers.book(picture__png=bytes(60_000_000)), "zip bomb"),
        "million.xlsx": (cells(1_000_000), "more than 500,000 cells with a value"),
        "repeated.ods": (repeated_cells(), "more than 500,000 cells with a value"),
        "rows.xlsx": (sheet(b'<sheetData><row r="9999999999"><c><v>1</v></c></row></sheetData>'), "larger than any"),
        "deep.odt": (with_part(papers.opendocument_text(), content, lambda _: b"<a>" * 5_000), "damaged"),
        "deep.eml": (deep_mail(), "nested too deeply"),
        "deep.json": (b"[" * 200_000, "nested too deeply"),
        "groups.rtf": (b"{\\rtf1" + b"{" * 2_100_000, "more than 2,000,000 groups"),
        "drm.epub": (
            with_part(
                papers.book(), "META-INF/encryption.xml",
                lambda _: b'<e xmlns:x="http://www.w3.org/2001/04/xmlenc#">'
                b'<x:CipherReference URI="OPS/text/two.xhtml"/></e>',
            ),
            "protected (DRM)",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile())
def test_a_hostile_file_ends_in_a_reason(load, name):
    content, reason = hostile()[name]
    began = time.monotonic()
    with pytest.raises(CorpusError) as caught:
        load(name, content)
    assert reason in caught.value.reason and "\n" not in caught.value.reason
    assert time.monotonic() - began < 25


def test_many_shared_strings_of_one_text_stop_at_the_limit_of_characters(tmp_path):
    book = openpyxl.Workbook()
    text = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz ", k=30_000))
    for _ in range(300):
        book.active.append([text, "once"])
    (tmp_path / "a.xlsx").write_bytes(papers.saved(book))
    with DocumentLoader(LoadConfig(max_characters=1_000_000)) as loader, pytest.raises(CorpusError, match="characters"):
        loader.load(tmp_path / "a.xlsx", "a.xlsx")


def test_slides_beyond_the_limit_are_refused(tmp_path):
    (tmp_path / "a.pptx").write_bytes(papers.deck())
    with DocumentLoader(LoadConfig(max_pages=2)) as loader, pytest.raises(CorpusError, match="3 slides, more than 2"):
        loader.load(tmp_path / "a.pptx", "a.pptx")


def test_damaged_files_of_every_format_end_in_a_reason_or_a_text(loader, tmp_path):
    noise = random.Random(3)
    for name, (content, _, _) in papers.every_format().items():
        for attempt in range(3):
            damaged = bytearray(content)
            for _ in range(20):
                damaged[noise.randrange(len(damaged))] = noise.randrange(256)
            path = tmp_path / f"{attempt}-{name}"
            path.write_bytes(bytes(damaged[: noise.randrange(len(damaged) // 2, len(damaged) + 1)]))
            try:
                assert_contract(loader.load(path, path.name))
            except CorpusError as error:
                assert error.reason and "\n" not in error.reason and "Traceback" not in error.reason


def test_a_mail_names_an_attached_archive_without_opening_it(load):
    mail = EmailMessage()
    mail["Subject"], mail["From"] = "Files", "a@example.org"
    mail.set_content("See the files.")
    mail.add_attachment(papers.packed({"a.txt": "x"}), maintype="application", subtype="zip", filename="all.zip")
    document = load("files.eml", mail.as_bytes())
    assert document.warnings == ("the attachment all.zip was not read: unsupported format",)
