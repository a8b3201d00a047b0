"""The terminal contracts: keys of the JSON, exit status, one clear line for each thing that can be wrong."""

import json
import socket
import subprocess
import sys

import pytest
from cli_runs import run_on_folder, small_folder  # noqa: F401  (fixtures)

from rag.cli import main


def test_build_reports_as_the_contract_says(run, folder):
    (folder / "corpus" / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    status, out, err = run("build", str(folder / "corpus"), "--json")
    (folder / "corpus" / "broken.pdf").unlink()
    report = json.loads(out)
    assert status == 0
    assert set(report) == {
        "generation", "documents", "passages", "added", "updated", "removed", "unchanged", "failed", "files",
        "seconds",
    }  # fmt: skip
    assert (report["documents"], report["unchanged"]) == (2, 2)
    assert report["failed"][0]["path"].endswith("broken.pdf")
    assert "broken.pdf" in err and "Traceback" not in err


def test_search_prints_the_hits_as_the_contract_says(run):
    status, out, _ = run("search", "كيف توضع الميزانية؟", "-k", "1", "--json")
    found = json.loads(out)
    assert status == 0
    assert (found["query"], found["language"]) == ("كيف توضع الميزانية؟", "ar")
    (hit,) = found["hits"]
    assert set(hit) == {"rank", "score", "doc_id", "title", "language", "text", "start", "end", "page"}
    assert (hit["rank"], hit["doc_id"], hit["language"]) == (1, "ar/budget.md", "ar")


def test_ask_prints_an_answer_as_the_contract_says(run):
    status, out, err = run("ask", "When should a welcome message leave?", "--json")
    answer = json.loads(out)
    assert (status, err) == (0, "")
    assert set(answer) == {
        "question", "query", "language", "answer", "short", "abstained", "confidence", "citations", "model", "notice",
        "seconds",
    }  # fmt: skip
    (citation,) = answer["citations"]
    assert set(citation) == {"n", "doc_id", "title", "language", "quote", "start", "end", "page"}
    assert (citation["n"], citation["doc_id"]) == (1, "email.md")
    assert "within one hour" in citation["quote"]


def test_ask_for_people_names_the_source_of_each_number(run):
    status, out, _ = run("ask", "When should a welcome message leave?")
    assert status == 0
    assert "within one hour of the subscription. [1]" in out
    assert "[1] Email (email.md:" in out


def test_verify_doctor_and_rollback(run, folder):
    assert run("verify")[0] == 0
    status, out, _ = run("doctor", "--json")
    report = json.loads(out)
    assert status == 0
    assert report["problems"] == []
    assert report["embedder"]["dim"] == 896
    assert report["reader"]["path"].endswith("reader")
    (folder / "corpus" / "more.txt").write_text("One more document about search engines.", encoding="utf-8")
    newest = json.loads(run("build", str(folder / "corpus"), "--json")[1])["generation"]
    status, out, _ = run("rollback", "--json")
    assert status == 0
    assert json.loads(out)["generation"] != newest
    assert json.loads(run("search", "search engines", "--json")[1])["hits"][0]["doc_id"] != "more.txt"
    (folder / "corpus" / "more.txt").unlink()


def test_eval_measures_and_keeps_the_details(run, folder):
    questions = [
        {"id": "1", "question": "When should a welcome message leave?", "lang": "en", "doc_id": "email.md",
         "evidence": "within one hour of the subscription", "answers": ["one hour"]},
        {"id": "2", "question": "What is the capital of Mongolia?", "lang": "en", "answerable": False},
    ]  # fmt: skip
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(q) + "\n" for q in questions), encoding="utf-8")
    status, out, _ = run("eval", str(path), "--json", "--details", str(folder / "details.jsonl"))
    report = json.loads(out)
    assert status == 0
    assert report["overall"]["questions"] == 2
    assert report["overall"]["evidence_cited"] == 1.0
    assert report["overall"]["citation_recall"] == 1.0
    assert report["overall"]["abstention_accuracy"] == 1.0
    assert set(report["pairs"]) == {"en→en", "en→none"}
    assert len((folder / "details.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert "| recall@5 |" in run("eval", str(path))[1]


def test_eval_measures_conversations_with_their_history_and_without(run, folder):
    path = folder / "conversations.jsonl"
    evidence = {"doc_id": "email.md", "evidence": "within one hour of the subscription"}
    turns = [
        {"question": "What is a welcome message?", **evidence},
        {"question": "When should it leave?", "kind": "pronoun", **evidence},
        {"question": "What is the capital of Mongolia?", "kind": "switch", "answerable": False},
    ]
    path.write_text(json.dumps({"id": "1", "lang": "en", "turns": turns}) + "\n", encoding="utf-8")
    details = folder / "turns.jsonl"
    status, out, _ = run("eval", "--conversations", str(path), "--json", "--details", str(details))
    report = json.loads(out)
    assert status == 0
    assert set(report["groups"]) == {"all", "en", "pronoun", "switch"}
    assert report["groups"]["all"]["turns"] == 2
    assert report["groups"]["pronoun"]["evidence_cited rewritten"] == 1.0
    assert report["groups"]["switch"] == {
        "turns": 1, "refused_unanswerable rewritten": 1.0, "refused_unanswerable alone": 1.0,
    }  # fmt: skip
    rows = [json.loads(line) for line in details.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == ["1-2", "1-3"]
    assert rows[0]["query"] == "When should a welcome message leave?"
    assert "| evidence_cited rewritten |" in run("eval", "--conversations", str(path))[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not a conversation"),
        ('{"id": "1", "turns": 3}', "not a conversation"),
        ('{"id": "1", "turns": [{"question": "q", "answerable": false}]}', "a conversation of 1 turns"),
        ('{"id": "1", "turns": [{"question": "q", "answerable": false}, {"answerable": false}]}', "not a question"),
        ("", "no conversations in"),
    ],
)
def test_eval_names_the_conversation_that_is_wrong(run, folder, line, message):
    path = folder / "bad-conversations.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    status, out, err = run("eval", "--conversations", str(path))
    assert (status, out) == (1, "")
    assert err.startswith("error: ") and message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not a question"),
        ('{"id": "1", "question": "q", "lang": "en", "doc_id": "no.md", "evidence": "x"}', "'no.md' is not in the"),
        ('{"id": "1", "question": "q", "lang": "en", "doc_id": "email.md", "evidence": "no"}', "is not in email.md"),
        ('{"id": "1", "question": "q", "lang": "en"}', "an answerable question names no 'doc_id'"),
        ("", "no questions in"),
    ],
)  # fmt: skip
def test_eval_names_the_line_that_is_wrong(run, folder, line, message):
    path = folder / "bad.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    status, out, err = run("eval", str(path))
    assert (status, out) == (1, "")
    assert err.startswith("error: ") and message in err
    assert err.count("\n") == 1


