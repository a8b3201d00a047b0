"""The retriever: exact against a plain computation, filters, snapshots, following the index, and mismatches."""

from __future__ import annotations

import logging
import threading
import time

import numpy as np
import pytest

from rag.builder import build_index
from rag.config import RetrievalConfig
from rag.datatypes import Document, Passage
from rag.dictionary import default_dictionary
from rag.errors import IndexFormatError, IndexMismatchError, IndexNotFoundError
from rag.fusion import Moments, default_weights, fuse, standardise
from rag.lexical import LexicalLeg
from rag.retriever import Retriever
from rag.store import Bm25Index, Draft, IndexStore, SegmentDraft, VectorIndex
from rag.text.analyzers import terms

CORPUS = {
    "ar/market.txt": "التسويق الرقمي يصل إلى الجمهور عبر الإنترنت.",
    "ar/influencers.txt": "المؤثرون يروجون للمنتجات أمام متابعيهم مقابل أجر.",
    "ar/seo.txt": "تحسين محركات البحث SEO يرفع ترتيب الموقع.",
    "en/market.txt": "Digital marketing reaches the audience over the internet.",
    "en/budget.txt": "A campaign budget says how much each channel may cost.",
    "en/email.txt": "An email newsletter keeps subscribers close to the brand.",
}


@pytest.fixture
def write_index(fake_embedder):
    """Return a function that writes texts, one passage each, as the next generation of an index."""

    def write(folder, texts):
        documents = [
            Document(doc_id, doc_id, text, "ar" if doc_id.startswith("ar/") else "en", f"{n:064x}")
            for n, (doc_id, text) in enumerate(sorted(texts.items()))
        ]
        passages = [Passage(d.doc_id, 0, len(d.text), d.text, d.language, d.title) for d in documents if d.text]
        bm25 = {}
        for language in sorted({passage.language for passage in passages}):
            rows = np.array([row for row, p in enumerate(passages) if p.language == language], dtype=np.int64)
            bm25[language] = (Bm25Index.build([terms(passages[row].text, language) for row in rows]), rows)
        vectors = VectorIndex.build(fake_embedder.encode_passages([p.text for p in passages]))
        segment = SegmentDraft(documents, passages, [""] * len(passages), vectors, bm25)
        draft = Draft([segment], fake_embedder.fingerprint, chunking={}, loading={}, pipeline={})
        store = IndexStore(folder)
        with store.lock():
            return store.write_generation(draft)

    return write


@pytest.fixture
def retriever(tmp_path, write_index, fake_embedder):
    write_index(tmp_path, CORPUS)
    return Retriever.open(tmp_path, embedder=fake_embedder)


def ids(hits):
    return [hit.passage.doc_id for hit in hits]


@pytest.mark.parametrize(
    ("query", "doc_id"),
    [
        ("How much does a campaign budget cost?", "en/budget.txt"),
        ("من يروج للمنتجات؟", "ar/influencers.txt"),
        ("newsletter subscribers", "en/email.txt"),
        ("ما هو SEO؟", "ar/seo.txt"),
        ("SEO", "ar/seo.txt"),
        ("كم تكلفة الحملة؟", "en/budget.txt"),
        ("Who are influencers?", "ar/influencers.txt"),
    ],
)
def test_a_question_finds_its_passage_in_its_own_and_in_the_other_language(retriever, query, doc_id):
    assert retriever.search(query, language=doc_id[:2])[0].passage.doc_id == doc_id


def test_scores_are_those_of_a_plain_computation(retriever, fake_embedder):
    query = "digital marketing budget"
    hits = retriever.search(query, top_k=6)
    texts = sorted(CORPUS.items())
    cosines = fake_embedder.encode_passages([text for _, text in texts]) @ fake_embedder.encode_queries([query])[0]
    shares = np.zeros(6)
    lexical = np.zeros(6)
    rows = {"ar": np.arange(3), "en": np.arange(3, 6)}
    for language, part in rows.items():
        index = Bm25Index.build([terms(texts[row][1], language) for row in part])
        scored = LexicalLeg(index, language, default_dictionary()).score(query, "en")
        lexical[part], shares[part] = scored.scores, scored.shares
    expected = np.zeros(6)
    for language, part in rows.items():
        numbers = np.stack(
            [
                standardise(cosines[part].astype(float), Moments.of(cosines[part]), Moments.of(cosines)),
                standardise(shares[part], Moments.of(shares[part]), Moments.of(shares)),
                shares[part],
                np.ones(3),
            ],
            axis=1,
        )
        bonus = RetrievalConfig().own_language_bonus if language == "en" else 0.0
        expected[part] = fuse(numbers, default_weights().of("en", language)) + bonus
    order = np.argsort(-expected, kind="stable")
    assert ids(hits) == [texts[row][0] for row in order]
    np.testing.assert_allclose([hit.score for hit in hits], expected[order], rtol=1e-5)
    np.testing.assert_allclose([hit.dense_score for hit in hits], cosines[order], atol=1e-6)
    np.testing.assert_allclose([hit.bm25_score for hit in hits], lexical[order], rtol=1e-6)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5, 6]
    for hit, row in zip(hits, order, strict=True):
        part = rows[hit.passage.language]
        assert (
            hit.dense_rank
            == 1 + (cosines[part] > cosines[row]).sum() + (cosines[part[part < row]] == cosines[row]).sum()
        )
        assert (hit.bm25_rank is None) == (lexical[row] == 0)


