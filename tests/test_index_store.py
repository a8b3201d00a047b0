from __future__ import annotations

import errno
import json
import logging
import os
import random
import re
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from drafts import TEXTS, make_draft

from rag.datatypes import Heading
from rag.errors import IndexFormatError, IndexLockedError, IndexNotFoundError, RagError
from rag.store import Bm25Index, IndexStore, SegmentDraft, fsio, index_store
from rag.store.manifest import Manifest


@pytest.fixture
def draft(fake_embedder):
    return make_draft(fake_embedder)


@pytest.fixture
def store(tmp_path):
    return IndexStore(tmp_path / "deep" / "index")


def write(store, draft, times=1):
    with store.lock():
        return [store.write_generation(draft) for _ in range(times)][-1]


def search_results(generation, embedder):
    queries = embedder.encode_queries(["paid campaign", "التسويق", ""])
    dense = [generation.vectors.cosines(query).tolist() for query in queries]
    lexical = {
        language: (rows.tolist(), index.scores(["campaign", "التسويق", "paid"]).tolist())
        for language, (index, rows) in generation.bm25.items()
    }
    return dense, lexical


# ---- what is written is what is read


def test_a_generation_reads_back_equal_and_searches_equal(store, draft, fake_embedder):
    name = write(store, draft)
    generation = store.open_current()
    assert generation.name == name == "gen-000001" and generation.warning is None
    (segment,) = draft.segments
    assert list(generation.documents.values()) == segment.documents
    assert list(generation.documents) == [document.doc_id for document in segment.documents]
    assert list(generation.passages) == segment.passages
    assert list(generation.inputs) == segment.inputs
    assert generation.manifest.embedder == fake_embedder.fingerprint
    assert generation.manifest.counts == {"documents": 3, "passages": 6, "dim": 64}
    assert generation.manifest.languages == {"ar": 2, "en": 4}
    assert generation.calibration is None
    assert search_results(generation, fake_embedder) == search_results(segment, fake_embedder)
    assert store.verify() == []


def test_the_manifest_is_written_last(store, draft):
    steps = []
    with store.lock():
        store.write_generation(draft, progress=lambda done, total, item: steps.append((done, total, item)))
    assert [item for _, _, item in steps[-2:]] == ["manifest.json", "gen-000001"]
    assert [done for done, _, _ in steps] == list(range(len(steps))) and steps[-1][0] == steps[-1][1]


def test_a_calibration_is_kept(store, draft):
    write(store, replace(draft, calibration={"threshold": 0.25, "لغات": ["ar"]}))
    assert store.open_current().calibration == {"threshold": 0.25, "لغات": ["ar"]}


def test_a_generation_cannot_be_changed(store, draft):
    write(store, draft)
    generation = store.open_current()
    with pytest.raises(TypeError):
        generation.documents["new"] = generation.documents["odd.txt"]
    with pytest.raises(AttributeError):
        generation.name = "gen-000009"


def test_a_reader_keeps_its_generation_when_its_files_are_gone(store, draft, fake_embedder):
    write(store, draft)
    generation = store.open_current()
    before = search_results(generation, fake_embedder)
    shutil.rmtree(store.index_dir)
    assert search_results(generation, fake_embedder) == before
    assert generation.passages[0].text == draft.segments[0].passages[0].text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: replace(d, passages=[replace(d.passages[0], text="forged"), *d.passages[1:]]), "not a slice"),
        (lambda d: replace(d, passages=[replace(d.passages[0], start=1), *d.passages[1:]]), "not a slice"),
        (lambda d: replace(d, passages=[replace(d.passages[0], end=0, text=""), *d.passages[1:]]), "not a slice"),
        (lambda d: replace(d, passages=d.passages[1:]), "do not fit"),
        (lambda d: replace(d, inputs=d.inputs[1:]), "do not fit"),
        (lambda d: replace(d, documents=[*d.documents, d.documents[0]]), "same doc_id"),
        (lambda d: replace(d, bm25={"ar": d.bm25["ar"]}), "cover each passage once"),
        (lambda d: replace(d, bm25={**d.bm25, "../x": (Bm25Index.build([]), np.zeros(0, np.int64))}), "language code"),
        (
            lambda d: replace(
                d, documents=[replace(d.documents[0], headings=(Heading("forged", 1, 0, 5),)), *d.documents[1:]]
            ),
            "heading",
        ),
    ],
)
def test_parts_that_do_not_belong_together_are_never_stored(store, draft, change, message):
    (segment,) = draft.segments
    with pytest.raises(ValueError, match=message):
        write(store, replace(draft, segments=[change(segment)]))
    assert store.generations() == []


