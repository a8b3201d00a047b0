"""What a large index costs on one machine: to open, to search, to hold, and to bring up to date.

    python -m benchmarks.large DATA [--passages 100000] [--folder FOLDER] [--output FILE]

XQuAD's paragraphs and prose around them, spliced where that does not suffice (`benchmarks.peers.data`), a hundred to a
document. Encoding them would take an hour: the vectors of the first 2,000 and of the questions are the built-in
embedder's, all others are made of those (`benchmarks.peers.synthetic`). So times are those of everything but the
encoder. Writes under ``"large-<passages>"`` to ``benchmarks/results/<commit>.json``:

* ``search_p50_ms``, ``search_p95_ms``: one question after another, spelling and analysis included.
* ``codes_recall@10``: of the ten nearest passages of each language by exact search, those that the codes lead to too.
* ``add_s``: from the begin of a build with one document more until a search finds it; ``follow_s`` is the reader's
  part of it.
* ``open_s``, ``open_mb``, ``open_mapped_mb``: opening the index and the memory of the process then, and how much of it
  is pages of files, which the system may take back; ``idle_mb`` is the process with its models before, ``searched_mb``
  after the questions. ``build_peak_mb`` is the most that the build held, what made the documents included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import psutil

from benchmarks.peers.data import Collection, read_collection
from benchmarks.peers.synthetic import Synthetic
from benchmarks.peers.systems import SyntheticEmbedder
from benchmarks.xquad import write_results
from rag import Embedder, Retriever, build_index

_REAL = 2_000
_PER_DOCUMENT = 100
_ADDED = 5
HEAD_FILE = "head.json"


class Head(TypedDict):
    """What vectors are made from."""

    passages: list[str]
    questions: list[str]


def write_documents(collection: Collection, corpus: Path) -> None:
    """Write the passages a hundred to a document, each under a heading, languages apart."""
    by_language: defaultdict[str, list[str]] = defaultdict(list)
    for passage in collection.passages:
        is_arabic = any("\u0600" <= letter <= "\u06ff" for letter in passage.text[:40])
        by_language["ar" if is_arabic else "en"].append(passage.text)
    corpus.mkdir()
    for language, texts in by_language.items():
        for start in range(0, len(texts), _PER_DOCUMENT):
            parts = [f"## {number}\n\n{text}\n" for number, text in enumerate(texts[start : start + _PER_DOCUMENT])]
            (corpus / f"{language}-{start:07}.md").write_text("\n".join(parts), "utf-8")


def synthetic(head: Head) -> SyntheticEmbedder:
    """Return an encoder that makes vectors of the built-in embedder's."""
    embedder = Embedder.open()
    passages = embedder.encode_passages(head["passages"])
    return SyntheticEmbedder(Synthetic(passages, head["questions"], embedder.encode_queries(head["questions"])))


def recall(retriever: Retriever, embedder: SyntheticEmbedder, questions: list[str]) -> float:
    """Return how many of the exact ten nearest of each language are among the ten that a search takes."""
    generation = retriever.snapshot().generation
    shares = []
    for language in generation.bm25:
        part = generation.part(language)
        for vector in embedder.encode_queries(questions):
            exact = np.argsort(-part.cosines(vector), kind="stable")[:10]
            found = part.nearest(vector, np.ones(len(part), dtype=np.bool_), 50)[:10]
            shares.append(len(set(exact.tolist()) & set(found.tolist())) / len(exact))
    return float(np.mean(shares))


def build(data: Path, passages: int, folder: Path) -> dict[str, float]:
    """Write the documents into an empty folder and build their index."""
    collection = read_collection(data, passages=passages, questions=100)
    write_documents(collection, folder / "corpus")
    texts = [passage.text for passage in collection.passages[:_REAL]]
    head: Head = {"passages": texts, "questions": [question.text for question in collection.questions]}
    (folder / HEAD_FILE).write_text(json.dumps(head), "utf-8")
    del collection
    embedder = synthetic(head)
    began = time.perf_counter()
    report = build_index(folder / "corpus", folder / "index", embedder=embedder)
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    files = (folder / "index" / report.generation).iterdir()
    disk = sum(path.stat().st_size for path in files) / 2**20
    return {"passages": report.passages, "build_s": took, "build_peak_mb": peak, "disk_mb": disk}


def search(folder: Path) -> dict[str, float]:
    """Take the figures of the index in a folder."""
    head: Head = json.loads((folder / HEAD_FILE).read_text("utf-8"))
    embedder, questions = synthetic(head), head["questions"]
    figures: dict[str, float] = {"idle_mb": memory()[0]}
    began = time.perf_counter()
    retriever = Retriever.open(folder / "index", embedder=embedder)
    figures["open_s"] = time.perf_counter() - began
    figures["open_mb"], figures["open_mapped_mb"] = memory()
    figures["segments"] = len(retriever.snapshot().generation.segments)
    for question in questions[:5]:
        retriever.search(question)
    taken = []
    for question in questions:
        began = time.perf_counter()
        retriever.search(question)
        taken.append(1000 * (time.perf_counter() - began))
    figures |= {"search_p50_ms": float(np.median(taken)), "search_p95_ms": float(np.quantile(taken, 0.95))}
    figures["searched_mb"], figures["searched_mapped_mb"] = memory()
    figures["codes_recall@10"] = recall(retriever, embedder, questions)
    added, followed = [], []
    for number in range(_ADDED):
        name = f"pelican{number}"
        (folder / "corpus" / f"{name}.md").write_text(f"# New\n\nThe {name} wants fish.\n", "utf-8")
        began = time.perf_counter()
        build_index(folder / "corpus", folder / "index", embedder=embedder)
        built = time.perf_counter()
        retriever.refresh()
        followed.append(time.perf_counter() - built)
        # Vectors made by chance know nothing of the word: it is found by the word alone.
        if f"{name}.md" not in {hit.passage.doc_id for hit in retriever.search(name, top_k=10)}:
            raise RuntimeError(f"{name} is not found")
        added.append(time.perf_counter() - began)
    return figures | {"add_s": float(np.median(added)), "follow_s": float(np.median(followed))}


def memory() -> tuple[float, float]:
    """Return the resident memory of this process, and how much of it is pages of files; both in MiB."""
    found = psutil.Process().memory_info()
    return found.rss / 2**20, found.shared / 2**20


def measure(data: Path, passages: int, folder: Path) -> dict[str, Any]:
    """Build and search, each in a process of its own; `folder` is empty, or holds what an earlier run left there."""
    figures: dict[str, float] = {}
    if not (folder / HEAD_FILE).exists():
        figures = _alone(build, data, passages, folder)
    figures |= _alone(search, folder)
    return {name: round(value, 3) for name, value in figures.items()} | {"load": round(os.getloadavg()[0], 1)}


def _alone(function: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    """Run the measurement; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="holds eval/, prose/ and qa_train/")
    parser.add_argument("--passages", type=int, default=100_000, help="about so many (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where corpus and index go and stay, to be searched again")
    parser.add_argument("--output", type=Path, default=None, help="results file (default: named by the commit)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure(options.data, options.passages, options.folder or Path(temporary))
    print(json.dumps(figures, indent=1))
    write_results(f"large-{options.passages}", figures, options.output)


if __name__ == "__main__":
    main()
