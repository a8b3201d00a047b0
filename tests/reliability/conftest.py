"""What the promises of SECURITY.md are counted with: cases tried, survived and skipped, figures, misses.

make reliability                                     every promise to its full pass mark, and a report
python -m pytest tests/reliability                   short runs of the same tests, as in make test
SANAD_RELIABILITY=full python -m pytest tests/reliability/test_p05_damage.py
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
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
        seconds: Wall time of its tests.
    """

    promise: str
    tried: int = 0
    survived: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    figures: dict[str, float | int | str] = field(default_factory=dict)
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


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print a line a promise, and write the report that was asked for."""
    if not _tallies:
        return
    rows = sorted(_tallies.values(), key=lambda row: int(row.promise.split()[0][1:]))
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
        machine = {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
        report = {"full_runs": IS_FULL, **machine, "promises": [asdict(r) for r in rows]}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
