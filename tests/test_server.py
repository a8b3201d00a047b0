"""The HTTP API over a real index, its refusals, and the process that serves it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import HashEmbedder

from rag.builder import BuildReport, build_index
from rag.engine import BuildProgress
from rag.errors import CorpusError, IndexLockedError, IndexNotFoundError, ModelNotFoundError, ServerError
from rag.server import ChatService, create_app
from rag.server.middleware import is_loopback
from rag.server.process import open_port
from rag.server.uploads import UploadError, safe_name, save_upload

ROOT = Path(__file__).parent.parent
BASE = "http://127.0.0.1:7860"
FILES = {
    "warranty.md": "# Warranty\n\nThe warranty of the blue kettle lasts three years.\n\n- Keep the receipt.\n- Call.\n",
    "ar/ضمان.md": "# الضمان\n\nمدة ضمان الغلاية الزرقاء ثلاث سنوات من تاريخ الشراء.\n",
    "garden.txt": "Tomatoes want six hours of sunlight a day.\n",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A service that tests only read from."""
    folder = tmp_path_factory.mktemp("served")
    for name, text in FILES.items():
        path = folder / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    embedder = HashEmbedder()
    build_index(folder / "corpus", folder / "index", embedder=embedder)
    return ChatService(folder / "index", corpus_dirs=[folder / "corpus"], embedder=embedder)


@pytest.fixture
def service(served, tmp_path):
    """A service of the same content that a test may change."""
    for name in ("corpus", "index"):
        shutil.copytree(served.index_dir.parent / name, tmp_path / name)
    return ChatService(tmp_path / "index", corpus_dirs=[tmp_path / "corpus"], embedder=HashEmbedder())


@pytest.fixture
def empty_service(tmp_path, fake_embedder):
    return ChatService(tmp_path / "index", upload_dir=tmp_path / "uploads", embedder=fake_embedder)


async def call(service, method: str, path: str, *, loopback_only: bool = True, **options) -> httpx.Response:
    app = create_app(service=service, ui=False, loopback_only=loopback_only)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=options.pop("base_url", BASE)) as client:
        return await client.request(method, path, **options)


def request(service, method: str, path: str, **options) -> httpx.Response:
    import anyio

    return anyio.run(lambda: call(service, method, path, **options))


# -- search, ask, health --------------------------------------------------------------------------------------


def test_search_has_the_shape_of_the_terminal_and_exact_offsets(served):
    reply = request(served, "POST", "/api/search", json={"query": "blue kettle warranty", "top_k": 2})
    assert reply.status_code == 200
    body = reply.json()
    assert set(body) == {"query", "language", "hits"}
    assert (body["query"], body["language"]) == ("blue kettle warranty", "en")
    assert [hit["rank"] for hit in body["hits"]] == [1, 2]
    assert set(body["hits"][0]) == {"rank", "score", "doc_id", "title", "language", "text", "start", "end", "page"}
    assert body["hits"][0]["doc_id"] == "warranty.md"
    for hit in body["hits"]:
        text = served.retriever().snapshot().document(hit["doc_id"]).text
        assert text[hit["start"] : hit["end"]] == hit["text"]


def test_search_keeps_to_the_language_asked_for(served):
    reply = request(served, "POST", "/api/search", json={"query": "الضمان", "language": "ar"})
    assert {hit["language"] for hit in reply.json()["hits"]} == {"ar"}


def test_ask_has_the_shape_of_the_terminal_and_quotes_the_document(served):
    body = request(served, "POST", "/api/ask", json={"question": "كم مدة ضمان الغلاية الزرقاء؟"}).json()
    assert set(body) == {
        "question", "query", "language", "answer", "short", "abstained", "confidence", "citations", "model", "notice",
        "seconds",
    }  # fmt: skip
    assert body["query"] == body["question"]
    assert body["language"] == "ar"
    assert body["citations"], body
    for number, citation in enumerate(body["citations"], start=1):
        assert citation["n"] == number
        text = served.retriever().snapshot().document(citation["doc_id"]).text
        assert text[citation["start"] : citation["end"]] == citation["quote"]


