"""Private stays private, and a login means a login: every route, other sites, guessing, deletion, the log."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import anyio
import fastapi
import httpx
import pytest
from conftest import HashEmbedder
from fastapi.testclient import TestClient
from garden import ROOT, server
from people import MUNA, SARA, write_users
from starlette.routing import BaseRoute, WebSocketRoute

from rag.builder import build_index
from rag.server import ChatService, create_app
from rag.server.login import COOKIE
from rag.server.throttle import Throttle
from rag.ui.handlers import Handlers
from rag.views import text_digest
from reliability.page_client import PageClient

PROMISE = "P14 private stays private, login means login"
# Gradio opens an event loop for each application that is made and closes none.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
BASE = "http://127.0.0.1:7860"
SECRET = "The combination of the safe is eleven marigolds."
TEXT = f"# Safe\n\n{SECRET}\n\n## Garden\n\nTomatoes want six hours of sunlight a day.\n"
PAGE = {"accept": "text/html,*/*", "user-agent": "Mozilla/5.0", "sec-fetch-mode": "navigate"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
# What answers without a login, each looked at: none of it says what the documents hold.
OPEN = {
    ("GET", "/healthz"),  # the counts and the names of generation and embedder, for who watches the server
    ("HEAD", "/healthz"),
    ("GET", "/login"),  # the form
    ("HEAD", "/login"),
}


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Close those loops at the end: else a later module is told of them."""
    before = set(map(id, _loops()))
    yield
    for loop in _loops():
        if id(loop) not in before and not loop.is_running():
            loop.close()


def _loops() -> list[asyncio.AbstractEventLoop]:
    # By type: isinstance would ask each object for its __class__, and some stand for another and warn.
    return [each for each in gc.get_objects() if issubclass(type(each), asyncio.AbstractEventLoop)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("private")
    (folder / "corpus").mkdir()
    (folder / "corpus" / "safe.md").write_text(TEXT, encoding="utf-8")
    build_index(folder / "corpus", folder / "index", embedder=HashEmbedder())
    write_users(folder / "users", SARA, MUNA)
    return folder


@pytest.fixture(scope="module")
def service(folder) -> ChatService:
    return ChatService(folder / "index", corpus_dirs=[folder / "corpus"], embedder=HashEmbedder())


def visit(service: ChatService, address: str = "10.0.0.1", *, base_url: str = BASE, **options) -> TestClient:
    app = create_app(service=service, **options)
    return TestClient(
        app, base_url=base_url, client=(address, 1), follow_redirects=False, raise_server_exceptions=False
    )


def routes(found: list[BaseRoute], before: str = "") -> Iterator[tuple[str, set[str]]]:
    """Yield path and methods of each route of an application, those of mounted ones too."""
    for route in found:
        assert not isinstance(route, WebSocketRoute), "a new kind of road: say here how it is guarded"
        path = before + getattr(route, "path", "")
        inner = getattr(route, "original_router", None) or getattr(route, "app", None)
        if getattr(inner, "routes", None):
            yield from routes(inner.routes, path)
        if getattr(route, "methods", None):
            yield path, set(route.methods)


def filled(path: str) -> str:
    """Return a path of a route with something in the place of each parameter."""
    while "{" in path:
        head, _, rest = path.partition("{")
        name, _, tail = rest.partition("}")
        path = head + ("safe.md" if "path" in name or "doc" in name else "1") + tail
    return path


# -- every route ----------------------------------------------------------------------------------------------


Asked = tuple[str, str, dict[str, str]]  # method, path, headers
STRANGERS: list[dict[str, str]] = [
    {},  # a program
    PAGE,  # a browser
    {"cookie": f"{COOKIE}=eyJ4IjoxfQ.aaaa.bbbb; access-token-1=x"},
    {"authorization": "Bearer 0123456789abcdef"},
]


def replies(app: fastapi.FastAPI, asked: list[Asked], base: str = BASE) -> list[httpx.Response]:
    """Return what an application answers to each request, one after another."""

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=base) as client:
            return [await client.request(method, path, headers=headers) for method, path, headers in asked]

    return anyio.run(ask)


