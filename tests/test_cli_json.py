"""Every command with ``--json`` prints one JSON value on stdout, and nothing else there."""

import argparse
import io
import json

import pytest
from cli_runs import run_on_folder, small_folder  # noqa: F401  (fixtures)

from rag.cli import _parser

QUESTION = {"id": "1", "question": "When should a welcome message leave?", "lang": "en", "doc_id": "email.md",
            "evidence": "within one hour of the subscription"}  # fmt: skip

# Command line ({} is the folder) -> keys that the object has at least.
ONE_OBJECT = {
    "build {}/corpus --index-dir {}/index": {"generation", "documents", "failed"},
    "search welcome --index-dir {}/index": {"query", "language", "hits"},
    "ask welcome --index-dir {}/index": {"question", "answer", "citations"},
    "eval {}/questions.jsonl --index-dir {}/index": {"overall", "pairs"},
    "verify --index-dir {}/index": {"index_dir", "generation", "problems", "standing"},
    "doctor --index-dir {}/index": {"python", "machine", "seconds", "network", "problems"},
    "bundle {}/b.tar.gz --no-wheels --index-dir {}/index": {"path", "bytes", "files", "sanad", "wheels"},
    "add --refresh --corpus-dir {}/corpus": {"added", "updated", "unchanged", "failed", "pages", "seconds"},
    "user add sara --auth-file {}/users.json": {"name", "is_new"},
    "user list --auth-file {}/users.json": {"users"},
    "user remove sara --auth-file {}/users.json": {"removed"},
    "rollback --index-dir {}/rolled": {"index_dir", "generation"},
}
A_LINE_EACH = {"chat --index-dir {}/index": {"question", "answer", "citations"}}


def commands(parser: argparse.ArgumentParser, path: str = ""):
    """Yield each command that takes ``--json``, as it is typed."""
    if "--json" in parser._option_string_actions:
        yield path
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from commands(command, f"{path} {name}".strip())


def test_every_command_with_json_is_in_the_table():
    lines = [*ONE_OBJECT, *A_LINE_EACH]
    missing = [name for name in commands(_parser()) if not any(line.startswith(f"{name} ") for line in lines)]
    assert missing == []


@pytest.mark.parametrize("line", ONE_OBJECT)
def test_json_is_one_object_on_stdout(line, run, folder, monkeypatch):
    (folder / "questions.jsonl").write_text(json.dumps(QUESTION) + "\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough password\n"))
    if line.startswith("user"):
        run("user", "add", "sara", "--auth-file", f"{folder}/users.json", index=False)
        monkeypatch.setattr("sys.stdin", io.StringIO("a long enough password\n"))
    if line.startswith("rollback"):
        for text in ("One.", "One and two."):
            (folder / "other").mkdir(exist_ok=True)
            (folder / "other" / "a.txt").write_text(text, encoding="utf-8")
            run("build", f"{folder}/other", "--index-dir", f"{folder}/rolled", index=False)
    status, out, err = run(*line.replace("{}", str(folder)).split(), "--json", index=False)
    assert status == 0, err
    assert out.count("\n") == 1
    value = json.loads(out)
    assert isinstance(value, dict) and value.keys() >= ONE_OBJECT[line]


@pytest.mark.parametrize("line", A_LINE_EACH)
def test_json_is_one_object_a_line(line, run, folder, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("When should a welcome message leave?\n\nكيف توضع الميزانية؟\n"))
    status, out, err = run(*line.replace("{}", str(folder)).split(), "--json", index=False)
    assert (status, err) == (0, "")
    values = [json.loads(one) for one in out.splitlines()]
    assert len(values) == 2
    assert all(value.keys() >= A_LINE_EACH[line] for value in values)
