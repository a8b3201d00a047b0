"""Fit when the answerer abstains, and write the weights of its two small models.

    python -m training.answering --data DATA --output rag/models/answering.json

DATA holds ``qa_train/`` and ``prose/``, and ``eval/``, whose texts are kept out: see `data.Wall`. Small
collections are made of training passages, Arabic and English together; of each, two fifths of the passages are
left out, neighbours of the same article staying in, and every question is asked: those on the passages left out
have no answer. Of the bilingual FAQ sets only the Arabic or only the English answers go in, so half of those
questions cross the languages. The threshold is the confidence below which ``--refused-answerable`` of the
answerable ones fall. Only passages that neither embedder nor reader was trained on are used;
the last quarter of the collections, made of other passages than the rest, is held out for the figures.

The weights by which units are ranked are set by hand (`UNIT`): a fit on ARCD, TyDi QA and SQuADShifts was tried and
was worse on the judged questions of the demo corpus, since those sets' questions repeat the words of their passages.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from rag import Embedder, Retriever, build_index
from rag.answering.abstention import answerability_features
from rag.answering.chatbot import retrieve
from rag.answering.evidence import TermMatcher, candidates_of
from rag.answering.model import ANSWER_FEATURES, UNIT_FEATURES, Logistic
from rag.answering.question import understand
from rag.reader import CosineScorer, Reader
from training.data import Pair, Sources, Wall
from training.pairs import DEV_SEED, build_dev

UNIT = {
    "cosine": 8.0,
    "support": 0.5,
    "coverage": 1.6,
    "passage_score": 0.4,
    "kind": 1.6,
    "is_question": -8.0,
    "is_short": -1.6,
    "bias": -7.0,
}
PASSAGES = 25  # of each source in a collection
Case = tuple[str, str]  # question, name of the passage that answers


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Read a compressed JSON Lines file."""
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        for line in stream.read().decode("utf-8").splitlines():
            yield json.loads(line)


def read_set(data: Path, name: str) -> tuple[dict[str, str], list[Case]]:
    """Read a question set: passages by name, in the order of the file, and its answerable questions."""
    texts = {f"{name}-{c['context_id']}": c["text"] for c in read_jsonl(data / f"{name}.contexts.jsonl.zst")}
    records = [q for q in read_jsonl(data / f"{name}.jsonl.zst") if q["answerable"] and not q.get("eval_overlap")]
    return texts, [(record["question"], f"{name}-{record['context_id']}") for record in records]


def read_faq(data: Path, language: str) -> tuple[dict[str, str], list[Case]]:
    """Read the bilingual FAQ: answers in ``language``, questions in both."""
    texts: dict[str, str] = {}
    cases: list[Case] = []
    for name in ("legal-clinic", "covid19-portal"):
        for i, record in enumerate(read_jsonl(data / f"{name}.ar.faq.jsonl.zst")):
            answer = record["answer"] if language == "ar" else record.get("answer_en")
            if answer:
                texts[f"{name}-{i}"] = answer
                cases += [(record[key], f"{name}-{i}") for key in ("question", "question_en") if record.get(key)]
    return texts, cases


