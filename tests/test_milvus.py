"""An index in Milvus (milvus-lite): what holds of the index in a folder holds of it too, to the same scores."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEmbedder
from drafts import make_draft

from rag.builder import build_index
from rag.cli import main
from rag.config import RetrievalConfig
from rag.errors import (
    BuildCancelledError,
    IndexCorruptError,
    IndexFormatError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
    RagError,
)
from rag.retriever import Retriever
from rag.store import IndexStore, MilvusStore, open_store

pytest.importorskip("milvus_lite")

NAMES = (f"n{number}" for number in itertools.count())
CORPUS = {
    "ar/market.md": "---\nauthor: سارة\ntags: [تسويق, ويب]\n---\n# التسويق\n\nالتسويق الرقمي يصل إلى الجمهور.",
    "ar/influencers.txt": "المؤثرون يروجون للمنتجات أمام متابعيهم مقابل أجر. المؤثرون كثيرون.",
    "ar/2026/seo.txt": "تحسين محركات البحث SEO يرفع ترتيب الموقع. " * 3,
    "ar/2026/grainger.txt": "تحدث غرينجر عن الميزانية في 2026.",
    "en/market.md": "---\nauthor: Jane Doe\ntags: marketing, web\n---\n# Markets\n\nDigital marketing reaches many.",
    "en/budget.txt": "A campaign budget says how much each channel may cost. Grainger asked for a budget.",
    "en/2026/email.txt": "An email newsletter keeps subscribers close to the brand. " * 40,
    "en/2026/same.txt": "The very same words stand here.",
    "en/2026/twin.txt": "The very same words stand here.",
    "odd_%'\".txt": "Nothing but \U0001f642 and 2026, said O'Hara.",
    "dots.txt": "... !!! ...",
}
QUERIES = (
    "digital marketing budget",
    "ما هو SEO؟",
    "كم تكلفة الحملة؟",
    "Who are influencers?",
    "the very same words",
    "غرينجر 2026",
    "newslettr subscribers",
    "zzz",
)
FILTERS = (
    {},
    {"language": "ar"},
    {"doc_ids": ["en/2026/email.txt", "ar/2026/seo.txt", "no/such.txt", "odd_%'\".txt"]},
    {"doc_ids": []},
    {"collection": "en"},
    {"collection": "en/2026", "language": "en"},
    {"collection": "en/20"},
    {"metadata": {"author": "JANE doe"}},
    {"metadata": {"tags": "web"}},
    {"metadata": {"tags": "ويب"}, "collection": "ar"},
    {"diversity": 0.6},
)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Return the file of milvus-lite that the tests of this module share, each with an index of its own name."""
    return tmp_path_factory.mktemp("milvus") / "shared.db"


@pytest.fixture(params=["folder", "milvus"])
def place(request, tmp_path, database):
    """Return where an index is to be, one engine after the other."""
    return tmp_path / "index" if request.param == "folder" else f"milvus:{database}#{next(NAMES)}"


@pytest.fixture
def in_milvus(database):
    return f"milvus:{database}#{next(NAMES)}"


