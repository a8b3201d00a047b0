"""The HTTP API, and the process that serves it together with the chat."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import fastapi
import uvicorn
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.exceptions import HTTPException

from rag.answering import stand_alone
from rag.config import AnswerConfig
from rag.datatypes import Answer
from rag.embedder import Embedder
from rag.errors import BuildCancelledError, IndexLockedError, IndexNotFoundError, RagError, ServerError
from rag.server.documents import PICTURE_PATH, add_document_routes
from rag.server.middleware import Guard, is_loopback
from rag.server.replies import EVENT_HEADERS, event, rag_error_body
from rag.server.service import ChatService
from rag.server.users import Users, read_secret
from rag.text import detect_language
from rag.wire import answer_json, hits_json

logger = logging.getLogger(__name__)

MAX_TOP_K = 100
MAX_HISTORY = 20  # turns
MAX_ANSWER_CHARACTERS = 8_000

Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=AnswerConfig().max_question_characters),
]


class SearchRequest(BaseModel):
    """Body of ``POST /api/search``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    query: Text
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K)] = 5
    language: Annotated[str, StringConstraints(pattern="^[a-z]{2,3}$")] | None = None


class TurnRequest(BaseModel):
    """A turn before the question: what was asked, and what was answered if that is known."""

    model_config = ConfigDict(extra="forbid", strict=True)
    question: Text
    answer: Annotated[str, StringConstraints(max_length=MAX_ANSWER_CHARACTERS)] = ""


class AskRequest(BaseModel):
    """Body of ``POST /api/ask``. ``history`` is oldest first; with it a follow-up question is made to stand alone."""

    model_config = ConfigDict(extra="forbid", strict=True)
    question: Text
    history: Annotated[list[TurnRequest], Field(max_length=MAX_HISTORY)] = []
    stream: bool = False


