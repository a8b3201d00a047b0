"""A small index for the adapters of other frameworks: four documents, two of each language, in two folders."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import HashEmbedder
from garden import plant

from rag import Retriever, build_index

PEPPERS = """---
author: Sara
tags: vegetables, summer
---
# Growing peppers

Peppers want warm soil, and no direct sunlight at noon.
"""
OVEN = """# دليل الفرن

مدة ضمان الفرن سنة واحدة من تاريخ الشراء.
"""
QUESTION = "How much direct sunlight do tomatoes want?"
ARABIC_QUESTION = "كم مدة ضمان الغلاية؟"
FIELDS = frozenset({"doc_id", "title", "language", "start", "end", "page", "heading", "score", "rank", "passage_id"})

_LISTEN = """
import sys
called = []
sys.addaudithook(lambda event, args: event in {!r} and called.append((event, args[1:])))
{}
assert called == [], called
"""
# What asks for a name or sends a byte; a library that binds a socket to ::1 to learn of IPv6 sends none.
_SENDS = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")


def fill(folder: Path) -> Retriever:
    """Write the documents into ``folder/corpus``, index them in ``folder/index`` and return its retriever."""
    plant(folder)
    (folder / "corpus" / "garden" / "peppers.md").write_text(PEPPERS, encoding="utf-8")
    (folder / "corpus" / "home" / "oven.md").write_text(OVEN, encoding="utf-8")
    build_index(folder / "corpus", folder / "index", embedder=HashEmbedder())
    return Retriever.open(folder / "index", embedder=HashEmbedder())


def check_nothing_is_sent(code: str, **environment: str) -> None:
    """Run Python in a process of its own, which asks for no name and sends nothing; LangSmith and Haystack unset."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LANG", "HAYSTACK"))}
    done = subprocess.run(
        [sys.executable, "-c", _LISTEN.format(_SENDS, code)],
        cwd=Path(__file__).parent, env=own | environment, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def run_page(page: str, index_dir: Path, folder: Path) -> str:
    """Run all Python of a page of docs/how-to, as its reader has it before them; return what it prints.

    Args:
        page: Its file name.
        index_dir: An index of the demo corpus.
        folder: An empty folder, in which the index is called ``index``.
    """
    text = (Path(__file__).parents[1] / "docs" / "how-to" / page).read_text(encoding="utf-8")
    (folder / "index").symlink_to(index_dir)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))],
        cwd=folder, env={**os.environ, "PYTHONUTF8": "1"}, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
