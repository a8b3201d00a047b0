"""Files become documents: text, pages, sheets, slides, mails, books and archives of them.

Each is parsed in a child process that can be killed.
"""

from __future__ import annotations

from rag.loaders.loader import DocumentLoader
from rag.loaders.scan import (
    SOURCES_NAME,
    SUPPORTED_SUFFIXES,
    Scan,
    find_files,
    is_archive,
    scan,
    scan_folders,
    with_prefixes,
)
from rag.loaders.tesseract import languages as ocr_languages

__all__ = [
    "SOURCES_NAME",
    "SUPPORTED_SUFFIXES",
    "DocumentLoader",
    "Scan",
    "find_files",
    "is_archive",
    "ocr_languages",
    "scan",
    "scan_folders",
    "with_prefixes",
]
