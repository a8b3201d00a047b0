"""What a search and a question can be limited to over HTTP, and measuring the answers there."""

from __future__ import annotations

import json
import threading
import time

import anyio
import httpx
import pytest
from conftest import HashEmbedder
from starlette.testclient import TestClient

from rag.builder import build_index
from rag.server import ChatService, create_app

BASE = "http://127.0.0.1:7860"
FILES = {
    "kettles/blue.md": "---\nauthor: Sara\n---\n# Blue kettle\n\nThe warranty of the blue kettle lasts three years.\n",
    "kettles/old/red.md": "---\nauthor: Muna\n---\n# Red kettle\n\nThe warranty of the red kettle lasts one year.\n",
    "kettles/old/copy.md": "# Red kettle\n\nThe warranty of the red kettle lasts one year, and no more.\n",
    "ar/ضمان.md": "# الضمان\n\nمدة ضمان الغلاية الزرقاء ثلاث سنوات من تاريخ الشراء.\n",
}
QUESTIONS = [
    {"id": "1", "question": "How long is the warranty of the blue kettle?", "lang": "en", "doc_id": "kettles/blue.md",
     "evidence": "lasts three years"},
    {"question": "What is the capital of Mongolia?", "lang": "en", "answerable": False, "note": "far away"},
]  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filters")
    for name, text in FILES.items():
        path = folder / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    embedder = HashEmbedder()
    build_index(folder / "corpus", folder / "index", embedder=embedder)
    return ChatService(folder / "index", corpus_dirs=[folder / "corpus"], embedder=embedder)


@pytest.fixture(scope="module")
def client(service):
    return TestClient(create_app(service=service, ui=False), base_url=BASE)


def found(client, **filters) -> set[str]:
    reply = client.post("/api/search", json={"query": "warranty of the kettle", "top_k": 20, **filters})
    assert reply.status_code == 200, reply.text
    return {hit["doc_id"] for hit in reply.json()["hits"]}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, set(FILES)),
        ({"language": "ar"}, {"ar/ضمان.md"}),
        ({"collection": "kettles"}, {"kettles/blue.md", "kettles/old/red.md", "kettles/old/copy.md"}),
        ({"collection": "kettles/old/"}, {"kettles/old/red.md", "kettles/old/copy.md"}),
        ({"doc_ids": ["kettles/blue.md", "nothing.md"]}, {"kettles/blue.md"}),
        ({"doc_ids": ["kettles/blue.md"], "collection": "ar"}, set()),
        ({"metadata": {"author": "muna"}}, {"kettles/old/red.md"}),
        ({"metadata": {"author": "nobody"}}, set()),
        ({"language": None, "doc_ids": None, "collection": None, "metadata": None}, set(FILES)),
    ],
)
def test_a_search_keeps_to_the_documents_asked_for(client, filters, expected):
    assert found(client, **filters) == expected


def test_diversity_puts_a_repetition_behind_something_else(client):
    def order(diversity: float) -> list[str]:
        body = {"query": "How long is the warranty of the red kettle?", "language": "en", "diversity": diversity}
        return [hit["doc_id"] for hit in client.post("/api/search", json=body).json()["hits"]]

    assert set(order(0)[:2]) == {"kettles/old/red.md", "kettles/old/copy.md"}
    assert set(order(1)[:2]) != {"kettles/old/red.md", "kettles/old/copy.md"}


def test_a_question_keeps_to_its_scope(client):
    def cited(**scope) -> set[str]:
        body = {"question": "How long is the warranty of the kettle?", "scope": scope}
        answer = client.post("/api/ask", json=body).json()
        streamed = client.post("/api/ask", json={**body, "stream": True}).text
        assert json.loads(streamed.strip().split("data: ")[-1])["citations"] == answer["citations"]
        return {citation["doc_id"] for citation in answer["citations"]}

    assert cited(collection="kettles/old") <= {"kettles/old/red.md", "kettles/old/copy.md"}
    assert cited(doc_ids=["kettles/blue.md"]) == {"kettles/blue.md"}
    assert cited(metadata={"author": "Sara"}) == {"kettles/blue.md"}
    assert cited(doc_ids=["nothing.md"]) == set()


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("search", "language", "ar\n"), ("search", "doc_ids", []), ("search", "doc_ids", "a.md"),
        ("search", "collection", "../x"), ("search", "collection", ""), ("search", "metadata", {"author": " "}),
        ("search", "metadata", {"author": 5}), ("search", "diversity", 1.5), ("search", "diversity", "1"),
        ("ask", "scope", {"folder": "x"}), ("ask", "scope", "kettles"), ("ask", "model", "openai:http://10.0.0.1/v1#x"),
    ],
)  # fmt: skip
def test_a_filter_that_is_none_is_named(client, path, field, value):
    text = {"search": {"query": "kettle"}, "ask": {"question": "kettle?"}}[path]
    reply = client.post(f"/api/{path}", json={**text, field: value})
    assert reply.status_code == 422 and reply.json()["detail"].startswith(field)


