"""What a page shows of an index: the list of documents, and one document opened at a quote. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Literal

from rag.datatypes import Document

WINDOW = 20_000  # code points shown on either side of a quote; nearly every document is shown whole


State = Literal["indexed", "waiting", "changed", "gone", "failed"]


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """One line of the document list.

    ``kind`` is the file's suffix without the dot, lower case. ``bytes`` is the size of the file, ``added`` its date in
    UTC; 0 and None where there is no file. ``state`` is ``"indexed"`` where the index has what the file holds;
    ``"waiting"`` for a file that is not in the index yet; ``"changed"`` where the file holds something newer;
    ``"gone"`` where the index has a document without a file; ``"failed"`` for a file that could not be read, and
    ``error`` then says why. ``is_deletable`` says that it was uploaded, so that it can be taken away here.
    """

    doc_id: str
    title: str
    language: str
    kind: str
    passages: int
    characters: int
    bytes: int = 0
    added: datetime | None = None
    state: State = "indexed"
    error: str = ""
    is_deletable: bool = False

    @property
    def is_in_index(self) -> bool:
        """Return whether questions are answered from it now, in the newest form or an older one."""
        return self.state in ("indexed", "changed", "gone")


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document around the place ``[start, end)``.

    ``before + quote + after`` is a slice of the document's text, and ``quote == document.text[start:end]``.
    ``is_cut_before`` and ``is_cut_after`` say that the document goes on beyond the slice. ``is_changed`` is true
    when the document no longer holds the text that was asked for at that place; ``quote`` is then empty.
    ``heading_starts`` are the places of the headings within the slice, from its first code point.
    """

    doc_id: str
    title: str
    language: str
    heading: tuple[str, ...]
    page: int | None
    before: str
    quote: str
    after: str
    heading_starts: frozenset[int]
    is_cut_before: bool
    is_cut_after: bool
    is_changed: bool


def text_digest(text: str) -> str:
    """Return 16 hexadecimal digits that tell one quote from another."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def document_rows(documents: Mapping[str, Document], passages_of: Mapping[str, int]) -> list[DocumentRow]:
    """Return one row a document, by ``doc_id``; ``passages_of`` has the number of passages of each."""
    return [
        DocumentRow(
            doc_id=doc_id,
            title=document.title,
            language=document.language,
            kind=PurePosixPath(doc_id).suffix.lstrip(".").lower(),
            passages=passages_of.get(doc_id, 0),
            characters=len(document.text),
        )
        for doc_id, document in sorted(documents.items())
    ]


def document_view(
    document: Document, start: int, end: int, *, digest: str | None = None, window: int = WINDOW
) -> DocumentView:
    """Open a document at a place.

    Args:
        document: The document as the index holds it now.
        start: First code point of the quote.
        end: One past its last; ``start == end`` opens the document without a quote.
        digest: ``text_digest`` of the quote as it was when the answer was written. If the text at that place is
            another one by now, the view says so and marks nothing: it never shows other text as the quote.
        window: Code points shown on either side of the quote, cut at a line break where there is one.

    Raises:
        ValueError: ``start`` or ``end`` lies outside of the document and no ``digest`` was given, or
            ``start > end``.
    """
    text = document.text
    if start > end or start < 0:
        raise ValueError(f"a place in a document runs forward from 0, got {start}-{end}")
    is_changed = digest is not None and text_digest(text[start:end]) != digest
    if end > len(text) and digest is None:
        raise ValueError(f"{document.doc_id} has {len(text)} characters, got the place {start}-{end}")
    if is_changed:
        start = end = 0
    first, last = max(0, start - window), min(len(text), end + window)
    if first > 0:
        line = text.find("\n", first, start)
        first = line + 1 if line != -1 else first
    if last < len(text):
        line = text.rfind("\n", end, last)
        last = line if line != -1 else last
    return DocumentView(
        doc_id=document.doc_id,
        title=document.title,
        language=document.language,
        heading=() if is_changed else document.heading_path(start),
        page=None if is_changed else document.page_at(start),
        before=text[first:start],
        quote=text[start:end],
        after=text[end:last],
        heading_starts=frozenset(item.start - first for item in document.headings if first <= item.start < last),
        is_cut_before=first > 0,
        is_cut_after=last < len(text),
        is_changed=is_changed,
    )
