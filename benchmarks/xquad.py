"""Retrieval on XQuAD (Artetxe et al. 2020): 1,190 questions over 240 paragraphs, Arabic and English, human-translated.

    python -m benchmarks.xquad EVAL_DIR [--embedder NAME_OR_PATH] [--cache-dir DIR] [--output FILE]

Every figure goes through an index on disk and `Snapshot.search`. A question's rank is the number of passages that
score at least as high as the best right one, so ties count against us. Three collections:

* one language: each pair of question and passage language, each leg alone and fused;
* pooled: both languages of every paragraph together; either version is right;
* split: every paragraph in one language only, half Arabic, half English, and the other way round.

Writes its figures under ``"xquad"`` to ``benchmarks/results/<commit>.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.config import ChunkingConfig, RetrievalConfig
from rag.datatypes import Document, Hit, Passage
from rag.dictionary import default_dictionary
from rag.embedder import Embedder, fingerprint_hash
from rag.fusion import default_weights
from rag.retriever import Snapshot
from rag.store import Bm25Index, Draft, IndexStore, SegmentDraft, VectorIndex
from rag.text.analyzers import terms
from training.data import read_jsonl

RESULTS = Path(__file__).parent / "results"
LANGUAGES = ("ar", "en")
LEGS: dict[str, Callable[[Hit], float]] = {
    "dense": lambda hit: hit.dense_score,
    "lexical": lambda hit: hit.bm25_score,
    "fused": lambda hit: hit.score,
}
Choice = list[tuple[str, int]]  # (language, paragraph number) of each passage


class KnownVectors:
    """An embedder that looks the vectors of the questions up, so that a run does not embed them for each collection."""

    def __init__(self, embedder: Embedder, questions: dict[str, npt.NDArray[np.float32]]) -> None:
        self.name, self.fingerprint = embedder.name, embedder.fingerprint
        self._embedder, self._questions = embedder, questions

    def encode_queries(self, queries: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the vectors of queries; only those that are no question of the benchmark are embedded."""
        for query in queries:
            if query not in self._questions:  # a question whose spelling was put right
                self._questions[query] = self._embedder.encode_queries([query])[0]
        return np.stack([self._questions[query] for query in queries])

    def encode_passages(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed passages."""
        return self._embedder.encode_passages(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the model's tokens in each text."""
        return self._embedder.count_tokens(texts)


class Xquad:
    """The data with its vectors.

    Args:
        folder: Holds ``xquad.*.test*.jsonl.zst``.
        embedder: Measured.
        cache_dir: Where vectors are kept between runs, by the embedder's fingerprint; None keeps none.
    """

    def __init__(self, folder: Path, embedder: Embedder, cache_dir: Path | None) -> None:
        self.texts: dict[str, list[str]] = {}
        self.questions: dict[str, list[str]] = {}
        self.vectors: dict[str, npt.NDArray[np.float32]] = {}
        known: dict[str, npt.NDArray[np.float32]] = {}
        for language in LANGUAGES:
            contexts = list(read_jsonl(folder / f"xquad.{language}.test.contexts.jsonl.zst"))
            rows = list(read_jsonl(folder / f"xquad.{language}.test.jsonl.zst"))
            number = {context["context_id"]: row for row, context in enumerate(contexts)}
            self.gold = [number[row["context_id"]] for row in rows]  # the same in each language
            self.texts[language] = [context["text"] for context in contexts]
            self.questions[language] = [row["question"] for row in rows]
            passages, questions = self._encode(embedder, language, cache_dir)
            self.vectors[language] = passages
            known.update(zip(self.questions[language], questions, strict=True))
        self.embedder = KnownVectors(embedder, known)

    def _encode(
        self, embedder: Embedder, language: str, cache_dir: Path | None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        path = cache_dir / f"xquad-{language}-{fingerprint_hash(embedder.fingerprint)}.npz" if cache_dir else None
        if path is not None and path.exists():
            with np.load(path) as stored:
                return stored["passages"], stored["questions"]
        passages = embedder.encode_passages(self.texts[language])
        questions = embedder.encode_queries(self.questions[language])
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, passages=passages, questions=questions)
        return passages, questions

    def snapshot(self, choice: Choice, folder: Path) -> Snapshot:
        """Write an index of some paragraphs into an empty folder and open it."""
        documents = [
            Document(f"{number:03}.{language}.txt", "", self.texts[language][number], language, "0" * 64)
            for language, number in choice
        ]
        passages = [Passage(d.doc_id, 0, len(d.text), d.text, d.language, d.title) for d in documents]
        bm25 = {}
        for language in sorted({passage.language for passage in passages}):
            rows = np.array([row for row, p in enumerate(passages) if p.language == language], dtype=np.int64)
            bm25[language] = (Bm25Index.build([terms(passages[row].text, language) for row in rows]), rows)
        vectors = VectorIndex.build(np.stack([self.vectors[language][number] for language, number in choice]))
        segment = SegmentDraft(documents, passages, [""] * len(passages), vectors, bm25)
        chunking = asdict(ChunkingConfig())
        draft = Draft([segment], self.embedder.fingerprint, chunking=chunking, loading={}, pipeline={})
        store = IndexStore(folder)
        with store.lock():
            store.write_generation(draft)
        return Snapshot(
            store.open_current(),
            self.embedder,
            config=RetrievalConfig(),
            dictionary=default_dictionary(),
            weights=default_weights(),
        )

    def ranks(self, choice: Choice, language: str) -> dict[str, npt.NDArray[np.int64]]:
        """Return each leg's rank of the best right passage for each question of a language; see the module."""
        with tempfile.TemporaryDirectory() as folder:
            snapshot = self.snapshot(choice, Path(folder))
        found: dict[str, list[int]] = {leg: [] for leg in LEGS}
        for question, gold in zip(self.questions[language], self.gold, strict=True):
            hits = snapshot.search(question, top_k=len(choice))
            is_right = [int(hit.passage.doc_id[:3]) == gold for hit in hits]
            for leg, score in LEGS.items():
                scores = [score(hit) for hit in hits]
                best = max(s for s, right in zip(scores, is_right, strict=True) if right)
                better = sum(s >= best for s, right in zip(scores, is_right, strict=True) if not right)
                found[leg].append(better + 1)
        return {leg: np.array(ranks) for leg, ranks in found.items()}


def figures(ranks: npt.NDArray[np.int64]) -> dict[str, float]:
    """Return R@1, R@5 and nDCG@10 (one right passage, gain 1) of ranks."""
    gains = np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0)
    values = {"R@1": (ranks <= 1).mean(), "R@5": (ranks <= 5).mean(), "nDCG@10": gains.mean()}
    return {name: round(float(value), 4) for name, value in values.items()}


