"""The figures as SVG, in colours that stand on a light page and on a dark one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLOURS = {
    "sanad": "#0e9f6e",
    "sanad-same-model": "#5fbf9b",
    "raw": "#8b949e",
    "chroma": "#e0762f",
    "txtai": "#3f83f8",
    "txtai-hybrid": "#7ea8f8",
    "langchain": "#b8860b",
    "llama-index": "#a855f7",
    "haystack": "#d9467b",
}
_GREY = "#818b95"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "peers",
    "font.size": 9,
    "text.color": _GREY,
    "axes.edgecolor": _GREY,
    "axes.facecolor": "none",
    "axes.labelcolor": _GREY,
    "axes.titlesize": 9.5,
    "axes.titlecolor": _GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GREY,
    "grid.alpha": 0.25,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.labelcolor": _GREY,
}
NOTHING = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def draw_growth(growth: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """Draw search time, memory and the cost of one more passage against the number of passages, a line a system.

    Args:
        growth: Figures by number of passages, then by system.
        path: The SVG to write.
    """
    import matplotlib
    from matplotlib.figure import Figure

    panels = (
        ("query_p50_ms", "search, ms (median)"),
        ("serve_peak_mb", "memory of the open index, MB"),
        ("add_saved_s", "one passage more, saved, s"),
    )
    names = [name for name in COLOURS if any(name in systems for systems in growth.values())]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.2), layout="constrained")
        for axes, (key, title) in zip(figure.subplots(1, len(panels)), panels, strict=True):
            for name in names:
                sizes = sorted(int(size) for size, systems in growth.items() if name in systems)
                values = [growth[str(size)][name][key] for size in sizes]
                axes.plot(sizes, values, color=COLOURS[name], marker="o", markersize=4, label=name)
            axes.set(xscale="log", yscale="log", xlabel="passages", title=title)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
        figure.savefig(path, format="svg", transparent=True, metadata=NOTHING)


def draw_systems(systems: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw indexing rate, query time, cold start and memory of each system as bars.

    Args:
        systems: Figures by system.
        path: The SVG to write.
    """
    import matplotlib
    from matplotlib.figure import Figure

    panels = (
        ("passages_per_s", "passages indexed a second"),
        ("query_p50_ms", "query, ms (median)"),
        ("cold_start_s", "cold start to first hit, s"),
        ("serve_peak_mb", "memory, MB"),
    )
    names = [name for name in COLOURS if name in systems]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 0.9 + 0.27 * len(names)), layout="constrained")
        for axes, (key, title) in zip(figure.subplots(1, len(panels), sharey=True), panels, strict=True):
            values = [float(systems[name][key]) for name in names]
            drawn = axes.barh(names, values, color=[COLOURS[name] for name in names], height=0.66)
            axes.bar_label(drawn, [f"{value:.3g}" for value in values], padding=2, color=_GREY, fontsize=8)
            axes.set(title=title, xlim=(0, 1.25 * max(values)))
            axes.tick_params(axis="both", length=0)
            axes.grid(visible=False, axis="y")
        axes.invert_yaxis()
        figure.savefig(path, format="svg", transparent=True, metadata=NOTHING)