@pytest.mark.parametrize("how", [{"headers": {"accept": "text/event-stream"}}, {"stream": True}])
def test_ask_streams_growing_answers_and_ends_with_the_whole_one(served, how):
    body = {"question": "How long is the warranty of the blue kettle?"}
    whole = request(served, "POST", "/api/ask", json=body).json()
    reply = request(
        served, "POST", "/api/ask", json={**body, "stream": how.get("stream", False)}, headers=how.get("headers", {})
    )
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [event.split("\n") for event in reply.text.strip().split("\n\n")]
    names = [lines[0] for lines in events]
    assert names == ["event: partial"] * (len(names) - 1) + ["event: answer"]
    last = json.loads(events[-1][1].removeprefix("data: "))
    assert {**last, "seconds": 0} == {**whole, "seconds": 0}


@pytest.mark.parametrize(
    ("before", "question", "query"),
    [
        (["How long is the warranty of the blue kettle?"], "And the lamp?", "How long is the warranty of the lamp?"),
        (["ما هي الغلاية الزرقاء؟", "كم مدة ضمانها؟"], "ومن أين تُشترى؟", "الغلاية الزرقاء"),
    ],
)
def test_a_question_with_history_is_made_to_stand_alone(served, before, question, query):
    body = {"question": question, "history": [{"question": turn, "answer": ""} for turn in before]}
    answer = request(served, "POST", "/api/ask", json=body).json()
    assert answer["question"] == question
    assert query in answer["query"]
    events = request(served, "POST", "/api/ask", json={**body, "stream": True}).text
    assert query in events


def test_health_names_the_generation_and_counts(served):
    body = request(served, "GET", "/healthz").json()
    generation = served.retriever().snapshot().generation
    assert body == {
        "status": "ok",
        "generation": generation.name,
        "documents": 3,
        "passages": len(generation.passages),
        "embedder": "hash",
    }


def test_health_says_that_an_older_index_answers_where_the_newest_is_damaged(service):
    (service.corpus_dirs[0] / "new.md").write_text("# New\n\nBeans want water.\n", encoding="utf-8")
    newest = build_index(service.corpus_dirs[0], service.index_dir, embedder=HashEmbedder()).generation
    assert "warning" not in request(service, "GET", "/healthz").json()
    passages = service.index_dir / newest / "passages.jsonl"
    passages.write_bytes(passages.read_bytes()[:-9])
    own = ChatService(service.index_dir, corpus_dirs=service.corpus_dirs, embedder=HashEmbedder())
    body = request(own, "GET", "/healthz").json()
    assert body["generation"] != newest and body["generation"] in body["warning"]
    assert str(service.index_dir) not in body["warning"]  # no login is asked for here


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/api/ask", {"question": ""}, "question"),
        ("/api/ask", {"question": " \n "}, "question"),
        ("/api/ask", {"question": "x" * 4001}, "question"),
        ("/api/ask", {"question": 7}, "question"),
        ("/api/ask", {"question": "x", "model": "y"}, "model"),
        ("/api/ask", {}, "question"),
        ("/api/ask", {"question": "x", "history": [{"question": "y"}] * 21}, "history: List should have at most 20"),
        ("/api/ask", {"question": "x", "history": [{"question": "y" * 4001}]}, "history.0.question"),
        ("/api/ask", {"question": "x", "history": [{"question": "y", "answer": "z" * 8001}]}, "history.0.answer"),
        ("/api/ask", {"question": "x", "history": ["y"]}, "history.0"),
        ("/api/search", {"query": "x", "top_k": 0}, "top_k"),
        ("/api/search", {"query": "x", "k": 3}, "k"),
        ("/api/search", {"query": "x", "top_k": "3"}, "top_k"),
        ("/api/search", {"query": "x", "top_k": 101}, "top_k"),
        ("/api/search", {"query": "x", "language": "arabic!"}, "language"),
        ("/api/search", ["x"], "valid"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong_and_the_remedy(served, path, body, said):
    reply = request(served, "POST", path, json=body)
    assert reply.status_code == 422
    error = reply.json()["error"]
    assert said in error["message"]
    assert "Send a JSON object with the fields" in error["remedy"]


def test_a_question_of_exactly_the_limit_is_answered(served):
    assert request(served, "POST", "/api/ask", json={"question": "x" * 4000}).status_code == 200


def test_a_body_that_is_no_json_is_refused(served):
    reply = request(served, "POST", "/api/ask", content=b"{", headers={"content-type": "application/json"})
    assert reply.status_code == 422
    assert "error" in reply.json()


def test_an_unknown_route_says_what_there_is(served):
    reply = request(served, "GET", "/api/nothing")
    assert reply.status_code == 404
    assert "/api/search" in reply.json()["error"]["remedy"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/healthz", None),
        ("POST", "/api/ask", {"question": "x"}),
        ("POST", "/api/ask", {"question": "x", "stream": True}),
        ("POST", "/api/search", {"query": "x"}),
    ],
)
def test_without_an_index_the_api_says_how_to_build_one(empty_service, method, path, body):
    reply = request(empty_service, method, path, json=body)
    assert reply.status_code == 503
    error = reply.json()["error"]
    assert error["type"] == "IndexNotFoundError"
    assert "rag build" in error["remedy"]