def test_a_question_may_name_quotes_as_what_answers(client):
    body = {"question": "How long is the warranty of the blue kettle?", "model": ""}
    assert client.post("/api/ask", json=body).json()["model"] == ""


# -- eval -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/json", "application/jsonl", "application/x-ndjson; charset=utf-8"])
def test_the_answers_are_measured_on_the_questions_that_are_sent(client, kind):
    lines = "\n".join(json.dumps(question, ensure_ascii=False) for question in QUESTIONS) + "\n\n"
    body = json.dumps({"questions": QUESTIONS}) if kind.endswith("/json") else lines
    reply = client.post("/api/eval", content=body.encode(), headers={"content-type": kind})
    assert reply.status_code == 200, reply.text
    report = reply.json()
    assert report["format"] == "sanad-evaluation" and report["overall"]["questions"] == 2
    assert set(report["pairs"]) == {"en→en", "en→none"}
    assert [row["id"] for row in report["rows"]] == ["1", "2"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"questions": []}, "questions"),
        ({"questions": QUESTIONS[1:] * 201}, "at most 200"),
        ({"questions": [{"question": "x"}]}, "questions.0.lang"),
        (
            {"questions": [{**QUESTIONS[0], "doc_id": "nothing.md"}]},
            "question 1: document 'nothing.md' is not in the index",
        ),
        ({"questions": [{**QUESTIONS[0], "evidence": "not there"}]}, "the evidence is not in kettles/blue.md"),
        ({"questions": [{"question": "x", "lang": "en"}]}, "answerable"),
        ({"questions": QUESTIONS[:1] * 2}, "stands twice"),
        ([], "should be an object"),
    ],
)
def test_questions_that_cannot_be_judged_are_named(client, body, said):
    reply = client.post("/api/eval", json=body)
    assert reply.status_code == 422 and said in reply.json()["detail"], reply.text
    assert "application/jsonl" in reply.json()["error"]["remedy"]


def test_a_line_that_is_no_json_is_named(client):
    reply = client.post("/api/eval", content=b"{", headers={"content-type": "application/jsonl"})
    assert reply.status_code == 422 and "no JSON" in reply.json()["detail"]


def test_without_an_index_nothing_is_measured(tmp_path, fake_embedder):
    empty = TestClient(create_app(tmp_path / "none", ui=False, embedder=fake_embedder), base_url=BASE)
    assert empty.post("/api/eval", json={"questions": QUESTIONS}).status_code == 503


class CountingEmbedder(HashEmbedder):
    """Counts the queries it embeds, and takes its time for each."""

    asked = 0

    def encode_queries(self, queries):
        self.asked += 1
        time.sleep(0.02)
        return super().encode_queries(queries)


def test_one_evaluation_runs_at_a_time_and_ends_when_its_client_leaves(service):
    embedder = CountingEmbedder()
    slow = ChatService(service.index_dir, corpus_dirs=service.corpus_dirs, embedder=embedder)
    app = create_app(service=slow, ui=False)
    slow.chatbot()
    body = json.dumps(
        {"questions": [{"question": f"What is thing {n}?", "lang": "en", "answerable": False} for n in range(200)]}
    )
    gone = threading.Event()

    async def first() -> None:
        sent = False

        async def receive() -> dict:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": body.encode(), "more_body": False}
            while not gone.is_set():
                await anyio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            pass

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/api/eval", "raw_path": b"/api/eval", "query_string": b"",
                 "headers": headers, "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 80),
                 "client": ("127.0.0.1", 1), "root_path": "", "asgi": {"version": "3.0"}}  # fmt: skip
        await app(scope, receive, send)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            with anyio.fail_after(30):
                while not embedder.asked:
                    await anyio.sleep(0.01)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE) as client:
                reply = await client.post("/api/eval", json={"questions": QUESTIONS})
                assert (reply.status_code, reply.json()["error"]["type"]) == (409, "EvaluatingError")
                gone.set()
        asked = embedder.asked
        await anyio.sleep(0.3)
        assert embedder.asked == asked < 200
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE) as client:
            assert (await client.post("/api/eval", json={"questions": QUESTIONS[1:]})).status_code == 200

    anyio.run(run)
