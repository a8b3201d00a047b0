"""What stands in front of the API: keys, other sites, limits; and how every refusal is said."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import anyio
import httpx
import pytest
from conftest import HashEmbedder
from garden import server
from people import SARA, write_users
from starlette.testclient import TestClient

from rag.builder import build_index
from rag.server import ChatService, create_app
from rag.server.keys import KeyFileError
from rag.server.limits import in_time
from rag.server.problems import QuestionTimeoutError

BASE = "http://127.0.0.1:7860"
KEY = "0123456789abcdef-of-the-first"
OTHER_KEY = "0123456789abcdef-of-the-second"
BEARER = {"authorization": f"Bearer {KEY}"}
SITE = "https://intranet.example"
GUARDED = ["/api/documents", "/v1/models", "/metrics", "/api/openapi.json", "/mcp", "/api/nothing"]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guards")
    (folder / "corpus").mkdir()
    (folder / "corpus" / "garden.md").write_text("# Garden\n\nTomatoes want six hours of sunlight a day.\n", "utf-8")
    embedder = HashEmbedder()
    build_index(folder / "corpus", folder / "index", embedder=embedder)
    return ChatService(folder / "index", corpus_dirs=[folder / "corpus"], embedder=embedder)


def visit(service, **options) -> TestClient:
    return TestClient(create_app(service=service, ui=False, **options), base_url=BASE, raise_server_exceptions=False)


# -- keys -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GUARDED)
def test_with_a_key_the_api_opens_to_it_and_to_nothing_else(service, path):
    client = visit(service, api_key=KEY)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": KEY}, {"authorization": f"Basic {KEY}"}):
        reply = client.get(path, headers=headers)
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, 'Bearer realm="Sanad"')
        assert KEY not in reply.text
    assert client.get(path, headers=BEARER).status_code != 401
    assert client.get("/healthz").status_code == 200


def test_a_file_holds_several_keys_so_that_one_can_follow_another(service, tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"# of the crawler\n{KEY}\n\n{OTHER_KEY}\n")
    path.chmod(0o600)
    client = visit(service, api_key_file=path)
    for key, status in ((KEY, 200), (OTHER_KEY, 200), ("# of the crawler", 401), ("", 401)):
        assert client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == status


@pytest.mark.parametrize(
    "text", ["", "# none\n", "short\n", "مفتاح طويل بما يكفي\n", "two words that are long enough\n"]
)
def test_a_file_without_a_good_key_keeps_the_server_from_starting(service, tmp_path, text):
    (tmp_path / "keys").write_text(text, "utf-8")
    with pytest.raises(KeyFileError, match="openssl rand") as caught:
        create_app(service=service, ui=False, api_key_file=tmp_path / "keys")
    assert not text.strip() or text.strip() not in str(caught.value)
    with pytest.raises(KeyFileError, match="cannot be read"):
        create_app(service=service, ui=False, api_key_file=tmp_path / "nothing")


def test_with_a_login_too_either_opens_the_api_and_the_page_keeps_its_login(service, tmp_path):
    client = visit(service, api_key=KEY, auth_file=write_users(tmp_path / "users", SARA))
    assert client.get("/api/documents", headers=BEARER).status_code == 200
    assert client.get("/api/documents", auth=SARA).status_code == 200
    assert client.get("/api/documents", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/", headers=BEARER).status_code == 401
    assert client.get("/quality", headers=BEARER).status_code == 401


def test_a_page_without_a_login_is_not_served_beside_an_api_with_a_key(service, caplog):
    client = TestClient(create_app(service=service, api_key=KEY), base_url=BASE)
    assert client.get("/").status_code == 404
    assert "--auth-file" in caplog.text


# -- other sites ----------------------------------------------------------------------------------------------


def test_another_site_is_let_in_only_where_it_was_named(service):
    headers = {"origin": SITE, "sec-fetch-site": "cross-site"}
    asked = {"json": {"query": "tomatoes"}, "headers": headers}
    assert visit(service).post("/api/search", **asked).status_code == 403
    client = visit(service, cors_origins=[SITE])
    reply = client.post("/api/search", **asked)
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, SITE)
    assert "access-control-allow-credentials" not in reply.headers
    assert "X-Request-ID" in reply.headers["access-control-expose-headers"]
    evil = {**headers, "origin": "https://evil.example"}
    assert client.post("/api/search", json={"query": "x"}, headers=evil).status_code == 403
    assert client.get("/quality", headers=headers).status_code == 403  # the page is no part of the API


def test_a_browser_may_ask_first_without_a_key(service):
    client = visit(service, cors_origins=[SITE], api_key=KEY)
    headers = {"origin": SITE, "access-control-request-method": "POST", "access-control-request-headers": "x-any"}
    reply = client.options("/v1/chat/completions", headers=headers)
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, SITE)
    assert (
        client.options("/v1/chat/completions", headers={**headers, "origin": "https://evil.example"}).status_code == 403
    )
    assert client.get("/v1/models", headers={"origin": SITE}).status_code == 401


@pytest.mark.parametrize("origin", ["intranet.example", "https://intranet.example/page", "https://", "ftp://x"])
def test_what_is_no_origin_is_refused_at_the_start(service, origin):
    with pytest.raises(ValueError, match="is no origin"):
        create_app(service=service, ui=False, cors_origins=[origin])


# -- limits ---------------------------------------------------------------------------------------------------


class SlowEmbedder(HashEmbedder):
    """Embeds a query only once it may; says when it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.waits = threading.Event(), threading.Event()
        self.may.set()

    def encode_queries(self, queries):
        self.waits.set()
        assert self.may.wait(30)
        return super().encode_queries(queries)


