"""Wheels of the installed package and of all it needs, in the versions that are installed here."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rag.errors import RagError

_NAME = "sanad"
_NO_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")


class BundleError(RagError):
    """A bundle cannot be made, or one of its parts is not to be had."""


def fetch_wheels(target: Path) -> None:
    """Put the wheels into ``target`` with pip; what pip says goes to stderr.

    Raises:
        BundleError: pip is missing, the package's source is not known, or something cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix="sanad-wheels-") as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("".join(f"{line}\n" for line in _installed()), encoding="utf-8")
        source = _source()
        if Path(source).is_dir():  # a copy: setuptools would leave its build/ in the tree, and take old modules from it
            source = shutil.copytree(source, Path(folder, _NAME), ignore=_NO_SOURCE).as_posix()
        _pip("wheel", "--wheel-dir", str(target), "--constraint", str(constraints), source)


def _installed() -> list[str]:
    """Return ``name==version`` of every distribution here but our own, so that the other machine gets the same."""
    versions: dict[str, str] = {}
    for found in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"] or "").lower()
        # An editable or local install has a version that no index knows.
        if name and name != _NAME and found.read_text("direct_url.json") is None:
            versions.setdefault(name, found.version)
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def _source() -> str:
    """Return what pip makes our own wheel of: the folder or the wheel that was installed, or the name and version."""
    try:
        own = importlib.metadata.distribution(_NAME)
    except importlib.metadata.PackageNotFoundError as error:
        raise BundleError("the package sanad is not installed here; install it first: pip install sanad") from error
    origin = own.read_text("direct_url.json")
    if origin is None:
        return f"{_NAME}=={own.version}"
    url = urlsplit(json.loads(origin)["url"])
    if url.scheme != "file":
        return str(json.loads(origin)["url"])
    path = Path(unquote(url.path))
    if not path.exists():
        raise BundleError(f"{path}, which sanad was installed from, is gone; gather the wheels and name --wheels DIR")
    return str(path)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    # pip reports on stdout, which is ours for results.
    done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise BundleError(f"{sys.executable} has no pip; add it with: {sys.executable} -m ensurepip")
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    why = (errors or done.stderr.splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
    raise BundleError(
        f"the wheels could not be gathered: {why}. Bundle on a machine with network, name a folder of wheels with "
        "--wheels DIR, or leave them out with --no-wheels"
    )
