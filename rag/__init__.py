"""Sanad: ask Arabic and English documents, and get answers that show their source.

The public names are imported on first use, so that ``import rag`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.answering import Chatbot
    from rag.builder import BuildReport, build_index
    from rag.datatypes import Answer, Citation, Document, Hit, Passage
    from rag.embedder import Embedder
    from rag.errors import RagError
    from rag.reader import Reader
    from rag.retriever import Retriever

_HOMES = {
    "Answer": "rag.datatypes",
    "BuildReport": "rag.builder",
    "Chatbot": "rag.answering",
    "Citation": "rag.datatypes",
    "Document": "rag.datatypes",
    "Embedder": "rag.embedder",
    "Hit": "rag.datatypes",
    "Passage": "rag.datatypes",
    "RagError": "rag.errors",
    "Reader": "rag.reader",
    "Retriever": "rag.retriever",
    "build_index": "rag.builder",
}

__all__ = [
    "Answer",
    "BuildReport",
    "Chatbot",
    "Citation",
    "Document",
    "Embedder",
    "Hit",
    "Passage",
    "RagError",
    "Reader",
    "Retriever",
    "build_index",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rag' has no attribute {name!r}")