def measure(data: Xquad) -> dict[str, Any]:
    """Return all figures."""
    n = len(data.texts["ar"])
    report: dict[str, Any] = {"pairs": {}, "pooled": {}, "split": {}}
    for query_language in LANGUAGES:
        for language in LANGUAGES:
            ranks = data.ranks([(language, number) for number in range(n)], query_language)
            report["pairs"][f"{query_language}-{language}"] = {leg: figures(r) for leg, r in ranks.items()}
        both = [(language, number) for number in range(n) for language in LANGUAGES]
        report["pooled"][query_language] = figures(data.ranks(both, query_language)["fused"])
        split: dict[str, list[npt.NDArray[np.int64]]] = {language: [] for language in LANGUAGES}
        for shift in (0, 1):
            choice = [(LANGUAGES[(number + shift) % 2], number) for number in range(n)]
            ranks = data.ranks(choice, query_language)["fused"]
            of_question = np.array([LANGUAGES[(gold + shift) % 2] for gold in data.gold])
            for language in LANGUAGES:
                split[language].append(ranks[of_question == language])
        for language in LANGUAGES:
            report["split"][f"{query_language}-{language}"] = figures(np.concatenate(split[language]))
    return report


def latency(data: Xquad, embedder: Embedder) -> dict[str, float]:
    """Return the time of one search, the embedding of the question included, in milliseconds."""
    n = len(data.texts["ar"])
    with tempfile.TemporaryDirectory() as folder:
        generation = data.snapshot(
            [(lang, number) for number in range(n) for lang in LANGUAGES], Path(folder)
        ).generation
    snapshot = Snapshot(
        generation,
        embedder,
        config=RetrievalConfig(),
        dictionary=default_dictionary(),
        weights=default_weights(),
    )
    times = []
    for question in (*data.questions["ar"][:60], *data.questions["en"][:60]):
        begin = time.perf_counter()
        snapshot.search(question)
        times.append(1000 * (time.perf_counter() - begin))
    return {"p50_ms": round(float(np.percentile(times, 50)), 1), "p95_ms": round(float(np.percentile(times, 95)), 1)}


def commit() -> tuple[str, bool]:
    """Return the commit's first 12 digits, and whether tracked files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=RESULTS.parent).stdout

    changed = git("status", "--porcelain", "--untracked-files=no") + git("status", "--porcelain", "../rag/models")
    return git("rev-parse", "HEAD")[:12], bool(changed.strip())


def write_results(key: str, report: dict[str, Any], output: Path | None) -> None:
    """Put a report under its key into a results file, beside those of other benchmarks, and name the file.

    Args:
        key: The benchmark's name.
        report: Its figures; whether they were taken with uncommitted changes is added.
        output: The file; None takes ``benchmarks/results/<commit>.json``.
    """
    sha, is_dirty = commit()
    output = output or RESULTS / f"{sha}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    results = json.loads(output.read_text("utf-8")) if output.exists() else {}
    results[key] = report | {"uncommitted_changes": is_dirty}
    output.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n", "utf-8")
    print(output)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eval_dir", type=Path, help="holds xquad.ar.test.jsonl.zst and its like")
    parser.add_argument("--embedder", default=None, help="folder or hub name (default: the built-in one)")
    parser.add_argument("--cache-dir", type=Path, default=None, help="keeps vectors between runs (default: none)")
    parser.add_argument("--output", type=Path, default=None, help="(default: benchmarks/results/<commit>.json)")
    options = parser.parse_args(argv)
    embedder = Embedder.open(options.embedder)
    begin = time.monotonic()
    data = Xquad(options.eval_dir, embedder, options.cache_dir)
    report = measure(data)
    report |= {
        "embedder": {"name": embedder.name, "fingerprint": fingerprint_hash(embedder.fingerprint)},
        "latency": latency(data, embedder),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "seconds": round(time.monotonic() - begin, 1),
    }
    for pair, legs in report["pairs"].items():
        print(pair, *(f"{leg} {row['R@1']:.3f} / {row['nDCG@10']:.3f}" for leg, row in legs.items()), sep="  ")
    for kind in ("pooled", "split"):
        for pair, row in report[kind].items():
            print(kind, pair, f"R@1 {row['R@1']:.3f}", f"R@5 {row['R@5']:.3f}", sep="  ")
    print("latency", report["latency"])
    write_results("xquad", report, options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
