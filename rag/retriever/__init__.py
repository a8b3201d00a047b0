"""Find the passages that answer a query: dense and lexical legs, fused across languages.

A `Snapshot` searches one generation of the index and never changes. A `Retriever` hands out the snapshot of the
live generation and follows the index when it is rebuilt.
"""

from rag.retriever.live import Retriever
from rag.retriever.snapshot import Encoder, Snapshot

__all__ = ["Encoder", "Retriever", "Snapshot"]
