"""A disk that records what the index does to it, fails or ends the process at any operation, or loses its power.

`Disk` stands in for ``os`` within ``rag.store.fsio``, through which every byte of an index passes.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rag.errors import IndexCorruptError, IndexNotFoundError, RagError
from rag.store import Draft, IndexStore, fsio

N_PASSAGES = 6  # of a draft of make_draft

Operation = tuple[Any, ...]  # its name, the path, and what belongs to it
Act = Callable[["Disk", str, tuple[Any, ...]], None]


class Disk:
    """Passes every change on to the real disk and keeps a record; from operation ``at`` on, ``act`` goes first."""

    CHANGES = ("mkdir", "open", "write", "fsync", "close", "rename", "replace", "unlink", "rmdir")

    def __init__(self, at: int | None = None, act: Act | None = None) -> None:
        self.log: list[Operation] = []
        self.at = at
        self._act = act
        self._paths: dict[int, Path] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.CHANGES:
            return real

        def change(*arguments: Any) -> Any:
            if self._act is not None and self.at is not None and len(self.log) >= self.at:
                self._act(self, name, arguments)
            result = real(*arguments)
            if name == "open":
                self._paths[result] = Path(arguments[0])
                self.log.append(("create" if arguments[1] & os.O_CREAT else "look", Path(arguments[0])))
            elif name == "close":
                self.log.append((name, self._paths.pop(arguments[0])))
            elif name == "write":
                self.log.append((name, self._paths[arguments[0]], bytes(arguments[1][:result])))
            elif name == "fsync":
                self.log.append((name, self._paths[arguments[0]]))
            else:
                self.log.append((name, *map(Path, arguments)))
            return result

        return change


@contextmanager
def put(disk: Any) -> Iterator[Any]:
    """Put a disk in for the time being."""
    fsio.os, kept = disk, fsio.os
    try:
        yield disk
    finally:
        fsio.os = kept


def write(index_dir: Path, draft: Draft) -> str:
    store = IndexStore(index_dir)
    with store.lock():
        return store.write_generation(draft)


def stamp_of(index_dir: Path) -> str:
    """Return the last word of every document, ``old`` or ``new``; fail unless the index is whole and of one stamp."""
    generation = IndexStore(index_dir).open_current(fallback=False)
    stamps = {document.text.rsplit(" ", 1)[1] for document in generation.documents.values()}
    assert len(stamps) == 1 and len(generation.passages) == N_PASSAGES and generation.warning is None
    return stamps.pop()


# ---- one operation after another


class Killed(BaseException):
    """The process ended here."""


def kill(disk: Disk, name: str, arguments: tuple[Any, ...]) -> None:
    raise Killed


def kill_after_half_a_write(disk: Disk, name: str, arguments: tuple[Any, ...]) -> None:
    if name == "write" and len(disk.log) == disk.at:
        os.write(arguments[0], bytes(arguments[1][: len(arguments[1]) // 2]))
        disk.at = 0
    raise Killed


def fail_once(number: int) -> Act:
    """Return what fails one operation with an ``errno``; a descriptor that fails to close is closed all the same."""

    def act(disk: Disk, name: str, arguments: tuple[Any, ...]) -> None:
        disk.at = None
        if name == "close":
            os.close(arguments[0])
        raise OSError(number, os.strerror(number))

    return act


def each_operation(
    index_dir: Path, drafts: tuple[Draft, Draft], act: Act, write: Callable[[Path, Draft], object] = write
) -> Iterator[tuple[int, BaseException | None]]:
    """Write the second draft over the first, ``act`` striking at operation 0, 1, 2, ... until none is left to strike.

    Yields:
        The operation's number and what the write ended with, while the index is as it was left.
    """
    kept = index_dir.with_name("kept")
    write(kept, drafts[0])
    write(kept, drafts[0])  # so that a generation is collected
    for at in range(1000):
        shutil.rmtree(index_dir, ignore_errors=True)
        shutil.copytree(kept, index_dir)
        error: BaseException | None = None
        with put(Disk(at, act)) as disk:
            try:
                write(index_dir, drafts[1])
            except (Killed, RagError) as caught:
                error = caught
        yield at, error
        if error is None and len(disk.log) <= at:
            shutil.rmtree(kept)
            return
    raise AssertionError("the build never ended")


# ---- power cuts: what was not synced may be lost, torn or reordered


def after_power_cut(log: list[Operation], picks: random.Random) -> None:
    """Bring the disk to a state that a power cut after the operations of ``log`` allows.

    A change of a name is certain once its folder was synced, and until then happened or not, each for itself. What a
    file holds is certain once it was synced; until then it is cut at a block, or ends in zeros. What happened in a
    folder whose renaming is lost happened under its former name.
    """
    former: dict[Path, Path] = {}
    for position, (name, *arguments) in enumerate(log):
        later = log[position + 1 :]
        path = arguments[0]
        if name in ("look", "write", "fsync", "close"):
            continue
        if ("fsync", path.parent) not in later and picks.random() < 0.5:
            if name == "rename":
                former[arguments[1]] = path
            continue
        path = former[path.parent] / path.name if path.parent in former else former.get(path, path)
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
        elif name == "rmdir":
            shutil.rmtree(path, ignore_errors=True)


def power_cuts(
    index_dir: Path, drafts: tuple[Draft | None, Draft], picks: random.Random, n: int, disk: Disk | None = None
) -> Iterator[tuple[int, int]]:
    """Cut the power ``n`` times, spread over the operations of a write of the second draft over the first, if any.

    Yields:
        How many operations were begun, and how many there are; the index is as the cut left it.
    """
    old, new = drafts
    kept = index_dir.with_name("kept")
    if old is None:
        kept.mkdir()
    else:
        write(kept, old)
        write(kept, old)
    shutil.copytree(kept, index_dir)
    with put(disk or Disk()) as recorded:
        write(index_dir, new)
    log = [entry for entry in recorded.log if entry[:2] != ("mkdir", index_dir)]
    assert len(log) > 25
    for number in range(n):
        length = number * (len(log) + 1) // n if n <= len(log) else number % (len(log) + 1)
        shutil.rmtree(index_dir)
        shutil.copytree(kept, index_dir)
        after_power_cut(log[:length], picks)
        yield length, len(log)
    shutil.rmtree(kept)


def stamp_after_cut(index_dir: Path) -> str:
    """Return `stamp_of`, or ``none`` where a first build was cut off before there was an index."""
    try:
        return stamp_of(index_dir)
    except IndexNotFoundError:
        return "none"
    except IndexCorruptError as error:  # between the rename of its folder and CURRENT
        if error.path == index_dir / "CURRENT" and error.reason == "is missing":
            return "none"
        raise
