"""What is shipped: the wheel, installed and used elsewhere; the image, the compose file, the workflows."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

from rag.cli import _parser

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAX_WHEEL_BYTES = 100_000_000  # what PyPI takes
DOCUMENT = "# الضمان\n\nمدة ضمان الغلاية الزرقاء ثلاث سنوات من تاريخ الشراء، ويشمل عطل السخّان ولا يشمل الكسر.\n"
QUESTION = "كم مدة ضمان الغلاية الزرقاء؟"
SCRIPT = f"""
import rag
from rag import Chatbot, Retriever, build_index

build_index("documents", "index")
answer = Chatbot(Retriever.open("index")).ask({QUESTION!r})
print(rag.__file__)
print([citation.quote for citation in answer.citations])
"""


# -- the wheel ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy: setuptools leaves a folder ``build`` beside the sources."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "rag", source / "rag", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (source / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel, names):
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
    source = wheel.parents[1]
    ours = {path.relative_to(source).as_posix() for path in (source / "rag").rglob("*") if path.is_file()}
    info = f"sanad-{PROJECT['version']}.dist-info"
    assert {name for name in names if not name.startswith(f"{info}/")} == ours
    assert f"{info}/licenses/LICENSE" in names
    assert {"rag/py.typed", "rag/models/answering.json", "rag/ui/static/style.css"} <= names
    for model in ("embedder", "reader"):
        assert any(name.startswith(f"rag/models/{model}/") and name.endswith(".safetensors") for name in names)


def test_the_package_holds_no_tests_and_no_remains_of_training(names):
    strange = [
        name for name in names if re.search(r"(^|/)(tests?|training|runs|checkpoints?)/|\.(pt|pkl|bin|log)$", name)
    ]
    assert strange == []


def test_the_wheel_can_be_published(wheel):
    assert wheel.name == f"sanad-{PROJECT['version']}-py3-none-any.whl"
    assert wheel.stat().st_size < MAX_WHEEL_BYTES


def test_the_metadata_says_what_pip_and_people_need(wheel, names):
    with zipfile.ZipFile(wheel) as archive:
        read = {Path(name).name: name for name in names if ".dist-info/" in name}
        metadata = Parser().parsestr(archive.read(read["METADATA"]).decode("utf-8"))
        scripts = archive.read(read["entry_points.txt"]).decode("utf-8")
    assert (metadata["Name"], metadata["Version"]) == ("sanad", PROJECT["version"])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert set(PROJECT["optional-dependencies"]) == set(metadata.get_all("Provides-Extra"))
    assert "rag = rag.cli:main" in scripts
    assert "# Sanad" in metadata.get_payload()


def use_elsewhere(python: Path, folder: Path) -> None:
    """Build and ask in a folder far from the repository, by Python and by the terminal."""
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "kettle.md").write_text(DOCUMENT, encoding="utf-8")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    environment.pop("PYTHONPATH", None)
    run = {"cwd": folder, "env": environment, "capture_output": True, "text": True, "timeout": 110}
    done = subprocess.run([python, "-W", "error::SyntaxWarning", "-c", SCRIPT], **run)
    assert done.returncode == 0, done.stderr
    place, quotes = done.stdout.splitlines()
    assert Path(place).is_relative_to(python.parents[1])
    assert "ثلاث سنوات" in quotes
    done = subprocess.run([python.parent / "rag", "ask", QUESTION, "--json"], **run)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["citations"][0]["doc_id"] == "kettle.md"


def test_the_wheel_works_outside_of_the_repository(wheel, tmp_path):
    """In an environment of its own, which borrows the dependencies of this one."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    use_elsewhere(python, tmp_path / "elsewhere")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_works_in_an_empty_environment(wheel, tmp_path):
    """Installs all dependencies from the package index: minutes, and some gigabytes."""
    venv.create(tmp_path / "venv", symlinks=True, with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", str(wheel)], check=True, capture_output=True)
    use_elsewhere(python, tmp_path / "elsewhere")


# -- image, compose, workflows --------------------------------------------------------------------------------


def check(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_finds_nothing_in_the_dockerfile():
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_nobody_special_and_says_whether_it_is_healthy():
    last = DOCKERFILE.split("\nFROM ")[-1]
    assert re.findall(r"^USER (.+)$", last, re.MULTILINE) == ["1000:1000"]
    assert "/healthz" in last.partition("HEALTHCHECK")[2].partition("ENTRYPOINT")[0]
    assert re.findall(r"^VOLUME (.+)$", last, re.MULTILINE) == ['["/data/corpus", "/data/index"]']


def test_what_the_dockerfile_copies_is_not_ignored():
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    copied = {name for line in lines for name in line.split()[:-1]}
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_the_compose_file_is_one():
    check("--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_the_commands_of_image_and_compose_are_commands_of_rag():
    (command,) = re.findall(r"^CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    commands = [json.loads(command)]
    for service in COMPOSE["services"].values():
        if "command" in service:
            commands.append(shlex.split(re.sub(r"\$\{\w+:-\}", "", service["command"])))
    assert len(commands) == 3
    for arguments in commands:
        assert _parser().parse_args(arguments).command


def test_compose_publishes_to_this_machine_alone_and_keeps_the_system_read_only():
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    for name in ("index", "sanad"):
        assert COMPOSE["services"][name]["read_only"] is True
        assert COMPOSE["services"][name]["cap_drop"] == ["ALL"]


def test_the_volumes_of_compose_are_those_of_the_image():
    (volumes,) = re.findall(r"^VOLUME (.+)$", DOCKERFILE, re.MULTILINE)
    mounted = [volume.rpartition(":")[2] for volume in COMPOSE["services"]["sanad"]["volumes"]]
    assert mounted == json.loads(volumes)


def test_workflows_issue_forms_and_dependabot_have_the_shape_github_wants():
    check("--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    check("--builtin-schema", "custom.github-workflows-require-timeout", *WORKFLOWS)
    check("--builtin-schema", "vendor.dependabot", ".github/dependabot.yml")
    forms = ROOT / ".github" / "ISSUE_TEMPLATE"
    check("--builtin-schema", "vendor.github-issue-forms", *(p for p in forms.glob("*.yml") if p.stem != "config"))
    check("--builtin-schema", "vendor.github-issue-config", forms / "config.yml")


def test_workflows_may_write_only_where_they_publish():
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {"contents": "read"}, path.name
        writing = {name for name, job in workflow["jobs"].items() if "write" in job.get("permissions", {}).values()}
        assert writing == ({"pypi", "github", "image"} if path.stem == "release" else set())


def test_every_python_that_is_promised_is_tested():
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["test"]["strategy"]
    assert matrix["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == ">=3.11"
