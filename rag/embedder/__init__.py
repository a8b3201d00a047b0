"""Text to unit vectors: the built-in embedder, or any sentence-transformers model by folder or hub name."""

from rag.embedder.embedder import DEFAULT_EMBEDDER, Embedder, fingerprint_hash
from rag.embedder.networks import unit_rows
from rag.embedder.prompts import resolve_prompts

__all__ = ["DEFAULT_EMBEDDER", "Embedder", "fingerprint_hash", "resolve_prompts", "unit_rows"]
