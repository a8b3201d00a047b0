"""P13: old indexes keep working, newer ones are left alone, pickles are never opened."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import pytest
from crash_builder import PlainLoader

from rag import engine
from rag.builder import build_index
from rag.cli import main
from rag.errors import IndexCorruptError, IndexFormatError, IndexNotFoundError, RagError
from rag.store import IndexStore
from rag.store.manifest import FORMAT_VERSION, MANIFEST_FILE, NewerFormatError
from reliability.disks import Disk, Killed, kill, kill_after_half_a_write, put
from reliability.frozen_v1.freeze import QUESTIONS, answers

PROMISE = "P13 old indexes keep working"

FROZEN = sorted(Path(__file__).parent.glob("frozen_v*"))


def files_of(folder):
    """Return every file but the lock, which lies about once anything was written."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder): path.read_bytes() for path in found}


@pytest.fixture(params=FROZEN, ids=lambda path: path.name)
def frozen(request, ram_path):
    """Return a copy of a frozen folder."""
    return Path(shutil.copytree(request.param, ram_path / "frozen"))


def sealed(record):
    """Return the bytes of a manifest with a valid seal, whatever is in it."""
    record = {key: value for key, value in record.items() if key != "sha256"}
    head = (json.dumps(record, indent=2).removesuffix("\n}") + ",\n").encode()
    return head + f'  "sha256": "{hashlib.sha256(head).hexdigest()}"\n}}\n'.encode()


def test_there_is_a_frozen_index_of_every_format_version():
    assert [path.name for path in FROZEN] == [f"frozen_v{number}" for number in range(1, FORMAT_VERSION + 1)]


def test_a_frozen_index_answers_as_on_its_day(frozen, tally):
    before = files_of(frozen / "index")
    expected = json.loads((frozen / "expected.json").read_text("utf-8"))
    assert list(expected) == list(QUESTIONS)
    found = answers(frozen / "index")
    for question, hits in expected.items():
        # Weights and analyzers may change the order, never what there is to find, nor its text or cosine.
        held = sorted(map(tuple, hits)) == sorted(found[question])
        tally.case(held, f"{question}: {found[question]}")
        assert held
    assert IndexStore(frozen / "index").verify() == []
    assert files_of(frozen / "index") == before  # reading writes nothing


def test_a_build_goes_on_from_a_frozen_index_and_embeds_nothing_again(frozen, fake_embedder, tally):
    (frozen / "corpus" / "en" / "new.txt").write_text("Search engines rank pages.", encoding="utf-8")
    report = build_index(frozen / "corpus", frozen / "index", embedder=fake_embedder)
    held = (report.documents, report.added, report.unchanged, report.embedded) == (5, 1, 4, 1)
    tally.case(held, str(report))
    assert held
    assert IndexStore(frozen / "index").rollback() == "gen-000001"


@pytest.mark.parametrize("act", [kill, kill_after_half_a_write])
def test_a_migration_that_is_killed_leaves_the_old_index_or_the_new_one(frozen, fake_embedder, monkeypatch, act, tally):
    """A build is the migration; see docs/reference/index-format.md."""
    monkeypatch.setattr(engine, "DocumentLoader", PlainLoader)
    index_dir, kept = frozen / "index", frozen / "kept"
    shutil.copytree(index_dir, kept)
    (frozen / "corpus" / "new.txt").write_text("Search engines rank pages.", encoding="utf-8")
    missed, ended = [], False
    at = 0
    while not ended:
        shutil.rmtree(index_dir)
        shutil.copytree(kept, index_dir)
        with put(Disk(at, act)) as disk:
            try:
                build_index(frozen / "corpus", index_dir, embedder=fake_embedder)
                ended = len(disk.log) <= at
            except Killed:
                pass
        try:
            generation = IndexStore(index_dir).open_current(fallback=False)
            held = (generation.name, len(generation.documents)) in (("gen-000001", 4), ("gen-000002", 5))
        except RagError as error:
            held = False
            missed.append(str(error))
        tally.case(held, f"{act.__name__} at operation {at}")
        at += 1
    assert missed == [] and at > 25


