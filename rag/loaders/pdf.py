"""PDF placeholder."""

from rag.loaders.blocks import Parsed, UnreadableError


def parse(data: bytes, *, max_pages: int) -> Parsed:
    """Refuse."""
    raise UnreadableError("PDF is not read yet")
