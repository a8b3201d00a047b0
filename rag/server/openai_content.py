"""An answer as the content of a chat message: text with ``[n]`` marks, a list of sources, and annotations."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from rag.answering.extractive import to_markdown
from rag.datatypes import Answer, Citation, Statement
from rag.wire import citation_json

_TITLES = {"ar": "المصادر", "en": "Sources"}
_PAGES = {"ar": "صفحة", "en": "page"}
_QUOTE_CHARACTERS = 200
# A heading of ours, at whose place an answer that comes back as history ends.
_SOURCES = re.compile(rf"\n\n\*\*(?:{'|'.join(_TITLES.values())})\*\*\n\n- \[1\] ")
_MARKS = re.compile(r"(?:\*\*)?((?: \[\d+\])+)")
_ALIVE = re.compile(r"!(?=\[)|<(?=[A-Za-z/!?])")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~!&])")


@dataclass(slots=True)
class Content:
    """The content of a message as it grows; what was sent stays, numbers included.

    Text that may still change is held back: the marks of a block of quotes move to its last line as it grows. Where
    quotes take the place of what a language model had begun, they come after it, under numbers of their own.
    """

    sent: str = ""
    citations: tuple[Citation, ...] = ()
    statements: tuple[Statement, ...] = ()
    _said: str = ""  # of the answer at hand
    _before: tuple[Citation, ...] = ()  # citations of text that another answer took the place of
    _statements_before: tuple[Statement, ...] = field(default=())

    def grow(self, answer: Answer, *, is_whole: bool) -> str:
        """Return what follows on what was sent, up to what is sure; with the whole answer, its sources too."""
        delta = ""
        if not _harmless(_shifted(answer, len(self._before)).text).startswith(self._said):
            self._before, self._statements_before = self.citations, self.statements
            self._said, delta = "", "\n\n"
        shifted = _shifted(answer, len(self._before))
        self.citations = (*self._before, *shifted.citations)
        self.statements = (*self._statements_before, *shifted.statements)
        sure = _harmless(shifted.text if is_whole or answer.model else _without_last_marks(shifted))
        if not sure.startswith(self._said):
            sure = self._said
        delta += sure[len(self._said) :]
        self._said = sure
        if is_whole:
            delta += tail(answer, self.citations)
        self.sent += delta
        return delta

    def annotations(self) -> list[dict[str, Any]]:
        """Return a ``url_citation`` for each mark, with its place in the content, 0-based, end exclusive."""
        by_number = {citation.n: citation for citation in self.citations}
        found: list[dict[str, Any]] = []
        cursor = 0
        for statement in self.statements:
            text = _harmless(statement.text)
            place = self.sent.find(text, cursor)
            if place < 0:
                continue
            cursor = place + len(text)
            marks = _MARKS.match(self.sent, cursor)
            if marks is None:
                continue
            for mark in re.finditer(r"\[(\d+)\]", marks[1]):
                start, end = (marks.start(1) + at for at in mark.span())
                found.append(_annotation(by_number[int(mark[1])], start, end))
            cursor = marks.end()
        return found


def content_of(answer: Answer) -> Content:
    """Return the content of a whole answer."""
    content = Content()
    content.grow(answer, is_whole=True)
    return content


def citations_json(citations: Sequence[Citation]) -> list[dict[str, Any]]:
    """Return citations as data, in order of their numbers."""
    return [citation_json(citation) for citation in citations]


def without_sources(content: str) -> str:
    """Return a message of ours without its list of sources; any other as it is."""
    found = _SOURCES.search(content)
    return content[: found.start()] if found else content


def tail(answer: Answer, citations: Sequence[Citation]) -> str:
    """Return what stands below an answer: its notice, and its sources in Markdown."""
    language = answer.language if answer.language in _TITLES else "en"
    parts = [f"_{_plain(answer.notice)}_"] if answer.notice else []
    if citations:
        parts += [f"**{_TITLES[language]}**", "\n".join(_source(citation, language) for citation in citations)]
    return "".join(f"\n\n{part}" for part in parts)


def _source(citation: Citation, language: str) -> str:
    place = " › ".join(dict.fromkeys(part for part in (citation.title, *citation.heading) if part))
    page = f", {_PAGES[language]} {citation.page}" if citation.page else ""
    words = " ".join(citation.quote.split())
    if len(words) > _QUOTE_CHARACTERS:
        words = words[: _QUOTE_CHARACTERS - 1].rstrip() + "…"
    return f"- [{citation.n}] **{_plain(place)}** ({_plain(citation.doc_id)}{page}): “{_plain(words)}”"


def _plain(text: str) -> str:
    """Return text of a document as Markdown that shows it and does nothing: no picture, no link, no HTML."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _harmless(text: str) -> str:
    """Return quoted text so that no client loads a picture or runs HTML that a document brings along."""
    return _ALIVE.sub(r"\\\g<0>", text)


def _annotation(citation: Citation, start: int, end: int) -> dict[str, Any]:
    # RFC 5147: the place in a text, in characters.
    url = f"sanad:{quote(citation.doc_id)}#char={citation.start},{citation.end}"
    return {
        "type": "url_citation",
        "url_citation": {"start_index": start, "end_index": end, "title": citation.title, "url": url},
    }


def _shifted(answer: Answer, by: int) -> Answer:
    """Return the answer with ``by`` added to its numbers; only answers of quotes are ever shifted."""
    if not by:
        return answer
    statements = tuple(
        dataclasses.replace(statement, citations=tuple(n + by for n in statement.citations))
        for statement in answer.statements
    )
    citations = tuple(dataclasses.replace(citation, n=citation.n + by) for citation in answer.citations)
    return dataclasses.replace(answer, statements=statements, citations=citations, text=to_markdown(statements))


def _without_last_marks(answer: Answer) -> str:
    last = answer.statements[-1].citations if answer.statements else ()
    marks = "".join(f" [{n}]" for n in last)
    return answer.text.removesuffix(marks)