@pytest.fixture
def slow(service):
    return ChatService(service.index_dir, corpus_dirs=service.corpus_dirs, embedder=SlowEmbedder())


def test_more_requests_than_the_server_takes_at_once_are_sent_away_for_a_moment(slow):
    app = create_app(service=slow, ui=False, max_concurrent=1)
    embedder = slow.embedder()
    slow.retriever()
    embedder.may.clear()
    embedder.waits.clear()

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE) as client:
            async with anyio.create_task_group() as tasks:
                replies = []

                async def first() -> None:
                    replies.append(await client.post("/api/search", json={"query": "tomatoes"}))

                tasks.start_soon(first)
                while not embedder.waits.is_set():
                    await anyio.sleep(0.01)
                for path, body in (
                    ("/api/ask", {"question": "x"}),
                    ("/v1/embeddings", {"model": "sanad", "input": "x"}),
                ):
                    reply = await client.post(path, json=body)
                    assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
                    assert reply.json()["error"]["type"] in ("BusyError", "server_error")
                assert (await client.get("/healthz")).status_code == 200
                assert (await client.get("/api/documents")).status_code == 200
                embedder.may.set()
            assert replies[0].status_code == 200
            assert (await client.post("/api/search", json={"query": "tomatoes"})).status_code == 200

    anyio.run(run)


def test_an_answer_that_was_given_up_counts_until_its_thread_has_ended(slow):
    app = create_app(service=slow, ui=False, max_concurrent=1, question_timeout_s=0.05)
    embedder = slow.embedder()
    slow.chatbot()
    embedder.may.clear()

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE) as client:
            try:
                assert (await client.post("/api/ask", json={"question": "tomatoes"})).status_code == 504
                assert (await client.post("/api/ask", json={"question": "tomatoes"})).status_code == 503
            finally:
                embedder.may.set()
            with anyio.fail_after(10):
                while (await client.post("/api/search", json={"query": "tomatoes"})).status_code == 503:
                    await anyio.sleep(0.01)

    anyio.run(run)


