"""A conversation as a file to keep: Markdown, or one HTML page that asks nothing of the network.

Both say the same: each question, its answer with the numbers of its citations, and each source with the place of its
quote, the sha256 of its file, and the quote in full. Whatever a document or a person wrote stays plain text in them.
"""

from __future__ import annotations

from rag.ui.export.markdown import conversation_markdown, escape_markdown
from rag.ui.export.page import conversation_html

__all__ = ["conversation_html", "conversation_markdown", "escape_markdown"]
