"""The API against its own OpenAPI document: no server error, nothing that is not described, whatever is sent.

A few seconds by default; thousands of cases with: SANAD_API_CASES=400 pytest tests/test_schemathesis.py --timeout 0
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import pytest
import schemathesis
from conftest import HashEmbedder
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from test_server import FILES

from rag.builder import build_index
from rag.server import ChatService, create_app
from rag.server.schemas import _SAYS_SOMETHING, _says_something

MANY = "SANAD_API_CASES" in os.environ
CASES = int(os.environ.get("SANAD_API_CASES", "4"))  # of each operation, right ones and wrong ones
KEY = "a-key-for-this-test-alone"
HEADERS = {"authorization": f"Bearer {KEY}"}
COUNTED: dict[tuple[str, str], int] = {}

# What no schema can say, such as that a file must hold text or that a document must be in the index.
RULES = {"/api/documents": 422, "/api/eval": 422, "/v1/chat/completions": 400, "/v1/embeddings": 400}
CONFIG = {
    "checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}},
    "operations": [
        {
            "include-path": path,
            "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", 401, 403, 404, 409, 413, status]}},
        }
        for path, status in RULES.items()
    ],
}


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    folder = tmp_path_factory.mktemp("described")
    for name, text in FILES.items():
        path = folder / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    embedder = HashEmbedder()
    build_index(folder / "corpus", folder / "index", embedder=embedder)
    service = ChatService(folder / "index", corpus_dirs=[folder / "corpus"], embedder=embedder)
    app = create_app(service=service, ui=False, api_key=KEY)
    config = SchemathesisConfig.from_dict({"base-url": "http://127.0.0.1", **CONFIG})
    logging.disable(logging.WARNING)  # a line a case
    described = schemathesis.openapi.from_dict(app.openapi(), config=config)
    described.app = app
    yield described
    logging.disable(logging.NOTSET)


OPERATIONS = [
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("POST", "/api/search"),
    ("POST", "/api/ask"),
    ("POST", "/api/eval"),
    ("GET", "/api/documents"),
    ("POST", "/api/documents"),
    ("DELETE", "/api/documents/{doc_id}"),
    ("GET", "/api/documents/page"),
    ("POST", "/api/build"),
    ("DELETE", "/api/build"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model_id}"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/embeddings"),
]


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_api_is_as_it_is_described(described, method, path, mode):
    operation = described[path][method]

    @settings(
        max_examples=CASES, deadline=None, derandomize=not MANY, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
    def check(case):
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = "sanad" if path.startswith("/v1/") else ""  # any other one is not there
        COUNTED[mode, operation.label] = COUNTED.get((mode, operation.label), 0) + 1
        case.validate_response(case.call(headers=HEADERS), headers=HEADERS)

    try:
        check()
    except Unsatisfiable:
        assert mode == "negative"  # nothing that is sent there can be wrong


def test_every_route_is_described_with_its_errors(described):
    raw = described.raw_schema
    operations = [(path, method, op) for path, methods in raw["paths"].items() for method, op in methods.items()]
    assert {(method.upper(), path) for path, method, _ in operations} == set(OPERATIONS)
    for path, method, operation in operations:
        assert operation["summary"] and operation["description"] and operation["tags"], (path, method)
        replies = operation["responses"]
        assert {"401", "403", "500"} <= set(replies)
        for status, reply in replies.items():
            assert reply["description"]
            if status >= "400":
                kind = "application/json" if path.startswith("/v1/") else "application/problem+json"
                assert set(reply["content"]) == {kind}, (path, status)
    assert raw["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}


def test_what_the_schema_takes_for_a_question_is_one():
    pattern = re.compile(_SAYS_SOMETHING)
    for code in [*range(0xD800), *range(0xE000, 0x10000)]:
        if pattern.search(chr(code)):
            _says_something(chr(code))
    assert all(pattern.search(text) for text in "a؟ب7?漢")


def test_the_cases_are_counted_where_that_is_asked_for():
    if path := os.environ.get("SANAD_API_COUNTS"):
        lines = [f"{count:6d} {mode} {label}" for (mode, label), count in sorted(COUNTED.items())]
        Path(path).write_text("\n".join([*lines, f"{sum(COUNTED.values()):6d} in all"]) + "\n")
