"""One system in a process of its own: builds an index, or opens it and answers.

    python -m benchmarks.peers.worker STAGE JOB.json

``prepare`` makes ready what lies there before a build; ``build`` indexes and saves; ``serve`` opens, answers its first
question and says ``first``, then is timed. The last line of stdout is a JSON object of figures.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TOP_K = 11  # ten remain when the other version of the right paragraph is left out
_WARM_UP = 8


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker does. Paths are absolute; ``model`` ends in ``.npz`` where it is a `Synthetic`."""

    system: str
    folder: str
    passages: str
    added: str
    questions: str
    model: str


def main(argv: Sequence[str]) -> int:
    """Run one stage of one job."""
    stage, path = argv
    job = Job(**json.loads(Path(path).read_text("utf-8")))
    figures = {"prepare": _prepare, "build": _build, "serve": _serve}[stage](job)
    print(json.dumps(figures))
    return 0


def _open(job: Job) -> Any:
    from benchmarks.peers.systems import SYSTEMS

    return SYSTEMS[job.system](Path(job.model))


def _prepare(job: Job) -> dict[str, Any]:
    from benchmarks.peers.data import read_passages
    from benchmarks.peers.systems import SYSTEMS

    SYSTEMS[job.system].prepare(Path(job.folder), read_passages(Path(job.passages)))
    return {}


def _build(job: Job) -> dict[str, Any]:
    from benchmarks.peers.data import read_passages

    passages = read_passages(Path(job.passages))
    system = _open(job)
    folder = Path(job.folder)
    warm = folder.with_name(f"{folder.name}-warm")
    system.prepare(warm, passages[:_WARM_UP])
    system.build(warm, passages[:_WARM_UP])  # what is loaded on first use is loaded now
    begin, begin_cpu = time.perf_counter(), _cpu_s()
    system.build(folder, passages)
    seconds, cpu_s = time.perf_counter() - begin, _cpu_s() - begin_cpu
    return {
        "passages_per_s": len(passages) / seconds,
        "passages_per_cpu_s": len(passages) / cpu_s,
        "build_peak_mb": _peak_mb(),
        "disk_mb": sum(path.stat().st_size for path in _index_files(folder)) / 1e6,
    }


def _serve(job: Job) -> dict[str, Any]:
    from benchmarks.peers.data import read_passages, read_questions

    questions = read_questions(Path(job.questions))
    system = _open(job)
    system.open(Path(job.folder))
    if not system.search(questions[0].text, TOP_K):
        raise RuntimeError(f"{job.system} found nothing")
    print("first", flush=True)
    cold_start_cpu_s = _cpu_s()
    for question in questions[1 : 1 + _WARM_UP]:
        system.search(question.text, TOP_K)
    seconds, hits, begin_cpu = [], [], _cpu_s()
    for question in questions[1 + _WARM_UP :] + questions[: 1 + _WARM_UP]:  # asked before: last
        begin = time.perf_counter()
        hits.append(system.search(question.text, TOP_K))
        seconds.append(time.perf_counter() - begin)
    cpu_s = _cpu_s() - begin_cpu
    timed = np.array(seconds[: -1 - _WARM_UP]) * 1000
    peak = _peak_mb()
    adding, saving = [], []
    for passage in read_passages(Path(job.added)):
        begin = time.perf_counter()
        system.add(passage)
        adding.append(time.perf_counter() - begin)
        if passage.passage_id not in system.search(passage.text, TOP_K):
            raise RuntimeError(f"{job.system} does not find {passage.passage_id}, which was added")
        begin = time.perf_counter()
        system.save()
        saving.append(time.perf_counter() - begin)
    return {
        "query_p50_ms": float(np.percentile(timed, 50)),
        "query_p95_ms": float(np.percentile(timed, 95)),
        "cold_start_cpu_s": cold_start_cpu_s,
        "query_cpu_ms": 1000 * cpu_s / len(questions),
        "serve_peak_mb": peak,
        "add_s": float(np.median(adding)),
        "add_saved_s": float(np.median(np.array(adding) + saving)),
        "hits": hits[-1 - _WARM_UP :] + hits[: -1 - _WARM_UP],  # in the order of the questions
        "versions": system.versions(),
    }


def _index_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] != "corpus"]


def _cpu_s() -> float:
    """Return the processor time of this process, all its threads, and of its children that have ended."""
    return time.process_time() + sum(os.times()[2:4])  # of itself os.times knows hundredths of a second only


def _peak_mb() -> float:
    """Return the greatest memory of this process so far, in MB; ``ru_maxrss`` would count that of the parent too."""
    fields: Mapping[str, str] = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines()
    )
    return int(fields["VmHWM"].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