def fill(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def write(address, embedder, texts):
    store = open_store(address)
    with store.lock():
        return store.write_generation(make_draft(embedder, texts=texts))


@pytest.fixture(scope="module")
def both(tmp_path_factory, database):
    """Return retrievers of one corpus, of the index in a folder and of that in Milvus."""
    folder = tmp_path_factory.mktemp("both")
    corpus = fill(folder / "corpus", CORPUS)
    embedder = HashEmbedder()
    found = []
    for address in (folder / "index", f"milvus:{database}#both"):
        report = build_index(corpus, address, embedder=embedder)
        assert (report.documents, len(report.failed)) == (len(CORPUS), 0)
        found.append(Retriever.open(address, embedder=embedder))
    return found


# ---- search


@pytest.mark.parametrize("options", FILTERS, ids=str)
def test_hits_ranks_and_scores_are_those_of_the_index_in_a_folder(both, options):
    left, right = (retriever.search(QUERIES, top_k=9, **options) for retriever in both)
    for query, expected, got in zip(QUERIES, left, right, strict=True):
        assert [hit.passage for hit in got] == [hit.passage for hit in expected], query
        for name in ("score", "dense_score", "bm25_score"):
            numbers = ([getattr(hit, name) for hit in hits] for hits in (got, expected))
            np.testing.assert_allclose(*numbers, rtol=1e-5, atol=1e-6, err_msg=f"{query} {name}")
        assert [(hit.rank, hit.dense_rank, hit.bm25_rank) for hit in got] == [
            (hit.rank, hit.dense_rank, hit.bm25_rank) for hit in expected
        ], query
    assert any(left) or not any(right)


def test_a_filter_with_candidates_of_its_own_comes_before_they_are_cut(both):
    for retriever in both:
        few = Retriever(
            retriever._store,
            retriever.embedder,
            retriever.snapshot().generation,
            config=RetrievalConfig(top_k=2, candidates=2),
        )
        (hit,) = few.search("budget of the campaign", doc_ids=["ar/2026/grainger.txt"])
        assert hit.passage.doc_id == "ar/2026/grainger.txt"


def test_a_snapshot_says_the_same_of_documents_terms_and_words(both):
    left, right = (retriever.snapshot() for retriever in both)
    assert dict(left.generation.documents) == dict(right.generation.documents)
    assert list(left.generation.documents.values()) == list(right.generation.documents.values())
    assert list(left.generation.passages) == list(right.generation.passages)
    assert list(left.generation.passages[-3:]) == right.generation.passages[-3:]
    assert left.languages == right.languages
    with pytest.raises(KeyError):
        right.document("no/such.txt")
    for term, language in (("budget", "en"), ("zzz", "en"), ("تسويق", "ar"), ("budget", "fr")):
        assert left.idf(term, language) == pytest.approx(right.idf(term, language))
    for asked in (("تسويق", "ar", "en"), ("grainger", "en", "ar"), ("market", "en", "en"), ("market", "en", "fr")):
        assert left.translate(*asked) == right.translate(*asked)
    assert list(left._words()) == list(right._words())


def test_where_more_passages_share_a_word_than_are_looked_at_their_scores_are_estimated(both, monkeypatch):
    expected = both[0].search(QUERIES, top_k=3)
    monkeypatch.setattr("rag.retriever.milvus_legs._FOUND", 2)
    for left, right in zip(expected, both[1].search(QUERIES, top_k=3), strict=True):
        assert left[0].passage == right[0].passage
        assert left[0].score == pytest.approx(right[0].score, rel=0.25)


def test_documents_and_passages_of_any_length_are_kept(in_milvus, fake_embedder):
    texts = {"a.txt": "".join(f"word{number} " for number in range(30_000)), "b \ud800.txt": "lone \ud800 surrogate"}
    write(in_milvus, fake_embedder, texts)
    for parse in (True, False):
        generation = open_store(in_milvus).open_current(parse=parse)
        assert {doc_id: document.text for doc_id, document in generation.documents.items()} == texts
        assert "".join(passage.text for passage in generation.passages) == "".join(texts.values())


# ---- generations, on both engines


def test_the_live_and_the_previous_generation_are_kept_and_a_rollback_goes_back(place, fake_embedder):
    store = open_store(place)
    with pytest.raises(IndexNotFoundError, match="holds no index"):
        store.current_name()
    names = [write(place, fake_embedder, {"a.txt": f"generation {n} of the text"}) for n in range(3)]
    assert names == ["gen-000001", "gen-000002", "gen-000003"]
    assert store.generations() == names[1:]
    assert store.verify() == []
    assert store.rollback() == store.current_name() == names[1]
    assert store.open_current().documents["a.txt"].text == "generation 1 of the text"
    assert "answers" in store.standing()
    with pytest.raises(IndexFormatError, match="no earlier intact generation"):
        store.rollback()
    assert write(place, fake_embedder, {"a.txt": "generation 4 of the text"}) == "gen-000004"
    assert store.generations() == ["gen-000002", "gen-000004"]


def test_a_build_embeds_what_is_new_and_what_is_deleted_is_gone(place, tmp_path, fake_embedder):
    corpus = fill(tmp_path / "corpus", {"a.txt": "The first text.", "b.txt": "A second one.", "ع.txt": "نص ثالث هنا"})
    build_index(corpus, place, embedder=fake_embedder)
    same = build_index(corpus, place, embedder=fake_embedder)
    assert (same.generation, same.embedded, same.unchanged) == ("gen-000001", 0, 3)
    retriever = Retriever.open(place, embedder=fake_embedder)
    (corpus / "b.txt").unlink()
    fill(corpus, {"c.txt": "Quite another thing."})
    fake_embedder.encoded.clear()
    report = build_index(corpus, place, embedder=fake_embedder)
    assert (report.added, report.removed, report.unchanged, len(fake_embedder.encoded)) == (1, 1, 2, 1)
    new = retriever.refresh()
    assert sorted(new.generation.documents) == ["a.txt", "c.txt", "ع.txt"]
    assert "b.txt" not in new.generation.documents
    assert {hit.passage.doc_id for hit in retriever.search("second one", top_k=9)} == {"a.txt", "c.txt", "ع.txt"}
    assert retriever.search("نص ثالث")[0].passage.doc_id == "ع.txt"


def test_what_goes_wrong_while_it_is_written_leaves_the_old_index(place, tmp_path, fake_embedder):
    corpus = fill(tmp_path / "corpus", {"a.txt": "The first text."})
    build_index(corpus, place, embedder=fake_embedder)
    fill(corpus, {"b.txt": "A second one."})

    def stop(step):
        if step.stage == "write" and step.done:
            raise BuildCancelledError("enough")

    with pytest.raises(BuildCancelledError):
        build_index(corpus, place, embedder=fake_embedder, progress=stop)
    store = open_store(place)
    assert store.generations() == [store.current_name()] == ["gen-000001"]
    assert build_index(corpus, place, embedder=fake_embedder).generation == "gen-000002"


def test_several_readers_follow_a_rebuild_and_their_snapshots_are_not_disturbed(place, fake_embedder, monkeypatch):
    monkeypatch.setattr("rag.retriever.live._LOOK_INTERVAL_S", 0.0)
    write(place, fake_embedder, {"a.txt": "The first text."})
    readers = [Retriever.open(place, embedder=fake_embedder) for _ in range(2)]
    old = [reader.snapshot() for reader in readers]
    name = write(place, fake_embedder, {"b.txt": "A second one."})
    for reader, before in zip(readers, old, strict=True):
        assert reader.snapshot().generation.name == name
        assert {hit.passage.doc_id for hit in reader.search("text")} == {"b.txt"}
        assert {hit.passage.doc_id for hit in before.search("text")} == {"a.txt"}
        assert list(before.generation.documents) == ["a.txt"]


def test_no_reader_sees_half_a_generation(in_milvus, fake_embedder, monkeypatch):
    monkeypatch.setattr("rag.retriever.live._LOOK_INTERVAL_S", 0.0)

    def stamped(number):
        return {f"{n}.txt": f"generation{number} budget plan {n}" for n in range(6)}

    write(in_milvus, fake_embedder, stamped(0))
    retriever = Retriever.open(in_milvus, embedder=fake_embedder)
    problems, done, seen = [], threading.Event(), set()

    def read():
        while not done.is_set():
            try:
                snapshot = retriever.snapshot()
                hits = snapshot.search("budget plan", top_k=30)
                stamps = {snapshot.document(hit.passage.doc_id).text.split()[0] for hit in hits}
                seen.update(stamps)
                if len(stamps) != 1 or len(hits) != 12:
                    problems.append((stamps, len(hits)))
            except Exception as error:  # noqa: BLE001
                problems.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 3):
        write(in_milvus, fake_embedder, stamped(number))
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(seen) > 1


