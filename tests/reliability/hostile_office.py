"""Hostile zip packages: archives, Word, sheets, slides, OpenDocument, EPUB; and RTF."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable

import papers

from reliability.hostile_kinds import CORPUS, kind

# Zip packages in general.

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def relations(*targets: tuple[str, str, str]) -> str:
    """Return a part of relationships from ``(type, target, mode)``."""
    rows = "".join(
        f'<Relationship Id="r{at}" Type="{_OFFICE}/{kind}" Target="{target}" TargetMode="{mode}"/>'
        for at, (kind, target, mode) in enumerate(targets)
    )
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{rows}</Relationships>'


def word(body: str, **parts: str | bytes) -> bytes:
    """Return a docx whose body is ``body``; ``parts`` are more files, ``__`` is a dot and ``_S_`` a slash."""
    files: dict[str, str | bytes] = {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": relations(("officeDocument", "word/document.xml", "Internal")),
        "word/document.xml": f"<w:document {_W}><w:body>{body}</w:body></w:document>",
    }
    files |= {name.replace("_S_", "/").replace("__", "."): content for name, content in parts.items()}
    return papers.packed(files)


def with_part(data: bytes, name: str, change: Callable[[str], str | bytes]) -> bytes:
    """Return a package with one part changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files: dict[str, str | bytes] = {each: archive.read(each) for each in archive.namelist()}
    files[name] = change(files[name].decode("utf-8") if isinstance(files.get(name), bytes) else "")
    return papers.packed(files)


_PARAGRAPH = "<w:p><w:r><w:t>text</w:t></w:r></w:p>"


@kind("media-bomb.docx")
def _() -> bytes:
    return word(_PARAGRAPH, word_S_media_S_a__bin=bytes(60_000_000))


@kind("paragraph-bomb.docx")
def _() -> bytes:
    return word("<w:p/>" * 1_500_000)


@kind("paragraphs-at-the-limit.docx", is_slow=True)
def _() -> bytes:
    noise = random.Random(1)
    return word("".join(f"<w:p w:a='{noise.random()}'/>" for _ in range(99_999)))


@kind("run-bomb.docx", is_slow=True)
def _() -> bytes:
    return word("<w:p>" + "<w:r><w:t/></w:r>" * 460_000 + "</w:p>")


@kind("nested-tables.docx")
def _() -> bytes:
    opened, closed = "<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>"
    return word(opened * 40 + _PARAGRAPH * 200 + closed * 40)


@kind("nested-text-boxes.docx")
def _() -> bytes:
    opened, closed = "<w:p><w:r><w:txbxContent>", "</w:txbxContent></w:r></w:p>"
    return word(opened * 60 + _PARAGRAPH + closed * 60)


@kind("deep-xml.docx")
def _() -> bytes:
    return word("<w:sdt>" * 100_000 + _PARAGRAPH + "</w:sdt>" * 100_000)


@kind("entities.docx")
def _() -> bytes:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    declared = f'<!DOCTYPE d [<!ENTITY l0 "ha">{laughs}]>'
    return papers.packed({"[Content_Types].xml": _TYPES, "word/document.xml": f"{declared}<d>&l9;</d>"})


@kind("entities-in-styles.docx")
def _() -> bytes:
    declared = '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    data = (CORPUS / "ar" / "marketing-budget.docx").read_bytes()
    return with_part(data, "word/styles.xml", lambda old: declared + old.partition("?>")[2])


@kind("broken-rels.docx")
def _() -> bytes:
    rels = relations(("styles", "../../../../etc/passwd", "Internal"), ("numbering", "missing.xml", "Internal"))
    return word(_PARAGRAPH, word_S__rels_S_document__xml__rels=rels)


@kind("remote-rels.docx")
def _() -> bytes:
    rels = relations(("styles", "http://192.0.2.1/styles.xml", "External"), ("image", "file:///dev/zero", "External"))
    return word(_PARAGRAPH, word_S__rels_S_document__xml__rels=rels)


@kind("rels-in-a-circle.docx")
def _() -> bytes:
    rels = relations(("styles", "document.xml", "Internal"), ("footnotes", "document.xml", "Internal"))
    return word(_PARAGRAPH, word_S__rels_S_document__xml__rels=rels)


@kind("styles-in-a-circle.docx")
def _() -> bytes:
    circle = '<w:style w:type="paragraph" w:styleId="{}"><w:basedOn w:val="{}"/></w:style>'
    styles = "".join(circle.format(f"s{n}", f"s{(n + 1) % 500}") for n in range(500))
    data = (CORPUS / "ar" / "marketing-budget.docx").read_bytes()
    return with_part(data, "word/styles.xml", lambda old: f"<w:styles {_W}>{styles}</w:styles>")


