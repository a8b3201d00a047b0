"""Citation numbers, given by code and checked by code.

A citation is a literal slice of a document; its number is 1-based and counts quotes in the order an answer first
uses them. `verify` is run on every answer before it leaves: a citation that does not hold is a bug, and raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rag.answering.support import keeps_facts
from rag.datatypes import Answer, Citation, Document, Passage


def cite(n: int, document: Document, passage: Passage, start: int, end: int) -> Citation:
    """Make citation ``n`` of ``document.text[start:end]``, found through ``passage``."""
    return Citation(
        n=n,
        doc_id=document.doc_id,
        title=document.title,
        language=passage.language,
        quote=document.text[start:end],
        start=start,
        end=end,
        page=document.page_at(start),
        heading=document.heading_path(start),
        passage_start=passage.start,
        passage_end=passage.end,
    )


Supports = Callable[[str, str, Sequence[Citation]], bool]  # (sentence, its language, what it cites)


def verify(answer: Answer, documents: Mapping[str, Document], *, supports: Supports = keeps_facts) -> None:
    """Check every promise a citation makes.

    Numbers are 1, 2, 3, ... in order of first use; each citation is used; each quoted statement cites at least one
    and stands literally in what it cites; each quote is a literal slice of its document; an abstaining answer cites
    nothing. A written sentence cites at least one and is supported by what it cites, or is marked and cites nothing.

    Args:
        answer: The answer.
        documents: The documents of its generation, by id.
        supports: Judges a written sentence; by itself only that it changes no fact of what it cites.

    Raises:
        AssertionError: A promise is broken; the message names it.
    """
    numbers = [citation.n for citation in answer.citations]
    _check(numbers == list(range(1, len(numbers) + 1)), f"citation numbers are {numbers}")
    _check(not (answer.abstained and numbers), "an abstaining answer cites")
    by_number = {citation.n: citation for citation in answer.citations}
    first_uses = list(dict.fromkeys(n for statement in answer.statements for n in statement.citations))
    _check(first_uses == numbers, f"citations are used in the order {first_uses}, not {numbers}")
    for citation in answer.citations:
        document = documents.get(citation.doc_id)
        _check(document is not None, f"[{citation.n}] cites {citation.doc_id}, which is not in the index")
        _check(
            document is not None and document.text[citation.start : citation.end] == citation.quote,
            f"[{citation.n}] does not quote {citation.doc_id} at {citation.start}-{citation.end}",
        )
    for statement in answer.statements:
        if statement.kind == "frame":
            _check(not statement.citations, f"a frame cites: {statement.text!r}")
            continue
        if not statement.is_supported:
            _check(statement.kind == "written", f"a quote is marked as unsupported: {statement.text!r}")
            _check(not statement.citations, f"an unsupported sentence cites: {statement.text!r}")
            continue
        _check(bool(statement.citations), f"a quote has no citation: {statement.text!r}")
        if statement.kind == "written":
            cited = [by_number[n] for n in statement.citations]
            _check(supports(statement.text, answer.language, cited), f"the sources do not support {statement.text!r}")
            continue
        _check(
            any(statement.text in by_number[n].quote for n in statement.citations),
            f"the source does not say {statement.text!r}",
        )


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
