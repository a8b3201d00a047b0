"""Bounded work, of requests: each limit one below, at, and one above it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import fastapi
import httpx
import pytest
from conftest import HashEmbedder

from rag.builder import build_index
from rag.server import ChatService, create_app
from rag.server.documents import MAX_FILES
from rag.server.middleware import Guard
from rag.server.schemas import MAX_DOC_IDS, MAX_EVAL_QUESTIONS, MAX_HISTORY, MAX_TOP_K
from rag.ui.conversation import MAX_TURNS
from rag.ui.handlers import Handlers

PROMISE = "P16 bounded work"
BASE = "http://127.0.0.1:7860"
MB = 1024 * 1024


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> ChatService:
    folder: Path = tmp_path_factory.mktemp("bounds")
    (folder / "corpus").mkdir()
    text = "# Garden\n\nTomatoes want six hours of sunlight a day.\n"
    (folder / "corpus" / "garden.md").write_text(text, encoding="utf-8")
    embedder = HashEmbedder()
    build_index(folder / "corpus", folder / "index", embedder=embedder)
    return ChatService(folder / "index", corpus_dirs=[folder / "corpus"], embedder=embedder)


def send(app: fastapi.FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE) as client:
            return await client.request(method, path, **options)

    return anyio.run(ask)


def chat(count: int, length: int = 5) -> dict[str, Any]:
    turns = [{"role": ("user", "assistant")[i % 2], "content": "x" * length} for i in range(count - 1)]
    return {"model": "sanad", "messages": [*turns, {"role": "user", "content": "tomatoes"}]}


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a route takes: ``body`` makes a request of a size, ``too_much`` is the status above the limit."""

    name: str
    path: str
    most: int
    body: Callable[[int], Any]
    too_much: int = 422


def history(count: int) -> dict[str, Any]:
    return {"question": "tomatoes", "history": [{"question": "x", "answer": "y"}] * count}


LIMITS = [
    Limit("characters of a question", "/api/ask", 4_000, lambda n: {"question": "x" * n}),
    Limit("Arabic characters of a question", "/api/ask", 4_000, lambda n: {"question": "س" * n}),
    Limit("characters of a query", "/api/search", 4_000, lambda n: {"query": "x" * n}),
    Limit("passages wanted", "/api/search", MAX_TOP_K, lambda n: {"query": "x", "top_k": n}),
    Limit("turns of a history", "/api/ask", MAX_HISTORY, history),
    Limit("characters of an answer before", "/api/ask", 8_000,
          lambda n: {"question": "x", "history": [{"question": "y", "answer": "z" * n}]}),
    Limit("documents to look in", "/api/search", MAX_DOC_IDS, lambda n: {"query": "x", "doc_ids": ["a"] * n}),
    Limit("questions of an evaluation", "/api/eval", MAX_EVAL_QUESTIONS,
          lambda n: {"questions": [{"id": str(i), "question": "x", "lang": "en", "answerable": False}
                                   for i in range(n)]}),
]  # fmt: skip


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_a_limit_is_met_and_not_passed(service, tally, limit):
    app, missed = create_app(service=service, ui=False), len(tally.missed)
    for size in (limit.most - 1, limit.most, limit.most + 1):
        reply = send(app, "POST", limit.path, json=limit.body(size))
        wanted = 200 if size <= limit.most else limit.too_much
        tally.case(reply.status_code == wanted, f"{size} {limit.name}: {reply.status_code} {reply.text[:150]}")
        if size > limit.most:
            said = reply.json()["error"]
            tally.case(bool(said["message"] and said["remedy"]), f"{limit.name} says nothing: {said}")
    assert tally.missed[missed:] == []


@pytest.mark.parametrize(
    ("path", "most"),
    [("/api/search", 64 * 1024), ("/v1/chat/completions", MB), ("/mcp", MB), ("/api/eval", MB),
     ("/gradio_api/queue/join", 16 * MB)],
)  # fmt: skip
@pytest.mark.parametrize("has_length", [True, False], ids=["length", "chunks"])
def test_a_body_is_read_up_to_its_limit(tally, path, most, has_length):
    """The guard alone, in front of an application that reads all it is given."""

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("cut off")
            size, more = size + len(message["body"]), message.get("more_body", False)
        await fastapi.Response(str(size))(scope, receive, send)

    async def chunks(size: int) -> Any:
        for start in range(0, size, 60_000):
            yield b" " * min(60_000, size - start)

    missed = len(tally.missed)
    for size in (most - 1, most, most + 1):
        content = b" " * size if has_length else chunks(size)
        reply = send(Guard(reads, loopback_only=True), "POST", path, content=content)  # type: ignore[arg-type]
        held = reply.status_code == 413 if size > most else (reply.status_code, reply.text) == (200, str(size))
        tally.case(held, f"{size} bytes to {path}: {reply.status_code} {reply.text[:100]}")
    assert tally.missed[missed:] == []


