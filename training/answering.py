"""Fit which sentence answers and when to abstain, and write the weights of the answerer's two small models.

    python -m training.answering describe --data DATA --run training/runs/NAME
    python -m training.answering fit --run training/runs/NAME --output rag/models/answering.json

DATA holds ``prose/`` and ``qa_train/``, and ``eval/``, whose texts are kept out: see `data.Wall`. The questions are our
own (``training/questions/answerer/``): asked in Arabic, written and dialect, and in English, mostly not in the words of
the passage, a third of them with no answer in their collection. The collections of each half of the files make one
index, as wide as a user's folder; every question is asked of it, and once more without the document that answers.
``describe`` keeps the numbers of each question's candidates, ``fit`` learns from them in seconds:

* unit: a softmax over a question's candidates (listwise, Cao et al. 2007), then scaled to a probability (Platt 1999);
* short: the log-odds from which the reader's span is offered as the short answer;
* answer: a logistic regression on `ANSWER_FEATURES`; the threshold is the confidence below which
  ``--refused-answerable`` of the answerable fall.

Figures are of five-fold cross-validation over collections, so no question is judged by a fit that saw its passages.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from rag import Embedder, Retriever, build_index
from rag.answering.abstention import answerability_features
from rag.answering.chatbot import retrieve
from rag.answering.evidence import Candidate, TermMatcher, candidates_of
from rag.answering.model import ANSWER_FEATURES, UNIT_FEATURES, Logistic
from rag.answering.question import Question, understand
from rag.answering.short import short_answer
from rag.metrics import calibration_error, token_f1
from rag.reader import CosineScorer, Reader
from rag.retriever import Snapshot
from training.data import Pair, Sources, evaluation_wall
from training.written import Asked, Section, read_collections, read_questions, read_sections

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Described:
    """A question as the answerer met it: its candidates' numbers, shape (n, features), and which of them answer."""

    asked: Asked
    units: Floats
    is_right: npt.NDArray[np.bool_]
    short: tuple[tuple[float, float] | None, ...]  # a candidate's short answer: its log-odds, and its F1
    answer: tuple[float, ...]  # of `ANSWER_FEATURES`, without the first, which is the unit model's
    is_answerable: bool
    language: str  # of the passage that answers; empty if none does


def write_corpus(folder: Path, names: Sequence[str], sections: dict[str, Section]) -> dict[str, str]:
    """Write one HTML file an article and return the document's name of each section."""
    articles: dict[str, list[str]] = defaultdict(list)
    for name in names:
        articles[sections[name].document(name)].append(name)
    folder.mkdir(parents=True)
    document_of = {}
    for i, (title, members) in enumerate(sorted(articles.items())):
        body = [f"<h1>{escape(title)}</h1>"] if sections[members[0]].title else []
        for name in members:
            section = sections[name]
            body += [f"<h2>{escape(section.heading)}</h2>"] if section.heading not in ("", title) else []
            body += [f"<p>{escape(line)}</p>" for line in section.text.splitlines() if line.strip()]
            document_of[name] = f"{i:03d}.html"
        page = f"<!doctype html><html><body><article>{''.join(body)}</article></body></html>"
        (folder / f"{i:03d}.html").write_text(page, encoding="utf-8")
    return document_of


def places(asked: Asked, text: str, sections: dict[str, Section]) -> list[tuple[int, int]]:
    """Return where in a document the answer stands; white space may differ from the section's."""
    assert asked.context and asked.answer
    lines = [line for line in sections[asked.context].text.splitlines() if line.strip()]
    answer = asked.answer.splitlines()
    found = []
    for line in lines:
        part = next((part for part in answer if part.strip() and part.strip() in line), None)
        at = text.find(line.strip())
        if part is not None and at >= 0:
            start = at + line.strip().index(part.strip())
            found.append((start, start + len(part.strip())))
    return found


class Describer:
    """Asks questions of one index and notes what the answerer sees."""

    def __init__(self, folder: Path, embedder: Embedder, reader: Reader, unit: Logistic) -> None:
        self._snapshot: Snapshot = Retriever.open(folder, embedder=embedder).snapshot()
        self._scorer = CosineScorer(embedder.encode_queries, embedder.encode_passages)
        self._reader, self._unit = reader, unit

    def __call__(
        self, asked: Asked, gold: Sequence[tuple[str, int, int]], without: str | None = None
    ) -> Described | None:
        """Describe the candidates of a question.

        Args:
            asked: The question.
            gold: ``(doc_id, start, end)`` of what answers.
            without: A document to leave out, so that nothing answers.
        """
        snapshot = self._snapshot
        question = understand(snapshot.correct(asked.question))
        rest = None if without is None else [doc_id for doc_id in snapshot.generation.documents if doc_id != without]
        hits = retrieve(question, snapshot, top_k=8, doc_ids=rest)
        matcher = TermMatcher(question, snapshot.idf, snapshot.translate)
        found = candidates_of(question, hits, snapshot.document, matcher, self._scorer, self._reader, self._unit)
        if not found:
            return None
        is_right = [
            any(c.hit.passage.doc_id == home and c.unit.start < end and start < c.unit.end for home, start, end in gold)
            for c in found
        ]
        features = answerability_features(question, found, matcher)
        is_answerable = bool(gold) and without is None
        units = np.array([candidate.features for candidate in found])
        short = tuple(self._short(question, candidate, asked.answer or "") for candidate in found)
        language = snapshot.document(gold[0][0]).language if gold else ""
        return Described(asked, units, np.array(is_right), short, features[1:], is_answerable, language)

    def _short(self, question: Question, candidate: Candidate, gold: str) -> tuple[float, float] | None:
        document = self._snapshot.document(candidate.hit.passage.doc_id)
        place = short_answer(question, candidate, document, threshold=-math.inf)
        if place is None or candidate.span is None:
            return None
        return candidate.span.score, token_f1(document.text[slice(*place)], gold)