# -- who may ask ----------------------------------------------------------------------------------------------


def test_every_answer_carries_the_security_headers(served):
    for reply in (request(served, "GET", "/healthz"), request(served, "GET", "/nothing")):
        assert "default-src 'self'" in reply.headers["content-security-policy"]
        assert "form-action 'self'" in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert not any(name.startswith("access-control-") for name in reply.headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost@evil.example"},
    ],
)
def test_other_sites_are_refused(served, headers):
    reply = request(served, "POST", "/api/search", json={"query": "kettle"}, headers=headers)
    assert reply.status_code == 403
    assert set(reply.json()["error"]) == {"type", "message", "remedy"}


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"])
def test_the_page_of_this_machine_is_served(served, host):
    reply = request(
        served, "POST", "/api/search", json={"query": "kettle"}, headers={"host": host, "origin": f"http://{host}"}
    )
    assert reply.status_code == 200


def test_served_to_others_any_host_is_right_but_no_other_origin(served):
    options = {"json": {"query": "kettle"}, "loopback_only": False, "base_url": "http://docs.example"}
    assert request(served, "POST", "/api/search", **options).status_code == 200
    reply = request(served, "POST", "/api/search", headers={"origin": "https://evil.example"}, **options)
    assert reply.status_code == 403


@pytest.mark.parametrize(
    "path", ["/gradio_api/file=http://127.0.0.1/x", "/gradio_api/file=https:/x", "/proxy=http://x"]
)
def test_no_address_is_fetched_for_others(served, path):
    assert request(served, "GET", path).status_code == 403


def test_a_body_above_the_limit_is_refused(served):
    reply = request(served, "POST", "/api/ask", json={"question": "x" * 70_000})
    assert reply.status_code == 413


def test_a_body_above_the_limit_without_its_length_is_refused(served):
    async def chunks():
        for _ in range(70):
            yield b" " * 1024
        yield b'{"question": "short"}'

    reply = request(served, "POST", "/api/ask", content=chunks(), headers={"content-type": "application/json"})
    assert reply.status_code in {413, 422}


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True), ("", False)]
    + [("0.0.0.0", False), ("10.0.0.1", False), ("localhost.evil.example", False), ("127.0.0.1.nip.io", False)],
)
def test_loopback_is_told_from_other_hosts(host, expected):
    assert is_loopback(host) is expected


# -- uploads --------------------------------------------------------------------------------------------------

SUFFIXES = frozenset({".md", ".txt"})


def save(folder: Path, name: str, data: bytes = b"text", max_bytes: int = 100):
    return save_upload(folder, name, data, suffixes=SUFFIXES, max_bytes=max_bytes)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("report.MD", "report.md"),
        ("../../etc/passwd.txt", "passwd.txt"),
        ("..\\..\\boot.txt", "boot.txt"),
        ("/abs/olute.txt", "olute.txt"),
        (".hidden.txt", "hidden.txt"),
        ("تقرير  الربع\u202e.txt", "تقرير الربع.txt"),
        ("a\x00b\nc.txt", "ab c.txt"),
        ('q<u>o:t"e.txt', "quote.txt"),
        ("cafe\u0301.txt", "café.txt"),
        ("x" * 400 + ".txt", "x" * 176 + ".txt"),
        ("م" * 200 + ".txt", "م" * 88 + ".txt"),
    ],
)
def test_a_name_stays_in_its_folder_and_reads_as_written(tmp_path, name, kept):
    assert safe_name(name) == kept
    saved = save(tmp_path / "uploads", name)
    assert saved.path == tmp_path / "uploads" / kept
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [kept]


