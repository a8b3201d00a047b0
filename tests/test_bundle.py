"""``rag bundle``: one archive, unpacked and asked on a machine without network."""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest
from cli_runs import run_on_folder, small_folder  # noqa: F401  (fixtures)

import rag
from rag.cli.isolation import _namespace
from rag.cli.wheels import BundleError, _installed, fetch_wheels

QUESTION = "When should a welcome message leave?"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return an environment of its own that sees the packages installed here."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    (site,) = folder.glob("lib/python*/site-packages")
    own = Path(rag.__file__).parents[1]
    (site / "present.pth").write_text(f"{sysconfig.get_path('purelib')}\n{own}\n", encoding="utf-8")
    return folder


def unpack(archive, target):
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    return target / "sanad-bundle"


def test_a_bundle_is_whole_and_says_what_is_in_it(run, folder, tmp_path):
    archive = tmp_path / "b.tar.gz"
    status, out, err = run("bundle", str(archive), "--no-wheels", "--corpus-dir", str(folder / "corpus"), "--json")
    report = json.loads(out)
    assert status == 0, err
    assert (report["path"], report["wheels"], report["embedder"]) == (str(archive), 0, "built-in")
    root = unpack(archive, tmp_path)
    about = json.loads((root / "bundle.json").read_text(encoding="utf-8"))
    assert about["generation"] == (root / "index" / "CURRENT").read_text(encoding="ascii").strip()
    assert (root / "corpus" / "ar" / "budget.md").read_bytes() == (folder / "corpus" / "ar" / "budget.md").read_bytes()
    files = {path for path in root.rglob("*") if path.is_file()}
    sums = [line.split("  ", 1) for line in (root / "SHA256SUMS").read_text(encoding="utf-8").splitlines()]
    assert {root / name for _, name in sums} == files - {root / "SHA256SUMS"}
    assert all(hashlib.sha256((root / name).read_bytes()).hexdigest() == digest for digest, name in sums)
    assert {path.name for path in tmp_path.iterdir()} == {"b.tar.gz", "sanad-bundle"}