# ---- generations, rollback, collection


def test_the_current_and_the_previous_generation_are_kept(store, draft):
    assert write(store, draft, times=4) == "gen-000004"
    assert store.generations() == ["gen-000003", "gen-000004"]
    assert store.current_name() == "gen-000004"
    assert sorted(entry.name for entry in store.index_dir.iterdir()) == [".lock", "CURRENT", "gen-000003", "gen-000004"]


def test_rollback_points_to_the_generation_before_and_the_next_build_goes_on(store, draft, fake_embedder):
    write(store, draft)
    write(store, make_draft(fake_embedder, stamp=" two"))
    assert store.rollback() == "gen-000001"
    assert store.open_current().documents["odd.txt"].text == TEXTS["odd.txt"]
    with pytest.raises(IndexFormatError, match="no earlier intact generation. Rebuild"):
        store.rollback()
    assert write(store, draft) == "gen-000003"
    assert store.generations() == ["gen-000001", "gen-000003"]  # what was rolled back is gone


def test_rollback_passes_over_a_damaged_generation(store, draft):
    write(store, draft, times=2)
    damage_byte(store.index_dir / "gen-000001" / "vectors.faiss")
    with pytest.raises(IndexFormatError, match="no earlier intact"):
        store.rollback()
    assert store.current_name() == "gen-000002"


def test_a_damaged_previous_generation_is_not_the_one_kept(store, draft):
    write(store, draft, times=2)
    damage_byte(store.index_dir / "gen-000002" / "passages.jsonl")
    write(store, draft)
    assert store.generations() == ["gen-000001", "gen-000003"]


def test_generations_are_ordered_by_number_not_by_name(store, draft):
    write(store, draft)
    (store.index_dir / "CURRENT").write_text("gen-999998\n")
    assert write(store, draft) == "gen-999999"
    assert write(store, draft) == "gen-1000000"
    assert store.generations() == ["gen-999999", "gen-1000000"]
    assert store.open_current().name == "gen-1000000" and store.rollback() == "gen-999999"


# ---- no index, damaged index


def damage_byte(path, position=None, bit=0):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 1 << bit
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(parents=True), lambda path: path.touch()])
def test_no_index_says_how_to_build_one(tmp_path, make):
    make(tmp_path / "index")
    store = IndexStore(tmp_path / "index")
    for action in (store.open_current, store.current_name, store.rollback, store.verify):
        with pytest.raises(IndexNotFoundError, match=r"index holds no index. Build it: rag build$"):
            action()


