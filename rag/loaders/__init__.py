"""Files become documents: txt, Markdown, HTML, docx and PDF, each parsed in a child process that can be killed."""

from __future__ import annotations

from rag.loaders.loader import DocumentLoader
from rag.loaders.scan import SOURCES_NAME, SUPPORTED_SUFFIXES, Scan, find_files, scan, scan_folders, with_prefixes

__all__ = [
    "SOURCES_NAME",
    "SUPPORTED_SUFFIXES",
    "DocumentLoader",
    "Scan",
    "find_files",
    "scan",
    "scan_folders",
    "with_prefixes",
]
