"""What a model wants in front of a query and of a passage."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Families whose published models carry no prompts in their own configuration, by their model cards. The first
# pattern found in the lower-case name decides; a model's own prompts always win.
_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
_FAMILY_PROMPTS: tuple[tuple[str, str, str], ...] = (
    (r"e5-.*instruct|qwen3-embedding|gte-qwen", _INSTRUCT, ""),
    (r"(^|[/_-])e5-", "query: ", "passage: "),
    (r"bge-m3", "", ""),
    (r"bge-.*-en", "Represent this sentence for searching relevant passages: ", ""),
    (r"bge-.*-zh", "为这个句子生成表示以用于检索相关文章：", ""),
    (r"nomic-embed|modernbert-embed", "search_query: ", "search_document: "),
    (r"arctic-embed.*-v2", "query: ", ""),
    (r"arctic-embed|mxbai-embed", "Represent this sentence for searching relevant passages: ", ""),
    (r"embeddinggemma", "task: search result | query: ", "title: none | text: "),
)
_QUERY_NAMES = ("query", "retrieval.query", "search_query", "web_search_query", "retrieval_query", "s2p_query")
_PASSAGE_NAMES = ("document", "passage", "corpus", "retrieval.passage", "search_document", "retrieval_passage")


def resolve_prompts(own_prompts: Mapping[str, str | None], name: str) -> tuple[str, str]:
    """Return ``(query prompt, passage prompt)``: the model's own, else its family's, else empty ones.

    Args:
        own_prompts: The ``prompts`` of the model's configuration, by prompt name.
        name: Hub name or folder, from which the family is told.
    """
    own = {key.lower(): value for key, value in own_prompts.items() if value}
    if own:
        query = next((own[key] for key in _QUERY_NAMES if key in own), "")
        return query, next((own[key] for key in _PASSAGE_NAMES if key in own), "")
    # A hub model's cache folder spells owner/name as models--owner--name.
    family = name.lower().replace("--", "/").rstrip("/")
    for pattern, query, passage in _FAMILY_PROMPTS:
        if re.search(pattern, family):
            return query, passage
    return "", ""
