"""Which kind of file a page is: what it begins with decides, then what the server says, then the end of its URL."""

from __future__ import annotations

import codecs
import mimetypes
import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from rag.errors import FetchError
from rag.loaders import SUPPORTED_SUFFIXES
from rag.web.fetch import Fetched

_OFFICE = "application/vnd.openxmlformats-officedocument"
_SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "application/pdf": ".pdf",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/x-markdown": ".md",
    "text/csv": ".csv",
    "application/rtf": ".rtf",
    "text/rtf": ".rtf",
    "application/epub+zip": ".epub",
    f"{_OFFICE}.wordprocessingml.document": ".docx",
    f"{_OFFICE}.presentationml.presentation": ".pptx",
    f"{_OFFICE}.spreadsheetml.sheet": ".xlsx",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.presentation": ".odp",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
}
_VAGUE = ("", "application/octet-stream", "binary/octet-stream", "application/download", "application/force-download")
_HTML = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--(?:(?!-->).){0,2000}-->\s*)*<(?:!doctype html|html|head)",
    re.IGNORECASE | re.DOTALL,
)
# Servers say these without knowing; the bytes tell more.
_HOLLOW_CHARSETS = ("utf-8", "ascii", "iso8859-1", "cp1252")
_TEXT_SUFFIXES = (".html", ".htm", ".txt", ".md", ".markdown", ".csv", ".tsv")


def suffix_of(page: Fetched) -> str:
    """Return the suffix of the file a page becomes, one of ``SUPPORTED_SUFFIXES``.

    Raises:
        FetchError: It is of no kind that is read.
    """
    named = PurePosixPath(unquote(urlsplit(page.url).path)).suffix.lower()
    stated = _SUFFIXES.get(page.content_type) or mimetypes.guess_extension(page.content_type) or ""
    if page.body.startswith(b"%PDF-"):
        suffix = ".pdf"
    elif stated in ("", ".txt", ".html") and _HTML.match(page.body[:4096]):
        suffix = ".html"
    elif page.content_type in _VAGUE or (stated == ".txt" and named in _TEXT_SUFFIXES):
        suffix = named
    else:
        suffix = stated
    if suffix not in SUPPORTED_SUFFIXES:
        kind = page.content_type or (f"what ends in {named}" if named else "a page without a type")
        raise FetchError(page.url, f"{kind} is not read (supported: {', '.join(SUPPORTED_SUFFIXES)})")
    return suffix


def file_bytes(page: Fetched, suffix: str) -> bytes:
    """Return the page as the bytes of its file: text in the encoding that only the server names becomes UTF-8."""
    try:
        encoding = codecs.lookup(page.charset).name if page.charset and suffix in _TEXT_SUFFIXES else "utf-8"
        if encoding in _HOLLOW_CHARSETS or page.body.startswith(codecs.BOM_UTF8):
            return page.body
        return codecs.BOM_UTF8 + page.body.decode(encoding).encode("utf-8")  # the mark wins over a <meta charset>
    except (LookupError, UnicodeError, ValueError):
        return page.body  # the server names a wrong one; whoever reads the file tells it from the bytes