def test_a_second_builder_is_refused(place, fake_embedder, monkeypatch):
    monkeypatch.setattr("rag.store.milvus_store.BEAT_S", 0.2)
    store = open_store(place)
    with store.lock(), pytest.raises(IndexLockedError, match="is being built by another process"):
        with open_store(place).lock():
            raise AssertionError
    with open_store(place).lock():
        pass
    with pytest.raises(RuntimeError, match="needs the builder's lock"):
        store.write_generation(make_draft(fake_embedder))


def test_another_embedder_is_refused(both):
    for retriever in both:
        with pytest.raises(IndexMismatchError, match=r"built with embedder .* \(hash\) but .* \(other\)"):
            address = getattr(retriever._store, "_milvus", None)
            Retriever.open(
                address.address if address else retriever.index_dir, embedder=HashEmbedder(name="other", seed=1)
            )


# ---- what is Milvus's own


def test_the_lock_of_a_dead_builder_is_taken_away_and_what_it_left_removed(in_milvus, fake_embedder, monkeypatch):
    monkeypatch.setattr("rag.store.milvus_store.BEAT_S", 0.1)
    monkeypatch.setattr("rag.store.milvus_store.LEASE_S", 0.5)
    store = open_store(in_milvus)
    milvus = store._milvus
    for left in (
        f"{milvus.name}_builder_dead_a",
        f"{milvus.name}_gen_000007_building",
        f"{milvus.name}_gen_000007_passages",
    ):
        milvus.create_blobs(left)
    milvus("create_alias", f"{milvus.name}_builder_dead_a", f"{milvus.name}_lock")
    assert store.generations() == []
    assert write(in_milvus, fake_embedder, {"a.txt": "The first text."}) == "gen-000001"
    own = [each for each in milvus("list_collections") if each.startswith(f"{milvus.name}_")]
    assert sorted(own) == [f"{milvus.name}_gen_000001", f"{milvus.name}_gen_000001_passages"]


