"""A process that forks builders on demand, so that tests/reliability can start and kill many of them quickly.

Run as a script: ``crash_builder.py CORPUS_DIR INDEX_DIR``. Each line on stdin is one order; each builder says on
stdout ``PID EVENT...``, one line an event. The orders:

full N, plain N     build edition N, N + 1, ... until killed; plain reads the documents in the builder's own process
once GATE           build once when GATE/go is there, and wait within the build for GATE/release; plain
lockless GATE       the same without a lock, a known-bad builder
quiet GATE          build once when GATE/go is there, and say nothing until the end; plain
limited N           build once with N descriptors left
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from conftest import HashEmbedder

from rag import engine
from rag.builder import build_index
from rag.datatypes import Document
from rag.errors import CorpusError
from rag.store import index_store

N_DOCUMENTS = 3


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, (os.getpid(), *words))) + "\n").encode())


def write_edition(corpus: Path, edition: int) -> None:
    """Stamp every document with the edition, so that a generation of mixed editions can be told."""
    for number in range(N_DOCUMENTS):
        (corpus / f"{number}.txt").write_text(f"edition {edition} of document {number}. " * 20, encoding="utf-8")


class PlainLoader:
    """Reads text files in this very process: nothing to start, so that a build is over in milliseconds."""

    def __init__(self, config):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def load(self, path: Path, doc_id: str) -> Document:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CorpusError(path, f"cannot be opened ({error.strerror})") from error
        return Document(doc_id, doc_id, data.decode(), "en", hashlib.sha256(data).hexdigest())


def build_forever(corpus: Path, index_dir: Path, edition: int) -> None:
    while True:
        write_edition(corpus, edition)
        said = set()

        def tell(step, said=said):
            if step.stage not in said:
                said.add(step.stage)
                say(step.stage)

        say("start")
        build_index(corpus, index_dir, embedder=HashEmbedder(), progress=tell)
        say("committed", edition)
        edition += 1


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.001)


def build_once(corpus: Path, index_dir: Path, progress=None) -> None:
    try:
        say("committed", build_index(corpus, index_dir, embedder=HashEmbedder(), progress=progress).generation)
    except Exception as error:
        say(type(error).__name__, str(error).replace("\n", "\\n"))


class NoLock:
    """Locks nothing."""

    def __init__(self, path, **options):
        pass

    def acquire(self):
        pass

    release = acquire


def obey(order: str, argument: str, corpus: Path, index_dir: Path) -> None:
    if order != "full":
        engine.DocumentLoader = PlainLoader
    if order in ("full", "plain"):
        build_forever(corpus, index_dir, int(argument))
    elif order == "limited":
        spare = os.open("/", os.O_RDONLY)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare + int(argument),) * 2)
        os.close(spare)
        build_once(corpus, index_dir)
    else:
        gate = Path(argument)
        if order == "lockless":
            index_store.FileLock = NoLock
        say("ready")
        wait_for(gate / "go")
        build_once(corpus, index_dir, None if order == "quiet" else lambda step: wait_for(gate / "release"))


def main() -> None:
    corpus, index_dir = Path(sys.argv[1]), Path(sys.argv[2])
    loader, engine.DocumentLoader = engine.DocumentLoader, PlainLoader
    with tempfile.TemporaryDirectory() as folder:  # what a build imports and reads late is there before the fork
        build_index(corpus, folder, embedder=HashEmbedder())
        build_index(corpus, folder, embedder=HashEmbedder())
    engine.DocumentLoader = loader
    for line in sys.stdin:
        order, argument = line.split()
        if os.fork() == 0:
            os.close(0)
            obey(order, argument, corpus, index_dir)
            os._exit(0)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
