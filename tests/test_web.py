"""Pages of the web: fetched from real servers on this machine, under names that a resolver of the test gives."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main
from rag.config import WebConfig
from rag.errors import CorpusError, FetchError
from rag.loaders import DocumentLoader
from rag.web.add import add_pages
from rag.web.addresses import check_url, is_private, is_public
from rag.web.fetch import Fetched, Fetcher, _body
from rag.web.formats import file_bytes, suffix_of
from rag.web.names import file_name
from rag.web.shelf import source_urls
from rag.web.sitemap import sitemap_pages

ARTICLE = "<html><head><title>T</title></head><body><h1>T</h1><p>{}</p></body></html>"
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers from the server's dict of pages: bytes, ``(status, headers, bytes)`` or a function of the handler."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        page = self.server.pages.get(self.path, (404, {}, b""))
        if callable(page):
            page(self)
        else:
            self.reply(*page) if isinstance(page, tuple) else self.reply(200, {"Content-Type": "text/html"}, page)

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Site:
    """A server on 127.0.0.1. ``asked`` lists ``(path, headers)`` of each request."""

    def __init__(self, *, context: ssl.SSLContext | None = None) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *args: None  # whoever hangs up is no error here
        self.server.pages, self.server.asked = {}, []
        self.pages: dict[str, Any] = self.server.pages
        self.port = self.server.server_address[1]
        self.scheme = "http"
        if context is not None:
            self.scheme = "https"
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def asked(self, path: str) -> list[dict[str, str]]:
        return [headers for asked, headers in self.server.asked if asked == path]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@contextmanager
def reaching(*sites: Site, resolver: Any = None, context: ssl.SSLContext | None = None, **limits: Any):
    """A fetcher that may reach the sites; without delays."""
    limits = {"allow_private": True, "delay_s": 0.0, "attempts": 1, **limits}
    config = WebConfig(allow_ports=frozenset(site.port for site in sites), **limits)
    extra = {} if resolver is None else {"resolver": resolver}
    with Fetcher(config, ssl_context=context, **extra) as fetcher:
        yield fetcher


def to_here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def add(fetcher: Fetcher, folder: Path, *urls: str, **options: Any):
    return add_pages(urls, folder, fetcher=fetcher, **options)


# Which addresses may be reached


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "example.com/page",
        "http:///page",
        "http://user@example.com/",
        "http://user:password@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com:8080/",
        "http://example.com:22/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://１２７.0.0.1/",
        "http://[fe80::1%25eth0]/",
        "http://exa mple.com/",
        "http://example.com/\x00",
        "http://example.com/" + "a" * 3000,
    ],
)
def test_what_is_no_plain_address_of_a_page_is_refused(url):
    with pytest.raises(FetchError):
        check_url(url, WebConfig())


def test_a_plain_address_passes_without_its_fragment():
    assert str(check_url(" https://EXAMPLE.com/a%20b?q=1#part ", WebConfig())) == "https://example.com/a%20b?q=1"
    assert str(check_url("https://موقع.مصر/مقال", WebConfig())).startswith("https://xn--4gbrim.xn--wgbh1c/%D9%85")
    assert str(check_url("http://example.com:8080/", WebConfig(allow_ports=frozenset([8080])))).endswith(":8080/")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "0.0.0.0", "240.0.0.1"),
        *("169.254.169.254", "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1"),
        *(
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fec0::1",
            "::7f00:1",
            "fe80::1%2",
        ),
        *("2001:db8::1", "2001::1"),
    ],
)
def test_an_address_that_is_not_of_the_public_internet_is_told(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_of_the_public_internet_is_told(address):
    assert is_public(address)


def test_the_keys_of_a_cloud_are_out_of_reach_even_where_private_addresses_are_allowed():
    assert is_private("10.0.0.1") and is_private("127.0.0.1") and is_private("fd00::1")
    assert not any(map(is_private, ("169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0")))
    resolver = lambda host, port: ["169.254.169.254"]  # noqa: E731
    with Fetcher(WebConfig(allow_private=True), resolver=resolver) as fetcher:
        with pytest.raises(FetchError, match="none that a web page can have"):
            fetcher.fetch("http://metadata.example/")


def test_a_host_with_one_private_address_is_refused(site):
    site.pages["/"] = b"secret"
    for addresses in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]):
        with reaching(site, allow_private=False, resolver=lambda host, port, found=addresses: found) as fetcher:
            with pytest.raises(FetchError, match="not of the public internet; if you mean it, say --allow-private"):
                fetcher.fetch(site.url("/", "innocent.example"))
    assert not site.server.asked


def test_a_host_is_resolved_once_for_a_connection_so_that_a_changed_answer_reaches_nothing(site):
    """DNS rebinding: the answer that is checked is of an address where nobody listens, every later one of the site."""
    site.pages["/"] = b"<html>secret"
    answers = iter(["127.0.0.2"])
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return [next(answers, "127.0.0.1")]

    with reaching(site, resolver=rebinding) as fetcher, pytest.raises(FetchError, match="the connection failed"):
        fetcher.fetch(site.url("/", "rebinding.example"))
    assert asked == ["rebinding.example"] and not site.server.asked


def test_the_connection_goes_to_the_checked_address_and_the_name_stays_in_the_request(site):
    site.pages["/"] = b"<html>hello"
    with reaching(site, resolver=to_here) as fetcher:
        assert fetcher.fetch(site.url("/", "some.example")).body == b"<html>hello"
    assert site.asked("/")[0]["host"] == f"some.example:{site.port}"


@pytest.mark.parametrize("target", ["http://inside.example/", "http://10.0.0.1/", "http://[::1]/", "//127.0.0.1/"])
def test_a_redirect_into_the_network_is_refused(site, target):
    """The first host is told to be public by the test; the second is where its redirect leads."""
    site.pages["/"] = (302, {"Location": target}, b"")
    resolver = lambda host, port: {"outside.example": ["127.0.0.1"]}.get(host, ["169.254.0.1"])  # noqa: E731
    with reaching(site, resolver=resolver) as fetcher:
        with pytest.raises(FetchError, match="none that a web page can have"):
            fetcher.fetch(site.url("/", "outside.example"))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("file:///etc/passwd", "redirected to file:/+etc/passwd: only http"),
        ("http://2130706433/", "a number in disguise"),
        ("http://a:b@example.com/", "user name or password"),
        ("http://example.com:22/", "port 22"),
        ("/loop", "redirected more than 5 times"),
    ],
)
def test_a_redirect_is_checked_like_an_address_that_is_typed(site, target, reason):
    site.pages["/loop"] = (302, {"Location": target}, b"")
    with reaching(site) as fetcher, pytest.raises(FetchError, match=reason):
        fetcher.fetch(site.url("/loop"))
    assert len(site.asked("/loop")) <= 6


def test_a_redirect_is_followed_and_its_end_is_the_address_of_the_page(site):
    site.pages["/old"] = (301, {"Location": "new"}, b"")
    site.pages["/new"] = b"<html>here"
    with reaching(site) as fetcher:
        assert fetcher.fetch(site.url("/old")).url == site.url("/new")


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A self-signed certificate for a host, and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


def test_tls_verifies_the_name_although_the_connection_goes_to_an_address(tmp_path):
    cert_file, key_file = certificate(tmp_path, "safe.example")
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(cert_file, key_file)
    site = Site(context=server_context)
    site.pages["/"] = b"<html>safe"
    try:
        trusting = ssl.create_default_context(cafile=str(cert_file))
        with reaching(site, resolver=to_here, context=trusting, attempts=3) as fetcher:
            assert fetcher.fetch(site.url("/", "safe.example")).body == b"<html>safe"
            with pytest.raises(FetchError, match="the connection failed .*CERTIFICATE_VERIFY_FAILED"):
                fetcher.fetch(site.url("/", "other.example"))
        with reaching(site, resolver=to_here) as fetcher, pytest.raises(FetchError, match="self-signed"):
            fetcher.fetch(site.url("/", "safe.example"))
    finally:
        site.close()
    assert [path for path, _ in site.server.asked] == ["/robots.txt", "/"]


# Limits


def test_a_page_that_is_too_large_is_refused_packed_or_not(site):
    packed = gzip.compress(bytes(50_000_000))
    site.pages["/bomb"] = (200, {"Content-Encoding": "gzip"}, packed)
    site.pages["/large"] = bytes(2_000_000)
    site.pages["/twice"] = (200, {"Content-Encoding": "gzip, gzip"}, gzip.compress(packed))
    with reaching(site, max_bytes=1024 * 1024) as fetcher:
        for path in ("/bomb", "/large"):
            with pytest.raises(FetchError, match="larger than 1 MiB"):
                fetcher.fetch(site.url(path))
        with pytest.raises(FetchError, match="which was not asked for"):
            fetcher.fetch(site.url("/twice"))


def test_a_packed_page_is_unpacked_and_a_broken_one_refused(site):
    body = ARTICLE.format("نص").encode()
    site.pages["/good"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(body))
    site.pages["/cut"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(body)[:-12])
    site.pages["/bad"] = (200, {"Content-Encoding": "gzip"}, b"no gzip at all")
    with reaching(site) as fetcher:
        assert fetcher.fetch(site.url("/good")).body == body
        for path, reason in (("/cut", "ends too early"), ("/bad", "cannot be unpacked")):
            with pytest.raises(FetchError, match=reason):
                fetcher.fetch(site.url(path))


def test_what_follows_the_end_of_a_packed_page_is_refused_and_not_kept(site):
    packed = gzip.compress(b"<html>x")
    url = check_url(site.url("/a"), WebConfig(allow_ports=frozenset([site.port])))
    left = iter([packed, *[bytes(1000)] * 1000])
    with pytest.raises(FetchError, match="goes on after its end"):
        _body(url, left, "gzip", 10_000, is_cut=False)
    assert len(list(left)) == 999
    site.pages["/robots.txt"] = (
        200,
        {"Content-Encoding": "gzip"},
        gzip.compress(b"User-agent: *\nDisallow: /b") + b"!",
    )
    site.pages["/a"] = (200, {"Content-Encoding": "gzip"}, packed + packed)
    with reaching(site) as fetcher:
        for path, reason in (("/a", "goes on after its end"), ("/b", "asks programs to leave it alone")):
            with pytest.raises(FetchError, match=reason):
                fetcher.fetch(site.url(path))


def test_a_server_that_dribbles_is_left_after_the_time_of_the_request(site):
    def dribble(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(200):
            handler.wfile.write(b"X-%d: y\r\n" % number)
            time.sleep(0.1)

    def silent(handler: Handler) -> None:
        time.sleep(3)

    site.pages["/dribble"], site.pages["/silent"] = dribble, silent
    with reaching(site, timeout_s=1.0, read_timeout_s=0.5) as fetcher:
        for path in ("/dribble", "/silent"):
            began = time.monotonic()
            with pytest.raises(FetchError, match="no answer in time"):
                fetcher.fetch(site.url(path))
            assert time.monotonic() - began < 2.5


def test_a_busy_server_is_asked_again_and_its_wish_to_wait_is_heard(site):
    replies = iter([(503, {"Retry-After": "1"}, b""), (200, {"Content-Type": "text/html"}, b"<html>now")])
    site.pages["/busy"] = lambda handler: handler.reply(*next(replies))
    site.pages["/later"] = (429, {"Retry-After": "3600"}, b"")
    with reaching(site, attempts=2) as fetcher:
        began = time.monotonic()
        assert fetcher.fetch(site.url("/busy")).body == b"<html>now"
        assert time.monotonic() - began >= 1
        with pytest.raises(FetchError, match="asks to come back in 3600 s"):
            fetcher.fetch(site.url("/later"))


# Manners


def test_robots_txt_is_obeyed_also_behind_a_redirect(site):
    site.pages["/robots.txt"] = (200, {}, b"User-agent: sanad\nDisallow: /private\nUser-agent: *\nDisallow: /\n")
    site.pages["/open"] = b"<html>open"
    site.pages["/private/x"] = b"<html>no"
    site.pages["/door"] = (302, {"Location": "/private/x"}, b"")
    with reaching(site) as fetcher:
        assert fetcher.fetch(site.url("/open")).body
        for path in ("/private/x", "/door"):
            with pytest.raises(FetchError, match="robots.txt asks programs to leave it alone"):
                fetcher.fetch(site.url(path))
    assert len(site.asked("/robots.txt")) == 1 and not site.asked("/private/x")
    assert site.asked("/open")[0]["user-agent"].startswith("sanad/")


def test_a_site_whose_robots_txt_is_out_of_order_is_left_alone(site):
    site.pages["/robots.txt"] = (500, {}, b"")
    site.pages["/"] = b"<html>"
    with reaching(site) as fetcher, pytest.raises(FetchError, match=r"robots\.txt cannot be read \(HTTP 500\)"):
        fetcher.fetch(site.url("/"))
    assert not site.asked("/")


def test_the_crawl_delay_is_kept_between_two_requests_to_a_host(site):
    site.pages["/robots.txt"] = (200, {}, b"User-agent: *\nCrawl-delay: 0.6\n")
    site.pages["/a"] = site.pages["/b"] = b"<html>x"
    with reaching(site) as fetcher:
        began = time.monotonic()
        fetcher.fetch(site.url("/a"))
        fetcher.fetch(site.url("/b"))
        assert 0.6 <= time.monotonic() - began < 3
    site.pages["/robots.txt"] = (200, {}, b"User-agent: *\nCrawl-delay: 1000000000\n")
    with reaching(site) as fetcher, pytest.raises(FetchError, match="between two requests"):
        fetcher.fetch(site.url("/a"))


# Files


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.com/", "example.com/index.html"),
        ("https://example.com/a/b/", "example.com/a/b/index.html"),
        ("https://example.com/a/b.html", "example.com/a/b.html"),
        ("https://example.com:8443/a", "example.com_8443/a.html"),
        ("https://example.com/%D9%85%D9%82%D8%A7%D9%84-1", "example.com/مقال-1.html"),
        ("https://xn--4gbrim.xn--wgbh1c/x", "موقع.مصر/x.html"),
    ],
)
def test_the_name_of_a_file_is_that_of_its_page(url, name):
    assert file_name(url, ".html") == name


@pytest.mark.parametrize(
    "path",
    [
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/%2Fetc%2Fpasswd",
        "/a/.hidden",
        "/.pages.json",
        "/a%00b",
        "/a%E2%80%AEb",
        "/a\\..\\b",
        "/" + "%D8%A7" * 300,
        "/" + "d/" * 60 + "x",
        "/%FF%FE",
        "/CON:|?",
    ],
)
def test_no_name_leaves_its_folder_hides_or_is_too_long(path):
    name = file_name(f"https://example.com{path}", ".html")
    parts = name.split("/")
    assert parts[0] == "example.com" and len(parts) <= 13
    assert all(part and not part.startswith(".") and len(part.encode()) < 200 for part in parts)
    assert name.isprintable() and "\\" not in name


def test_pages_that_differ_in_their_query_or_in_what_a_name_cannot_hold_have_files_of_their_own():
    urls = [f"https://example.com/{end}" for end in ("a", "a?x=1", "a?x=2", "a%3Ab", "a_b", "a%20b")]
    assert len({file_name(url, ".html") for url in urls}) == len(urls)


def fetched(body: bytes, content_type: str = "", *, url: str = "https://example.com/a", charset: str = "") -> Fetched:
    return Fetched(url, is_changed=True, body=body, content_type=content_type, charset=charset)


@pytest.mark.parametrize(
    ("page", "suffix"),
    [
        (fetched(b"<p>x", "text/html"), ".html"),
        (fetched(b"%PDF-1.7", "text/html"), ".pdf"),
        (fetched(b"\n<!-- note --><!DOCTYPE html><html>", "text/plain"), ".html"),
        (fetched(b"plain", "text/plain"), ".txt"),
        (fetched(b"# t", "text/plain", url="https://example.com/README.md"), ".md"),
        (fetched(b"PK\x03\x04", "application/octet-stream", url="https://example.com/x.docx?download=1"), ".docx"),
        (fetched(b"<html>", ""), ".html"),
    ],
)
def test_the_kind_of_a_page_is_told(page, suffix):
    assert suffix_of(page) == suffix


def test_the_kind_of_a_page_of_many_comments_is_told_at_once():
    began = time.monotonic()
    assert suffix_of(fetched(b"<!-- a -->\n" * 40 + b"plain", "text/plain")) == ".txt"
    assert suffix_of(fetched(b"<!-- a -->\n" * 40 + b"<html>", "text/plain")) == ".html"
    assert time.monotonic() - began < 1


def test_what_no_loader_reads_is_refused():
    with pytest.raises(FetchError, match=r"video/mp4 is not read \(supported: "):
        suffix_of(fetched(b"\x00\x00\x00\x18ftyp", "video/mp4"))


def test_an_encoding_that_only_the_server_names_is_not_lost():
    arabic = ARTICLE.format("التسويق الرقمي")
    page = fetched(arabic.encode("cp1256"), "text/html", charset="windows-1256")
    assert file_bytes(page, ".html").decode("utf-8-sig") == arabic
    for charset in ("iso-8859-1", "no-such-thing", "hex", "utf-16"):
        assert file_bytes(fetched(page.body[:-1], charset=charset), ".html") == page.body[:-1]


def test_pages_become_documents_and_a_second_run_asks_only_for_what_changed(site, tmp_path):
    text = "التسويق الرقمي هو الترويج للمنتجات عبر القنوات الرقمية. " * 4
    tagged = {"Content-Type": "text/html", "ETag": '"v1"', "Last-Modified": "Mon, 02 Feb 2026 10:00:00 GMT"}
    first = (200, tagged, ARTICLE.format(text).encode())

    def conditional(handler: Handler) -> None:
        is_known = handler.headers["If-None-Match"] == '"v1"'
        handler.reply(304, {}, b"") if is_known else handler.reply(*first)

    site.pages["/%D9%85%D9%82%D8%A7%D9%84"] = conditional
    site.pages["/plain"] = (200, {"Content-Type": "text/plain"}, b"Some plain text.")
    urls = [site.url("/مقال"), site.url("/plain"), site.url("/missing")]
    with reaching(site) as fetcher:
        report = add(fetcher, tmp_path, *urls)
    host = f"127.0.0.1_{site.port}"
    assert [(page.status, page.file) for page in report.pages] == [
        ("added", f"web/{host}/مقال.html"),
        ("added", f"web/{host}/plain.txt"),
        ("failed", ""),
    ]
    assert report.pages[2].reason == "there is no such page (HTTP 404)"
    with DocumentLoader() as loader:
        assert text.strip() in loader.load(tmp_path / report.pages[0].file, "x.html").text
    assert source_urls(tmp_path)[f"web/{host}/plain.txt"] == site.url("/plain")

    site.pages["/plain"] = (200, {"Content-Type": "text/plain"}, b"Other text.")
    with reaching(site) as fetcher:
        again = add_pages([], tmp_path, fetcher=fetcher)
    assert sorted((page.status, page.file) for page in again.pages) == [
        ("unchanged", f"web/{host}/مقال.html"),
        ("updated", f"web/{host}/plain.txt"),
    ]
    asked = site.asked("/%D9%85%D9%82%D8%A7%D9%84")
    assert "if-none-match" not in asked[0] and asked[1]["if-modified-since"] == tagged["Last-Modified"]
    assert (tmp_path / f"web/{host}/plain.txt").read_text() == "Other text."

    (tmp_path / f"web/{host}/مقال.html").write_text("changed by hand")
    with reaching(site) as fetcher:
        assert [page.status for page in add(fetcher, tmp_path, urls[0]).pages] == ["updated"]
    assert "if-none-match" not in site.asked("/%D9%85%D9%82%D8%A7%D9%84")[2]


def test_an_etag_that_cannot_be_sent_back_is_not_kept_nor_sent(site, tmp_path):
    site.pages["/a"] = (200, {"Content-Type": "text/plain", "ETag": '"\xe9"'}, b"Some text.")
    with reaching(site) as fetcher:
        add(fetcher, tmp_path, site.url("/a"))
    pages = tmp_path / "web/.pages.json"
    assert '"etag": ""' in pages.read_text("utf-8")
    pages.write_text(pages.read_text("utf-8").replace('"etag": ""', '"etag": "é"'), "utf-8")
    with reaching(site) as fetcher:
        assert [page.status for page in add_pages([], tmp_path, fetcher=fetcher).pages] == ["unchanged"]
    assert "if-none-match" not in site.asked("/a")[1]


def test_a_page_that_is_gone_keeps_its_file(site, tmp_path):
    site.pages["/a"] = ARTICLE.format("x").encode()
    with reaching(site) as fetcher:
        (page,) = add(fetcher, tmp_path, site.url("/a")).pages
    del site.pages["/a"]
    with reaching(site) as fetcher:
        (again,) = add_pages([], tmp_path, fetcher=fetcher).pages
    assert again.status == "failed" and (tmp_path / page.file).is_file()


def test_two_pages_of_one_name_have_a_file_each(site, tmp_path):
    for path in ("/a", "/a.html", "/a.html/b", "/a?x=1"):
        site.pages[path] = ARTICLE.format(path).encode()
    with reaching(site) as fetcher:
        report = add(fetcher, tmp_path, *(site.url(path) for path in ("/a", "/a.html", "/a.html/b", "/a?x=1")))
    assert {page.status for page in report.pages} == {"added"}
    for page in report.pages:
        assert page.url.removeprefix(site.url("")) in (tmp_path / page.file).read_text()


def test_a_link_in_the_corpus_does_not_lead_a_page_out_of_it(site, tmp_path):
    site.pages["/deep/a"] = ARTICLE.format("x").encode()
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "corpus/web" / f"127.0.0.1_{site.port}"
    folder.mkdir(parents=True)
    (folder / "deep").symlink_to(outside)
    with reaching(site) as fetcher:
        (page,) = add(fetcher, tmp_path / "corpus", site.url("/deep/a")).pages
    assert page.status == "failed" and "a link leads out of the corpus" in page.reason
    assert not list(outside.iterdir())


def test_a_damaged_list_of_pages_is_named(site, tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web/.pages.json").write_text('{"format": 1, "pages": {"https://x/": {"file": "../../x"}}}')
    with reaching(site) as fetcher, pytest.raises(CorpusError, match=r"\.pages\.json: damaged"):
        add(fetcher, tmp_path, site.url("/"))


# Sitemaps


def sitemap(*urls: str, tag: str = "url") -> bytes:
    entries = "".join(f"<{tag}><loc> {url} </loc><lastmod>2026-01-01</lastmod></{tag}>" for url in urls)
    root = "urlset" if tag == "url" else "sitemapindex"
    return (
        f'<?xml version="1.0"?><{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</{root}>'.encode()
    )


def test_the_pages_of_a_site_are_found_through_an_index_of_sitemaps(site, tmp_path):
    site.pages["/robots.txt"] = (200, {}, f"Sitemap: {site.url('/index.xml')}\n".encode())
    site.pages["/index.xml"] = sitemap(site.url("/one.xml"), site.url("/two.xml.gz"), tag="sitemap")
    site.pages["/one.xml"] = sitemap(site.url("/a"), site.url("/b"), "http://elsewhere.example/", "javascript:alert(1)")
    site.pages["/two.xml.gz"] = (200, {"Content-Type": "application/gzip"}, gzip.compress(sitemap(site.url("/c"))))
    for path in "abc":
        site.pages[f"/{path}"] = ARTICLE.format(path).encode()
    with reaching(site) as fetcher:
        report = add(fetcher, tmp_path, site.url("/"), from_sitemaps=True)
        assert [(page.url, page.status) for page in report.pages] == [(site.url(f"/{x}"), "added") for x in "abc"]
        assert sitemap_pages(fetcher, site.url("/"), limit=2) == [site.url("/a"), site.url("/b")]


def test_a_hostile_sitemap_is_refused_in_bounded_time(site):
    entities = (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>'
    )
    site.pages["/entities.xml"] = entities
    site.pages["/bomb.xml.gz"] = gzip.compress(bytes(60_000_000))
    site.pages["/page.html"] = b"<html><p>no sitemap"
    site.pages["/self.xml"] = sitemap(site.url("/self.xml"), tag="sitemap")
    with reaching(site) as fetcher:
        for path, reason in (("entities.xml", "not a sitemap"), ("bomb.xml.gz", "larger than 50 MiB unpacked")):
            with pytest.raises(FetchError, match=reason):
                sitemap_pages(fetcher, site.url(f"/{path}"), limit=10)
        with pytest.raises(FetchError, match="not a sitemap"):
            sitemap_pages(fetcher, site.url("/page.html"), limit=10)
        assert sitemap_pages(fetcher, site.url("/self.xml"), limit=10) == []


# The command


def test_the_command_reports_each_page_and_fails_only_if_nothing_was_fetched(site, tmp_path, capsys):
    site.pages["/a"] = ARTICLE.format("x").encode()
    private = ["--corpus-dir", str(tmp_path), "--allow-private", "--allow-port", str(site.port), "--json"]
    assert main(["add", site.url("/a"), site.url("/gone"), *private]) == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["added"], said["failed"]) == (1, 1) and said["pages"][1]["reason"]
    assert err.splitlines()[0].startswith(f"added     {site.url('/a')} -> web/")
    assert main(["add", site.url("/gone"), *private]) == 1
    assert main(["add", "--refresh", *private]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["unchanged"] == 1


def test_the_command_does_not_reach_this_machine_unless_told_so(site, tmp_path, capsys):
    site.pages["/a"] = b"<html>secret"
    assert main(["add", site.url("/a"), "--corpus-dir", str(tmp_path), "--allow-port", str(site.port)]) == 1
    assert "say --allow-private" in capsys.readouterr().err
    assert main(["add", "--corpus-dir", str(tmp_path)]) == 1
    assert "name the URL of a page" in capsys.readouterr().err
    assert not site.server.asked


def test_the_command_builds_the_index_afterwards(site, tmp_path, capsys, monkeypatch, fake_embedder):
    from rag.embedder import Embedder

    site.pages["/a"] = ARTICLE.format("Social commerce sells where people talk. " * 5).encode()
    monkeypatch.setattr(Embedder, "open", lambda *args, **options: fake_embedder)
    options = ["--corpus-dir", str(tmp_path / "corpus"), "--index-dir", str(tmp_path / "index"), "--build", "--json"]
    assert main(["add", site.url("/a"), "--allow-private", "--allow-port", str(site.port), *options]) == 0
    (file,) = json.loads(capsys.readouterr().out)["build"]["files"]
    assert (file["state"], file["language"], file["passages"]) == ("added", "en", 1)


def test_the_address_of_a_page_is_metadata_of_its_document_also_when_it_was_indexed_before(
    site, tmp_path, fake_embedder
):
    from rag.builder import build_index
    from rag.store import IndexStore

    corpus, index = tmp_path / "corpus", tmp_path / "index"
    site.pages["/a"] = ARTICLE.format("Social commerce sells where people talk. " * 5).encode()
    with reaching(site) as fetcher:
        add(fetcher, corpus, site.url("/a"))
    for text in ("one", "two"):
        (corpus / "own.txt").write_text(f"A text of our own, number {text}.")
        (corpus / "broken.pdf").write_text("no PDF")
        report = build_index(corpus, index, embedder=fake_embedder)
        documents = IndexStore(index).open_current().documents
        page = documents[f"web/127.0.0.1_{site.port}/a.html"]
        assert page.has("url", site.url("/a")) and not dict(documents["own.txt"].metadata).get("url")
    assert [(file.doc_id, file.state) for file in report.files] == [
        ("own.txt", "updated"),
        (page.doc_id, "unchanged"),
        ("", "failed"),
    ]
    assert report.files[2].path.endswith("broken.pdf") and report.files[2].reason
    (corpus / "web/.pages.json").write_text("damaged")
    assert build_index(corpus, index, embedder=fake_embedder).documents == 2


def test_nothing_of_this_machine_is_public():
    """What the system says of this machine's own names never passes."""
    for host in ("localhost", socket.gethostname()):
        try:
            found = {entry[4][0] for entry in socket.getaddrinfo(host, 80)}
        except OSError:
            continue
        assert not any(is_public(str(address)) and ipaddress.ip_address(address).is_loopback for address in found)