def collections(
    data: Path, count: int, rng: random.Random, wall: Wall, unseen: Wall
) -> Iterator[tuple[dict[str, str], list[tuple[str, bool]]]]:
    """Yield ``(indexed passages, [(question, is answerable)])``; the last quarter of other passages than the rest.

    Only passages inside ``unseen``, the development set of the models, are used: on what they were trained on they
    are surer than they will be.
    """
    names = ("arcd.ar.train", "tydiqa_goldp.en.train", "squadshifts_new_wiki.en.all")
    sets = [read_set(data / "qa_train", name) for name in names]
    for number in range(count):
        parts = sets if number % 3 else [read_faq(data / "prose", "ar" if number % 2 else "en"), sets[0], sets[1]]
        indexed: dict[str, str] = {}
        asked: list[tuple[str, bool]] = []
        for texts, cases in parts:
            keys = [key for key, text in texts.items() if unseen.is_inside(text) and not wall.is_inside(text)]
            cut = len(keys) * 3 // 4
            keys = keys[:cut] if number < count * 3 // 4 else keys[cut:]
            start = rng.randrange(max(1, len(keys) - PASSAGES))
            chosen = keys[start : start + PASSAGES]
            kept = set(rng.sample(chosen, len(chosen) * 3 // 5))
            indexed |= {key: texts[key] for key in chosen if key in kept}
            own = [(text, key in kept) for text, key in cases if key in chosen and not wall.is_inside(text)]
            asked += rng.sample(own, min(30, len(own)))
        texts_used = [*indexed.values(), *(text for text, _ in asked)]
        wall.assert_clean(Pair(text, text, "answering", str(number), "ar-en") for text in texts_used)
        yield indexed, asked


def describe(
    folder: Path, indexed: dict[str, str], asked: Sequence[tuple[str, bool]], embedder: Embedder, reader: Reader
) -> Iterator[tuple[tuple[float, ...], bool]]:
    """Build the collection's index, ask, and yield the features of each question with its label."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for key, text in indexed.items():
        (corpus / f"{key.replace('/', '_')}.txt").write_text(text, encoding="utf-8")
    build_index(corpus, folder / "index", embedder=embedder)
    snapshot = Retriever.open(folder / "index", embedder=embedder).snapshot()
    scorer = CosineScorer(embedder.encode_queries, embedder.encode_passages)
    unit = Logistic.of(UNIT_FEATURES, UNIT)
    for text, is_answerable in asked:
        question = understand(snapshot.correct(text))
        hits = retrieve(question, snapshot, top_k=8)
        matcher = TermMatcher(question, snapshot.idf, snapshot.translate)
        candidates = candidates_of(question, hits, snapshot.document, matcher, scorer, reader, unit)
        if candidates:
            background = snapshot.background(question.text)
            yield (
                answerability_features(question, candidates, matcher, background=background),
                is_answerable,
            )


def main() -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with qa_train/ and prose/")
    parser.add_argument("--output", type=Path, default=Path("rag/models/answering.json"))
    parser.add_argument("--collections", type=int, default=20, help="collections made")
    parser.add_argument("--refused-answerable", type=float, default=0.04, help="share of answerable questions refused")
    parser.add_argument("--seed", type=int, default=13)
    args = parser.parse_args()

    embedder, reader = Embedder.open(), Reader()
    rows: list[list[tuple[tuple[float, ...], bool]]] = []
    with tempfile.TemporaryDirectory() as folder:
        wall, unseen = Wall.of_folder(args.data / "eval"), Wall(build_dev(Sources(args.data), DEV_SEED).texts())
        made = collections(args.data, args.collections, random.Random(args.seed), wall, unseen)
        for number, (indexed, asked) in enumerate(tqdm(made, total=args.collections)):
            rows.append(list(describe(Path(folder, str(number)), indexed, asked, embedder, reader)))

    cut = len(rows) * 3 // 4
    fitted = [row for part in rows[:cut] for row in part]
    matrix = np.array([features for features, _ in fitted])
    scale = matrix.std(axis=0) + 1e-9
    regression = LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced")
    regression.fit(matrix / scale, np.array([label for _, label in fitted]))
    answer = dict(zip(ANSWER_FEATURES, (regression.coef_[0] / scale).round(4).tolist(), strict=True))
    answer["bias"] = round(float(regression.intercept_[0]), 4)
    model = Logistic.of(ANSWER_FEATURES, answer)
    positive = sorted(model.probability(features) for features, label in fitted if label)
    answer["threshold"] = round(positive[int(args.refused_answerable * len(positive))], 4)

    held = [(model.probability(features), label) for part in rows[cut:] for features, label in part]
    figures = {
        "auc": round(float(roc_auc_score([label for _, label in held], [p for p, _ in held])), 4),
        "refused_unanswerable": round(float(np.mean([p < answer["threshold"] for p, label in held if not label])), 4),
        "refused_answerable": round(float(np.mean([p < answer["threshold"] for p, label in held if label])), 4),
        "fitted_questions": len(fitted),
        "held_out_questions": len(held),
    }
    text = json.dumps({"unit": UNIT, "answer": answer, "figures": figures}, indent=2) + "\n"
    args.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
