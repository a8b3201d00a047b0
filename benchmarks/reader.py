"""The reader on questions whose paragraph is given: span F1, and whether the right sentence is picked.

    python -m benchmarks.reader EVAL_DIR [--reader FOLDER] [--output FILE]

XQuAD (1,190 questions; Arabic and English in all four directions, and the other languages that EVAL_DIR holds) and the
gold passages of TyDi QA (development set). F1 and exact match are those of SQuAD v1.1 (Rajpurkar et al. 2016), in
percent, the best of a question's answers counting; ``F1 folded`` compares words after `rag.metrics.answer_words`.
The first 10 passages of 200 searches a language pair are reordered by the reader (``reranked``).
``no answer AUC``: how well support tells the right paragraph from another one, mostly of the same
article (every fourth question).
The right sentence is the one in which the first answer starts; a tie counts against us. A paragraph has about five.
``sentence``: by support alone; ``sentence, both``: by its log-odds plus ten times the cosine of the embedder, the two
numbers that weigh most in the answerer.

Writes its figures under ``"reader"`` to ``benchmarks/results/<commit>.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import string
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.xquad import Xquad, write_results
from rag.embedder import Embedder
from rag.metrics import roc_auc, token_f1
from rag.reader import DEFAULT_READER, CosineScorer, Reader, Reading
from rag.text import split_sentences, whole_words
from training.data import read_jsonl

_COSINE_WEIGHT = 10.0
_PUNCTUATION = frozenset(string.punctuation)


def squad_words(text: str) -> list[str]:
    """Return words as SQuAD v1.1's script compares them: lower case, no ASCII punctuation, no English article."""
    kept = "".join(c for c in text.lower() if c not in _PUNCTUATION)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def squad_f1(prediction: str, answer: str) -> float:
    """Return the word F1 of a prediction, in [0, 1]."""
    predicted, wanted = Counter(squad_words(prediction)), Counter(squad_words(answer))
    same = (predicted & wanted).total()
    return 2 * same / (predicted.total() + wanted.total()) if same else 0.0


