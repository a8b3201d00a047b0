"""A process that forks builders on demand, so that test_crash.py can start and kill many of them quickly.

Run as a script: ``crash_builder.py CORPUS_DIR INDEX_DIR``. Each line on stdin is one order; each builder says on
stdout ``PID EVENT...``, one line an event.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

from conftest import HashEmbedder

from rag import builder
from rag.builder import build_index
from rag.datatypes import Document
from rag.errors import RagError

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
        data = path.read_bytes()
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


def build_once(corpus: Path, index_dir: Path, gate: Path) -> None:
    """Build when the gate opens; the one that gets the lock waits in its build until ``release`` lies there."""

    def wait(step):
        while not (gate / "release").exists():
            time.sleep(0.001)

    say("ready")
    while not (gate / "go").exists():
        time.sleep(0.001)
    try:
        say("committed", build_index(corpus, index_dir, embedder=HashEmbedder(), progress=wait).generation)
    except RagError as error:
        say(type(error).__name__, str(error))


def main() -> None:
    corpus, index_dir = Path(sys.argv[1]), Path(sys.argv[2])
    loader, builder.DocumentLoader = builder.DocumentLoader, PlainLoader
    with tempfile.TemporaryDirectory() as folder:  # what a build imports and reads late is there before the fork
        build_index(corpus, folder, embedder=HashEmbedder())
        build_index(corpus, folder, embedder=HashEmbedder())
    builder.DocumentLoader = loader
    for line in sys.stdin:
        order, argument = line.split()
        if os.fork() == 0:
            os.close(0)
            if order != "once":
                if order == "plain":
                    builder.DocumentLoader = PlainLoader
                build_forever(corpus, index_dir, int(argument))
            else:
                build_once(corpus, index_dir, Path(argument))
            os._exit(0)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
