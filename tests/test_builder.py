from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from rag import builder, drafting, engine
from rag.builder import FailedFile, build_index
from rag.chunking import embedder_texts
from rag.config import ChunkingConfig, LoadConfig
from rag.engine import BuildProgress
from rag.errors import CorpusError, IndexFormatError, IndexLockedError, RagError
from rag.store import Bm25Index, IndexStore
from rag.text.analyzers import terms

ARABIC = (
    "# التسويق الرقمي\n\nالتسويق الرقمي هو استخدام القنوات الرقمية للوصول إلى الجمهور.\n\n"
    "## الحملات\n\nتبدأ الحملة بتحديد الهدف، ثم الميزانية (٤٤٫٧٪)، ثم قياس النتائج. 🙂\n"
)
ENGLISH = (
    "# Paid campaigns\n\nA paid campaign has a budget.\n\n## Steps\n\n- Set the goal.\n- Fix the budget.\n- Measure.\n"
)
FILES = {
    "ar/حملات.md": ARABIC,
    "en/campaigns.md": ENGLISH,
    "notes.txt": "Influencers are paid for each post they make.",
}


@pytest.fixture
def corpus(tmp_path, make_corpus):
    return make_corpus(tmp_path / "corpus", FILES)


@pytest.fixture
def build(tmp_path, corpus, fake_embedder):
    """Return a function that builds the index of ``corpus`` and forgets what was embedded before."""

    def run(folder=corpus, *, embedder=fake_embedder, **options):
        embedder.encoded.clear()
        return build_index(folder, tmp_path / "index", embedder=embedder, **options)

    return run


@pytest.fixture
def store(tmp_path):
    return IndexStore(tmp_path / "index")


def contents(generation):
    """Return all that a generation answers from, as plain values."""
    return (
        dict(generation.documents),
        list(generation.passages),
        list(generation.inputs),
        generation.vectors.reconstruct().tolist(),
        {
            language: ({name: array.tolist() for name, array in index.to_arrays().items()}, rows.tolist())
            for language, (index, rows) in generation.bm25.items()
        },
    )


def assert_as_if_built_from_nothing(corpus, store, embedder, tmp_path, **options):
    fresh = tmp_path / "fresh"
    build_index(corpus, fresh, embedder=embedder, **options)
    assert contents(store.open_current()) == contents(IndexStore(fresh).open_current())
    shutil.rmtree(fresh)


# ---- a first build


def test_a_build_holds_every_document_and_passages_that_are_slices_of_them(build, store):
    report = build()
    generation = store.open_current()
    assert (report.generation, report.documents, report.passages) == ("gen-000001", 3, len(generation.passages))
    assert (report.added, report.updated, report.removed, report.unchanged, report.failed) == (3, 0, 0, 0, ())
    assert list(generation.documents) == sorted(FILES)
    for passage in generation.passages:
        assert generation.documents[passage.doc_id].text[passage.start : passage.end] == passage.text
    order = [(passage.doc_id, passage.start) for passage in generation.passages]
    assert order == sorted(order)
    assert report.seconds > 0 and report.embedded == len(generation.passages)


def test_each_row_belongs_to_its_passage_in_vectors_and_bm25(build, store, fake_embedder):
    build()
    generation = store.open_current()
    config = ChunkingConfig(**generation.manifest.chunking)
    texts = embedder_texts(generation.passages, count_tokens=fake_embedder.count_tokens, config=config)
    np.testing.assert_allclose(generation.vectors.reconstruct(), fake_embedder.encode_passages(texts), atol=1e-6)
    assert sorted(generation.bm25) == sorted({passage.language for passage in generation.passages})
    for language, (index, rows) in generation.bm25.items():
        own = [generation.passages[row] for row in rows]
        assert {passage.language for passage in own} == {language}
        plain = Bm25Index.build([terms(f"{passage.context}\n{passage.text}", language) for passage in own])
        assert plain.terms == index.terms
        for term in plain.terms:
            np.testing.assert_array_equal(plain.scores([term]), index.scores([term]))


def test_the_passage_budget_is_lowered_to_the_embedders_window(build, store, fake_embedder):
    fake_embedder.max_tokens = 20
    build(chunking=ChunkingConfig(max_tokens=100, context_tokens=50, min_tokens=30))
    assert store.open_current().manifest.chunking == {"max_tokens": 18, "context_tokens": 9, "min_tokens": 17}
    assert max(fake_embedder.count_tokens(fake_embedder.encoded)) <= 18


