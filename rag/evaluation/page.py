"""An evaluation report as one HTML file that asks nothing of the network, for light and dark, any width."""

from __future__ import annotations

import importlib.util
from collections import Counter
from importlib import resources

from rag.errors import RagError
from rag.evaluation import plots
from rag.evaluation.evaluate import EvalReport
from rag.evaluation.figures import FIGURES
from rag.evaluation.judge import OUTCOMES

# What the page opens with: figure, title.
_TILES = {
    "evidence_cited": "evidence cited",
    "recall@5": "recall@5",
    "F1": "F1 of the answer",
    "citation_recall": "citation recall",
    "citation_precision": "citation precision",
    "refused_unanswerable": "unanswerable refused",
    "refused_answerable": "answerable refused",
    "latency_p50_s": "seconds, median",
}


def require_page() -> None:
    """Check that the page can be made.

    Raises:
        RagError: A library that only the page needs is not installed.
    """
    for library in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(library) is None:
            raise RagError(
                f"the HTML report needs {library}, which is missing. Install it: pip install 'sanad[report]'"
            )


def render_page(report: EvalReport) -> str:
    """Return the page.

    Raises:
        RagError: A library that only the page needs is not installed.
    """
    require_page()
    from jinja2 import Environment, StrictUndefined

    static = resources.files("rag.evaluation") / "static"
    source = {name: (static / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    groups = {
        "All questions and language pairs": {"all": report.overall, **report.pairs},
        "Kind of question": report.kinds,
        "Language of the question": report.languages,
    }
    return environment.from_string(source["page.html"]).render(
        report=report,
        style=source["page.css"],
        script=source["page.js"],
        tiles={name: title for name, title in _TILES.items() if name in report.overall},
        intervals=report.intervals["overall"],
        plots=[plot for plot in _plots(report) if plot[2]],
        tables={title: found for title, found in groups.items() if found},
        names=lambda found: [name for name in FIGURES if any(name in figures for figures in found.values())],
        meanings={name: figure.meaning for name, figure in FIGURES.items()},
        outcomes=OUTCOMES,
        models=sorted({row["model"] for row in report.details} - {""}),
        counts=Counter(row["outcome"] for row in report.details),
    )


def _plots(report: EvalReport) -> list[tuple[str, str, str]]:
    """Return title, what to see in it, and the SVG."""
    by_pair = {pair: [row for row in report.details if row["pair"] == pair] for pair in report.pairs}
    by_kind = {kind: [row for row in report.details if row["kind"] == kind] for kind in report.kinds}
    return [
        ("What became of the questions", "By language of question and document.", plots.outcomes("pairs", by_pair)),
        (
            "… by kind of question",
            "As the question files name it.",
            plots.outcomes("kinds", by_kind),
        ),
        ("Evidence found and cited", "With 95 % intervals; what is not found cannot be cited.", plots.bars(report)),
        ("Recall@k", "Gold evidence among the first k hits.", plots.recall_curve(report)),
        (
            "Reliability",
            "Calibrated confidence follows the diagonal; numbers count questions.",
            plots.reliability(report),
        ),
        ("Confidence", "The further apart the two, the better refusals can be.", plots.confidences(report)),
        ("Answering, ROC", "Every threshold: what is answered of either sort.", plots.roc(report)),
        ("Risk and coverage", "How wrong the answers are if only the surest are given.", plots.risk_coverage(report)),
        ("Latency", "Of one answer, in the order of one machine.", plots.latency(report)),
    ]
