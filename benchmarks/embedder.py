"""The embedder beyond XQuAD's two languages: similarity, translations, other languages, misspelt queries, speed.

    python -m benchmarks.embedder EVAL_DIR [--embedder NAME_OR_PATH] [--against FOLDER] [--output FILE]

* ``sts17``: Spearman correlation of cosine and human score, STS 2017, Arabic, English, and across (250 pairs each).
* ``ntrex``: the nearest of 1,997 sentences in the other language is the translation (accuracy), NTREX-128.
* ``xquad``: R@1 of the dense vectors for further languages, question and passage in that language, or the question in
  English; ties count against us.
* ``respelt``: recall@5 of 200 XQuAD questions (100 Arabic, 100 English) through the whole retriever, as they are and
  respelt: the hamza, ta marbuta and final ya left out or mixed up, and one slip of the finger in a long word.
* ``speed``: texts a second against another model, by turns in one process, as a ratio.

Writes its figures under ``"embedder"`` to ``benchmarks/results/<commit>.json``.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from benchmarks.xquad import Xquad, write_results
from rag.embedder import Embedder, fingerprint_hash
from training.data import read_jsonl

_KEYS = ("ضصثقفغعهخحجد", "شسيبلاتنمكط", "ئءؤرىةوزظ", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_LAX = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ة": "ه", "ى": "ي"})


def sts17(folder: Path, embedder: Embedder) -> dict[str, float]:
    """Return the Spearman correlation of each language pair."""
    pairs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in read_jsonl(folder / "sts2017.jsonl.zst"):
        pairs[row["langs"]].append(row)
    found = {}
    for name, rows in sorted(pairs.items()):
        if set(name.split("-")) <= {"ar", "en"}:
            left = embedder.encode_passages([row["s1"] for row in rows])
            right = embedder.encode_passages([row["s2"] for row in rows])
            cosines = (left * right).sum(axis=1)
            found[name] = round(float(spearmanr(cosines, [row["score"] for row in rows]).statistic), 4)
    return found


def ntrex(folder: Path, embedder: Embedder, languages: Sequence[str]) -> dict[str, float]:
    """Return how often the nearest sentence in the other language is the translation."""
    rows = list(read_jsonl(folder / "ntrex128.jsonl.zst"))
    english = embedder.encode_passages([row["en"] for row in rows])
    found = {}
    for language in languages:
        if language in rows[0]:
            other = embedder.encode_passages([row[language] for row in rows])
            scores = english @ other.T
            own = np.diag(scores)
            found[f"en-{language}"] = round(float(((scores >= own[:, None]).sum(axis=1) == 1).mean()), 4)
            found[f"{language}-en"] = round(float(((scores >= own[None, :]).sum(axis=0) == 1).mean()), 4)
    return found


def xquad_dense(folder: Path, embedder: Embedder, languages: Sequence[str]) -> dict[str, float]:
    """Return R@1 within each language and from English into it."""
    asked: dict[str, Any] = {}
    found = {}
    for language in ("en", *languages):
        rows = list(read_jsonl(folder / f"xquad.{language}.test.jsonl.zst"))
        contexts = list(read_jsonl(folder / f"xquad.{language}.test.contexts.jsonl.zst"))
        number = {context["context_id"]: i for i, context in enumerate(contexts)}
        gold = np.array([number[row["context_id"]] for row in rows])
        asked[language] = embedder.encode_queries([row["question"] for row in rows])
        passages = embedder.encode_passages([context["text"] for context in contexts])
        for source in dict.fromkeys((language, "en")):
            scores = asked[source] @ passages.T
            own = scores[np.arange(len(gold)), gold]
            found[f"{source}-{language}"] = round(float(((scores >= own[:, None]).sum(axis=1) == 1).mean()), 4)
    return found


def respell(question: str, rng: random.Random) -> str:
    """Write a question the careless way: lax Arabic letters everywhere, one slip in a word of five letters or more."""
    words = question.translate(_LAX).split()
    long = [i for i, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if long:
        i = rng.choice(long)
        word, at = words[i], rng.randrange(1, len(words[i]) - 1)
        kind = rng.choice(("drop", "swap", "near"))
        row = next((keys for keys in _KEYS if word[at].lower() in keys), "")
        if kind == "drop":
            words[i] = word[:at] + word[at + 1 :]
        elif kind == "swap" or not row:
            words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        else:
            words[i] = word[:at] + row[(row.index(word[at].lower()) + 1) % len(row)] + word[at + 1 :]
    return " ".join(words)


def respelt(folder: Path, embedder: Embedder) -> dict[str, Any]:
    """Return recall@5 as asked and respelt, of the fused ranking and of the dense one, by language."""
    data = Xquad(folder, embedder, None)
    rng = random.Random(17)
    found: dict[str, Any] = {}
    for language in ("ar", "en"):
        choice = [(language, number) for number in range(len(data.texts[language]))]
        rows = rng.sample(range(len(data.gold)), 100)
        with tempfile.TemporaryDirectory() as place:
            snapshot = data.snapshot(choice, Path(place))
            for name in ("as asked", "respelt"):
                hits = {"fused": 0, "dense": 0}
                for row in rows:
                    question = data.questions[language][row]
                    if name == "respelt":
                        question = respell(question, rng)
                    ranked = snapshot.search(snapshot.correct(question), top_k=len(choice))
                    dense = sorted(ranked, key=lambda hit: -hit.dense_score)
                    for leg, order in (("fused", ranked), ("dense", dense)):
                        hits[leg] += any(int(hit.passage.doc_id[:3]) == data.gold[row] for hit in order[:5])
                found[f"{language} {name}"] = {leg: count / 100 for leg, count in hits.items()}
    return found


def speed(folder: Path, embedder: Embedder, other: Embedder, rounds: int = 7) -> dict[str, float]:
    """Return the median ratio of texts a second, ours over the other's, on the same paragraphs by turns."""
    found = {}
    for language in ("en", "ar"):
        contexts = [row["text"] for row in read_jsonl(folder / f"xquad.{language}.test.contexts.jsonl.zst")][:96]
        ratios = []
        for model in (embedder, other):
            model.encode_passages(contexts[:16])
        for _ in range(rounds):
            seconds = []
            for model in (embedder, other):
                begin = time.perf_counter()
                model.encode_passages(contexts)
                seconds.append(time.perf_counter() - begin)
            ratios.append(seconds[1] / seconds[0])
        found[f"{language} passages, ours over the other"] = round(statistics.median(ratios), 3)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eval_dir", type=Path, help="holds sts2017.jsonl.zst and its like")
    parser.add_argument("--embedder", default=None, help="folder or hub name (default: the built-in one)")
    parser.add_argument("--against", type=Path, default=None, help="another model's folder, to compare the speed with")
    parser.add_argument("--languages", nargs="*", default=["es", "de", "tr", "ru", "hi", "zh"])
    parser.add_argument("--output", type=Path, default=None, help="(default: benchmarks/results/<commit>.json)")
    options = parser.parse_args(argv)
    embedder = Embedder.open(options.embedder)
    report: dict[str, Any] = {
        "sts17": sts17(options.eval_dir, embedder),
        "xquad": xquad_dense(options.eval_dir, embedder, options.languages),
        "ntrex": ntrex(
            options.eval_dir, embedder, ("ar", "es", "fr", "de", "pt", "it", "tr", "fa", "ur", "ru", "hi", "zh")
        ),
        "respelt": respelt(options.eval_dir, embedder),
    }
    if options.against:
        other = Embedder.open(options.against)
        report["speed"] = speed(options.eval_dir, embedder, other) | {"other": Path(options.against).resolve().name}
    print(json.dumps(report, indent=1))
    model = {"name": embedder.name, "fingerprint": fingerprint_hash(embedder.fingerprint)}
    report |= {"model": model}
    write_results("embedder", report, options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
