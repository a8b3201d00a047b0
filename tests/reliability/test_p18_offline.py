"""Offline and nothing hidden: the roads people take work without a network, and no code comes out of data."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from garden import ENGLISH, ROOT

import rag

PROMISE = "P18 offline and supply chain"
pytestmark = pytest.mark.timeout(300)
PACKAGE = Path(rag.__file__).parent
SOURCES = [*sorted(PACKAGE.rglob("*.py")), ROOT / "app.py"]  # what is shipped
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {("torch", "load"), ("yaml", "load"), ("np", "load"), ("numpy", "load"), ("pd", "read_pickle")}
FLAGS = {"trust_remote_code", "allow_dangerous_deserialization", "allow_pickle", "shell"}


def breaches(tree: ast.AST) -> Iterator[str]:
    """Yield what in a syntax tree makes code out of data, with its line."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            yield from (f"{line}: import {one.name}" for one in node.names if one.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield f"{line}: from {node.module}"
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in CALLS:
                yield f"{line}: {called.id}()"
            elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                is_safe = any(
                    (keyword.arg == "weights_only" and getattr(keyword.value, "value", None) is True)
                    or (keyword.arg == "Loader" and getattr(keyword.value, "attr", "") in ("BaseLoader", "SafeLoader"))
                    or (keyword.arg == "allow_pickle" and getattr(keyword.value, "value", None) is False)
                    for keyword in node.keywords
                )
                if (called.value.id, called.attr) in METHODS and not is_safe:
                    yield f"{line}: {called.value.id}.{called.attr}()"
            for keyword in node.keywords:
                if keyword.arg in FLAGS and getattr(keyword.value, "value", None) is not False:
                    yield f"{line}: {keyword.arg}="
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if getattr(key, "value", None) in FLAGS and getattr(value, "value", None) is not False:
                    yield f"{line}: {key.value!r}"  # type: ignore[union-attr]


def test_no_source_makes_code_out_of_data(tally):
    missed = len(tally.missed)
    for path in SOURCES:
        found = list(breaches(ast.parse(path.read_text(encoding="utf-8"))))
        tally.case(not found, f"{path.relative_to(ROOT)}: {found}")
    tally.figures["source files"] = len(SOURCES)
    assert tally.missed[missed:] == []


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from joblib import load", "eval(x)", "torch.load(p)", "f(trust_remote_code=True)",
     "np.load(p)", "{'trust_remote_code': flag}", "subprocess.run(x, shell=True)", "f(allow_pickle=True)"],
)  # fmt: skip
def test_a_breach_is_found(source):
    assert list(breaches(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["torch.load(p, weights_only=True)", "np.load(p, allow_pickle=False)", "re.compile(x)"]
)
def test_what_is_safe_passes(source):
    assert not list(breaches(ast.parse(source)))


def test_the_weights_hold_numbers_alone(tally):
    """No file of the package is a pickle, however it is called."""
    missed = len(tally.missed)
    weights = [path for path in (PACKAGE / "models").rglob("*") if path.is_file()]
    for path in weights:
        with path.open("rb") as file:
            head = file.read(4)
        is_pickle = head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05"
        tally.case(not is_pickle and path.suffix not in (".pt", ".pth", ".pkl", ".ckpt"), f"{path} may hold code")
    assert weights
    assert tally.missed[missed:] == []


# -- no network -----------------------------------------------------------------------------------------------

ROADS = f"""
import socket, sys
connect = socket.socket.connect
def guarded(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(("127.", "::1")):
        sys.exit(f"a connection to {{address}}")
    return connect(self, address)
socket.socket.connect = guarded

from pathlib import Path
import anyio, httpx
from rag import Chatbot, Retriever, build_index
Path("corpus").mkdir()
Path("corpus", "garden.md").write_text({ENGLISH!r})
Path("corpus", "page.html").write_text("<html><head><title>Beans</title><link rel=stylesheet href=http://192.0.2.1/x>"
    "</head><body><article><p>Beans want water twice a week.</p><img src=http://192.0.2.1/i.png></article></body></html>")
report = build_index("corpus", "index")
assert not report.failed, report.failed
retriever = Retriever.open("index")
assert retriever.search("How much sun do tomatoes want?")[0].passage.doc_id == "garden.md"
assert "six hours" in Chatbot(retriever).ask("How many hours of sunlight do tomatoes want?").text
from rag.server import ChatService, create_app
app = create_app(service=ChatService("index", corpus_dirs=["corpus"]))
async def visit():
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
        for path in ("/", "/config", "/healthz", "/quality", "/api/documents", "/theme.css", "/gradio_api/info"):
            reply = await client.get(path)
            assert reply.status_code == 200, (path, reply.status_code)
        body = dict(question="How often do beans want water?")
        assert "twice" in (await client.post("/api/ask", json=body)).json()["answer"]
        assert "event: report" in (await client.post("/api/build")).text
anyio.run(visit)
print("all roads went without a network")
"""


def isolated() -> list[str]:
    """Return what runs a command without any network; empty where the machine forbids that."""
    command = ["unshare", "-rn"]
    if shutil.which("unshare") is None:
        return []
    return command if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0 else []


def test_the_roads_people_take_need_no_network(tally, tmp_path):
    cage = isolated()
    if not cage:
        tally.skip("this machine forbids unshare -rn: the guard of sockets alone was used")
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment.pop("HF_HUB_OFFLINE", None)  # it must not be needed
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "GRADIO_TEMP_DIR": str(tmp_path / "tmp")}
    done = subprocess.run(
        [*cage, sys.executable, "-c", ROADS],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    held = done.returncode == 0 and "all roads" in done.stdout
    tally.case(held, (done.stdout + done.stderr)[-600:])
    tally.figures["network"] = "none" if cage else "guarded"
    assert held, done.stdout + done.stderr


def test_a_connection_is_noticed(tmp_path):
    """The test above can fail: without a network a name is not found, and the guard ends the process."""
    guard = ROADS.split("from pathlib")[0]
    code = f"{guard}\nimport socket\nsocket.socket().connect(('192.0.2.1', 80))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "a connection to" in done.stderr
    cage = isolated()
    if cage:
        code = "import socket; socket.create_connection(('192.0.2.1', 80), 2)"
        done = subprocess.run([*cage, sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "unreachable" in done.stderr


def test_the_libraries_with_known_holes_are_newer_than_those(tally):
    """What was fixed upstream because data became code, or a lock a race: the least version we ask for has the fix."""
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {each.name: each.specifier for each in map(Requirement, project["dependencies"])}
    bad = {"transformers": "5.2.9", "filelock": "3.20.2", "gradio": "6.30.0", "python-multipart": "0.0.17"}
    missed = len(tally.missed)
    for name, version in bad.items():
        tally.case(not asked[name].contains(version), f"{name} {version} is let in by {asked[name]}")
    assert tally.missed[missed:] == []