@kind("hundred-thousand-entries.zip", is_slow=True)
def _() -> bytes:
    return papers.packed({f"{n}.txt": "" for n in range(100_000)}, compression=zipfile.ZIP_STORED)


@kind("thousands-of-parts.docx")
def _() -> bytes:
    return papers.packed({"word/document.xml": "<d/>", **{f"p{n}": b"" for n in range(6_000)}})


@kind("bomb.zip", is_slow=True)
def _() -> bytes:
    return papers.packed({f"{n}.txt": bytes(24_000_000) for n in range(3)})


@kind("nested.zip")
def _() -> bytes:
    data = papers.packed({"a.txt": "innermost"})
    for _ in range(20):
        data = papers.packed({"a.zip": data}, compression=zipfile.ZIP_STORED)
    return data


@kind("overlapping-entries.zip")
def _() -> bytes:
    """One compressed member that a thousand entries of the directory share."""
    plain = papers.packed({"0000.txt": "words and words " * 100_000})
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        start = archive.start_dir
    directory, end = plain[start:-22], plain[-22:]
    many = b"".join(directory.replace(b"0000.txt", b"%04d.txt" % n) for n in range(900))
    counts = struct.pack("<HHII", 900, 900, len(many), start)
    return plain[:start] + many + end[:8] + counts + end[20:]


@kind("lying-sizes.zip")
def _() -> bytes:
    plain = bytearray(papers.packed({"a.txt": bytes(20_000_000), "b.txt": "good text"}))
    at = plain.index(b"PK\x01\x02")
    plain[at + 24 : at + 28] = struct.pack("<I", 100)
    return bytes(plain)


@kind("slip.zip")
def _() -> bytes:
    return papers.packed({"../../../../tmp/slip.txt": "out", "/etc/slip.txt": "out", "..\\..\\slip.txt": "out"})


@kind("comment-full-of-marks.zip")
def _() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "text")
        archive.comment = b"PK\x05\x06" * 16_000
    return buffer.getvalue()


# Sheets and slides.

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def sheet(rows: str, after: str = "") -> bytes:
    data = f'<worksheet xmlns="{_MAIN}"><sheetData>{rows}</sheetData>{after}</worksheet>'
    return with_part(papers.workbook(), "xl/worksheets/sheet1.xml", lambda old: data)


@kind("far-corner.xlsx", is_slow=True)
def _() -> bytes:
    return sheet('<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>corner</t></is></c></row>')


@kind("far-corners.xlsx", is_slow=True)
def _() -> bytes:
    return sheet("".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 40_000)))


@kind("merged-everything.xlsx")
def _() -> bytes:
    merges = "".join(f'<mergeCell ref="A{n}:XFD1048576"/>' for n in range(1, 2_000))
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{n}</v></c><c r="B{n}"><v>2</v></c></row>' for n in range(1, 300))
    return sheet(rows, f"<mergeCells>{merges}</mergeCells>")


@kind("dates-beyond-time.xlsx")
def _() -> bytes:
    cells = "".join(f'<row r="{n}"><c r="C{n}" s="2"><v>{10**n}</v></c></row>' for n in range(1, 300))
    return sheet(cells)


@kind("circular-strings.xlsx")
def _() -> bytes:
    return sheet('<row r="1"><c r="A1" t="s"><v>99999999</v></c><c r="B1" t="s"><v>-1</v></c></row>')


@kind("shared-strings-bomb.xlsx")
def _() -> bytes:
    strings = f'<sst xmlns="{_MAIN}">' + "<si><t/></si>" * 600_000 + "</sst>"
    return with_part(papers.workbook(), "xl/sharedStrings.xml", lambda old: strings)


@kind("entities.xlsx")
def _() -> bytes:
    return with_part(papers.workbook(), "xl/workbook.xml", lambda old: f'<!DOCTYPE d [<!ENTITY a "b">]>{old}')


@kind("number-format.xlsx")
def _() -> bytes:
    def change(old: str) -> str:
        return old.replace('formatCode="0%"', f'formatCode="{"0?,#" * 5_000}x"')

    return with_part(papers.workbook(), "xl/styles.xml", change)


@kind("one-slide-many-times.pptx")
def _() -> bytes:
    def change(old: str) -> str:
        start, first, rest = old.partition("<p:sldId ")
        one, end, tail = (first + rest).partition("/>")
        return start + (one + end) * 3_000 + tail

    return with_part(papers.deck(), "ppt/presentation.xml", change)


@kind("nested-groups.pptx")
def _() -> bytes:
    def change(old: str) -> str:
        at = old.index("</p:spTree>")
        return old[:at] + "<p:grpSp>" * 120 + "</p:grpSp>" * 120 + old[at:]

    return with_part(papers.deck(), "ppt/slides/slide1.xml", change)


