"""Which files of a folder are documents: sorted, inside the folder, regular, of a known format."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.errors import CorpusError

SUPPORTED_SUFFIXES = (
    *(".txt", ".md", ".markdown", ".html", ".htm", ".docx", ".pdf", ".pptx", ".xlsx", ".odt", ".ods", ".odp"),
    *(".rtf", ".epub", ".csv", ".tsv", ".json", ".jsonl", ".eml", ".zip"),
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff"),
)
ARCHIVE_SUFFIXES = (".zip",)
# What people have that is not read as it is, and what makes it readable.
_REMEDIES = {
    **dict.fromkeys((".doc", ".docm", ".dot", ".dotx", ".wps"), "save it as .docx"),
    **dict.fromkeys((".xls", ".xlsm", ".xlsb", ".xltx"), "save it as .xlsx"),
    **dict.fromkeys((".ppt", ".pptm", ".pps", ".ppsx"), "save it as .pptx"),
    **dict.fromkeys((".pages", ".numbers", ".key"), "export it as .docx, .xlsx, .pptx or .pdf"),
    **dict.fromkeys((".mobi", ".azw", ".azw3", ".fb2"), "convert it to .epub"),
    **dict.fromkeys((".fodt", ".fods", ".fodp", ".ott"), "save it as .odt, .ods or .odp"),
    **dict.fromkeys((".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz"), "unpack it, or pack it as .zip"),
    **dict.fromkeys((".msg", ".mbox", ".pst"), "save each mail as .eml"),
    **dict.fromkeys((".ndjson", ".geojson"), "rename it to .jsonl or .json"),
    **dict.fromkeys((".xhtml", ".mht", ".mhtml"), "save it as .html"),
    **dict.fromkeys((".djvu", ".xps"), "convert it to .pdf"),
    **dict.fromkeys(
        (".gif", ".webp", ".bmp", ".heic", ".svg"),
        "save the picture as .png or .jpg; its text is then read by OCR",
    ),
}
# Names the origin of the documents beside it; it is about them, not one of them.
SOURCES_NAME = "SOURCES.md"


@dataclass(frozen=True, slots=True)
class Scan:
    """What a folder holds.

    ``files`` are ``(path, doc_id)``, sorted by doc_id. ``refused`` are ``(path, reason)`` of what lies there but
    is not read: other formats, links out of the folder, pipes and devices, names that hold control characters.
    """

    files: tuple[tuple[Path, str], ...]
    refused: tuple[tuple[Path, str], ...]


def scan(folder: Path) -> Scan:
    """Look through ``folder`` and its subfolders; nothing is opened.

    Hidden files and folders (a leading dot) and ``SOURCES.md`` are passed over in silence. A link is followed
    only to a file or folder inside ``folder``; each folder is visited once, so that loops end.

    Raises:
        CorpusError: ``folder`` is not there, is not a folder, or cannot be listed.
    """
    try:
        root = folder.resolve(strict=True)
        if not root.is_dir():
            raise CorpusError(folder, "not a folder; name the folder that holds the documents")
        os.listdir(root)
    except OSError as error:
        raise CorpusError(folder, f"cannot be opened as a folder ({error.strerror or error})") from error
    files: list[tuple[Path, str]] = []
    refused: list[tuple[Path, str]] = []
    seen: set[tuple[int, int]] = set()
    _walk(folder, "", root, files, refused, seen)
    return Scan(files=tuple(sorted(files, key=lambda file: file[1])), refused=tuple(sorted(refused)))


def find_files(folder: Path) -> list[tuple[Path, str]]:
    """Return ``(path, doc_id)`` of every document under ``folder``, sorted by doc_id; see ``scan``."""
    return list(scan(folder).files)


def with_prefixes(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return each folder of a corpus with what goes before the doc_ids of its files: of several, its name and ``/``."""
    return [(folder, f"{folder.resolve().name}/" if len(folders) > 1 else "") for folder in folders]


def scan_folders(folders: Sequence[tuple[Path, str]], *, without: Path) -> Scan:
    """Look through the folders of a corpus; see ``scan``.

    Args:
        folders: As ``with_prefixes`` returns them.
        without: What lies in this folder (the index) is passed over.

    Raises:
        CorpusError: A folder is not there, is not a folder, or cannot be listed.
    """
    files: list[tuple[Path, str]] = []
    refused: list[tuple[Path, str]] = []
    own = without.resolve()
    for folder, prefix in folders:
        found, root = scan(folder), folder.resolve()
        is_near = own.is_relative_to(root) or root.is_relative_to(own)  # else no path needs a look
        files += [
            (path, prefix + doc_id) for path, doc_id in found.files if not (is_near and own in path.resolve().parents)
        ]
        refused += [(path, why) for path, why in found.refused if not (is_near and own in path.absolute().parents)]
    return Scan(files=tuple(sorted(files, key=lambda file: file[1])), refused=tuple(refused))


def is_archive(path: Path | str) -> bool:
    """Return whether a file is an archive of documents by its name: each file in it is a document of its own."""
    return str(path).lower().endswith(ARCHIVE_SUFFIXES)


def _walk(
    folder: Path,
    prefix: str,
    root: Path,
    files: list[tuple[Path, str]],
    refused: list[tuple[Path, str]],
    seen: set[tuple[int, int]],
) -> None:
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        refused.append((folder, f"the folder cannot be listed ({error.strerror})"))
        return
    for name in names:
        path = folder / name
        if name.startswith(".") or name == SOURCES_NAME:
            continue
        reason = name_problem(name)
        if reason:
            refused.append((path, reason))
            continue
        try:
            target = path.resolve(strict=True)
            mode = target.stat().st_mode
        except (OSError, RuntimeError):
            refused.append((path, "a link that leads nowhere or in a circle, or a file that cannot be looked up"))
            continue
        if not target.is_relative_to(root):
            refused.append((path, "a link to a place outside the corpus folder; copy the file in instead"))
        elif stat.S_ISDIR(mode):
            _walk(path, f"{prefix}{name}/", root, files, refused, seen)
        elif not stat.S_ISREG(mode):
            refused.append((path, "not a regular file (a pipe, socket or device)"))
        elif path.suffix.lower() not in SUPPORTED_SUFFIXES:
            refused.append((path, unsupported_reason(path.suffix)))
        else:
            files.append((path, f"{prefix}{name}"))


def name_problem(name: str) -> str:
    """Return why a file of this name is refused, empty if it is not.

    A doc_id is shown to readers and written to JSON: it must be valid Unicode without control characters and
    without the bidi controls that make a name look like another one.
    """
    for character in name:
        category = unicodedata.category(character)
        if category == "Cs":
            return "its name is not valid Unicode; rename it"
        if category == "Cc" or character in "\u2028\u2029" or 0xE0000 <= ord(character) <= 0xE007F:
            return f"its name holds a control character (U+{ord(character):04X}); rename it"
        if "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u206f":
            return f"its name holds a hidden direction mark (U+{ord(character):04X}); rename it"
        if character in "\u180e\u200b\ufeff" or "\u2060" <= character <= "\u2065":
            return f"its name holds an invisible character (U+{ord(character):04X}); rename it"
    return ""


def unsupported_reason(suffix: str) -> str:
    """Return the sentence that says what to do with a file of this suffix, or which formats are read."""
    if suffix.lower() in _REMEDIES:
        return f"unsupported format {suffix}: {_REMEDIES[suffix.lower()]}"
    known = ", ".join(SUPPORTED_SUFFIXES)
    return f"unsupported format {suffix} (supported: {known})" if suffix else f"no suffix (supported: {known})"
