"""The Model Context Protocol, spoken by the official client to a real process (stdio) and a real server (HTTP)."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
import uvicorn
from conftest import HashEmbedder
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from people import SARA, write_users

from rag.builder import build_index
from rag.server import ChatService, create_app
from rag.server.mcp import mcp_server
from rag.wire import answer_json, hits_json

ROOT = Path(__file__).parent.parent
FILES = {
    "home/kettle.md": "# Warranty\n\nThe warranty of the blue kettle lasts three years.\n\nKeep the receipt.\n",
    "ar/ضمان.md": "# الضمان\n\nمدة ضمان الغلاية الزرقاء ثلاث سنوات من تاريخ الشراء.\n",
    "garden.txt": "Tomatoes want six hours of sunlight a day.\n",
}
KEY = "0123456789abcdef"
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
CLIENT = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}


def plant(corpus: Path) -> Path:
    for name, content in FILES.items():
        (corpus / name).parent.mkdir(parents=True, exist_ok=True)
        (corpus / name).write_text(content, encoding="utf-8")
    return corpus


@contextmanager
def listening(service: ChatService, **options) -> Iterator[str]:
    """Serve the application as ``rag serve`` does, in a thread; yield its address."""
    app = create_app(service=service, ui=False, **options)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        until = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive() and time.monotonic() < until
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> ChatService:
    folder, embedder = tmp_path_factory.mktemp("mcp"), HashEmbedder()
    build_index(plant(folder / "corpus"), folder / "index", embedder=embedder)
    return ChatService(folder / "index", embedder=embedder)


@pytest.fixture(scope="module")
def served(service) -> Iterator[str]:
    with listening(service) as address:
        yield address


def talk(where, conversation, **options):
    """Connect the official client and return what ``conversation(client)`` returns."""

    async def run():
        async with Client(where, **options) as client:
            return await conversation(client)

    return anyio.run(run)


def call(address: str, tool: str, **arguments):
    return talk(f"{address}/mcp", lambda client: client.call_tool(tool, arguments))


def text(result) -> str:
    (block,) = result.content
    return block.text


# -- over HTTP ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_tools_are_listed_as_read_only_with_what_they_take_and_give(served, service, mode):
    listed = talk(f"{served}/mcp", lambda client: client.list_tools(), mode=mode)
    tools = {tool.name: tool for tool in listed.tools}
    assert set(tools) == {"search", "ask"}
    for tool in tools.values():
        assert tool.annotations.read_only_hint and not tool.annotations.destructive_hint
        assert not tool.annotations.open_world_hint
        assert tool.input_schema["additionalProperties"] is False
    assert set(tools["search"].input_schema["properties"]) == {"query", "top_k", "language", "collection"}
    assert tools["search"].input_schema["required"] == ["query"]
    assert set(tools["ask"].input_schema["properties"]) == {"question", "language", "collection"}


def test_what_the_tools_promise_to_give_is_the_json_of_terminal_and_api(served, service):
    schemas = {
        tool.name: tool.output_schema for tool in talk(f"{served}/mcp", lambda client: client.list_tools()).tools
    }
    hits = hits_json("kettle", "en", service.retriever().search("kettle", top_k=1))
    answer = answer_json(service.ask("How long is the warranty of the blue kettle?"))
    for value, schema in [
        (hits, schemas["search"]),
        (hits["hits"][0], schemas["search"]["$defs"]["HitReply"]),
        (answer, schemas["ask"]),
        (answer["citations"][0], schemas["ask"]["$defs"]["CitationReply"]),
    ]:
        assert set(schema["properties"]) == set(schema["required"]) == set(value)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_search_in_arabic_gives_passages_at_exact_offsets(served, service, mode):
    result = talk(
        f"{served}/mcp", lambda client: client.call_tool("search", {"query": "ضمان الغلاية", "top_k": 2}), mode=mode
    )
    assert not result.is_error
    body = result.structured_content
    assert (body["query"], body["language"]) == ("ضمان الغلاية", "ar")
    assert body["hits"][0]["doc_id"] == "ar/ضمان.md"
    documents = service.live_documents()
    for hit in body["hits"]:
        assert documents[hit["doc_id"]].text[hit["start"] : hit["end"]] == hit["text"]
        assert f"[{hit['rank']}] {hit['title']} ({hit['doc_id']})\n{hit['text']}" in text(result)


def test_ask_in_arabic_quotes_the_document_and_lists_the_source(served, service):
    result = call(served, "ask", question="كم مدة ضمان الغلاية الزرقاء؟")
    body = result.structured_content
    assert body["language"] == "ar" and not body["abstained"]
    first = body["citations"][0]
    assert first["doc_id"] == "ar/ضمان.md"
    assert service.live_documents()[first["doc_id"]].text[first["start"] : first["end"]] == first["quote"]
    assert text(result).startswith(body["answer"])
    assert text(result).endswith(f"[1] {first['title']} (ar/ضمان.md)")


def test_a_question_of_one_collection_is_answered_from_it_alone(served):
    for tool, arguments in [("search", {"query": "warranty ضمان"}), ("ask", {"question": "warranty of the kettle?"})]:
        body = call(served, tool, collection="ar/", **arguments).structured_content
        found = body["hits"] if tool == "search" else body["citations"]
        assert {item["doc_id"] for item in found} <= {"ar/ضمان.md"}
    assert call(served, "search", query="warranty", collection="home").structured_content["hits"]


def test_a_search_in_one_language_finds_passages_in_it_alone(served):
    hits = call(served, "search", query="ضمان الغلاية", language="en").structured_content["hits"]
    assert hits and {hit["language"] for hit in hits} == {"en"}


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("search", {"query": "kettle", "collection": "attic"}, "no collection 'attic'; there are: ar, home"),
        ("search", {"query": "kettle", "language": "fr"}, "the languages are: "),
        ("search", {"query": "kettle", "top_k": 0}, "top_k: Input should be greater than or equal to 1"),
        ("search", {"query": "kettle", "topk": 3}, "topk: Extra inputs are not permitted"),
        ("search", {}, "query: Field required"),
        ("ask", {"question": "  "}, "question: String should have at least 1 character"),
        ("ask", {"question": "ـــ"}, "question: it is empty; type a few words"),
        ("ask", {"question": "x" * 5000}, "question: String should have at most"),
        ("delete", {}, "the tools are search and ask"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(served, tool, arguments, said):
    result = call(served, tool, **arguments)
    assert result.is_error
    assert said in text(result)
    assert "Traceback" not in text(result) and "pydantic" not in text(result)


def test_without_an_index_a_call_names_the_remedy(tmp_path, fake_embedder):
    with listening(ChatService(tmp_path / "nowhere", embedder=fake_embedder)) as address:
        result = call(address, "ask", question="Is there an index?")
    assert result.is_error
    assert str(tmp_path / "nowhere") in text(result) and "rag build" in text(result)


def test_an_answer_that_takes_too_long_is_given_up(service):
    class SlowEmbedder(HashEmbedder):
        may = threading.Event()

        def encode_queries(self, queries):
            assert self.may.wait(30)
            return super().encode_queries(queries)

    slow = ChatService(service.index_dir, embedder=SlowEmbedder())
    slow.chatbot()
    with listening(slow, question_timeout_s=0.05) as address:
        release = threading.Timer(5, SlowEmbedder.may.set)  # so that it ends without the limit too
        release.start()
        result = call(address, "ask", question="How long is the warranty?")
        release.cancel()
        SlowEmbedder.may.set()
    assert result.is_error
    assert "took longer than 0.05 seconds" in text(result)


def test_a_bug_reaches_the_log_and_not_the_client(tmp_path, caplog):
    class Broken(ChatService):
        def retriever(self):
            raise KeyError("secret")

    result = talk(mcp_server(Broken(tmp_path)), lambda client: client.call_tool("ask", {"question": "Why?"}))
    assert result.is_error
    assert "secret" not in text(result)
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"host": "evil.example"}, 403), ({"origin": "http://evil.example"}, 403), ({"origin": "null"}, 403), ({}, 200)],
)
def test_other_sites_are_refused_as_everywhere_else(served, headers, status):
    reply = httpx.post(f"{served}/mcp", json=INITIALIZE, headers={**HEADERS, **headers})
    assert reply.status_code == status


def test_served_to_others_any_name_of_the_host_will_do(service):
    with listening(service, loopback_only=False) as address:
        reply = httpx.post(f"{address}/mcp", json=INITIALIZE, headers={**HEADERS, "host": "docs.example"})
    assert reply.json()["result"]["serverInfo"]["name"] == "sanad"


def test_there_are_no_sessions_no_streams_and_no_large_requests(served):
    assert "mcp-session-id" not in httpx.post(f"{served}/mcp", json=INITIALIZE, headers=HEADERS).headers
    assert httpx.get(f"{served}/mcp", headers=HEADERS).status_code == 405
    assert httpx.post(f"{served}/mcp", content=b" " * 2_000_000, headers=HEADERS).status_code == 413


@pytest.mark.parametrize("way", ["login", "key"])
def test_where_there_is_a_login_or_a_key_the_client_sends_it(service, tmp_path, way):
    async def ask(address: str):
        sent = {"auth": SARA} if way == "login" else {"headers": {"authorization": f"Bearer {KEY}"}}
        async with (
            create_mcp_http_client(**sent) as http,
            Client(streamable_http_client(f"{address}/mcp", http_client=http)) as client,
        ):
            return await client.call_tool("search", {"query": "kettle"})

    options = {"auth_file": write_users(tmp_path / "users.json", SARA)} if way == "login" else {"api_key": KEY}
    with listening(service, **options) as address:
        assert httpx.post(f"{address}/mcp", json=INITIALIZE, headers=HEADERS).status_code == 401
        assert not anyio.run(ask, address).is_error


def test_many_clients_at_once_get_their_own_answers(served):
    async def run():
        found = {}

        async def one(query: str) -> None:
            async with Client(f"{served}/mcp") as client:
                found[query] = (await client.call_tool("search", {"query": query, "top_k": 1})).structured_content

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(one, f"kettle {number}")
        return found

    assert {query: body["query"] for query, body in anyio.run(run).items()} == {
        f"kettle {number}": f"kettle {number}" for number in range(8)
    }


# -- over stdio -----------------------------------------------------------------------------------------------


def test_a_process_that_is_started_speaks_the_protocol_and_nothing_else(tmp_path):
    """One process: listed before any model is open, told that there is no index, then asked in Arabic."""
    index = tmp_path / "index"
    strays = []

    async def note(message) -> None:
        if isinstance(message, Exception):
            strays.append(message)

    async def conversation(client):
        names = [tool.name for tool in (await client.list_tools()).tools]
        missing = await client.call_tool("search", {"query": "الغلاية"})
        build_index(plant(tmp_path / "corpus"), index)
        hits = await client.call_tool("search", {"query": "ضمان الغلاية", "top_k": 1, "language": "ar"})
        answer = await client.call_tool("ask", {"question": "كم مدة ضمان الغلاية الزرقاء؟"})
        return names, missing, hits, answer

    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "rag", "mcp", "--index-dir", str(index)],
        env={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    names, missing, hits, answer = talk(command, conversation, mode="legacy", message_handler=note)
    assert names == ["search", "ask"]
    assert missing.is_error and "rag build" in text(missing)
    assert [hit["doc_id"] for hit in hits.structured_content["hits"]] == ["ar/ضمان.md"]
    assert "ثلاث سنوات" in answer.structured_content["citations"][0]["quote"]
    assert "[1] الضمان (ar/ضمان.md)" in text(answer)
    assert strays == []


def test_no_heavy_library_is_loaded_before_the_first_question():
    code = """
import sys
from rag.server import ChatService
from rag.server.mcp import mcp_server
mcp_server(ChatService("nowhere"))
print([name for name in ("torch", "transformers", "faiss", "gradio", "onnxruntime") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_the_process_ends_with_its_input():
    done = subprocess.run(
        [sys.executable, "-m", "rag", "mcp"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_process_answers_before_it_opens_anything_and_ends_at_ctrl_c():
    process = subprocess.Popen(
        [sys.executable, "-m", "rag", "mcp", "--index-dir", "nowhere"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["result"]["serverInfo"]["name"] == "sanad"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
        assert process.stderr.read() == b""
