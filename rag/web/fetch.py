"""One page of the web becomes bytes: polite, bounded, and only from where it may come (see ``addresses``)."""

from __future__ import annotations

import re
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType

import httpcore
import httpx
from protego import Protego

from rag.config import WebConfig
from rag.errors import FetchError
from rag.web.addresses import CheckedBackend, Resolver, check_url, resolve
from rag.web.shelf import is_sendable

USER_AGENT = "sanad"

_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 502, 503, 504)
_FIRST_WAIT_S = 1.0
_MAX_WAIT_S = 30.0  # that a busy server may ask for
_MAX_DELAY_S = 60.0  # that a robots.txt may ask for
_ROBOTS_BYTES = 512 * 1024  # RFC 9309: at least 500 KiB are read
_ACCEPT = "text/html,application/xhtml+xml,application/pdf,text/plain;q=0.9,*/*;q=0.5"
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_NETWORK_ERRORS = (httpx.HTTPError, httpcore.NetworkError, httpcore.ProtocolError)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server sent.

    ``url`` is where the last redirect led. ``is_changed`` is false if the server says that what is known of it still
    holds; ``body`` is then empty. ``content_type`` is in lower case without its parameters, ``charset`` the one it
    names, ``etag`` and ``last_modified`` are the headers; each is empty where the server does not say.
    """

    url: str
    is_changed: bool
    body: bytes = b""
    content_type: str = ""
    charset: str = ""
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: httpx.Headers
    body: bytes


class Fetcher:
    """Fetches pages one after the other. A context manager.

    Args:
        config: What may be reached, and the limits.
        resolver: Gives the addresses of a host.
        ssl_context: Decides which certificates are trusted; None for those that browsers trust.
    """

    def __init__(
        self,
        config: WebConfig | None = None,
        *,
        resolver: Resolver = resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.config = config or WebConfig()
        self._backend = CheckedBackend(self.config, resolver)
        # httpx itself would follow the proxies and the .netrc of the environment past the checks.
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(),
            network_backend=self._backend,
            max_connections=4,
            keepalive_expiry=10.0,
            retries=self.config.attempts - 1,  # of connects, with back-off
        )
        self._robots: dict[str, Protego | None] = {}
        self._next_turn: dict[str, float] = {}

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def fetch(
        self, url: str, *, validators: Callable[[str], Mapping[str, str]] = lambda url: MappingProxyType({})
    ) -> Fetched:
        """Return a page.

        Args:
            url: Its address.
            validators: Called with each address on the way; the headers that make the request a conditional one.

        Raises:
            FetchError: It may not be fetched, or cannot be.
        """
        current = check_url(url, self.config)
        for _ in range(self.config.max_redirects + 1):
            try:
                delay_s = self._obey_robots(current)
                self._await_turn(current.host, delay_s)
                reply = self._ask(current, validators(str(current)), self.config.max_bytes)
            except FetchError as error:
                raise FetchError(url, _with_place(error.reason, url, str(current))) from error
            target = reply.headers.get("location", "")
            if reply.status in _REDIRECTS and target:
                current = self._redirected(current, target, url)
                continue
            return _fetched(url, current, reply)
        raise FetchError(url, f"redirected more than {self.config.max_redirects} times")

    def sitemaps_of(self, url: str) -> list[str]:
        """Return the sitemaps that the ``robots.txt`` of a site names.

        Raises:
            FetchError: The site cannot be reached.
        """
        robots = self._robots_of(check_url(url, self.config))
        return [] if robots is None else list(robots.sitemaps)

    def _redirected(self, current: httpx.URL, target: str, url: str) -> httpx.URL:
        try:
            joined = str(current.join(target))
        except httpx.InvalidURL as error:
            raise FetchError(url, f"redirected to what is no URL ({error})") from error
        try:
            following = check_url(joined, self.config)
        except FetchError as error:
            raise FetchError(url, f"redirected to {error}") from error
        if current.scheme == "https" and following.scheme == "http":
            raise FetchError(url, f"redirected from https to {joined}, where anybody could change it on the way")
        return following

    def _obey_robots(self, url: httpx.URL) -> float:
        """Return the seconds between two requests that the site asks for.

        Raises:
            FetchError: The site does not want this page fetched by programs.
        """
        robots = self._robots_of(url)
        if robots is None:
            return self.config.delay_s
        if not robots.can_fetch(str(url), USER_AGENT):
            raise FetchError(str(url), "the site's robots.txt asks programs to leave it alone")
        delay_s = max(self.config.delay_s, float(robots.crawl_delay(USER_AGENT) or 0))
        if delay_s > _MAX_DELAY_S:
            raise FetchError(str(url), f"the site's robots.txt asks for {delay_s:g} s between two requests")
        return delay_s

    def _robots_of(self, url: httpx.URL) -> Protego | None:
        """Return the rules of a site, None if it has none."""
        site = str(url.copy_with(raw_path=b"/"))
        if site not in self._robots:
            self._robots[site] = self._fetch_robots(url.copy_with(raw_path=b"/robots.txt"))
        return self._robots[site]

    def _fetch_robots(self, url: httpx.URL) -> Protego | None:
        for _ in range(self.config.max_redirects + 1):
            reply = self._ask(url, {}, _ROBOTS_BYTES, is_cut=True)
            target = reply.headers.get("location", "")
            if reply.status in _REDIRECTS and target:
                url = self._redirected(url, target, str(url))
            elif reply.status >= 500 or reply.status == 429:  # RFC 9309: then nothing may be fetched
                raise FetchError(str(url), f"the site's robots.txt cannot be read (HTTP {reply.status}); try later")
            elif reply.status != 200:
                return None
            else:
                return Protego.parse(reply.body.decode("utf-8", "replace"))
        return None

    def _await_turn(self, host: str, delay_s: float) -> None:
        time.sleep(max(0.0, self._next_turn.get(host, 0.0) - time.monotonic()))
        self._next_turn[host] = time.monotonic() + delay_s

    def _ask(self, url: httpx.URL, headers: Mapping[str, str], max_bytes: int, *, is_cut: bool = False) -> _Reply:
        """Return the reply to one request; a busy server is asked again after a while."""
        wait_s = _FIRST_WAIT_S
        for attempt in range(self.config.attempts):
            try:
                reply = self._ask_once(url, headers, max_bytes, is_cut=is_cut)
                problem = f"HTTP {reply.status}"
                if reply.status not in _BUSY or attempt + 1 == self.config.attempts:
                    return reply
                wanted = reply.headers.get("retry-after", "")
                wait_s = max(wait_s, float(wanted)) if re.fullmatch("[0-9]{1,9}", wanted) else wait_s
                if wait_s > _MAX_WAIT_S:
                    raise FetchError(str(url), f"the server is busy and asks to come back in {wait_s:.0f} s")
            except (httpx.TimeoutException, httpcore.TimeoutException) as error:
                raise FetchError(str(url), f"no answer in time ({self._limits()})") from error
            except _NETWORK_ERRORS as error:
                problem = f"the connection failed ({_said(error)})"
                if attempt + 1 == self.config.attempts or isinstance(error.__cause__, ssl.SSLError) or _is_tls(error):
                    raise FetchError(str(url), problem) from error
            time.sleep(wait_s)
            wait_s *= 2
        raise FetchError(str(url), problem)

    def _ask_once(self, url: httpx.URL, headers: Mapping[str, str], max_bytes: int, *, is_cut: bool) -> _Reply:
        self._backend.start_clock()
        wait = self.config.read_timeout_s
        sent: dict[bytes | str, bytes | str] = {
            "Host": url.netloc.decode("ascii"),
            "User-Agent": f"{USER_AGENT}/{version('sanad')}",
            "Accept": _ACCEPT,
            "Accept-Encoding": "gzip, deflate",
        }
        sent.update(headers)
        with self._pool.stream(
            "GET",
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=sent,
            extensions={"timeout": {"connect": wait, "read": wait, "write": wait, "pool": wait}},
        ) as response:
            got = httpx.Headers(response.headers)
            body = b""
            if response.status == 200:
                body = _body(url, response.iter_stream(), got.get("content-encoding", ""), max_bytes, is_cut=is_cut)
            return _Reply(response.status, got, body)

    def _limits(self) -> str:
        return f"{self.config.timeout_s:g} s in all, {self.config.read_timeout_s:g} s of silence"


def _body(url: httpx.URL, chunks: Iterator[bytes], encoding: str, max_bytes: int, *, is_cut: bool) -> bytes:
    """Return the body, unpacked; never more than ``max_bytes`` and one chunk are held.

    Raises:
        FetchError: It is too large (unless ``is_cut``), packed in a way that was not asked for, or damaged.
    """
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise FetchError(str(url), f"sent in the encoding {encoding[:40]!r}, which was not asked for")
    unpack = None if encoding in ("", "identity") else zlib.decompressobj(_GZIP_OR_ZLIB)
    out = bytearray()
    for chunk in chunks:
        try:
            out += chunk if unpack is None else unpack.decompress(chunk, max_bytes + 1 - len(out))
        except zlib.error as error:
            raise FetchError(str(url), f"what was sent cannot be unpacked ({error})") from error
        # A second gzip member is refused as well: no server packs a page in two.
        if unpack is not None and unpack.unused_data:
            if is_cut:
                break
            raise FetchError(str(url), "what was sent goes on after its end")
        if len(out) > max_bytes:
            if is_cut:
                break
            raise FetchError(str(url), f"larger than {max_bytes // 2**20} MiB")
    if unpack is not None and out and not unpack.eof and not is_cut:
        raise FetchError(str(url), "what was sent ends too early")
    return bytes(out[:max_bytes])


def _fetched(asked: str, url: httpx.URL, reply: _Reply) -> Fetched:
    etag, last_modified = (_header(reply, name) for name in ("etag", "last-modified"))
    if reply.status == 304:
        return Fetched(str(url), is_changed=False, etag=etag, last_modified=last_modified)
    if reply.status in (404, 410):
        raise FetchError(asked, f"there is no such page (HTTP {reply.status})")
    if reply.status != 200:
        raise FetchError(asked, f"the server answered HTTP {reply.status}")
    if not reply.body:
        raise FetchError(asked, "the page is empty")
    content_type, _, parameters = reply.headers.get("content-type", "").partition(";")
    charset = re.search(r"charset\s*=\s*[\"']?([A-Za-z0-9_:.\-]{1,40})", parameters, re.IGNORECASE)
    return Fetched(
        url=str(url),
        is_changed=True,
        body=reply.body,
        content_type=content_type.strip().lower(),
        charset=charset.group(1) if charset else "",
        etag=etag,
        last_modified=last_modified,
    )


def _header(reply: _Reply, name: str) -> str:
    value = str(reply.headers.get(name, ""))
    return value if len(value) <= 200 and is_sendable(value) else ""


def _with_place(reason: str, asked: str, current: str) -> str:
    return reason if current == asked or current == f"{asked}/" else f"{reason} (at {current})"


def _is_tls(error: BaseException) -> bool:
    """Return whether a certificate or the like is at fault: asking again cannot help."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _said(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:200]
