"""Does the content of a file fit its name? Told by its first bytes, before any parser sees it."""

from __future__ import annotations

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
            raise UnreadableError(f"not a PDF{_but(look)}")
    elif suffix == ".docx":
        if look.startswith("an old Office file"):
            raise UnreadableError(
                "not a docx: it is an old Office file or protected by a password; save it as .docx without a password"
            )
        if not data.startswith(b"PK\x03\x04"):
            raise UnreadableError(f"not a docx{_but(look)}")
    elif look and not _is_plausible_text(look, data):
        raise UnreadableError(f"not a text file{_but(look)}")


def _but(look: str) -> str:
    if look == "a PDF":
        return ": it is a PDF; rename it to .pdf"
    return f": it looks like {look}" if look else ": its first bytes are not those of the format"


def _is_plausible_text(look: str, data: bytes) -> bool:
    """Return whether a match of a purely ASCII signature may be chance: prose can begin with ``RIFF`` or ``ID3``."""
    if look in ("a PDF", "an RTF file"):
        return False
    head = data[:4096]
    return all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in head) and b"\x7f" not in head