def test_top_k_is_clamped_and_checked(retriever):
    assert len(retriever.search("marketing", top_k=1)) == 1
    assert len(retriever.search("marketing", top_k=99)) == 6
    assert len(retriever.search("marketing")) == RetrievalConfig().top_k
    for wrong in (0, -3):
        with pytest.raises(ValueError, match="top_k must be at least 1"):
            retriever.search("marketing", top_k=wrong)


def test_a_smaller_search_is_the_beginning_of_a_larger_one(retriever):
    whole = retriever.search("digital budget التسويق", top_k=6)
    for top_k in range(1, 6):
        assert retriever.search("digital budget التسويق", top_k=top_k) == whole[:top_k]


@pytest.mark.parametrize("query", ["", "   ", "\n\t\u00a0"])
def test_a_blank_query_is_the_callers_mistake(retriever, query):
    with pytest.raises(ValueError, match="query is empty"):
        retriever.search(query)


@pytest.mark.parametrize("query", ["؟", "...", "2020", "🙂", "\ud800", "\u202e", "x" * 20_000, "سلام " * 3000, "不明"])
def test_any_other_query_is_fine(retriever, query):
    hits = retriever.search(query, top_k=6)
    assert len(hits) == 6
    assert all(np.isfinite(hit.score) for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_filters_keep_scores_and_leave_only_what_passes(retriever):
    whole = {hit.passage.doc_id: hit.score for hit in retriever.search("marketing budget", top_k=6)}
    arabic = retriever.search("marketing budget", top_k=6, language="ar")
    assert sorted(ids(arabic)) == sorted(doc_id for doc_id in CORPUS if doc_id.startswith("ar/"))
    chosen = retriever.search("marketing budget", top_k=6, doc_ids={"en/email.txt", "ar/seo.txt", "no/such.txt"})
    assert sorted(ids(chosen)) == ["ar/seo.txt", "en/email.txt"]
    for hit in (*arabic, *chosen):
        assert hit.score == whole[hit.passage.doc_id]
    assert [hit.rank for hit in chosen] == [1, 2]
    assert {hit.dense_rank for hit in chosen} == {1}
    both = retriever.search("marketing", language="en", doc_ids=["ar/seo.txt", "en/email.txt"])
    assert ids(both) == ["en/email.txt"]
    assert retriever.search("marketing", language="fr") == []
    assert retriever.search("marketing", doc_ids=[]) == []
    with pytest.raises(ValueError, match="collection of ids"):
        retriever.search("marketing", doc_ids="en/email.txt")


def test_filters_come_before_the_candidates_are_cut(tmp_path, write_index, fake_embedder):
    texts = {f"en/{n:03}.txt": f"budget budget plan {n}" for n in range(60)} | {
        "en/zzz.txt": "a budget among others here"
    }
    write_index(tmp_path, texts)
    retriever = Retriever.open(tmp_path, embedder=fake_embedder, config=RetrievalConfig(top_k=3, candidates=5))
    assert ids(retriever.search("budget", doc_ids=["en/zzz.txt"])) == ["en/zzz.txt"]
    assert len(retriever.search("budget", top_k=30)) == 30


def test_equal_scores_keep_the_order_of_the_index(tmp_path, write_index, fake_embedder):
    write_index(tmp_path, {f"en/{n}.txt": "the same words" for n in range(7)})
    hits = Retriever.open(tmp_path, embedder=fake_embedder).search("same words", top_k=7)
    assert ids(hits) == [f"en/{n}.txt" for n in range(7)]
    assert [hit.dense_rank for hit in hits] == [hit.bm25_rank for hit in hits] == [1, 2, 3, 4, 5, 6, 7]


def test_an_index_without_passages_finds_nothing(tmp_path, fake_embedder):
    store = IndexStore(tmp_path)
    segment = SegmentDraft([], [], [], VectorIndex.build(np.zeros((0, 64), np.float32)), {})
    draft = Draft([segment], fake_embedder.fingerprint, {}, {}, {})
    with store.lock():
        store.write_generation(draft)
    retriever = Retriever.open(tmp_path, embedder=fake_embedder)
    assert retriever.search("anything") == []
    assert retriever.search(["any", "thing"], diversity=0.5, metadata={"author": "Jane"}) == [[], []]


def test_a_snapshot_speaks_for_its_index(retriever):
    snapshot = retriever.snapshot()
    assert snapshot.document("en/email.txt").text == CORPUS["en/email.txt"]
    with pytest.raises(KeyError):
        snapshot.document("no/such.txt")
    assert snapshot.idf("budget", "en") == pytest.approx(np.log(1 + 2.5 / 1.5))
    assert snapshot.idf("zzz", "en") > snapshot.idf("budget", "en")
    assert snapshot.idf("budget", "fr") == 0
    assert "market" in dict(snapshot.translate("تسويق", "ar", "en"))
    assert snapshot.translate("market", "en", "en") == [("market", 1.0)]
    assert snapshot.translate("market", "en", "fr") == []


def test_names_of_the_passages_count_as_translations(tmp_path, write_index, fake_embedder):
    write_index(tmp_path, {"en/a.txt": "Grainger spoke", "ar/a.txt": "تحدث غرينجر"})
    snapshot = Retriever.open(tmp_path, embedder=fake_embedder).snapshot()
    assert [term for term, _ in snapshot.translate("غرينجر", "ar", "en")] == ["grainger"]


def test_a_rebuild_is_followed_and_a_snapshot_is_not_disturbed(tmp_path, write_index, retriever, monkeypatch):
    old = retriever.snapshot()
    changed = {**CORPUS, "en/new.txt": "Retargeting shows an ad again to former visitors."}
    name = write_index(tmp_path, changed)
    assert retriever.snapshot() is old  # looked at less than half a second ago
    monkeypatch.setattr("rag.retriever.live._LOOK_INTERVAL_S", 0.0)
    new = retriever.snapshot()
    assert new.generation.name == name
    assert ids(new.search("retargeting visitors"))[0] == "en/new.txt"
    assert "en/new.txt" not in old.generation.documents
    assert "en/new.txt" not in ids(old.search("retargeting visitors", top_k=9))
    assert retriever.snapshot() is new


def test_a_running_retriever_sees_a_rebuild_within_two_seconds(tmp_path, write_index, retriever):
    write_index(tmp_path, {"en/only.txt": "Only this is left."})
    deadline = time.monotonic() + 2
    while "en/only.txt" not in ids(retriever.search("left")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_index_is_looked_at_twice_a_second_at_most(retriever, monkeypatch):
    looks = []
    real = retriever._store.current_name
    monkeypatch.setattr(retriever._store, "current_name", lambda: looks.append(1) or real())
    for _ in range(50):
        retriever.search("marketing")
    assert len(looks) <= 1


def test_a_damaged_rebuild_is_left_alone_with_one_warning(tmp_path, write_index, retriever, monkeypatch, caplog):
    monkeypatch.setattr("rag.retriever.live._LOOK_INTERVAL_S", 0.0)
    before = retriever.search("marketing")
    name = write_index(tmp_path, {"en/only.txt": "Only this is left."})
    path = tmp_path / name / "vectors.faiss"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert retriever.search("marketing") == before
    assert len(caplog.records) == 1
    assert "Still serving gen-000001" in caplog.text
    good = write_index(tmp_path, {"en/only.txt": "Only this is left."})
    assert retriever.snapshot().generation.name == good


def test_a_vanished_index_is_served_on_with_one_warning(tmp_path, retriever, monkeypatch, caplog):
    monkeypatch.setattr("rag.retriever.live._LOOK_INTERVAL_S", 0.0)
    before = retriever.search("marketing")
    (tmp_path / "CURRENT").rename(tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert retriever.search("marketing") == before
    assert len(caplog.records) == 1
    (tmp_path / "away").rename(tmp_path / "CURRENT")
    assert retriever.search("marketing") == before


def test_another_embedder_is_refused_with_both_names_and_the_remedy(tmp_path, write_index, fake_embedder):
    write_index(tmp_path, CORPUS)
    other = type(fake_embedder)(seed=1, name="other")
    with pytest.raises(
        IndexMismatchError, match=r"built with embedder [0-9a-f]{8} \(hash\) but [0-9a-f]{8} \(other\)"
    ) as e:
        Retriever.open(tmp_path, embedder=other)
    assert f"rag build --index-dir {tmp_path}" in str(e.value)
    renamed = type(fake_embedder)(name="renamed")
    assert Retriever.open(tmp_path, embedder=renamed).search("marketing")


def test_a_rebuild_with_another_embedder_is_not_followed(
    tmp_path, write_index, retriever, fake_embedder, monkeypatch, caplog
):
    monkeypatch.setattr("rag.retriever.live._LOOK_INTERVAL_S", 0.0)
    before = retriever.search("marketing")
    monkeypatch.setattr(fake_embedder, "seed", 5)
    write_index(tmp_path, {"en/only.txt": "Only this is left."})
    monkeypatch.setattr(fake_embedder, "seed", 0)
    assert retriever.search("marketing") == before
    assert "was built with embedder" in caplog.text


def test_no_index_and_a_damaged_index_are_named(tmp_path, write_index, fake_embedder):
    with pytest.raises(IndexNotFoundError):
        Retriever.open(tmp_path / "none", embedder=fake_embedder)
    name = write_index(tmp_path, CORPUS)
    (tmp_path / name / "passages.jsonl").write_bytes(b"{}")
    with pytest.raises(IndexFormatError):
        Retriever.open(tmp_path, embedder=fake_embedder)


def test_readers_in_many_threads_see_whole_generations_while_the_index_is_rebuilt(
    tmp_path, write_index, fake_embedder, monkeypatch
):
    monkeypatch.setattr("rag.retriever.live._LOOK_INTERVAL_S", 0.0)

    def stamped(number):
        return {f"en/{n}.txt": f"generation{number} budget plan {n}" for n in range(8)}

    write_index(tmp_path, stamped(0))
    retriever = Retriever.open(tmp_path, embedder=fake_embedder)
    problems = []
    done = threading.Event()

    def read():
        while not done.is_set():
            try:
                snapshot = retriever.snapshot()
                hits = snapshot.search("budget plan", top_k=8)
                stamps = {hit.passage.text.split()[0] for hit in hits}
                texts = {snapshot.document(hit.passage.doc_id).text == hit.passage.text for hit in hits}
                if len(stamps) != 1 or texts != {True} or len(hits) != 8:
                    problems.append((stamps, texts))
            except Exception as error:  # noqa: BLE001
                problems.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 9):
        write_index(tmp_path, stamped(number))
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert retriever.search("budget")[0].passage.text.startswith("generation8")


def test_an_index_built_from_files_is_searched(tmp_path, make_corpus, fake_embedder):
    corpus = make_corpus(tmp_path / "corpus", CORPUS)
    build_index(corpus, tmp_path / "index", embedder=fake_embedder)
    retriever = Retriever.open(tmp_path / "index", embedder=fake_embedder)
    hit = retriever.search("campaign budget cost")[0]
    assert hit.passage.doc_id == "en/budget.txt"
    assert (
        retriever.snapshot().document(hit.passage.doc_id).text[hit.passage.start : hit.passage.end] == hit.passage.text
    )


def test_a_search_in_each_language_is_that_in_each_alone(retriever):
    snapshot = retriever.snapshot()
    wanted = {"ar": 2, "en": 3, "fr": 1}
    for query in ("digital marketing budget", "ميزانية التسويق", "what is SEO?"):
        found = snapshot.search_each(query, wanted)
        assert found == {language: snapshot.search(query, top_k=n, language=language) for language, n in wanted.items()}
        some = [hit.passage.doc_id for hit in found["en"][1:]]
        filtered = snapshot.search_each(query, {"en": 3}, doc_ids=some)
        assert filtered == {"en": snapshot.search(query, top_k=3, language="en", doc_ids=some)}
    assert snapshot.search_each("budget", {}) == {}
    for query, top_k, message in ((" ", {"en": 1}, "empty"), ("budget", {"en": 0}, "at least 1")):
        with pytest.raises(ValueError, match=message):
            snapshot.search_each(query, top_k)