def is_closed(reply: httpx.Response) -> bool:
    """Return whether a reply gives a stranger nothing: a refusal, or the way to the login."""
    leads_away = reply.status_code == 303 and reply.headers["location"].startswith("/login")
    return (reply.status_code in (401, 403) or leads_away) and "safe" not in reply.text.replace("safe.md", "")


def test_no_route_answers_without_a_login(service, folder, tally, is_full):
    app, missed = create_app(service=service, auth_file=folder / "users"), len(tally.missed)
    known: dict[str, set[str]] = {}
    for path, methods in routes(app.routes):
        known.setdefault(filled(path), {"GET", "OPTIONS"}).update(METHODS if is_full else methods)
    assert len(known) >= 60
    tally.figures["routes of the application"] = len(known)
    for path in (
        *("/gradio_api/", "/gradio_api/file=/etc/passwd", "/static/%2e%2e/config", "//config", "/%2e", "/quality/"),
        *("/gradio_api/mcp/sse", "/api/%2e%2e/healthz", "/healthz/x", f"/gradio_api/file={folder}/corpus/safe.md"),
    ):
        known[path] = set(METHODS)
    asked = [
        (method, path, headers)
        for path, methods in known.items()
        for method in sorted(methods)
        for headers in STRANGERS
        if (method, path) not in OPEN
    ]
    for (method, path, headers), reply in zip(asked, replies(app, asked), strict=True):
        is_nothing = (path == "/healthz" and reply.status_code in (404, 405)) or (
            path == "/login" and reply.status_code == 400
        )
        said = f"{method} {path} {headers}: {reply.status_code} {reply.text[:80]!r}"
        tally.case(is_closed(reply) or is_nothing, said)
    for reply in replies(app, [(method, path, {}) for method, path in sorted(OPEN)]):
        tally.case("marigold" not in reply.text and "safe" not in reply.text, f"{reply.url} says more: {reply.text}")
    assert tally.missed[missed:] == []


def test_the_same_routes_do_answer_where_there_is_no_login(service):
    """The test above can fail: with the login taken away, routes answer strangers."""
    paths = ["/", "/config", "/quality", "/api/documents", "/v1/models", "/metrics", "/api/openapi.json", "/theme.css"]
    app = create_app(service=service)
    asked: list[Asked] = [("GET", path, {}) for path in paths]
    asked += [("POST", "/api/build", {}), ("DELETE", "/api/documents/safe.md", {})]
    assert not any(is_closed(reply) for reply in replies(app, asked) if reply.url.path != "/api/documents/safe.md")


# -- other sites ----------------------------------------------------------------------------------------------

HOSTS = ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "127.0.0.1.nip.io", "localhost.evil.example",
         "localhost@evil.example", "0.0.0.0:7860", "192.168.1.9:7860", "docs.example.evil.example", "xdocs.example",
         "[fe80::1]:7860", "", "null"]  # fmt: skip
ORIGINS = ["https://evil.example", "http://evil.example:7860", "null", "http://127.0.0.1:9999", "https://127.0.0.1:7860.evil",
           "http://localhost.evil.example:7860", "file://", "http://[::1]:7860", "http://127.0.0.1:7860@evil.example",
           "http://127.0.0.1.nip.io:7860", "chrome-extension://abc", "http://"]  # fmt: skip
ASKED = [("GET", "/"), ("GET", "/config"), ("POST", "/api/search"), ("POST", "/api/ask"), ("GET", "/api/documents"),
         ("DELETE", "/api/documents/safe.md"), ("POST", "/api/build"), ("POST", "/gradio_api/queue/join"),
         ("POST", "/login"), ("POST", "/mcp")]  # fmt: skip


