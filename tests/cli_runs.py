"""What the tests of the terminal share: a small index, and ways to run a command on it."""

from __future__ import annotations

import codecs
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from rag.cli import main

EMAIL = "# Email\n\nA welcome message should leave within one hour of the subscription.\n"
ARABIC = "# الميزانية\n\nتوضع ميزانية التسويق من الهدف إلى الوراء، ثم توزع على القنوات.\n"
RAG = [sys.executable, "-m", "rag"]


@pytest.fixture(scope="module", name="folder")
def small_folder(tmp_path_factory):
    """Return a folder with ``corpus/`` of an English and an Arabic document, and their ``index/``."""
    folder = tmp_path_factory.mktemp("cli")
    plant(folder)
    assert main(["build", str(folder / "corpus"), "--index-dir", str(folder / "index")]) == 0
    return folder


@pytest.fixture(name="run")
def run_on_folder(folder, capsys):
    """Return what runs a command on the index and gives its status, stdout and stderr."""

    def run(*args, index=True):
        where = ["--index-dir", str(folder / "index")] if index else []
        status = main([*args, *where])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def plant(folder: Path) -> None:
    (folder / "corpus" / "ar").mkdir(parents=True)
    (folder / "corpus" / "email.md").write_text(EMAIL, encoding="utf-8")
    (folder / "corpus" / "ar" / "budget.md").write_text(ARABIC, encoding="utf-8")


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which no terminal makes itself known, with ``more``."""
    known = ("VTE_VERSION", "KONSOLE_VERSION", "TERM_PROGRAM", "WT_SESSION", "KITTY_WINDOW_ID")
    return {name: value for name, value in os.environ.items() if name not in known} | more


class Terminal:
    """A program on a terminal of its own: what it shows can be waited for, and keys be sent to it."""

    def __init__(self, *command: str, **variables: str) -> None:
        self._own, theirs = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(TERM="xterm-256color", COLUMNS="72", LINES="40", PROMPT_TOOLKIT_NO_CPR="1", **variables),
            start_new_session=True,
        )
        os.close(theirs)
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._own)

    def type(self, keys: str) -> None:
        os.write(self._own, keys.encode())

    def wait_for(self, text: str) -> str:
        """Read until ``text`` is shown; return what was shown up to there, and forget it."""
        while text not in self.shown:
            self.shown += self._read()
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def end(self) -> str:
        """Read to the end; return what is left."""
        try:
            while True:
                self.shown += self._read()
        except EOFError:
            self.process.wait(30)
        return self.shown

    def _read(self) -> str:
        is_there, _, _ = select.select([self._own], [], [], 60)
        assert is_there, f"nothing more is shown after {self.shown!r}"
        try:
            data = os.read(self._own, 1 << 16)
        except OSError:  # how Linux says that the program has gone
            data = b""
        if not data:
            raise EOFError(self.shown)
        return self._decoder.decode(data)
