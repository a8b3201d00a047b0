"""Files of every format, made with the libraries that people's programs are made of. Arabic and English."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from typing import Any

import docx
import odfdo
import openpyxl
import pptx
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

STAFF = [["الاسم", "المدينة", "تاريخ التعيين"], ["سارة", "عمّان", "2021-04-01"], ["Omar", "Irbid", "2023-09-15"]]


def saved(document: Any) -> bytes:
    """Return what an object with ``save`` writes."""
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def packed(files: Mapping[str, str | bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def deck() -> bytes:
    """Return three slides: a title, text and a table in two columns with notes, and a group and a chart."""
    show = pptx.Presentation()
    first = show.slides.add_slide(show.slide_layouts[0])
    first.shapes.title.text, first.placeholders[1].text = "خطة الإطلاق", "إعداد فريق التسويق"
    second = show.slides.add_slide(show.slide_layouts[5])
    second.shapes.title.text = "Who does what"
    late = second.shapes.add_textbox(Inches(1), Inches(6), Inches(3), Inches(0.5))
    late.text_frame.text = "Questions go to the front desk."
    right = second.shapes.add_textbox(Inches(5), Inches(2), Inches(3), Inches(0.5))
    right.text_frame.text = "Right column"
    left = second.shapes.add_textbox(Inches(1), Inches(2), Inches(3), Inches(0.5))
    left.text_frame.text = "Left column"
    grid = second.shapes.add_table(3, 3, Inches(1), Inches(3), Inches(8), Inches(2)).table
    for row, cells in enumerate(STAFF):
        for column, text in enumerate(cells):
            grid.cell(row, column).text = text
    second.notes_slide.notes_text_frame.text = "Mention that Omar is on leave in May."
    third = show.slides.add_slide(show.slide_layouts[1])
    third.shapes.title.text = "الأهداف"
    third.placeholders[1].text = "زيادة المبيعات\nتقليل الشكاوى"
    group = third.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(1), Inches(5), Inches(3), Inches(0.5)).text_frame.text = "نص داخل مجموعة"
    data = CategoryChartData()
    data.categories = ["January", "February"]
    data.add_series("Visits", (120, 340))
    third.shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, Inches(1), Inches(6), Inches(4), Inches(1), data)
    show.core_properties.title = "Launch 2026"
    show.core_properties.author = "Sara"
    return saved(show)


def workbook() -> bytes:
    """Return a sheet of prices as a reader sees them, one with merged cells and two tables, and a hidden one."""
    book = openpyxl.Workbook()
    prices = book.active
    prices.title = "الأسعار"
    prices.append(["قائمة الأسعار"])
    prices.append(["المنتج", "السعر", "الخصم", "متاح منذ", "متوفر"])
    prices.append(["غلاية زرقاء", 1250.5, 0.15, datetime(2026, 3, 1), True])
    prices.append(["محمصة", 900, None, datetime(2026, 4, 2, 14, 30), False])
    for row in prices.iter_rows(min_row=3):
        row[1].number_format, row[2].number_format = '#,##0.00 "د.أ"', "0%"
    sales = book.create_sheet("Sales")
    sales.append(["Region", "Visits", None])
    sales.append([None, 2024, 2025])
    sales.append(["North", 10, 20])
    sales.append([None, 30, 40])
    sales.append([])
    sales.append(["Contact", "Phone"])
    sales.append(["Front desk", "+962 6 555 0100"])
    for area in ("B1:C1", "A1:A2", "A3:A4"):
        sales.merge_cells(area)
    secret = book.create_sheet("Salaries")
    secret.append(["secret"])
    secret.sheet_state = "hidden"
    return saved(book)


def opendocument_text() -> bytes:
    """Return a text with headings, a list, a table and a footnote."""
    document = odfdo.Document("text")
    document.body.clear()
    document.body.append(odfdo.Header(1, "دليل الموظف"))
    paragraph = odfdo.Paragraph("تبدأ ساعات العمل في الثامنة صباحًا.")
    paragraph.insert_note(after="العمل", note_id="n1", citation="1", body="ما عدا شهر رمضان.")
    document.body.append(paragraph)
    document.body.append(odfdo.Header(2, "Holidays"))
    document.body.append(odfdo.List(["Independence Day", "Labour Day"]))
    document.body.append(grid("Staff", STAFF))
    document.meta.title = "Staff handbook"
    return saved(document)


def grid(name: str, rows: Sequence[Sequence[Any]]) -> odfdo.Table:
    """Return a table of OpenDocument."""
    table = odfdo.Table(name)
    for values in rows:
        row = odfdo.Row()
        row.set_values(list(values))
        table.append_row(row)
    return table


def opendocument_sheet() -> bytes:
    """Return one sheet."""
    document = odfdo.Document("spreadsheet")
    document.body.clear()
    document.body.append(grid("الموظفون", [*STAFF, ["ليلى", "العقبة", "2025-01-05"]]))
    return saved(document)


def opendocument_slides() -> bytes:
    """Return two slides."""
    document = odfdo.Document("presentation")
    document.body.clear()
    for name, line in (
        ("First slide", "The garden opens in April."),
        ("الشريحة الثانية", "تُغلق الحديقة في تشرين الثاني."),
    ):
        page = odfdo.DrawPage(name, name=name)
        page.append(odfdo.Frame.text_frame(name, presentation_class="title", size=("10cm", "2cm")))
        page.append(odfdo.Frame.text_frame(line, presentation_class="outline", size=("10cm", "9cm")))
        document.body.append(page)
    return saved(document)


def book(**changes: str | bytes) -> bytes:
    """Return an EPUB of two chapters; ``changes`` take the place of parts, ``__`` stands for a dot."""
    chapter = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{}</body></html>'
    files: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">'
        '<rootfiles><rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles>'
        "</container>",
        "OPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<metadata><dc:title>حديقة البيت</dc:title><dc:creator>ليلى</dc:creator></metadata><manifest>"
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        '<item id="b" href="text/two.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="a" href="text/one%20.xhtml" media-type="application/xhtml+xml"/>'
        '</manifest><spine><itemref idref="nav"/><itemref idref="a"/><itemref idref="b"/></spine></package>',
        "OPS/nav.xhtml": chapter.format('<nav><a href="text/two.xhtml">Watering</a></nav>'),
        "OPS/text/one .xhtml": chapter.format("<h1>التربة</h1><p>تحتاج الطماطم إلى تربة خفيفة.</p>"),
        "OPS/text/two.xhtml": chapter.format("<p>Water the beds every second morning.</p>"),
    }
    for name, content in changes.items():
        files["OPS/" + name.replace("__", ".")] = content
    return packed(files)


def letter() -> bytes:
    """Return a mail in windows-1256 with a text in two forms and three attachments."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "موعد الاجتماع", "Sara <sara@example.org>", "omar@example.org"
    mail["Date"] = "Sun, 01 Mar 2026 09:30:00 +0300"
    mail.set_content("نص بسيط", charset="utf-8")
    mail.add_alternative("<p>يبدأ الاجتماع في العاشرة صباحًا.</p><p>Room 4</p>", subtype="html", charset="windows-1256")
    mail.add_attachment(b"# Agenda\n\nThe budget comes first.", maintype="text", subtype="plain", filename="agenda.md")
    mail.add_attachment(b"\x89PNG\r\n\x1a\n", maintype="image", subtype="png", filename="room.png")
    mail.add_attachment(b"%PDF-1.7\nnothing", maintype="application", subtype="pdf", filename="broken.pdf")
    return mail.as_bytes()


