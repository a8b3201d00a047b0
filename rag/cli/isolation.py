"""Run `rag.cli.probe` where nothing can leave the machine, and count what tried to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rag.cli import guard

_TIMEOUT_S = 600


def run_probe(index_dir: str) -> dict[str, Any]:
    """Return the report of `rag.cli.probe`, with ``network``: how it was kept apart, and the attempts.

    ``network`` is ``{"isolation", "attempts"}``: ``"namespace"`` is a Linux network namespace in which there is no
    network at all, for native code too; ``"guard"`` (where such namespaces are not permitted) refuses what Python
    code asks for. Attempts are counted in both.
    """
    with tempfile.TemporaryDirectory(prefix="sanad-guard-") as folder:
        shutil.copy(guard.__file__, Path(folder, "sitecustomize.py"))
        pipe = Path(folder, guard.PIPE_NAME)
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # first: a writer that finds no reader fails
        try:
            paths = [folder, str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "HF_HUB_OFFLINE": "1"}
            prefix = _namespace()
            report = _run([*prefix, sys.executable, "-m", "rag.cli.probe", index_dir], environment)
            lines = os.read(reader, 1 << 20).decode("utf-8", "replace").splitlines()
        finally:
            os.close(reader)
    attempts = [json.loads(line) for line in lines]
    report["network"] = {"isolation": "namespace" if prefix else "guard", "attempts": attempts}
    return report


def _namespace() -> list[str]:
    """Return what starts a program without a network; empty where that is not permitted."""
    program = shutil.which("unshare")
    if program is None:
        return []
    command = [program, "--map-root-user", "--net"]
    is_permitted = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if is_permitted else []


def _run(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        report: dict[str, Any] = json.loads(done.stdout)
    except (ValueError, subprocess.TimeoutExpired) as error:
        why = f"took more than {_TIMEOUT_S} s"
        if isinstance(error, ValueError):
            why = (done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"])[-1]
        problem = f"the trial run failed: {why}. Install the package again: pip install --force-reinstall sanad"
        return {"seconds": {}, "sample": [], "problems": [problem]}
    return report
