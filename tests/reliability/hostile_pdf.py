"""Hostile PDFs: cycles, bombs and lies about lengths and sizes."""

from __future__ import annotations

import random
import zlib

import papers

from reliability.hostile_kinds import CORPUS, kind
from reliability.hostile_office import word


def pdf(*objects: bytes, trailer: bytes = b"<< /Root 1 0 R >>") -> bytes:
    """Return a PDF of numbered objects, its cross-reference table right."""
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + content + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer " + trailer + b"\nstartxref\n%d\n%%%%EOF\n" % start)


def stream(content: bytes, extra: bytes = b"", *, level: int = 9) -> bytes:
    packed = zlib.compress(content, level)
    return b"<< /Filter /FlateDecode /Length %d %s >>\nstream\n" % (len(packed), extra) + packed + b"\nendstream"


_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def page(content: bytes, *more: bytes, box: bytes = b"0 0 595 842", extra: bytes = b"") -> bytes:
    """Return a PDF of one page; ``more`` are objects from number 6 on."""
    return pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [%s] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> %s >> >>"
        % (box, extra),
        stream(content),
        _FONT if not more or not more[0].startswith(b"<< /Type /Font") else more[0],
        *(more[1:] if more and more[0].startswith(b"<< /Type /Font") else more),
    )


_LINE = b"BT /F 12 Tf 50 700 Td (A line of text on the page) Tj ET\n"


@kind("reference-loop.pdf")
def _() -> bytes:
    return page(_LINE).replace(b"<< /Root 1 0 R >>", b"<< /Root 1 0 R /Prev 9 /XRefStm 9 >>")


@kind("reference-to-itself.pdf")
def _() -> bytes:
    data = page(_LINE)
    start = data.rindex(b"startxref")
    return data.replace(b"<< /Root 1 0 R >>", b"<< /Root 1 0 R /Prev %d >>" % data.rindex(b"xref\n0", 0, start))


@kind("page-tree-circle.pdf")
def _() -> bytes:
    return pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 9 /Kids [2 0 R 2 0 R] >>")


@kind("page-tree-deep.pdf")
def _() -> bytes:
    nodes = [b"<< /Type /Pages /Count 1 /Kids [%d 0 R] >>" % (n + 1) for n in range(2, 3_000)]
    return pdf(b"<< /Type /Catalog /Pages 2 0 R >>", *nodes, b"<< /Type /Page /MediaBox [0 0 9 9] >>")


@kind("many-pages.pdf")
def _() -> bytes:
    return pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 100000 /Kids [" + b"3 0 R " * 100_000 + b"] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] >>",
    )


@kind("count-lies.pdf")
def _() -> bytes:
    return page(_LINE).replace(b"/Count 1 ", b"/Count 2000000000 ")


@kind("to-unicode-bomb.pdf")
def _() -> bytes:
    ranges = b"100 beginbfrange\n" + b"<0000> <FFFF> <0041>\n" * 100 + b"endbfrange\n"
    cmap = b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <0000> <FFFF> endcodespacerange\n"
    font = b"<< /Type /Font /Subtype /Type0 /BaseFont /F /Encoding /Identity-H /ToUnicode 6 0 R"
    font += b" /DescendantFonts [7 0 R] >>"
    inner = b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /F /CIDSystemInfo << /Registry (A) /Ordering (I) >> >>"
    content = b"BT /F 12 Tf 50 700 Td <00410042> Tj ET"
    return page(content, font, stream(cmap + ranges * 300 + b"endcmap"), inner)


@kind("huge-page.pdf")
def _() -> bytes:
    return page(_LINE * 10, box=b"0 0 99999999999 99999999999")


@kind("page-of-no-size.pdf")
def _() -> bytes:
    return page(_LINE, box=b"0 0 0 -1")


@kind("encrypted.pdf")
def _() -> bytes:
    secret = b"<< /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O (%s) /U (%s) >>" % (b"x" * 32, b"y" * 32)
    return page(_LINE, secret).replace(b"<< /Root 1 0 R >>", b"<< /Root 1 0 R /Encrypt 6 0 R /ID [(a) (b)] >>")


@kind("inflating-content.pdf", is_slow=True)
def _() -> bytes:
    return page(b"(a) Tj\n" * 30_000_000)


@kind("doubly-packed.pdf", is_slow=True)
def _() -> bytes:
    inner = zlib.compress(zlib.compress(b" " * 200_000_000, 9), 9)
    held = b"<< /Filter [/FlateDecode /FlateDecode] /Length %d >>\nstream\n" % len(inner) + inner + b"\nendstream"
    return pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R >>",
        held,
    )


