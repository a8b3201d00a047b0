"""Sanad for LlamaIndex: a retriever over an index. Needs llama-index-core alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rag.datatypes import Hit
from rag.integrations.shared import MissingLibraryError, described, opened
from rag.retriever import Retriever

try:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode
except ImportError as error:
    raise MissingLibraryError("llama-index-core", "llama-index", error) from error

__all__ = ["SanadRetriever"]

_NOT_FOR_MODELS = ["doc_id", "language", "start", "end", "score", "rank", "passage_id"]


class SanadRetriever(BaseRetriever):
    """The passages of an index as LlamaIndex nodes, best first.

    A node's ``id_`` is the passage's, its source is the document, ``start_char_idx`` and ``end_char_idx`` are offsets
    in that document's text. Its ``metadata`` has ``doc_id``, ``title``, ``language``, ``start``, ``end``, ``page``,
    ``heading``, ``score``, ``rank`` and ``passage_id``; a language model is shown the title, the heading and the page.

    Args:
        index: An open `rag.Retriever`, or an index folder, which is opened at once and held open.
        top_k: Nodes wanted, at least 1; None takes the number that the retriever is configured with.
        language: Only passages of this ISO 639-1 code.
        doc_ids: Only passages of these documents.
        collection: Only documents below this folder of the corpus.
        metadata: Only documents with these values.
        diversity: How much to prefer passages unlike those before them, in [0, 1].
        callback_manager: LlamaIndex's own.

    Raises:
        RagError: The index cannot be opened; see `Retriever.open`.
    """

    def __init__(
        self,
        index: Retriever | str | Path = "index",
        *,
        top_k: int | None = None,
        language: str | None = None,
        doc_ids: Collection[str] | None = None,
        collection: str | None = None,
        metadata: Mapping[str, str] | None = None,
        diversity: float = 0.0,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        self._retriever = opened(index)
        self._options: dict[str, Any] = {
            "top_k": top_k,
            "language": language,
            "doc_ids": doc_ids,
            "collection": collection,
            "metadata": metadata,
            "diversity": diversity,
        }
        super().__init__(callback_manager=callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [_node(hit) for hit in self._retriever.search(query_bundle.query_str, **self._options)]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = await self._retriever.asearch(query_bundle.query_str, **self._options)
        return [_node(hit) for hit in hits]


def _node(hit: Hit) -> NodeWithScore:
    passage = hit.passage
    node = TextNode(
        id_=passage.passage_id,
        text=passage.text,
        start_char_idx=passage.start,
        end_char_idx=passage.end,
        metadata=described(hit),
        excluded_llm_metadata_keys=_NOT_FOR_MODELS,
        excluded_embed_metadata_keys=_NOT_FOR_MODELS,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=passage.doc_id)},
    )
    return NodeWithScore(node=node, score=float(hit.score))
