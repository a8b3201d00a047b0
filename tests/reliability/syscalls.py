"""Strikes one call of the system of a real builder with ``strace --inject``: a signal, or an error."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from reliability.builders import Builders, Event

# The calls that can change a disk.
CHANGES = ("write", "pwrite64", "writev", "fsync", "fdatasync", "truncate", "ftruncate", "rename", "renameat",
           "renameat2", "link", "linkat", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat")  # fmt: skip


@cache
def why_no_strace() -> str:
    """Return why this machine cannot strike calls; empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-qq", "-e", "trace=mkdir", "-e", "inject=mkdir:error=EIO", "true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.strip().splitlines()[-1]}"


def struck(builders: Builders, folder: Path, injection: str, calls: tuple[str, ...] = CHANGES) -> list[str]:
    """Have one ``quiet`` build done under strace, and wait for its end.

    Args:
        builders: Who does it.
        folder: For the gate and the log.
        injection: Such as ``inject=fsync:error=EIO:when=3``; empty to let it pass.
        calls: What to trace.

    Returns:
        The calls it made, in order.
    """
    return strike(builders, folder, injection, calls)[0]


def strike(
    builders: Builders, folder: Path, injection: str, calls: tuple[str, ...] = CHANGES
) -> tuple[list[str], Event | None]:
    """Do what `struck` does; return the calls, and what the builder said at its end, None if it was killed."""
    gate, log = folder / "gate", folder / "calls"
    shutil.rmtree(gate, ignore_errors=True)
    gate.mkdir()
    builders.order("quiet", gate)
    while (ready := builders.event()).name != "ready":
        pass
    options = ["-e", f"trace={','.join(calls)}", "-o", str(log)]
    if injection:
        options += ["-e", injection]
    with subprocess.Popen(["strace", "-p", str(ready.pid), *options], stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        assert "attached" in said, said
        (gate / "go").touch()
        tracer.stderr.read()
    text = log.read_text(errors="replace")
    ended = None if "killed by SIGKILL" in text else builders.event()
    return re.findall(r"^(\w+)\(", text, re.MULTILINE), ended