def test_a_newer_format_is_refused_and_left_untouched(frozen, fake_embedder, capsys, tally):
    index_dir = frozen / "index"
    path = index_dir / "gen-000001" / MANIFEST_FILE
    record = json.loads(path.read_bytes())
    for version in (FORMAT_VERSION + 1, 99):
        path.write_bytes(sealed(record | {"format_version": version, "something": "new"}))
        before = files_of(index_dir)
        with pytest.raises(NewerFormatError, match=f"has format version {version}.*a newer version of sanad: upgrade"):
            IndexStore(index_dir).open_current()
        statuses = [main([command, *words, "--index-dir", str(index_dir)])
                    for command, *words in (["search", "q"], ["ask", "q"], ["verify"], ["rollback"])]  # fmt: skip
        error = capsys.readouterr().err
        held = statuses == [1, 1, 1, 1] and error.count("newer version") >= 3 and files_of(index_dir) == before
        tally.case(held, f"version {version}: {statuses} {error}")
        assert held and "Traceback" not in error
    # A rebuild, which the message names too, keeps the newer one for the program that can read it.
    build_index(frozen / "corpus", index_dir, embedder=fake_embedder)
    assert path.exists() and IndexStore(index_dir).open_current().name == "gen-000002"


def test_a_damaged_version_number_is_damage_and_no_newer_format(frozen, tally):
    """It is the one byte that could pass a damaged index off as one that must not be passed over."""
    path = frozen / "index" / "gen-000001" / MANIFEST_FILE
    whole = path.read_bytes()
    place = whole.index(b'"format_version": ') + len(b'"format_version": ')
    for bit in range(8):
        changed = bytearray(whole)
        changed[place] ^= 1 << bit
        path.write_bytes(bytes(changed))
        with pytest.raises(IndexFormatError) as caught:
            IndexStore(frozen / "index").open_current()
        held = isinstance(caught.value, IndexCorruptError)
        tally.case(held, f"bit {bit}: {caught.value}")
        assert held


def test_a_version_that_never_was_is_refused(frozen, tally):
    path = frozen / "index" / "gen-000001" / MANIFEST_FILE
    record = json.loads(path.read_bytes())
    for version in (0, -1, "1", None):
        path.write_bytes(sealed(record | {"format_version": version}))
        with pytest.raises(IndexFormatError, match="which this program does not know. Rebuild the index: rag build"):
            IndexStore(frozen / "index").open_current()
        tally.case(True)


def test_a_manifest_cannot_name_files_elsewhere(frozen, tally):
    path = frozen / "index" / "gen-000001" / MANIFEST_FILE
    record = json.loads(path.read_bytes())
    for name in ("../CURRENT", "/etc/hostname", "deep/vectors.faiss", ""):
        entry = {"bytes": 11, "sha256": "0" * 64}
        path.write_bytes(sealed(record | {"files": record["files"] | {name: entry}}))
        with pytest.raises(IndexCorruptError, match="is no name of a file in its folder"):
            IndexStore(frozen / "index").open_current()
        tally.case(True)


class Trap:
    """Whoever unpickles it finds out."""

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["index.pkl", "docstore.pickle"])
def test_a_pickle_is_refused_and_never_opened(ram_path, make_corpus, fake_embedder, name, capsys, tally):
    trap = Trap()
    trap.path = ram_path / "sprung"
    index_dir = make_corpus(ram_path / "index", {name: pickle.dumps(trap), "index.faiss": b"IxFI"})
    before = files_of(index_dir)
    for action in (IndexStore(index_dir).open_current, IndexStore(index_dir).verify, IndexStore(index_dir).rollback):
        with pytest.raises(
            IndexNotFoundError, match=f"{name}, a pickle, which may run code and is never opened. Build"
        ):
            action()
        tally.case(True)
    assert main(["search", "q", "--index-dir", str(index_dir)]) == 1 and "never opened" in capsys.readouterr().err
    corpus = make_corpus(ram_path / "corpus", {"a.txt": "A text about budgets."})
    build_index(corpus, index_dir, embedder=fake_embedder)
    assert IndexStore(index_dir).open_current().documents and not trap.path.exists()
    assert {path: files_of(index_dir)[path] for path in before} == before


def test_the_trap_of_the_test_before_springs(ram_path):
    trap = Trap()
    trap.path = ram_path / "sprung"
    pickle.loads(pickle.dumps(trap))
    assert trap.path.exists()


def test_a_reader_that_forgot_a_version_is_found_out(frozen, monkeypatch):
    monkeypatch.setattr("rag.store.manifest.OLDEST_VERSION", 3)
    with pytest.raises(RagError):
        answers(frozen / "index")
