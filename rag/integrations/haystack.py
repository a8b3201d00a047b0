"""Sanad for Haystack: a retriever over an index, and the embedder, as components of a pipeline."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rag.datatypes import Hit
from rag.embedder import Embedder
from rag.integrations.shared import MissingLibraryError, described
from rag.retriever import Encoder, Retriever

# Haystack decides when it is imported whether it reports its use. A program that imported it before, or that set the
# variable, has decided for itself.
os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.errors import FilterError
except ImportError as error:
    raise MissingLibraryError("haystack-ai", "haystack", error) from error

__all__ = ["SanadDocumentEmbedder", "SanadRetriever", "SanadTextEmbedder"]

# What a passage's meta says that no search can be narrowed by; any other name is a document's own metadata.
_NO_FILTERS = frozenset({"title", "start", "end", "page", "heading", "score", "rank", "passage_id"})


@component
class SanadRetriever:
    """The passages of an index as Haystack documents, best first.

    A document's ``id`` is the passage's; its ``meta`` has ``doc_id``, ``title``, ``language``, ``start``, ``end``,
    ``page``, ``heading``, ``rank`` and ``passage_id``. The index is opened by the first run, or by ``warm_up``.

    Filters are Haystack's: ``{"field": "meta.language", "operator": "==", "value": "ar"}``, or several that must all
    hold under ``AND``. ``meta.language`` and ``meta.collection`` (a folder of the corpus) take ``==``, ``meta.doc_id``
    takes ``==`` and ``in``; any other name is a key of the documents' own metadata and takes ``==``.

    Args:
        index: An index folder, or an open `rag.Retriever`.
        embedder: The folder or hub name of the embedder that the folder was built with; None for the built-in one.
            An open retriever has its own.
        top_k: Documents wanted, at least 1; None takes the number that the retriever is configured with.
        filters: For runs that are given none.
        diversity: How much to prefer passages unlike those before them, in [0, 1].
    """

    def __init__(
        self,
        index: Retriever | str | Path = "index",
        *,
        embedder: str | None = None,
        top_k: int | None = None,
        filters: dict[str, Any] | None = None,
        diversity: float = 0.0,
    ) -> None:
        self._retriever = index if isinstance(index, Retriever) else None
        self._index_dir = str(index.index_dir if isinstance(index, Retriever) else index)
        self._embedder = _name_of(index.embedder) if isinstance(index, Retriever) else embedder
        self._top_k, self._filters, self._diversity = top_k, filters, diversity
        _options(filters)  # a wrong filter is the constructor's mistake

    def warm_up(self) -> None:
        """Open the index.

        Raises:
            RagError: It cannot be opened; see `Retriever.open`.
        """
        if self._retriever is None:
            self._retriever = Retriever.open(self._index_dir, embedder=self._embedder)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        diversity: float | None = None,
    ) -> dict[str, list[Document]]:
        """Search; what is None here takes the constructor's value.

        Returns:
            ``{"documents": [...]}``, best first.

        Raises:
            FilterError: The filters ask for what cannot be searched by.
            RagError: The index cannot be opened.
            ValueError: The query is empty, or top_k is below 1.
        """
        self.warm_up()
        assert self._retriever is not None
        options: dict[str, Any] = {
            **_options(self._filters if filters is None else filters),
            "top_k": self._top_k if top_k is None else top_k,
            "diversity": self._diversity if diversity is None else diversity,
        }
        return {"documents": [_document(hit) for hit in self._retriever.search(query, **options)]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        diversity: float | None = None,
    ) -> dict[str, list[Document]]:
        """Search in a thread; see `run`."""
        return await asyncio.to_thread(self.run, query, filters, top_k, diversity)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings; of an open retriever its folder, and its embedder's name."""
        return default_to_dict(
            self,
            index=self._index_dir,
            embedder=self._embedder,
            top_k=self._top_k,
            filters=self._filters,
            diversity=self._diversity,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SanadRetriever:
        """Return the component with the settings; the index is not opened yet."""
        return default_from_dict(cls, data)


class _Embedding:
    """What both embedders share.

    Args:
        embedder: An open embedder, or the folder or hub name of one, opened by the first run; None for the built-in.
    """

    def __init__(self, embedder: Encoder | str | None = None) -> None:
        self._name = embedder if embedder is None or isinstance(embedder, str) else _name_of(embedder)
        self._opened = None if embedder is None or isinstance(embedder, str) else embedder

    def warm_up(self) -> None:
        """Open the embedder.

        Raises:
            ModelNotFoundError: It cannot be opened.
        """
        self._open()

    def _open(self) -> Encoder:
        if self._opened is None:
            self._opened = Embedder.open(self._name)
        return self._opened

    def to_dict(self) -> dict[str, Any]:
        """Return the embedder's name."""
        return default_to_dict(self, embedder=self._name)


@component
class SanadTextEmbedder(_Embedding):
    """A query to a unit vector."""

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """Return ``{"embedding": [...]}``."""
        return {"embedding": self._open().encode_queries([text])[0].tolist()}


@component
class SanadDocumentEmbedder(_Embedding):
    """Documents to the same documents with a unit vector of their content each."""

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Return ``{"documents": [...]}``, in the order given; a document without text is embedded as an empty one."""
        vectors = self._open().encode_passages([document.content or "" for document in documents])
        pairs = zip(documents, vectors.tolist(), strict=True)
        return {"documents": [replace(document, embedding=vector) for document, vector in pairs]}


def _document(hit: Hit) -> Document:
    meta = described(hit)
    return Document(id=hit.passage.passage_id, content=hit.passage.text, score=meta.pop("score"), meta=meta)


def _name_of(embedder: Encoder) -> str | None:
    return None if embedder.name == "built-in" else embedder.name


def _options(filters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options of `Retriever.search` that filters stand for.

    Raises:
        FilterError: They stand for none; nothing is left out in silence.
    """
    options: dict[str, Any] = {}
    for condition in _conditions(filters):
        field, operator, value = (condition.get(key) for key in ("field", "operator", "value"))
        name = str(field).removeprefix("meta.")
        is_possible = name not in _NO_FILTERS and (operator == "==" or (name, operator) == ("doc_id", "in"))
        if not is_possible or value is None:
            raise FilterError(
                f"{field} {operator} {value!r} cannot be searched by: meta.language, meta.collection and the metadata "
                "of the documents take == and a value, meta.doc_id takes == and in"
            )
        if name == "doc_id":
            target, key, value = options, "doc_ids", value if operator == "in" else [value]
        elif name in ("language", "collection"):
            target, key = options, name
        else:
            target, key = options.setdefault("metadata", {}), name
        if key in target:
            raise FilterError(f"{field} is filtered twice")
        target[key] = value
    return options


def _conditions(filters: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """Return the comparisons that must all hold."""
    if not filters:
        return []
    if "field" in filters:
        return [filters]
    if filters.get("operator") != "AND":
        raise FilterError(f"the operator {filters.get('operator')!r} is not supported: comparisons under AND are")
    return [comparison for condition in filters.get("conditions", []) for comparison in _conditions(condition)]