def describe(args: argparse.Namespace) -> None:
    """Ask every question and keep what was seen."""
    sources = Sources(args.data)
    wall = evaluation_wall(args.data)
    sections, asked = read_sections(sources), read_questions("answerer")
    members = read_collections("answerer")
    used = [sections[name].text for names in members.values() for name in names] + [a.question for a in asked]
    wall.assert_clean(Pair(text, text, "answering", str(i), "ar-en") for i, text in enumerate(used))
    embedder, reader = Embedder.open(), Reader()
    unit = Logistic((1.0, *[0.0] * (len(UNIT_FEATURES) - 1)), 0.0)
    rows: list[Described] = []
    names = sorted(set(members) & set(args.collections) if args.collections else members)
    with tempfile.TemporaryDirectory() as place:
        for number, half in enumerate((names[::2], names[1::2])):
            root = Path(place, str(number))
            documents = write_corpus(root / "corpus", [s for name in half for s in members[name]], sections)
            build_index(root / "corpus", root / "index", embedder=embedder)
            ask = Describer(root / "index", embedder, reader, unit)
            for one in tqdm([a for a in asked if a.collection in half], desc=f"index {number + 1}"):
                gold, home = [], None
                if one.context:
                    home = documents[one.context]
                    text = ask._snapshot.document(home).text
                    gold = [(home, *span) for span in places(one, text, sections)]
                    if not gold:
                        print("not found:", one.context, one.answer)
                        continue
                rows += [row for row in (ask(one, gold), ask(one, gold, home) if home else None) if row]
    args.run.mkdir(parents=True, exist_ok=True)
    (args.run / "described.pickle").write_bytes(pickle.dumps(rows))  # a scratch file of ours, never shipped
    print(len(rows), "questions described")


def fit_unit(rows: Sequence[Described], penalty: float) -> Logistic:
    """Fit the weights of a unit's numbers: softmax over the candidates of a question, then scale and bias."""
    rows = [row for row in rows if row.is_answerable and row.is_right.any()]
    stacked = np.concatenate([row.units for row in rows])
    scale = stacked.std(axis=0) + 1e-9
    cases = [(row.units / scale, row.is_right) for row in rows]

    def loss(weights: Floats) -> tuple[float, Floats]:
        total, gradient = penalty * float(weights @ weights), 2 * penalty * weights
        for units, is_right in cases:
            logits = units @ weights
            logits -= logits.max()
            all_of, own = np.exp(logits), np.exp(logits) * is_right
            total += float(np.log(all_of.sum()) - np.log(own.sum() + 1e-12))
            gradient += units.T @ (all_of / all_of.sum()) - units.T @ (own / (own.sum() + 1e-12))
        return total / len(cases), gradient / len(cases)

    weights = minimize(loss, np.zeros(stacked.shape[1]), jac=True, method="L-BFGS-B").x / scale
    logits, labels = stacked @ weights, np.concatenate([row.is_right for row in rows])
    platt = LogisticRegression(C=1e6).fit(logits[:, None], labels)
    factor, bias = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    return Logistic(tuple((weights * factor).round(4).tolist()), round(bias, 4))


def answer_matrix(rows: Sequence[Described], unit: Logistic) -> Floats:
    """Return `ANSWER_FEATURES` of each question, the best unit's log-odds first."""
    best = [float((row.units @ np.array(unit.weights)).max()) + unit.bias for row in rows]
    return np.array([(logit, *row.answer) for logit, row in zip(best, rows, strict=True)])


def fit_answer(rows: Sequence[Described], unit: Logistic, strength: float, prior: float) -> Logistic:
    """Fit the probability that the documents answer, where ``prior`` of the questions asked are answerable."""
    matrix = answer_matrix(rows, unit)
    scale = matrix.std(axis=0) + 1e-9
    regression = LogisticRegression(C=strength, max_iter=5000)
    is_right = np.array([row.is_answerable for row in rows])
    weights_of = np.where(is_right, prior / is_right.mean(), (1 - prior) / (1 - is_right.mean()))
    regression.fit(matrix / scale, is_right, sample_weight=weights_of)
    weights = (regression.coef_[0] / scale).round(4).tolist()
    return Logistic(tuple(weights), round(float(regression.intercept_[0]), 4))


