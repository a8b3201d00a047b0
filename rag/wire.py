"""The JSON that the terminal and the HTTP API both speak: dataclasses in, plain dicts out.

The key sets are a contract that other programs rely on; a new key is a minor version, a lost one a major version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rag.datatypes import Answer, Citation, Hit

if TYPE_CHECKING:
    from rag.builder import BuildReport


def hit_json(hit: Hit) -> dict[str, Any]:
    """Return one search result. ``start``/``end`` count code points of the document's text."""
    passage = hit.passage
    return {
        "rank": hit.rank,
        "score": round(float(hit.score), 6),
        "doc_id": passage.doc_id,
        "title": passage.title,
        "language": passage.language,
        "text": passage.text,
        "start": passage.start,
        "end": passage.end,
        "page": passage.page,
    }


def hits_json(query: str, language: str, hits: Iterable[Hit]) -> dict[str, Any]:
    """Return the answer of ``rag search --json`` and ``POST /api/search``.

    Args:
        query: The query as the user typed it.
        language: Its language, ISO 639-1, ``"und"`` where none could be told.
        hits: Best first.
    """
    return {"query": query, "language": language, "hits": [hit_json(hit) for hit in hits]}


def citation_json(citation: Citation) -> dict[str, Any]:
    """Return one citation; ``n`` is the number shown as ``[n]`` in the answer."""
    return {
        "n": citation.n,
        "doc_id": citation.doc_id,
        "title": citation.title,
        "language": citation.language,
        "quote": citation.quote,
        "start": citation.start,
        "end": citation.end,
        "page": citation.page,
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return the answer of ``rag ask --json`` and ``POST /api/ask``. ``confidence`` is in [0, 1].

    ``short``, ``model`` and ``notice`` are empty where there is no short answer, no language model, nothing to say.
    """
    return {
        "question": answer.question,
        "query": answer.query or answer.question,
        "language": answer.language,
        "answer": answer.text,
        "short": answer.short,
        "abstained": answer.abstained,
        "confidence": round(float(answer.confidence), 4),
        "citations": [citation_json(citation) for citation in answer.citations],
        "model": answer.model,
        "notice": answer.notice,
        "seconds": round(float(answer.seconds), 3),
    }


def build_json(report: BuildReport) -> dict[str, Any]:
    """Return the answer of ``rag build --json``."""
    return {
        "generation": report.generation,
        "documents": report.documents,
        "passages": report.passages,
        "added": report.added,
        "updated": report.updated,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "failed": [{"path": str(failed.path), "reason": failed.reason} for failed in report.failed],
        "seconds": round(report.seconds, 3),
        "files": [{**asdict(file), "warnings": list(file.warnings)} for file in report.files],
    }
