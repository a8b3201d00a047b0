"""Imports point down only: every module of rag/ imports from the rows above its own, never from beside or below."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Top row first. A package counts as one member with all its modules, which may know each other.
ROWS = (
    ("errors", "datatypes", "config", "memory"),
    ("text", "bert"),
    ("metrics", "loaders", "chunking", "embedder", "reader", "generators", "store", "dictionary", "fusion"),
    ("lexical", "web", "engine"),
    ("drafting",),
    ("builder", "retriever"),
    ("answering", "conversation", "ray_engine"),
    ("__init__", "__main__", "cli", "server", "ui", "views", "wire", "evaluation", "integrations"),
)
FACES = ROWS[-1]  # the one row whose members may use each other: a face is built of faces
ROW_OF = {member: row for row, members in enumerate(ROWS) for member in members}

# Heavy library -> the modules that may import it, inside a function unless AT_THE_TOP says otherwise.
HOMES = {
    "faiss": ("rag.store",),
    "torch": ("rag.embedder", "rag.reader", "rag.generators"),
    "transformers": ("rag.embedder", "rag.reader", "rag.generators"),
    "sentence_transformers": ("rag.embedder",),
    "onnxruntime": ("rag.bert",),
    "tokenizers": ("rag.bert",),
    "gradio": ("rag.ui",),
    "langchain_core": ("rag.integrations",),
    "llama_index": ("rag.integrations",),
    "haystack": ("rag.integrations",),
    "ray": ("rag.ray_engine",),
    "pymilvus": ("rag.store.milvus_client",),
    "cachetools": ("rag.store.milvus_segment",),
}
AT_THE_TOP = ("gradio", "langchain_core", "llama_index", "haystack")  # where the home itself loads only when used


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[tuple[str, int, bool]]:
    """Yield ``(imported module, line, whether at module top level)``, type checking blocks left out."""

    def walk(node: ast.AST, *, top: bool) -> Iterator[tuple[str, int, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, child.lineno, top
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    keep = len(module.split(".")) - child.level + is_package
                    base = ".".join([*module.split(".")[:keep], *([base] if base else [])])
                for alias in child.names:
                    yield f"{base}.{alias.name}", child.lineno, top
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, top=top and not is_function)

    yield from walk(tree, top=True)


def violations(sources: Mapping[str, str], packages: frozenset[str] = frozenset()) -> list[str]:
    """Return what breaks the rules.

    Args:
        sources: Source text by module name (``rag.store.vectors``, ``app``, ``training.embedder``).
        packages: Those names that are an ``__init__.py``.
    """
    found: list[str] = []
    for module, source in sorted(sources.items()):
        for target, line, is_top in imports(ast.parse(source), module, is_package=module in packages):
            where = f"{module}:{line}"
            library = target.split(".")[0]
            inside_rag = module.split(".")[0] == "rag"
            if inside_rag and library in HOMES:
                if not any(module == home or module.startswith(home + ".") for home in HOMES[library]):
                    found.append(f"{where}: {library} has its home in {', '.join(HOMES[library])}")
                elif is_top and library not in AT_THE_TOP:
                    found.append(f"{where}: {library} is imported at the top of a module")
            if inside_rag and library in ("app", "training", "benchmarks", "tests"):
                found.append(f"{where}: rag knows nothing of {library}")
            if not inside_rag or library != "rag":
                continue
            own = module.split(".")[1] if "." in module else "__init__"
            other = _member(target)
            if own not in ROW_OF or other not in ROW_OF:
                found.append(f"{where}: {own if own not in ROW_OF else other} stands in no row")
            elif own != other and ROW_OF[other] >= ROW_OF[own] and not (own in FACES and other in FACES):
                found.append(f"{where}: {own} (row {ROW_OF[own]}) imports {other} (row {ROW_OF[other]})")
    return found


def _member(target: str) -> str:
    """Return the member of a row that an imported name belongs to; ``from rag import Passage`` means the face."""
    name = target.split(".")[1] if "." in target else "__init__"
    return name if name in ROW_OF or _is_module(name) else "__init__"


def _is_module(name: str) -> bool:
    return (ROOT / "rag" / f"{name}.py").is_file() or (ROOT / "rag" / name).is_dir()


def read_sources() -> tuple[dict[str, str], frozenset[str]]:
    paths = [*(ROOT / "rag").rglob("*.py"), *ROOT.glob("app.py")]
    packages = frozenset(module_name(path, ROOT) for path in paths if path.name == "__init__.py")
    return {module_name(path, ROOT): path.read_text("utf-8") for path in paths}, packages


def test_imports_point_down():
    sources, packages = read_sources()
    assert len(sources) > 20
    assert violations(sources, packages) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("rag.text.fold", "from rag.chunking import split_document", "text (row 1) imports chunking"),
        ("rag.chunking", "import rag.store.bm25", "chunking (row 2) imports store (row 2)"),
        ("rag.chunking", "from rag import embedder", "chunking (row 2) imports embedder"),
        ("rag.retriever", "def f():\n    from rag.answering import Chatbot", "retriever (row 5) imports answering"),
        ("rag.builder", "from .retriever import Retriever", "builder (row 5) imports retriever"),
        ("rag.store.vectors", "from ..builder import build_index", "store (row 2) imports builder"),
        ("rag.answering.chatbot", "from rag import build_index", "answering (row 6) imports __init__"),
        ("rag.gossip", "import rag.errors", "gossip stands in no row"),
        ("rag.cli", "import app", "rag knows nothing of app"),
        ("rag.evaluation.run", "import training.embedder", "rag knows nothing of training"),
        ("rag.retriever", "def f():\n    import faiss", "faiss has its home in rag.store"),
        ("rag.store.vectors", "import faiss", "faiss is imported at the top"),
        ("rag.server.mcp", "import langchain_core", "langchain_core has its home in rag.integrations"),
        ("rag.embedder", "class E:\n    import torch", "torch is imported at the top"),
        ("rag.embedder", "try:\n    from transformers import AutoModel\nexcept ImportError:\n    pass", "at the top"),
    ],
)
def test_a_breach_is_found(module, source, complaint):
    (found,) = violations({module: source})
    assert complaint in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rag.text.sentences", "from rag.text.blocks import split_blocks"),
        ("rag.text", "from .fold import fold"),
        ("rag.store.vectors", "def f():\n    import faiss"),
        ("rag.embedder", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("rag.ui.page", "import gradio as gr\nfrom rag.server import service"),
        ("rag.integrations.haystack", "from haystack import component\nfrom rag.retriever import Retriever"),
        ("rag.cli", "from rag import Chatbot, build_index"),
        ("app", "from rag.server import serve"),
        ("training.embedder", "import torch\nfrom rag.text import terms"),
    ],
)
def test_what_is_allowed_passes(module, source):
    assert violations({module: source}, frozenset({"rag", "rag.text"})) == []


@pytest.mark.parametrize("module", ["rag", "rag.cli", "rag.text", "rag.chunking"])
def test_heavy_libraries_load_only_when_used(module):
    code = f"import sys, {module}; print([name for name in {[*HOMES]!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_text_package_exports_in_order():
    import rag.text

    assert rag.text.__all__ == sorted(rag.text.__all__)
    assert all(hasattr(rag.text, name) for name in rag.text.__all__)