def test_an_embedder_with_hardly_a_window_is_refused(build, fake_embedder):
    fake_embedder.max_tokens = 17
    with pytest.raises(RagError, match="reads only 17 tokens"):
        build()


def test_two_builds_of_one_corpus_are_byte_for_byte_equal(tmp_path, corpus, fake_embedder):
    for name in ("one", "two"):
        build_index(corpus, tmp_path / name, embedder=fake_embedder)
    one, two = (tmp_path / name / "gen-000001" for name in ("one", "two"))
    for path in one.iterdir():
        if path.name != "manifest.json":
            assert path.read_bytes() == (two / path.name).read_bytes(), path.name


# ---- incremental builds


def test_nothing_changed_writes_nothing(build, store):
    build()
    before = sorted(store.index_dir.rglob("*"))
    report = build()
    assert (report.generation, report.unchanged, report.added, report.embedded) == ("gen-000001", 3, 0, 0)
    assert report.passages == len(store.open_current().passages)
    assert sorted(store.index_dir.rglob("*")) == before


def test_adding_one_document_to_a_thousand_embeds_only_its_passages(tmp_path, build, store, make_corpus, fake_embedder):
    many = make_corpus(
        tmp_path / "many", {f"{i // 100}/{i:04}.txt": f"Text {i} is about {i * i}." for i in range(1000)}
    )
    assert build(many).embedded == 1000
    make_corpus(many, {"3/new.md": ENGLISH})
    loads = []
    report = build(many, progress=lambda step: loads.append(step) if step.stage == "embed" else None)
    new = [passage for passage in store.open_current().passages if passage.doc_id == "3/new.md"]
    assert (report.added, report.unchanged, report.documents) == (1, 1000, 1001)
    assert report.embedded == len(fake_embedder.encoded) == len(new) > 0
    assert all("campaign" in text for text in fake_embedder.encoded)
    assert {step.total for step in loads} == {len(new)}


def test_unchanged_files_are_not_even_parsed_and_not_analysed_again(build, corpus, make_corpus, monkeypatch):
    build()
    parsed, analysed = [], []
    load = engine.DocumentLoader.load
    monkeypatch.setattr(
        engine.DocumentLoader, "load", lambda self, path, doc_id: parsed.append(doc_id) or load(self, path, doc_id)
    )
    monkeypatch.setattr(drafting, "terms", lambda text, language: analysed.append(text) or terms(text, language))
    make_corpus(corpus, {"new.txt": "Traditional marketing uses print."})
    build()
    assert parsed == ["new.txt"] and len(analysed) == 1


def test_an_edit_embeds_only_the_passages_it_changed(build, corpus, store, fake_embedder, make_corpus, tmp_path):
    sections = [f"## Part {i}\n\n" + " ".join(f"word{i}x{j}" for j in range(30)) + ".\n" for i in range(5)]
    make_corpus(corpus, {"en/campaigns.md": "# Guide\n\n" + "\n".join(sections)})
    build(chunking=ChunkingConfig(max_tokens=48, context_tokens=8, min_tokens=4))
    sections[2] = sections[2].replace("word2x7", "changed")
    make_corpus(corpus, {"en/campaigns.md": "# Guide\n\n" + "\n".join(sections)})
    options = {"chunking": ChunkingConfig(max_tokens=48, context_tokens=8, min_tokens=4)}
    report = build(**options)
    assert (report.updated, report.unchanged, report.added, report.removed) == (1, 2, 0, 0)
    assert report.embedded == 1 and "changed" in fake_embedder.encoded[0]
    assert_as_if_built_from_nothing(corpus, store, fake_embedder, tmp_path, **options)


def test_a_deleted_document_is_gone_from_every_file(build, corpus, store, fake_embedder, tmp_path):
    build()
    (corpus / "notes.txt").unlink()
    report = build()
    assert (report.removed, report.unchanged, report.documents, report.embedded) == (1, 2, 2, 0)
    generation = store.open_current()
    for path in (store.index_dir / generation.name).iterdir():
        data = path.read_bytes()
        assert b"notes" not in data and b"nfluencer" not in data and b"influenc" not in data, path.name
    assert len(generation.vectors) == len(generation.passages)
    assert_as_if_built_from_nothing(corpus, store, fake_embedder, tmp_path)
    build_index(
        corpus.parent / "corpus", store.index_dir, embedder=fake_embedder, chunking=ChunkingConfig(min_tokens=5)
    )
    assert "gen-000001" not in store.generations()  # the last generation that still held it


