"""What the promises of SECURITY.md are counted with: cases tried, survived and skipped, figures, misses.

make reliability                                     every promise to its full pass mark, and a report
python -m pytest tests/reliability                   short runs of the same tests, as in make test
SANAD_RELIABILITY=full python -m pytest tests/reliability/test_p05_damage.py

The report is a JSON file, ``{"promises": [ROW, ...]}``, a row a promise. A run of some promises (``make reliability
ONLY="-k p05"``) puts its rows in the place of theirs and leaves the others, so each row says of which commit it is.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

IS_FULL = os.environ.get("SANAD_RELIABILITY") == "full"
_REPORT = os.environ.get("SANAD_RELIABILITY_REPORT", "")
_tallies: dict[str, Tally] = {}


@dataclass
class Tally:
    """What one promise came to.

    Attributes:
        promise: Its number and what it says, such as ``"P5 damage is detected"``.
        tried: Cases run.
        survived: Cases in which the promise held.
        skipped: Why cases could not be run here, and how many; a skipped case is no pass.
        missed: What did not hold, a line each.
        figures: What was measured beside, by name with its unit: ``"p95 while rebuilding, ms"``.
        failed: The tests that failed, so that one which broke off before it had counted its cases is no pass either.
        seconds: Wall time of its tests.
    """

    promise: str
    tried: int = 0
    survived: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    figures: dict[str, float | int | str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def case(self, held: bool, what: str = "") -> None:
        """Count one case; ``what`` names it where it did not hold. Assert on `missed` at the end of the test."""
        self.tried += 1
        if held:
            self.survived += 1
        else:
            self.missed.append(what)

    def skip(self, why: str, cases: int = 1) -> None:
        """Count cases that this machine cannot run."""
        self.skipped[why] = self.skipped.get(why, 0) + cases


@pytest.fixture
def is_full() -> bool:
    """Whether the full pass marks are asked for; the short runs of ``make test`` else."""
    return IS_FULL


@pytest.fixture
def ram_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: the system is asked for the same, and nobody waits for a real disk."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="sanad-") as folder:
        yield Path(folder)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The count of the promise that the test module opens with: ``PROMISE = "P5 damage is detected"``."""
    promise: str = request.module.PROMISE
    found = _tallies.setdefault(promise, Tally(promise))
    began = time.monotonic()
    yield found
    found.seconds = round(found.seconds + time.monotonic() - began, 1)


def number(promise: str) -> int:
    """Return the number of a promise: 5 of ``"P5 damage is detected"``."""
    return int(promise.split()[0][1:])


def merged(report: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a report with these rows in the place of its rows of the same promises, by number."""
    kept = {number(row["promise"]): row for row in [*report.get("promises", []), *rows]}
    return {"promises": [kept[at] for at in sorted(kept)]}


def circumstances() -> dict[str, Any]:
    """Return what a row was measured on: the commit, with ``+`` where files differ from it, the day and the machine."""
    asked = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    commit = subprocess.run(asked, cwd=Path(__file__).parent, capture_output=True, text=True, check=False).stdout
    return {
        "commit": commit.strip(),
        "date": datetime.now(UTC).date().isoformat(),
        "is_full": IS_FULL,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Name the tests that failed in the row of their promise."""
    if not report.failed or (found := re.search(r"test_p(\d+)_", report.nodeid)) is None:
        return
    for tally in _tallies.values():
        if number(tally.promise) == int(found[1]):
            tally.failed.append(f"{report.nodeid.rpartition('/')[2]} ({report.when})")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print a line a promise, and bring the report that was asked for up to date."""
    if not _tallies:
        return
    rows = sorted(_tallies.values(), key=lambda row: number(row.promise))
    terminalreporter.section("promises")
    for row in rows:
        skipped = "".join(f", {count} skipped ({why})" for why, count in row.skipped.items())
        figures = "".join(f"; {name} {value}" for name, value in row.figures.items())
        line = f"{row.promise}: {row.survived} of {row.tried} held{skipped}{figures}; {row.seconds:g} s"
        terminalreporter.line(line)
        for miss in row.missed[:20]:
            terminalreporter.line(f"    missed: {miss}")
    if _REPORT:
        path = Path(_REPORT)
        report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        report = merged(report, [{**asdict(row), **circumstances()} for row in rows])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
