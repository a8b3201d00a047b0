"""A large index is several segments: a build writes anew what changed, and a search sees one index."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from drafts import make_draft

from rag.builder import build_index
from rag.retriever import Retriever
from rag.store import Bm25Index, IndexStore, fsio, reuse
from rag.store.bm25 import JoinedBm25
from rag.store.lines import Lines
from rag.store.manifest import read_manifest
from rag.store.vectors import Codes, Part, VectorIndex

WORDS = "budget channel tomato light water campaign metric reach brand audience post story video email".split()


def text_of(number: int) -> str:
    rng = np.random.default_rng(number)
    parts = [f"# Paper {number}\n"]
    for section in range(4):
        words = " ".join(rng.choice(WORDS, 30))
        parts.append(f"## Part {section} of {number}\n\nThe {words}. Number {number}-{section}.\n")
    return "\n".join(parts)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    monkeypatch.setattr(reuse, "_ONE_SEGMENT", 8)
    monkeypatch.setattr(reuse, "SEGMENT_PASSAGES", 40)
    monkeypatch.setattr("rag.drafting.SEGMENT_PASSAGES", 40)


@pytest.fixture
def corpus(tmp_path, make_corpus):
    return make_corpus(tmp_path / "corpus", {f"{number:02}.md": text_of(number) for number in range(30)})


@pytest.fixture
def build(tmp_path, corpus, fake_embedder):
    return lambda: build_index(corpus, tmp_path / "index", embedder=fake_embedder)


@pytest.fixture
def store(tmp_path):
    return IndexStore(tmp_path / "index")


def inodes(store):
    folder = store.index_dir / store.current_name()
    return {path.stat().st_ino: path.name for path in folder.iterdir()}


def found(retriever, query):
    hits = retriever.search(query, top_k=10)
    return [(hit.passage.doc_id, hit.passage.start, round(hit.score, 6), hit.dense_rank, hit.bm25_rank) for hit in hits]


def same_as_one_segment(index_dir, corpus, tmp_path, embedder, monkeypatch):
    """Say whether a search finds what it finds in an index of the same documents that was never cut up."""
    with monkeypatch.context() as patch:
        patch.setattr("rag.drafting.SEGMENT_PASSAGES", 10**6)
        patch.setattr(reuse, "_ONE_SEGMENT", 10**6)
        whole = tmp_path / "whole"
        build_index(corpus, whole, embedder=embedder)
    left, right = Retriever.open(index_dir, embedder=embedder), Retriever.open(whole, embedder=embedder)
    assert len(right.snapshot().generation.segments) == 1
    for query in ("the water of paper 7", "email campaign", "number 3-2", "nothing of that"):
        ours, theirs = found(left, query), found(right, query)
        assert sorted(ours) == sorted(theirs) or [row[2] for row in ours] == [row[2] for row in theirs]
        assert ours[0] == theirs[0]
    return True


def test_a_large_corpus_is_cut_into_segments_and_found_in_as_one(
    build, store, corpus, tmp_path, fake_embedder, monkeypatch
):
    report = build()
    manifest = read_manifest(store.index_dir / "gen-000001")
    assert (manifest.format_version, manifest.segments) == (2, -(-report.passages // 40))
    generation = store.open_current()
    assert list(generation.documents) == sorted(generation.documents) and len(generation.passages) == report.passages
    assert same_as_one_segment(store.index_dir, corpus, tmp_path, fake_embedder, monkeypatch)


def test_one_more_document_leaves_the_other_files_as_they_are(
    build, store, corpus, tmp_path, fake_embedder, monkeypatch
):
    build()
    before = inodes(store)
    retriever = Retriever.open(store.index_dir, embedder=fake_embedder)
    old = retriever.snapshot().generation
    fake_embedder.encoded.clear()
    (corpus / "15b.md").write_text("# New\n\nPelicans want fish.\n")
    report = build()
    assert (report.added, report.unchanged, report.embedded, len(fake_embedder.encoded)) == (1, 30, 1, 1)
    assert len(before.keys() & inodes(store).keys()) == 4 * len(old.segments)
    new = retriever.refresh().generation
    assert set(old.segments) < set(new.segments) and len(new.segments) == len(old.segments) + 1
    assert retriever.search("pelicans")[0].passage.doc_id == "15b.md"
    assert store.verify() == [] and list(new.documents) == sorted(new.documents)
    assert same_as_one_segment(store.index_dir, corpus, tmp_path, fake_embedder, monkeypatch)


def test_what_changed_or_went_leaves_no_trace_in_any_file(build, store, corpus, tmp_path, fake_embedder, monkeypatch):
    (corpus / "03.md").write_text(text_of(3) + "\nThe secret word is xylograph.\n")
    build()
    before = inodes(store)
    fake_embedder.encoded.clear()
    (corpus / "03.md").write_text(text_of(3))
    (corpus / "04.md").unlink()
    report = build()
    assert (report.updated, report.removed, report.unchanged) == (1, 1, 28) and len(fake_embedder.encoded) <= 2
    shared = before.keys() & inodes(store).keys()
    assert 0 < len(shared) < len(before)
    folder = store.index_dir / store.current_name()
    assert not any(b"xylograph" in path.read_bytes() for path in folder.iterdir())
    assert not any(b'"04.md"' in path.read_bytes() for path in folder.iterdir())
    assert same_as_one_segment(store.index_dir, corpus, tmp_path, fake_embedder, monkeypatch)


def test_a_copy_of_what_stays_as_it_is_is_not_embedded_again(build, store, corpus, fake_embedder):
    (corpus / "copy").mkdir()
    build()
    fake_embedder.encoded.clear()
    (corpus / "copy" / "07.md").write_text(text_of(7))
    report = build()
    assert (report.added, report.embedded, fake_embedder.encoded) == (1, 0, [])
    generation = store.open_current()
    rows = [
        [row for row, each in enumerate(generation.passages) if each.doc_id == name] for name in ("07.md", "copy/07.md")
    ]
    left, right = (generation.vectors.reconstruct(np.array(own)) for own in rows)
    np.testing.assert_array_equal(left, right)


def test_many_small_builds_make_few_segments(build, store, corpus, fake_embedder):
    build()
    n_large = len(store.open_current().segments)
    for number in range(12):
        (corpus / f"new {number}.md").write_text(f"# New {number}\n\nA pelican of the name {number}.\n")
        build()
    generation = store.open_current()
    assert len(generation.segments) <= n_large + 3
    assert len(generation.documents) == 42
    assert len(fake_embedder.encoded) == len(set(fake_embedder.encoded))  # nothing twice


def test_an_index_that_shrinks_is_one_segment_again(build, store, corpus):
    build()
    for number in range(1, 30):
        (corpus / f"{number:02}.md").unlink()
    build()
    manifest = read_manifest(store.index_dir / store.current_name())
    assert (manifest.format_version, manifest.segments) == (1, 1)


@pytest.mark.parametrize("name", ["s2-vectors.faiss", "s2-passages.jsonl", "documents.jsonl"])
def test_of_a_damaged_segment_nothing_is_used_and_nothing_else_is_embedded_again(build, store, fake_embedder, name):
    build()
    path = store.index_dir / "gen-000001" / name
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)
    assert f"{name} is damaged" in store.verify()[0]
    generation = store.open_current()
    n_lost = 30 - len(generation.documents)
    assert 0 < n_lost < 15 and len(generation.segments) == 2
    assert f"{name} is damaged" in generation.warning
    assert f"from {len(generation.documents)} documents of gen-000001 meanwhile" in generation.warning
    assert f"{len(generation.documents)} documents of" in store.standing()
    retriever = Retriever.open(store.index_dir, embedder=fake_embedder)
    assert retriever.search("budget", top_k=5) and retriever.warning == generation.warning
    fake_embedder.encoded.clear()
    report = build()
    assert len(fake_embedder.encoded) == report.embedded == 4 * n_lost
    assert (report.documents, report.passages) == (30, 120)
    assert retriever.refresh().generation.warning is None and store.open_current().warning is None


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.ENOTSUP])
def test_where_files_have_one_name_only_they_are_copied(build, store, corpus, monkeypatch, number):
    build()

    def no_link(source, target):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fsio.os, "link", no_link)
    (corpus / "new.md").write_text("# New\n\nA pelican.\n")
    build()
    assert store.verify() == [] and len(store.open_current().documents) == 31


def test_a_failure_while_taking_over_leaves_the_old_index(build, store, corpus, monkeypatch):
    build()

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fsio.os, "link", full)
    (corpus / "new.md").write_text("# New\n\nA pelican.\n")
    with pytest.raises(Exception, match="no space left.*is untouched"):
        build()
    assert store.generations() == ["gen-000001"] and store.verify() == []


# ---- what a search sees as one


def test_joined_bm25_is_that_of_all_texts():
    rng = np.random.default_rng(0)
    lists = [rng.choice(WORDS, rng.integers(0, 9)).tolist() for _ in range(50)]
    whole = Bm25Index.build(lists)
    joined = JoinedBm25([Bm25Index.build(lists[:20]), Bm25Index.build([]), Bm25Index.build(lists[20:])])
    assert (joined.n_rows, joined.terms) == (50, whole.terms)
    np.testing.assert_array_equal(joined.lengths, whole.lengths)
    for term in [*WORDS, "unknown"]:
        assert (term in joined) == (term in whole)
        assert joined.idf(term) == whole.idf(term)
        for left, right in zip(joined.postings(term), whole.postings(term), strict=True):
            np.testing.assert_array_equal(left, right)
    rows = rng.permutation(50)[:30]
    taken = Bm25Index.build([[]] * 30, base=(joined, rows))
    plain = Bm25Index.build([lists[row] for row in rows])
    for name, values in plain.to_arrays().items():
        np.testing.assert_array_equal(taken.to_arrays()[name], values)


def unit_rows(n, dim, seed):
    matrix = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def test_joined_vectors_are_those_of_all():
    matrix, queries = unit_rows(60, 8, 0), unit_rows(5, 8, 1)
    whole = VectorIndex.build(matrix)
    joined = VectorIndex.joined([VectorIndex.build(part) for part in (matrix[:10], matrix[10:10], matrix[10:])])
    for query in queries:
        np.testing.assert_array_equal(joined.cosines(query), whole.cosines(query))
    rows = np.random.default_rng(2).permutation(60)[:33]
    np.testing.assert_array_equal(joined.reconstruct(rows), matrix[rows])
    np.testing.assert_array_equal(joined.cosines(queries[0], rows), whole.cosines(queries[0], rows))
    with pytest.raises(ValueError, match="different lengths"):
        VectorIndex.joined([VectorIndex.build(unit_rows(3, 8, 0)), VectorIndex.build(unit_rows(3, 9, 0))])


# ---- many vectors: codes


@pytest.fixture(scope="module")
def many():
    """Vectors that lie in clusters, as those of texts do."""
    rng = np.random.default_rng(5)
    matrix = unit_rows(300, 96, 3)[rng.integers(300, size=20_000)] + 0.7 * unit_rows(20_000, 96, 4)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("share", [1.0, 0.6, 0.05])
def test_through_codes_the_nearest_are_found_also_among_those_that_a_filter_leaves(many, share):
    rng = np.random.default_rng(6)
    vectors, rows = VectorIndex.build(many), np.arange(100, 20_000)
    part = Part(vectors, rows, [(0, Codes(vectors, rows[:12_000])), (12_000, Codes(vectors, rows[12_000:19_000]))])
    assert not part.is_exact
    hit = 0
    for query in many[rng.integers(20_000, size=40)]:
        query = query + 0.3 * unit_rows(1, 96, int(rng.integers(10**6)))[0]
        query /= np.linalg.norm(query)
        eligible = rng.random(len(rows)) < share
        cosines = np.where(eligible, many[rows] @ query, -2)
        expected = np.argsort(-cosines, kind="stable")[:10]
        got = part.nearest(query, eligible, 50)
        assert len(got) == 50 and eligible[got].all()
        assert (np.diff(part.cosines(query, got)) <= 0).all()
        hit += len(set(expected) & set(got[:10].tolist()))
    assert hit >= 0.99 * 400


def test_a_filter_that_leaves_out_all_that_is_near_still_finds_as_many_as_are_wanted(many):
    vectors, rows = VectorIndex.build(many), np.arange(20_000)
    part = Part(vectors, rows, [(0, Codes(vectors, rows))])
    cosines = many @ many[0]
    eligible = cosines < np.quantile(cosines, 0.5)
    got = part.nearest(many[0], eligible, 50)
    assert len(got) == 50 and eligible[got].all()
    assert part.nearest(many[0], np.zeros(20_000, dtype=bool), 50).tolist() == []


def test_a_large_language_is_searched_through_codes_with_about_the_same_scores(
    tmp_path, make_corpus, fake_embedder, monkeypatch
):
    corpus = make_corpus(tmp_path / "corpus", {f"{number:03}.md": text_of(number) for number in range(200)})
    build_index(corpus, tmp_path / "index", embedder=fake_embedder)
    exact = Retriever.open(tmp_path / "index", embedder=fake_embedder)
    monkeypatch.setattr("rag.store.generation.EXACT_ROWS", 100)
    monkeypatch.setattr("rag.store.generation._LEAST_CODED", 10)
    coded = Retriever.open(tmp_path / "index", embedder=fake_embedder)
    leg = coded.snapshot()._legs.parts["en"].dense
    assert leg._sample is not None and len(leg._sample) == 512
    for query in ("the water of paper 7", "email campaign", "number 3-2"):
        left, right = exact.search(query, top_k=5), coded.search(query, top_k=5)
        assert left[0].passage == right[0].passage
        np.testing.assert_allclose([hit.score for hit in left], [hit.score for hit in right], rtol=0.1)


@pytest.mark.parametrize("is_parsed", [False, True])
def test_passages_are_counted_without_a_look_at_the_rest_of_their_records(tmp_path, fake_embedder, is_parsed):
    texts = {'a "quoted"\\.md': "One text of it.", "ملف.md": "نص واحد من الملف", "odd \ud800.txt": "The third one."}
    store = IndexStore(tmp_path)
    with store.lock():
        store.write_generation(make_draft(fake_embedder, texts=texts))
    (segment,) = store.open_current(parse=is_parsed).segments
    assert segment.passages_of == dict.fromkeys(texts, 2)


def test_vectors_of_a_large_segment_stay_in_their_file_and_outlive_it(build, store, fake_embedder, monkeypatch):
    build()
    held = Retriever.open(store.index_dir, embedder=fake_embedder)
    monkeypatch.setattr("rag.store.segment.MAPPED_BYTES", 1)
    mapped = Retriever.open(store.index_dir, embedder=fake_embedder)
    for path in (store.index_dir / "gen-000001").iterdir():
        path.unlink()
    for query in ("the water of paper 7", "email campaign"):
        assert found(mapped, query) == found(held, query)


def test_damage_to_mapped_vectors_is_found_before_any_search(build, store, monkeypatch):
    build()
    monkeypatch.setattr("rag.store.segment.MAPPED_BYTES", 1)
    assert store.verify() == []
    path = store.index_dir / "gen-000001" / "s3-vectors.faiss"
    whole = path.read_bytes()
    for changed in (whole[:-1], whole + b"\0", bytes([whole[0] ^ 1]) + whole[1:], b""):
        path.write_bytes(changed)
        assert "s3-vectors.faiss is damaged" in store.verify()[0]
    path.unlink()
    assert "s3-vectors.faiss is missing" in store.verify()[0]


def test_a_build_takes_from_an_open_index_what_it_holds(build, store):
    build()
    held = store.open_current()
    base = store.open_current(parse=False)
    alone = {name: dict(segment.passages_of) for name, segment in enumerate(base.segments)}
    for mine, theirs in zip(base.segments, held.segments, strict=True):
        assert mine is not theirs
        assert mine.documents is theirs.documents
        assert mine.passages_of is theirs.passages_of
        assert mine.rows_of(set(theirs.inputs[:3])) == {text: row for row, text in enumerate(theirs.inputs[:3])}
    del held, theirs
    base = store.open_current(parse=False)
    assert {name: dict(segment.passages_of) for name, segment in enumerate(base.segments)} == alone


@pytest.fixture
def by_row(monkeypatch):
    """Segments whose passages and BM25 lists stay in their files."""
    monkeypatch.setattr("rag.store.segment.READ_BY_ROW_BYTES", 1)


def test_what_stays_in_its_files_reads_as_what_is_in_memory(build, store, corpus, fake_embedder, monkeypatch):
    build()
    held = Retriever.open(store.index_dir, embedder=fake_embedder)
    generation = held.snapshot().generation
    expected = {query: found(held, query) for query in ("tomato light", "video campaign budget 7-2")}
    filtered = held.search("tomato light", doc_ids=["03.md", "17.md"])
    monkeypatch.setattr("rag.store.segment.READ_BY_ROW_BYTES", 1)
    monkeypatch.setattr("rag.store.segment._parsed", {})
    read = Retriever.open(store.index_dir, embedder=fake_embedder)
    by_row = read.snapshot().generation
    assert isinstance(by_row.segments[0].passages, Lines) and not isinstance(generation.segments[0].passages, Lines)
    assert list(by_row.passages) == list(generation.passages)
    assert by_row.passages[3:9] == generation.passages[3:9] and by_row.passages[-1] == generation.passages[-1]
    assert list(by_row.inputs) == list(generation.inputs)
    assert dict(by_row.passages_of) == dict(generation.passages_of)
    for mine, theirs in zip(by_row.segments, generation.segments, strict=True):
        assert mine.doc_numbers.tolist() == theirs.doc_numbers.tolist()
        assert mine.rows_of(set(theirs.inputs[:3])) == {text: row for row, text in enumerate(theirs.inputs[:3])}
    assert {query: found(read, query) for query in expected} == expected
    assert [hit.passage for hit in read.search("tomato light", doc_ids=["03.md", "17.md"])] == [
        hit.passage for hit in filtered
    ]


def test_builds_go_on_from_an_index_that_stays_in_its_files(by_row, build, store, corpus, fake_embedder):
    build()
    reader = Retriever.open(store.index_dir, embedder=fake_embedder)
    for number in range(3):
        (corpus / f"new {number}.md").write_text(f"# New {number}\n\nPelicans of kind {number} want fish.\n")
        (corpus / f"{number:02}.md").unlink()
        report = build()
        assert report.embedded == 1 and report.removed == 1
        reader.refresh()
        assert reader.search("pelicans fish", top_k=1)[0].passage.doc_id.startswith("new")
    assert store.verify() == []


def test_what_stays_in_its_files_outlives_them(by_row, build, store, corpus, fake_embedder):
    build()
    reader = Retriever.open(store.index_dir, embedder=fake_embedder)
    before = found(reader, "video campaign")
    held = reader.snapshot()
    for number in range(3):
        (corpus / f"new {number}.md").write_text(f"# New {number}\n\nPelicans {number}.\n")
        build()
    assert not (store.index_dir / "gen-000001").exists()
    hits = held.search("video campaign", top_k=10)
    assert [(hit.passage.doc_id, hit.passage.start) for hit in hits] == [one[:2] for one in before]


def test_lines_are_read_one_by_one():
    lines = Lines(b"1\n22\n\n4444\n", lambda line: line.decode())
    assert list(lines) == ["1", "22", "", "4444"] and len(lines) == 4
    assert (lines[0], lines[-1], lines[1:3]) == ("1", "4444", ["22", ""])
    for outside in (4, -5):
        with pytest.raises(IndexError):
            lines[outside]
    assert list(Lines(b"", bytes.decode)) == []
