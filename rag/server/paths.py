"""The paths that more than one part of the server must know."""

from __future__ import annotations

OPENAI_PATH = "/v1/"
MCP_PATH = "/mcp"
METRICS_PATH = "/metrics"
HEALTH_PATH = "/healthz"
EVAL_PATH = "/api/eval"
UPLOAD_PATH = "/api/documents"
PICTURE_PATH = f"{UPLOAD_PATH}/page"


def is_for_programs(path: str) -> bool:
    """Return whether a path belongs to programs: the API, the OpenAI API, MCP or the metrics; else to the page."""
    return path.startswith(("/api/", OPENAI_PATH)) or path in (MCP_PATH, METRICS_PATH) or path.startswith("/mcp/")
