"""Paths and names cannot escape: whatever a name says, nothing outside is read or written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROMISE = "P10 paths and names cannot escape"
pytestmark = pytest.mark.timeout(1800 if os.environ.get("SANAD_RELIABILITY") == "full" else 600)

TESTS = Path(__file__).parents[1]
# --seccomp-bpf: stops at the calls that are traced only
STRACE = ("strace", "--seccomp-bpf", "-f", "-qq", "-y", "-s", "8000", "-e", "trace=%file")
_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_OPENED = re.compile(r" = \d+<(/[^>]*)>$")
_WRITES = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC")
_CHANGES = ("rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "symlink", "link")
_CHANGES += ("symlinkat", "linkat", "truncate", "chmod", "fchmodat", "mknod", "mknodat")


def world_of(folder: Path) -> Path:
    """Return a folder with a place that may be used, ``data``, and one that may not."""
    (folder / "outside").mkdir(parents=True)
    (folder / "outside" / "canary.txt").write_text("CANARY")
    return folder


def run(world: Path, *before: str) -> list[dict]:
    done = subprocess.run(
        [*before, sys.executable, "-m", "reliability.path_user", str(world)],
        cwd=TESTS,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(world / "data")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def escapes(trace: str, world: Path) -> list[str]:
    """Return the calls of a trace (with ``-y``) that wrote outside of the data, or were led outside to read."""
    allowed = (str(world / "data"), "/dev/null", "/dev/shm/", "/proc/")
    found = []
    for line in trace.splitlines():
        match = _CALL.match(line)
        if match is None or " = -1 " in line:
            continue
        call, rest = match.groups()
        asked = [path for path in _TEXT.findall(rest) if path.startswith("/")]
        opened = _OPENED.search(rest)
        if opened is not None:
            real = opened[1].removesuffix(" (deleted)")
            is_write = any(flag in rest for flag in _WRITES)
            is_led_out = any(path.startswith(str(world)) for path in asked) and not real.startswith(allowed)
            is_wrong = is_led_out or (is_write and not real.startswith(allowed))
        else:
            changed = asked[-1:] if call in ("symlink", "symlinkat") else asked  # where a link leads is mere text
            is_wrong = call in _CHANGES and any(not path.startswith(allowed) for path in changed)
        if is_wrong:
            found.append(line[:200])
    return found


def strace() -> str:
    """Return why no trace can be made here; empty if one can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run([*STRACE, "-o", "/dev/null", "true"], capture_output=True)
    return "" if probe.returncode == 0 else "strace may not trace here"


def test_no_name_leads_out(tmp_path, tally):
    world = world_of(tmp_path / "world")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    why_not = strace()
    trace = tmp_path / "trace.txt"
    watch = [] if why_not else [*STRACE, "-o", str(trace)]
    rows = run(world, *watch)
    for row in rows:
        tally.case(not row["problem"], f"{row['where']} {row['name']!r}: {row['problem']}")
    assert len(rows) >= 300
    if why_not:
        tally.skip(why_not)
    else:
        found = escapes(trace.read_text("utf-8", "replace"), world)
        for line in found:
            tally.case(False, line)
        tally.case(not found, "calls outside of the data")
        tally.figures["file calls traced"] = trace.read_bytes().count(b"\n")
        assert not found
    after = [str(path) for path in tmp_path.rglob("*") if world / "data" not in path.parents and path != world / "data"]
    assert sorted(path for path in after if path != str(trace)) == before
    assert (world / "outside" / "canary.txt").read_text() == "CANARY"
    assert not [row for row in rows if row["problem"]]


def test_an_escape_would_be_seen(tmp_path):
    """The known bad one: what joins a name to a folder and writes."""
    why_not = strace()
    if why_not:
        pytest.skip(why_not)
    world = world_of(tmp_path / "world")
    (world / "data").mkdir()
    trace = tmp_path / "trace.txt"
    naive = "import sys,os; p=os.path.join(sys.argv[1],'data','../outside/canary.txt'); open(os.path.abspath(p),'w')"
    subprocess.run([*STRACE, "-o", str(trace), sys.executable, "-c", naive, str(world)], check=True)
    assert any("canary.txt" in line for line in escapes(trace.read_text("utf-8", "replace"), world))
