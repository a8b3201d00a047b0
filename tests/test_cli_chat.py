"""``rag chat``: piped questions, follow-ups, sources in their place, and what is typed at a terminal."""

import io
import json
import stat

import pytest
from cli_runs import RAG, Terminal, run_on_folder, small_folder  # noqa: F401  (fixtures)

QUESTION = "What is a welcome message?"
FOLLOW_UP = "When should it leave?"


@pytest.fixture
def chat(run, monkeypatch):
    """Return what pipes lines into ``rag chat`` and gives status, stdout and stderr."""

    def chat(*lines, options=()):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return run("chat", *options)

    return chat


def test_a_follow_up_is_read_with_the_turn_before_and_says_what_was_searched_for(chat):
    status, out, _ = chat(QUESTION, FOLLOW_UP)
    assert status == 0
    assert "searched for: When should a welcome message leave?" in out
    assert "within one hour of the subscription" in out.partition("searched for:")[2]


def test_new_forgets_the_turns_before(chat):
    _, out, _ = chat(QUESTION, "/new", FOLLOW_UP)
    assert "searched for:" not in out


def test_sources_are_listed_and_shown_in_their_place(chat):
    status, out, _ = chat("كيف توضع الميزانية؟", "/sources", "/sources 1")
    assert status == 0
    answer, listed, opened = out.split("[1] ")[-3:]
    assert listed.startswith("الميزانية (ar/budget.md:")
    assert "»توضع ميزانية التسويق من الهدف إلى الوراء، ثم توزع على القنوات.«" in opened


def test_sources_are_json_too(chat):
    _, out, _ = chat(QUESTION, "/sources", "/sources 1", options=["--json"])
    answer, listed, opened = map(json.loads, out.splitlines())
    assert listed == {"sources": answer["citations"]}
    assert opened == {**answer["citations"][0], "before": "Email\n\n", "after": ""}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["/sources"], "there are no sources"),
        ([QUESTION, "/sources 9"], "there is no source 9; the last answer has 1 to 1"),
        (["/nothing"], "there is no command /nothing; /help lists them"),
        (["x" * 4_001], "the question has 4,001 characters"),
    ],
)
def test_a_line_that_fails_is_named_and_the_next_is_answered(chat, lines, message):
    status, out, err = chat(*lines, "/new", QUESTION)
    assert status == 1
    assert err.startswith(f"error: {message}") and err.count("\n") == 1
    assert "within one hour" in out


def test_a_line_that_fails_is_a_json_line(chat):
    status, out, _ = chat("/nothing", QUESTION, options=["--json"])
    failed, answered = map(json.loads, out.splitlines())
    assert status == 1
    assert failed == {"question": "/nothing", "error": "there is no command /nothing; /help lists them"}
    assert answered["citations"]


def test_help_goes_to_people_and_quit_ends(chat):
    status, out, err = chat("/help", "/quit", QUESTION)
    assert (status, out) == (0, "")
    assert "/sources N" in err


def test_typed_questions_are_kept_where_only_their_owner_reads(folder, tmp_path):
    history = tmp_path / "sanad" / "history"
    history.parent.mkdir()
    history.write_text("", encoding="utf-8")
    history.chmod(0o644)
    with Terminal(*RAG, "chat", "--index-dir", str(folder / "index"), XDG_STATE_HOME=str(tmp_path)) as terminal:
        terminal.wait_for("ask>")
        terminal.type(f"{QUESTION}\r")
        terminal.wait_for("Email (email.md:")
        terminal.wait_for("ask>")
        terminal.type("half a line")
        terminal.wait_for("half a line")
        terminal.type("\x03")  # Ctrl-C forgets the line
        terminal.wait_for("\x1b[?2004l")  # that prompt has ended
        terminal.wait_for("ask>")
        terminal.type("\x04")  # Ctrl-D
        left = terminal.end()
    assert terminal.process.returncode == 0
    assert "Traceback" not in left
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    typed = history.read_text(encoding="utf-8")
    assert QUESTION in typed and "half a line" not in typed


def test_a_history_that_cannot_be_kept_does_not_end_the_chat(folder, tmp_path):
    (tmp_path / "sanad").write_text("a file where the folder should be", encoding="utf-8")
    with Terminal(*RAG, "chat", "--index-dir", str(folder / "index"), XDG_STATE_HOME=str(tmp_path)) as terminal:
        terminal.wait_for("what you type is not kept")
        terminal.wait_for("ask>")
        terminal.type("/quit\r")
        terminal.end()
    assert terminal.process.returncode == 0