def test_what_is_wrong_is_said_in_one_line_with_the_remedy(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "a.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
    index = ["--index-dir", str(tmp_path / "index")]
    for args in (
        ["build", str(tmp_path / "nowhere"), *index],
        ["build", str(tmp_path / "empty"), *index],
        ["build", str(tmp_path / "binary"), *index],
        ["search", "query", *index],
        ["ask", "question", *index],
        ["verify", *index],
        ["rollback", *index],
        ["build", str(tmp_path / "empty"), *index, "--embedder", str(tmp_path / "no-model")],
    ):
        status = main(args)
        captured = capsys.readouterr()
        assert status == 1, args
        assert captured.out == "", args
        assert captured.err.startswith("error: "), args
        assert captured.err.count("\n") == 1, (args, captured.err)


def test_a_damaged_index_is_named(folder, tmp_path, capsys):
    import shutil

    index = tmp_path / "index"
    shutil.copytree(folder / "index", index)
    for generation in index.glob("gen-*"):
        path = generation / "passages.jsonl"
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    for command in (["search", "q"], ["ask", "q"], ["verify"]):
        assert main([*command, "--index-dir", str(index)]) == 1
        error = capsys.readouterr().err
        assert "passages.jsonl" in error and "rag build" in error and "Traceback" not in error


def test_a_port_in_use_is_said_before_any_model_is_loaded(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "rag", "serve", "--index-dir", str(folder / "index"), "--port", port],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"error: port {port} is in use" in done.stderr
    assert "--port" in done.stderr and "Traceback" not in done.stderr


def test_serve_hands_on_what_its_flags_say(monkeypatch, tmp_path):
    import inspect

    import rag.server

    signature, calls = inspect.signature(rag.server.serve), []
    monkeypatch.setattr(rag.server, "serve", lambda *args, **named: calls.append(signature.bind(*args, **named)))
    assert main(["serve"]) == 0
    assert "max_concurrent" not in calls[0].arguments  # the server's own number
    flags = ["--api-key-file", "keys", "--cors-origin", "https://a.example", "--cors-origin", "https://b.example"]
    assert main(["serve", *flags, "--log-questions", "--max-concurrent", "3", "--auth-file", "users"]) == 0
    given = calls[1].arguments
    assert (given["api_key_file"], given["auth_file"], given["max_concurrent"]) == ("keys", "users", 3)
    assert given["cors_origins"] == ["https://a.example", "https://b.example"]
    assert given["log_questions"] is True


def test_keys_that_cannot_be_read_are_named(tmp_path, capsys):
    assert main(["serve", "--port", "0", "--api-key-file", str(tmp_path / "keys")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: the file of keys {tmp_path}/keys cannot be read") and error.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["search"],
        ["search", "q", "-k", "0"],
        ["nothing"],
        ["ask", "q", "--colour"],
        ["ask", "q", "--language", "Arabic"],
        ["ask", "q", "--metadata", "author"],
        ["bundle", "bundle.zip"],
        ["bundle", "no/such/folder/b.tar.gz"],
        ["bundle", "b.tar.gz", "--no-wheels", "--wheels", "."],
        ["completion", "fish"],
        ["serve", "--max-concurrent", "0"],
    ],
)
def test_wrong_usage_exits_with_2(args, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(args)
    assert exit_.value.code == 2
    assert "usage: rag" in capsys.readouterr().err


def test_a_question_loads_neither_the_server_nor_what_it_does_not_need(folder):
    code = (
        "import sys, rag.cli\n"
        "assert rag.cli.main(sys.argv[1:]) == 0\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'gradio', 'fastapi', 'openai', 'mcp', 'rag.server',"
        " 'rag.ui', 'rag.evaluation', 'trafilatura', 'prompt_toolkit', 'watchfiles', 'shtab'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    index = ["--index-dir", str(folder / "index")]
    for command in (["ask", "When should a welcome message leave?"], ["search", "welcome"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, *index], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr


def test_filters_say_which_documents_are_looked_in(run):
    question = "When should a welcome message leave?"
    assert json.loads(run("ask", question, "--language", "ar", "--json")[1])["abstained"]
    assert json.loads(run("ask", question, "--collection", "ar/", "--json")[1])["abstained"]
    assert json.loads(run("ask", question, "--doc-id", "email.md", "--json")[1])["citations"][0]["doc_id"] == "email.md"
    for filters in (["--language", "ar"], ["--collection", "ar"], ["--doc-id", "ar/budget.md"]):
        hits = json.loads(run("search", question, *filters, "--json")[1])["hits"]
        assert {hit["doc_id"] for hit in hits} == {"ar/budget.md"}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (["--language", "fr"], "the index has nothing in 'fr'; it has"),
        (["--collection", "er"], "the index has no folder 'er'; it has ar"),
        (["--doc-id", "mail.md"], "the index has no document 'mail.md'"),
        (["--doc-id", "email.md", "--collection", "ar"], "no document passes all the filters"),
        (["--metadata", "author=Nobody"], "no document passes all the filters"),
    ],
)
@pytest.mark.parametrize("command", ["ask", "search"])
def test_a_filter_that_leaves_nothing_is_named(run, command, filters, message):
    status, out, err = run(command, "question", *filters)
    assert (status, out) == (1, "")
    assert err.startswith(f"error: {message}") and err.count("\n") == 1


def test_help_and_import_load_nothing_heavy():
    code = (
        "import sys, rag, rag.cli\n"
        "try: rag.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'onnxruntime', 'faiss', 'gradio', 'numpy',"
        " 'fastapi', 'openai', 'rich', 'prompt_toolkit', 'watchfiles', 'shtab', 'bidi', 'mcp', 'httpx',"
        " 'rag.server', 'rag.ui', 'rag.embedder', 'rag.store'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
