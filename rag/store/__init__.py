"""The index on disk: generations, vectors, BM25 lists, and the folder that holds them."""

from rag.store.bm25 import Bm25Index
from rag.store.generation import Draft, Generation
from rag.store.index_store import IndexStore
from rag.store.manifest import Manifest
from rag.store.segment import Segment, SegmentDraft
from rag.store.vectors import VectorIndex

__all__ = ["Bm25Index", "Draft", "Generation", "IndexStore", "Manifest", "Segment", "SegmentDraft", "VectorIndex"]