def create_app(
    index_dir: str | Path = "index",
    *,
    corpus_dirs: Sequence[str | Path] = (),
    upload_dir: str | Path | None = None,
    embedder: Embedder | str | Path | None = None,
    ui: bool = True,
    loopback_only: bool = True,
    service: ChatService | None = None,
    auth_file: str | Path | None = None,
) -> fastapi.FastAPI:
    """Return the application: the HTTP API under ``/api``, and the chat at ``/``.

    Args:
        index_dir: The index; it need not exist yet.
        corpus_dirs: Folders a rebuild reads.
        upload_dir: Folder for uploaded documents; None is ``uploads`` within the first corpus folder.
        embedder: An embedder, its name or its folder; None takes the built-in one.
        ui: Whether to serve the chat too.
        loopback_only: Refuse a ``Host`` other than this machine; otherwise readers may name no language model.
        service: A service made before; the first four arguments are then not used.
        auth_file: The file of those who may log in (see `rag.server.users`); None lets everybody in. Whether there
            is a login stands in ``app.state.has_login``.

    Raises:
        AuthFileError: The file of users, or the secret beside it, cannot be used.
    """
    users = None if auth_file is None else Users(Path(auth_file))
    secret = None if auth_file is None else read_secret(Path(auth_file))
    if service is None:
        service = ChatService(
            index_dir,
            corpus_dirs=corpus_dirs,
            upload_dir=upload_dir,
            embedder=embedder,
            any_model=loopback_only,
        )
    # The interactive documentation pages load their scripts from another origin: only the schema is served.
    app = fastapi.FastAPI(title="Sanad", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.service = service
    app.state.has_login = users is not None
    _add_routes(app, service)
    add_document_routes(app, service)
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(RagError, _on_rag_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    if ui:
        from rag.server.quality import add_quality_route
        from rag.ui import mount_ui

        add_quality_route(app, service.index_dir)
        mount_ui(app, service)
    if users is not None:
        from rag.server.login import Login

        app.add_middleware(Login, users=users, secret=secret)
    app.add_middleware(  # outermost
        Guard, loopback_only=loopback_only, max_upload_bytes=service.max_upload_request_bytes
    )
    return app


def _add_routes(app: fastapi.FastAPI, service: ChatService) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        return {"status": "ok", **service.health()}

    @app.post("/api/search")
    def search(body: SearchRequest) -> dict[str, Any]:
        language, hits = service.search(body.query, top_k=body.top_k, language=body.language)
        return hits_json(body.query, language, hits)

    @app.post("/api/ask", response_model=None)
    def ask(body: AskRequest, request: fastapi.Request) -> dict[str, Any] | StreamingResponse:
        history = _history(body.history)
        if body.stream or "text/event-stream" in request.headers.get("accept", ""):
            service.chatbot()  # what keeps the index from opening is a status code, not an event
            return StreamingResponse(
                _events(service.stream(body.question, history)),
                media_type="text/event-stream",
                headers=EVENT_HEADERS,
            )
        return answer_json(service.ask(body.question, history))


def _history(turns: Sequence[TurnRequest]) -> list[Answer]:
    """Return the turns as answers, each follow-up among them made to stand alone in its turn."""
    history: list[Answer] = []
    for turn in turns:
        query = stand_alone(turn.question, history).query
        history.append(Answer(turn.question, detect_language(turn.question), turn.answer, False, 0.0, query=query))
    return history


def _events(answers: Iterator[Answer]) -> Iterator[str]:
    """Yield server-sent events: ``partial`` while the answer grows, then one ``answer`` or one ``error``."""
    last: Answer | None = None
    try:
        for answer in answers:
            if last is not None:
                yield event("partial", answer_json(last))
            last = answer
        if last is not None:
            yield event("answer", answer_json(last))
    except RagError as error:
        yield event("error", rag_error_body(error)["error"])
    except Exception:
        logger.exception("the answer failed")
        yield event("error", {"message": "The answer failed.", "remedy": "See the server's log."})


def _on_rag_error(request: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RagError)
    logger.warning("%s: %s", request.url.path, error)
    status = 409 if isinstance(error, IndexLockedError | BuildCancelledError) else 503
    return JSONResponse(rag_error_body(error), status_code=status)


def _on_bad_request(request: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"] if part != "body")
        problems.append(f"{place}: {problem['msg']}" if place else str(problem["msg"]))
    model = SearchRequest if request.url.path.endswith("/search") else AskRequest
    remedy = f"Send a JSON object with the fields {', '.join(model.model_fields)}."
    if request.url.path == PICTURE_PATH:
        remedy = "Name a document of the list as doc_id, and one of its pages, from 1, as page."
    body = {"error": {"type": "BadRequest", "message": "; ".join(problems), "remedy": remedy}}
    return JSONResponse(body, status_code=422)


def _on_http_error(request: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    remedy = "POST /api/search, POST /api/ask, GET /api/documents, POST /api/build or GET /healthz."
    body = {"error": {"type": "HTTPError", "message": str(error.detail), "remedy": remedy}}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


def open_port(host: str, port: int) -> socket.socket:
    """Return a listening socket, so that a taken port is known before any model is loaded.

    Args:
        host: A name or an address.
        port: 0 takes any free one.

    Raises:
        ServerError: The port is in use, needs rights, or the host is not this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ServerError(f"the host {host!r} is not known; choose another with --host") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if isinstance(error, PermissionError):
            raise ServerError(f"port {port} needs more rights; choose one above 1023 with --port") from error
        if error.errno == errno.EADDRINUSE:
            raise ServerError(f"port {port} is in use; choose another with --port") from error
        raise ServerError(f"cannot listen on {host}: {error.strerror}; choose another with --host") from error
    return listener


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    *,
    index_dir: str | Path = "index",
    corpus_dirs: Sequence[str | Path] = (),
    upload_dir: str | Path | None = None,
    embedder: Embedder | str | Path | None = None,
    model: str | None = None,
    ui: bool = True,
    auth_file: str | Path | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        host: Address to listen on; anything but loopback is reachable by others.
        port: 0 takes any free one.
        index_dir: The index; it need not exist yet.
        corpus_dirs: Folders a rebuild reads.
        upload_dir: Folder for uploaded documents; None is ``uploads`` within the first corpus folder.
        embedder: An embedder, its name or its folder; None takes the built-in one.
        model: The name of a language model that writes the answers; None has them made of quotes.
        ui: Whether to serve the chat too.
        auth_file: The file of those who may log in; None lets everybody in.
        on_ready: Called with the address once the models are loaded and a question will be answered.

    Raises:
        ServerError: The port is in use, or the host is not this machine.
        AuthFileError: The file of users, or the secret beside it, cannot be used.
        RagError: The embedder or the index cannot be opened. A missing index is no error: the page offers to
            build it.
    """
    with open_port(host, port) as listener:
        service = ChatService(
            index_dir,
            corpus_dirs=corpus_dirs,
            upload_dir=upload_dir,
            embedder=embedder,
            model=model,
            any_model=is_loopback(host),
        )
        # Before the models are loaded: whether the users can be read is known at once.
        app = create_app(service=service, ui=ui, loopback_only=is_loopback(host), auth_file=auth_file)
        try:
            service.warm_up()
        except IndexNotFoundError as error:
            logger.warning("%s", error)
        address = listener.getsockname()
        name = f"[{address[0]}]" if ":" in address[0] else address[0]
        if on_ready is not None:
            on_ready(f"http://{name}:{address[1]}")
        # An open page holds a connection for its events: stopping does not wait for the reader to close it.
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
        )
        uvicorn.Server(config).run(sockets=[listener])
