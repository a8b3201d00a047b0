"""``GET /quality``: the last evaluation of an index, or how to make one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fastapi
from fastapi.testclient import TestClient
from test_evaluation import ROWS, report

from rag.evaluation import QUALITY_FILE
from rag.server.quality import add_quality_route


def client(index_dir: Path) -> TestClient:
    app = fastapi.FastAPI()
    add_quality_route(app, index_dir)
    return TestClient(app)


def test_the_last_report_is_shown_with_its_plots_and_a_newer_one_after_it(tmp_path):
    reader, last = client(tmp_path), report(ROWS)
    (tmp_path / QUALITY_FILE).write_text(json.dumps(last.to_json()), encoding="utf-8")
    page = reader.get("/quality").text
    assert f"<b>{len(ROWS)}</b> questions" in page and page.count("<svg") >= 6 and "evidence cited" in page
    newer = replace(last, generation="gen-987654")
    (tmp_path / QUALITY_FILE).write_text(json.dumps(newer.to_json()), encoding="utf-8")
    assert "gen-987654" in reader.get("/quality").text


def test_without_a_report_it_says_how_to_make_one_in_both_languages(tmp_path):
    reply = client(tmp_path).get("/quality")
    assert reply.status_code == 200
    assert "rag eval" in reply.text and "not measured yet" in reply.text and "لم يُقَس" in reply.text


def test_a_report_that_cannot_be_read_is_no_traceback(tmp_path):
    (tmp_path / QUALITY_FILE).write_text("{", encoding="utf-8")
    reply = client(tmp_path).get("/quality")
    assert reply.status_code == 200 and "cannot be shown" in reply.text and "Traceback" not in reply.text
