"""The report of the promises: a run of some replaces their rows, and a test that breaks off shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
RUN = """
import pytest
PROMISE = "P5 damage is detected"

def test_holds(tally):
    tally.case(True)

def test_breaks_off(tally):
    tally.case(True)
    raise TimeoutError
"""


def test_a_run_replaces_the_rows_of_its_promises_and_keeps_the_others(tmp_path):
    """One run as people make it, over a report with an older row of its promise and a row of another."""
    path = tmp_path / "report.json"
    other = {"promise": "P17 edges", "tried": 9, "commit": "0123456789ab"}
    path.write_text(json.dumps({"promises": [{"promise": "P5 older words", "tried": 7}, other]}))
    folder = tmp_path / "reliability"
    folder.mkdir()
    (folder / "conftest.py").write_text((TESTS / "reliability" / "conftest.py").read_text())
    (folder / "test_p05_damage.py").write_text(RUN)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)],
        env={**os.environ, "SANAD_RELIABILITY": "full", "SANAD_RELIABILITY_REPORT": str(path)},
        capture_output=True,
        check=False,
    )
    first, second = json.loads(path.read_text())["promises"]
    assert second == other
    assert (first["promise"], first["tried"], first["survived"]) == ("P5 damage is detected", 2, 2)
    assert first["failed"] == ["test_p05_damage.py::test_breaks_off (call)"]
    assert first["is_full"] and first["date"] and "commit" in first


def test_a_row_says_of_which_commit_it_is():
    """Of the commit that the tests are of; empty where they are no checkout."""
    from reliability.conftest import circumstances

    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=TESTS, capture_output=True, text=True, check=False).stdout
    commit = circumstances()["commit"]
    assert head.startswith(commit.removesuffix("+")) and (len(commit) >= 12) == bool(head)
