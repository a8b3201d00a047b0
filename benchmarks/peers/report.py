"""Figures of several runs: quality, medians, ratios against the floor, a table."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.peers.data import LANGUAGES, Question

FLOOR = "raw"
FIGURES = (
    *("passages_per_s", "passages_per_cpu_s", "query_p50_ms", "query_p95_ms", "query_cpu_ms"),
    *("cold_start_s", "cold_start_cpu_s"),
    *("build_peak_mb", "serve_peak_mb", "disk_mb", "add_s", "add_saved_s"),
)
_ID = re.compile(r"\d+-(\d+)-([a-z]{2})")


def quality(questions: Sequence[Question], hits: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """Return R@1 and nDCG@10 for each pair of question and passage language, such as ``"en-ar"``.

    Each paragraph of XQuAD is in the index in both languages. For a pair, the right passage is the one in the second
    language; the same paragraph in the other language is no mistake and is left out of the list. Of what remains the
    first ten count, passages of both languages and prose among them. nDCG with one right passage of gain 1 is
    ``1 / log2(rank + 1)`` (Järvelin and Kekäläinen 2002).

    Args:
        questions: In the order in which they were asked.
        hits: For each question the ids found, best first.
    """
    gains: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for question, found in zip(questions, hits, strict=True):
        for language in LANGUAGES:
            rank = 0
            gain = 0.0, 0.0
            for passage_id in found:
                named = _ID.fullmatch(passage_id)
                is_version = named is not None and int(named[1]) == question.paragraph
                if is_version and named is not None and named[2] != language:
                    continue
                rank += 1
                if is_version and rank <= 10:
                    gain = float(rank == 1), 1 / float(np.log2(rank + 1))
                    break
            gains[question.language, language].append(gain)
    means = {pair: np.mean(values, axis=0) for pair, values in sorted(gains.items())}
    return {
        "-".join(pair): {"R@1": round(float(mean[0]), 4), "nDCG@10": round(float(mean[1]), 4)}
        for pair, mean in means.items()
    }


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each of `FIGURES` over the rounds of a system, to four significant digits."""
    return {name: _short(statistics.median(figures[name] for figures in rounds)) for name in FIGURES}


def ratios(rounds: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Return each system's figures over the floor's, the median of the ratios within each round.

    Above 1 is better than the floor for rates and worse for everything else. Empty if the floor was not measured.
    """
    floor = rounds.get(FLOOR, ())
    return {
        system: {
            name: _short(statistics.median(a[name] / b[name] for a, b in zip(own, floor, strict=False)))
            for name in FIGURES
        }
        for system, own in rounds.items()
        if floor and own
    }


def table(systems: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the medians as a table of Markdown, a row a system."""
    lines = [f"| system | {' | '.join(FIGURES)} |", "|---|" + "--:|" * len(FIGURES)]
    lines += [
        f"| {name} | {' | '.join(f'{figures[figure]:g}' for figure in FIGURES)} |" for name, figures in systems.items()
    ]
    return "\n".join(lines)


def _short(value: float) -> float:
    return float(f"{value:.4g}")