def test_a_moved_document_keeps_its_vectors_and_its_text(build, corpus, store, fake_embedder, tmp_path):
    build()
    (corpus / "deep").mkdir()
    (corpus / "notes.txt").rename(corpus / "deep" / "notes.txt")
    report = build()
    assert (report.added, report.removed, report.unchanged, report.embedded) == (1, 1, 2, 0)
    assert_as_if_built_from_nothing(corpus, store, fake_embedder, tmp_path)


def test_a_document_that_takes_on_the_content_of_its_namesake(
    build, corpus, store, fake_embedder, tmp_path, make_corpus
):
    make_corpus(corpus, {"one/notes.txt": "The first text.", "two/notes.txt": "The second text."})
    build()
    make_corpus(corpus, {"one/notes.txt": "The second text."})
    report = build()
    assert (report.updated, report.unchanged, report.embedded) == (1, 4, 0)
    assert store.open_current().documents["one/notes.txt"].text == "The second text."
    assert_as_if_built_from_nothing(corpus, store, fake_embedder, tmp_path)


def test_a_renamed_document_gets_the_title_of_its_new_name(build, corpus, store, fake_embedder, tmp_path):
    build()
    (corpus / "notes.txt").rename(corpus / "influencer pay.txt")
    assert build().embedded == 1
    assert_as_if_built_from_nothing(corpus, store, fake_embedder, tmp_path)


def test_copies_are_all_kept_and_embedded_once(build, corpus, store, fake_embedder, tmp_path, make_corpus):
    make_corpus(corpus, {f"copies/{i}/notes.txt": FILES["notes.txt"] for i in range(4)})
    report = build()
    assert sum(passage.text == FILES["notes.txt"] for passage in store.open_current().passages) == 5
    assert report.embedded == report.passages - 4
    make_corpus(corpus, {"copies/9/notes.txt": FILES["notes.txt"]})
    assert build().embedded == 0
    assert_as_if_built_from_nothing(corpus, store, fake_embedder, tmp_path)


def test_another_embedder_embeds_all_again(build, store, fake_embedder):
    n_passages = build().passages
    other = type(fake_embedder)(seed=1)
    report = build(embedder=other)
    assert (report.generation, report.embedded, report.unchanged) == ("gen-000002", n_passages, 3)
    assert store.open_current().manifest.embedder["weights"] == "hash-1"


def test_the_same_embedder_under_another_name_changes_nothing(build, fake_embedder):
    build()
    assert build(embedder=type(fake_embedder)(name="elsewhere")).generation == "gen-000001"


def test_other_chunking_keeps_the_vectors_of_equal_texts(build, corpus, store, fake_embedder, tmp_path):
    build()
    report = build(chunking=ChunkingConfig(max_tokens=180))
    assert (report.generation, report.embedded) == ("gen-000002", 0)
    assert_as_if_built_from_nothing(corpus, store, fake_embedder, tmp_path, chunking=ChunkingConfig(max_tokens=180))


@pytest.mark.parametrize("step", ["loading", "chunking", "analysis"])
def test_changed_code_never_takes_over_old_results(build, monkeypatch, step):
    build()
    pipeline = builder.pipeline() | {step: "0" * 64}
    monkeypatch.setattr(builder, "pipeline", lambda: pipeline)
    report = build()
    assert (report.generation, report.unchanged, report.embedded) == ("gen-000002", 3, 0)
    assert build().generation == "gen-000002"


def test_the_fingerprint_of_the_code_covers_loaders_chunking_and_analysis():
    assert set(builder.pipeline()) == {"loading", "chunking", "analysis"}
    root = Path(builder.__file__).parent
    for patterns, _ in builder._STEPS.values():
        assert all(list(root.glob(pattern)) for pattern in patterns)
    assert len(set(builder.pipeline().values())) == 3


def test_other_limits_read_the_files_again(build):
    build()
    assert build(loading=LoadConfig(timeout_s=20)).generation == "gen-000002"


def test_a_calibration_lives_as_long_as_embedder_and_chunking(build, store, corpus, make_corpus, monkeypatch):
    build()
    generation = store.open_current()
    calibrated = builder.Draft(
        generation.segments, generation.manifest.embedder, generation.manifest.chunking, generation.manifest.loading,
        generation.manifest.pipeline, {"threshold": 0.4},
    )  # fmt: skip
    with store.lock():
        store.write_generation(calibrated)
    make_corpus(corpus, {"new.txt": "One more document."})
    build()
    assert store.open_current().calibration == {"threshold": 0.4}
    build(chunking=ChunkingConfig(max_tokens=100))
    assert store.open_current().calibration is None


