"""Pages of the web become files of a corpus: politely, from public addresses only, and kept up to date."""

from __future__ import annotations

from rag.web.add import DEFAULT_LIMIT, AddReport, PageReport, add_pages
from rag.web.addresses import check_url
from rag.web.fetch import Fetched, Fetcher
from rag.web.shelf import read_pages, source_urls

__all__ = [
    "DEFAULT_LIMIT",
    "AddReport",
    "Fetched",
    "Fetcher",
    "PageReport",
    "add_pages",
    "check_url",
    "read_pages",
    "source_urls",
]
