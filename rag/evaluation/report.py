"""An evaluation report as a Markdown table: one column a language pair, one row a figure."""

from __future__ import annotations

from rag.evaluation.evaluate import EvalReport


def report_table(report: EvalReport) -> str:
    """Return the table; ``–`` stands where a figure does not apply to a pair."""
    groups = {"all": report.overall, **report.pairs}
    names = list(dict.fromkeys(name for figures in groups.values() for name in figures))
    lines = ["| figure | " + " | ".join(groups) + " |", "|---|" + "--:|" * len(groups)]
    for name in names:
        cells = [_cell(name, figures[name]) if name in figures else "–" for figures in groups.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(name: str, value: float) -> str:
    return str(int(value)) if name == "questions" else f"{value:.3f}"