def test_an_upload_is_kept_up_to_25_mb_and_a_hundred_files(service, tally, tmp_path, monkeypatch):
    missed = len(tally.missed)
    own = ChatService(tmp_path / "index", upload_dir=tmp_path / "uploads", embedder=HashEmbedder())
    assert own.max_upload_bytes == 25 * MB
    app = create_app(service=own, ui=False)
    for size in (25 * MB - 1, 25 * MB, 25 * MB + 1):
        reply = send(app, "POST", "/api/documents", files={"file": (f"{size}.txt", b"x" * size)})
        code = reply.json()["files"][0].get("code", "")
        held = (reply.status_code, code) == ((422, "large") if size > 25 * MB else (200, ""))
        tally.case(held, f"{size} bytes: {reply.status_code} {code}")
    for count in (MAX_FILES - 1, MAX_FILES, MAX_FILES + 1):
        files = [("file", (f"{count}-{i}.txt", b"x")) for i in range(count)]
        reply = send(app, "POST", "/api/documents", files=files)
        tally.case(reply.status_code == (422 if count > MAX_FILES else 200), f"{count} files: {reply.status_code}")
    left = [path for path in (tmp_path / "uploads").rglob("*") if path.name.startswith(".upload-")]
    tally.case(not left, f"half an upload stays: {left}")
    assert tally.missed[missed:] == []


def turn(answer: str = "y") -> dict[str, Any]:
    empty = {"question": "x", "language": "en", "text": answer, "abstained": False, "confidence": 0.5}
    return {"question": "x", "language": "en", "answer": empty, "is_done": True}


@pytest.mark.parametrize(
    ("name", "most", "record"),
    [
        ("characters of a question on the page", 4_000, lambda n: {"question": "x" * n}),
        ("turns of a conversation on the page", MAX_TURNS, lambda n: {"history": [turn()] * n}),
        ("the place of a turn", MAX_TURNS - 1, lambda n: {"at": n}),
        ("characters of the id of a conversation", 64, lambda n: {"id": "x" * n}),
        ("passages that an answer is read from", 30, lambda n: {"options": {"top_k": n}}),
        ("documents that a question is limited to", 200, lambda n: {"options": {"scope": {"doc_ids": ["a"] * n}}}),
    ],
)
def test_what_a_page_sends_is_bounded_too(service, tally, name, most, record):
    handlers, missed = Handlers(service), len(tally.missed)
    for size in (most - 1, most, most + 1):
        asked = {"id": "c", "at": 0, "question": "tomatoes", "history": [], "options": {}, **record(size)}
        steps = list(handlers.ask(asked))
        is_answered = bool(steps) and not steps[-1]["turn"]["error"]
        tally.case(is_answered is (size <= most), f"{size} {name}: {steps[-1:] and steps[-1]['turn']['error']}")
    assert tally.missed[missed:] == []


LONG = ("x " * 2_000, "((((" * 1_000, "ـ" * 3_999 + "x", "\u064b" * 3_999 + "س", "1-" * 2_000)
LONG += ("كم " * 1_300, "?" * 3_999 + "x", "a\u0301" * 2_000, "and what about it " * 200)


@pytest.mark.parametrize("text", LONG)
def test_no_question_of_the_full_length_takes_long(service, tally, text):
    service.ask("warm up")
    began = time.process_time()
    service.ask(text)
    seconds = time.process_time() - began
    tally.case(seconds < 5.0, f"{text[:10]!r}...: {seconds:.1f} s of processor")
    assert seconds < 5.0


def test_a_limit_that_is_taken_away_is_noticed(service):
    """The tests above can fail: a guard with larger bounds lets through what they refuse."""
    app = create_app(service=service, ui=False)
    assert send(app, "POST", "/api/search", content=b" " * 70_000).status_code == 413
    wide = Guard(create_app(service=service, ui=False), loopback_only=True, max_body_bytes=MB)
    assert wide.max_body_bytes == MB
