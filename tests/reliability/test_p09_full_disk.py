"""P9: a full or failing disk is one clear refusal, and the index that was there goes on answering."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from crash_builder import PlainLoader, write_edition
from drafts import make_draft

from rag import engine
from rag.builder import build_index
from rag.cli import main
from rag.errors import RagError
from rag.store import IndexStore, fsio
from reliability.builders import Builders, edition_of
from reliability.disks import each_operation, fail_once, stamp_of, write
from reliability.syscalls import strike, why_no_strace

PROMISE = "P9 a full disk or an I/O error is a clear refusal"

SEED = 9
NUMBERS = ("ENOSPC", "EIO", "EDQUOT", "EMFILE", "EROFS")
SAID = {
    "ENOSPC": r"no space left: the new index needs [\d,]+ bytes, [\d,]+ bytes are free",
    "EDQUOT": r"no space left",
    "EIO": r"cannot be written: Input/output error.*Check the disk",
    "EMFILE": r"cannot be written: Too many open files.*ulimit -n",
    "EROFS": r"cannot be written: Read-only file system.*Mount the disk for writing",
}


@pytest.fixture
def drafts(fake_embedder):
    return make_draft(fake_embedder, stamp=" old"), make_draft(fake_embedder, stamp=" new")


def faults_of(index_dir, drafts, name):
    """Fail every operation of a build with one error; yield the operation, what was said, and what went wrong."""
    for at, error in each_operation(index_dir, drafts, fail_once(getattr(errno, name))):
        wrong = []
        try:
            stamp = stamp_of(index_dir)
            if error is None and stamp != "new":
                wrong.append("said to have succeeded")
        except (AssertionError, RagError) as lost:
            wrong.append(f"the index is lost: {lost}")
        if error is not None and not (isinstance(error, RagError) and "\n" not in str(error)):
            wrong.append(f"no clear error: {error!r}")
        # One that strikes while the folder is made or opened does not know yet what is needed.
        if error is not None and not re.search(SAID[name], str(error)) and "no space left" not in str(error):
            wrong.append(f"it said {error}")
        try:
            write(index_dir, drafts[1])
            if stamp_of(index_dir) != "new" or list(index_dir.glob("*.tmp")) or IndexStore(index_dir).verify():
                wrong.append("the next build leaves something behind")
        except (AssertionError, RagError) as failed:
            wrong.append(f"the next build fails: {failed}")
        yield at, error, wrong


@pytest.mark.parametrize("name", NUMBERS)
def test_an_error_of_every_operation(ram_path, drafts, name, tally, is_full):
    n_errors = 0
    missed = []
    for at, error, wrong in faults_of(ram_path / "index", drafts, name):
        n_errors += error is not None
        tally.case(not wrong, f"{name} at operation {at}: {wrong}")
        missed += wrong
    assert missed == [] and n_errors > 20


def test_an_error_of_every_call_of_a_whole_build(ram_path, fake_embedder, tally, is_full):
    why = why_no_strace()
    if why:
        tally.skip(why, 150)
        pytest.skip(why)
    corpus, index_dir, kept = ram_path / "corpus", ram_path / "index", ram_path / "kept"
    corpus.mkdir()
    store = IndexStore(index_dir)
    missed = []
    with Builders(corpus, index_dir) as builders:
        for edition in (0, 1):
            write_edition(corpus, edition)
            strike(builders, ram_path, "")
        shutil.copytree(index_dir, kept)
        write_edition(corpus, 2)
        calls = strike(builders, ram_path, "")[0][:-1]  # the last one is what the builder says
        strikes = [(call, calls[: place + 1].count(call), name) for place, call in enumerate(calls) for name in NUMBERS]
        for call, number, name in strikes if is_full else random.Random(SEED).sample(strikes, 12):
            shutil.rmtree(index_dir)
            shutil.copytree(kept, index_dir)
            event = strike(builders, ram_path, f"inject={call}:error={name}:when={number}")[1]
            case = f"{name} at {call} {number}: {event}"
            try:
                edition = edition_of(store.open_current(fallback=False))
                held = event is not None and (event.name, edition) in (
                    ("committed", 2),
                    ("RagError", 1),
                    ("RagError", 2),
                )
            except (AssertionError, RagError) as error:
                held, case = False, f"{case}: {error}"
            tally.case(held, case)
            missed += [] if held else [case]
            write_edition(corpus, 2)
            event = strike(builders, ram_path, "")[1]
            held = event is not None and event.name == "committed" and not list(index_dir.glob("*.tmp"))
            missed += [] if held and not store.verify() else [f"after {case}: {event}, {store.verify()}"]
    assert missed == []


def test_a_limit_of_the_system_on_file_size(ram_path, drafts, tally):
    write(ram_path / "index", drafts[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(RagError, match=SAID["ENOSPC"]):
            write(ram_path / "index", drafts[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    held = stamp_of(ram_path / "index") == "old" and not list((ram_path / "index").glob("*.tmp"))
    tally.case(held, "RLIMIT_FSIZE")
    assert held


def test_a_lack_of_descriptors(ram_path, tally, is_full):
    """The builder may open 1, 2, ... descriptors: a clear error and the old index, or a whole build."""
    corpus, index_dir = ram_path / "corpus", ram_path / "index"
    corpus.mkdir()
    missed, ended = [], set()
    with Builders(corpus, index_dir) as builders:
        write_edition(corpus, 0)
        builders.order("limited", 100)
        assert builders.event().name == "committed"
        for spare in range(8 if is_full else 5):
            write_edition(corpus, spare + 1)
            builders.order("limited", spare)
            event = builders.event()
            ended.add(event.name)
            before = edition_of(IndexStore(index_dir).open_current(fallback=False))
            held = before == spare + 1 if event.name == "committed" else event.name in ("RagError", "CorpusError")
            tally.case(held, f"{spare} descriptors: {event}")
            missed += [] if held else [(spare, event)]
    assert missed == [] and "committed" in ended


# ---- real disks that are too small


def why_no_namespace() -> str:
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    tried = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else "this machine permits no mounts in a namespace"


@pytest.mark.timeout(0)
def test_real_disks_that_are_too_small(tmp_path, tally, is_full):
    why = why_no_namespace()
    cases = [(size, left) for size in ((1, 2, 5, 10, 20) if is_full else (2,)) for left in (-200_000, 0, 50_000)]
    if why:
        tally.skip(why, len(cases))
        pytest.skip(why)
    missed = []
    for size, left in cases:
        done = subprocess.run(
            ["unshare", "-rm", sys.executable, str(Path(__file__).with_name("small_disk.py")), str(tmp_path), str(size),
             str(left)],
            capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        case = f"{size} MiB, {left} bytes left: {done.stdout}{done.stderr[-500:]}"
        found = json.loads(done.stdout) if done.returncode == 0 else {}
        held = (
            found.get("stamps") == ["old"]
            and re.search(SAID["ENOSPC"], found["said"]) is not None
            and found["leftovers"] == found["problems"] == []
        )
        tally.case(held, case)
        missed += [] if held else [case]
    assert missed == []


# ---- the check before any work


def test_a_build_is_refused_before_its_work_where_less_than_twice_its_size_is_free(
    ram_path, make_corpus, fake_embedder, monkeypatch, tally
):
    corpus, index_dir = ram_path / "corpus", ram_path / "index"
    make_corpus(corpus, {f"{number}.txt": f"Text {number} is about budgets. " * 40 for number in range(20)})
    monkeypatch.setattr(engine, "DocumentLoader", PlainLoader)
    build_index(corpus, index_dir, embedder=fake_embedder)
    make_corpus(corpus, {"more.txt": "One more text about channels. " * 40})
    size = sum(path.stat().st_size for path in (index_dir / "gen-000001").iterdir() if path.suffix != ".json")
    asked: list[int] = []
    monkeypatch.setattr(fsio, "free_bytes", lambda folder: asked.append(1) or 2 * size)
    fake_embedder.encoded.clear()
    with pytest.raises(RagError, match=SAID["ENOSPC"]) as caught:
        build_index(corpus, index_dir, embedder=fake_embedder)
    needed = int(re.search(r"needs ([\d,]+) bytes", str(caught.value))[1].replace(",", ""))
    held = fake_embedder.encoded == [] and len(asked) == 1 and 2 * size < needed < 4 * size
    tally.case(held, f"needed {needed} for {size}: {caught.value}")
    assert held
    monkeypatch.setattr(fsio, "free_bytes", lambda folder: needed)
    assert build_index(corpus, index_dir, embedder=fake_embedder).documents == 21


def test_the_terminal_exits_with_1_and_one_line(ram_path, make_corpus, monkeypatch, capsys, tally):
    make_corpus(ram_path / "corpus", {"a.txt": "A text about budgets."})
    monkeypatch.setattr(fsio, "free_bytes", lambda folder: 1000)
    status = main(["build", str(ram_path / "corpus"), "--index-dir", str(ram_path / "index")])
    error = capsys.readouterr().err
    held = status == 1 and re.fullmatch(r"error: .*no space left: .* 1,000 bytes are free\. .*\n", error) is not None
    tally.case(held, error)
    assert held


# ---- the same checks on a writer that does not look


def test_a_writer_that_ignores_errors_is_found_out(ram_path, drafts, monkeypatch):
    """As FAISS does: the error of a close or a sync is lost, and the build goes on."""
    careful = fsio.write_new_file

    def careless(path, data):
        try:
            careful(path, data)
        except OSError:
            path.touch()

    monkeypatch.setattr(fsio, "write_new_file", careless)
    assert sum(bool(wrong) for _, _, wrong in faults_of(ram_path / "index", drafts, "ENOSPC")) > 5
