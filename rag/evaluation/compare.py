"""Two saved reports side by side, question by question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rag import metrics
from rag.errors import RagError
from rag.evaluation.evaluate import EvalReport
from rag.evaluation.figures import FIGURES, Floats, Ints, Ratio, Sample
from rag.evaluation.judge import Row

# What may not get worse where no gate says otherwise.
GATED = (
    "recall@5",
    "evidence_cited",
    "citation_recall",
    "citation_precision",
    "F1",
    "refused_unanswerable",
    "refused_answerable",
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of the first and the second report, and ``second - first`` with its paired 95 % interval.

    ``change`` is ``"better"`` or ``"worse"`` where the interval leaves zero out, ``"same"`` otherwise.
    """

    figure: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    change: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences over the questions that both reports hold, and the ids of those that got better and worse.

    A question is better where its gold evidence is now cited, or it is now rightly refused.
    """

    questions: int
    left_out: int
    differences: tuple[Difference, ...]
    better: tuple[str, ...]
    worse: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return all of it."""
        return asdict(self)


def compare(first: EvalReport, second: EvalReport) -> Comparison:
    """Compare two reports over the questions, same id and same words, that both hold.

    Raises:
        RagError: They share none.
    """
    rows = {(row["id"], row["question"]): row for row in first.details}
    pairs = [(rows[key], row) for row in second.details if (key := (row["id"], row["question"])) in rows]
    if not pairs:
        raise RagError("the reports share no question. Compare reports of the same question files.")
    before, after = [old for old, _ in pairs], [new for _, new in pairs]
    differences = [_difference(name, figure, before, after) for name, figure in FIGURES.items()]
    was, now = _right(before), _right(after)
    return Comparison(
        questions=len(pairs),
        left_out=len(first.details) + len(second.details) - 2 * len(pairs),
        differences=tuple(one for one in differences if one is not None),
        better=tuple(row["id"] for row, old, new in zip(after, was, now, strict=True) if new and not old),
        worse=tuple(row["id"] for row, old, new in zip(after, was, now, strict=True) if old and not new),
    )


def comparison_table(comparison: Comparison) -> str:
    """Return a Markdown table, a row a figure."""
    lines = ["| figure | first | second | difference | 95 % interval | |", "|---|--:|--:|--:|--:|---|"]
    for one in comparison.differences:
        change = "" if one.change == "same" else one.change
        lines.append(
            f"| {one.figure} | {one.first:.3f} | {one.second:.3f} | {one.difference:+.3f} "
            f"| {one.low:+.3f} to {one.high:+.3f} | {change} |"
        )
    lines.append("")
    lines.append(f"{comparison.questions} questions in both reports, {comparison.left_out} in one only.")
    for name, ids in (("better", comparison.better), ("worse", comparison.worse)):
        lines.append(f"{name}: {', '.join(ids) or 'none'}")
    return "\n".join(lines)


def _difference(name: str, figure: Ratio | Sample, before: Sequence[Row], after: Sequence[Row]) -> Difference | None:
    first, second = figure.statistic(before), figure.statistic(after)
    if first is None or second is None:
        return None

    def both(drawn: Ints) -> Floats:
        return second(drawn) - first(drawn)

    as_they_are = np.arange(len(before))[np.newaxis]
    low, high = metrics.bootstrap_interval(both, len(before))
    rise = "worse" if figure.lower_is_better else "better"
    fall = "better" if figure.lower_is_better else "worse"
    return Difference(
        figure=name,
        first=float(first(as_they_are)[0]),
        second=float(second(as_they_are)[0]),
        difference=float(both(as_they_are)[0]),
        low=low,
        high=high,
        change=rise if low > 0 else fall if high < 0 else "same",
    )


def _right(rows: Sequence[Row]) -> list[bool]:
    return [row["outcome"] in ("right", "rightly refused") for row in rows]