def load(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the answerable questions of a set, with their passage under ``text``."""
    contexts = {c["context_id"]: c["text"] for c in read_jsonl(folder / f"{name}.contexts.jsonl.zst")}
    rows = read_jsonl(folder / f"{name}.jsonl.zst")
    return [{**row, "text": contexts[row["context_id"]]} for row in rows if row.get("answerable", True)]


def right_sentence(
    reading: Reading, scorer: CosineScorer, question: str, text: str, start: int
) -> tuple[bool, bool] | None:
    """Say whether the sentence holding ``start`` comes first, by support and by support and cosine.

    None if the paragraph has only one.
    """
    spans = split_sentences(text)
    right = next((i for i, (first, last) in enumerate(spans) if first <= start < last), None)
    if right is None or len(spans) < 2:
        return None
    support = np.clip([reading.support(first, last) for first, last in spans], 1e-9, 1 - 1e-9)
    cosines = scorer.score(question, [text[first:last] for first, last in spans])
    both = np.log(support / (1 - support)) + _COSINE_WEIGHT * cosines
    return int((support >= support[right]).sum()) == 1, int((both >= both[right]).sum()) == 1


def measure(
    reader: Reader, scorer: CosineScorer, rows: Sequence[dict[str, Any]], asked: Sequence[str]
) -> dict[str, float]:
    """Return the figures of some questions, worded as in ``asked``, on the rows' passages."""
    values: dict[str, list[float]] = {"F1": [], "EM": [], "F1 folded": [], "sentence": [], "sentence, both": []}
    others = another_paragraph(rows)
    answered, missing = [], []
    for n, (row, question) in enumerate(zip(rows, asked, strict=True)):
        reading = reader.read(question, [row["text"]])[0]
        if n % 4 == 0:
            answered.append(reading.support())
            missing.append(reader.read(question, [others[n]])[0].support())
        best = reading.best()
        text = row["text"][slice(*whole_words(row["text"], best.start, best.end))] if best else ""
        answers = [answer["text"] for answer in row["answers"]]
        values["F1"].append(100 * max(squad_f1(text, answer) for answer in answers))
        values["EM"].append(100 * max(float(squad_words(text) == squad_words(answer)) for answer in answers))
        values["F1 folded"].append(100 * max(token_f1(text, answer) for answer in answers))
        right = right_sentence(reading, scorer, question, row["text"], row["answers"][0]["start"])
        if right is not None:
            values["sentence"].append(float(right[0]))
            values["sentence, both"].append(float(right[1]))
    figures = {name: round(float(np.mean(found)), 4 if "sent" in name else 2) for name, found in values.items()}
    figures["no answer AUC"] = round(roc_auc([*answered, *missing], [True] * len(answered) + [False] * len(missing)), 4)
    return figures | {"questions": len(rows)}


def another_paragraph(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return for each row the nearest other paragraph of the file that lacks its answers: mostly the same article's."""
    texts = list(dict.fromkeys(row["text"] for row in rows))
    number = {text: i for i, text in enumerate(texts)}
    found = []
    for row in rows:
        at, answers = number[row["text"]], [answer["text"] for answer in row["answers"]]
        order = sorted((i for i in range(len(texts)) if i != at), key=lambda i: abs(i - at))
        found.append(next(texts[i] for i in order if not any(answer in texts[i] for answer in answers)))
    return found


def reranked(folder: Path, reader: Reader, size: int = 200, depth: int = 10) -> dict[str, dict[str, float]]:
    """Return R@1 of the fused ranking and after the reader reordered its first passages, some questions a pair."""
    data = Xquad(folder, Embedder.open(), None)
    found = {}
    rows = random.Random(5).sample(range(len(data.gold)), size)
    for asked, language in (("ar", "ar"), ("en", "en"), ("ar", "en"), ("en", "ar")):
        right = {"fused": 0, "reranked": 0}
        with tempfile.TemporaryDirectory() as place:
            snapshot = data.snapshot([(language, number) for number in range(len(data.texts[language]))], Path(place))
            for row in rows:
                question = data.questions[asked][row]
                hits = snapshot.search(question, top_k=depth)
                for name, order in (("fused", hits), ("reranked", reader.rerank(question, hits))):
                    tied = [int(hit.passage.doc_id[:3]) for hit in order if hit.score >= order[0].score]
                    right[name] += tied == [data.gold[row]]
        found[f"{asked}-{language}"] = {name: round(count / size, 4) for name, count in right.items()}
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eval_dir", type=Path, help="holds xquad.ar.test.jsonl.zst and its like")
    parser.add_argument("--reader", type=Path, default=DEFAULT_READER, help="folder (default: the built-in one)")
    parser.add_argument("--languages", nargs="*", default=["es", "de", "tr", "ru", "hi", "zh"], help="beyond ar and en")
    parser.add_argument("--output", type=Path, default=None, help="(default: benchmarks/results/<commit>.json)")
    options = parser.parse_args(argv)
    reader, embedder = Reader(options.reader), Embedder.open()
    scorer = CosineScorer(embedder.encode_queries, embedder.encode_passages)
    began = time.monotonic()
    sets = {language: load(options.eval_dir, f"xquad.{language}.test") for language in ("ar", "en", *options.languages)}
    asked = {language: [row["question"] for row in rows] for language, rows in sets.items()}
    report: dict[str, Any] = {}
    pairs = [("ar", "ar"), ("en", "en"), ("ar", "en"), ("en", "ar"), *((lang, lang) for lang in options.languages)]
    for question, passage in pairs:
        name = f"xquad {question}-{passage}"
        report[name] = measure(reader, scorer, sets[passage], asked[question])
        print(name, report[name], flush=True)
    for language in ("ar", "en"):
        rows = load(options.eval_dir, f"tydiqa_goldp.{language}.dev")
        report[f"tydiqa {language}"] = measure(reader, scorer, rows, [row["question"] for row in rows])
        print(f"tydiqa {language}", report[f"tydiqa {language}"], flush=True)
    report["reranked R@1"] = reranked(options.eval_dir, reader)
    print(report["reranked R@1"], flush=True)
    weights = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(options.reader.glob("*.safetensors"))))
    report |= {"model": options.reader.name, "weights_sha256": weights.hexdigest()[:16]}
    report |= {"seconds": round(time.monotonic() - began, 1)}
    write_results("reader", report, options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
