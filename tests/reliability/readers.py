"""Readers of a stamped index, in threads and in processes: every answer is checked for being of one generation.

As a script, ``readers.py INDEX_DIR STOP_FILE``: reads until STOP_FILE is there, then prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from conftest import HashEmbedder

from rag.chunking import embedder_texts
from rag.config import ChunkingConfig
from rag.retriever import Retriever

QUERIES = [f"document {number} of an edition" for number in range(3)]


class Reader:
    """Searches on and on.

    Attributes:
        n_queries: Queries answered.
        wrong: What was not of one generation, or raised.
        first_seen: When each edition was first answered from, by the wall clock.
        latencies: ``(when it began, seconds)`` of each query, by the monotonic clock.
    """

    def __init__(self, retriever: Retriever, embedder: HashEmbedder) -> None:
        self._retriever, self._embedder = retriever, embedder
        self.n_queries = 0
        self.wrong: list[str] = []
        self.first_seen: dict[int, float] = {}
        self.latencies: list[tuple[float, float]] = []
        self._known = ""

    def ask_once(self) -> None:
        began = time.monotonic()
        snapshot = self._retriever.snapshot()
        hits = snapshot.search(QUERIES[self.n_queries % len(QUERIES)], top_k=5)
        self.latencies.append((began, time.monotonic() - began))
        generation = snapshot.generation
        # "edition N of document M. ..."; a citation is opened in the generation that it was found in
        editions = {hit.passage.text.split()[1] for hit in hits}
        editions |= {snapshot.document(hit.passage.doc_id).text.split()[1] for hit in hits}
        cited = all(
            snapshot.document(hit.passage.doc_id).text[hit.passage.start : hit.passage.end] == hit.passage.text
            for hit in hits
        )
        if len(editions) != 1 or not cited:
            self.wrong.append(f"{generation.name} answers from editions {sorted(editions)}")
        if generation.name != self._known:
            self._known = generation.name
            self.first_seen.setdefault(int(min(editions)), time.time())
            self._check_vectors(generation)
        self.n_queries += 1

    def _check_vectors(self, generation) -> None:
        config = ChunkingConfig(**generation.manifest.chunking)
        texts = embedder_texts(generation.passages, count_tokens=self._embedder.count_tokens, config=config)
        if not np.allclose(generation.vectors.reconstruct(), self._embedder.encode_passages(texts), atol=1e-6):
            self.wrong.append(f"{generation.name} has vectors of other texts")

    def run(self, is_over) -> None:
        while not is_over():
            try:
                self.ask_once()
            except BaseException as error:
                self.wrong.append(f"{type(error).__name__}: {error}")
                return


def in_threads(index_dir: Path, n: int, stop: threading.Event) -> tuple[list[Reader], list[threading.Thread]]:
    embedder = HashEmbedder()
    retriever = Retriever.open(index_dir, embedder=embedder)
    readers = [Reader(retriever, embedder) for _ in range(n)]
    threads = [threading.Thread(target=reader.run, args=(stop.is_set,)) for reader in readers]
    for thread in threads:
        thread.start()
    return readers, threads


if __name__ == "__main__":
    embedder = HashEmbedder()
    reader = Reader(Retriever.open(sys.argv[1], embedder=embedder), embedder)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    reader.run(Path(sys.argv[2]).exists)
    json.dump({"n": reader.n_queries, "wrong": reader.wrong, "first_seen": reader.first_seen}, sys.stdout)
