"""Real builders in processes of their own, which can be killed: ``tests/crash_builder.py`` seen from the test."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Self

from crash_builder import N_DOCUMENTS

from rag.errors import IndexLockedError
from rag.store import Generation, IndexStore

SCRIPT = Path(__file__).parent.with_name("crash_builder.py")


class Event(NamedTuple):
    """What a builder said: who, what, and the rest of the line."""

    pid: int
    name: str
    argument: str


class Builders:
    """Forked, on order, by one process that has imported everything."""

    def __init__(self, corpus: Path, index_dir: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(corpus), str(index_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def order(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def event(self) -> Event:
        """Wait for the next event of any builder."""
        assert self._process.stdout is not None
        pid, name, *rest = self._process.stdout.readline().rstrip("\n").split(" ", 2)
        return Event(int(pid), name, rest[0] if rest else "")


def edition_of(generation: Generation) -> int:
    """Return the edition of a generation; fail if documents, passages or vectors mix editions or are missing."""
    editions = {document.text.split()[1] for document in generation.documents.values()}
    assert len(editions) == 1 and len(generation.documents) == N_DOCUMENTS
    (edition,) = editions
    assert all(f"edition {edition} " in passage.text for passage in generation.passages)
    assert len(generation.passages) == len(generation.vectors)
    return int(edition)


def wait_for_lock(store: IndexStore, limit_s: float = 10) -> float:
    """Wait until the lock is free; return the seconds it took. Taking it removes what builds left over."""
    began = time.monotonic()
    while True:
        try:
            with store.lock():
                return time.monotonic() - began
        except IndexLockedError:
            assert time.monotonic() < began + limit_s, "the lock outlived its process"
            time.sleep(0.002)
