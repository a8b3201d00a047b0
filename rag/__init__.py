"""Sanad: ask Arabic and English documents, and get answers that show their source.

The public names are imported on first use, so that ``import rag`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.answering import Chatbot
    from rag.builder import BuildReport, abuild_index, build_index
    from rag.config import AnswerConfig, ChunkingConfig, LoadConfig, RetrievalConfig
    from rag.datatypes import Answer, Citation, Document, Hit, Passage, Scope, Statement
    from rag.embedder import Embedder
    from rag.engine import BuildProgress
    from rag.errors import RagError
    from rag.reader import Reader
    from rag.retriever import Retriever, Snapshot

_HOMES = {
    "Answer": "rag.datatypes",
    "AnswerConfig": "rag.config",
    "BuildProgress": "rag.engine",
    "BuildReport": "rag.builder",
    "Chatbot": "rag.answering",
    "ChunkingConfig": "rag.config",
    "Citation": "rag.datatypes",
    "Document": "rag.datatypes",
    "Embedder": "rag.embedder",
    "Hit": "rag.datatypes",
    "LoadConfig": "rag.config",
    "Passage": "rag.datatypes",
    "RagError": "rag.errors",
    "Reader": "rag.reader",
    "RetrievalConfig": "rag.config",
    "Retriever": "rag.retriever",
    "Scope": "rag.datatypes",
    "Snapshot": "rag.retriever",
    "Statement": "rag.datatypes",
    "abuild_index": "rag.builder",
    "build_index": "rag.builder",
}

__all__ = [
    "Answer",
    "AnswerConfig",
    "BuildProgress",
    "BuildReport",
    "Chatbot",
    "ChunkingConfig",
    "Citation",
    "Document",
    "Embedder",
    "Hit",
    "LoadConfig",
    "Passage",
    "RagError",
    "Reader",
    "RetrievalConfig",
    "Retriever",
    "Scope",
    "Snapshot",
    "Statement",
    "abuild_index",
    "build_index",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rag' has no attribute {name!r}")
