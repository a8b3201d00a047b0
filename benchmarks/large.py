"""What a large index costs on one machine: to open, to search, to hold, and to bring up to date.

    python -m benchmarks.large DATA [--passages 100000] [--output FILE]

XQuAD's paragraphs and prose around them, spliced where that does not suffice (`benchmarks.peers.data`), a hundred to a
document. Encoding them would take an hour: the vectors of the first 2,000 and of the questions are the built-in
embedder's, all others are made of those (`benchmarks.peers.synthetic`). So times are those of everything but the
encoder. Writes under ``"large"`` to ``benchmarks/results/<commit>.json``:

* ``search_p50_ms``, ``search_p95_ms``: one question after another, spelling and analysis included.
* ``codes_recall@10``: of the ten nearest passages of each language by exact search, those that the codes lead to too.
* ``add_s``: from the begin of a build with one document more until a search finds it; ``follow_s`` is the reader's
  part of it.
* ``open_s``, ``open_mb``, ``mapped_mb``: opening the index and the memory of the process then, and how much of it is
  pages of files, which the system may take back.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.peers.data import Collection, read_collection
from benchmarks.peers.synthetic import Synthetic
from benchmarks.peers.systems import SyntheticEmbedder
from benchmarks.xquad import write_results
from rag import Embedder, Retriever, build_index
from rag.text.language import detect_language

_REAL = 2_000
_PER_DOCUMENT = 100
_ADDED = 5


def write_documents(collection: Collection, corpus: Path) -> None:
    """Write the passages a hundred to a document, each under a heading, languages apart."""
    by_language: defaultdict[str, list[str]] = defaultdict(list)
    for passage in collection.passages:
        by_language[detect_language(passage.text)].append(passage.text)
    corpus.mkdir()
    for language, texts in by_language.items():
        for start in range(0, len(texts), _PER_DOCUMENT):
            parts = [f"## {number}\n\n{text}\n" for number, text in enumerate(texts[start : start + _PER_DOCUMENT])]
            (corpus / f"{language}-{start:07}.md").write_text("\n".join(parts), "utf-8")


def synthetic(collection: Collection) -> SyntheticEmbedder:
    """Return an encoder that makes vectors of the built-in embedder's."""
    embedder = Embedder.open()
    questions = [question.text for question in collection.questions]
    passages = embedder.encode_passages([passage.text for passage in collection.passages[:_REAL]])
    return SyntheticEmbedder(Synthetic(passages, questions, embedder.encode_queries(questions)))


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


def measure(data: Path, passages: int, folder: Path) -> dict[str, Any]:
    """Build an index in an empty folder and take the figures."""
    collection = read_collection(data, passages=passages, questions=100)
    write_documents(collection, folder / "corpus")
    embedder = synthetic(collection)
    began = time.perf_counter()
    report = build_index(folder / "corpus", folder / "index", embedder=embedder)
    figures: dict[str, Any] = {"passages": report.passages, "build_s": time.perf_counter() - began}
    began = time.perf_counter()
    retriever = Retriever.open(folder / "index", embedder=embedder)
    figures["open_s"] = time.perf_counter() - began
    memory = psutil.Process().memory_info()
    figures |= {"open_mb": memory.rss / 2**20, "mapped_mb": memory.shared / 2**20}
    figures["segments"] = len(retriever.snapshot().generation.segments)
    files = (folder / "index" / report.generation).iterdir()
    figures["disk_mb"] = sum(path.stat().st_size for path in files) / 2**20
    questions = [question.text for question in collection.questions]
    for question in questions[:5]:
        retriever.search(question)
    taken = []
    for question in questions:
        began = time.perf_counter()
        retriever.search(question)
        taken.append(1000 * (time.perf_counter() - began))
    figures |= {"search_p50_ms": float(np.median(taken)), "search_p95_ms": float(np.quantile(taken, 0.95))}
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
        if retriever.search(name)[0].passage.doc_id != f"{name}.md":
            raise RuntimeError(f"{name} is not found")
        added.append(time.perf_counter() - began)
    figures |= {"add_s": float(np.median(added)), "follow_s": float(np.median(followed))}
    return {name: round(value, 3) for name, value in figures.items()} | {"load": round(os.getloadavg()[0], 1)}


def main() -> None:
    """Run the measurement; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="holds eval/, prose/ and qa_train/")
    parser.add_argument("--passages", type=int, default=100_000, help="about so many (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=None, help="results file (default: named by the commit)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options.data, options.passages, Path(folder))
    print(json.dumps(figures, indent=1))
    write_results("large", figures, options.output)


if __name__ == "__main__":
    main()
