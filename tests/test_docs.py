"""The documents: they build, link to what exists, load nothing from elsewhere, and name commands that there are."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.cli import _parser

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
OTHERS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "index/README.md")]
NO_COMMANDS = {"&&", "||", "|", ";", ">", ">>", "<", "&"}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language, without what indents them."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


def commands(path: Path) -> Iterator[list[str]]:
    """Yield the arguments of each ``rag`` that a page has its reader type, in a shell or in a container."""
    for block in blocks(path, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words:
                end = next((number for number, word in enumerate(words) if word in NO_COMMANDS), len(words))
                command, words = words[:end], words[end + 1 :]
                if command[:2] == ["docker", "run"] and "sanad" in command:
                    command = ["rag", *command[command.index("sanad") + 1 :]]
                if command and Path(command[0]).name == "rag" and len(command) > 1:
                    yield command[1:]


def test_every_page_builds_and_every_link_within_leads_somewhere(site):
    for page in PAGES:
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file(), page


def test_no_page_loads_anything_from_elsewhere(site):
    elsewhere = re.compile(
        r"""<(?:script|img|iframe|source)[^>]+src=["']?(?:https?:)?//[^>]+|<link[^>]+href=["']?https?://[^>]+"""
    )
    found = {}
    for page in site.rglob("*.html"):
        loads = [tag for tag in elsewhere.findall(page.read_text(encoding="utf-8")) if 'rel="canonical"' not in tag]
        if loads:
            found[page.name] = loads
    assert found == {}


@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.name)
def test_the_links_of_the_other_documents_lead_to_files(page):
    for target in re.findall(r"\]\(((?!https?:|#|mailto:)[^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_the_commands_of_a_page_are_commands_of_rag(page, capsys):
    for arguments in commands(page):
        try:
            _parser().parse_args(arguments)
        except SystemExit as end:
            assert end.code == 0, f"rag {shlex.join(arguments)}: {capsys.readouterr().err}"


def test_there_are_commands_to_check():
    assert sum(1 for page in PAGES for _ in commands(page)) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_is_python_and_imports_what_there_is(page):
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rag":
                module = __import__(node.module, fromlist=["*"])
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_begins_with_its_title(page):
    assert re.match(r"# \S", page.read_text(encoding="utf-8"))


def test_the_reference_of_the_terminal_names_every_command():
    (listed,) = (action.choices for action in _parser()._actions if isinstance(action.choices, dict))
    text = (ROOT / "docs/reference/terminal.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `rag ([\w-]+)`", text, re.MULTILINE)) == set(listed)
