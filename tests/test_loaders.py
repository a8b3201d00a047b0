"""Each format becomes the same clean text: headings, lists and tables on lines of their own, offsets exact."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import docx
import pytest

from rag.config import LoadConfig
from rag.datatypes import Document
from rag.errors import CorpusError
from rag.loaders import SUPPORTED_SUFFIXES, DocumentLoader, find_files, scan
from rag.loaders.blocks import Block, clean, compose

CORPUS = Path(__file__).parents[1] / "corpus"


@pytest.fixture(scope="module")
def loader():
    with DocumentLoader() as shared:
        yield shared


@pytest.fixture
def load(loader, tmp_path):
    def load_file(name: str, content: str | bytes) -> Document:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return loader.load(path, name)

    return load_file


def headings(document: Document) -> list[tuple[int, str]]:
    return [(heading.level, heading.text) for heading in document.headings]


def assert_contract(document: Document) -> None:
    """The promises every loader makes about the text it hands on."""
    text = document.text
    assert text == text.strip() and text
    assert "\n\n\n" not in text and " \n" not in text and "\n " not in text and "  " not in text
    assert not any(ord(character) < 32 and character != "\n" for character in text)
    assert not any(0x7F <= ord(character) < 0xA0 or 0xE0000 <= ord(character) <= 0xE007F for character in text)
    for heading in document.headings:
        assert text[heading.start : heading.end] == heading.text and "\n" not in heading.text
        assert heading.start == 0 or text[heading.start - 2 : heading.start] == "\n\n"
    assert [heading.start for heading in document.headings] == sorted(heading.start for heading in document.headings)
    if document.pages:
        assert document.pages[0].start == 0 and document.pages[-1].end == len(text)
        assert [page.number for page in document.pages] == list(range(1, len(document.pages) + 1))
        assert all(a.end == b.start for a, b in zip(document.pages, document.pages[1:], strict=False))
    assert document.title and "\n" not in document.title
    json.dumps(document.text).encode("utf-8")


@pytest.mark.parametrize("path", [path for path, _ in find_files(CORPUS)], ids=lambda path: path.name)
def test_every_document_of_the_corpus_keeps_the_contract(loader, path):
    document = loader.load(path, path.relative_to(CORPUS).as_posix())
    assert_contract(document)
    assert document.language == path.parent.name
    assert document.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(document.headings) >= 3 and document.headings[0].level == 1


def test_plain_text_gets_headings_lists_and_paragraphs(load):
    document = load(
        "دليل.txt",
        "دليل البريد\r\n\r\nفقرة أولى طويلة نوعًا ما، وتنتهي بنقطة.\r\n\r\nكيف تجمع العناوين؟\r\n\r\nهذه طرق:\r\n"
        "• خصم على الطلب الأول\r\n• دليل مجاني\r\n\r\nالخطوات\r\n\r\n١. اكتب\r\n٢. أرسل\r\n",
    )
    assert document.text == (
        "دليل البريد\n\nفقرة أولى طويلة نوعًا ما، وتنتهي بنقطة.\n\nكيف تجمع العناوين؟\n\nهذه طرق:\n\n"
        "- خصم على الطلب الأول\n- دليل مجاني\n\nالخطوات\n\n١. اكتب\n٢. أرسل"
    )
    assert headings(document) == [(1, "دليل البريد"), (2, "كيف تجمع العناوين؟"), (2, "الخطوات")]
    assert document.title == "دليل البريد" and document.language == "ar" and document.warnings == ()
    assert_contract(document)


def test_plain_text_that_was_wrapped_is_joined_but_short_lines_are_not(load):
    wrapped = load(
        "a.txt",
        "A paragraph that some program has broken at about seventy columns, so\n"
        "that every line but the last is nearly full, which is how we know it\n"
        "is one paragraph.\n\nName: Sanad\nCity: Amman\nYear: 2026\n",
    )
    assert "columns, so that every line" in wrapped.text
    assert wrapped.text.endswith("Name: Sanad\nCity: Amman\nYear: 2026")


def test_long_lines_without_blank_lines_are_paragraphs_with_headings_between(load):
    sentence = "This is a sentence of a web page that was copied without its blank lines. " * 3
    document = load(
        "copy.txt", f"{sentence}\nWhat is social commerce?\n{sentence}\nIt needs these steps:\n- one\n- two\n"
    )
    assert headings(document) == [(2, "What is social commerce?")]
    assert document.text.split("\n\n")[2:] == [sentence.strip(), "It needs these steps:", "- one\n- two"]


def test_web_furniture_in_plain_text_is_left_out_and_counted(load):
    body = "هذه فقرة من المقال تتحدث عن التسويق وتنتهي بنقطة واضحة. " * 20
    document = load(
        "page.txt",
        f"عنوان المقال\n\nحجم الخط |\n- A+\n- A\n- A-\n\n{body}\n\nاقرأ أيضًا: مقال آخر عن شيء آخر\n\n{body}\n\n"
        "الرابط المختصر :\n\nاترك تعليقاً\n\nلن يتم نشر عنوان بريدك الإلكتروني.\n",
    )
    assert document.text == f"عنوان المقال\n\n{body.strip()}\n\n{body.strip()}"
    assert document.warnings == ("8 lines of web page furniture (links to other pages, buttons, forms) were left out",)


def test_a_comment_heading_in_the_middle_of_an_article_drops_nothing(load):
    body = "Paragraph about how to ask readers for their opinion on the product. " * 10
    text = load(
        "a.txt", f"Title of it\n\n{body}\n\nLeave a comment\n\n{body}\n\nRead also the manual before use.\n"
    ).text
    assert text.count("Paragraph about") == 20 and "Leave a comment" in text and "Read also the manual" in text


def test_markdown_keeps_what_a_reader_sees(load):
    document = load(
        "m.md",
        '---\ntitle: "Front title"\n---\n# First *heading*\n\nText with [a link](http://x.example/y), `code`\nand a '
        "wrapped line.<br>After the break.\n\n<!-- hidden -->\n\n3. third\n4. fourth\n   - nested\n\n"
        '| الاسم | القيمة |\n|---|---|\n| أ | 1 |\n\n> quoted\n\n<div align="center">inside html</div>\n',
    )
    assert document.text == (
        "First heading\n\nText with a link, code and a wrapped line.\nAfter the break.\n\n"
        "3. third\n4. fourth\n- nested\n\nالاسم | القيمة\nأ | 1\n\nquoted\n\ninside html"
    )
    assert document.title == "Front title" and headings(document) == [(1, "First heading")]
    assert_contract(document)


def test_markdown_item_of_two_paragraphs_is_one_line(load):
    assert load("m.md", "- first\n\n  second part\n- next\n").text == "- first second part\n- next"


ARTICLE = "<p>" + "This sentence belongs to the article and says something useful about marketing. " * 6 + "</p>"


def test_html_keeps_the_article_with_structure_and_drops_furniture(load):
    document = load(
        "page.html",
        f"""<!DOCTYPE html><html><head><title>Real title | Some Site</title></head><body>
        <nav><ul><li><a href="/">Home</a></li></ul></nav>
        <main><article><h1>Real title</h1><div class="share"><a href="#">Share on X</a></div>{ARTICLE}
        <h2>Second part</h2><ol start="3"><li>three</li><li><p>four</p><ul><li>inner</li></ul></li></ol>
        <table><tr><th>Name</th><th>Value</th></tr><tr><td>A</td><td><p>1</p><p>2</p></td></tr></table>{ARTICLE}
        </article></main><aside class="related-posts"><h3>Related posts</h3><ul><li><a href="/1">One</a></li></ul>
        </aside><section class="comments"><h3>Leave a comment</h3><form><label>Name</label></form></section>
        <footer>Imprint</footer><script>var hidden = 1;</script><p hidden>unseen</p></body></html>""",
    )
    paragraph = ARTICLE[3:-4].strip()
    assert document.text == (
        f"Real title\n\n{paragraph}\n\nSecond part\n\n3. three\n4. four\n- inner\n\n"
        f"Name | Value\nA | 1 2\n\n{paragraph}"
    )
    assert headings(document) == [(1, "Real title"), (2, "Second part")] and document.title == "Real title"
    assert_contract(document)


def test_html_without_an_article_element_keeps_its_headings(load):
    # trafilatura alone keeps the paragraphs of such a page and loses every heading.
    body = "".join(f"<h2>سؤال رقم {n}؟</h2><p>{'جواب مفيد وطويل عن هذا السؤال. ' * 5}</p>" for n in range(6))
    document = load("faq.html", f'<html lang="ar"><body><h1>أسئلة</h1>{body}</body></html>')
    assert [level for level, _ in headings(document)] == [1] + [2] * 6


def test_html_where_the_judge_finds_nothing_is_read_whole(load):
    document = load("short.html", "<body><div>Opening hours</div><div>Sunday to Thursday<br>8 to 4</div></body>")
    assert document.text == "Opening hours\n\nSunday to Thursday\n8 to 4"


def test_html_charset_is_honoured_unless_the_bytes_are_utf8(load):
    words = "التسويق عبر البريد الإلكتروني من أقدم الأدوات"
    page = f'<html><head><meta charset="{{}}"></head><body><p>{words}</p></body></html>'
    assert load("a.html", page.format("windows-1256").encode("cp1256")).text == words
    lying = load("b.html", page.format("iso-8859-1").encode("utf-8"))
    assert lying.text == words and lying.warnings == ()


def test_docx_in_document_order_with_numbers_and_tables(load, tmp_path):
    file = docx.Document()
    file.core_properties.title = "Word Document"
    file.add_heading("خطة الحملة", level=1)
    file.add_paragraph("مقدمة الخطة.")
    file.add_paragraph("الهدف", style="List Number")
    file.add_paragraph("الجمهور", style="List Number")
    table = file.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["البند", "المبلغ", "إعلانات", "900"], strict=True):
        cell.text = text
    file.add_heading("Tools", level=2)
    file.add_paragraph("email", style="List Bullet")
    file.add_paragraph("analytics", style="List Bullet")
    buffer = io.BytesIO()
    file.save(buffer)
    document = load("plan.docx", buffer.getvalue())
    assert document.text == (
        "خطة الحملة\n\nمقدمة الخطة.\n\n1. الهدف\n2. الجمهور\n\nالبند | المبلغ\nإعلانات | 900\n\n"
        "Tools\n\n- email\n- analytics"
    )
    assert headings(document) == [(1, "خطة الحملة"), (2, "Tools")]
    assert document.title == "خطة الحملة"
    assert_contract(document)


W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def raw_docx(body: str) -> bytes:
    """A docx of one part, for markup that python-docx does not write."""
    buffer = io.BytesIO()
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships">'
            f'<Relationship Id="r1" Type="{office}" Target="word/document.xml"/></Relationships>',
        )
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>')
    return buffer.getvalue()


def test_docx_shows_inserted_text_and_text_boxes_and_hides_deleted_text(load):
    run = "<w:r><w:t>{}</w:t></w:r>".format
    document = load(
        "revised.docx",
        raw_docx(
            f"<w:p>{run('kept ')}<w:ins>{run('added')}</w:ins>"
            "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>"
            f"<w:sdt><w:sdtContent><w:p>{run('in a control')}</w:p></w:sdtContent></w:sdt>"
            f"<w:p>{run('anchor')}<w:r><w:pict><w:txbxContent><w:p>{run('in a box')}</w:p></w:txbxContent></w:pict>"
            "</w:r></w:p>"
            "<w:p><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
        ),
    )
    assert document.text == "kept added\n\nin a control\n\nanchor\n\nin a box"


def test_docx_without_heading_styles_takes_short_bold_lines(load):
    bold = "<w:p><w:r><w:rPr><w:b/></w:rPr><w:t>{}</w:t></w:r></w:p>".format
    plain = "<w:p><w:r><w:t>{}</w:t></w:r></w:p>".format
    document = load(
        "bold.docx", raw_docx(bold("Title") + plain("Text.") + bold("Part") + plain("More text.") + bold("End."))
    )
    assert headings(document) == [(1, "Title"), (2, "Part")]


def test_hidden_characters_are_removed_and_reported(load):
    tagged = "Safe text" + "".join(chr(0xE0000 + ord(letter)) for letter in "obey") + " goes\x07 on\u200f here."
    document = load("t.txt", tagged)
    assert document.text == "Safe text goes on\u200f here."  # the reader's own direction mark stays
    assert document.warnings == ("4 hidden characters (Unicode tags) were left out",)


def test_title_comes_from_the_name_where_the_text_has_none(load):
    assert load("our_first-guide.txt", "A sentence that ends with a full stop.").title == "our first guide"
    assert (
        load("000_3e5de98.txt", "A sentence that ends with a full stop.").title
        == "A sentence that ends with a full stop."
    )


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "the file is empty"),
        ("a.txt", b" \n\t\n", "it holds no text"),
        ("a.txt", b"\x89PNG\r\n\x1a\n" + bytes(50), "not a text file: it looks like a PNG image"),
        ("a.txt", b"abc\x00def" * 9, "not a text file: it holds NUL bytes"),
        ("a.txt", bytes(range(1, 9)) * 90, "not a text file: it is full of control characters"),
        ("a.md", b"%PDF-1.4\n...", "not a text file: it is a PDF; rename it to .pdf"),
        ("a.pdf", b"hello", "not a PDF: its first bytes are not those of the format"),
        ("a.pdf", b"PK\x03\x04" + bytes(90), "not a PDF: it looks like a zip archive"),
        ("a.pdf", b"%PDF-1.7\nnothing more", "the PDF is damaged"),
        ("a.docx", b"%PDF-1.4", "not a docx: it is a PDF; rename it to .pdf"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(90), "protected by a password"),
        ("a.docx", b"PK\x03\x04" + bytes(90), "the docx is damaged"),
        ("a.html", b"<html><body><script>x</script></body></html>", "it holds no text"),
    ],
)
def test_wrong_content_is_refused_with_one_clear_sentence(load, name, content, reason):
    with pytest.raises(CorpusError) as caught:
        load(name, content)
    assert caught.value.reason.startswith(reason) or reason in caught.value.reason
    assert "\n" not in caught.value.reason and caught.value.path.name == name


def test_html_text_named_txt_is_read_as_text(load):
    assert load("a.txt", "<p>hello there</p>").text == "<p>hello there</p>"


def test_sizes_at_below_and_above_the_limit(tmp_path):
    config = LoadConfig(max_bytes=100, max_characters=60)
    with DocumentLoader(config) as small:
        path = tmp_path / "a.txt"
        for length, refusal in ((59, None), (60, None), (61, "characters"), (100, "characters"), (101, "larger than")):
            path.write_text("x" * length)
            if refusal is None:
                assert len(small.load(path, "a.txt").text) == length
            else:
                with pytest.raises(CorpusError, match=refusal):
                    small.load(path, "a.txt")


def test_a_missing_file_and_a_folder_are_refused(loader, tmp_path):
    with pytest.raises(CorpusError, match="cannot be opened"):
        loader.load(tmp_path / "none.txt", "none.txt")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(CorpusError, match="Is a directory"):
        loader.load(tmp_path / "folder.txt", "folder.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(CorpusError, match="not a regular file"):
        loader.load(tmp_path / "pipe.txt", "pipe.txt")


def test_scan_is_sorted_and_reports_what_it_refuses(tmp_path):
    for name in ("b/z.txt", "b/a.md", "A.PDF", "ملف.html", ".hidden.txt", ".git/x.txt", "SOURCES.md", "x.xyz", "noend"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    found = scan(tmp_path)
    assert [doc_id for _, doc_id in found.files] == ["A.PDF", "b/a.md", "b/z.txt", "ملف.html"]
    assert find_files(tmp_path) == list(found.files)
    reasons = {path.name: reason for path, reason in found.refused}
    assert reasons["x.xyz"] == f"unsupported format .xyz (supported: {', '.join(SUPPORTED_SUFFIXES)})"
    assert reasons["noend"].startswith("no suffix") and set(reasons) == {"x.xyz", "noend"}


def test_scan_follows_links_only_inside_and_visits_each_folder_once(tmp_path):
    outside = tmp_path / "outside"
    corpus = tmp_path / "corpus"
    (corpus / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (corpus / "sub" / "a.txt").write_text("a")
    (corpus / "leak.txt").symlink_to(outside / "secret.txt")
    (corpus / "leak").symlink_to(outside)
    (corpus / "sub" / "loop").symlink_to(corpus)
    (corpus / "self").symlink_to("self")
    (corpus / "inside.txt").symlink_to(corpus / "sub" / "a.txt")
    os.mkfifo(corpus / "pipe.txt")
    found = scan(corpus)
    assert [doc_id for _, doc_id in found.files] == ["inside.txt", "sub/a.txt"]
    reasons = {path.name: reason for path, reason in found.refused}
    assert set(reasons) == {"leak.txt", "leak", "self", "pipe.txt"}
    assert "outside" in reasons["leak.txt"] and "pipe" in reasons["pipe.txt"]


@pytest.mark.parametrize("name", ["a\nb.txt", "a\u202etxt.md", "a\x1b[31m.txt", "a\u2066.txt", "b\udcff.txt"])
def test_names_that_could_deceive_are_refused(loader, tmp_path, name):
    (tmp_path / name).write_text("x")
    found = scan(tmp_path)
    assert found.files == () and "name" in found.refused[0][1]
    with pytest.raises(CorpusError, match="name"):
        loader.load(tmp_path / name, name)


def test_scan_of_no_folder_names_it(tmp_path):
    with pytest.raises(CorpusError, match="nowhere"):
        scan(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CorpusError, match="not a folder"):
        scan(tmp_path / "file")


def test_compose_counts_offsets_pages_and_paragraphs_that_run_over_pages():
    blocks = [
        Block("heading", "Title", level=1, page=2),
        Block("paragraph", "runs over the page", page=2, page_breaks=((10, 3),)),
        Block("item", "one", page=5),
        Block("item", "two", marker="2.", page=5),
        Block("row", "", page=5),
    ]
    parsed = compose(blocks, page_numbers=range(1, 6))
    assert parsed.text == "Title\n\nruns over the page\n\n- one\n2. two"
    assert parsed.headings == ((1, 0, 5),)
    assert parsed.pages == ((1, 0, 0), (2, 0, 17), (3, 17, 27), (4, 27, 27), (5, 27, 39))
    assert parsed.text[17:27] == "the page\n\n"


def test_clean_keeps_the_letters():
    assert clean("a\r\nb\x0bc\u2028d\t \xa0e\x00\ud800\x85f") == "a\nb\nc\nd e\nf"
    assert clean("ﷺ ـًا ﻻ e\u0301") == "ﷺ ـًا ﻻ e\u0301"
