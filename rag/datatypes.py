"""The nouns of the project, all frozen: Document, Passage, Hit, Citation, Statement, Answer.

Offsets count code points of ``Document.text``, 0-based, end exclusive; ``document.text[start:end]`` is the
text they name. Languages are ISO 639-1 codes (``"ar"``, ``"en"``); ``"und"`` where none could be told.
Scores: higher is better. Ranks and citation numbers: 1-based.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LIST_COMMA = re.compile(r"\s*[,،;؛]\s*")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a document: ``document.text[start:end] == text``; ``level`` 1 is the outermost."""

    text: str
    level: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a paged document: ``document.text[start:end]`` is its text; ``number`` is 1-based."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """One source file, as text.

    ``doc_id`` is the file's path under its corpus folder, with ``/``. ``headings`` and ``pages`` are in text
    order and may be empty. ``sha256`` is of the file's bytes. ``warnings`` say what a reader of the build
    report should know (for instance an encoding that was guessed), one sentence each. ``metadata`` is what the
    file says of itself beside its title, such as ``("author", "...")``, ``("date", "2026-01-31")`` and
    ``("tags", "one, two")``: at most 32 pairs, sorted by key; keys are lower case.
    """

    doc_id: str
    title: str
    text: str
    language: str
    sha256: str
    headings: tuple[Heading, ...] = ()
    pages: tuple[Page, ...] = ()
    warnings: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()

    def heading_path(self, offset: int) -> tuple[str, ...]:
        """Return the headings in force at ``offset``, outermost first; empty above the first heading."""
        path: list[Heading] = []
        for heading in self.headings:
            if heading.start > offset:
                break
            while path and path[-1].level >= heading.level:
                path.pop()
            path.append(heading)
        return tuple(heading.text for heading in path)

    def has(self, key: str, value: str) -> bool:
        """Return whether the metadata holds a value under a key, alone or as an item of a list such as ``"one, two"``.

        Upper and lower case are not told apart.
        """
        wanted = value.strip().casefold()
        return any(
            wanted == own.casefold() or wanted in map(str.casefold, _LIST_COMMA.split(own))
            for own_key, own in self.metadata
            if own_key == key.strip().casefold()
        )

    def page_at(self, offset: int) -> int | None:
        """Return the 1-based number of the page that holds ``offset``; None if the document has no pages."""
        number = None
        for page in self.pages:
            if page.start > offset:
                break
            number = page.number
        return number


@dataclass(frozen=True, slots=True)
class Passage:
    """A slice of one document: ``document.text[start:end] == text``. Offsets count code points.

    ``heading`` is the heading path in force at ``start``, outermost first. ``context`` is what the embedder
    and the lexical index see in front of ``text``; it is no part of the text.
    """

    doc_id: str
    start: int
    end: int
    text: str
    language: str
    title: str
    heading: tuple[str, ...] = ()
    page: int | None = None

    @property
    def passage_id(self) -> str:
        """Return ``doc_id:start-end``, unique within an index."""
        return f"{self.doc_id}:{self.start}-{self.end}"

    @property
    def context(self) -> str:
        """Return the title and headings, outermost first, each said once, joined by ``" › "``."""
        parts = dict.fromkeys(part for part in (self.title, *self.heading) if part)
        return " › ".join(parts)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found for a query.

    ``score`` is the fused score the ranking used. ``dense_score`` is the cosine in [-1, 1]; ``bm25_score`` is
    at least 0, and 0 when the passage shares no term with the query. ``dense_rank`` and ``bm25_rank`` are the
    1-based ranks within each leg, None where that leg did not return the passage.
    """

    passage: Passage
    score: float
    rank: int
    dense_score: float = 0.0
    bm25_score: float = 0.0
    dense_rank: int | None = None
    bm25_rank: int | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Which documents a question is asked of; an empty field leaves all in.

    A ``collection`` is a folder of the corpus, such as ``"articles"`` or ``"articles/2026"``, with all below it.
    ``language`` is an ISO 639-1 code. ``metadata`` holds pairs of key and value, all of which a document must have; see
    `Document.has`.
    """

    collection: str = ""
    language: str = ""
    doc_ids: frozenset[str] = frozenset()
    metadata: tuple[tuple[str, str], ...] = ()

    def holds(self, doc_id: str) -> bool:
        """Return whether a document is in the collection and among the documents; its language is not looked at."""
        return (not self.collection or doc_id.startswith(f"{self.collection}/")) and (
            not self.doc_ids or doc_id in self.doc_ids
        )

    def admits(self, document: Document) -> bool:
        """Return whether a document is held and has the metadata; its language is not looked at.

        A document can have passages in another language than its own.
        """
        return self.holds(document.doc_id) and all(document.has(key, value) for key, value in self.metadata)


@dataclass(frozen=True, slots=True)
class Citation:
    """The source of a statement: ``document.text[start:end] == quote``.

    ``n`` is the 1-based number shown as ``[n]``; numbers of one answer are 1, 2, 3, ... in order of first use.
    ``passage_start`` and ``passage_end`` delimit the passage the quote was taken from.
    """

    n: int
    doc_id: str
    title: str
    language: str
    quote: str
    start: int
    end: int
    page: int | None
    heading: tuple[str, ...]
    passage_start: int
    passage_end: int


@dataclass(frozen=True, slots=True)
class Statement:
    """One unit of an answer's text, with the numbers of the citations that support it.

    ``kind`` is ``"frame"`` (written by us around the quotes, cites nothing), ``"short"`` (the short answer, a slice of
    the first quote), ``"quote"`` (a sentence quoted from a document), ``"item"`` (one item of a quoted list) or
    ``"written"`` (a sentence that a language model wrote).
    ``is_supported`` is false for a written sentence that no passage was found to say; it then cites nothing.
    """

    text: str
    kind: str
    citations: tuple[int, ...] = ()
    is_supported: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What the chatbot says to a question.

    ``text`` is the statements in Markdown, with ``[n]`` marks. ``confidence`` is in [0, 1]. When ``abstained``
    is true, ``citations`` is empty, ``text`` says so in the question's language, and ``hits`` still holds the
    nearest passages. ``generation`` names the index generation that every citation belongs to.

    ``query`` is what was searched for: the question, or a follow-up made to stand alone. ``short`` is the short answer
    that ``text`` opens with, a slice of the first citation's quote, where the question wants one and it was found.
    ``model`` names the language model that wrote the answer, empty for one made of quotes. ``notice`` tells the
    reader of something that went wrong on the way, in the question's language. ``timings`` is the seconds that each
    stage took, in order: ``understand``, ``retrieve``, ``read``, ``verify`` (with a language model: writing too).
    """

    question: str
    language: str
    text: str
    abstained: bool
    confidence: float
    statements: tuple[Statement, ...] = ()
    citations: tuple[Citation, ...] = ()
    hits: tuple[Hit, ...] = ()
    generation: str = ""
    seconds: float = 0.0
    query: str = ""
    short: str = ""
    model: str = ""
    notice: str = ""
    timings: tuple[tuple[str, float], ...] = ()
