"""``rag add``: pages of the web become files of a corpus, and later runs bring them up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.errors import CorpusError, FetchError
from rag.web.fetch import Fetcher
from rag.web.formats import file_bytes, suffix_of
from rag.web.shelf import Shelf
from rag.web.sitemap import sitemap_pages

DEFAULT_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class PageReport:
    """What became of one address.

    ``status`` is ``"added"``, ``"updated"``, ``"unchanged"`` or ``"failed"``. ``file`` is the path under the corpus,
    with ``/``; empty where there is none. ``reason`` says why it failed.
    """

    url: str
    status: str
    file: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AddReport:
    """What a run did, a page each, in the order asked for."""

    pages: tuple[PageReport, ...]
    seconds: float

    def count(self, status: str) -> int:
        """Return the number of pages of a status."""
        return sum(page.status == status for page in self.pages)


def add_pages(
    urls: Sequence[str],
    corpus_dir: str | Path,
    *,
    fetcher: Fetcher,
    from_sitemaps: bool = False,
    limit: int = DEFAULT_LIMIT,
    progress: Callable[[PageReport], None] = lambda page: None,
) -> AddReport:
    """Fetch pages into ``CORPUS/web/``. One that cannot be fetched is reported and never stops the others.

    A page that was fetched before is asked for only if it has changed. What is no longer there keeps its file.

    Args:
        urls: Addresses of pages; empty to bring up to date whatever was fetched before.
        corpus_dir: The corpus folder.
        fetcher: Fetches them.
        from_sitemaps: The addresses are those of sitemaps, or of sites that have one.
        limit: How many pages are fetched at most; those beyond are reported as failed unless they are of a sitemap.
        progress: Called with each page when it is done.

    Raises:
        CorpusError: The folder cannot be written.
        ValueError: ``limit`` < 1.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    started = time.perf_counter()
    reports: list[PageReport] = []

    def report(page: PageReport) -> None:
        reports.append(page)
        progress(page)

    with Shelf(Path(corpus_dir)) as shelf:
        wanted: Iterable[str] = urls or sorted(shelf.pages)
        if from_sitemaps:
            wanted = []
            for url in urls:
                try:
                    wanted += sitemap_pages(fetcher, url, limit=limit - len(wanted)) if len(wanted) < limit else []
                except FetchError as error:
                    report(PageReport(url, "failed", reason=error.reason))
        for number, url in enumerate(dict.fromkeys(wanted)):
            if number < limit:
                report(_add(url, shelf, fetcher))
            else:
                report(PageReport(url, "failed", reason=f"more than {limit} pages were asked for; raise --limit"))
    return AddReport(tuple(reports), time.perf_counter() - started)


def _add(url: str, shelf: Shelf, fetcher: Fetcher) -> PageReport:
    try:
        page = fetcher.fetch(url, validators=shelf.validators)
        if not page.is_changed:
            if page.url not in shelf.pages:
                raise FetchError(url, "the server answered HTTP 304 to a question it was not asked")
            return PageReport(url, "unchanged", shelf.confirm(page.url))
        suffix = suffix_of(page)
        status, file = shelf.keep(
            page.url, file_bytes(page, suffix), suffix, etag=page.etag, last_modified=page.last_modified
        )
        return PageReport(url, status, file)
    except FetchError as error:
        return PageReport(url, "failed", reason=error.reason)
    except CorpusError as error:
        return PageReport(url, "failed", reason=str(error))
