"""Fit the two small logistic models of the answerer: which unit answers, and whether any does.

    python training/answering.py --data DATA --output rag/models/answering.json

DATA holds ``qa_train/`` and ``prose/`` (training sets only; nothing of ``eval/`` is read). Every context becomes a
document of a throw-away index, with Arabic Wikipedia sections as distractors. Each question is asked twice: of the
whole index (answerable: the units that hold a gold answer are the positives of the first model) and with its own
document left out (unanswerable, though its subject stays). Question by question the second model's threshold is the
confidence that refuses ``--refused-answerable`` of the answerable ones. A fifth of the questions is held out for the
figures printed at the end and stored in the output.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from rag.retriever import Snapshot
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from rag import Retriever, build_index
from rag.answering.abstention import answerability_features
from rag.answering.chatbot import retrieve
from rag.answering.evidence import TermMatcher, candidates_of
from rag.answering.model import ANSWER_FEATURES, UNIT_FEATURES, Logistic
from rag.answering.question import understand
from rag.datatypes import Hit
from rag.reader import EmbedderReader
from rag.text import fold_text

TOP_K = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A training question with the document that answers it and the answers' texts (none: the whole document)."""

    text: str
    doc_id: str
    answers: tuple[str, ...]


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Read a compressed JSON Lines file."""
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        for line in stream.read().decode("utf-8").splitlines():
            yield json.loads(line)


def collect(data: Path, corpus: Path, rng: random.Random) -> list[Asked]:
    """Write the contexts as documents and return the questions on them."""
    asked: list[Asked] = []

    def write(doc_id: str, text: str) -> None:
        (corpus / doc_id).write_text(text, encoding="utf-8")

    for name, wanted in (("arcd.ar.train", 300), ("tydiqa_goldp.en.train", 150), ("squadshifts_new_wiki.en.all", 150)):
        contexts = {c["context_id"]: c for c in read_jsonl(data / "qa_train" / f"{name}.contexts.jsonl.zst")}
        records = [q for q in read_jsonl(data / "qa_train" / f"{name}.jsonl.zst") if q["answerable"]]
        records = [q for q in records if q["answers"] and not q.get("eval_overlap")]
        for record in rng.sample(records, min(wanted, len(records))):
            doc_id = f"{name}-{record['context_id']}.txt".replace("/", "_")
            context = contexts[record["context_id"]]
            write(doc_id, context["text"])
            asked.append(Asked(record["question"], doc_id, tuple(a["text"] for a in record["answers"])))
    for name in ("legal-clinic", "covid19-portal"):
        for i, record in enumerate(read_jsonl(data / "prose" / f"{name}.ar.faq.jsonl.zst")):
            doc_id = f"{name}-{i}.txt"
            write(doc_id, record["answer"])
            asked.append(Asked(record["question"], doc_id, ()))
            if record.get("question_en"):
                asked.append(Asked(record["question_en"], doc_id, ()))
                if record.get("answer_en"):
                    write(f"{name}-en-{i}.txt", record["answer_en"])
    contexts = {c["context_id"]: c for c in read_jsonl(data / "qa_train" / "covid_faq_mt.ar.train.contexts.jsonl.zst")}
    for record in read_jsonl(data / "qa_train" / "covid_faq_mt.ar.train.jsonl.zst"):
        doc_id = f"covid-mt-{record['context_id']}.txt".replace("/", "_")
        write(doc_id, contexts[record["context_id"]]["text"])
        asked.append(Asked(record.get("question_en") or record["question"], doc_id, ()))
    sections = [r for r in read_jsonl(data / "prose" / "wiki-ar.ar.jsonl.zst") if 60 <= len(r["text"].split()) <= 200]
    for i, record in enumerate(rng.sample(sections, 300)):
        write(f"wiki-ar-{i}.txt", record["text"])
    rng.shuffle(asked)
    return asked


def describe(
    asked: Asked, snapshot: Snapshot, reader: EmbedderReader, unit: Logistic, *, leave_out: bool
) -> tuple[list[tuple[tuple[float, ...], bool]], tuple[float, ...], bool] | None:
    """Return the units with their labels, the answerability features and whether the gold document was retrieved."""
    question = understand(asked.text)
    hits = retrieve(question, snapshot, top_k=TOP_K + 2 if leave_out else TOP_K)
    if leave_out:
        kept = [hit for hit in hits if hit.passage.doc_id != asked.doc_id]
        hits = [Hit(h.passage, h.score, i, h.dense_score, h.bm25_score) for i, h in enumerate(kept, start=1)]
    matcher = TermMatcher(question, snapshot.idf, snapshot.translate)
    candidates = candidates_of(question, hits, snapshot.document, matcher, reader, unit)
    if not candidates:
        return None
    answers = [fold_text(answer) for answer in asked.answers]
    units = []
    for candidate in candidates:
        in_gold = candidate.hit.passage.doc_id == asked.doc_id
        holds = in_gold and any(answer in fold_text(candidate.text) for answer in answers)
        if asked.answers:
            units.append((candidate.features, holds))
    features = answerability_features(question, candidates, matcher, background=snapshot.background(question.text))
    return units, features, any(hit.passage.doc_id == asked.doc_id for hit in hits)


def fit(
    rows: Sequence[Sequence[float]], labels: Sequence[bool], names: Sequence[str], weight: str | None
) -> dict[str, float]:
    """Fit a logistic regression on the raw features; return its weights by name, and the bias."""
    matrix = np.asarray(rows, dtype=np.float64)
    scale = matrix.std(axis=0) + 1e-9
    model = LogisticRegression(C=1.0, max_iter=2000, class_weight=weight).fit(matrix / scale, np.asarray(labels))
    weights = dict(zip(names, (model.coef_[0] / scale).round(4).tolist(), strict=True))
    return {**weights, "bias": round(float(model.intercept_[0]), 4)}


def main() -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with qa_train/ and prose/")
    parser.add_argument("--output", type=Path, default=Path("rag/models/answering.json"))
    parser.add_argument("--refused-answerable", type=float, default=0.08, help="share of answerable questions refused")
    parser.add_argument("--seed", type=int, default=13)
    args = parser.parse_args()
    rng = random.Random(args.seed)

    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        questions = collect(args.data, corpus, rng)
        report = build_index(corpus, Path(folder, "index"))
        print(f"{len(questions)} questions on {report.documents} documents, {report.passages} passages")
        retriever = Retriever.open(Path(folder, "index"))
        snapshot = retriever.snapshot()
        reader = EmbedderReader(retriever.embedder.encode_queries, retriever.embedder.encode_passages)

        neutral = Logistic((1.0,) * len(UNIT_FEATURES), 0.0)
        cut = len(questions) // 5
        described = [describe(q, snapshot, reader, neutral, leave_out=False) for q in questions]
        train = [d for d in described[cut:] if d is not None]
        units = [(features, holds) for rows, _, _ in train if any(h for _, h in rows) for features, holds in rows]
        unit = fit([f for f, _ in units], [h for _, h in units], UNIT_FEATURES, None)
        unit_model = Logistic.of(UNIT_FEATURES, unit)
        held_out = [rows for rows, _, _ in filter(None, described[:cut]) if any(holds for _, holds in rows)]
        best = [max(rows, key=lambda row: unit_model.probability(row[0])) for rows in held_out]
        unit_hit = float(np.mean([holds for _, holds in best]))

        rows: list[tuple[tuple[float, ...], bool, int]] = []
        for i, question in enumerate(questions):
            inside = describe(question, snapshot, reader, unit_model, leave_out=False)
            outside = describe(question, snapshot, reader, unit_model, leave_out=True)
            if inside and inside[2]:
                rows.append((inside[1], True, i))
            if outside:
                rows.append((outside[1], False, i))
        fitted = [(f, label) for f, label, i in rows if i >= cut]
        answer = fit([f for f, _ in fitted], [label for _, label in fitted], ANSWER_FEATURES, "balanced")
        answer_model = Logistic.of(ANSWER_FEATURES, answer)
        positive = sorted(answer_model.probability(f) for f, label in fitted if label)
        answer["threshold"] = round(positive[int(args.refused_answerable * len(positive))], 4)
        held = [(answer_model.probability(f), label) for f, label, i in rows if i < cut]

    figures = {
        "unit_hit@1": round(unit_hit, 4),
        "answer_auc": round(float(roc_auc_score([label for _, label in held], [p for p, _ in held])), 4),
        "refused_unanswerable": round(float(np.mean([p < answer["threshold"] for p, label in held if not label])), 4),
        "refused_answerable": round(float(np.mean([p < answer["threshold"] for p, label in held if label])), 4),
        "held_out_questions": cut,
    }
    args.output.write_text(
        json.dumps({"unit": unit, "answer": answer, "figures": figures}, indent=2) + "\n", encoding="utf-8"
    )
    print(json.dumps({"unit": unit, "answer": answer, "figures": figures}, indent=2))


if __name__ == "__main__":
    main()