def rich_text() -> bytes:
    """Return an RTF of code page 1256 with a heading, a table and a title."""

    def escaped(text: str) -> str:
        return "".join(f"\\'{byte:02x}" for byte in text.encode("cp1256"))

    return (
        r"{\rtf1\ansi\ansicpg1256\deff0{\fonttbl{\f0\fcharset0 Arial;}}{\info{\title " + escaped("عقد الإيجار") + "}}"
        r"\pard\f0\outlinelevel0 "
        + escaped("مدة العقد")
        + r"\par\pard "
        + escaped("مدة العقد سنة واحدة تجدد تلقائيًا.")
        + r"\par "
        r"\trowd\intbl Item\cell Sum\cell\row\trowd\intbl Rent\cell 300\cell\row\pard Smile \u-10179?\u-8704?\par}"
    ).encode("ascii")


def every_format() -> dict[str, tuple[bytes, str, int | None]]:
    """Return a file of each format, a sentence of it, and the page it is on (None where the format has none)."""
    word = docx.Document()
    word.add_heading("Lending", 1)
    word.add_paragraph("The library lends umbrellas for nine days.")
    table = io.StringIO()
    csv.writer(table, delimiter=";").writerows(STAFF)
    answers = {
        "title": "Hours",
        "answers": [{"question": "When does the pool open?", "answer": "The pool opens at noon."}],
    }
    return {
        "words.docx": (saved(word), "library lends umbrellas for nine days", None),
        "slides.pptx": (deck(), "Questions go to the front desk", 2),
        "sheet.xlsx": (workbook(), "المنتج: غلاية زرقاء", 1),
        "text.odt": (opendocument_text(), "تبدأ ساعات العمل في الثامنة", None),
        "table.ods": (opendocument_sheet(), "الاسم: ليلى", 1),
        "show.odp": (opendocument_slides(), "تُغلق الحديقة في تشرين", 2),
        "lease.rtf": (rich_text(), "مدة العقد سنة واحدة", None),
        "garden.epub": (book(), "Water the beds every second morning", None),
        "staff.csv": (table.getvalue().encode("cp1256"), "المدينة: Irbid", None),
        "cities.tsv": (b"City\tRain\nAmman\t270 mm\nAqaba\t30 mm\n", "City: Aqaba", None),
        "hours.json": (json.dumps(answers).encode(), "pool opens at noon", None),
        "log.jsonl": (
            b'{"event": "door", "note": "The cellar door jams."}\n{"event": "lamp"}\n',
            "cellar door jams",
            None,
        ),
        "meeting.eml": (letter(), "يبدأ الاجتماع في العاشرة", None),
        "notes.txt": (b"The ferry leaves from pier seven.", "ferry leaves from pier seven", None),
        "guide.md": ("# دليل\n\nيفتح المتحف أبوابه عند الظهر.".encode(), "يفتح المتحف أبوابه", None),
        "page.html": (
            b"<html><body><p>Candles are sold by weight.</p></body></html>",
            "Candles are sold by weight",
            None,
        ),
    }