def let_in(client: TestClient) -> TestClient:
    """Give the client the cookie of a user, as her browser has it."""
    done = client.post("/login", data={"name": SARA[0], "password": SARA[1]})
    assert done.status_code == 303
    return client


@pytest.mark.parametrize("is_public", [False, True], ids=["loopback", "public"])
def test_another_host_or_site_gets_nothing_even_with_the_cookie(service, folder, tally, is_public):
    options = {"loopback_only": False, "allowed_hosts": ["docs.example"]} if is_public else {}
    base = "http://docs.example" if is_public else BASE
    client, missed = let_in(visit(service, base_url=base, auth_file=folder / "users", **options)), len(tally.missed)
    assert client.get("/api/documents").status_code == 200
    own = {"cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
    tried = [*({"host": host} for host in HOSTS), *({"origin": origin} for origin in ORIGINS)]
    asked = [(method, path, {**own, **headers}) for headers, (method, path) in product(tried, ASKED)]
    assert len(asked) >= 200
    for (method, path, headers), reply in zip(asked, replies(client.app, asked, base), strict=True):
        is_told = any(name.startswith("access-control") for name in reply.headers)
        said = f"{'public' if is_public else 'loopback'} {method} {path} {headers}: {reply.status_code}"
        tally.case(reply.status_code == 403 and not is_told, said)
    assert tally.missed[missed:] == []


def test_without_the_names_of_the_server_another_host_is_answered(service, folder):
    """The test above can fail: with the check of the host taken away, it would."""
    client = visit(service, base_url="http://evil.example", auth_file=folder / "users", loopback_only=False)
    assert let_in(client).get("/api/documents").status_code == 200


@pytest.mark.parametrize("host", ["https://docs.example", "docs.example:80", "docs.example/x", "", "a b", "*"])
def test_what_is_no_host_is_refused_at_the_start(service, host):
    with pytest.raises(ValueError, match="is no host"):
        create_app(service=service, ui=False, allowed_hosts=[host])


# -- guessing -------------------------------------------------------------------------------------------------


def test_ten_wrong_logins_of_one_address_are_delayed_and_nobody_else_is(service, folder, tally):
    missed = len(tally.missed)
    app = visit(service, auth_file=folder / "users", ui=False).app
    for way in ("form", "basic"):
        stranger = TestClient(app, base_url=BASE, client=(f"203.0.113.{len(way)}", 1), follow_redirects=False)
        for number in range(11):
            name, password = f"name {way} {number}", "wrong"
            if way == "form":
                status = stranger.post("/login", data={"name": name, "password": password}).status_code
            else:
                status = stranger.get("/api/documents", auth=(name, password)).status_code
            tally.case(status == (401 if number < 10 else 429), f"wrong login {number + 1} by {way}: {status}")
    other = TestClient(app, base_url=BASE, client=("203.0.113.99", 1), follow_redirects=False)
    tally.case(other.get("/api/documents", auth=MUNA).status_code == 200, "another address waits too")
    assert tally.missed[missed:] == []


def test_a_guesser_gets_few_tries_in_an_hour():
    """What the waits come to: one address, however patient, and one name, from however many addresses."""
    for free, longest, most in ((10, 60, 76), (5, 900, 20)):
        now, tries = 0.0, 0
        throttle = Throttle(free=free, longest_s=longest, forget_s=86_400, clock=lambda: now)  # noqa: B023
        while now <= 3600:
            wait = throttle.wait_s("x")
            if wait:
                now += wait
                continue
            throttle.fail("x")
            tries += 1
        assert tries <= most


# -- what is deleted ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (ROOT / "corpus").is_dir(), reason="there is no demo corpus")
def test_a_deleted_document_is_reached_by_no_road(folder, tally, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    shutil.copytree(folder / "corpus", tmp_path / "corpus")
    (tmp_path / "corpus" / "safe.md").write_text("# Garden\n\nTomatoes want six hours of sunlight.\n", encoding="utf-8")
    own = ChatService(tmp_path / "index", corpus_dirs=[tmp_path / "corpus"], embedder=HashEmbedder())
    client, missed = let_in(visit(own, auth_file=folder / "users", api_key="k" * 20)), len(tally.missed)
    handlers, question = Handlers(own), "What is the combination of the safe?"
    sent = client.post("/api/documents", files={"file": ("secret.md", TEXT.encode())}).json()["files"][0]
    client.post("/api/build")
    asked = client.post("/api/ask", json={"question": question}).json()
    assert "marigolds" in asked["answer"]
    assert "marigolds" in handlers.welcome() + str(client.post("/api/search", json={"query": "safe"}).json())
    quote = asked["citations"][0]
    place = {"doc": sent["doc_id"], "start": quote["start"], "end": quote["end"], "digest": text_digest(quote["quote"])}
    assert "marigolds" in handlers.source(place)

    assert client.delete(f"/api/documents/{sent['doc_id']}").status_code == 200
    report = client.post("/api/build").text
    assert '"removed": 1' in report or '"removed":1' in report, report[-300:]
    bearer = {"authorization": f"Bearer {'k' * 20}"}
    chat = {"model": "sanad", "messages": [{"role": "user", "content": question}]}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "search", "arguments": {"query": "combination of the safe"}}}  # fmt: skip
    both = {"accept": "application/json, text/event-stream", **bearer}
    roads = {
        "ask": client.post("/api/ask", json={"question": question}).json()["answer"],
        "search": client.post("/api/search", json={"query": "safe", "top_k": 100}).text,
        "chat": client.post("/v1/chat/completions", json=chat, headers=bearer).text,
        "mcp": client.post("/mcp", json=call, headers=both).text,
        "list": client.get("/api/documents").text,
        "picture": client.get(f"/api/documents/page?doc_id={sent['doc_id']}&page=1").text,
        "source": handlers.source(place),
        "welcome": handlers.welcome(),
        "documents": "".join(handlers.documents()),
        "metrics": client.get("/metrics", headers=bearer).text,
    }
    for road, said in roads.items():
        tally.case(
            "marigold" not in said and "secret.md" not in said.replace(place["doc"], ""), f"{road}: {said[:200]}"
        )
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"marigold" in path.read_bytes()]
    for path in [tmp_path / "corpus" / "uploads" / "secret.md", *kept]:
        for url in (f"/gradio_api/file={path}", f"/file={path}", f"/gradio_api/file/{path}", f"/static/{path}",
                    f"/assets/..{path}", f"/svelte/../..{path}", f"/gradio_api/stream/x/x/{path}/a.m3u8"):  # fmt: skip
            reply = client.get(url)
            tally.case(reply.status_code in (403, 404) and "marigold" not in reply.text, f"{url}: {reply.status_code}")
    in_cache = [path for path in kept if (tmp_path / "cache") in path.parents]
    tally.case(in_cache == [], f"the cache holds {in_cache}")
    live = (tmp_path / "index" / "CURRENT").read_text().strip()
    tally.case(not any(live in path.parts for path in kept), f"{live} holds it still")

    # The trash and the generation before keep it on disk for who runs the server; the next build takes the latter.
    elsewhere = {path.relative_to(tmp_path).parts[0] for path in kept}
    assert elsewhere <= {"corpus", "index"} and all(".trash" in path.parts for path in kept if "corpus" in path.parts)
    client.post("/api/documents", files={"file": ("other.md", b"# Other\n\nAnother document.\n")})
    client.post("/api/build")
    kept = [path for path in (tmp_path / "index").rglob("*") if path.is_file() and b"marigold" in path.read_bytes()]
    tally.case(kept == [], f"after the next build: {kept}")
    assert tally.missed[missed:] == []