@kind("form-in-itself.pdf", is_slow=True)
def _() -> bytes:
    form = stream(
        b"/X Do /X Do", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 6 0 R >> >>"
    )
    return page(b"/X Do", form, extra=b"/XObject << /X 6 0 R >>")


@kind("forms-of-forms.pdf", is_slow=True)
def _() -> bytes:
    """Each of thirty forms draws the next one ten times."""
    forms = [
        stream(
            b"/X Do " * 10,
            b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X %d 0 R >> >>" % n,
        )
        for n in range(7, 37)
    ]
    return page(
        b"/X Do",
        *forms,
        stream(_LINE, b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]"),
        extra=b"/XObject << /X 6 0 R >>",
    )


@kind("font-in-itself.pdf")
def _() -> bytes:
    font = (
        b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 9 9] /FontMatrix [1 0 0 1 0 0] /CharProcs << /a 6 0 R >>"
        b" /Resources << /Font << /F 5 0 R >> >> /Encoding << /Differences [97 /a] >>"
        b" /FirstChar 97 /LastChar 97 /Widths [9] >>"
    )
    return page(b"BT /F 9 Tf (aaaa) Tj ET", font, stream(b"BT /F 9 Tf (aaaa) Tj ET"))


@kind("deep-arrays.pdf")
def _() -> bytes:
    return page(_LINE, b"[" * 500_000 + b"]" * 500_000)


@kind("deep-dictionary-in-content.pdf")
def _() -> bytes:
    return page(b"/P " + b"<< /A " * 200_000 + b"1" + b">>" * 200_000 + b" BDC\n" + _LINE)


@kind("length-lies.pdf")
def _() -> bytes:
    return page(_LINE).replace(b"/Length ", b"/Length 99999999")


@kind("predictor.pdf")
def _() -> bytes:
    lie = b"/DecodeParms << /Predictor 15 /Columns 2147483647 /Colors 32 /BitsPerComponent 16 >>"
    return page(_LINE).replace(b"/Filter /FlateDecode", b"/Filter /FlateDecode " + lie)


@kind("huge-picture.pdf", is_slow=True)
def _() -> bytes:
    image = stream(
        bytes(30_000_000),
        b"/Type /XObject /Subtype /Image /Width 30000 /Height 30000 /ColorSpace /DeviceGray /BitsPerComponent 8",
    )
    return page(b"q 595 0 0 842 0 0 cm /I Do Q", image, extra=b"/XObject << /I 6 0 R >>")


@kind("many-glyphs.pdf", is_slow=True)
def _() -> bytes:
    noise = random.Random(2)
    words = b"".join(
        b"1 0 0 1 %d %d Tm (w) Tj\n" % (noise.randrange(595), noise.randrange(842)) for _ in range(120_000)
    )
    return page(b"BT /F 1 Tf\n" + words + b"ET")


@kind("one-baseline.pdf", is_slow=True)
def _() -> bytes:
    words = b"".join(b"1 0 0 1 %d 400 Tm (w) Tj\n" % (n % 590) for n in range(60_000))
    return page(b"BT /F 1 Tf\n" + words + b"ET")


@kind("outline-circle.pdf")
def _() -> bytes:
    return page(_LINE, b"<< /Title (a) /Next 6 0 R /Parent 6 0 R /First 6 0 R >>").replace(
        b"/Type /Catalog", b"/Type /Catalog /Outlines 6 0 R /Names 6 0 R"
    )


@kind("script-and-launch.pdf")
def _() -> bytes:
    return page(_LINE).replace(
        b"/Type /Catalog",
        b"/Type /Catalog /OpenAction << /S /Launch /F (/bin/sh) /Next << /S /JavaScript /JS (app.alert\\(1\\)) >> >>",
    )


@kind("object-streams.pdf")
def _() -> bytes:
    bomb = stream(b"6 0 " * 2_000_000 + b"<< >>", b"/Type /ObjStm /N 2000000 /First 8000000 /Extends 6 0 R")
    return page(_LINE, bomb)


@kind("half-a-pdf.pdf")
def _() -> bytes:
    data = (CORPUS / "ar" / "seo.pdf").read_bytes()
    return data[: len(data) // 2]


@kind("both.docx")
def _() -> bytes:
    return page(_LINE) + word("<w:p><w:r><w:t>text</w:t></w:r></w:p>")


@kind("both.pdf")
def _() -> bytes:
    return page(_LINE) + papers.packed({"word/document.xml": "<d/>"})
