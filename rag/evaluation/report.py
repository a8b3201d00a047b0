"""An evaluation report as Markdown tables: a column a group of questions, a row a figure."""

from __future__ import annotations

from collections.abc import Mapping

from rag.evaluation.evaluate import EvalReport
from rag.evaluation.figures import FIGURES


def report_table(report: EvalReport) -> str:
    """Return a table by language pair, one by kind where the questions have kinds, and the suggested threshold.

    ``–`` stands where a figure does not apply to a group.
    """
    parts = [_table({"all": report.overall, **report.pairs}, report.intervals["overall"])]
    if report.kinds:
        parts.append(_table(report.kinds))
    if report.suggested is not None:
        parts.append(_suggestion(report))
    return "\n\n".join(parts)


def _table(
    groups: Mapping[str, Mapping[str, float]], intervals: Mapping[str, tuple[float, float]] | None = None
) -> str:
    names = [name for name in ("questions", *FIGURES) if any(name in figures for figures in groups.values())]
    heads = list(groups)
    if intervals is not None:
        heads.insert(1, "95 %")
    lines = ["| figure | " + " | ".join(heads) + " |", "|---|" + "--:|" * len(heads)]
    for name in names:
        cells = [_cell(name, figures[name]) if name in figures else "–" for figures in groups.values()]
        if intervals is not None:
            cells.insert(1, "{:.2f}–{:.2f}".format(*intervals[name]) if name in intervals else "–")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _suggestion(report: EvalReport) -> str:
    found = report.suggested
    assert found is not None
    wanted = f"{found['false_answer_rate']:.0%} of the unanswerable questions answered"
    if found["threshold"] is None:
        return f"No threshold leaves {wanted}, but for refusing everything (now {report.threshold:.3f})."
    return (
        f"For at most {wanted}: threshold {found['threshold']:.3f} (now {report.threshold:.3f}), "
        f"which refuses {found['refused_answerable']:.0%} of the answerable."
    )


def _cell(name: str, value: float) -> str:
    return str(int(value)) if name == "questions" else f"{value:.3f}"