@pytest.mark.parametrize("path", ["/api/ask", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_takes_too_long_is_given_up(slow, path, stream):
    client = visit(slow, question_timeout_s=0.05)
    slow.chatbot()
    slow.embedder().may.clear()
    body = {"question": "x", "stream": stream, "model": "sanad", "messages": [{"role": "user", "content": "x"}]}
    body = {key: body[key] for key in (("question",) if path == "/api/ask" else ("model", "messages"))} | {
        "stream": stream
    }
    try:
        reply = client.post(path, json=body)
    finally:
        slow.embedder().may.set()
    assert "took longer than 0.05 seconds" in reply.text
    assert reply.status_code == (200 if stream else 504)
    assert client.post("/api/search", json={"query": "x"}).status_code == 200


def test_what_nobody_waits_for_ends_at_its_next_step():
    ended = threading.Event()

    def steps():
        try:
            yield 1
            threading.Event().wait(0.1)
            yield 2
            raise AssertionError("nobody asked for more")
        finally:
            ended.set()

    async def run() -> None:
        seen, held = [], steps()  # held here, so that nothing but a close ends it
        with pytest.raises(QuestionTimeoutError):
            async for step in in_time(held, 0.05):
                seen.append(step)
        assert seen == [1]
        await anyio.to_thread.run_sync(ended.wait, 10)
        assert ended.is_set()

    anyio.run(run)


def test_a_long_conversation_may_be_sent_but_no_endless_one(service):
    client = visit(service)
    messages = [{"role": "user", "content": "x" * 3000}, {"role": "assistant", "content": "y" * 3000}] * 50
    messages.append({"role": "user", "content": "tomatoes"})
    body = {"model": "sanad", "messages": messages}
    assert client.post("/v1/chat/completions", json=body).status_code == 200
    reply = client.post("/v1/chat/completions", json={**body, "messages": messages * 5})
    assert reply.status_code == 413
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert client.post("/api/ask", json={"question": "x" * 70_000}).status_code == 413


@pytest.mark.parametrize("path", ["/api/ask", "/api/eval", "/v1/chat/completions", "/mcp", "/nothing"])
def test_a_body_that_grows_above_the_limit_is_refused_and_never_taken_for_a_whole_one(service, path):
    chunk = b'{"question": "tomatoes"}' + b" " * 1024 * 1024  # a whole request, were it cut off here

    async def chunks():
        for _ in range(17):
            yield chunk

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(service=service, ui=False))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
            return await client.post(path, content=chunks(), headers=headers)

    reply = anyio.run(run)
    assert reply.status_code == (404 if path == "/nothing" else 413)  # which reads no body
    assert "too large" in reply.text or path == "/nothing"


def test_the_page_takes_no_files_and_no_endless_bodies(service):
    client = visit(service)  # without the page what is let through is not found
    files = [("files", (f"{number}.txt", b"x")) for number in range(3)]
    for path in ("/gradio_api/upload", "/gradio_api/process_recording"):
        assert client.post(path, files=files).status_code == 403
    large = client.post("/gradio_api/queue/join", content=b" " * (16 * 1024 * 1024 + 1))
    assert (large.status_code, large.json()["title"]) == (413, "Too large error")
    assert client.post("/gradio_api/queue/join", content=b" " * 1024 * 1024).status_code == 404


@pytest.mark.parametrize(
    "line", ["[" * 200_000, '{"id": "\\ud800", "question": "x", "lang": "en", "answerable": false}']
)
def test_a_line_that_is_no_good_json_is_no_bug(service, line):
    reply = visit(service).post("/api/eval", content=line, headers={"content-type": "application/jsonl"})
    assert reply.status_code == 422
    assert "a line is no JSON" in reply.json()["detail"]


def test_the_place_in_broken_json_is_no_field(service):
    client = visit(service)
    headers = {"content-type": "application/json"}
    error = client.post("/v1/chat/completions", content=b'{"model":,}', headers=headers).json()["error"]
    assert (error["message"], error["param"]) == ("JSON decode error", None)
    assert client.post("/api/ask", content=b'{"model":,}', headers=headers).json()["detail"] == "JSON decode error"


def test_without_an_index_the_problem_names_one_remedy(tmp_path):
    body = visit(ChatService(tmp_path / "index", embedder=HashEmbedder())).get("/healthz").json()
    assert body["detail"].endswith(body["error"]["remedy"])


@pytest.mark.parametrize("host", ["[", "[::1", "127.0.0.1:port", "", "a b"])
def test_a_host_that_is_none_is_refused(service, host):
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(service=service, ui=False))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            return await client.get("/healthz", headers={"host": host})

    assert anyio.run(run).status_code in (200 if host.startswith("127.0.0.1") else 403,)


