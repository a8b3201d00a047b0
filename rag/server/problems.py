"""How every error leaves the server: problem details (RFC 9457), and under ``/v1`` what OpenAI's clients expect.

A problem keeps the older ``error`` object, ``{"type", "message", "remedy"}``, beside the members of the standard.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import fastapi
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from rag.errors import (
    BuildCancelledError,
    CorpusError,
    IndexFormatError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
    ModelNotFoundError,
    RagError,
)
from rag.server.asgi import request_id
from rag.server.paths import EVAL_PATH, OPENAI_PATH, PICTURE_PATH

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
ROUTES = "POST /api/search, POST /api/ask, GET /api/documents, POST /api/build or GET /healthz; see /api/openapi.json."


class QuestionTimeoutError(RagError):
    """An answer took longer than the server gives it."""


_REMEDIES: tuple[tuple[type[RagError], str], ...] = (
    (IndexNotFoundError, "Build it: rag build"),
    (IndexFormatError, "Rebuild the index: rag build"),
    (IndexMismatchError, "Rebuild the index with this embedder: rag build"),
    (IndexLockedError, "Wait until the other build has finished."),
    (ModelNotFoundError, "Name an embedder that is there: --embedder NAME_OR_PATH"),
    (BuildCancelledError, "Start it again: POST /api/build"),
    (CorpusError, "Add documents that can be read, then build again."),
    (QuestionTimeoutError, "Ask a shorter question, or a quicker model."),
)
_FORMS = {
    PICTURE_PATH: "Name a document of the list as doc_id, and one of its pages, from 1, as page.",
    EVAL_PATH: 'Send {"questions": [...]} as JSON, or a question a line as application/jsonl.',
}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def form_of(path: str) -> str:
    """Return how to send what a route takes that is no plain JSON object."""
    return _FORMS[path]


def error_body(kind: str, message: str, remedy: str) -> dict[str, dict[str, str]]:
    """Return the ``error`` object: what went wrong, and what to do."""
    return {"error": {"type": kind, "message": message, "remedy": remedy}}


def rag_error_body(error: RagError) -> dict[str, dict[str, str]]:
    """Return the ``error`` object of one of our own errors."""
    remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), "See the server's log.")
    return error_body(type(error).__name__, str(error), remedy)


def rag_error_status(error: RagError) -> int:
    """Return the status that one of our own errors is sent with."""
    if isinstance(error, IndexLockedError | BuildCancelledError):
        return 409
    return 504 if isinstance(error, QuestionTimeoutError) else 503


def problem(
    path: str,
    status: int,
    kind: str,
    message: str,
    remedy: str,
    *,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """Return an error as a response, in the shape that belongs to the path that was asked for.

    Args:
        path: Of the request.
        status: HTTP status.
        kind: The error's name, such as ``"IndexNotFoundError"``; it becomes the problem's ``type`` and ``title``.
        message: What is wrong, in a sentence.
        remedy: What to do.
        headers: Further headers.
        more: Further members of a problem.
    """
    if path.startswith(OPENAI_PATH):
        return openai_error(status, f"{message} {remedy}", code=slug(kind).replace("-", "_"), headers=headers)
    body = {
        "type": f"urn:sanad:problem:{slug(kind)}",
        "title": _words(kind).capitalize(),
        "status": status,
        "detail": message,
        "instance": path,
        "request_id": request_id.get(),
        **error_body(kind, message, remedy),
        **(more or {}),
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=PROBLEM_TYPE)


def slug(kind: str) -> str:
    """Return ``IndexNotFoundError`` as ``index-not-found``."""
    return _words(kind.removesuffix("Error")).replace(" ", "-")


def _words(kind: str) -> str:
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*", kind)).lower()


def openai_error(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return an error as OpenAI's clients read it; ``param`` is the field at fault."""
    return JSONResponse(openai_error_body(status, message, param, code), status, headers=dict(headers or {}))


def openai_error_body(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> dict[str, dict[str, str | None]]:
    """Return the JSON of such an error."""
    kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def add_error_handlers(app: fastapi.FastAPI) -> None:
    """Have every error of the application leave in these shapes."""
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(RagError, _on_rag_error)
    app.add_exception_handler(HTTPException, _on_http_error)


def _on_rag_error(request: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RagError)
    logger.warning("%s: %s", request.url.path, error)
    parts = rag_error_body(error)["error"]
    return problem(request.url.path, rag_error_status(error), parts["type"], parts["message"], parts["remedy"])


def _on_bad_request(request: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems, places = [], []
    for found in error.errors():
        parts = () if found["type"] == "json_invalid" else found["loc"]  # there it is a position, and no field
        place = ".".join(str(part) for part in parts if part not in ("body", "query", "path"))
        places.append(place)
        problems.append(f"{place}: {found['msg']}" if place else str(found["msg"]))
    message = "; ".join(problems)
    if request.url.path.startswith(OPENAI_PATH):
        return openai_error(400, message, param=places[0] or None)
    remedy = _FORMS.get(request.url.path) or f"Send a JSON object with the fields {', '.join(_fields(request))}."
    return problem(request.url.path, 422, "BadRequest", message, remedy)


def _fields(request: fastapi.Request) -> list[str]:
    """Return the names of the fields that the route's body has."""
    field = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(field, "field_info", None), "annotation", None)
    return [*getattr(model, "model_fields", {})]


def _on_http_error(request: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    path, detail = request.url.path, str(error.detail)
    if path.startswith(OPENAI_PATH):
        said = f"{request.method} {path}: {detail}" if error.status_code in (404, 405) else detail
        return openai_error(error.status_code, said, headers=error.headers)
    title = HTTPStatus(error.status_code).phrase
    more = {"type": "about:blank", "title": title}
    return problem(path, error.status_code, "HTTPError", detail, ROUTES, headers=error.headers, more=more)