def test_a_bundle_answers_without_a_network(run, folder, environment, tmp_path):
    prefix = _namespace()
    if not prefix:
        pytest.skip("this machine permits no network namespaces")
    assert run("bundle", str(tmp_path / "b.tar.gz"), "--no-wheels")[0] == 0
    root = unpack(tmp_path / "b.tar.gz", tmp_path)
    variables = {**os.environ, "PYTHON": str(environment / "bin" / "python")}
    done = subprocess.run(
        [*prefix, str(root / "install.sh")], capture_output=True, text=True, env=variables, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "every file is whole" in done.stdout
    ask = shlex.split(done.stdout.split("Ask:  ")[1].splitlines()[0])[:-1]
    done = subprocess.run(
        [*prefix, *ask, QUESTION, "--json"], capture_output=True, text=True, timeout=100, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "within one hour" in json.loads(done.stdout)["citations"][0]["quote"]


def test_a_bundle_is_installed_from_a_folder_of_any_name(run, environment, tmp_path):
    assert run("bundle", str(tmp_path / "b.tar.gz"), "--no-wheels")[0] == 0
    folder = tmp_path / "Omar's my usb"
    root = unpack(tmp_path / "b.tar.gz", folder)
    python = folder / "its venv" / "bin" / "python"
    (folder / "its venv").symlink_to(environment)
    variables = {**os.environ, "PYTHON": str(python)}
    for arguments in ([], [str(folder / "its venv")]):
        done = subprocess.run(
            [str(root / "install.sh"), *arguments], capture_output=True, text=True, env=variables, timeout=60
        )
        assert done.returncode == 0, done.stderr
        ask, serve = (shlex.split(line.split(":  ", 1)[1]) for line in done.stdout.splitlines()[-2:])
        assert ask == [str(python), "-m", "rag", "ask", "--index-dir", str(root / "index"), "QUESTION"]
        assert serve[3:] == ["serve", "--index-dir", str(root / "index"), "--corpus-dir", str(root / "corpus")]


def test_a_bundle_takes_the_documents_that_a_build_reads_and_their_origin(folder, run, tmp_path):
    corpus, other = tmp_path / "corpus", tmp_path / "other"
    shutil.copytree(folder / "corpus", corpus)
    shutil.copytree(folder / "index", corpus / "index")
    for path in ("SOURCES.md", "ar/SOURCES.md", "web/a.org/x.html", "web/.pages.json", ".git/SOURCES.md", "x.exe"):
        (corpus / path).parent.mkdir(parents=True, exist_ok=True)
        (corpus / path).write_text("{}", encoding="utf-8")
    other.mkdir()
    (other / "b.md").write_text("B.", encoding="utf-8")
    (other / "SOURCES.md").symlink_to(folder / "corpus" / "email.md")
    index = ["--index-dir", str(corpus / "index"), "--no-wheels"]
    expected = {"email.md", "ar/budget.md", "SOURCES.md", "ar/SOURCES.md", "web/a.org/x.html", "web/.pages.json"}

    def bundled(*folders: Path) -> set[str]:
        """Bundle into the corpus folder itself; return the documents."""
        options = [option for path in folders for option in ("--corpus-dir", str(path))]
        status, _, err = run("bundle", str(corpus / "b.tar.gz"), *index, *options, index=False)
        assert status == 0, err
        with tarfile.open(corpus / "b.tar.gz") as tar:
            names = [name.removeprefix("sanad-bundle/") for name in tar.getnames() if tar.getmember(name).isfile()]
        return {name.removeprefix("corpus/") for name in names if name.startswith("corpus/")}

    assert bundled(corpus) == expected
    assert bundled(corpus, other) == {f"corpus/{name}" for name in expected} | {"other/b.md"}


def test_what_cannot_be_copied_is_said_in_one_line(run, tmp_path):
    wheel = tmp_path / "wheels" / "sanad-0.1.0-py3-none-any.whl"
    wheel.mkdir(parents=True)
    status, _, err = run("bundle", str(tmp_path / "b.tar.gz"), "--wheels", str(tmp_path / "wheels"))
    assert status == 1 and err.startswith(f"error: the bundle cannot be made: {wheel}: ") and err.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["wheels"]


def test_install_refuses_what_was_damaged_on_the_way(run, environment, tmp_path):
    assert run("bundle", str(tmp_path / "b.tar.gz"), "--no-wheels")[0] == 0
    root = unpack(tmp_path / "b.tar.gz", tmp_path)
    (path,) = root.glob("index/gen-*/passages.jsonl")
    path.write_bytes(path.read_bytes() + b" ")
    variables = {**os.environ, "PYTHON": str(environment / "bin" / "python")}
    done = subprocess.run([str(root / "install.sh")], capture_output=True, text=True, env=variables, timeout=60)
    assert done.returncode == 1
    assert "error: a file is damaged; copy the archive again" in done.stderr


def test_install_names_what_is_missing(run, tmp_path):
    assert run("bundle", str(tmp_path / "b.tar.gz"), "--no-wheels")[0] == 0
    root = unpack(tmp_path / "b.tar.gz", tmp_path)
    variables = {**os.environ, "PYTHON": "no-such-python"}
    done = subprocess.run([str(root / "install.sh")], capture_output=True, text=True, env=variables, timeout=60)
    assert done.returncode == 1 and "error: there is no no-such-python here; install Python 3." in done.stderr
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True, timeout=60)
    variables["PYTHON"] = str(bare / "bin" / "python")
    done = subprocess.run(
        [str(root / "install.sh")], capture_output=True, text=True, env=variables, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 1 and "Sanad is not installed here; bundle again without --no-wheels" in done.stderr


def test_wheels_of_a_folder_are_taken_as_they_are(run, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    status, _, err = run("bundle", str(tmp_path / "b.tar.gz"), "--wheels", str(wheels))
    assert status == 1 and err.startswith(f"error: {wheels} holds no wheel of sanad") and err.count("\n") == 1
    (wheels / "sanad-0.1.0-py3-none-any.whl").write_bytes(b"a wheel")
    (wheels / "notes.txt").write_text("no wheel", encoding="utf-8")
    status, out, _ = run("bundle", str(tmp_path / "b.tar.gz"), "--wheels", str(wheels), "--json")
    assert (status, json.loads(out)["wheels"]) == (0, 1)
    root = unpack(tmp_path / "b.tar.gz", tmp_path)
    assert [path.name for path in (root / "wheels").iterdir()] == ["sanad-0.1.0-py3-none-any.whl"]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the program zstd is not installed")
def test_a_zstandard_archive_unpacks_with_tar(run, tmp_path):
    assert run("bundle", str(tmp_path / "b.tar.zst"), "--no-wheels")[0] == 0
    subprocess.run(["tar", "--zstd", "-xf", "b.tar.zst"], cwd=tmp_path, check=True, timeout=60)
    assert os.access(tmp_path / "sanad-bundle" / "install.sh", os.X_OK)


def test_a_damaged_index_is_not_bundled_and_nothing_is_left(folder, run, tmp_path):
    shutil.copytree(folder / "index", tmp_path / "index")
    (path,) = (tmp_path / "index").glob("gen-*/passages.jsonl")
    path.write_bytes(b"!")
    index = ["--index-dir", str(tmp_path / "index")]
    status, out, err = run("bundle", str(tmp_path / "b.tar.gz"), "--no-wheels", *index, index=False)
    assert (status, out) == (1, "")
    assert "passages.jsonl" in err and err.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["index"]


def test_wheels_come_in_the_versions_that_are_installed_here():
    lines = _installed()
    assert any(line.startswith("numpy==") for line in lines)
    assert not any(line.startswith("sanad==") for line in lines)


def test_wheels_that_cannot_be_fetched_are_said_with_the_ways_out(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(BundleError, match=r"the wheels could not be gathered: .*--wheels DIR, or .*--no-wheels"):
        fetch_wheels(tmp_path)
    assert capfd.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_full_bundle_installs_without_a_network(run, tmp_path):
    prefix = _namespace()
    if not prefix:
        pytest.skip("this machine permits no network namespaces")
    status, out, err = run("bundle", str(tmp_path / "b.tar.gz"), "--json")
    if status and "could not be gathered" in err:
        pytest.skip(f"no network to gather the wheels from: {err}")
    assert status == 0, err
    assert json.loads(out)["wheels"] > 50
    root = unpack(tmp_path / "b.tar.gz", tmp_path)
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    # The base interpreter: the environment of the tests would lend its packages.
    variables["PYTHON"] = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}")
    done = subprocess.run([*prefix, str(root / "install.sh")], capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    ask = shlex.split(done.stdout.split("Ask:  ")[1].splitlines()[0])[:-1]
    done = subprocess.run([*prefix, *ask, QUESTION, "--json"], capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    assert "within one hour" in json.loads(done.stdout)["citations"][0]["quote"]