@pytest.mark.parametrize("name", ["", "..", "/", ".txt", "con.txt", "NUL.md", "\u202e.txt", "   .txt"])
def test_a_name_of_nothing_is_refused(tmp_path, name):
    with pytest.raises(UploadError) as caught:
        save(tmp_path, name)
    assert caught.value.code in {"name", "type"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [("a.exe", b"x", "type"), ("a", b"x", "type"), ("a.txt", b"", "empty"), ("a.txt", b"x" * 101, "large")],
)
def test_what_cannot_be_kept_is_refused_with_a_reason(tmp_path, name, data, code):
    with pytest.raises(UploadError) as caught:
        save(tmp_path, name, data)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_exactly_the_limit_is_kept(tmp_path):
    assert save(tmp_path, "a.txt", b"x" * 100).path.read_bytes() == b"x" * 100


def test_no_upload_overwrites_another_document(tmp_path):
    first = save(tmp_path, "plan.md", b"one")
    second = save(tmp_path, "Plan.md", b"two")
    third = save(tmp_path, "plan.md", b"three")
    again = save(tmp_path, "plan.md", b"two")
    assert [item.status for item in (first, second, third, again)] == ["added", "renamed", "renamed", "unchanged"]
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"one", b"three", b"two"]
    assert again.path == second.path


def test_an_upload_follows_no_link_out_of_its_folder(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "a.txt").symlink_to(outside)
    assert save(tmp_path / "uploads", "a.txt", b"theirs").name == "a (2).txt"
    assert outside.read_text() == "mine"
    assert save(tmp_path / "uploads", "a.txt", b"mine").name == "a (3).txt"  # the link is not taken for the file


# -- rebuild --------------------------------------------------------------------------------------------------


def test_an_uploaded_document_answers_after_the_rebuild_and_the_rest_stays(service):
    assert len(service.documents()) == 3
    service.save_upload("رمز.md", b"# Zebra\n\nThe zebra code is seventeen.")
    events = list(service.rebuild_stream())
    assert {event.stage for event in events[:-1]} <= {"load", "embed", "write"}
    report = events[-1]
    assert isinstance(report, BuildReport)
    assert (report.added, report.unchanged, report.removed) == (1, 3, 0)
    assert not any(isinstance(event, BuildReport) for event in events[:-1])

    from time import monotonic, sleep

    until = monotonic() + 2.5
    while len(service.documents()) == 3 and monotonic() < until:
        sleep(0.05)
    assert [row.doc_id for row in service.documents()] == ["ar/ضمان.md", "garden.txt", "uploads/رمز.md", "warranty.md"]


def test_uploads_outside_of_the_corpus_are_read_beside_it(tmp_path, service, fake_embedder):
    other = ChatService(
        tmp_path / "index", corpus_dirs=service.corpus_dirs, upload_dir=tmp_path / "new", embedder=fake_embedder
    )
    assert other.sources() == list(service.corpus_dirs)
    other.save_upload("a.txt", b"The answer is forty-two, as everybody knows by now.")
    assert other.sources() == [*service.corpus_dirs, tmp_path / "new"]
    assert other.rebuild().documents == 4


def test_the_first_rebuild_brings_the_index_that_was_missing(empty_service):
    with pytest.raises(IndexNotFoundError):
        empty_service.health()
    empty_service.save_upload("a.txt", b"The answer is forty-two, as everybody knows by now.")
    assert empty_service.rebuild().added == 1
    assert empty_service.health()["documents"] == 1


def test_a_rebuild_without_documents_says_so(empty_service):
    with pytest.raises(CorpusError, match="add some"):
        list(empty_service.rebuild_stream())


def test_a_second_rebuild_waits_for_nobody_and_says_so(service):
    seen: list[str] = []

    def progress(event: BuildProgress) -> None:
        if not seen:
            with pytest.raises(IndexLockedError) as caught:
                service.rebuild()
            seen.append(str(caught.value))

    service.rebuild(progress)
    assert "wait" in seen[0]
    assert service.rebuild().unchanged == 3