# -- the log --------------------------------------------------------------------------------------------------

SERVE = """
from conftest import HashEmbedder
from rag.server import serve
ready = lambda address: print(f"answers on {address}", flush=True)
serve(port=0, embedder=HashEmbedder(), corpus_dirs=["corpus"], auth_file="users", on_ready=ready)
"""
WORD = "marigold"  # in every question, passage and broken request below


async def _talk(address: str) -> None:
    """Ask by every road, rightly and wrongly, with the word in it each time."""
    async with httpx.AsyncClient(base_url=address, auth=SARA, timeout=60) as client:
        page = PageClient(client)
        await page.open()
        turn = {"question": WORD, "language": "en", "answer": {"text": WORD}, "is_done": WORD}
        for question in (f"What is the combination? {WORD}", f"{WORD} " * 1_000, f"\u0000{WORD}", WORD):
            async for _ in page.ask(question, history=[]):
                pass
        for record in ({"question": [WORD]}, {"question": WORD, "history": [turn]}, {"id": WORD}, WORD, [WORD]):
            async for _ in page.trigger("ask", record):
                pass
        for name in ("open_source", "show_turns", "export_conversation", "judge_answer", "welcome"):
            for value in (
                WORD,
                {"turns": [turn]},
                {"turn": turn, "verdict": "up"},
                {"doc": WORD, "digest": WORD},
                [WORD],
            ):
                await page.call(name, value)
        async for _ in page.trigger("remove", {"doc": f"{WORD}.md"}):
            pass
        for path in ("/api/ask", "/api/search", "/v1/chat/completions", "/v1/embeddings", "/mcp", "/api/eval"):
            for body in ({"question": WORD}, {"query": WORD}, {"input": WORD, "model": "sanad"}, {"question": [WORD]},
                         {"model": "sanad", "messages": [{"role": "user", "content": WORD}]},
                         {"question": WORD, "model": "x"}, {"questions": [WORD]}, [WORD], WORD):  # fmt: skip
                await client.post(f"{path}?q={WORD}", json=body)
            await client.post(path, content=f"{{{WORD}", headers={"content-type": "application/json"})
        await client.post("/api/ask", json={"question": f"Where is the {WORD}?", "stream": True})
        await client.get("/login", params={"next": f"/{WORD} x"})


