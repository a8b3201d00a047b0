"""The chat and the HTTP API, in one process."""

from __future__ import annotations

from rag.server.app import create_app
from rag.server.process import serve
from rag.server.service import ChatService

__all__ = ["ChatService", "create_app", "serve"]