def test_a_damaged_index_is_built_from_nothing(build, store, caplog):
    build()
    (store.index_dir / "gen-000001" / "vectors.faiss").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        report = build()
    assert "vectors.faiss is damaged" in caplog.text
    assert (report.generation, report.added, report.embedded) == ("gen-000002", 3, report.passages)
    assert store.generations() == ["gen-000002"] and store.verify() == []


def test_a_damaged_current_generation_is_replaced_even_if_the_previous_one_holds_the_same(build, corpus, store):
    build()
    build(chunking=ChunkingConfig(max_tokens=100))
    build()
    (store.index_dir / "gen-000003" / "vectors.faiss").unlink()
    build(chunking=ChunkingConfig(max_tokens=100))
    generation = store.open_current()
    assert generation.name == "gen-000004" and generation.warning is None
    assert store.generations() == ["gen-000002", "gen-000004"]


# ---- corpora


def test_of_several_folders_the_doc_ids_begin_with_the_folders_names(tmp_path, build, store, make_corpus):
    left, right = (
        make_corpus(tmp_path / "left", {"a.txt": "Left."}),
        make_corpus(tmp_path / "right", {"a.txt": "Right."}),
    )
    empty = make_corpus(tmp_path / "empty", {})
    report = build([right, left, empty])
    assert report.documents == 2
    assert {key: doc.text for key, doc in store.open_current().documents.items()} == {
        "left/a.txt": "Left.",
        "right/a.txt": "Right.",
    }


def test_folders_of_one_name_are_refused(tmp_path, build, make_corpus):
    folders = [make_corpus(tmp_path / side / "docs", {"a.txt": side}) for side in ("left", "right")]
    with pytest.raises(CorpusError, match="right/docs: its name is also that of .*left/docs.*Rename one"):
        build(folders)
    with pytest.raises(CorpusError, match="its name is also that of"):
        build([folders[0], folders[0]])


def test_no_folder_is_a_value_error(build):
    with pytest.raises(ValueError, match="at least one corpus folder"):
        build([])


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "nowhere: no such folder"), ("notes.txt", "notes.txt: not a folder")]
)
def test_a_wrong_folder_is_a_clear_error_and_leaves_no_index_behind(build, corpus, store, name, message):
    with pytest.raises(CorpusError, match=message):
        build(corpus / name)
    assert not store.index_dir.exists()


def test_a_corpus_without_a_readable_document_keeps_the_old_index(tmp_path, build, store, make_corpus):
    build()
    bad = make_corpus(tmp_path / "bad", {"a.txt": bytes(range(32)) * 99, "b.pdf": b"%PDF-1.7 broken", "c.exe": "x"})
    for folder in (bad, make_corpus(tmp_path / "none", {})):
        with pytest.raises(CorpusError, match=f"{folder}: no document that can be read. Put files there") as caught:
            build(folder)
        assert caught.value.path == folder
    assert store.open_current().name == "gen-000001"
    with pytest.raises(CorpusError, match=r"refused: .*a.txt.*b.pdf.*c.exe"):
        build(bad)


def test_bad_files_are_reported_by_path_and_reason_and_stop_nothing(build, corpus, store, make_corpus):
    make_corpus(
        corpus, {"bad.pdf": b"%PDF-1.7 broken", "blank.txt": "", "data.xyz": "a,b", "binary.txt": bytes(range(32)) * 99}
    )
    report = build()
    assert list(store.open_current().documents) == sorted(FILES)
    assert [Path(item.path).name for item in report.failed] == ["bad.pdf", "binary.txt", "blank.txt", "data.xyz"]
    assert all(item.path.startswith(str(corpus)) and item.reason for item in report.failed)
    assert isinstance(report.failed[0], FailedFile)
    assert build().failed == report.failed  # and again, although nothing changed


def test_a_file_that_can_no_longer_be_read_leaves_the_index(build, corpus, store):
    build()
    (corpus / "notes.txt").write_bytes(b"\x00\x01\x02" * 400)
    report = build()
    assert (report.removed, report.unchanged, len(report.failed)) == (1, 2, 1)
    assert "notes.txt" not in store.open_current().documents


def test_a_file_that_vanishes_during_the_build_is_reported(build, corpus, store):
    def vanish(step):
        if step == BuildProgress("load", 2, 3, "notes.txt"):
            (corpus / "notes.txt").unlink()

    report = build(progress=vanish)
    assert [(Path(item.path).name, "cannot be opened" in item.reason) for item in report.failed] == [
        ("notes.txt", True)
    ]
    assert report.documents == 2