def test_the_log_holds_no_question_and_no_passage(folder, tally, tmp_path):
    missed = len(tally.missed)
    shutil.copytree(folder / "corpus", tmp_path / "corpus")
    shutil.copytree(folder / "index", tmp_path / "index")
    shutil.copy(folder / "users", tmp_path / "users")
    path = f"{ROOT}:{ROOT / 'tests'}"
    with contextlib.suppress(AssertionError), server(tmp_path, "-c", SERVE, PYTHONPATH=path) as address:
        anyio.run(_talk, address)
    log = (tmp_path / "log").read_text("utf-8")
    lines = log.splitlines()
    tally.case("Traceback" not in log, f"a bug: {log[log.find('Traceback') :][:3000]}")
    tally.figures["requests in the log"] = sum(" id=" in line for line in lines)
    leaks = [line for line in lines if WORD in line.lower()]
    for line in lines:
        tally.case(WORD not in line.lower(), f"the log says: {line[:200]}")
    assert sum(" id=" in line for line in lines) > 80
    assert (leaks, tally.missed[missed:]) == ([], [])


def test_a_question_is_in_the_log_where_that_was_asked_for(service, caplog):
    """The test above can fail: the same word is found once questions are written down."""
    caplog.set_level(logging.INFO)
    visit(service, ui=False, log_questions=True).post("/api/ask", json={"question": WORD})
    assert WORD in caplog.text


def test_what_a_process_keeps_beside_the_index_is_its_own(monkeypatch):
    """The folder of temporary files can be read by its owner alone, and goes with the process."""
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    create_app(service=ChatService("nowhere", embedder=HashEmbedder()))
    found = Path(os.environ["GRADIO_TEMP_DIR"])
    assert found.parent == Path(tempfile.gettempdir()) and found.stat().st_mode & 0o077 == 0
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    shutil.rmtree(found)
