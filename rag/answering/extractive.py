"""An answer made of quotes: which units are quoted, in what order, and the words of ours around them.

Nothing here writes about the subject. The frame is in the question's language, the quotes in their documents'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rag.answering.citations import cite
from rag.answering.evidence import Candidate
from rag.answering.question import Question, QuestionKind
from rag.answering.quotes import UnitKind, block_of, paragraph_of, sentences_after, split_lines, with_antecedent
from rag.datatypes import Citation, Document, Passage, Statement
from rag.text import terms

_SHARE_OF_BEST = 0.45  # a further quote scores at least this share of the best one
_SAME = 0.7  # Jaccard similarity of terms from which two quotes say the same
_SHORT_BLOCK = 600  # characters up to which a list is always quoted whole
_SHORT_PARAGRAPH = 420  # characters up to which a paragraph is
_LONG_QUOTE = 360  # characters that a quote from a longer paragraph does not grow beyond
_BLOCK_KINDS = frozenset({QuestionKind.LIST, QuestionKind.METHOD, QuestionKind.COMPARISON})

_FRAMES = {
    "ar": {
        "same": "جاء في المستندات:",
        "other": {"en": "جاء في مستند بالإنجليزية:", "": "جاء في مستند بلغة أخرى:"},
        "abstain": "لم أجد في المستندات ما يجيب عن هذا السؤال.",
        "nearest": "قد تفيدك أقرب المقاطع إليه.",
    },
    "en": {
        "same": "The documents say:",
        "other": {"ar": "A document in Arabic says:", "": "A document in another language says:"},
        "abstain": "I did not find an answer to this in the documents.",
        "nearest": "The nearest passages may still help.",
    },
}


def abstention(language: str, *, has_hits: bool) -> tuple[Statement, ...]:
    """Say that the documents do not answer, in the question's language."""
    words = _FRAMES.get(language, _FRAMES["en"])
    text = f"{words['abstain']} {words['nearest']}" if has_hits else str(words["abstain"])
    return (Statement(text, "frame"),)


def compose(
    question: Question,
    candidates: Sequence[Candidate],
    documents: Callable[[str], Document],
    *,
    max_quotes: int,
) -> tuple[tuple[Statement, ...], tuple[Citation, ...]]:
    """Quote the best candidates, the language of the best one first.

    Args:
        question: The question.
        candidates: Best first, at least one.
        documents: Gives the document of an id.
        max_quotes: Sentences or whole lists quoted at most.

    Returns:
        The statements in reading order and the citations, numbered from 1 in the order the statements use them.
    """
    spans = _merge(_choose(question, candidates, documents, max_quotes), documents)
    statements: list[Statement] = []
    citations: list[Citation] = []
    framed: str | None = None
    languages = list(dict.fromkeys(passage.language for passage, _, _ in spans))
    for passage, start, end in sorted(spans, key=lambda span: languages.index(span[0].language)):
        if passage.language != framed:
            statements.append(Statement(_frame(question.language, passage.language), "frame"))
            framed = passage.language
        n = len(citations) + 1
        citations.append(cite(n, documents(passage.doc_id), passage, start, end))
        for line, is_item in split_lines(citations[-1].quote):
            statements.append(Statement(line, "item" if is_item else "quote", (n,)))
    return tuple(statements), tuple(citations)


def to_markdown(statements: Sequence[Statement]) -> str:
    """Write the statements as Markdown; a block cited once carries its mark ``[n]`` on its last line."""
    lines: list[str] = []
    for i, statement in enumerate(statements):
        following = statements[i + 1].citations if i + 1 < len(statements) else ()
        marks = "" if statement.citations == following else "".join(f" [{n}]" for n in statement.citations)
        bullet = "- " if statement.kind == "item" else ""
        if lines and not (statement.kind == "item" and statements[i - 1].kind == "item"):
            lines.append("")
        lines.append(f"{bullet}{statement.text}{marks}")
    return "\n".join(lines)


_Span = tuple[Passage, int, int]


def _choose(
    question: Question, candidates: Sequence[Candidate], documents: Callable[[str], Document], max_quotes: int
) -> list[_Span]:
    chosen: list[_Span] = []
    said: list[set[str]] = []
    best = candidates[0].score
    for candidate in candidates:
        if len(chosen) == max_quotes or (chosen and candidate.score < _SHARE_OF_BEST * best):
            break
        if chosen and candidate.text.rstrip().endswith(("?", "؟")):
            continue
        passage = candidate.hit.passage
        start, end = _span(question, candidate, documents(passage.doc_id))
        if any(p.doc_id == passage.doc_id and start < last and first < end for p, first, last in chosen):
            continue
        own = set(terms(documents(passage.doc_id).text[start:end], passage.language))
        if any(len(own & other) >= _SAME * min(len(own), len(other)) for other in said if own and other):
            continue
        chosen.append((passage, start, end))
        said.append(own)
    return chosen


def _span(question: Question, candidate: Candidate, document: Document) -> tuple[int, int]:
    """Choose how much to quote: the whole list or table, a short paragraph, or the sentence with those after it."""
    unit = candidate.unit
    block = block_of(document, unit)
    if block is not None and (
        question.kind in _BLOCK_KINDS or candidate.text.endswith(":") or block[1] - block[0] <= _SHORT_BLOCK
    ):
        return block
    if unit.kind is not UnitKind.SENTENCE:
        return unit.start, unit.end
    start, end = paragraph_of(document, unit)
    if end - start <= _SHORT_PARAGRAPH:
        return start, end
    start, end = with_antecedent(document, unit)
    for _, last in sentences_after(document, unit):
        if last - start > _LONG_QUOTE:
            break
        end = last
    return start, end


def _merge(spans: list[_Span], documents: Callable[[str], Document]) -> list[_Span]:
    """Join quotes that follow each other with only white space between; the place of the better one is kept."""
    merged: list[_Span] = []
    for passage, start, end in spans:
        for i, (other, first, last) in enumerate(merged):
            if other.doc_id != passage.doc_id:
                continue
            text = documents(passage.doc_id).text
            if end <= first and not text[end:first].strip():
                merged[i] = (passage, start, last)
                break
            if last <= start and not text[last:start].strip():
                merged[i] = (other, first, end)
                break
        else:
            merged.append((passage, start, end))
    return merged


def _frame(question_language: str, document_language: str) -> str:
    words = _FRAMES.get(question_language, _FRAMES["en"])
    if document_language == question_language:
        return str(words["same"])
    other = words["other"]
    assert isinstance(other, dict)
    return str(other.get(document_language, other[""]))