def test_a_file_over_the_limit_is_reported_without_being_read(build, corpus, make_corpus):
    make_corpus(corpus, {"large.txt": "word " * 1000})
    report = build(loading=LoadConfig(max_bytes=1000))
    assert [Path(item.path).name for item in report.failed] == ["large.txt"]


def test_the_index_is_no_part_of_the_corpus(tmp_path, corpus, fake_embedder, make_corpus):
    index_dir = make_corpus(corpus / "index", {"README.md": "About the index.", "notes.bin": "x"})
    for _ in range(2):
        report = build_index(corpus, index_dir, embedder=fake_embedder)
        assert report.documents == 3 and report.failed == ()


def test_remarks_of_the_loaders_are_in_the_report_with_the_doc_id(build, corpus, make_corpus):
    make_corpus(corpus, {"old.txt": "التسويق عبر المؤثرين من أهم القنوات الرقمية في عام 2020.".encode("cp1256")})
    report = build()
    assert [warning.partition(": ")[0] for warning in report.warnings] == ["old.txt"]
    assert build().warnings == report.warnings


# ---- progress, interruption, misuse


def test_progress_walks_the_stages_to_their_end(build):
    steps = []
    report = build(progress=steps.append)
    assert [stage for stage in dict.fromkeys(step.stage for step in steps)] == ["load", "embed", "write"]
    assert all(0 <= step.done <= step.total for step in steps)
    loads = [step for step in steps if step.stage == "load"]
    assert [step.item for step in loads] == [*sorted(FILES), ""] and loads[-1].done == loads[-1].total == 3
    embeds = [step for step in steps if step.stage == "embed"]
    assert (embeds[0].done, embeds[-1].done, embeds[-1].total) == (0, report.embedded, report.embedded)
    assert steps[-1].done == steps[-1].total and steps[-1].item == report.generation


@pytest.fixture
def interruptible():
    """Let SIGINT raise, also in a shell's background job, which is started with it ignored."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.mark.parametrize("stage", ["load", "embed", "write"])
def test_an_interrupt_in_any_stage_leaves_the_old_index(build, corpus, store, make_corpus, interruptible, stage):
    build()
    make_corpus(corpus, {"new.txt": "One more document."})

    def interrupt(step):
        if step.stage == stage and (step.done or stage == "embed"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build(progress=interrupt)
    assert store.open_current().name == "gen-000001" and store.generations() == ["gen-000001"]
    assert not list(store.index_dir.glob("*.tmp"))
    assert build().generation == "gen-000002"


def test_a_second_build_at_the_same_time_is_refused(build, corpus, store, fake_embedder):
    refused = []

    def contend():
        try:
            build_index(corpus, store.index_dir, embedder=fake_embedder)
        except IndexLockedError as error:
            refused.append(str(error))

    def start(step):
        if step.stage == "embed" and not refused:
            thread = threading.Thread(target=contend)
            thread.start()
            thread.join()

    build(progress=start)
    assert len(refused) == 1 and f"process {os.getpid()}" in refused[0]


@pytest.mark.parametrize("value", [np.nan, 0.0, 2.0])
def test_a_vector_that_is_no_unit_vector_is_refused_with_the_passage_named(
    build, fake_embedder, store, value, monkeypatch
):
    encode = type(fake_embedder).encode_passages

    def broken(self, texts, *, progress=None):
        vectors = encode(self, texts, progress=progress)
        vectors[1] = value
        return vectors

    monkeypatch.setattr(type(fake_embedder), "encode_passages", broken)
    with pytest.raises(RagError, match=r"embedder hash gave no unit vector for the passage \S+\.(md|txt):\d+-\d+"):
        build()
    assert store.generations() == []


def test_a_reader_keeps_answering_from_its_generation_through_builds(build, corpus, store, fake_embedder, make_corpus):
    build()
    generation = store.open_current()
    before = contents(generation)
    for number in range(4):
        make_corpus(corpus, {"notes.txt": f"Edition {number} of the notes."})
        build()
    assert "gen-000001" not in store.generations()
    assert contents(generation) == before


def test_a_damaged_generation_is_never_searched(build, store):
    build()
    (store.index_dir / "gen-000001" / "passages.jsonl").write_bytes(b"")
    with pytest.raises(IndexFormatError):
        store.open_current()
