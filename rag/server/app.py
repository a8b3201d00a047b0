"""The application: the HTTP API, the chat, and what stands in front of both."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fastapi
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware

from rag.embedder import Embedder
from rag.server.access import Access
from rag.server.asking import add_asking_routes
from rag.server.documents import add_document_routes
from rag.server.evaluations import add_evaluation_route
from rag.server.health import add_health_routes
from rag.server.keys import Keys, check_key, read_keys
from rag.server.limits import MAX_CONCURRENT, QUESTION_TIMEOUT_S, AtWork
from rag.server.mcp import mount_mcp
from rag.server.middleware import Guard
from rag.server.openai_api import add_openai_routes
from rag.server.problems import add_error_handlers
from rag.server.replies import complete
from rag.server.service import ChatService
from rag.server.users import Users, read_secret

logger = logging.getLogger(__name__)

_ABOUT = (
    "Ask Arabic and English documents; every answer shows its source. Errors are problem details (RFC 9457); under "
    "`/v1` they have the shape of OpenAI's. Every response carries `X-Request-ID`."
)
_TAGS = [
    {"name": "questions", "description": "Search, ask, measure."},
    {"name": "documents", "description": "Documents and the index."},
    {"name": "openai", "description": "The same answers for programs that speak OpenAI's protocol."},
    {"name": "server", "description": "State and figures."},
]


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
    api_key: str | None = None,
    api_key_file: str | Path | None = None,
    cors_origins: Sequence[str] = (),
    allowed_hosts: Sequence[str] = (),
    log_questions: bool = False,
    max_concurrent: int = MAX_CONCURRENT,
    question_timeout_s: float = QUESTION_TIMEOUT_S,
) -> fastapi.FastAPI:
    """Return the application: the HTTP API under ``/api`` and ``/v1``, MCP at ``/mcp``, and the chat at ``/``.

    Args:
        index_dir: The index; it need not exist yet.
        corpus_dirs: Folders a rebuild reads.
        upload_dir: Folder for uploaded documents; None is ``uploads`` within the first corpus folder.
        embedder: An embedder, its name or its folder; None takes the built-in one.
        ui: Whether to serve the chat too. With a key and no login it is not: it would stand open beside a closed API.
        loopback_only: Refuse a ``Host`` other than this machine; otherwise readers may name no language model.
        service: A service made before; the first four arguments are then not used.
        auth_file: The file of those who may log in (see `rag.server.users`); None lets everybody in. Whether there
            is a login stands in ``app.state.has_login``.
        api_key: What programs send as ``Authorization: Bearer``, to ``/api``, ``/v1``, ``/mcp`` and ``/metrics``. With
            a login too, either opens them.
        api_key_file: A file of such keys, one a line.
        cors_origins: Other sites whose pages may call the API, such as ``https://intranet.example``; ``"*"`` is all.
        allowed_hosts: Names that this server is reached by, such as ``docs.example``; a request to any other name, but
            for this machine's own, is refused. Empty, a server that others reach takes any.
        log_questions: Write questions and queries to the log.
        max_concurrent: Questions, searches and embeddings at work at once, at least 1; others are sent away with 503.
        question_timeout_s: Seconds that an answer may take.

    Raises:
        AuthFileError: The file of users, or the secret beside it, cannot be used.
        KeyFileError: The file of keys, or a key, cannot be used.
        ValueError: An origin or a host is none, or a limit is below its least value.
    """
    users = None if auth_file is None else Users(Path(auth_file))
    secret = None if auth_file is None else read_secret(Path(auth_file))
    keys = () if api_key_file is None else read_keys(Path(api_key_file))
    if api_key is not None:
        check_key(api_key, "the key of this server")
        keys = (*keys, api_key)
    for origin in cors_origins:
        if not re.fullmatch(r"\*|https?://[^/\s?#]+", origin):
            raise ValueError(f"{origin!r} is no origin; name one like https://intranet.example, without a path")
    for host in allowed_hosts:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*", host):
            raise ValueError(f"{host!r} is no host; name one like docs.example, without a port or path")
    if question_timeout_s <= 0:
        raise ValueError(f"question_timeout_s must be above 0, got {question_timeout_s}")
    if service is None:
        service = ChatService(
            index_dir,
            corpus_dirs=corpus_dirs,
            upload_dir=upload_dir,
            embedder=embedder,
            any_model=loopback_only,
        )
    service.log_questions = log_questions
    # The interactive documentation pages load their scripts from another origin: only the schema is served.
    app = _Application(
        title="Sanad",
        version=version("sanad"),
        description=_ABOUT,
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.service = service
    app.state.has_login = users is not None
    app.state.security = [*(["key"] if keys else []), *(["login"] if users else [])]
    add_asking_routes(app, service, timeout_s=question_timeout_s)
    add_evaluation_route(app, service)
    add_document_routes(app, service)
    add_openai_routes(app, service, timeout_s=question_timeout_s)
    add_health_routes(app, service)
    mount_mcp(app, service, timeout_s=question_timeout_s)
    add_error_handlers(app)
    if ui and keys and users is None:
        logger.warning("the page is not served: it would be open beside an API with a key. Add a login: --auth-file")
    elif ui:
        from rag.server.quality import add_quality_route
        from rag.ui import mount_ui

        add_quality_route(app, service.index_dir)
        mount_ui(app, service)
    # From here on each one stands outside of those before it.
    app.add_middleware(AtWork, limit=max_concurrent)
    if users is not None:
        from rag.server.login import Login

        app.add_middleware(Login, users=users, secret=secret)
    if keys:
        app.add_middleware(Keys, keys=keys, has_login=users is not None)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[*cors_origins],
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(
        Guard,
        loopback_only=loopback_only,
        max_upload_bytes=service.max_upload_request_bytes,
        origins=cors_origins,
        hosts=allowed_hosts,
    )
    app.add_middleware(Access, metrics=service.metrics)
    return app


class _Application(fastapi.FastAPI):
    """FastAPI whose OpenAPI document has the media types of our errors, and the ways in."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            schema = complete(
                get_openapi(
                    title=self.title,
                    version=self.version,
                    description=self.description,
                    routes=self.routes,
                    tags=self.openapi_tags,
                )
            )
            schemes = {"key": {"type": "http", "scheme": "bearer"}, "login": {"type": "http", "scheme": "basic"}}
            if self.state.security:
                schema["components"]["securitySchemes"] = {name: schemes[name] for name in self.state.security}
                schema["security"] = [{name: []} for name in self.state.security]
                schema["paths"]["/healthz"]["get"]["security"] = []
            self.openapi_schema = schema
        return self.openapi_schema