def test_a_citation_opens_at_its_quote_and_never_shows_other_text_as_it(service):
    from rag.views import text_digest

    text = service.retriever().snapshot().document("warranty.md").text
    start = text.index("three years")
    view = service.document_view("warranty.md", start, start + 11, digest=text_digest("three years"))
    assert (view.before + view.quote + view.after, view.quote) == (text, "three years")
    assert view.heading == ("Warranty",)
    moved = service.document_view("warranty.md", start - 3, start + 8, digest=text_digest("three years"))
    assert moved.is_changed
    assert (moved.quote, moved.before + moved.after) == ("", text)
    assert service.document_view("nothing.md", 0, 1, digest="") is None


# -- the process ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_told_with_the_remedy():
    with taken_port() as port, pytest.raises(ServerError, match=f"port {port} is in use; choose another with --port"):
        open_port("127.0.0.1", port)


def test_an_unknown_host_is_told_with_the_remedy():
    with pytest.raises(ServerError, match="--host"):
        open_port("no.such.host.invalid", 0)


def test_app_says_that_its_port_is_in_use_and_exits_with_1(tmp_path):
    with taken_port() as port:
        done = subprocess.run(
            [sys.executable, ROOT / "app.py", "--port", str(port), "--index-dir", tmp_path / "index"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr.strip() == f"error: port {port} is in use; choose another with --port"
    assert done.stdout == ""


def test_readers_from_elsewhere_name_no_language_model(tmp_path):
    service = create_app(tmp_path, ui=False, loopback_only=False).state.service
    with pytest.raises(ModelNotFoundError, match="is not open here.*--model"):
        service.open_model("openai:http://10.0.0.1/v1#x")


def test_pages_that_were_opened_long_ago_are_forgotten(tmp_path):
    """Gradio copies the page's configuration for each that asks, by its own bound for ten thousand of them."""
    ask = """
from conftest import HashEmbedder
from rag.server import create_app
app = create_app("index", embedder=HashEmbedder())
(holder,) = [route.app.state_holder for route in app.routes if hasattr(getattr(route, "app", None), "state_holder")]
for number in range(300):
    holder[str(number)]
print(len(holder.session_data))
"""
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True, env=here
    )
    assert int(done.stdout.split()[-1]) <= 129


# Sixteen threads that allocate at once; what glibc says of its pools is a <heap> each.
POOLS = """
import ctypes, os, sys, threading
from rag.memory import bound_pools
if sys.argv[1] == "bound":
    bound_pools()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.fdopen.restype = ctypes.c_void_p
together = threading.Barrier(16)
def allocate():
    together.wait()
    for _ in range(100):
        libc.malloc(ctypes.c_size_t(1000))
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
stream = libc.fdopen(1, b"w")
libc.malloc_info(0, ctypes.c_void_p(stream))
libc.fflush(ctypes.c_void_p(stream))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="pools of glibc")
@pytest.mark.parametrize("variable", ["", "12"])
def test_the_threads_of_a_server_share_their_pools_of_memory(variable):
    def pools(what):
        environment = {**os.environ, "MALLOC_ARENA_MAX": variable} if variable else dict(os.environ)
        done = subprocess.run(
            [sys.executable, "-c", POOLS, what], capture_output=True, text=True, check=True, env=environment
        )
        return done.stdout.count("<heap nr=")

    free, bound = pools("free"), pools("bound")
    if not 2 < free:
        pytest.skip("another C library, or threads that never met")
    assert bound == (free if variable else 2)


REMEMBERED = """
from conftest import HashEmbedder
from rag.server import create_app
app = create_app("index", corpus_dirs=["."], embedder=HashEmbedder())
(blocks,) = {route.app.blocks for route in app.routes if hasattr(getattr(route, "app", None), "blocks")}
streams = blocks._queue.pending_messages_per_session
for number in range(600):
    streams[str(number)] = None
print(blocks.state_session_capacity, len(streams), "599" in streams)
"""


def test_what_the_page_remembers_of_its_readers_is_bounded(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", REMEMBERED], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.stdout.split() == ["128", "512", "True"], done.stderr
