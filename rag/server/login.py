"""Nobody passes without a name and a password: one ASGI middleware around the page and the API alike."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import logging
import re
from urllib.parse import parse_qsl, quote

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from rag.server.login_page import login_page, logout_page, onward_page, preferred_language, security_headers
from rag.server.middleware import ASGIApp, Message, Receive, Scope, Send
from rag.server.passwords import Passwords, Verdict
from rag.server.paths import HEALTH_PATH, is_for_programs
from rag.server.problems import problem
from rag.server.sessions import Sessions
from rag.server.users import MAX_NAME_CHARACTERS, Users, plain_name
from rag.ui.words import words

logger = logging.getLogger(__name__)

COOKIE = "sanad_session"
SESSION_S = 12 * 60 * 60
_OPEN = frozenset({HEALTH_PATH})  # a balancer asks it; it says nothing of what is in the documents
_MAX_FORM_BYTES = 16 * 1024
_LOCAL_PATH = re.compile(r"/(?!/)[!-\[\]-~]{0,2000}")  # printable ASCII without the backslash, which browsers read as /
_NOT_KEPT = {"cache-control": "no-store"}


class Login:
    """Let through who has logged in, by the cookie of a session or by HTTP Basic, and show others how.

    A browser that asks for a page is sent to ``/login``; anything else gets 401 and JSON. The name of who was let
    through stands in ``request.state.user``. Stands inside of ``Guard``, which refuses requests from other sites.

    Args:
        app: The application behind it.
        users: Who may log in.
        secret: What signs sessions, at least 32 bytes; None takes a random one.
        session_s: Seconds that a session lasts.
    """

    def __init__(self, app: ASGIApp, *, users: Users, secret: bytes | None = None, session_s: int = SESSION_S) -> None:
        self.app = app
        self.sessions = Sessions(users, lifetime_s=session_s, secret=secret)
        self.passwords = Passwords(users)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in _OPEN):
            await self.app(scope, receive, send)
            return
        if scope.get("state", {}).get("has_key"):  # `Keys` has looked at it
            await self.app(scope, receive, _not_kept(send))
            return
        user = self.sessions.user(HTTPConnection(scope).cookies.get(COOKIE, ""))
        refusal: Response | None = None
        if scope["type"] != "http":
            if user is None:
                await send({"type": "websocket.close", "code": 1008})
                return
        elif scope["path"] == "/login":
            refusal = await self._login(Request(scope, receive), user)
        elif scope["path"] == "/logout":
            refusal = self._logout(Request(scope), user)
        elif user is None:
            user, refusal = await self._stranger(Request(scope))
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        scope.setdefault("state", {})["user"] = user
        await self.app(scope, receive, _not_kept(send))

    async def _stranger(self, request: Request) -> tuple[str | None, Response | None]:
        """Return the name that came by HTTP Basic with its password, or the refusal."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            return None, _to_login(request) if _wants_page(request) else _refusal(request, Verdict(401), is_new=True)
        name, password = _basic(authorization)
        verdict = await self.passwords.check(name, password, _address(request)) if name else Verdict(401)
        return (plain_name(name), None) if verdict.status == 200 else (None, _refusal(request, verdict))

    async def _login(self, request: Request, user: str | None) -> Response:
        if request.method == "POST":
            fields = await _form(request)
            return _no_form(request) if fields is None else await self._log_in(request, fields)
        if request.method not in ("GET", "HEAD"):
            return _no_form(request)
        query = request.query_params
        onward = local_path(query.get("next", ""))
        if user is not None:
            return _redirect(onward)
        said = words("logged_out") if "left" in query else ""
        page = login_page(language=_language(request, query.get("lang")), onward=onward, said=said)
        return HTMLResponse(page, headers=security_headers())

    async def _log_in(self, request: Request, fields: dict[str, str]) -> Response:
        name, address = plain_name(fields.get("name", "")), _address(request)
        onward = local_path(fields.get("next", ""))
        verdict = await self.passwords.check(name, fields.get("password", ""), address)
        if verdict.status == 200 and (token := self.sessions.start(name)) is not None:
            logger.info("%r logged in from %s", name, address)
            response = _redirect(onward)
            response.set_cookie(
                COOKIE,
                token,
                max_age=self.sessions.lifetime_s,
                httponly=True,
                samesite="strict",
                secure=_is_https(request),
            )
            return response
        page = login_page(
            language=_language(request, fields.get("lang")),
            onward=onward,
            name=name[:MAX_NAME_CHARACTERS],
            said=_said(verdict),
            is_wrong=True,
        )
        return HTMLResponse(page, verdict.status, headers={**security_headers(), **_retry_after(verdict)})

    def _logout(self, request: Request, user: str | None) -> Response:
        if request.method == "POST":
            self.sessions.end(request.cookies.get(COOKIE, ""))
            response = _redirect("/login?left=1")
            response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_is_https(request))
            return response
        if user is None:
            return _redirect("/login")
        page = logout_page(language=_language(request, request.query_params.get("lang")), name=user)
        return HTMLResponse(page, headers=security_headers())