# -- problems -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "kind"),
    [
        ("POST", "/api/ask", {"json": {}}, 422, "urn:sanad:problem:bad-request"),
        ("GET", "/api/nothing", {}, 404, "about:blank"),
        ("PUT", "/api/ask", {}, 405, "about:blank"),
        ("GET", "/healthz", {"headers": {"origin": "https://evil.example"}}, 403, "urn:sanad:problem:forbidden"),
        ("POST", "/api/ask", {"content": b"x" * 70_000}, 413, "urn:sanad:problem:too-large"),
        ("DELETE", "/api/build", {}, 409, "urn:sanad:problem:not-rebuilding"),
        ("DELETE", "/api/documents/no%20such.md", {}, 404, "urn:sanad:problem:upload"),
        ("GET", "/api/documents/page?doc_id=x.pdf&page=1", {}, 404, "urn:sanad:problem:corpus"),
    ],
)
def test_every_error_is_a_problem_that_keeps_the_older_form(service, method, path, options, status, kind):
    reply = visit(service).request(method, path, **options)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
    body = reply.json()
    assert (body["type"], body["status"]) == (kind, status)
    assert body["instance"].startswith("/") and body["title"] and body["detail"] == body["error"]["message"]
    assert body["error"]["remedy"] and body["error"]["type"]
    assert body["request_id"] == reply.headers["x-request-id"]


def test_a_bug_is_a_problem_too_and_shows_no_traceback(service, monkeypatch):
    def fail() -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(service, "health", fail)
    reply = visit(service).get("/healthz")
    assert (reply.status_code, reply.json()["title"]) == (500, "Server fault")
    assert "secret" not in reply.text and "Traceback" not in reply.text
    assert reply.headers["x-request-id"] == reply.json()["request_id"]
    assert "default-src 'self'" in reply.headers["content-security-policy"]


# -- ids and the log ------------------------------------------------------------------------------------------


def test_an_id_that_is_sane_is_kept_and_any_other_replaced(service):
    client = visit(service)
    assert client.get("/healthz", headers={"x-request-id": "trace-1:a.b_c"}).headers["x-request-id"] == "trace-1:a.b_c"
    ids = [client.get("/healthz", headers={"x-request-id": given}).headers["x-request-id"]
           for given in ("", "x" * 65, "a b", "a\tb", "-x", "<script>", b"\xe9")]  # fmt: skip
    assert len(set(ids)) == len(ids) and all(len(own) == 32 and own.isalnum() for own in ids)


def test_the_log_has_one_line_a_request_and_no_question_unless_asked_for(service, caplog):
    caplog.set_level(logging.INFO)
    body = {"json": {"question": "Who waters the tomatoes?"}, "headers": {"x-request-id": "one"}}
    visit(service).post("/api/ask?question=secretly", **body)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "sanad.access"]
    assert " testclient - POST /api/ask 200 " in line and line.endswith(" id=one")
    said = "".join(record.getMessage() for record in caplog.records if record.name.startswith(("rag", "sanad")))
    assert "tomatoes" not in said and "secretly" not in said
    caplog.clear()
    visit(service, log_questions=True).post("/api/ask", **body)
    lines = [record.getMessage() for record in caplog.records if record.name == "sanad.access"]
    assert lines[0].startswith('question="Who waters the tomatoes?" ') and lines[0].endswith(" id=one")
    assert len(lines) == 2


