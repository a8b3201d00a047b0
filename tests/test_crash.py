"""Kills, power cuts, failing disks and rival builders: the index is the old one or the new one, whole."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from crash_builder import N_DOCUMENTS, write_edition
from test_index_store import make_draft

from rag.builder import build_index
from rag.errors import IndexFormatError, IndexLockedError, IndexNotFoundError, RagError
from rag.store import IndexStore, fsio

SEED = 20
N_KILLS = 25


# ---- real processes


class Builders:
    """The builders of ``crash_builder.py``, forked by one process that has imported everything."""

    def __init__(self, corpus: Path, index_dir: Path) -> None:
        script = Path(__file__).with_name("crash_builder.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(corpus), str(index_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def order(self, *words):
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def event(self):
        """Return the next ``(pid, event, argument)``."""
        pid, event, *rest = self._process.stdout.readline().rstrip("\n").split(" ", 2)
        return int(pid), event, rest[0] if rest else ""


def edition_of(generation):
    """Return the edition of a generation; fail if documents, passages or vectors mix editions or are missing."""
    editions = {document.text.split()[1] for document in generation.documents.values()}
    assert len(editions) == 1 and len(generation.documents) == N_DOCUMENTS
    (edition,) = editions
    assert all(f"edition {edition} " in passage.text for passage in generation.passages)
    assert len(generation.passages) == len(generation.vectors)
    return int(edition)


def wait_for_lock(store):
    """Wait until the lock is free; the system frees it as the killed process ends, a moment after the signal."""
    deadline = time.monotonic() + 1
    while True:
        try:
            with store.lock():
                return
        except IndexLockedError:
            assert time.monotonic() < deadline, "the lock outlived its process"
            time.sleep(0.002)


def test_a_killed_build_leaves_the_old_index_or_the_new_one(tmp_path, fake_embedder):
    corpus, index_dir = tmp_path / "corpus", tmp_path / "index"
    corpus.mkdir()
    write_edition(corpus, 0)
    build_index(corpus, index_dir, embedder=fake_embedder)
    store = IndexStore(index_dir)
    picks = random.Random(SEED)
    edition, killed = 0, set()
    n_old = n_leftover = 0
    with Builders(corpus, index_dir) as builders:
        for _ in range(N_KILLS):
            # From the start of a build on, or from that of its last stage, which is where the files are written.
            kind, stage = picks.choice([("full", "start"), ("plain", "write"), ("plain", "write"), ("plain", "start")])
            builders.order(kind, edition + 1)
            while (event := builders.event())[1] != stage or event[0] in killed:
                pass
            time.sleep(picks.uniform(0, 0.5 if kind == "full" else 0.03))
            os.kill(event[0], signal.SIGKILL)
            killed.add(event[0])
            generation = store.open_current(fallback=False)
            found = edition_of(generation)
            assert found >= edition, "the index went back"
            n_old += found == edition
            edition = found
            n_leftover += bool(list(index_dir.glob("*.tmp")))
            wait_for_lock(store)
    write_edition(corpus, edition + 100)
    assert edition_of(IndexStore(index_dir).open_current()) == edition
    build_index(corpus, index_dir, embedder=fake_embedder)
    assert edition_of(store.open_current()) == edition + 100
    assert store.verify() == [] and not list(index_dir.glob("*.tmp"))
    assert 0 < n_old and n_leftover < N_KILLS, (n_old, n_leftover)


def test_of_eight_builders_at_once_one_commits_and_the_others_are_refused(tmp_path, fake_embedder):
    corpus, index_dir, gate = tmp_path / "corpus", tmp_path / "index", tmp_path / "gate"
    corpus.mkdir()
    gate.mkdir()
    write_edition(corpus, 0)
    build_index(corpus, index_dir, embedder=fake_embedder)
    write_edition(corpus, 1)
    with Builders(corpus, index_dir) as builders:
        for _ in range(8):
            builders.order("once", gate)
        pids = {builders.event()[0] for _ in range(8)}
        (gate / "go").touch()
        refused = [builders.event() for _ in range(7)]
        assert {event for _, event, _ in refused} == {"IndexLockedError"}
        (gate / "release").touch()
        winner, event, name = builders.event()
    assert (event, name) == ("committed", "gen-000002")
    assert pids == {winner} | {pid for pid, _, _ in refused} and len(pids) == 8
    holders = [f"being built by another process (process {winner})" in message for _, _, message in refused]
    assert any(holders)  # one that came before the winner wrote its id says no more than "another process"
    assert edition_of(IndexStore(index_dir).open_current()) == 1
    assert IndexStore(index_dir).generations() == ["gen-000001", "gen-000002"]


def test_readers_meet_one_whole_generation_during_back_to_back_builds(tmp_path, fake_embedder):
    store = IndexStore(tmp_path / "index")
    drafts = [make_draft(fake_embedder, stamp=f" edition {number}") for number in range(25)]
    with store.lock():
        store.write_generation(drafts[0])
    stop, failures, seen = threading.Event(), [], set()

    def read():
        last = 0
        while not stop.is_set():
            try:
                generation = IndexStore(store.index_dir).open_current(fallback=False)
                editions = {document.text.rsplit(" ", 1)[1] for document in generation.documents.values()}
                assert len(editions) == 1 and last <= int(min(editions)), (editions, last)
                last = int(min(editions))
                seen.add(last)
            except BaseException as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for draft in drafts[1:]:
        with store.lock():
            store.write_generation(draft)
    time.sleep(0.05)
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == [] and len(seen) > 2 and max(seen) == 24


# ---- one operation of the disk after another


class Disk:
    """Stands in for ``os`` within ``fsio``: passes every change on to the disk, counts it, and keeps a record."""

    CHANGES = ("mkdir", "open", "write", "fsync", "rename", "replace", "unlink")

    def __init__(self, at=None, act=None):
        self.log = []
        self._paths = {}
        self._at, self._act = at, act

    def __getattr__(self, name):
        real = getattr(os, name)
        if name == "close":
            return lambda descriptor: (self._paths.pop(descriptor), real(descriptor))[1]
        if name not in self.CHANGES:
            return real

        def change(*arguments):
            if self._at is not None and len(self.log) >= self._at:
                self._act(self, name, arguments)
            result = real(*arguments)
            if name == "open":
                self._paths[result] = Path(arguments[0])
                self.log.append(("create" if arguments[1] & os.O_CREAT else "look", Path(arguments[0])))
            elif name == "write":
                self.log.append((name, self._paths[arguments[0]], bytes(arguments[1][:result])))
            elif name == "fsync":
                self.log.append((name, self._paths[arguments[0]]))
            else:
                self.log.append((name, *map(Path, arguments)))
            return result

        return change


@pytest.fixture
def disk(monkeypatch):
    """Return a function that puts a ``Disk`` in, or, given None, takes it out."""

    def put(stand_in):
        monkeypatch.setattr(fsio, "os", stand_in or os)
        return stand_in

    return put


@pytest.fixture
def old_and_new(fake_embedder):
    return make_draft(fake_embedder, stamp=" old"), make_draft(fake_embedder, stamp=" new")


def write(index_dir, draft):
    store = IndexStore(index_dir)
    with store.lock():
        return store.write_generation(draft)


def stamp_of(index_dir):
    """Return which of the two drafts the index holds; fail if it is neither, whole."""
    generation = IndexStore(index_dir).open_current(fallback=False)
    stamps = {document.text.rsplit(" ", 1)[1] for document in generation.documents.values()}
    assert len(stamps) == 1 and len(generation.passages) == 6 and generation.warning is None
    return stamps.pop()


class Killed(BaseException):
    """The process ended here."""


def kill(disk, name, arguments):
    raise Killed


def kill_after_half_a_write(disk, name, arguments):
    if name == "write" and len(disk.log) == disk._at:
        os.write(arguments[0], bytes(arguments[1][: len(arguments[1]) // 2]))
        disk._at = 0
    raise Killed


def fail_once(number):
    def act(disk, name, arguments):
        disk._at = None
        raise OSError(number, os.strerror(number))

    return act


def each_operation(index_dir, drafts, disk, act):
    """Write the second draft over the first, with ``act`` at operation 0, 1, 2, ... until none is left to strike."""
    kept = index_dir.with_name("kept")
    write(kept, drafts[0])
    for at in range(1000):
        shutil.rmtree(index_dir, ignore_errors=True)
        shutil.copytree(kept, index_dir)
        stand_in = disk(Disk(at, act))
        error = None
        try:
            write(index_dir, drafts[1])
        except (Killed, RagError) as caught:
            error = caught
        finally:
            disk(None)
        n_done = len(stand_in.log)
        yield error
        if error is None and n_done <= at:
            return
    raise AssertionError("the build never ended")


@pytest.mark.parametrize("act", [kill, kill_after_half_a_write])
def test_killed_at_every_operation(tmp_path, old_and_new, disk, act):
    stamps = []
    for error in each_operation(tmp_path / "index", old_and_new, disk, act):
        stamps.append(stamp_of(tmp_path / "index"))
        assert error is None or isinstance(error, Killed)
        assert write(tmp_path / "index", old_and_new[1]) > "gen-000001"
        assert stamp_of(tmp_path / "index") == "new"
        assert not list((tmp_path / "index").glob("*.tmp")) and len(IndexStore(tmp_path / "index").generations()) == 2
    assert stamps == sorted(stamps, reverse=True)  # old, old, ..., new, new: it changes over once
    assert stamps.count("old") > 20 and stamps.count("new") >= 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failure_of_every_operation_is_one_clear_error_and_loses_nothing(tmp_path, old_and_new, disk, number):
    n_errors = 0
    for error in each_operation(tmp_path / "index", old_and_new, disk, fail_once(number)):
        stamp = stamp_of(tmp_path / "index")
        if error is not None:
            n_errors += 1
            assert isinstance(error, RagError) and "\n" not in str(error)
            assert str(tmp_path / "index") in str(error)
        else:
            assert stamp == "new"
        assert not list((tmp_path / "index").glob("gen-*.tmp"))
        write(tmp_path / "index", old_and_new[1])
        assert stamp_of(tmp_path / "index") == "new" and not list((tmp_path / "index").glob("*.tmp"))
    assert n_errors > 20


def test_a_limit_of_the_system_on_file_size_is_a_full_disk(tmp_path, old_and_new):
    write(tmp_path / "index", old_and_new[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(RagError, match=r"no space left: the new index needs [\d,]+ bytes, [\d,]+ bytes are free"):
            write(tmp_path / "index", old_and_new[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert stamp_of(tmp_path / "index") == "old" and not list((tmp_path / "index").glob("*.tmp"))


# ---- power cuts: what was not synced may be lost, torn or reordered


def after_power_cut(log, picks, index_dir):
    """Bring the disk to a state that a power cut after the operations of ``log`` allows.

    A change of a name is certain once its folder was synced, and until then happened or not, each for itself. What a
    file holds is certain once it was synced; until then it is cut at a block, or ends in zeros.
    """
    for position, (name, *arguments) in enumerate(log):
        later = log[position + 1 :]
        path = arguments[0]
        if name in ("look", "write", "fsync"):
            continue
        is_certain = ("fsync", path.parent) in later
        if not is_certain and picks.random() < 0.5:
            continue
        if name == "create" and path.parent.is_dir():
            data = b"".join(entry[2] for entry in later if entry[:2] == ("write", path))
            if ("fsync", path) not in later:
                kept = picks.randrange(len(data) // 512 + 1) * 512
                data = picks.choice([data[:kept], data[:kept] + bytes(len(data) - kept), data])
            path.write_bytes(data)
        elif name == "mkdir" and path.parent.is_dir():
            path.mkdir(exist_ok=True)
        elif name in ("rename", "replace") and path.exists():
            os.replace(path, arguments[1])
        elif name == "unlink":
            path.unlink(missing_ok=True)


@pytest.mark.parametrize("is_first_build", [True, False])
def test_a_power_cut_at_every_operation(tmp_path, old_and_new, disk, is_first_build):
    index_dir, kept = tmp_path / "index", tmp_path / "kept"
    if not is_first_build:
        write(index_dir, old_and_new[0])
        shutil.copytree(index_dir, kept)
    log = disk(Disk()).log
    write(index_dir, old_and_new[1])
    disk(None)
    assert len(log) > 25 and all(
        index_dir in (path, *path.parents) for name, path, *_ in log if name != "fsync" and name != "look"
    )
    picks = random.Random(SEED)
    stamps = set()
    for length in range(len(log) + 1):
        for _ in range(8):
            shutil.rmtree(index_dir)
            if not is_first_build:
                shutil.copytree(kept, index_dir)
            else:
                index_dir.mkdir()
            after_power_cut([entry for entry in log[:length] if entry[:2] != ("mkdir", index_dir)], picks, index_dir)
            try:
                stamp = stamp_of(index_dir)
            except IndexNotFoundError:
                stamp = "none"
            except IndexFormatError as error:  # a first build cut off between its rename and CURRENT
                assert is_first_build and "CURRENT is missing" in str(error)
                stamp = "none"
            assert stamp in (("none", "new") if is_first_build else ("old", "new"))
            stamps.add(stamp)
            if length == len(log):
                assert stamp == "new", "a build that has returned was lost"
    assert len(stamps) == 2
