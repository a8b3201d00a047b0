"""What Prometheus reads: counts and times, labelled with routes and outcomes, never with what anybody asked."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """The figures of one service, in a registry of their own. Threads may share one.

    Outcomes of a question: ``answered``, ``abstained``, ``failed``, ``left`` (nobody waited for its end). Of a build:
    ``done``, ``cancelled``, ``failed``.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "sanad_http_requests", "Requests, by route and status", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "sanad_http_request_duration_seconds",
            "Seconds until the end of a response",
            ("method", "route"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.at_work = Gauge("sanad_http_requests_in_progress", "Requests at work", registry=registry)
        self.questions = Counter("sanad_questions", "Questions, by outcome", ("outcome",), registry=registry)
        self.question_seconds = Histogram(
            "sanad_question_duration_seconds", "Seconds that an answer took", buckets=_SECONDS, registry=registry
        )
        self.builds = Counter("sanad_builds", "Rebuilds of the index, by outcome", ("outcome",), registry=registry)
        self.generation = Gauge("sanad_index_generation", "Number of the live generation", registry=registry)
        self.documents = Gauge("sanad_index_documents", "Documents of the live generation", registry=registry)
        self.passages = Gauge("sanad_index_passages", "Passages of the live generation", registry=registry)
        for outcome in ("answered", "abstained", "failed", "left"):
            self.questions.labels(outcome)
        for outcome in ("done", "cancelled", "failed"):
            self.builds.labels(outcome)

    def answered_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. ``route`` is the template of a path."""
        method = method if method in _METHODS else "OTHER"
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)

    def answered_question(self, outcome: str, seconds: float) -> None:
        """Count a question and how it ended."""
        self.questions.labels(outcome).inc()
        self.question_seconds.observe(seconds)

    def live_index(self, generation: str, documents: int, passages: int) -> None:
        """Say what is live; an empty name means that there is no index."""
        found = re.search(r"\d+$", generation)
        self.generation.set(int(found[0]) if found else 0)
        self.documents.set(documents)
        self.passages.set(passages)

    def text(self) -> bytes:
        """Return all of it in the text format 0.0.4, which every version of Prometheus reads."""
        return generate_latest(self.registry)
