"""The plots of an evaluation report as inline SVG, by matplotlib.

Text stays text, so that the browser shapes Arabic and the page's font applies, and every colour is a CSS variable of
the page, so that one plot serves light and dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rag import metrics
from rag.evaluation.evaluate import EvalReport
from rag.evaluation.judge import OUTCOMES, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that stand for the page's variables until the SVG is written.
_COLOURS = {
    "#010101": "ink",
    "#010102": "muted",
    "#010103": "grid",
    "#010104": "surface",
    "#010105": "one",
    "#010106": "two",
    "#010107": "three",
    **{f"#0201{number:02}": f"outcome-{number}" for number in range(len(OUTCOMES))},
}
_OF = {name: colour for colour, name in _COLOURS.items()}
_INK, _MUTED, _GRID, _SURFACE = _OF["ink"], _OF["muted"], _OF["grid"], _OF["surface"]
_ONE, _TWO, _THREE = _OF["one"], _OF["two"], _OF["three"]

_STYLE: Mapping[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.facecolor": "none",
    "axes.labelcolor": _MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.7,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.labelcolor": _INK,
}
_SIZE = (4.6, 3.3)  # inches
_BINS = 20


def outcomes(name: str, groups: Mapping[str, Sequence[Row]]) -> str:
    """Draw what became of the questions of each group, as shares of it, the first group on top; ``name`` is for ids."""
    if not groups:
        return ""

    def draw(axes: Axes) -> None:
        labels = list(groups)
        left = np.zeros(len(labels))
        for number, outcome in enumerate(OUTCOMES):
            shares = np.array([metrics.mean([row["outcome"] == outcome for row in groups[label]]) for label in labels])
            if not shares.any():
                continue
            axes.barh(
                range(len(labels)),
                shares,
                left=left,
                height=0.66,
                color=_OF[f"outcome-{number}"],
                edgecolor=_SURFACE,
                linewidth=1.4,
                label=outcome,
            )
            left += shares
        axes.set_yticks(range(len(labels)), [f"{label}  ({len(groups[label])})" for label in labels])
        axes.tick_params(axis="y", labelcolor=_INK)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_visible(False)
        _share_axis(axes, "x", "share of the group's questions")

    return _svg(name, draw, size=(_SIZE[0], max(_SIZE[1], 0.8 + 0.3 * len(groups))))


def bars(report: EvalReport) -> str:
    """Draw the evidence cited by language pair beside recall@5, with intervals; empty without answerable questions."""
    pairs = [pair for pair, figures in report.pairs.items() if "evidence_cited" in figures]
    if not pairs:
        return ""

    def draw(axes: Axes) -> None:
        places = np.arange(len(pairs))
        for shift, name, colour in ((-0.19, "recall@5", _TWO), (0.19, "evidence_cited", _ONE)):
            values = np.array([report.pairs[pair][name] for pair in pairs])
            low, high = np.array([report.intervals["pairs"][pair][name] for pair in pairs]).T
            axes.bar(places + shift, values, width=0.34, color=colour, label=name)
            axes.errorbar(
                places + shift,
                values,
                yerr=(np.maximum(values - low, 0), np.maximum(high - values, 0)),
                fmt="none",
                color=_INK,
                elinewidth=1,
                capsize=2.5,
            )
        axes.set_xticks(places, pairs)
        axes.tick_params(axis="x", labelcolor=_INK)
        axes.grid(visible=False, axis="x")
        _share_axis(axes, "y", "")
        _legend(axes)

    return _svg("bars", draw)


def recall_curve(report: EvalReport) -> str:
    """Draw recall@k for k = 1 to 10, in all and by language of the question; empty without answerable questions."""
    ks = range(1, len(report.curves["recall"]) + 1)
    if not ks:
        return ""

    def draw(axes: Axes) -> None:
        for language, colour in zip(report.languages, (_ONE, _TWO, _THREE), strict=False):
            ranks = [row["rank"] for row in report.details if row["answerable"] and row["lang"] == language]
            if ranks and len(report.languages) > 1:
                shares = [metrics.mean([0 < rank <= k for rank in ranks]) for k in ks]
                axes.plot(ks, shares, color=colour, marker="o", markersize=3.5, label=f"asked in {language}")
        axes.plot(ks, report.curves["recall"], color=_INK, marker="o", markersize=3.5, label="all")
        axes.set_xticks(ks)
        axes.set_xlabel("k")
        _share_axis(axes, "y", "")
        axes.legend(loc="lower right")

    return _svg("recall", draw)


def reliability(report: EvalReport) -> str:
    """Draw the share of answerable questions by confidence, and of those whose evidence is cited."""
    bins = report.curves["calibration"]
    if not bins:
        return ""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (3, 3)))
        for one in bins:
            width = one["high"] - one["low"]
            axes.bar(one["low"] + width / 2, one["share_right"], width=width * 0.86, color=_ONE, alpha=0.85)
            axes.annotate(
                str(one["count"]),
                (one["low"] + width / 2, one["share_right"]),
                (0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=_MUTED,
            )
        confidences = [row["confidence"] for row in report.details]
        cited = metrics.calibration_bins(confidences, [row["right_if_answered"] for row in report.details])
        axes.plot(
            [one.confidence for one in cited],
            [one.share_right for one in cited],
            color=_TWO,
            marker="o",
            markersize=4,
            label="evidence cited",
        )
        axes.bar([0], [0], color=_ONE, alpha=0.85, label="answerable")
        axes.set_xlim(0, 1)
        axes.set_xlabel("confidence")
        _share_axis(axes, "y", "")
        _legend(axes)

    return _svg("reliability", draw)


def roc(report: EvalReport) -> str:
    """Draw the receiver operating characteristic of answering, with the thresholds in force and suggested."""
    points = report.curves["roc"]
    if not points:
        return ""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (3, 3)))
        axes.plot([false for *_, false in points], [true for _, true, _ in points], color=_ONE)
        here = report.overall["false_answer_rate"], 1 - report.overall["refused_answerable"]
        axes.plot(*here, "o", color=_TWO, markersize=7, label=f"in force, {report.threshold:.2f}")
        there = report.suggested
        if there is not None and there["threshold"] is not None:
            place = 1 - there["refused_unanswerable"], 1 - there["refused_answerable"]
            wanted = f"{there['false_answer_rate']:.0%} false, {there['threshold']:.2f}"
            axes.plot(*place, "D", color=_THREE, markersize=6, label=wanted)
        _share_axis(axes, "x", "unanswerable questions answered")
        _share_axis(axes, "y", "answerable questions answered")
        axes.legend(loc="lower right", title="threshold", title_fontsize=8.5)

    return _svg("roc", draw)


def risk_coverage(report: EvalReport) -> str:
    """Draw the share of wrong answers against the share of questions answered, with the threshold in force."""
    points = report.curves["risk_coverage"]
    if not points:
        return ""

    def draw(axes: Axes) -> None:
        coverages, risks = [point[1] for point in points], [point[2] for point in points]
        axes.plot(coverages, risks, color=_ONE)
        axes.fill_between(coverages, risks, color=_ONE, alpha=0.12, linewidth=0)
        answered = [row for row in report.details if not row["abstained"]]
        if answered:
            risk = metrics.mean([not row["right_if_answered"] for row in answered])
            place = len(answered) / len(report.details), risk
            axes.plot(*place, "o", color=_TWO, markersize=7, label=f"in force, {report.threshold:.2f}")
            axes.legend(loc="upper left", title="threshold", title_fontsize=8.5)
        _share_axis(axes, "x", "questions answered, most confident first")
        _share_axis(axes, "y", "answers that are wrong")

    return _svg("risk", draw)


def confidences(report: EvalReport) -> str:
    """Draw how confidence is spread over answerable and unanswerable questions."""
    if not report.details:
        return ""

    def draw(axes: Axes) -> None:
        parts = [[row["confidence"] for row in report.details if row["answerable"] == truth] for truth in (False, True)]
        axes.hist(
            parts,
            bins=_BINS,
            range=(0, 1),
            stacked=True,
            color=[_TWO, _ONE],
            label=[f"unanswerable ({len(parts[0])})", f"answerable ({len(parts[1])})"],
            edgecolor=_SURFACE,
            linewidth=0.8,
        )
        axes.axvline(report.threshold, color=_INK, linewidth=1.2, linestyle=(0, (3, 3)), label="threshold")
        axes.set_xlim(0, 1)
        axes.set_xlabel("confidence")
        axes.set_ylabel("questions")
        _legend(axes)

    return _svg("confidence", draw)


def latency(report: EvalReport) -> str:
    """Draw how long the answers took."""
    if not report.details:
        return ""

    def draw(axes: Axes) -> None:
        axes.hist([row["seconds"] for row in report.details], bins=_BINS, color=_ONE, edgecolor=_SURFACE, linewidth=0.8)
        for name, percent, dashes in (("latency_p50_s", 50, (3, 3)), ("latency_p95_s", 95, (1, 1.5))):
            value = report.overall[name]
            axes.axvline(value, color=_INK, linewidth=1.2, linestyle=(0, dashes), label=f"p{percent} {value:.2f} s")
        axes.set_xlim(left=0)
        axes.set_xlabel("seconds")
        axes.set_ylabel("questions")
        axes.legend(loc="upper right")

    return _svg("latency", draw)


def _share_axis(axes: Axes, which: str, label: str) -> None:
    """Make an axis run from 0 to 100 %, with a little air where marks may sit on the end."""
    axis, limit = (axes.xaxis, axes.set_xlim) if which == "x" else (axes.yaxis, axes.set_ylim)
    limit(0, 1.03)
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(label)


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, borderaxespad=0.1, columnspacing=1.2)


def _svg(name: str, draw: Callable[[Axes], None], *, size: tuple[float, float] = _SIZE) -> str:
    """Return a drawing as an ``<svg>`` element that scales to its box; ``name`` keeps its ids apart from others'."""
    import matplotlib
    from matplotlib.figure import Figure

    written = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    svg = written.getvalue()
    svg = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{name}-", svg[svg.index("<svg") :])
    svg = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1), count=1
    )
    return re.sub("|".join(_COLOURS), lambda match: f"var(--{_COLOURS[match[0]]})", svg)
