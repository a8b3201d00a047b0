"""Scans are read by OCR where tesseract is installed; where it is not, the reason names the remedy."""

from __future__ import annotations

import io
import os
import re
import signal
import threading
import time
from pathlib import Path

import matplotlib
import pytest
from PIL import Image, ImageDraw, ImageFont, features
from rapidfuzz.distance import Levenshtein

from rag.config import LoadConfig
from rag.errors import CorpusError
from rag.loaders import DocumentLoader, pdf, picture, tesseract
from rag.loaders.blocks import UnreadableError
from rag.loaders.ocr import Picture, Recogniser, listed

needs_tesseract = pytest.mark.skipif("ara" not in tesseract.languages(), reason=f"wants tesseract: {tesseract.REMEDY}")
needs_shaping = pytest.mark.skipif(not features.check("raqm"), reason="this Pillow cannot draw Arabic")

ENGLISH = (
    "A budget for digital marketing begins with one number: what a new customer is worth.",
    "Add what the customer buys in a year, and take away what it costs to serve them. Keep a third",
    "of the rest for marketing, and write down how you came to it, so that next year is easier.",
)
ARABIC = (
    "تحتاج كل حملة تسويقية إلى خطة واضحة وميزانية معروفة قبل أن تبدأ.",
    "تحدد الخطة الجمهور المستهدف والقنوات التي يصل بها المحتوى إليه، ثم تقاس",
    "النتائج كل أسبوع وتقارن بما كان مطلوبا في أول الأمر.",
)


def page_of(lines: tuple[str, ...], *, title: str = "", is_rtl: bool = False, size: int = 50) -> Image.Image:
    """A white page with text on it, as a scanner at 300 dpi gives it."""
    image = Image.new("L", (2480, 1600), 255)
    draw = ImageDraw.Draw(image)
    y = 200
    for text, points in [(title, 2 * size), *((line, size) for line in lines)] if title else [(x, size) for x in lines]:
        font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", points)
        x, anchor = (2300, "ra") if is_rtl else (180, "la")
        draw.text((x, y), text, font=font, fill=20, anchor=anchor, direction="rtl" if is_rtl else "ltr")
        y += round(1.7 * points)
    return image


def saved(images: list[Image.Image], kind: str) -> bytes:
    out = io.BytesIO()
    more = {"save_all": True, "append_images": [image.copy() for image in images[1:]]} if len(images) > 1 else {}
    images[0].copy().save(out, kind, **({"resolution": 300.0} if kind == "PDF" else {}), **more)
    return out.getvalue()


def load(folder: Path, name: str, data: bytes, **limits):
    path = folder / name
    path.write_bytes(data)
    with DocumentLoader(LoadConfig(**limits)) as loader:
        return loader.load(path, name)


def accuracy(text: str, wanted: tuple[str, ...]) -> float:
    """Return the share of the words that were read exactly."""
    words = re.findall(r"\w+", " ".join(wanted))
    return 1 - Levenshtein.distance(words, re.findall(r"\w+", text)) / len(words)


@needs_tesseract
def test_an_english_scan_is_read_with_its_heading_and_its_paragraph(tmp_path):
    document = load(tmp_path, "scan.pdf", saved([page_of(ENGLISH, title="How to plan a budget")], "PDF"))
    title, paragraph = document.text.split("\n\n")
    assert title == "How to plan a budget" and accuracy(paragraph, ENGLISH) > 0.9
    assert [heading.text for heading in document.headings] == ["How to plan a budget"]
    assert document.language == "en" and [page.number for page in document.pages] == [1]
    (warning,) = document.warnings
    assert re.fullmatch(r"read by OCR \(Arabic and English\): page 1, mean confidence 9\d %; check .*", warning)


@needs_tesseract
@needs_shaping
def test_an_arabic_scan_is_read_in_reading_order_and_not_taken_for_latin(tmp_path):
    document = load(tmp_path, "scan.pdf", saved([page_of(ARABIC, is_rtl=True)], "PDF"))
    assert accuracy(document.text, ARABIC) >= 0.8
    assert document.language == "ar" and not re.search("[\u200e\u200f]", document.text)
    assert len(re.findall("[A-Za-z]+", document.text)) <= 1


@needs_tesseract
def test_only_the_pages_without_text_are_read_and_blank_ones_are_passed_over(tmp_path):
    import pypdfium2

    blank = Image.new("L", (2480, 1600), 250)
    scans = pypdfium2.PdfDocument(saved([page_of(ENGLISH), blank], "PDF"))
    from test_loader_pdf import make_pdf

    text = pypdfium2.PdfDocument(make_pdf([[(50, 700, 12, "A page that holds its text.")]]))
    text.import_pages(scans)
    out = io.BytesIO()
    text.save(out)
    document = load(tmp_path, "mixed.pdf", out.getvalue())
    assert document.text.startswith("A page that holds its text.") and accuracy(document.text, ENGLISH) > 0.7
    assert [(page.number, page.end > page.start) for page in document.pages] == [(1, True), (2, True), (3, False)]
    assert document.text[document.pages[1].start :].startswith("A budget for digital marketing")
    assert document.warnings[0].startswith("read by OCR (Arabic and English): page 2, mean")


@needs_tesseract
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_is_a_document(tmp_path, kind):
    document = load(tmp_path, f"photo.{kind.lower()}", saved([page_of(ENGLISH)], kind))
    assert accuracy(document.text, ENGLISH) > 0.95 and len(document.pages) == 1


