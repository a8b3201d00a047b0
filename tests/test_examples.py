"""The examples run as they stand, each in a process of its own, with the built-in models."""

import csv
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from garden import plant

pytestmark = pytest.mark.timeout(300)  # each opens the models anew

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOK = EXAMPLES / "retriever.ipynb"
ENVIRONMENT = {**os.environ, "PYTHONUTF8": "1"}

EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

with open(sys.argv[1], encoding="utf-8") as file:
    notebook = nbformat.read(file, as_version=4)
NotebookClient(notebook, kernel_name="python3", timeout=200).execute()
nbformat.write(notebook, "executed.ipynb")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a small ``corpus``."""
    folder = tmp_path_factory.mktemp("examples")
    plant(folder)
    return folder


def run(folder, *command):
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=250
    )


@pytest.fixture(scope="module")
def found(folder):
    """Return what ``six_lines.py`` prints; it leaves an index behind."""
    done = run(folder, EXAMPLES / "six_lines.py")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_six_lines_search_a_folder(found):
    assert {line.split()[1] for line in found.splitlines()} == {"home/kettle.md", "garden/tomatoes.md"}
    code = (EXAMPLES / "six_lines.py").read_text(encoding="utf-8").partition('"""\n\n')[2]
    assert len([line for line in code.splitlines() if line]) <= 6


def test_batch_answers_keeps_the_rows_and_names_the_sources(folder, found):
    asked = ["1,How much sunlight do tomatoes want?", "2,كم مدة ضمان الغلاية الزرقاء؟", "3,Who won the cup in 1998?"]
    (folder / "questions.csv").write_text("\n".join(["id,question", *asked, ""]), encoding="utf-8")
    done = run(folder, EXAMPLES / "batch_answers.py", "questions.csv", "answers.csv")
    assert done.returncode == 0, done.stderr
    with open(folder / "answers.csv", encoding="utf-8-sig", newline="") as file:
        tomatoes, kettle, cup = csv.DictReader(file)
    assert [row["id"] for row in (tomatoes, kettle, cup)] == ["1", "2", "3"]
    assert "six hours" in tomatoes["answer"] and "[1]" in tomatoes["answer"]
    assert tomatoes["sources"].startswith("[1] garden/tomatoes.md:")
    assert "ثلاث سنوات" in kettle["answer"] and "home/kettle.md" in kettle["sources"]
    assert [row["abstained"] for row in (tomatoes, kettle, cup)] == ["false", "false", "true"]
    assert cup["sources"] == ""


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("id,text\n1,what\n", "row 1 has no question"),
        ("id,question\n1,one\n2, \n", "row 2 has no question"),
        ("id,question\n1,one, two\n", "row 1 has more cells"),
    ],
)
def test_batch_answers_says_which_row_is_wrong_before_it_begins(tmp_path, content, complaint):
    (tmp_path / "questions.csv").write_text(content, encoding="utf-8")
    done = run(tmp_path, EXAMPLES / "batch_answers.py", "questions.csv", "answers.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: questions.csv: ") and complaint in done.stderr
    assert not (tmp_path / "answers.csv").exists()


def test_what_a_document_says_is_no_formula(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    from batch_answers import as_text

    assert [as_text(cell) for cell in ("=1+1", "- one", "one = 1", "")] == ["'=1+1", "'- one", "one = 1", ""]


def test_watch_folder_follows_the_folder_until_it_is_interrupted(tmp_path):
    plant(tmp_path)
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "watch_folder.py", "corpus", "--index-dir", "corpus/index"],
        cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it is ignored below a shell's background job
    )  # fmt: skip
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stdout])
    reader.start()
    try:
        assert "2 documents, 2 added" in lines.get(timeout=100)
        (tmp_path / "corpus" / "mint.md").write_text("# Mint\n\nMint likes shade.\n", encoding="utf-8")
        assert "3 documents, 1 added, 0 updated, 0 removed" in lines.get(timeout=60)
        (tmp_path / "corpus" / "mint.md").unlink()
        assert "2 documents, 0 added, 0 updated, 1 removed" in lines.get(timeout=60)
        with pytest.raises(queue.Empty):  # what a build writes below the corpus starts no other
            lines.get(timeout=4)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        reader.join(10)
        errors = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
    assert errors == ""


def outputs(notebook):
    """Return what each cell of code printed or showed, as text."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(o.get("text") or o["data"]["text/html"] for o in cell.outputs) for cell in cells]


def test_the_notebook_shows_what_it_does(tmp_path):
    done = run(tmp_path, "-c", EXECUTE, NOTEBOOK)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "executed.ipynb", encoding="utf-8") as file:
        executed = nbformat.read(file, as_version=4)
    with open(NOTEBOOK, encoding="utf-8") as file:
        assert outputs(nbformat.read(file, as_version=4)) == outputs(executed)


def test_the_notebook_is_small_and_says_nothing_of_the_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 20_000
    assert not any(word in text for word in ("/home/", "/tmp/", "/root/", "site-packages"))
    assert sum(bool(cell.get("outputs")) for cell in json.loads(text)["cells"]) >= 5


def test_the_readme_names_each_example():
    named = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb")]:
        assert f"`{path.name}`" in named