def test_a_builder_that_lost_its_lock_does_not_go_live(in_milvus, fake_embedder):
    store = open_store(in_milvus)
    with store.lock():
        store._milvus("drop_alias", f"{store._milvus.name}_lock")
        with pytest.raises(IndexLockedError):
            store.write_generation(make_draft(fake_embedder))
    assert store.generations() == []


def test_lost_passages_are_found_and_the_generation_before_answers_with_a_warning(in_milvus, fake_embedder):
    store = open_store(in_milvus)
    write(in_milvus, fake_embedder, {"a.txt": "The first text."})
    name = write(in_milvus, fake_embedder, {"b.txt": "A second one."})
    store._milvus("delete", f"{store._milvus.name}_gen_000002_passages", ids=[1])
    with pytest.raises(IndexCorruptError, match="holds 1 of 2 passages"):
        store.open(name)
    (problem,) = store.verify()
    assert "rag rollback" in problem and name in problem
    retriever = Retriever.open(in_milvus, embedder=fake_embedder)
    assert "Answers come from gen-000001 meanwhile" in retriever.warning
    assert retriever.search("text")[0].passage.doc_id == "a.txt"
    store._milvus("drop_alias", f"{store._milvus.name}_live")
    with pytest.raises(IndexCorruptError, match="lacks the alias"):
        store.current_name()


def test_a_changed_document_is_found(in_milvus, fake_embedder):
    store = open_store(in_milvus)
    write(in_milvus, fake_embedder, {"a.txt": "The first text."})
    collection = f"{store._milvus.name}_gen_000001"
    (row,) = [
        row
        for row in store._milvus("query", collection, filter="", output_fields=["key", "data"], limit=100)
        if row["key"].startswith("document-")
    ]
    store._milvus("upsert", collection, [{"key": row["key"], "data": "1 damaged", "nothing": [0.0, 1.0]}])
    (problem,) = store.verify()
    assert "is damaged" in problem and "rag rollback" in problem


