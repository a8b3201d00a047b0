"""Gates for continuous integration: ``"evidence_cited>=0.7,refused_answerable[ar→ar]<=0.1"``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rag.evaluation.compare import GATED, Comparison
from rag.evaluation.evaluate import EvalReport
from rag.evaluation.figures import FIGURES

_GATE = re.compile(r"\s*([\w@]+)(?:\[([^\]]+)\])?\s*(>=|<=)\s*([0-9]*\.?[0-9]+)\s*")
_HOLDS: Mapping[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound on a figure; ``group`` is a pair, kind or language, empty for all questions."""

    figure: str
    group: str
    relation: str
    bound: float

    def __str__(self) -> str:
        return f"{self.name} {self.relation} {self.bound:g}"

    @property
    def name(self) -> str:
        """Return the figure as written: ``"F1[ar→en]"``."""
        return f"{self.figure}[{self.group}]" if self.group else self.figure

    def missed_by(self, report: EvalReport) -> str:
        """Return why a report does not pass, in a line; empty where it does. A figure it lacks is missed."""
        groups = (
            [("overall", report.overall)]
            if not self.group
            else [
                (f"{kind}/{self.group}", getattr(report, kind)[self.group])
                for kind in ("pairs", "kinds", "languages")
                if self.group in getattr(report, kind)
            ]
        )
        if not groups or self.figure not in groups[0][1]:
            return f"gate missed: {self}: no question bears on it"
        where, figures = groups[0]
        if _HOLDS[self.relation](figures[self.figure], self.bound):
            return ""
        kind, _, group = where.partition("/")
        interval = report.intervals[kind][group] if group else report.intervals[kind]
        low, high = interval[self.figure]
        return f"gate missed: {self}, got {figures[self.figure]:.3f} (95 % interval {low:.3f} to {high:.3f})"


def parse_gates(text: str) -> tuple[Gate, ...]:
    """Read gates separated by commas.

    Raises:
        ValueError: One is not ``FIGURE>=NUMBER`` or ``FIGURE<=NUMBER``, or names no figure.
    """
    gates = []
    for part in filter(str.strip, text.split(",")):
        match = _GATE.fullmatch(part)
        if match is None:
            raise ValueError(f"{part.strip()!r} is no gate; write FIGURE>=NUMBER or FIGURE[GROUP]<=NUMBER")
        figure, group, relation, bound = match.groups()
        if figure not in FIGURES:
            raise ValueError(f"{figure!r} is no figure; there are {', '.join(FIGURES)}")
        gates.append(Gate(figure, group or "", relation, float(bound)))
    if not gates:
        raise ValueError("no gate given; write for instance evidence_cited>=0.7,refused_answerable<=0.1")
    return tuple(gates)


def gate_comparison(comparison: Comparison, second: EvalReport, gates: Sequence[Gate]) -> list[str]:
    """Return a line for each gate that the second report misses and each gated figure that got worse.

    Gated are the figures that ``gates`` name, or `GATED` where there are none.
    """
    missed = [line for gate in gates if (line := gate.missed_by(second))]
    gated = {gate.figure for gate in gates} or set(GATED)
    for one in comparison.differences:
        if one.figure in gated and one.change == "worse":
            interval = f"95 % interval {one.low:+.3f} to {one.high:+.3f}"
            missed.append(f"worse: {one.figure} {one.first:.3f} -> {one.second:.3f} ({interval})")
    return missed
