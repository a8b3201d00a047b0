"""How many questions a second one process answers, and how long each takes, with more and more people at once.

    python -m benchmarks.concurrency [--index-dir index] [--users 1 4 16 64] [--seconds 10] [--output FILE]

One process, one model in memory, as in ``rag serve``; every person is a thread that asks the next question as soon as
the last one is answered, each question another one (nothing comes out of a cache). ``search`` is `Retriever.search`,
``ask`` a whole answer of quotes. The numbers of people take turns, so that what else runs on the machine meets all
alike. Writes questions a second, median and 95th percentile of a question's seconds and the memory of the process under
``"concurrency"`` to ``benchmarks/results/<commit>.json``, and draws them beside it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.peers.plots import NOTHING, STYLE
from benchmarks.xquad import RESULTS, commit, write_results
from rag import Chatbot, Retriever
from training.written import read_questions


def crowd(act: Callable[[str], object], users: int, seconds: float, questions: Iterator[str]) -> dict[str, float]:
    """Let people ask at once for a while; return what one run came to."""
    taken: list[float] = []
    lock = threading.Lock()
    over = time.perf_counter() + seconds

    def person() -> None:
        while time.perf_counter() < over:
            with lock:
                question = next(questions)
            began = time.perf_counter()
            act(question)
            with lock:
                taken.append(time.perf_counter() - began)

    began = time.perf_counter()
    people = [threading.Thread(target=person) for _ in range(users)]
    for each in people:
        each.start()
    for each in people:
        each.join()
    return {
        "per_s": len(taken) / (time.perf_counter() - began),
        "p50_s": float(np.median(taken)),
        "p95_s": float(np.quantile(taken, 0.95)),
    }


def measure(
    acts: dict[str, Callable[[str], object]], users: list[int], seconds: float, rounds: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Return medians over the rounds, by what is done and by the number of people."""
    asked = [question.question for question in read_questions("answerer")]
    endless = (f"{question} {number}" for number in itertools.count(1) for question in asked)  # no two are the same
    found: dict[str, dict[str, list[dict[str, float]]]] = {name: {str(n): [] for n in users} for name in acts}
    for act in acts.values():
        act("warm")
    for _ in range(rounds):
        for name, act in acts.items():
            for n in users:
                found[name][str(n)].append(crowd(act, n, seconds, endless))
    return {
        name: {
            n: {key: round(float(np.median([run[key] for run in runs])), 4) for key in runs[0]}
            for n, runs in by_users.items()
        }
        for name, by_users in found.items()
    }


def draw(figures: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Draw questions a second, and the seconds of one, over the number of people."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (name, by_users), colour in zip(figures.items(), ("#0e9f6e", "#3f83f8"), strict=True):
            users, runs = [int(n) for n in by_users], list(by_users.values())
            left.plot(users, [run["per_s"] for run in runs], color=colour, marker="o", markersize=4, label=name)
            right.plot(users, [run["p50_s"] for run in runs], color=colour, marker="o", markersize=4, label=name)
            right.plot(users, [run["p95_s"] for run in runs], color=colour, ls=":", label=f"{name}, 95th percentile")
        for axes, title in ((left, "questions a second"), (right, "seconds a question takes (median)")):
            axes.set(xscale="log", yscale="log", xlabel="people at once", title=title)
            axes.set_xticks(users, [str(n) for n in users])
            axes.minorticks_off()
        right.legend()
        figure.savefig(path, format="svg", transparent=True, metadata=NOTHING)


def main() -> None:
    """Run the measurement; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index-dir", type=Path, default=Path("index"), help="default: %(default)s")
    parser.add_argument("--users", type=int, nargs="+", default=[1, 4, 16, 64], help="default: 1 4 16 64")
    parser.add_argument("--seconds", type=float, default=10, help="of each run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=None, help="results file (default: named by the commit)")
    options = parser.parse_args()
    retriever = Retriever.open(options.index_dir)
    chatbot = Chatbot(retriever)
    acts: dict[str, Callable[[str], object]] = {"search": retriever.search, "ask": chatbot.ask}
    found = measure(acts, options.users, options.seconds, options.rounds)
    figures: dict[str, Any] = {
        "passages": len(retriever.snapshot().generation.passages),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "load of the machine": round(os.getloadavg()[0], 1),
        "memory_mb": round(psutil.Process().memory_info().rss / 2**20),
        **found,
    }
    print(json.dumps(figures, indent=1))
    write_results("concurrency", figures, options.output)
    draw(found, RESULTS / f"concurrency-{commit()[0]}.svg")


if __name__ == "__main__":
    main()
