"""Ask every judged question and measure what comes back: passages, citations, refusals, time; in all and by pair.

Definitions, each an average over all judged questions of its kind (an empty result counts 0):

* ``recall@5``, ``MRR@10``, ``nDCG@10``: of retrieval, a passage being relevant when it covers at least half of the gold
  evidence or lies within it; the first such passage counts.
* ``evidence_cited``: answerable questions whose answer cites a quote that covers the gold evidence. A refusal counts 0.
* ``document_cited``: the same, for a quote anywhere in a document that answers.
* ``citation_precision``: citations that quote a document that answers, of all given to answerable questions.
* ``citation_support``: quoted statements that stand literally in what they cite, of all (1 by construction).
* ``answer_found``: questions with a known short answer whose quotes contain it, letters folded.
* ``EM``, ``F1``: the quotes as a whole against the known short answer (Rajpurkar et al. 2016); quotes are sentences, so
  both are low for a reader that does not cut spans.
* ``refused_unanswerable``, ``refused_answerable``, and ``abstention_accuracy``: their share of right decisions.
* ``abstention_auc``, ``calibration_error``: how well the confidence tells answerable from unanswerable (area under the
  ROC curve), and how far it is from the share that are (expected calibration error, 10 bins).
* ``latency``: seconds of ``Chatbot.ask``, p50 and p95.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag import metrics
from rag.answering import Chatbot
from rag.datatypes import Answer, Hit
from rag.evaluation.questions import JudgedQuestion, load_questions
from rag.text import fold_text

_DEPTH = 10  # hits retrieved for the ranking metrics


@dataclass(frozen=True, slots=True)
class EvalReport:
    """The figures, in all and by pair (``"ar→en"``), each group a dict of name to value; and one row a question."""

    generation: str
    machine: str
    files: tuple[str, ...]
    overall: Mapping[str, float]
    pairs: Mapping[str, Mapping[str, float]]
    details: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the rows."""
        return {
            "generation": self.generation,
            "machine": self.machine,
            "files": list(self.files),
            "overall": dict(self.overall),
            "pairs": {pair: dict(figures) for pair, figures in self.pairs.items()},
        }


def evaluate(chatbot: Chatbot, paths: Sequence[Path]) -> EvalReport:
    """Ask every question of the files.

    Raises:
        RagError: A question file is wrong, or the index cannot be read.
    """
    snapshot = chatbot.retriever.snapshot()
    questions = load_questions(paths, snapshot.generation.documents)
    rows = []
    for question in questions:
        hits = snapshot.search(question.question, top_k=_DEPTH)
        rows.append(_judge(question, hits, chatbot.ask(question.question)))
    pairs = sorted({row["pair"] for row in rows})
    return EvalReport(
        generation=snapshot.generation.name,
        machine=f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        files=tuple(path.name for path in paths),
        overall=_figures(rows),
        pairs={pair: _figures([row for row in rows if row["pair"] == pair]) for pair in pairs},
        details=tuple(rows),
    )


def _judge(question: JudgedQuestion, hits: Sequence[Hit], answer: Answer) -> dict[str, Any]:
    place = question.place
    relevance = [
        place is not None and place.is_covered_by(hit.passage.doc_id, hit.passage.start, hit.passage.end)
        for hit in hits
    ]
    quotes = " ".join(citation.quote for citation in answer.citations)
    covering = [
        place is not None and place.is_covered_by(citation.doc_id, citation.start, citation.end)
        for citation in answer.citations
    ]
    in_gold = [citation.doc_id in question.doc_ids for citation in answer.citations]
    by_number = {citation.n: citation.quote for citation in answer.citations}
    supported = [
        any(statement.text in by_number[n] for n in statement.citations)
        for statement in answer.statements
        if statement.kind != "frame"
    ]
    return {
        "id": question.id,
        "pair": question.pair,
        "kind": question.kind,
        "question": question.question,
        "answerable": question.answerable,
        "abstained": answer.abstained,
        "confidence": answer.confidence,
        "relevance": relevance,
        "evidence_cited": any(covering),
        "document_cited": any(in_gold),
        "in_gold": in_gold,
        "supported": supported,
        "answer_found": any(fold_text(a) in fold_text(quotes) for a in question.answers) if question.answers else None,
        "em": max((metrics.exact_match(quotes, a) for a in question.answers), default=None),
        "f1": max((metrics.token_f1(quotes, a) for a in question.answers), default=None),
        "seconds": answer.seconds,
        "cited": [f"{c.doc_id}:{c.start}-{c.end}" for c in answer.citations],
        "answer": answer.text,
    }


def _figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Average the rows; a figure that no row bears on is left out."""
    answerable = [row for row in rows if row["answerable"]]
    unanswerable = [row for row in rows if not row["answerable"]]
    figures: dict[str, float] = {"questions": len(rows)}

    def put(name: str, values: Sequence[float]) -> None:
        if values:
            figures[name] = sum(values) / len(values)

    ranks = [
        next((rank for rank, is_relevant in enumerate(row["relevance"], start=1) if is_relevant), 0)
        for row in answerable
    ]
    put("recall@5", [float(0 < rank <= 5) for rank in ranks])
    put("MRR@10", [1.0 / rank if rank else 0.0 for rank in ranks])
    put("nDCG@10", [metrics.ndcg_of_rank(rank) if rank else 0.0 for rank in ranks])
    put("evidence_cited", [float(row["evidence_cited"]) for row in answerable])
    put("document_cited", [float(row["document_cited"]) for row in answerable])
    put("citation_precision", [float(is_in) for row in answerable for is_in in row["in_gold"]])
    put("citation_support", [float(holds) for row in rows for holds in row["supported"]])
    put("answer_found", [float(row["answer_found"]) for row in answerable if row["answer_found"] is not None])
    put("EM", [row["em"] for row in answerable if row["em"] is not None])
    put("F1", [row["f1"] for row in answerable if row["f1"] is not None])
    put("refused_unanswerable", [float(row["abstained"]) for row in unanswerable])
    put("refused_answerable", [float(row["abstained"]) for row in answerable])
    figures["abstention_accuracy"] = metrics.abstention_accuracy(
        [row["abstained"] for row in rows], [row["answerable"] for row in rows]
    )
    if answerable and unanswerable:
        confidences = [row["confidence"] for row in rows]
        labels = [row["answerable"] for row in rows]
        figures["abstention_auc"] = metrics.roc_auc(confidences, labels)
        figures["calibration_error"] = metrics.calibration_error(confidences, labels)
    seconds = [row["seconds"] for row in rows]
    if seconds:
        figures["latency_p50_s"] = metrics.percentile(seconds, 50)
        figures["latency_p95_s"] = metrics.percentile(seconds, 95)
    return figures
