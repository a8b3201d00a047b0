"""It runs for days: memory, threads, open files and the cache stay level while people ask, upload and rebuild."""

from __future__ import annotations

import math
import os
import statistics
import threading
import time
from functools import partial
from pathlib import Path

import anyio
import psutil
import pytest
from garden import ROOT, server

from reliability.test_p07_load import CORPUS, SERVE, crowd

PROMISE = "P8 it runs for days"
pytestmark = pytest.mark.timeout(0)
MB = 1024 * 1024


def slope(times: list[float], values: list[float]) -> tuple[float, float]:
    """Return the slope of a line through points, per unit of time, and half of its 95 % interval (normal errors)."""
    n, middle = len(times), statistics.fmean(times)
    spread = sum((t - middle) ** 2 for t in times)
    mean = statistics.fmean(values)
    rise = sum((t - middle) * (v - mean) for t, v in zip(times, values, strict=True)) / spread
    rest = [v - mean - rise * (t - middle) for t, v in zip(times, values, strict=True)]
    error = math.sqrt(sum(r * r for r in rest) / max(1, n - 2) / spread)
    return rise, 1.96 * error


class Watch(threading.Thread):
    """Looks at a process several times a second."""

    def __init__(self, process: psutil.Process, every_s: float) -> None:
        super().__init__(daemon=True)
        self.process, self.every_s = process, every_s
        self.at: list[float] = []
        self.memory: list[float] = []
        self.files: list[int] = []
        self.threads: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(self.every_s):
            with self.process.oneshot():
                self.at.append(time.monotonic())
                self.memory.append(self.process.memory_info().rss / MB)
                self.files.append(self.process.num_fds())
                self.threads.append(self.process.num_threads())


def size_of(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MB if folder.is_dir() else 0.0


def test_nothing_grows_while_people_ask_upload_and_rebuild(tally, is_full, tmp_path):
    minutes = float(os.environ.get("SANAD_SOAK_MINUTES", "60" if is_full else "0.1"))
    missed, path = len(tally.missed), f"{ROOT}:{ROOT / 'tests'}"
    before = set(psutil.Process().children())
    pace = {"upload_every_s": 2.0, "build_every_s": 20.0, "think_s": 1.0} if minutes > 1 else {}
    with server(tmp_path, "-c", SERVE, "0.1", "40", "0", CORPUS, PYTHONPATH=path) as address:
        (process,) = set(psutil.Process().children()) - before
        anyio.run(partial(crowd, address, 4, min(240.0, max(4.0, 6 * minutes)), **pace))  # to warm up
        watch = Watch(process, 1.0 if minutes > 1 else 0.1)
        watch.start()
        seen = anyio.run(partial(crowd, address, 4, 60 * minutes, **pace))
        watch.over.set()
        watch.join()
        time.sleep(1.0)
        rest_files, rest_threads = process.num_fds(), process.num_threads()
        generations = [each for each in (tmp_path / "index").iterdir() if each.name.startswith("gen-")]
    rise, error = slope(watch.at, watch.memory)
    hours = (watch.at[-1] - watch.at[0]) / 3600
    start = statistics.median(watch.memory[: max(1, len(watch.memory) // 10)])
    grown = rise * hours * 3600
    tally.figures |= {
        "minutes": round(60 * hours, 1),
        "answers": seen.answers,
        "builds": seen.builds,
        "uploads and deletions": seen.uploads,
        "memory at the start, MB": round(start),
        "growth of memory, MB an hour": f"{rise * 3600:.1f} +- {error * 3600:.1f}",
        "open files, first and last": f"{watch.files[0]} {rest_files}",
        "threads, first and last": f"{watch.threads[0]} {rest_threads}",
        "cache, MB": round(size_of(tmp_path / "tmp"), 1),
    }
    tally.case(seen.answers > 0 and not seen.lost, f"lost streams: {seen.lost[:3]}")
    allowed = 0.05 * start
    is_level = grown - error * hours * 3600 < allowed
    if minutes >= 2:
        tally.case(is_level, f"memory grew by {grown:.0f} MB of {start:.0f}")
    else:
        tally.skip("too short for a slope of memory: set SANAD_SOAK_MINUTES")
    middle = len(watch.files) // 2
    early, late = max(watch.files[: middle or 1]), max(watch.files[middle:])
    tally.case(late <= early + 20, f"open files went from {early} to {late}")
    early, late = max(watch.threads[: middle or 1]), max(watch.threads[middle:])
    tally.case(late <= early + 8, f"threads went from {early} to {late}")
    tally.case(size_of(tmp_path / "tmp") < 50, "the cache grows")
    tally.case(len(generations) <= 3, f"{len(generations)} generations stay")
    assert tally.missed[missed:] == []


def test_a_leak_is_noticed():
    """The test above can fail: what rises a little, in noise, has a slope above zero; what only swings has none."""
    times = [float(t) for t in range(600)]
    swing = [500 + 20 * math.sin(t / 7) for t in times]
    rise, error = slope(times, swing)
    assert rise - error <= 0.0
    rise, error = slope(times, [value + 0.05 * t for t, value in zip(times, swing, strict=True)])
    assert rise - error > 0.03