def test_a_milvus_that_is_gone_is_one_clear_error(tmp_path, fake_embedder, monkeypatch):
    from milvus_lite.server_manager import server_manager_instance

    monkeypatch.setattr("rag.store.milvus_client._READ_S", 0.5)
    with pytest.raises(
        RagError, match=r"milvus:http://127\.0\.0\.1:9 does not do its work.*See that Milvus runs there"
    ):
        Retriever.open("milvus:http://user:secret@127.0.0.1:9", embedder=fake_embedder)
    monkeypatch.setattr("rag.store.milvus_client._READ_S", 10.0)
    address = f"milvus:{tmp_path / 'gone.db'}"
    write(address, fake_embedder, {"a.txt": "The first text."})
    retriever = Retriever.open(address, embedder=fake_embedder)
    monkeypatch.setattr("rag.store.milvus_client._READ_S", 0.5)
    server_manager_instance.release_server(str(tmp_path / "gone.db"))
    with pytest.raises(RagError, match=r"gone\.db: \w+ failed"):
        retriever.search("text")
    assert retriever.refresh() and "Still serving gen-000001" in retriever.warning


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("milvus:", "no address of an index in Milvus"),
        ("milvus:http://host:19530#no/name", "no address of an index in Milvus"),
        ("milvus:file.txt", r"must end in \.db"),
    ],
)
def test_a_wrong_address_says_what_is_right(address, message):
    with pytest.raises(RagError, match=message):
        open_store(address)


def test_an_address_survives_as_a_path_and_shows_no_password(tmp_path):
    store = open_store(Path("milvus:http://user:secret@host:19530/db#docs"))
    assert store._milvus.uri == "http://user:secret@host:19530/db"
    assert store._milvus.address == "milvus:http://host:19530/db#docs"
    assert isinstance(store, MilvusStore) and isinstance(open_store(tmp_path), IndexStore)


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr("rag.store.milvus_client.find_spec", lambda name: None)
    with pytest.raises(RagError, match=r"pip install 'sanad\[milvus\]'"):
        open_store("milvus:http://host:19530")


def test_a_file_that_is_not_there_is_no_index_and_is_not_made(tmp_path, fake_embedder):
    with pytest.raises(IndexNotFoundError, match="rag build --index-dir milvus:"):
        Retriever.open(f"milvus:{tmp_path / 'none.db'}", embedder=fake_embedder)
    with pytest.raises(IndexNotFoundError):
        open_store(f"milvus:{tmp_path / 'none.db'}").rollback()
    assert not (tmp_path / "none.db").exists()


def test_the_commands_take_an_address(tmp_path, in_milvus, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = fill(tmp_path / "corpus", {"en.txt": CORPUS["en/budget.txt"], "ar.txt": CORPUS["ar/influencers.txt"]})

    def run(*words, status=0):
        assert main([*words, "--index-dir", in_milvus]) == status
        return capsys.readouterr()

    assert f"{in_milvus}/gen-000001: 2 documents" in run("build", str(corpus)).out
    found = json.loads(run("search", "من يروج للمنتجات؟", "--json").out)
    assert found["hits"][0]["doc_id"] == "ar.txt"
    answer = json.loads(run("ask", "What does a campaign budget say?", "--json").out)
    assert {citation["doc_id"] for citation in answer["citations"]} == {"en.txt"}
    assert "everything in it is whole" in run("verify").out
    assert "no earlier intact generation" in run("rollback", status=1).err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus"]


def test_servers_without_files_answer_from_one_index(in_milvus, fake_embedder):
    from rag.server.service import ChatService

    write(in_milvus, fake_embedder, {"a.txt": "The first text."})
    for _ in range(2):
        service = ChatService(in_milvus, embedder=fake_embedder)
        _, hits = service.search("text")
        assert hits[0].passage.doc_id == "a.txt"
        assert service.health()["passages"] == 2
        assert [row.doc_id for row in service.documents()] == ["a.txt"]
        assert service.index_dir == Path("index")
