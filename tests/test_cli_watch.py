"""``rag build --watch``: a line a build, and nothing but Ctrl-C ends it."""

import json
import queue
import signal
import subprocess
import threading

import pytest
from cli_runs import RAG, plant

from rag.cli import main
from rag.cli.watch import changes_in
from rag.errors import CorpusError
from rag.store import IndexStore


class Watch:
    """``rag build --watch --json`` at work in a folder."""

    def __init__(self, folder, *options):
        self.process = subprocess.Popen(
            [*RAG, "build", "corpus", "--watch", *options],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored below a shell's background job
        )  # fmt: skip
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)

    def line(self):
        return self._lines.get(timeout=60)

    def stop(self):
        """Press Ctrl-C; return the exit status, what was still said, and stderr."""
        self.process.send_signal(signal.SIGINT)
        err = self.process.stderr.read()
        status = self.process.wait(30)
        self._reader.join(30)
        self.process.stdout.close()
        self.process.stderr.close()
        left = []
        while not self._lines.empty():
            left.append(self._lines.get())
        return status, left, err


def test_every_change_is_one_line_and_nothing_but_ctrl_c_ends_it(tmp_path):
    plant(tmp_path)
    watch = Watch(tmp_path, "--json")
    try:
        assert json.loads(watch.line())["added"] == 2
        (tmp_path / "corpus" / "new.md").write_text("# New\n\nA new document.\n", encoding="utf-8")
        assert json.loads(watch.line())["added"] == 1
        (tmp_path / "corpus" / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")  # a bad file does not end it
        assert [failed["path"] for failed in json.loads(watch.line())["failed"]] == ["corpus/broken.pdf"]
        (tmp_path / "corpus" / ".hidden").write_text("nothing to see", encoding="utf-8")  # is no change
        (tmp_path / "corpus" / "broken.pdf").unlink()
        assert json.loads(watch.line())["failed"] == []
        with IndexStore(tmp_path / "index").lock():  # another process builds
            (tmp_path / "corpus" / "new.md").unlink()
            assert "is being built by another process" in json.loads(watch.line())["error"]
        assert json.loads(watch.line())["removed"] == 1
    finally:
        status, left, err = watch.stop()
    assert (status, left) == (0, [])
    assert err.count("skipped corpus/broken.pdf") == 1
    assert "stopped watching" in err and "Traceback" not in err
    assert IndexStore(tmp_path / "index").verify() == []


def test_an_empty_folder_is_waited_for(tmp_path):
    (tmp_path / "corpus").mkdir()
    watch = Watch(tmp_path)
    try:
        (tmp_path / "corpus" / "first.md").write_text("# First\n\nThe first document.\n", encoding="utf-8")
        assert ": 1 documents, 1 passages (1 added, " in watch.line()
    finally:
        status, left, _ = watch.stop()
    assert (status, left) == (0, [])


def test_a_missing_folder_is_named_at_once(tmp_path, capsys):
    assert main(["build", str(tmp_path / "no"), "--watch", "--index-dir", str(tmp_path / "index")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {tmp_path}/no: no such folder") and captured.err.count("\n") == 1


def test_changes_settle_before_they_are_told_and_the_index_is_no_change(tmp_path):
    index = tmp_path / "index"
    index.mkdir()
    changes = changes_in([str(tmp_path)], without=str(index))
    assert next(changes) is False  # it watches now
    (index / "CURRENT").write_text("x", encoding="utf-8")
    assert next(changes) is False
    for number in range(5):
        (tmp_path / f"{number}.md").write_text("x", encoding="utf-8")
    assert next(changes) is True
    assert next(changes) is False
    changes.close()


def test_the_folder_to_watch_must_be_there(tmp_path):
    with pytest.raises(CorpusError, match="no such folder"):
        next(changes_in([str(tmp_path / "no")], without="index"))