def figures_of(rows: Sequence[Described], folds: int, args: argparse.Namespace) -> tuple[dict[str, Any], float]:
    """Cross-validate over collections; return the figures and the threshold."""
    names = sorted({row.asked.collection for row in rows})
    tops: dict[str, list[list[bool]]] = defaultdict(list)
    confidences: list[float] = []
    labels: list[bool] = []
    for fold in range(folds):
        held = set(names[fold::folds])
        fitted, judged = (
            [r for r in rows if r.asked.collection not in held],
            [r for r in rows if r.asked.collection in held],
        )
        unit = fit_unit(fitted, args.penalty)
        answer = fit_answer(fitted, unit, args.strength, args.prior)
        for row, features in zip(judged, answer_matrix(judged, unit), strict=True):
            confidences.append(answer.probability(features.tolist()))
            labels.append(row.is_answerable)
            if row.is_answerable:
                order = np.argsort(-(row.units @ np.array(unit.weights)), kind="stable")
                tops[f"{row.asked.language}-{row.language}"].append(row.is_right[order].tolist())
    values, is_right = np.array(confidences), np.array(labels)
    right, wrong = values[is_right], values[~is_right]
    threshold = float(np.quantile(right, args.refused_answerable))
    as_asked = wrong[
        :: max(1, round(len(wrong) / (len(right) * (1 - args.prior) / args.prior)))
    ]  # as many as the prior

    def by_pair(count: int | None) -> dict[str, float]:
        return {pair: round(float(np.mean([any(c[:count]) for c in cases])), 3) for pair, cases in sorted(tops.items())}

    figures: dict[str, Any] = {
        "top 1": by_pair(1),
        "top 4": by_pair(4),
        "seen": by_pair(None),
        "auc": round(float(roc_auc_score(labels, confidences)), 4),
        "calibration_error": round(
            calibration_error([*right, *as_asked], [True] * len(right) + [False] * len(as_asked)), 4
        ),
        "refused_unanswerable": round(float((wrong < threshold).mean()), 4),
        "refused_answerable": round(float((right < threshold).mean()), 4),
        "answerable": len(right),
        "unanswerable": len(wrong),
    }
    return figures, threshold


def fit_short(rows: Sequence[Described], unit: Logistic, precision: float) -> tuple[float, dict[str, float]]:
    """Choose the least log-odds from which ``precision`` of the short answers share half of their words with the gold.

    Returns:
        The threshold, and at it: the share of answerable questions that get a short answer, and how many are right.
    """
    offered = []
    for row in rows:
        best = int(np.argmax(row.units @ np.array(unit.weights)))
        if row.is_answerable and row.short[best] is not None:
            offered.append(row.short[best])
    offered.sort(reverse=True)
    right = np.cumsum([f1 >= 0.5 for _, f1 in offered]) / np.arange(1, len(offered) + 1)
    kept = max((i for i, share in enumerate(right) if share >= precision), default=0)
    answerable = sum(row.is_answerable for row in rows)
    figures = {"offered": round((kept + 1) / answerable, 3), "right": round(float(right[kept]), 3)}
    return round(offered[kept][0], 2), figures


def fit(args: argparse.Namespace) -> None:
    """Fit both models on every question and write them with the cross-validated figures."""
    rows: list[Described] = pickle.loads((args.run / "described.pickle").read_bytes())
    figures, threshold = figures_of(rows, 5, args)
    unit = fit_unit(rows, args.penalty)
    answer = fit_answer(rows, unit, args.strength, args.prior)
    short, shown = fit_short(rows, unit, args.short_precision)
    record = {
        "unit": dict(zip(UNIT_FEATURES, unit.weights, strict=True)) | {"bias": unit.bias},
        "answer": dict(zip(ANSWER_FEATURES, answer.weights, strict=True))
        | {"bias": answer.bias, "threshold": round(threshold, 4)},
        "short": {"threshold": short},
        "figures": figures | {"short": shown},
    }
    text = json.dumps(record, indent=2) + "\n"
    args.output.write_text(text, encoding="utf-8")
    print(text)


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``describe`` or ``fit``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("describe", help="ask every question and keep the numbers")
    one.add_argument("--data", type=Path, required=True, help="folder with qa_train/, prose/ and eval/")
    one.add_argument("--collections", nargs="*", help="only these; all of them by default")
    one.set_defaults(go=describe)
    two = commands.add_parser("fit", help="fit and write the weights")
    two.add_argument("--output", type=Path, default=Path("rag/models/answering.json"))
    two.add_argument("--penalty", type=float, default=1.0, help="on the squared weights of a unit's numbers")
    two.add_argument("--strength", type=float, default=0.3, help="C of the answer's regression")
    two.add_argument("--prior", type=float, default=0.75, help="share of the questions asked that are answerable")
    two.add_argument("--short-precision", type=float, default=0.85, help="share of short answers that are right")
    two.add_argument("--refused-answerable", type=float, default=0.08, help="share of answerable questions refused")
    two.set_defaults(go=fit)
    for command in (one, two):
        command.add_argument("--run", type=Path, required=True, help="where the numbers are kept")
    args = parser.parse_args(argv)
    args.go(args)


if __name__ == "__main__":
    main()
