"""``/healthz`` for who looks whether the server answers, ``/metrics`` for Prometheus."""

from __future__ import annotations

from typing import Any

import fastapi
from fastapi.responses import Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from rag.server.paths import HEALTH_PATH, METRICS_PATH
from rag.server.replies import problems
from rag.server.schemas import HealthReply
from rag.server.service import ChatService


def add_health_routes(app: fastapi.FastAPI, service: ChatService) -> None:
    """Add the two routes."""

    @app.get(
        HEALTH_PATH,
        tags=["server"],
        summary="Say what is served",
        response_model=None,
        responses={200: {"model": HealthReply}, **problems(503)},
    )
    def healthz() -> dict[str, Any]:
        """Answer 200 once questions can be answered, 503 where there is no index yet. Wants neither key nor login."""
        return {"status": "ok", **service.health()}

    @app.get(
        METRICS_PATH,
        tags=["server"],
        summary="Give the figures of this process to Prometheus",
        response_class=Response,
        responses={
            200: {"description": "Text format 0.0.4", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **problems(),
        },
    )
    def metrics() -> Response:
        """Count requests by route and status, questions by outcome, builds; times as histograms; the live index.

        No label holds anything that was asked.
        """
        service.report_index()
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
