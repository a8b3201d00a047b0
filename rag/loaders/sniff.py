"""Does the content of a file fit its name? Told by its first bytes, before any parser sees it."""

from __future__ import annotations

import io
import re
import zipfile
import zlib

from rag.loaders.blocks import UnreadableError

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a zip archive (docx, xlsx, epub and the like are zip archives too)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (doc, xls, ppt) or an encrypted docx"),
    (b"{\\rtf", "an RTF file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"RIFF", "a RIFF file (WebP, WAV or AVI)"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a Windows program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"ID3", "an MP3 file"),
    (b"OggS", "an Ogg file"),
    (b"\x00\x00\x00\x18ftyp", "an MP4 file"),
    (b"\x00\x00\x00\x20ftyp", "an MP4 file"),
)
_PARTS = {".docx": "word/document.xml", ".xlsx": "xl/workbook.xml", ".pptx": "ppt/presentation.xml"}
_OASIS = "application/vnd.oasis.opendocument."
_MIME_TYPES = {
    **{f"{_OASIS}text": ".odt", f"{_OASIS}spreadsheet": ".ods", f"{_OASIS}presentation": ".odp"},
    "application/epub+zip": ".epub",
}
_PACKAGES = (*_PARTS, *_MIME_TYPES.values(), ".zip")
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html|head|body|table)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
# The PDF standard's readers accept the mark anywhere in the first kilobyte.
_PDF_HEAD = 1024


def look_of(data: bytes) -> str:
    """Return what the first bytes look like, such as ``"a PNG image"``; empty if nothing is recognised."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    return ""


def check_content(suffix: str, data: bytes) -> None:
    """Refuse a file whose content is plainly of another format than its name.

    Text formats are checked further when they are decoded.

    Raises:
        UnreadableError: With what the file looks like and what to do.
    """
    look = look_of(data)
    if suffix == ".pdf":
        if b"%PDF-" not in data[:_PDF_HEAD]:
            raise UnreadableError(f"not a PDF{_but(data, look)}")
    elif suffix in _PACKAGES:
        _check_package(suffix, data, look)
    elif suffix == ".rtf":
        if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{\\rtf"):
            raise UnreadableError(f"not an RTF file{_but(data, look)}")
    elif suffix in PICTURE_SUFFIXES:
        if look not in ("a PNG image", "a JPEG image", "a TIFF image"):  # which of them, no parser minds
            raise UnreadableError(f"not a picture{_but(data, look)}")
    elif look and not _is_plausible_text(look, data):
        raise UnreadableError(f"not a text file{_but(data, look)}")
    elif suffix in (".csv", ".tsv", ".json", ".jsonl", ".eml") and _HTML.match(data):
        raise UnreadableError(f"not {_named(suffix)}{_but(data, look)}")


def _check_package(suffix: str, data: bytes, look: str) -> None:
    name = _named(suffix)
    if look.startswith("an old Office file"):
        raise UnreadableError(
            f"not {name}: it is an old Office file or protected by a password; save it as {suffix} without a password"
        )
    if suffix == ".zip" and look == "an empty zip archive":
        raise UnreadableError("the archive holds no document")
    if not data.startswith(b"PK\x03\x04"):
        raise UnreadableError(f"not {name}{_but(data, look)}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            own = _package_of(archive)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, zlib.error, EOFError):
        return  # damaged: the parser has the words for it
    if own and own != suffix:
        raise UnreadableError(f"not {name}: it is {_named(own)}; rename it to {own}")
    if not own and suffix not in (".zip", ".docx"):
        raise UnreadableError(f"a zip archive but not {name}; save it as {suffix}")


def _package_of(archive: zipfile.ZipFile) -> str:
    """Return the suffix that belongs to a zip package; empty if it is none, or none that is told here."""
    names = set(archive.namelist())
    for suffix, part in _PARTS.items():
        if part in names:
            return suffix
    if "mimetype" in names and archive.getinfo("mimetype").file_size < _PDF_HEAD:
        return _MIME_TYPES.get(archive.read("mimetype").decode("ascii", "replace").strip(), "")
    return ""


def _named(suffix: str) -> str:
    special = {
        ".epub": "an EPUB",
        ".zip": "an archive of documents",
        ".json": "JSON",
        ".jsonl": "JSON",
        ".eml": "a mail",
    }
    name = suffix.removeprefix(".")
    return special.get(suffix) or f"{'an' if name[0] in 'aox' else 'a'} {name}"


def _but(data: bytes, look: str) -> str:
    if look in ("a PDF", "an RTF file"):
        return f": it is {look}; rename it to {'.pdf' if look == 'a PDF' else '.rtf'}"
    if _HTML.match(data):
        return ": it is an HTML page; rename it to .html"
    return f": it looks like {look}" if look else ": its first bytes are not those of the format"


def _is_plausible_text(look: str, data: bytes) -> bool:
    """Return whether a match of a purely ASCII signature may be chance: prose can begin with ``RIFF`` or ``ID3``."""
    if look in ("a PDF", "an RTF file"):
        return False
    head = data[:4096]
    return all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in head) and b"\x7f" not in head
