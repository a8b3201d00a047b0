"""Sitemaps (sitemaps.org): the pages a site names itself, in XML, plain text, or an index of further sitemaps."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import iterparse  # type: ignore[import-untyped]

from rag.errors import FetchError
from rag.web.fetch import Fetcher

_MAX_SITEMAPS = 50
_MAX_DEPTH = 3
_MAX_BYTES = 50 * 1024 * 1024  # unpacked; the protocol's own limit


def sitemap_pages(fetcher: Fetcher, url: str, *, limit: int) -> list[str]:
    """Return the addresses of the pages that a site names, in its order, each once.

    Args:
        fetcher: Fetches the sitemaps.
        url: A sitemap, or the front page of a site: then what its ``robots.txt`` names, else ``/sitemap.xml``.
        limit: How many pages are wanted at most.

    Returns:
        Pages of the host of ``url`` only, ``www.`` aside: what a site says of another one counts for nothing.

    Raises:
        FetchError: A sitemap cannot be fetched or read.
    """
    if urlsplit(url).path in ("", "/"):
        waiting = [(named, 1) for named in fetcher.sitemaps_of(url) or [f"{url.rstrip('/')}/sitemap.xml"]]
    else:
        waiting = [(url, 1)]
    site = _site(url)
    pages: dict[str, None] = {}
    seen: set[str] = set()
    while waiting and len(pages) < limit:
        current, depth = waiting.pop(0)
        if current in seen:
            continue
        seen.add(current)
        if len(seen) > _MAX_SITEMAPS:
            raise FetchError(url, f"its sitemaps are more than {_MAX_SITEMAPS}; name one of them")
        for kind, address in _entries(current, _unpacked(current, fetcher.fetch(current).body)):
            if kind == "sitemap" and depth < _MAX_DEPTH:
                waiting.append((address, depth + 1))
            elif kind == "page" and _site(address) == site and len(pages) < limit:
                pages.setdefault(address)
    return list(pages)


def _entries(url: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield ``("page" or "sitemap", address)``."""
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        yield from (("page", line.strip()) for line in data.decode("utf-8", "replace").splitlines() if line.strip())
        return
    try:
        for _, element in iterparse(io.BytesIO(data), forbid_dtd=True):
            kind = {"url": "page", "sitemap": "sitemap"}.get(_local(element.tag))
            if kind is None:
                continue
            for child in element:
                if _local(child.tag) == "loc" and child.text:
                    yield kind, child.text.strip()
            element.clear()
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise FetchError(url, f"not a sitemap ({error})") from error


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2]


def _unpacked(url: str, data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        out = unpack.decompress(data, _MAX_BYTES + 1)
    except zlib.error as error:
        raise FetchError(url, f"cannot be unpacked ({error})") from error
    if len(out) > _MAX_BYTES:
        raise FetchError(url, f"larger than {_MAX_BYTES // 2**20} MiB unpacked")
    return out


def _site(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""
