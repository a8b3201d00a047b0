"""What ``rag build --report`` writes: one row a file."""

from __future__ import annotations

import csv
import json

import pytest
from conftest import HashEmbedder

from rag.cli import main


@pytest.fixture
def build(tmp_path, make_corpus, monkeypatch):
    """Return a function that builds a corpus of three files with ``--report`` and returns the report's path."""
    corpus = make_corpus(
        tmp_path / "corpus",
        {
            "good.md": "# Title\n\nA sentence to read.",
            "=1+1.txt": "كلمات تكفي لوثيقة كاملة.",
            "bad.pdf": b"%PDF-1.7 no",
        },
    )
    monkeypatch.setattr("rag.builder.Embedder.open", lambda *args, **options: HashEmbedder())

    def run(name):
        report = tmp_path / name
        status = main(["build", str(corpus), "--index-dir", str(tmp_path / "index"), "--report", str(report)])
        return status, report

    return run


def test_json_names_every_file_with_its_state_and_reason(build):
    status, path = build("report.json")
    rows = {row["state"]: row for row in json.loads(path.read_text("utf-8"))}
    assert status == 0
    assert rows["added"]["passages"] >= 1
    assert rows["added"]["language"] in ("en", "ar")
    assert rows["failed"]["path"].endswith("bad.pdf")
    assert "damaged" in rows["failed"]["reason"] or "PDF" in rows["failed"]["reason"]
    assert build("again.json")[0] == 0


def test_csv_opens_in_a_spreadsheet_and_holds_no_formula(build):
    status, path = build("report.csv")
    assert status == 0
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3
    assert {row["doc_id"] for row in rows} == {"good.md", "'=1+1.txt", ""}


def test_another_ending_or_an_impossible_place_is_said(build, tmp_path, capsys):
    assert build("report.xml")[0] == 1
    assert "written as .csv or .json" in capsys.readouterr().err
    assert build("nowhere/report.csv")[0] == 1
    assert "the index is as it would be" in capsys.readouterr().err


def test_a_corpus_of_which_nothing_can_be_read_is_reported_too(tmp_path, make_corpus):
    corpus = make_corpus(tmp_path / "corpus", {"a.pdf": b"%PDF-1.7 no", "b.exe": "x"})
    report = tmp_path / "report.JSON"
    assert main(["build", str(corpus), "--index-dir", str(tmp_path / "index"), "--report", str(report)]) == 1
    rows = json.loads(report.read_text("utf-8"))
    assert {row["state"] for row in rows} == {"failed"}
    assert any(row["path"].endswith("a.pdf") and row["reason"] for row in rows)