def test_a_path_cannot_add_a_line_to_the_log(service, caplog):
    caplog.set_level(logging.INFO)
    visit(service).get("/api/documents/a%0Ab%20c")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "sanad.access"]
    assert "\n" not in line and "/api/documents/a%0Ab%20c" in line


# -- metrics --------------------------------------------------------------------------------------------------


def test_the_metrics_count_by_route_and_outcome_and_name_nothing_that_was_asked(service):
    own = ChatService(service.index_dir, corpus_dirs=service.corpus_dirs, embedder=HashEmbedder())
    client = visit(own)
    client.post("/api/ask", json={"question": "How many hours of sunlight do tomatoes want?"})
    client.post("/api/ask", json={"question": "zebra"})
    client.get("/v1/models/secret-model")
    client.get("/api/secret-path")
    client.request("SECRET", "/healthz")
    reply = client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = reply.text
    assert 'sanad_http_requests_total{method="POST",route="/api/ask",status="200"} 2.0' in text
    assert 'sanad_http_requests_total{method="GET",route="/v1/models/{model_id:path}",status="404"} 1.0' in text
    assert 'sanad_http_requests_total{method="GET",route="unknown",status="404"} 1.0' in text
    assert 'sanad_http_request_duration_seconds_count{method="POST",route="/api/ask"} 2.0' in text
    assert "sanad_index_generation 1.0" in text and "sanad_index_passages 1.0" in text
    counted = sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("sanad_questions_total{"))
    assert counted == 2
    assert not any(word in text for word in ("secret", "SECRET", "zebra", "tomatoes"))


def test_a_build_is_counted(service, tmp_path):
    own = ChatService(tmp_path / "index", corpus_dirs=service.corpus_dirs, embedder=HashEmbedder())
    client = visit(own)
    assert "sanad_index_generation 0.0" in client.get("/metrics").text
    client.post("/api/build")
    text = client.get("/metrics").text
    assert 'sanad_builds_total{outcome="done"} 1.0' in text


# -- the process ----------------------------------------------------------------------------------------------

SERVE = """
from conftest import HashEmbedder
from rag.server import serve
ready = lambda address: print(f"answers on {address}", flush=True)
serve(port=0, embedder=HashEmbedder(), corpus_dirs=["corpus"], ui=False, on_ready=ready)
"""


def test_the_process_takes_its_key_from_the_environment_and_logs_a_line_a_request(tmp_path):
    (tmp_path / "corpus").mkdir()
    here = Path(__file__).parent
    path = f"{here.parent}:{here}"
    with server(tmp_path, "-c", SERVE, PYTHONPATH=path, SANAD_SERVER_KEY=KEY) as address:
        assert httpx.get(f"{address}/v1/models").status_code == 401
        headers = {**BEARER, "x-request-id": "trace-7"}
        assert httpx.get(f"{address}/v1/models", headers=headers).status_code == 200
        question = {"question": "Who waters the tomatoes?"}
        assert httpx.post(f"{address}/api/ask", json=question, headers=headers).status_code == 503
        log = (tmp_path / "log").read_text("utf-8")
        until = time.monotonic() + 20
        while log.count("trace-7") < 3 and time.monotonic() < until:  # the line comes after the reply
            time.sleep(0.05)
            log = (tmp_path / "log").read_text("utf-8")
    lines = [line for line in log.splitlines() if "trace-7" in line]
    assert "127.0.0.1 api-key GET /v1/models 200 " in lines[0]
    assert lines[1].startswith("[trace-7] WARNING: /api/ask: ")  # every line of a request has its id
    assert "POST /api/ask 503 " in lines[2] and lines[2].endswith(" id=trace-7")
    assert "tomatoes" not in log