def local_path(text: str) -> str:
    """Return ``text`` if it is a path on this server to go to after the login, else ``/``."""
    return text if _LOCAL_PATH.fullmatch(text) and not text.startswith(("/login", "/logout")) else "/"


# -- what was asked -----------------------------------------------------------------------------------------------


def _is_browser(request: Request) -> bool:
    # Over plain http to another machine, a browser sends no Sec-Fetch headers: then its name must do.
    return "sec-fetch-mode" in request.headers or request.headers.get("user-agent", "").startswith("Mozilla/")


def _wants_page(request: Request) -> bool:
    return (
        request.method in ("GET", "HEAD")
        and "text/html" in request.headers.get("accept", "")
        and request.headers.get("sec-fetch-dest", "document") == "document"
        and not request.scope["path"].startswith("/gradio_api/")
        and not is_for_programs(request.scope["path"])
    )


def _is_https(request: Request) -> bool:
    # Behind a proxy that does not say so, the origin (which the guard has compared with the host) still tells.
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def _language(request: Request, asked: str | None) -> str:
    return asked if asked in ("ar", "en") else preferred_language(request.headers.get("accept-language", ""))


def _address(request: Request) -> str:
    """Return who asks: an IPv4 address, or the first half of an IPv6 one, as one household has them by the billion."""
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return "an unknown address"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address), 64), strict=False))
        address = address.ipv4_mapped
    return str(address)


def _basic(authorization: str) -> tuple[str, str]:
    """Return name and password of an ``Authorization`` header, both empty if it is no HTTP Basic."""
    scheme, _, value = authorization.partition(" ")
    try:
        data = base64.b64decode(value.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        return "", ""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # what older clients send
    name, _, password = text.partition(":")
    return name, password


async def _form(request: Request) -> dict[str, str] | None:
    """Return the fields of a form that was sent, None if it is none or too large."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return None
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MAX_FORM_BYTES:
            return None
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=8, errors="strict"))
    except ValueError:
        return None


# -- what is answered ---------------------------------------------------------------------------------------------


def _redirect(address: str) -> RedirectResponse:
    return RedirectResponse(address, 303, headers=_NOT_KEPT)


def _to_login(request: Request) -> Response:
    query = request.scope["query_string"].decode("latin-1")
    onward = local_path(quote(request.scope["path"]) + (f"?{query}" if query else ""))
    address = "/login" if onward == "/" else f"/login?next={quote(onward, safe='')}"
    # A strict cookie stays behind when a link on another site is followed, and on every redirect from there.
    if request.headers.get("sec-fetch-site") == "cross-site":
        return HTMLResponse(onward_page(address), headers=security_headers())
    return _redirect(address)


def _said(verdict: Verdict) -> str:
    if verdict.status == 429:
        is_long = verdict.wait_s > 90
        return words(
            "login_wait_min" if is_long else "login_wait_s", number=-(-verdict.wait_s // (60 if is_long else 1))
        )
    return words("login_busy" if verdict.status == 503 else "login_wrong")


def _retry_after(verdict: Verdict) -> dict[str, str]:
    return {"retry-after": str(verdict.wait_s)} if verdict.wait_s else {}


def _refusal(request: Request, verdict: Verdict, *, is_new: bool = False) -> Response:
    headers = _retry_after(verdict)
    if verdict.status == 401 and not _is_browser(request):  # a browser would ask in a window of its own
        headers["www-authenticate"] = 'Basic realm="Sanad", charset="UTF-8"'
    said = {
        401: ("This server wants a name and a password." if is_new else "The name or the password is wrong."),
        429: "Too many logins have failed.",
        503: "Too many are logging in at this moment.",
    }[verdict.status]
    remedy = "Send both by HTTP Basic (curl -u NAME ...), or log in at /login."
    if verdict.wait_s:
        remedy = f"Wait {verdict.wait_s} seconds, then try again."
    return _error(request, verdict.status, "LoginError", said, remedy, headers)


def _no_form(request: Request) -> Response:
    return _error(
        request, 400, "BadRequest", "This is no login form.", "POST name and password, as the page at /login does.", {}
    )


def _error(request: Request, status: int, kind: str, message: str, remedy: str, headers: dict[str, str]) -> Response:
    return problem(request.scope["path"], status, kind, message, remedy, headers={**_NOT_KEPT, **headers})


def _not_kept(send: Send) -> Send:
    """Keep pages and data out of the browser's cache, where they would outlive the logout. Scripts may stay."""

    async def send_uncached(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = {name.lower(): value for name, value in message.get("headers", [])}
            if headers.get(b"content-type", b"").startswith(
                (b"text/html", b"application/json", b"application/problem+json")
            ):
                kept = [(name, value) for name, value in message["headers"] if name.lower() != b"cache-control"]
                message["headers"] = [*kept, (b"cache-control", b"no-store")]
        await send(message)

    return send_uncached
