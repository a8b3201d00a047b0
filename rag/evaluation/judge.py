"""One answer held against its judged question: a row of the report.

A row is a plain dict, so that a saved report can be read back and compared:

* ``id``, ``question``, ``lang``, ``pair``, ``kind``, ``answerable``: of the question. ``gold`` is its first place,
  ``{"doc_id", "start", "end", "text"}``, or None, ``gold_answers`` the known short answers.
* ``rank``: 1-based rank of the first hit that covers gold evidence, 0 if none of the first 10 does.
* ``abstained``, ``confidence``, ``seconds``, ``answer`` (the text), ``short``, ``model``: of the answer.
* ``citations``: ``{"n", "doc_id", "title", "start", "end", "quote", "is_in_gold_document", "is_gold"}`` each.
* ``citation_recall``, ``citation_precision``: ALCE's, of this answer; None for a refusal.
* ``evidence_cited``, ``document_cited``: whether a citation covers gold evidence, is of a document that answers.
* ``right_if_answered``: whether the answer given, or for a refusal the one held back, cites gold evidence.
* ``answer_found``, ``em``, ``f1``: against the known answers; None where there are none.
* ``language_right``: whether the answer's own words are in the question's language.
* ``outcome``: one of `OUTCOMES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rag import metrics
from rag.answering.support import context_of, support
from rag.datatypes import Answer, Citation, Document, Hit, Statement
from rag.evaluation.questions import JudgedQuestion
from rag.reader import CosineScorer
from rag.retriever import Encoder
from rag.text import detect_language, fold_text
from rag.text.language import UNDETERMINED

Row = Mapping[str, Any]
Supports = Callable[[str, str, Sequence[Citation]], bool]  # sentence, its language, what it cites

# What became of a question, and what it means.
OUTCOMES = {
    "right": "gold evidence is cited",
    "not cited": "gold evidence was retrieved, something else was cited",
    "not retrieved": "gold evidence is not among the first 10 hits, nor cited",
    "wrongly refused": "the documents answer, the chatbot did not",
    "false answer": "the documents do not answer, the chatbot did",
    "rightly refused": "the documents do not answer, and the chatbot said so",
}


def supports_by(embedder: Encoder) -> Supports:
    """Return the answerer's own check of a written sentence, `rag.answering.support`, with an embedder's cosine."""
    scorer = CosineScorer(embedder.encode_queries, embedder.encode_passages)

    def supports(sentence: str, language: str, quotes: Sequence[Citation]) -> bool:
        texts = [quote.quote for quote in quotes]
        return support(
            sentence,
            "\n".join(texts),
            cosine=float(max(scorer.score(sentence, texts))),
            language=language,
            quote_language=quotes[0].language,
            context=context_of(quotes),
        ).is_supported

    return supports


def judge(
    question: JudgedQuestion,
    hits: Sequence[Hit],
    answer: Answer,
    held_back: Answer,
    *,
    documents: Mapping[str, Document],
    supports: Supports,
) -> dict[str, Any]:
    """Return the row of one question.

    Args:
        question: As judged.
        hits: Of retrieval alone, best first.
        answer: The chatbot's.
        held_back: What it would have said had it not abstained; ``answer`` itself otherwise.
        documents: By doc_id, those of the index.
        supports: Tells whether quotes together support a sentence that a language model wrote.
    """
    place = next(iter(question.places), None)
    is_gold = [_is_gold(question, citation) for citation in answer.citations]
    in_gold = [citation.doc_id in question.doc_ids for citation in answer.citations]
    quotes = " ".join(citation.quote for citation in answer.citations)
    said = answer.short or quotes
    recall, precision = (None, None) if answer.abstained else citation_figures(answer, supports)
    ranks = (hit.rank for hit in hits if question.is_answered_by(hit.passage.doc_id, *_span(hit)))
    row = {
        "id": question.id,
        "question": question.question,
        "lang": question.language,
        "pair": question.pair,
        "kind": question.kind,
        "answerable": question.answerable,
        "gold": None
        if place is None
        else {
            "doc_id": place.doc_id,
            "start": place.start,
            "end": place.end,
            "text": documents[place.doc_id].text[place.start : place.end],
        },
        "gold_answers": list(question.answers),
        "rank": next(ranks, 0),
        "abstained": answer.abstained,
        "confidence": float(answer.confidence),
        "seconds": float(answer.seconds),
        "answer": answer.text,
        "short": answer.short,
        "model": answer.model,
        "citations": [
            {
                "n": citation.n,
                "doc_id": citation.doc_id,
                "title": citation.title,
                "start": citation.start,
                "end": citation.end,
                "quote": citation.quote,
                "is_in_gold_document": in_document,
                "is_gold": at_place,
            }
            for citation, in_document, at_place in zip(answer.citations, in_gold, is_gold, strict=True)
        ],
        "citation_recall": recall,
        "citation_precision": precision,
        "evidence_cited": any(is_gold),
        "document_cited": any(in_gold),
        "right_if_answered": any(_is_gold(question, citation) for citation in held_back.citations),
        "answer_found": any(fold_text(a) in fold_text(quotes) for a in question.answers) if question.answers else None,
        "em": max((metrics.exact_match(said, a) for a in question.answers), default=None),
        "f1": max((metrics.token_f1(said, a) for a in question.answers), default=None),
        "language_right": detect_language(own_words(answer)) in (question.language, UNDETERMINED),
    }
    return row | {"outcome": _outcome(row)}


def citation_figures(answer: Answer, supports: Supports) -> tuple[float, float]:
    """Return the citation recall and precision of an answer by ALCE's definitions (Gao et al., 2023).

    Frames say nothing and do not count. A quoted statement is supported where it stands literally in a quote, one that
    a language model wrote where ``supports`` says so.
    """
    by_number = {citation.n: citation for citation in answer.citations}
    supported: list[bool] = []  # one a statement
    triples: list[tuple[bool, bool, bool]] = []  # one a citation: statement supported, alone enough, needed
    for statement in answer.statements:
        if statement.kind == "frame":
            continue
        together = _holds(statement, answer, [by_number[n] for n in statement.citations], supports)
        supported.append(together)
        for n in statement.citations:
            others = [by_number[other] for other in statement.citations if other != n]
            alone = _holds(statement, answer, [by_number[n]], supports)
            triples.append((together, alone, not _holds(statement, answer, others, supports)))
    columns = zip(*triples, strict=True) if triples else ((), (), ())
    return metrics.citation_recall(supported), metrics.citation_precision(*map(list, columns))


def own_words(answer: Answer) -> str:
    """Return what an answer says in words of its own, frames and written sentences; all of it where it only quotes."""
    own = [statement.text for statement in answer.statements if statement.kind in ("frame", "written")]
    return " ".join(own or [statement.text for statement in answer.statements])


def _holds(statement: Statement, answer: Answer, quotes: Sequence[Citation], supports: Supports) -> bool:
    if statement.kind != "written":
        return any(statement.text in quote.quote for quote in quotes)
    return bool(quotes) and supports(statement.text, answer.language, quotes)


def _is_gold(question: JudgedQuestion, citation: Citation) -> bool:
    return question.is_answered_by(citation.doc_id, citation.start, citation.end)


def _span(hit: Hit) -> tuple[int, int]:
    return hit.passage.start, hit.passage.end


def _outcome(row: Row) -> str:
    if not row["answerable"]:
        return "rightly refused" if row["abstained"] else "false answer"
    if row["abstained"]:
        return "wrongly refused"
    if row["evidence_cited"]:
        return "right"
    return "not cited" if row["rank"] else "not retrieved"
