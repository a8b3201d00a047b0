"""The documents over HTTP: listed, sent, taken away, looked at, indexed anew. The real app, with plain vectors."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import AsyncIterator
from urllib.parse import quote

import anyio
import httpx
import pytest
from conftest import HashEmbedder
from starlette.testclient import TestClient
from test_loader_pdf import make_pdf

from rag.builder import build_index
from rag.server import ChatService, create_app
from rag.store import IndexStore

BASE = "http://127.0.0.1:7860"
PDF = make_pdf([[(60, 700, 24, "The lamp burns for nine hours.")], [(60, 700, 24, "Change its wick in spring.")]])
FILES = {
    "warranty.md": b"# Warranty\n\nThe warranty of the blue kettle lasts three years.\n",
    "uploads/ضمان.md": "# الضمان\n\nمدة ضمان الغلاية الزرقاء ثلاث سنوات من تاريخ الشراء.\n".encode(),
    "uploads/manuals/lamp.pdf": PDF,
}


class PatientEmbedder(HashEmbedder):
    """Embeds passages only once it may, so that a rebuild lasts as long as a test wants; says when it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.waits = threading.Event(), threading.Event()
        self.may.set()

    def encode_passages(self, texts, *, progress=None):
        self.waits.set()
        assert self.may.wait(30)
        return super().encode_passages(texts, progress=progress)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A corpus and its index, built once; never changed."""
    folder = tmp_path_factory.mktemp("built")
    for name, data in FILES.items():
        path = folder / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    build_index(folder / "corpus", folder / "index", embedder=HashEmbedder())
    return folder


@pytest.fixture
def embedder():
    return PatientEmbedder()


@pytest.fixture
def service(built, tmp_path, embedder):
    for name in ("corpus", "index"):
        shutil.copytree(built / name, tmp_path / name)
    return ChatService(tmp_path / "index", corpus_dirs=[tmp_path / "corpus"], embedder=embedder)


@pytest.fixture
def client(service) -> TestClient:
    return TestClient(create_app(service=service, ui=False), base_url=BASE)


def error_of(reply, status: int) -> dict[str, str]:
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert error["message"] and error["remedy"]
    return error


def states(client: TestClient) -> dict[str, str]:
    return {row["doc_id"]: row["state"] for row in client.get("/api/documents").json()["documents"]}


def events(text: str) -> list[tuple[str, dict]]:
    pairs = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in pairs]


# -- the list -------------------------------------------------------------------------------------------------


def test_the_list_has_every_document_with_all_that_is_known(client, service):
    body = client.get("/api/documents").json()
    assert set(body) == {"generation", "is_rebuilding", "documents"}
    assert (body["generation"], body["is_rebuilding"]) == ("gen-000001", False)
    rows = {row["doc_id"]: row for row in body["documents"]}
    assert set(rows) == set(FILES)
    lamp = rows["uploads/manuals/lamp.pdf"]
    assert set(lamp) == {
        "doc_id", "title", "language", "kind", "passages", "characters", "bytes", "added", "state", "error",
        "is_deletable",
    }  # fmt: skip
    assert (lamp["state"], lamp["bytes"], lamp["is_deletable"]) == ("indexed", len(PDF), True)
    assert lamp["added"].endswith("+00:00") and not rows["warranty.md"]["is_deletable"]
    (service.corpus_dirs[0] / "warranty.md").unlink()
    service.library.forget()
    (gone,) = [row for row in client.get("/api/documents").json()["documents"] if row["state"] == "gone"]
    assert (gone["doc_id"], gone["added"]) == ("warranty.md", None)


def test_without_an_index_the_list_holds_what_waits(tmp_path, fake_embedder):
    service = ChatService(tmp_path / "index", upload_dir=tmp_path / "uploads", embedder=fake_embedder)
    client = TestClient(create_app(service=service, ui=False), base_url=BASE)
    assert client.get("/api/documents").json() == {"generation": "", "is_rebuilding": False, "documents": []}
    client.post("/api/documents", files={"file": ("a.txt", b"The answer is forty-two.")})
    assert states(client) == {"a.txt": "waiting"}
    assert error_of(client.post("/api/documents", files={"file": ("a.txt", b"")}), 422)["type"] == "UploadError"


# -- uploads --------------------------------------------------------------------------------------------------


def test_one_file_is_kept_and_answers_after_a_rebuild(client):
    reply = client.post("/api/documents", files={"file": ("رمز.md", b"# Zebra\n\nThe zebra code is seventeen.")})
    assert reply.status_code == 200
    assert reply.json() == {
        "files": [{"sent": "رمز.md", "name": "رمز.md", "status": "added", "doc_id": "uploads/رمز.md"}]
    }
    assert states(client)["uploads/رمز.md"] == "waiting"
    report = events(client.post("/api/build").text)[-1]
    assert report[0] == "report" and report[1]["added"] == 1 and report[1]["failed"] == []
    assert states(client)["uploads/رمز.md"] == "indexed"
    hits = client.post("/api/search", json={"query": "zebra code"}).json()["hits"]
    assert hits[0]["doc_id"] == "uploads/رمز.md"


def test_a_whole_folder_keeps_its_structure(client, service):
    files = [("file", (name, name.encode() * 9)) for name in ("a.txt", "b.txt", "c.txt")]
    reply = client.post("/api/documents", files=files, data={"folder": ["top", "top/ar", "top/ar/deep"]})
    assert [record["doc_id"] for record in reply.json()["files"]] == [
        "uploads/top/a.txt",
        "uploads/top/ar/b.txt",
        "uploads/top/ar/deep/c.txt",
    ]
    reply = client.post("/api/documents", files=files[:2], data={"folder": "one"})
    assert [record["doc_id"] for record in reply.json()["files"]] == ["uploads/one/a.txt", "uploads/one/b.txt"]
    assert (service.upload_dir / "top" / "ar" / "deep" / "c.txt").read_bytes() == b"c.txt" * 9


def test_what_cannot_be_kept_is_named_file_by_file(client, service):
    before = sorted(service.upload_dir.rglob("*"))
    files = [("file", ("a.exe", b"x")), ("file", ("good.txt", b"good text")), ("file", ("empty.md", b""))]
    reply = client.post("/api/documents", files=files)
    assert reply.status_code == 200
    assert [record.get("code", record.get("status")) for record in reply.json()["files"]] == ["type", "added", "empty"]
    error_of(client.post("/api/documents", files={"file": ("a.exe", b"x")}), 422)
    for folder in ("../..", "/etc", "a/../../b"):
        reply = client.post("/api/documents", files={"file": ("a.txt", b"x")}, data={"folder": folder})
        assert "folder" in error_of(reply, 422)["remedy"] and reply.json()["files"][0]["code"] == "folder"
    assert sorted(service.upload_dir.rglob("*")) == sorted([*before, service.upload_dir / "good.txt"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"data": {"folder": "a"}}, "not sent as a form"),
        ({"json": {"file": "x"}}, "not sent as a form"),
        ({"files": {"other": ("a.txt", b"x")}}, "no file"),
        ({"files": [("file", ("a.txt", b"x"))] * 101}, "100"),
        ({"files": [("file", ("a.txt", b"x"))] * 3, "data": {"folder": ["a", "b"]}}, "3 files and 2 folders"),
        ({"files": {"file": ("a.txt", b"x")}, "data": {"folder": "x" * 20_000}}, "cannot be read"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, "boundary"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, "cannot be read"),
    ],
)
def test_a_form_that_is_none_is_refused(client, service, options, said):
    before = sorted(service.upload_dir.rglob("*"))
    error = error_of(client.post("/api/documents", **options), 422)
    assert said in error["message"] and "multipart/form-data" in error["remedy"]
    assert sorted(service.upload_dir.rglob("*")) == before


def test_a_file_that_was_cut_off_on_its_way_is_not_lost_in_silence(client, service):
    body = (
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nfirst\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="b.txt"\r\n\r\nsecond, cut'
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert "ends too early" in error_of(client.post("/api/documents", content=body, headers=headers), 422)["message"]
    assert not (service.upload_dir / "a.txt").exists()
    assert client.post("/api/documents", content=body + b"\r\n--b--\r\n", headers=headers).status_code == 200


@pytest.fixture
def small_client(service) -> TestClient:
    service.max_upload_bytes, service.max_upload_request_bytes = 200_000, 500_000
    return TestClient(create_app(service=service, ui=False), base_url=BASE)


def test_a_file_above_its_limit_is_refused_beside_one_at_it(small_client, service):
    files = [("file", ("at.txt", b"x" * 200_000)), ("file", ("above.txt", b"x" * 200_001))]
    records = small_client.post("/api/documents", files=files).json()["files"]
    assert [record.get("status", record.get("code")) for record in records] == ["added", "large"]
    assert not list(service.upload_dir.rglob(".upload-*"))


def test_a_request_above_its_limit_is_refused_whether_it_says_its_length_or_not(small_client, service):
    form = {"files": [("file", (f"{number}.txt", b"x" * 190_000)) for number in range(3)]}
    assert "smaller" in error_of(small_client.post("/api/documents", **form), 413)["remedy"]
    request = small_client.build_request("POST", "/api/documents", **form)
    body = request.read()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=small_client.app)  # unlike the test client it sends piece by piece
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as other:
            headers = {"content-type": request.headers["content-type"]}
            return await other.post("/api/documents", content=pieces(), headers=headers)

    assert "smaller" in error_of(anyio.run(send), 413)["remedy"]
    assert not list(service.upload_dir.glob("?.txt"))
    # The other routes keep their own limit.
    assert small_client.post("/api/ask", json={"question": "x" * 70_000}).status_code == 413


def test_another_site_can_neither_send_nor_delete_nor_build(client):
    evil = {"origin": "https://evil.example"}
    assert client.post("/api/documents", files={"file": ("a.txt", b"x")}, headers=evil).status_code == 403
    assert client.delete("/api/documents/uploads/manuals/lamp.pdf", headers=evil).status_code == 403
    assert client.post("/api/build", headers=evil).status_code == 403
    assert set(states(client)) == set(FILES)


# -- delete ---------------------------------------------------------------------------------------------------


def test_an_uploaded_document_is_deleted_and_forgotten_by_the_next_rebuild(client, service):
    doc_id = "uploads/ضمان.md"
    reply = client.delete(f"/api/documents/{quote(doc_id)}")
    assert (reply.status_code, reply.json()) == (200, {"doc_id": doc_id, "status": "deleted", "is_in_index": True})
    assert states(client)[doc_id] == "gone" and not (service.corpus_dirs[0] / doc_id).exists()
    assert "update the index" in error_of(client.delete(f"/api/documents/{quote(doc_id)}"), 404)["message"]
    assert events(client.post("/api/build").text)[-1][1]["removed"] == 1
    assert doc_id not in states(client)


@pytest.mark.parametrize(
    ("doc_id", "status"),
    [("warranty.md", 403), ("nothing.md", 404), ("%2E%2E/index/CURRENT", 404), ("uploads", 404), ("%00", 404)],
)
def test_what_was_not_uploaded_is_not_deleted(client, service, doc_id, status):
    error_of(client.delete(f"/api/documents/{doc_id}"), status)
    assert (service.corpus_dirs[0] / "warranty.md").is_file() and (service.index_dir / "CURRENT").is_file()


# -- pictures of pages ----------------------------------------------------------------------------------------


def test_a_page_is_a_picture_that_one_browser_may_keep(client):
    where = {"doc_id": "uploads/manuals/lamp.pdf", "page": 2}
    reply = client.get("/api/documents/page", params={**where, "generation": "gen-000001"})
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png")
    assert reply.content.startswith(b"\x89PNG") and reply.headers["cache-control"] == "private, max-age=86400"
    other = client.get("/api/documents/page", params={**where, "generation": "gen-000000"})
    assert (other.content, other.headers["cache-control"]) == (reply.content, "private, no-cache")
    again = client.get("/api/documents/page", params=where, headers={"if-none-match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    first = client.get("/api/documents/page", params={**where, "page": 1})
    assert first.headers["etag"] != reply.headers["etag"] and first.content != reply.content


@pytest.mark.parametrize(
    ("doc_id", "page", "status", "said"),
    [
        ("warranty.md", 1, 404, "only the pages of a PDF"),
        ("nothing.pdf", 1, 404, "no such document"),
        ("../../etc/passwd", 1, 404, "no such document"),
        ("uploads/manuals/lamp.pdf", 3, 404, "has 2 pages"),
        ("uploads/manuals/lamp.pdf", 0, 422, "page"),
        ("uploads/manuals/lamp.pdf", "x", 422, "page"),
    ],
)
def test_what_is_no_page_is_an_error_in_words(client, service, doc_id, page, status, said):
    error = error_of(client.get("/api/documents/page", params={"doc_id": doc_id, "page": page}), status)
    assert said in error["message"] and str(service.corpus_dirs[0]) not in error["message"]
    assert "JSON" not in error["remedy"]


class SlowPictures(ChatService):
    """Draws a page only once it may."""

    may, lock, at_work, most = threading.Event(), threading.Lock(), 0, 0

    def page_picture(self, doc_id, number):
        with self.lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        assert self.may.wait(30)
        with self.lock:
            self.at_work -= 1
        return b"", "tag"


def test_pages_that_wait_to_be_drawn_hold_up_nothing_else(built):
    service = SlowPictures(built / "index", corpus_dirs=[built / "corpus"], embedder=HashEmbedder())
    service.retriever()
    app = create_app(service=service, ui=False)
    replies = []

    async def run() -> None:
        async with (
            httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE) as client,
            anyio.create_task_group() as tasks,
        ):

            async def look() -> None:
                replies.append(await client.get("/api/documents/page?doc_id=x.pdf&page=1"))

            for _ in range(45):  # more than the threads that requests share
                tasks.start_soon(look)
            try:
                with anyio.fail_after(10):
                    while not service.at_work:
                        await anyio.sleep(0.01)
                    assert (await client.get("/api/documents")).status_code == 200
            finally:
                service.may.set()

    anyio.run(run)
    assert [reply.status_code for reply in replies] == [200] * 45
    assert service.most <= 2


def test_a_page_of_a_file_that_has_changed_is_not_shown(client, service):
    (service.corpus_dirs[0] / "uploads/manuals/lamp.pdf").write_bytes(make_pdf([[(60, 700, 24, "Other words.")]]))
    reply = client.get("/api/documents/page", params={"doc_id": "uploads/manuals/lamp.pdf", "page": 1})
    assert "changed since it was indexed" in error_of(reply, 404)["message"]


# -- rebuild --------------------------------------------------------------------------------------------------


def test_a_rebuild_streams_its_progress_then_the_report(client, service):
    service.save_upload("new.txt", b"Tomatoes want six hours of sunlight a day.")
    service.save_upload("broken.pdf", b"%PDF-1.7\nnothing of a PDF")
    reply = client.post("/api/build")
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-store"
    found = events(reply.text)
    assert {name for name, _ in found[:-1]} == {"progress"}
    assert all(set(step) == {"stage", "done", "total", "item"} for _, step in found[:-1])
    name, report = found[-1]
    assert (name, report["added"], report["unchanged"], len(report["failed"])) == ("report", 1, 3, 1)
    assert states(client)["uploads/broken.pdf"] == "failed"


def test_a_rebuild_that_cannot_start_is_an_error_not_an_event(client, service, tmp_path, fake_embedder):
    with IndexStore(service.index_dir).lock():
        assert error_of(client.post("/api/build"), 409)["type"] == "IndexLockedError"
    assert error_of(client.delete("/api/build"), 409)["message"] == "No rebuild is under way."
    empty = ChatService(tmp_path / "none", upload_dir=tmp_path / "sent", embedder=fake_embedder)
    nothing = TestClient(create_app(service=empty, ui=False), base_url=BASE)
    assert error_of(nothing.post("/api/build"), 503)["type"] == "CorpusError"


def test_a_rebuild_is_cancelled_from_elsewhere_and_the_index_stays(client, service, embedder):
    service.save_upload("new.txt", b"Tomatoes want six hours of sunlight a day.")
    before = IndexStore(service.index_dir).current_name()
    embedder.may.clear()
    replies = []
    thread = threading.Thread(target=lambda: replies.append(client.post("/api/build")))
    thread.start()
    try:
        assert embedder.waits.wait(30)
        assert client.get("/api/documents").json()["is_rebuilding"]
        assert error_of(client.post("/api/build"), 409)["type"] == "IndexLockedError"
        assert client.delete("/api/build").json() == {"status": "cancelling"}
    finally:
        embedder.may.set()
        thread.join(30)
    name, error = events(replies[0].text)[-1]
    assert (name, error["type"]) == ("error", "BuildCancelledError") and error["remedy"]
    assert IndexStore(service.index_dir).current_name() == before
    assert not list(service.index_dir.glob("*.tmp"))
    assert not client.get("/api/documents").json()["is_rebuilding"]
    assert events(client.post("/api/build").text)[-1][0] == "report"
