"""Each request has an id and one line in the log; questions stand in the log only where that is asked for."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from datetime import UTC, datetime
from urllib.parse import quote

from starlette.requests import ClientDisconnect

from rag.server.asgi import ASGIApp, Message, Receive, Scope, Send, request_id
from rag.server.metrics import Metrics
from rag.server.middleware import HEADERS
from rag.server.paths import HEALTH_PATH, is_for_programs
from rag.server.problems import problem

logger = logging.getLogger(__name__)

# Not below "rag": its lines are wanted also where the messages of the package are not.
access_log = logging.getLogger("sanad.access")

HEADER = b"x-request-id"
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


class Access:
    """Give each request an id, count it, and write its line when the response has ended. Stands outermost.

    What fails in an unforeseen way is logged with its traceback and answered with 500 and none.

    A line holds time, address, user, method, path without the query, status, bytes, seconds and id, never a question.
    An ``X-Request-ID`` of letters, digits and ``._:-``, 64 at most, is kept; another one is replaced.

    Args:
        app: The application behind it.
        metrics: Counts.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == HEADER), "")
        own = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(own)
        began, at = time.perf_counter(), datetime.now(UTC)
        path, method = scope["path"], scope["method"]  # a mounted application changes the scope
        status, size = 0, 0

        async def send_with_id(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (HEADER, own.encode())]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        self.metrics.at_work.inc()
        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = status or 499
        except Exception:
            logger.exception("%s %s failed", quote(method[:16]), quote(path[:500]))
            if status:  # it broke off half way
                raise
            headers = {name.decode(): value.decode() for name, value in HEADERS}
            said = ("Something went wrong here.", "See the server's log.")
            await problem(path, 500, "ServerFault", *said, headers=headers)(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - began
            self.metrics.at_work.dec()
            self.metrics.answered_request(method, _template(scope, path), status or 500, seconds)
            access_log.info(
                "%s %s %s %s %s %d %d bytes %.3f s id=%s",
                at.isoformat(timespec="seconds"),
                (scope.get("client") or ("-",))[0],
                quote(str(scope.get("state", {}).get("user") or "-")),
                quote(method[:16]),
                quote(path[:500]),
                status or 500,
                size,
                seconds,
                own,
            )
            request_id.reset(token)


def _template(scope: Scope, path: str) -> str:
    """Return the path of the route that answered, such as ``/v1/models/{model_id}``; never what was filled in."""
    if not is_for_programs(path) and path != HEALTH_PATH:
        return "page"
    return str(getattr(scope.get("route"), "path", "unknown"))


def as_line(text: str) -> str:
    """Return a question as JSON on one line, so that it can add no line of its own to the log."""
    return json.dumps(text[:1_000], ensure_ascii=False)


class _WithRequestId(logging.Formatter):
    """Puts the id of the request at work in front of what another formatter writes."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self.inner = inner

    def format(self, record: logging.LogRecord) -> str:
        text, own = self.inner.format(record), request_id.get()
        return f"[{own}] {text}" if own and record.name != access_log.name else text


def log_requests() -> None:
    """Write access lines to the log of this process, and the id of its request in front of every other line."""
    root = logging.getLogger()
    if not root.handlers:
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    for handler in root.handlers:
        if not isinstance(handler.formatter, _WithRequestId):
            handler.setFormatter(_WithRequestId(handler.formatter or logging.Formatter()))
    access_log.setLevel(logging.INFO)
