"""How the HTTP API says what went wrong, and how it sends events: the same everywhere."""

from __future__ import annotations

import json
from typing import Any

from fastapi.responses import JSONResponse

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

_REMEDIES: tuple[tuple[type[RagError], str], ...] = (
    (IndexNotFoundError, "Build the index: rag build CORPUS_DIR"),
    (IndexFormatError, "Build the index again: rag build CORPUS_DIR"),
    (IndexMismatchError, "Build the index again with this embedder: rag build CORPUS_DIR"),
    (IndexLockedError, "Wait until the other build has finished."),
    (ModelNotFoundError, "Name an embedder that is there: --embedder NAME_OR_PATH"),
    (BuildCancelledError, "Start it again: POST /api/build"),
    (CorpusError, "Add documents that can be read, then build again."),
)


def error_body(kind: str, message: str, remedy: str) -> dict[str, dict[str, str]]:
    """Return the JSON of an error: what went wrong, and what to do."""
    return {"error": {"type": kind, "message": message, "remedy": remedy}}


def rag_error_body(error: RagError) -> dict[str, dict[str, str]]:
    """Return the JSON of one of our own errors."""
    remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), "See the server's log.")
    return error_body(type(error).__name__, str(error), remedy)


def error_reply(status: int, kind: str, message: str, remedy: str) -> JSONResponse:
    """Return an error as a response."""
    return JSONResponse(error_body(kind, message, remedy), status_code=status)


def event(name: str, data: dict[str, Any]) -> str:
    """Return one server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


# Events are read as they come: neither the browser nor a server in front may keep them back.
EVENT_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