FILES = [
    "manifest.json",
    "vectors.faiss",
    "passages.jsonl",
    "documents.jsonl",
    "bm25-ar.safetensors",
    "bm25-en.safetensors",
    "calibration.json",
]
DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "flipped bit": damage_byte,
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("file_name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file_is_an_error_that_names_it_and_the_remedy(store, draft, file_name, damage):
    name = write(store, replace(draft, calibration={"threshold": 0.5}))
    path = store.index_dir / name / file_name
    DAMAGES[damage](path)
    with pytest.raises(IndexFormatError) as caught:
        store.open_current()
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith("Restore the previous index: rag rollback, or rebuild it: rag build")
    assert store.verify() == [str(caught.value)]
    if damage in ("empty", "cut", "longer") and file_name != "manifest.json":
        assert re.search(r"it has [\d,]+ bytes, not [\d,]+\.", str(caught.value))


def test_every_file_of_a_generation_was_damaged_above(store, draft):
    name = write(store, replace(draft, calibration={}))
    assert sorted(entry.name for entry in (store.index_dir / name).iterdir()) == sorted(FILES)


def test_no_changed_bit_of_the_manifest_is_overlooked(store, draft):
    path = store.index_dir / write(store, draft) / "manifest.json"
    data = path.read_bytes()
    picks = random.Random(7)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << picks.randrange(8)
        with pytest.raises(IndexFormatError):
            Manifest.from_bytes(bytes(changed), path=path)
    for length in range(len(data)):
        with pytest.raises(IndexFormatError):
            Manifest.from_bytes(data[:length], path=path)
    assert Manifest.from_bytes(data, path=path).to_bytes() == data


def test_a_whole_file_of_another_generation_is_found_out(store, draft, fake_embedder):
    write(store, draft)
    write(store, make_draft(fake_embedder, stamp=" two"))
    old, new = store.index_dir / "gen-000001", store.index_dir / "gen-000002"
    for file_name in FILES[1:-1]:
        saved = (new / file_name).read_bytes()
        (new / file_name).write_bytes((old / file_name).read_bytes())
        if saved != (old / file_name).read_bytes():
            with pytest.raises(IndexFormatError, match=file_name):
                store.open("gen-000002")
        (new / file_name).write_bytes(saved)
    (new / "manifest.json").write_bytes((old / "manifest.json").read_bytes())
    with pytest.raises(IndexFormatError, match="belongs to gen-000001, not to gen-000002"):
        store.open("gen-000002")


@pytest.mark.parametrize("file_name", ["passages.jsonl", "documents.jsonl", "vectors.faiss", "bm25-en.safetensors"])
def test_a_file_that_passes_its_checksum_but_makes_no_sense_is_an_error_too(store, draft, file_name, monkeypatch):
    to_files = SegmentDraft.to_files
    monkeypatch.setattr(SegmentDraft, "to_files", lambda self: to_files(self) | {file_name: lambda: b'{"some": 1}\n'})
    write(store, draft)
    with pytest.raises(IndexFormatError, match=f"{file_name} cannot be understood.*rag build"):
        store.open_current()


def test_a_damaged_generation_falls_back_to_the_previous_one_and_says_so(store, draft, caplog):
    write(store, draft, times=2)
    damage_byte(store.index_dir / "gen-000002" / "vectors.faiss")
    with caplog.at_level(logging.WARNING):
        generation = store.open_current()
    assert generation.name == "gen-000001"
    assert "gen-000002/vectors.faiss is damaged" in generation.warning and "gen-000001 meanwhile" in generation.warning
    assert caplog.messages == [generation.warning]
    with pytest.raises(IndexFormatError, match="vectors.faiss is damaged"):
        store.open_current(fallback=False)
    assert store.rollback() == "gen-000001" and store.open_current().warning is None


@pytest.mark.parametrize("content", [None, b"", b"gen-7\n", b"../etc\n", b"gen-000002\ngen-000001\n", b"\xff\xfe"])
def test_a_lost_current_is_an_error_with_a_fallback_and_a_remedy(store, draft, content):
    write(store, draft, times=2)
    path = store.index_dir / "CURRENT"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(IndexFormatError, match=r"CURRENT is (missing|damaged).*rag rollback, or rebuild it: rag build"):
        store.open_current(fallback=False)
    assert any("CURRENT is" in problem for problem in store.verify())
    generation = store.open_current()
    assert generation.name == "gen-000002" and "CURRENT is" in generation.warning
    assert store.rollback() == "gen-000002" and store.open_current().warning is None


def test_a_current_that_points_nowhere(store, draft):
    write(store, draft, times=2)
    (store.index_dir / "CURRENT").write_text("gen-000009\n")
    with pytest.raises(IndexFormatError, match="gen-000009 is missing.*rag rollback"):
        store.open_current(fallback=False)
    assert ["CURRENT names gen-000009" in problem for problem in store.verify()] == [True]
    assert store.open_current().name == "gen-000002"
    assert store.rollback() == "gen-000002"


def test_another_format_version_is_refused_untouched_and_never_passed_over(store, draft):
    write(store, draft, times=2)
    path = store.index_dir / "gen-000002" / "manifest.json"
    record = json.loads(path.read_bytes()) | {"format_version": 3}
    path.write_text(json.dumps(record))
    before = path.read_bytes()
    with pytest.raises(IndexFormatError, match="format version 3, this program reads 2.*upgrade sanad, or rebuild"):
        store.open_current()
    assert path.read_bytes() == before
    write(store, draft)  # the user chose to rebuild: the other version's index is what a rollback of that one finds
    assert store.generations() == ["gen-000002", "gen-000003"] and path.read_bytes() == before
    with pytest.raises(IndexFormatError, match="no earlier intact"):
        store.rollback()


def test_a_stray_file_is_reported(store, draft):
    name = write(store, draft)
    (store.index_dir / name / "extra.bin").touch()
    assert store.verify() == [f"{store.index_dir / name / 'extra.bin'} is no part of the index. Remove it"]


def test_a_generation_collected_while_it_is_opened_is_no_error(store, draft, monkeypatch):
    write(store, draft, times=2)
    load = index_store.load_generation

    def load_late(folder, **how):
        if folder.name == "gen-000002":  # two builds commit between the reading of CURRENT and that of the files
            write(IndexStore(store.index_dir), draft, times=2)
        return load(folder, **how)

    monkeypatch.setattr(index_store, "load_generation", load_late)
    generation = store.open_current()
    assert generation.name == "gen-000004" and generation.warning is None


# ---- the lock


def test_a_second_builder_is_refused_with_the_first_ones_process_id(store, draft):
    with store.lock():
        with pytest.raises(IndexLockedError, match=rf"being built by another process \(process {os.getpid()}\)"):
            with IndexStore(store.index_dir).lock():
                pass
        refused = []

        def contend():
            try:
                with IndexStore(store.index_dir).lock():
                    refused.append(False)
            except IndexLockedError:
                refused.append(True)

        thread = threading.Thread(target=contend)
        thread.start()
        thread.join()
        assert refused == [True]
        with pytest.raises(IndexLockedError):
            IndexStore(store.index_dir).lock().__enter__()
        store.write_generation(draft)  # still held
    write(store, draft)


def test_the_lock_is_free_again_after_a_failure(store, draft):
    with pytest.raises(KeyboardInterrupt), store.lock():
        raise KeyboardInterrupt
    assert write(store, draft) == "gen-000001"


def test_writing_without_the_lock_is_a_bug(store, draft):
    with pytest.raises(RuntimeError, match="lock"):
        store.write_generation(draft)
    with store.lock():
        pass
    with pytest.raises(RuntimeError, match="lock"):
        store.write_generation(draft)


def test_leftovers_of_an_interrupted_build_are_removed_by_the_next(store, draft):
    write(store, draft)
    (store.index_dir / "gen-000002.tmp").mkdir()
    (store.index_dir / "gen-000002.tmp" / "vectors.faiss").write_bytes(b"half")
    (store.index_dir / "CURRENT.tmp").write_bytes(b"gen")
    assert store.open_current().name == "gen-000001" and store.verify() == []
    with store.lock():
        assert not list(store.index_dir.glob("*.tmp"))


# ---- disks that fail


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(store, draft, monkeypatch):
    write(store, draft)
    monkeypatch.setattr(fsio, "free_bytes", lambda folder: 1234)
    with pytest.raises(RagError, match=r"needs [\d,]{6,} bytes, 1,234 bytes are free. .*untouched.*rag build"):
        write(store, draft)
    assert store.generations() == ["gen-000001"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"no space left: the new index needs [\d,]+ bytes, [\d,]+ bytes are free"),
        (errno.EDQUOT, "no space left"),
        (errno.EROFS, "cannot be written: Read-only file system. .* Mount the disk for writing, or choose"),
        (errno.EACCES, "cannot be written: Permission denied"),
        (errno.EIO, "cannot be written: Input/output error. The index that was there is untouched"),
        (errno.EMFILE, r"cannot be written: Too many open files.*Raise the limit \(ulimit -n\)"),
    ],
)
def test_a_failed_write_is_one_clear_error(store, draft, monkeypatch, number, message):
    write(store, draft)

    def fail(path, data):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(fsio, "write_new_file", fail)
    with pytest.raises(RagError, match=message) as caught:
        write(store, draft)
    assert "\n" not in str(caught.value) and isinstance(caught.value.__cause__, OSError)
    assert store.open_current().name == "gen-000001"
    assert not list(store.index_dir.glob("*.tmp"))


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(RagError, match=r"file/index cannot be written: .*--index-dir"),
        IndexStore(tmp_path / "file" / "index").lock(),
    ):
        pass
    with pytest.raises(RagError, match=r"file cannot be written: .*--index-dir"), IndexStore(tmp_path / "file").lock():
        pass
