"""The index: generations, vectors, BM25 lists, and the folder that holds them, or Milvus."""

from pathlib import Path

from rag.store.bm25 import Bm25Index
from rag.store.generation import Draft, Generation
from rag.store.index_store import IndexStore
from rag.store.manifest import Manifest
from rag.store.milvus_client import SCHEME
from rag.store.milvus_store import MilvusStore
from rag.store.segment import Segment, SegmentDraft
from rag.store.vectors import VectorIndex

__all__ = [
    "Bm25Index",
    "Draft",
    "Generation",
    "IndexStore",
    "Manifest",
    "MilvusStore",
    "Segment",
    "SegmentDraft",
    "VectorIndex",
    "notes_folder",
    "open_store",
]


def open_store(index_dir: str | Path) -> IndexStore | MilvusStore:
    """Return the index in a folder, or in Milvus where the address begins with ``milvus:``; see `Milvus`.

    Raises:
        RagError: The address is none, or Milvus's library is not installed.
    """
    return MilvusStore(index_dir) if _is_in_milvus(index_dir) else IndexStore(index_dir)


def notes_folder(index_dir: str | Path) -> Path:
    """Return where a server keeps what it notes beside the index: in its folder, or ``index`` where it is in Milvus."""
    return Path("index") if _is_in_milvus(index_dir) else Path(index_dir)


def _is_in_milvus(index_dir: str | Path) -> bool:
    return str(index_dir).startswith(SCHEME)
