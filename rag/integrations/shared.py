"""What all adapters do: open an index, and say where a hit stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rag.datatypes import Hit
from rag.errors import RagError
from rag.retriever import Retriever


class MissingLibraryError(RagError, ImportError):
    """The framework that an adapter is for cannot be imported; also an ``ImportError``, as importers expect."""

    def __init__(self, library: str, extra: str, error: ImportError) -> None:
        super().__init__(f"{library} cannot be imported ({error}). Install it: pip install 'sanad[{extra}]'")


def opened(index: Retriever | str | Path) -> Retriever:
    """Return the retriever itself, or the one of an index folder, opened with the built-in embedder.

    Raises:
        RagError: The index cannot be opened; see `Retriever.open`.
    """
    return index if isinstance(index, Retriever) else Retriever.open(index)


def described(hit: Hit) -> dict[str, Any]:
    """Return where a hit comes from and how it was ranked, in values that JSON knows.

    ``start`` and ``end`` count code points of the document's text; ``page`` is 1-based, None where there are no pages;
    ``heading`` is the path of headings, outermost first, joined by ``" › "``.
    """
    passage = hit.passage
    return {
        "doc_id": passage.doc_id,
        "title": passage.title,
        "language": passage.language,
        "start": passage.start,
        "end": passage.end,
        "page": passage.page,
        "heading": " › ".join(passage.heading),
        "score": float(hit.score),
        "rank": hit.rank,
        "passage_id": passage.passage_id,
    }
