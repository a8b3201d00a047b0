"""An answer made of quotes: which units are quoted, in what order, and the words of ours around them.

Nothing here writes about the subject. The frame is in the question's language, the quotes in their documents'.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rag.answering.citations import cite
from rag.answering.evidence import Candidate, TermMatcher
from rag.answering.question import Question, QuestionKind
from rag.answering.quotes import UnitKind, block_of, paragraph_of, sentences_after, split_lines, with_antecedent
from rag.answering.short import short_answer
from rag.datatypes import Citation, Document, Passage, Statement
from rag.text import fold_text, terms

_SHARE_OF_BEST = 0.15  # a further quote scores at least this share of the best one
_SAME = 0.7  # share of the shorter quote's terms from which two quotes say the same
_ECHO = 0.8  # Jaccard similarity of terms from which the other quote is cited as well
_MAX_ECHOES = 2
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
    matcher: TermMatcher,
    *,
    max_quotes: int,
    short_threshold: float,
) -> tuple[tuple[Statement, ...], tuple[Citation, ...]]:
    """Quote the best candidates, the language of the best one first, under the short answer where there is one.

    Args:
        question: The question.
        candidates: Best first, at least one.
        documents: Gives the document of an id.
        matcher: The question's matcher.
        max_quotes: Sentences or whole lists quoted at most; what says the same as one of them is cited beside it.
        short_threshold: Least log-odds of a short answer.

    Returns:
        The statements in reading order and the citations, numbered from 1 in the order the statements use them.
    """
    quotes = _merge(_choose(question, candidates, documents, matcher, max_quotes), documents)
    languages = list(dict.fromkeys(quote.passage.language for quote in quotes))
    quotes.sort(key=lambda quote: languages.index(quote.passage.language))
    statements: list[Statement] = []
    citations: list[Citation] = []
    best = candidates[0]
    home = documents(best.hit.passage.doc_id)
    place = short_answer(question, best, home, threshold=short_threshold)
    if place is not None and quotes[0].holds(home.doc_id, *place):
        statements.append(Statement(home.text[slice(*place)], "short", (1,)))
    framed: str | None = None
    for quote in quotes:
        if quote.passage.language != framed:
            framed = quote.passage.language
            statements.append(Statement(_frame(question.language, framed), "frame"))
        first = len(citations) + 1
        for span in (quote, *quote.echoes):
            document = documents(span.passage.doc_id)
            citations.append(cite(len(citations) + 1, document, span.passage, span.start, span.end))
        numbers = tuple(range(first, len(citations) + 1))
        for line, is_item in split_lines(citations[first - 1].quote):
            statements.append(Statement(line, "item" if is_item else "quote", numbers))
    return tuple(statements), tuple(citations)


def to_markdown(statements: Sequence[Statement]) -> str:
    """Write the statements as Markdown; a block cited once carries its mark ``[n]`` on its last line."""
    lines: list[str] = []
    for i, statement in enumerate(statements):
        following = statements[i + 1].citations if i + 1 < len(statements) else ()
        marks = "" if statement.citations == following else "".join(f" [{n}]" for n in statement.citations)
        bullet = "- " if statement.kind == "item" else ""
        strong = "**" if statement.kind == "short" else ""
        if lines and not (statement.kind == "item" and statements[i - 1].kind == "item"):
            lines.append("")
        lines.append(f"{bullet}{strong}{statement.text}{strong}{marks}")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Quote:
    """``document.text[start:end]``, found through ``passage``; ``echoes`` say the same in other documents."""

    passage: Passage
    start: int
    end: int
    echoes: tuple[_Quote, ...] = ()

    def holds(self, doc_id: str, start: int, end: int) -> bool:
        """Tell whether the place lies within this quote."""
        return self.passage.doc_id == doc_id and self.start <= start and end <= self.end


def _choose(
    question: Question,
    candidates: Sequence[Candidate],
    documents: Callable[[str], Document],
    matcher: TermMatcher,
    max_quotes: int,
) -> list[_Quote]:
    chosen: list[_Quote] = []
    best = candidates[0].score
    for candidate in candidates:
        if chosen and candidate.score < _SHARE_OF_BEST * best:
            break
        _add(chosen, question, candidate, documents, max_quotes)
    for side in question.sides:  # a comparison is drawn from both sides, also from two documents
        about = [candidate for candidate in candidates if matcher.mentions(side, candidate.text, candidate.hit.passage)]
        texts = [documents(quote.passage.doc_id).text[quote.start : quote.end] for quote in chosen]
        said = any(matcher.mentions(side, text, quote.passage) for text, quote in zip(texts, chosen, strict=True))
        if about and not said and about[0].score >= _SHARE_OF_BEST * best / 4:
            _add(chosen, question, about[0], documents, max_quotes + 1)
    return chosen


def _add(
    chosen: list[_Quote],
    question: Question,
    candidate: Candidate,
    documents: Callable[[str], Document],
    max_quotes: int,
) -> None:
    """Quote the candidate, cite it beside a quote that says the same, or leave it out."""
    if chosen and candidate.text.rstrip().endswith(("?", "؟")):
        return
    passage = candidate.hit.passage
    start, end = _span(question, candidate, documents(passage.doc_id))
    if any(q.passage.doc_id == passage.doc_id and start < q.end and q.start < end for q in _all(chosen)):
        return
    text = documents(passage.doc_id).text[start:end]
    own = set(terms(text, passage.language))
    for i, quote in enumerate(chosen):
        said = documents(quote.passage.doc_id).text[quote.start : quote.end]
        other = set(terms(said, quote.passage.language))
        if not own or not other or len(own & other) < _SAME * min(len(own), len(other)):
            continue
        is_echo = len(own & other) >= _ECHO * len(own | other) and _numbers(text) == _numbers(said)
        if is_echo and passage.doc_id != quote.passage.doc_id and len(quote.echoes) < _MAX_ECHOES:
            chosen[i] = replace(quote, echoes=(*quote.echoes, _Quote(passage, start, end)))
        return
    if len(chosen) < max_quotes:
        chosen.append(_Quote(passage, start, end))


def _all(quotes: Sequence[_Quote]) -> Iterator[_Quote]:
    for quote in quotes:
        yield from (quote, *quote.echoes)


def _numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+", fold_text(text)))


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


def _merge(quotes: list[_Quote], documents: Callable[[str], Document]) -> list[_Quote]:
    """Join quotes that follow each other with only white space between; the place of the better one is kept."""
    merged: list[_Quote] = []
    for quote in quotes:
        for i, other in enumerate(merged):
            if other.passage.doc_id != quote.passage.doc_id or quote.echoes or other.echoes:
                continue
            text = documents(quote.passage.doc_id).text
            if quote.end <= other.start and not text[quote.end : other.start].strip():
                merged[i] = _Quote(quote.passage, quote.start, other.end)
                break
            if other.end <= quote.start and not text[other.end : quote.start].strip():
                merged[i] = _Quote(other.passage, other.start, quote.end)
                break
        else:
            merged.append(quote)
    return merged


def _frame(question_language: str, document_language: str) -> str:
    words = _FRAMES.get(question_language, _FRAMES["en"])
    if document_language == question_language:
        return str(words["same"])
    other = words["other"]
    assert isinstance(other, dict)
    return str(other.get(document_language, other[""]))
