"""The process that serves the application: its port, its log, its models."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from rag import memory
from rag.embedder import Embedder
from rag.errors import IndexNotFoundError, ServerError
from rag.server.access import log_requests
from rag.server.app import create_app
from rag.server.keys import KEY_VARIABLE
from rag.server.limits import MAX_CONCURRENT, QUESTION_TIMEOUT_S
from rag.server.middleware import is_loopback
from rag.server.service import ChatService

logger = logging.getLogger(__name__)

# How long one thread keeps the interpreter while others want it. Python's own 5 ms add up for a question, which asks
# for it after each step, while a build runs: 16 people, 50,000 passages and builds without pause on two cores, a search
# took 211 ms at the 95th percentile, and 156 ms with this.
_SWITCH_S = 0.0005


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
    api_key_file: str | Path | None = None,
    cors_origins: Sequence[str] = (),
    allowed_hosts: Sequence[str] = (),
    log_questions: bool = False,
    max_concurrent: int = MAX_CONCURRENT,
    question_timeout_s: float = QUESTION_TIMEOUT_S,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted.

    A key for programs may stand in the environment variable ``SANAD_SERVER_KEY`` too; see `create_app`.

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
        api_key_file: A file of keys that open the API to programs, one a line.
        cors_origins: Other sites whose pages may call the API.
        allowed_hosts: Names that this server is reached by; empty, one that others reach takes any.
        log_questions: Write questions and queries to the log; otherwise it holds a line a request without them.
        max_concurrent: Questions, searches and embeddings at work at once.
        question_timeout_s: Seconds that an answer may take.
        on_ready: Called with the address once the models are loaded and a question will be answered.

    Raises:
        ServerError: The port is in use, or the host is not this machine.
        AuthFileError: The file of users, or the secret beside it, cannot be used.
        KeyFileError: The file of keys, or a key, cannot be used.
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
        app = create_app(
            service=service,
            ui=ui,
            loopback_only=is_loopback(host),
            auth_file=auth_file,
            api_key=os.environ.get(KEY_VARIABLE) or None,
            api_key_file=api_key_file,
            cors_origins=cors_origins,
            allowed_hosts=allowed_hosts,
            log_questions=log_questions,
            max_concurrent=max_concurrent,
            question_timeout_s=question_timeout_s,
        )
        log_requests()
        memory.bound_pools()
        sys.setswitchinterval(_SWITCH_S)
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
