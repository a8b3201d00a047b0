"""P1: kills and power cuts at any point leave the old index or the new one, whole, and the next build cleans up."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from crash_builder import PlainLoader, write_edition
from drafts import make_draft

from rag import engine
from rag.builder import build_index
from rag.errors import RagError
from rag.retriever import Retriever
from rag.store import IndexStore, index_store
from reliability.builders import Builders, edition_of, wait_for_lock
from reliability.disks import (
    Disk,
    Killed,
    after_power_cut,
    each_operation,
    kill,
    kill_after_half_a_write,
    power_cuts,
    put,
    stamp_after_cut,
    stamp_of,
    write,
)
from reliability.syscalls import CHANGES, struck, why_no_strace

PROMISE = "P1 a rebuild never loses the index"

SEED = 20


@pytest.fixture
def drafts(fake_embedder):
    return make_draft(fake_embedder, stamp=" old"), make_draft(fake_embedder, stamp=" new")


def no_worse(check, *arguments):
    """Return what is wrong, None if nothing is."""
    try:
        check(*arguments)
    except (AssertionError, RagError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def cleans_up(index_dir, draft):
    write(index_dir, draft)
    assert stamp_of(index_dir) == draft.segments[0].documents[0].text.rsplit(" ", 1)[1]
    assert IndexStore(index_dir).verify() == [] and not list(index_dir.glob("*.tmp"))


# ---- real kills


def first_answer_s(index_dir, embedder):
    began = time.monotonic()
    assert Retriever.open(index_dir, embedder=embedder).search("edition of a document")
    return time.monotonic() - began


def test_kills_at_random_moments(ram_path, fake_embedder, tally, is_full):
    corpus, index_dir = ram_path / "corpus", ram_path / "index"
    corpus.mkdir()
    write_edition(corpus, 0)
    build_index(corpus, index_dir, embedder=fake_embedder)
    store = IndexStore(index_dir)
    first_answer_s(index_dir, fake_embedder)
    normal = first_answer_s(index_dir, fake_embedder)
    slowest = 0.0
    picks = random.Random(SEED)
    edition, killed = 0, set()
    n = Counter()
    missed = []
    with Builders(corpus, index_dir) as builders:
        for number in range(200 if is_full else 40):
            # From the start of a build on, or from that of its last stage, which is where the files are written.
            kind = "full" if number % 8 == 0 else "plain"
            stage = "start" if kind == "full" else picks.choice(["start", "write", "write"])
            builders.order(kind, edition + 1)
            while (event := builders.event()).name != stage or event.pid in killed:
                pass
            time.sleep(picks.uniform(0, 0.5 if kind == "full" else 0.03))
            os.kill(event.pid, signal.SIGKILL)
            killed.add(event.pid)
            n["left over"] += bool(list(index_dir.glob("*.tmp")))
            try:
                found = edition_of(store.open_current(fallback=False))
                assert found >= edition, "the index went back"
                slowest = max(slowest, first_answer_s(index_dir, fake_embedder))
                n["old"] += found == edition
                edition = found
                wait_for_lock(store)
                tally.case(True)
            except (AssertionError, RagError) as error:
                missed.append(f"kill {number}, {kind} from {stage}: {error}")
                tally.case(False, missed[-1])
    write_edition(corpus, edition + 100)
    build_index(corpus, index_dir, embedder=fake_embedder)
    assert edition_of(store.open_current(fallback=False)) == edition + 100
    assert store.verify() == [] and not list(index_dir.glob("*.tmp"))
    assert n["old"] > 0 and (n["left over"] > 0 or not is_full), n  # some struck while files were being written
    tally.figures["kills that left files behind"] = n["left over"]
    tally.figures["first answer after a kill, ms over a normal start"] = round(1000 * (slowest - normal))
    assert slowest <= normal + 2
    assert missed == []


def test_a_kill_at_every_call_of_the_system(ram_path, fake_embedder, monkeypatch, tally, is_full):
    why = why_no_strace()
    if why:
        tally.skip(why, 60)
        pytest.skip(why)
    monkeypatch.setattr(engine, "DocumentLoader", PlainLoader)
    corpus, index_dir, kept = ram_path / "corpus", ram_path / "index", ram_path / "kept"
    corpus.mkdir()
    for edition in (0, 1):  # so that the build to come also collects an old generation
        write_edition(corpus, edition)
        build_index(corpus, kept, embedder=fake_embedder)
    write_edition(corpus, 2)
    shutil.copytree(kept, index_dir)
    store = IndexStore(index_dir)
    missed, found = [], Counter()
    with Builders(corpus, index_dir) as builders:
        calls = struck(builders, ram_path, "")
        assert edition_of(store.open_current()) == 2 and len(calls) > 20
        numbers = Counter()
        strikes = []
        for call in calls:
            numbers[call] += 1
            strikes.append((call, numbers[call]))
        for call, number in strikes if is_full else random.Random(SEED).sample(strikes, 12):
            shutil.rmtree(index_dir)
            shutil.copytree(kept, index_dir)
            struck(builders, ram_path, f"inject={call}:signal=KILL:when={number}")
            try:
                left = edition_of(store.open_current(fallback=False))
                assert left in (1, 2)
                found[left] += 1
                wait_for_lock(store)
                build_index(corpus, index_dir, embedder=fake_embedder)
                assert edition_of(store.open_current(fallback=False)) == 2 and store.verify() == []
                assert not list(index_dir.glob("*.tmp"))
                tally.case(True)
            except (AssertionError, RagError) as error:
                missed.append(f"killed at {call} {number}: {error}")
                tally.case(False, missed[-1])
    assert found[1] > 0
    if is_full:
        assert found[2] > 0 and {call for call, _ in strikes} <= set(CHANGES)
        tally.figures["calls of the system in a build"] = len(strikes)
    assert missed == []


# ---- the end at every operation, within the process


@pytest.mark.parametrize("act", [kill, kill_after_half_a_write])
def test_the_end_at_every_operation(ram_path, drafts, act, tally):
    index_dir = ram_path / "index"
    stamps, missed = [], []
    for at, error in each_operation(index_dir, drafts, act):
        assert error is None or isinstance(error, Killed)
        wrong = no_worse(lambda: stamps.append(stamp_of(index_dir))) or no_worse(cleans_up, index_dir, drafts[1])
        if wrong:
            missed.append(f"{act.__name__} at operation {at}: {wrong}")
        tally.case(wrong is None, f"{act.__name__} at operation {at}: {wrong}")
    assert missed == []
    assert stamps == sorted(stamps, reverse=True)  # old, old, ..., new, new: it changes over once
    assert stamps.count("old") > 20 and stamps.count("new") >= 2


# ---- power cuts


@pytest.mark.parametrize("is_first_build", [False, True])
def test_power_cuts(ram_path, drafts, is_first_build, tally, is_full):
    index_dir = ram_path / "index"
    old, new = (None if is_first_build else drafts[0]), drafts[1]
    stamps, missed = Counter(), []
    for length, n_operations in power_cuts(index_dir, (old, new), random.Random(SEED), 250 if is_full else 50):
        stamp, wrong = "", None
        try:
            stamp = stamp_after_cut(index_dir)
            assert stamp in (("none", "new") if is_first_build else ("old", "new")), stamp
            assert length < n_operations or stamp == "new", "a build that has returned was lost"
        except (AssertionError, RagError) as error:
            wrong = str(error)
        wrong = wrong or no_worse(cleans_up, index_dir, new)
        stamps[stamp] += 1
        if wrong:
            missed.append(f"power cut after {length} of {n_operations} operations: {wrong}")
        tally.case(wrong is None, f"power cut after {length} of {n_operations} operations: {wrong}")
    assert missed == []
    assert len(stamps) == 2, stamps


# ---- a migration, that is a build over a frozen index, is under the same rules: see test_p13_formats.py


# ---- the same checks on writers that are known to be bad


def write_in_place(index_dir, draft):
    """Overwrite the one generation that there is, file by file."""
    from rag.store import fsio

    contents = index_store._Contents(draft)
    fsio.make_folder(index_dir / "gen-000001")
    makers = [item for segment in draft.segments for item in contents.add(segment)[0].items()]
    files = [(name, make()) for name, make in makers]
    for name, data in files:
        contents.enter(name, data)
    for name, data in [*files, ("manifest.json", contents.manifest("gen-000001").to_bytes())]:
        fsio.remove(index_dir / "gen-000001" / name)
        fsio.write_new_file(index_dir / "gen-000001" / name, data)
    if not (index_dir / "CURRENT").exists():
        fsio.replace_file(index_dir / "CURRENT", b"gen-000001\n")


def test_a_writer_in_place_is_found_out(ram_path, drafts):
    lost = [
        at
        for at, _ in each_operation(ram_path / "index", drafts, kill, write_in_place)
        if no_worse(stamp_of, ram_path / "index")
    ]
    assert len(lost) > 20


class Forgetful(Disk):
    """A disk on which nobody asked for the files to be synced, or for the names of folders."""

    def __init__(self, is_forgotten):
        super().__init__()
        self._is_forgotten = is_forgotten

    def __getattr__(self, name):
        if name != "fsync":
            return super().__getattr__(name)
        real = super().__getattr__(name)
        return lambda descriptor: None if self._is_forgotten(self._paths[descriptor]) else real(descriptor)


@pytest.mark.parametrize(
    "is_forgotten", [lambda path: path.suffix != "" and not path.is_dir(), Path.is_dir], ids=["files", "folders"]
)
def test_a_writer_that_does_not_sync_is_found_out(ram_path, drafts, is_forgotten):
    index_dir = ram_path / "index"
    picks = random.Random(SEED)
    lost = 0
    for length, n_operations in power_cuts(index_dir, drafts, picks, 150, Forgetful(is_forgotten)):
        try:
            lost += stamp_after_cut(index_dir) != "new" and length == n_operations
        except (AssertionError, RagError):
            lost += 1
    assert lost > 2


def test_the_simulated_cut_of_a_synced_build_keeps_every_byte(ram_path, drafts):
    """The simulation itself: with every operation done and synced, what it leaves is what the disk has."""
    index_dir = ram_path / "index"
    index_dir.mkdir()
    with put(Disk()) as disk:
        write(index_dir, drafts[0])
    before = {path: path.read_bytes() for path in index_dir.rglob("*") if path.is_file() and path.name != ".lock"}
    shutil.rmtree(index_dir)
    index_dir.mkdir()
    after_power_cut(disk.log, random.Random(SEED))
    assert before == {path: path.read_bytes() for path in index_dir.rglob("*") if path.is_file()}


def test_strace_strikes_where_it_is_told(ram_path):
    why = why_no_strace()
    if why:
        pytest.skip(why)
    done = subprocess.run(
        ["strace", "-qq", "-e", "trace=mkdir", "-e", "inject=mkdir:signal=KILL:when=1", "mkdir", ram_path / "made"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL and not (ram_path / "made").exists()
