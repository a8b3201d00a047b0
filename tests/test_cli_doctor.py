"""``rag doctor``: times, state, and the proof that nothing leaves the machine."""

import json
import subprocess

import pytest
from cli_runs import run_on_folder, small_folder  # noqa: F401  (fixtures)

from rag.cli.isolation import _namespace, run_probe
from rag.cli.machine import machine, packages

# A library that phones home when it is imported, as the parser process and the main one both do with this one.
PHONE = """
import importlib, os, socket, sys
try:
    socket.create_connection(("192.0.2.7", 9), 1)
except OSError:
    pass
sys.path.remove(os.path.dirname(os.path.dirname(__file__)))
del sys.modules["py3langid"]
sys.modules["py3langid"] = importlib.import_module("py3langid")
"""


def test_the_report_names_what_there_is_and_what_is_slow(run):
    status, out, err = run("doctor", "--json")
    report = json.loads(out)
    assert (status, err, report["problems"]) == (0, "", [])
    assert report["packages"]["sanad"] and report["packages"]["numpy"]
    assert report["machine"]["cores"] >= 1 and report["machine"]["disk_free_bytes"] > 0
    assert report["index"]["documents"] == 2 and report["index"]["languages"] == {"ar": 1, "en": 1}
    steps = ["import", "open embedder", "open reader", "encode a query", "build the sample", "open index", "search",
             "first question", "next question"]  # fmt: skip
    assert list(report["seconds"]) == steps
    slowest = report["slowest"]
    cold = {step: report["seconds"][step] for step in steps if step not in ("encode a query", "search")}
    del cold["build the sample"], cold["next question"]
    assert slowest["step"] == max(cold, key=cold.get)
    assert slowest["cold_ask"] == pytest.approx(sum(cold.values()), abs=0.002)
    assert all(trial["is_found"] and trial["is_quoted"] for trial in report["sample"])


def test_nothing_tries_to_leave_the_machine(run):
    network = json.loads(run("doctor", "--json")[1])["network"]
    assert network == {"isolation": "namespace" if _namespace() else "guard", "attempts": []}


def test_what_tries_to_leave_is_refused_counted_and_named(run, tmp_path, monkeypatch):
    (tmp_path / "py3langid").mkdir()
    (tmp_path / "py3langid" / "__init__.py").write_text(PHONE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("rag.cli.isolation._namespace", list)  # the guard alone, as where namespaces are not permitted
    status, out, err = run("doctor")
    assert status == 1
    assert "ran with its sockets guarded; attempts to reach it: " in out
    assert "tried to reach the network (socket.getaddrinfo 192.0.2.7) and was refused" in err


def test_people_read_the_same(run):
    status, out, _ = run("doctor")
    assert status == 0
    for start in ("Python 3", "machine: ", "embedder: ", "reader: ", "index: ", "model: none", "time: ", "slowest: "):
        assert f"\n{start}" in f"\n{out}"
    assert "attempts to reach it: 0\n" in out and out.endswith("problems: none\n")


def test_a_missing_index_is_a_problem_with_its_remedy(tmp_path, run):
    status, out, err = run("doctor", "--index-dir", str(tmp_path / "none"), index=False)
    assert status == 1
    assert err == f"error: {tmp_path}/none holds no index. Build it: rag build\n"
    assert out.endswith("problems: 1\n")


def test_a_trial_that_dies_is_a_problem_with_its_reason(monkeypatch, tmp_path):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('a broken numpy')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report = run_probe("index")
    (problem,) = report["problems"]
    assert "a broken numpy" in problem and "pip install" in problem


def test_in_the_namespace_there_is_no_network():
    prefix = _namespace()
    if not prefix:
        pytest.skip("this machine permits no network namespaces")
    done = subprocess.run([*prefix, "cat", "/proc/net/dev"], capture_output=True, text=True, check=True)
    assert [line.split(":")[0].strip() for line in done.stdout.splitlines()[2:]] == ["lo"]


def test_facts_of_a_machine_are_told_or_left_open():
    here = machine("no/such/folder")
    assert here["disk_free_bytes"] > 0 and here["cpu"]
    versions, missing = packages()
    assert missing == [] and "numpy" in versions