@kind("deep.pptx")
def _() -> bytes:
    return with_part(papers.deck(), "ppt/slides/slide1.xml", lambda old: old.replace("<p:cSld>", "<p:cSld>" * 50_000))


@kind("slide-without-end.pptx")
def _() -> bytes:
    return with_part(papers.deck(), "ppt/slides/slide2.xml", lambda old: old[: len(old) // 2])


# OpenDocument, EPUB, RTF.

_ODF = "urn:oasis:names:tc:opendocument:xmlns"


def open_document(body: str, mime: str = "text") -> bytes:
    names = "".join(f' xmlns:{n}="{_ODF}:{n}:1.0"' for n in ("office", "text", "table", "style"))
    return papers.packed(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{mime}",
            "content.xml": f"<office:document-content{names}><office:body>{body}</office:body>"
            "</office:document-content>",
        }
    )


@kind("repeated-rows.ods")
def _() -> bytes:
    cell = '<table:table-cell table:number-columns-repeated="999999999"><text:p>x</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="999999999">{cell}</table:table-row>'
    return open_document(
        f"<office:spreadsheet><table:table>{row * 50}</table:table></office:spreadsheet>", "spreadsheet"
    )


@kind("repeated-spaces.odt", is_slow=True)
def _() -> bytes:
    spaces = '<text:s text:c="999999999"/>' * 100_000
    return open_document(f"<office:text><text:p>a{spaces}b</text:p></office:text>")


@kind("nested-lists.odt")
def _() -> bytes:
    opened, closed = "<text:list><text:list-item>", "</text:list-item></text:list>"
    return open_document(f"<office:text>{opened * 100}<text:p>x</text:p>{closed * 100}</office:text>")


@kind("nested-spans.odt")
def _() -> bytes:
    return open_document(f"<office:text><text:p>{'<text:span>' * 240}x{'</text:span>' * 240}</text:p></office:text>")


@kind("nested-tables.odt")
def _() -> bytes:
    opened, closed = (
        "<table:table><table:table-row><table:table-cell>",
        "</table:table-cell></table:table-row></table:table>",
    )
    row = "<table:table-row><table:table-cell><text:p>x</text:p></table:table-cell></table:table-row>"
    return open_document(f"<office:text>{opened * 60}<text:p>x</text:p>{(row + closed) * 60}</office:text>")


@kind("in-sixteen-bits.odt")
def _() -> bytes:
    return papers.packed(
        {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<a/>".encode("utf-16")}
    )


@kind("bomb.odp", is_slow=True)
def _() -> bytes:
    return open_document("<office:presentation>" + "<text:p/>" * 4_000_000 + "</office:presentation>", "presentation")


@kind("spine-in-a-circle.epub", is_slow=True)
def _() -> bytes:
    opf = (
        '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
        '<item id="a" href="book.opf" media-type="application/xhtml+xml"/></manifest><spine>'
        + '<itemref idref="a"/>' * 100_000
        + "</spine></package>"
    )
    return papers.book(book__opf=opf)


@kind("container-of-itself.epub")
def _() -> bytes:
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
        'full-path="META-INF/container.xml"/></rootfiles></container>'
    )
    return with_part(papers.book(), "META-INF/container.xml", lambda old: container)


@kind("deep-chapter.epub")
def _() -> bytes:
    return with_part(papers.book(), "OPS/text/two.xhtml", lambda old: "<div>" * 100_000 + "<p>text</p>")


@kind("chapter-outside.epub")
def _() -> bytes:
    return with_part(papers.book(), "OPS/book.opf", lambda old: old.replace("text/two.xhtml", "../../../etc/passwd"))


@kind("entities.epub")
def _() -> bytes:
    return with_part(papers.book(), "OPS/book.opf", lambda old: f'<!DOCTYPE d [<!ENTITY a "b">]>{old}')


@kind("deep-groups.rtf", is_slow=True)
def _() -> bytes:
    return rb"{\rtf1 " + b"{" * 400_000 + b"text" + b"}" * 400_001


@kind("binary-without-end.rtf")
def _() -> bytes:
    return rb"{\rtf1 \bin999999999 text" + rb"\bin1 " * 200_000 + b"}"


@kind("title-without-end.rtf")
def _() -> bytes:
    return rb"{\rtf1\ansi{\info{\title " + rb"\'41" * 40 + b"{x}}} text}"


@kind("code-page-of-nobody.rtf")
def _() -> bytes:
    return rb"{\rtf1\ansi\ansicpg99999 text \'e1\u-99999999999999999999?}"


@kind("controls.rtf", is_slow=True)
def _() -> bytes:
    return rb"{\rtf1 " + rb"\u1593?\b\i" * 600_000 + b"}"
