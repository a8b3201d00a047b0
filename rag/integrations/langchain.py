"""Sanad for LangChain: a retriever over an index, and the embedder. Needs langchain-core alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rag.datatypes import Hit
from rag.embedder import Embedder
from rag.integrations.shared import MissingLibraryError, described, opened
from rag.retriever import Encoder, Retriever

try:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever
    from pydantic import Field, field_validator
except ImportError as error:
    raise MissingLibraryError("langchain-core", "langchain", error) from error

__all__ = ["SanadEmbeddings", "SanadRetriever"]

_OPTIONS = ("top_k", "language", "doc_ids", "collection", "metadata_filter", "diversity")


class SanadRetriever(BaseRetriever):
    """The passages of an index as LangChain documents, best first.

    A document's ``id`` is the passage's; its ``metadata`` has ``doc_id``, ``title``, ``language``, ``start``, ``end``,
    ``page``, ``heading``, ``score``, ``rank`` and ``passage_id``. Every option may also be given to one call:
    ``retriever.invoke(question, top_k=3, language="ar")``.

    Attributes:
        index: An open `rag.Retriever`, or an index folder, which is opened at once and held open.
        top_k: Documents wanted, at least 1; None takes the number that the retriever is configured with.
        language: Only passages of this ISO 639-1 code.
        doc_ids: Only passages of these documents.
        collection: Only documents below this folder of the corpus.
        metadata_filter: Only documents with these values, as ``metadata`` of `Retriever.search`; LangChain's own
            ``metadata`` goes to its callbacks.
        diversity: How much to prefer passages unlike those before them, in [0, 1].

    Raises:
        RagError: The index cannot be opened; see `Retriever.open`.
    """

    index: Retriever | str | Path = Field(default="index", validate_default=True)
    top_k: int | None = Field(default=None, ge=1)
    language: str | None = None
    doc_ids: Collection[str] | None = None
    collection: str | None = None
    metadata_filter: Mapping[str, str] | None = None
    diversity: float = Field(default=0.0, ge=0, le=1)

    @field_validator("index")
    @classmethod
    def _open(cls, index: Retriever | str | Path) -> Retriever:
        return opened(index)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        return _documents(opened(self.index).search(query, **self._options(options)))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        return _documents(await opened(self.index).asearch(query, **self._options(options)))

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of `Retriever.search`: those of this call before those of the object."""
        if unknown := sorted(options.keys() - _OPTIONS):
            raise TypeError(f"unknown options {', '.join(unknown)}; there are {', '.join(_OPTIONS)}")
        merged = {name: getattr(self, name) for name in _OPTIONS} | dict(options)
        merged["metadata"] = merged.pop("metadata_filter")
        return merged


class SanadEmbeddings(Embeddings):
    """An embedder for LangChain's vector stores: unit vectors, Arabic and English in one space.

    Args:
        embedder: An open embedder, or the folder or hub name of one; None for the built-in one.

    Raises:
        ModelNotFoundError: The embedder cannot be opened.
    """

    def __init__(self, embedder: Encoder | str | Path | None = None) -> None:
        self.embedder: Encoder = (
            Embedder.open(embedder) if embedder is None or isinstance(embedder, str | Path) else embedder
        )

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vector of each passage."""
        vectors: list[list[float]] = self.embedder.encode_passages(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        vector: list[float] = self.embedder.encode_queries([text])[0].tolist()
        return vector


def _documents(hits: Sequence[Hit]) -> list[Document]:
    return [Document(id=hit.passage.passage_id, page_content=hit.passage.text, metadata=described(hit)) for hit in hits]