@needs_tesseract
def test_each_frame_of_a_tiff_is_a_page_and_what_is_transparent_is_white(tmp_path):
    document = load(tmp_path, "fax.tif", saved([page_of(ENGLISH[:1]), page_of(ENGLISH[1:])], "TIFF"))
    assert [document.text[page.start : page.end].split()[0] for page in document.pages] == ["A", "Add"]
    ink = page_of(ENGLISH).point(lambda shade: 255 - shade)
    clear = Image.merge("LA", (Image.new("L", ink.size, 0), ink))
    assert accuracy(load(tmp_path, "clear.png", saved([clear], "PNG")).text, ENGLISH) > 0.95


@needs_tesseract
def test_pages_beyond_the_limit_are_named(tmp_path):
    document = load(tmp_path, "long.pdf", saved([page_of(ENGLISH[:1])] * 3, "PDF"), max_ocr_pages=1)
    assert [page.number for page in document.pages if page.end > page.start] == [1]
    assert document.warnings[1] == "more scanned pages than OCR is allowed: page 2-3 left out; split it"


@needs_tesseract
def test_a_page_that_takes_too_long_is_named_and_the_time_of_a_file_grows_with_its_scans(tmp_path):
    scan = saved([page_of(ENGLISH)], "PDF")
    with pytest.raises(CorpusError, match="OCR found none; OCR failed or took too long: page 1 left out"):
        load(tmp_path, "scan.pdf", scan, ocr_page_timeout_s=0.01)
    dense = saved([page_of(ENGLISH * 5)] * 2, "PDF")
    began = time.monotonic()
    document = load(tmp_path, "dense.pdf", dense, timeout_s=1.5)
    assert document.text and time.monotonic() - began > 1.5, "the test wants a page that takes longer than the limit"


def readers_of(pid: int) -> list[int]:
    """The processes of tesseract that a parser has started to read a page."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"tsv" in Path(f"/proc/{child}/cmdline").read_bytes()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


@needs_tesseract
@pytest.mark.parametrize("ending", ["killed", "closed"])
def test_tesseract_ends_with_the_parser_that_started_it(tmp_path, ending):
    path = tmp_path / "scan.pdf"
    path.write_bytes(saved([page_of(ENGLISH * 5)], "PDF"))
    loader = DocumentLoader(LoadConfig(ocr_page_timeout_s=60))
    failures: list[CorpusError] = []

    def read() -> None:
        try:
            loader.load(path, "scan.pdf")
        except CorpusError as error:
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    found: list[int] = []
    deadline = time.monotonic() + 30
    while not found and time.monotonic() < deadline:
        child = loader._child
        found = readers_of(child.pid) if child is not None and is_alive(child.pid) else []
        time.sleep(0.005)
    parser, tesseract = loader._child.pid, found[0]
    time.sleep(0.5)  # until it has the whole picture
    assert is_alive(tesseract), "the test wants a page that takes longer"
    if ending == "killed":
        os.kill(parser, signal.SIGSEGV)
    else:
        os.killpg(parser, signal.SIGKILL)  # what the loader does when the time is over
    thread.join()
    end = time.monotonic() + 1  # reading the page would take longer
    while is_alive(tesseract) and time.monotonic() < end:
        time.sleep(0.01)
    assert not is_alive(tesseract) and failures
    loader.close()


@needs_tesseract
def test_a_page_of_any_size_is_drawn_within_the_memory(tmp_path):
    from test_loader_pdf import make_pdf

    huge = make_pdf([[]], drawing="0 0 9000 9000 re f\n").replace(b"[0 0 600 800]", b"[0 0 14000 14000]")
    with pytest.raises(CorpusError, match="holds no text, and OCR found none"):
        load(tmp_path, "huge.pdf", huge)


def test_without_tesseract_the_reason_names_the_remedy():
    from test_loader_pdf import make_pdf

    assert tesseract.REMEDY == "apt install tesseract-ocr tesseract-ocr-ara"
    with pytest.raises(UnreadableError, match=f"a scan.*{tesseract.REMEDY}"):
        pdf.parse(make_pdf([[]]), max_pages=9)
    with pytest.raises(UnreadableError, match=f"a picture: .*{tesseract.REMEDY}"):
        picture.parse(saved([page_of(ENGLISH)], "PNG"), max_pages=9, recogniser=None)


def test_a_path_without_tesseract_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match=tesseract.REMEDY):
        load(tmp_path, "scan.pdf", saved([page_of(ENGLISH)], "PDF"))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("icon.png", saved([Image.new("L", (32, 32))], "PNG"), "too small to hold text"),
        ("cut.png", saved([page_of(ENGLISH)], "PNG")[:3000], "damaged"),
        ("page.png", b"<html><p>no picture", "not a picture"),
        ("wide.png", saved([Image.new("L", (40_001, 1_000))], "PNG"), "more than 40 million pixels"),
        ("empty.png", saved([Image.new("L", (800, 800), 255)], "PNG"), "OCR found no text"),
    ],
)
@needs_tesseract
def test_a_picture_that_cannot_be_read_is_named(tmp_path, name, data, reason):
    with pytest.raises(CorpusError, match=reason):
        load(tmp_path, name, data)


def test_pages_are_listed_as_ranges():
    assert listed([1, 2, 3, 7]) == "1-3, 7" and listed([]) == ""
    assert listed([1, 3, 5, 7, 9, 11]) == "1, 3, 5, 7, 9, …"


@needs_tesseract
def test_specks_are_no_words():
    noise = Image.effect_noise((1200, 1200), 80)
    announced: list[int] = []
    reading = Recogniser(max_pages=3, page_timeout_s=60, announce=announced.append).read([Picture(1, lambda: noise)])
    assert sum(len(line.text) for line in reading.lines.get(1, [])) < 20 and announced == [1]
