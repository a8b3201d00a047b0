"""The chat in the browser, in Arabic and English."""

from __future__ import annotations

from rag.ui.page import create_ui, mount_ui

__all__ = ["create_ui", "mount_ui"]
