"""The README's Python runs as written, on the demo corpus, and prints what the README says it prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", README, re.DOTALL)


@pytest.fixture(scope="module")
def folder(demo_index, tmp_path_factory):
    """A folder as the README's reader has it: ``corpus/`` and, built before, ``index/``."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "corpus").symlink_to(ROOT / "corpus")
    (folder / "index").symlink_to(demo_index)
    return folder


@pytest.mark.parametrize(("code", "output"), BLOCKS)
def test_python_blocks_print_what_they_say(folder, code, output, request):
    if "http://127.0.0.1:7860" in code:
        code = code.replace("http://127.0.0.1:7860", request.getfixturevalue("address").rstrip("/"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, capture_output=True, text=True, timeout=100, env={**os.environ, "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if output:
        assert done.stdout == output


def test_there_are_blocks_and_at_least_one_shows_its_output():
    assert len(BLOCKS) >= 2
    assert any(output for _, output in BLOCKS)


def test_the_files_and_commands_it_names_exist():
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make\s(\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
