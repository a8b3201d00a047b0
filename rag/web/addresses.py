"""Which addresses may be reached: checked in the URL, and again where the connection is made.

A page decides where its links and redirects lead, and the owner of a name where it points. So that neither leads into
the network this program runs in, each host is resolved once for a connection, every address found is checked, and the
connection goes to an address that was checked: what the name points to a moment later does not matter. TLS still
verifies the certificate against the host's name.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore
import httpx

from rag.config import WebConfig
from rag.errors import FetchError

Resolver = Callable[[str, int], Sequence[str]]

_PORTS = {"http": 80, "https": 443}
_MAX_URL_CHARACTERS = 2_000
_MAX_ADDRESSES = 4  # of one host are tried
_HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]+")  # no %, which would name an interface of this machine
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def check_url(url: str, config: WebConfig) -> httpx.URL:
    """Return a URL without its fragment.

    Raises:
        FetchError: It is no address of a web page that may be asked for.
    """
    if len(url) > _MAX_URL_CHARACTERS:
        raise FetchError(f"{url[:80]}…", f"longer than {_MAX_URL_CHARACTERS:,} characters")
    try:
        parsed = httpx.URL(url.strip()).copy_with(fragment=None)
        host = parsed.host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise FetchError(url, f"not a URL ({error})") from error
    if parsed.scheme not in _PORTS:
        raise FetchError(url, "only http:// and https:// are fetched")
    if parsed.userinfo:
        raise FetchError(url, "it holds a user name or password; leave out what stands before the @")
    if not _HOST.fullmatch(host):
        raise FetchError(url, "it names no host")
    port = parsed.port or _PORTS[parsed.scheme]
    if port not in _PORTS.values() and port not in config.allow_ports:
        raise FetchError(url, f"port {port} is neither 80 nor 443; if you mean it, say --allow-port {port}")
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) and not _is_plain_ipv4(host):
        raise FetchError(url, "its host is a number in disguise; write it as four numbers from 0 to 255")
    return parsed


def _is_plain_ipv4(host: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet."""
    ip = _plain(address)
    if isinstance(ip, ipaddress.IPv6Address):
        return ip.is_global and ip in _PUBLIC_V6
    return ip.is_global and not ip.is_multicast


def is_private(address: str) -> bool:
    """Return whether an IP address may be of an intranet or of this machine.

    Link-local ones are not: there the machines of a cloud ask for their own keys (169.254.169.254).
    """
    ip = _plain(address)
    return not (is_public(address) or ip.is_link_local or ip.is_multicast or ip.is_unspecified)


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address; of an IPv6 address that stands for an IPv4 one, that."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
    return ip.ipv4_mapped or ip.sixtofour or inner or ip


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, as the system knows them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedBackend(httpcore.NetworkBackend):
    """Makes connections to public addresses only, each within the time that is left.

    Args:
        config: What may be reached.
        resolver: Gives the addresses of a host.
    """

    def __init__(self, config: WebConfig, resolver: Resolver = resolve) -> None:
        self._config = config
        self._resolver = resolver
        self._backend = httpcore.SyncBackend()
        self._deadline = float("inf")

    def start_clock(self) -> None:
        """Let the time of one request begin."""
        self._deadline = time.monotonic() + self._config.timeout_s

    def left(self, timeout: float | None) -> float:
        """Return the seconds a step may take.

        Raises:
            httpcore.ReadTimeout: The time of the request is over.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time is over")
        return left if timeout is None else min(left, timeout)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a checked address of ``host``.

        Raises:
            FetchError: The host is unknown, or an address of it may not be reached.
        """
        addresses = self._checked(host, port)
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, timeout, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connect(addresses[-1], port, timeout, socket_options)

    def _connect(self, address: str, port: int, timeout: float | None, options: Any) -> httpcore.NetworkStream:
        stream = self._backend.connect_tcp(address, port, timeout=self.left(timeout), socket_options=options)
        return _TimedStream(stream, self)

    def _checked(self, host: str, port: int) -> list[str]:
        try:
            addresses = list(self._resolver(host, port))
        except (OSError, UnicodeError) as error:
            raise FetchError(host, f"no such host ({getattr(error, 'strerror', None) or error})") from error
        if not addresses:
            raise FetchError(host, "no such host")
        for address in addresses:
            if is_public(address):
                continue
            if not is_private(address):
                raise FetchError(host, f"its address {address} is none that a web page can have")
            if not self._config.allow_private:
                raise FetchError(
                    host, f"its address {address} is not of the public internet; if you mean it, say --allow-private"
                )
        return addresses[:_MAX_ADDRESSES]


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every step fits into the time that is left: a server that dribbles gains nothing."""

    def __init__(self, stream: httpcore.NetworkStream, clock: CheckedBackend) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout=self._clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout=self._clock.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, timeout=self._clock.left(timeout))
        return _TimedStream(stream, self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
