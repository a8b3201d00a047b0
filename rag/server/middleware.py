"""What every request must pass and every response must carry, as one plain ASGI middleware."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from rag.server.asgi import ASGIApp as ASGIApp
from rag.server.asgi import Message as Message
from rag.server.asgi import Receive as Receive
from rag.server.asgi import Scope as Scope
from rag.server.asgi import Send as Send
from rag.server.paths import EVAL_PATH, MCP_PATH, OPENAI_PATH, UPLOAD_PATH, is_for_programs
from rag.server.problems import problem

# Inline script and eval are what Gradio's own page needs; nothing may come from, or go to, another origin.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "frame-ancestors 'self'",
    )
)
HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"SAMEORIGIN"),
)
_LARGE_BODIES = (EVAL_PATH, MCP_PATH)  # and all under /v1: whole conversations, many questions
# Routes of Gradio that fetch addresses, and keep files, for whoever asks; this page has no use for them.
_DENIED = (
    "/gradio_api/file=http",
    "/gradio_api/proxy=",
    "/file=http",
    "/proxy=",
    "/gradio_api/file/http",
    "/gradio_api/upload",
    "/gradio_api/process_recording",
)


def is_loopback(host: str) -> bool:
    """Return whether ``host`` (a name or an address, brackets allowed) is this machine alone."""
    host = host.strip("[]").lower().rstrip(".")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuse requests from other sites and requests that are too large; add the security headers to the rest.

    Args:
        app: The application behind it.
        loopback_only: The server listens on loopback: a ``Host`` that names another machine is refused too, which
            is how a web page elsewhere would reach it through a name it controls (DNS rebinding).
        max_body_bytes: Largest body accepted under ``/api/``.
        max_large_bytes: Largest body accepted where whole conversations or many questions are sent to.
        max_page_bytes: Largest body accepted from the page, which sends all that it shows with each question.
        max_upload_bytes: Largest body accepted where documents are sent to; None is the same as ``max_body_bytes``.
        origins: Other sites whose pages may call the API, such as ``https://intranet.example``; ``*`` is all.
        hosts: Names of this server, such as ``docs.example``: any other ``Host`` but this machine's is refused. Empty,
            a server that others reach takes any.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        loopback_only: bool,
        max_body_bytes: int = 64 * 1024,
        max_large_bytes: int = 1024 * 1024,
        max_page_bytes: int = 16 * 1024 * 1024,
        max_upload_bytes: int | None = None,
        origins: Collection[str] = (),
        hosts: Collection[str] = (),
    ) -> None:
        self.app = app
        self.loopback_only = loopback_only
        self.max_body_bytes = max_body_bytes
        self.max_large_bytes = max_large_bytes
        self.max_page_bytes = max_page_bytes
        self.origins = frozenset(origins)
        self.hosts = frozenset(host.lower() for host in hosts)
        self.max_upload_bytes = max_body_bytes if max_upload_bytes is None else max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"]
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await problem(path, 403, "ForbiddenError", *refusal)(scope, receive, send_with_headers)
            return
        is_upload = path == UPLOAD_PATH and scope["method"] == "POST"
        remedy = "Send fewer or smaller files at once." if is_upload else "Send a shorter question."
        limit, length = self._limit(path, is_upload), headers.get(b"content-length", "")
        whole = _Whole(receive, send_with_headers, limit)
        if not (length.isdecimal() and int(length) > limit):
            try:
                await self.app(scope, whole.receive, whole.send)
            except Exception:
                if not whole.is_refused:  # what comes of a body that breaks off is no bug
                    raise
            if not whole.is_refused:
                return
        refused = problem(path, 413, "TooLargeError", "The request is too large.", remedy)
        await refused(scope, receive, send_with_headers)

    def _limit(self, path: str, is_upload: bool) -> int:
        if path.startswith(OPENAI_PATH) or path in _LARGE_BODIES:
            return self.max_large_bytes
        if path.startswith("/api/"):
            return self.max_upload_bytes if is_upload else self.max_body_bytes
        return self.max_page_bytes

    def _refusal(self, scope: Scope, headers: dict[bytes, str]) -> tuple[str, str] | None:
        path = scope["path"].lower()
        if path.startswith(_DENIED):
            said = "This server fetches no addresses for others, and takes no files here."
            return said, "Open the address itself; send files to POST /api/documents."
        host = headers.get(b"host", "")
        name = _parts(f"//{host}")[1]
        if (self.loopback_only or self.hosts) and not is_loopback(name) and name not in self.hosts:
            if self.hosts:
                return f"This server does not answer as {host!r}.", "Name it when starting: --allowed-host NAME."
            return f"This server answers on this machine only, not as {host!r}.", "Start it with --host."
        origin = headers.get(b"origin")
        if is_for_programs(scope["path"]) and self.allows(origin):
            return None
        if origin is not None and _parts(origin)[0] != host.lower():
            return f"Requests from the site {origin!r} are refused.", "Call the server from a page of its own."
        if scope["method"] not in {"GET", "HEAD", "OPTIONS"} and headers.get(b"sec-fetch-site") == "cross-site":
            return "Requests from other sites are refused.", "Call the server from a page of its own."
        return None

    def allows(self, origin: str | None) -> bool:
        """Return whether pages of another site were given leave to call the API."""
        return origin is not None and ("*" in self.origins or origin in self.origins)


def _parts(address: str) -> tuple[str, str]:
    """Return host with port, and host, of an address, lower case; both empty if it is none."""
    try:
        split = urlsplit(address)
        return split.netloc.lower(), split.hostname or ""
    except ValueError:
        return "", ""


class _Whole:
    """A request whose body may have no stated length: above the limit it breaks off, and what is answered is dropped.

    Nothing behind it then takes half a body for a whole one.
    """

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive, self._send, self._limit = receive, send, limit
        self._seen = 0
        self._has_answered = False

    @property
    def is_refused(self) -> bool:
        """Whether the body was too large, and nothing has been answered."""
        return self._seen > self._limit and not self._has_answered

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self._seen > self._limit else message

    async def send(self, message: Message) -> None:
        if not self.is_refused:
            self._has_answered = True
            await self._send(message)
