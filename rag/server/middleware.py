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
# Routes of Gradio that fetch addresses for whoever asks; this page has no use for them.
_DENIED = ("/gradio_api/file=http", "/gradio_api/proxy=", "/file=http", "/proxy=", "/gradio_api/file/http")


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
            is how a web page elsewhere would reach it through a name it controls.
        max_body_bytes: Largest body accepted under ``/api/``.
        max_large_bytes: Largest body accepted where whole conversations or many questions are sent to.
        max_upload_bytes: Largest body accepted where documents are sent to; None is the same as ``max_body_bytes``.
        origins: Other sites whose pages may call the API, such as ``https://intranet.example``; ``*`` is all.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        loopback_only: bool,
        max_body_bytes: int = 64 * 1024,
        max_large_bytes: int = 1024 * 1024,
        max_upload_bytes: int | None = None,
        origins: Collection[str] = (),
    ) -> None:
        self.app = app
        self.loopback_only = loopback_only
        self.max_body_bytes = max_body_bytes
        self.max_large_bytes = max_large_bytes
        self.origins = frozenset(origins)
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
        if path.startswith(("/api/", OPENAI_PATH)) or path == MCP_PATH:
            is_upload = path == UPLOAD_PATH and scope["method"] == "POST"
            limit = self.max_upload_bytes if is_upload else self.max_body_bytes
            if path.startswith(OPENAI_PATH) or path in _LARGE_BODIES:
                limit = self.max_large_bytes
            length = headers.get(b"content-length", "")
            if length.isdecimal() and int(length) > limit:
                remedy = "Send fewer or smaller files at once." if is_upload else "Send a shorter question."
                refused = problem(path, 413, "TooLargeError", "The request is too large.", remedy)
                await refused(scope, receive, send_with_headers)
                return
            receive = _bounded(receive, limit)
        await self.app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: dict[bytes, str]) -> tuple[str, str] | None:
        path = scope["path"].lower()
        if path.startswith(_DENIED):
            return "This server fetches no addresses for others.", "Open the address itself."
        host = headers.get(b"host", "")
        if self.loopback_only and not is_loopback(_parts(f"//{host}")[1]):
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


def _bounded(receive: Receive, limit: int) -> Receive:
    """Cut a body without a stated length off at ``limit``: what is left of it has no proper end and is refused."""
    seen = 0

    async def bounded_receive() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                return {"type": "http.request", "body": b"", "more_body": False}
        return message

    return bounded_receive
