"""``rag completion``: the script completes commands, options and paths in a real shell."""

import shutil
import subprocess

import pytest

from rag.cli import main


def script(shell, capsys):
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.fixture
def complete(tmp_path, capsys):
    """Return what bash offers for the last of the words typed."""
    path = tmp_path / "rag.bash"
    path.write_text(script("bash", capsys), encoding="utf-8")

    def complete(*words):
        program = (
            f"source {path}; COMP_WORDS=({' '.join(words[:-1])} '{words[-1]}'); COMP_CWORD={len(words) - 1}; "
            "$(complete -p rag | sed 's/.*-F \\([^ ]*\\).*/\\1/') 2>/dev/null; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(
            ["bash", "--norc", "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=30
        )
        return set(map(str.strip, done.stdout.split("\n"))) - {""}

    return complete


def test_bash_completes_a_command(complete):
    assert complete("rag", "do") == {"doctor"}
    assert complete("rag", "b") == {"build", "bundle"}


def test_bash_completes_an_option(complete):
    assert complete("rag", "ask", "--lang") == {"--language"}
    assert complete("rag", "build", "--wa") == {"--watch"}


def test_bash_completes_a_choice(complete):
    assert complete("rag", "ask", "--rtl", "s") == {"shape"}


def test_bash_completes_a_folder(complete, tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "document.txt").touch()
    assert {name.rstrip("/") for name in complete("rag", "search", "--index-dir", "doc")} == {"documents"}


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_the_other_shells_get_a_script_with_every_command(shell, capsys):
    text = script(shell, capsys)
    assert all(command in text for command in ("build", "search", "ask", "chat", "doctor", "bundle"))
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=text, text=True, capture_output=True).returncode == 0
