"""The figures of a set of rows, each with its bootstrap interval; definitions stand in `rag.evaluation.evaluate`.

Most figures are a ratio of two sums over the rows, so that resampling rows and comparing two reports need only each
row's share. The others are functions of all rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rag import metrics
from rag.evaluation.judge import Row

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Statistic = Callable[[Ints], Floats]  # rows drawn, shape (resamples, size), to the figure of each resample

DEPTH = 10  # hits retrieved for the ranking figures


@dataclass(frozen=True, slots=True)
class Ratio:
    """A sum of parts over a sum of wholes; ``parts`` gives a row's own, None where it does not bear on the figure."""

    meaning: str
    parts: Callable[[Row], tuple[float, float] | None]
    lower_is_better: bool = False

    def statistic(self, rows: Sequence[Row]) -> Statistic | None:
        """Return the figure as a function of drawn rows; None where no row bears on it."""
        found = [self.parts(row) or (0.0, 0.0) for row in rows]
        part, whole = np.array(found, dtype=np.float64).reshape(-1, 2).T
        if not whole.any():
            return None

        def statistic(drawn: Ints) -> Floats:
            sums = whole[drawn].sum(axis=1)
            return np.where(sums > 0, part[drawn].sum(axis=1) / np.maximum(sums, 1.0), np.nan)

        return statistic


@dataclass(frozen=True, slots=True)
class Sample:
    """A figure of all rows together; ``statistic`` is None where they do not have it."""

    meaning: str
    statistic: Callable[[Sequence[Row]], Statistic | None]
    lower_is_better: bool = False


def _mean(value: Callable[[Row], float | None]) -> Callable[[Row], tuple[float, float] | None]:
    def parts(row: Row) -> tuple[float, float] | None:
        found = value(row)
        return None if found is None else (float(found), 1.0)

    return parts


def _answerable(value: Callable[[Row], float | None]) -> Callable[[Row], tuple[float, float] | None]:
    return _mean(lambda row: value(row) if row["answerable"] else None)


def _cited(key: str) -> Callable[[Row], tuple[float, float] | None]:
    def parts(row: Row) -> tuple[float, float] | None:
        citations = row["citations"]
        return (float(sum(c[key] for c in citations)), float(len(citations))) if row["answerable"] else None

    return parts


def _curve(rows: Sequence[Row], key: str, measure: Callable[[list[float], list[bool]], float]) -> Statistic:
    """Return the statistic of a figure of confidence against a truth; nan where a resample does not have it."""
    pairs = [(row["confidence"], bool(row[key])) for row in rows]

    def one(drawn: Ints) -> float:
        try:
            return measure(*map(list, zip(*(pairs[row] for row in drawn), strict=True)))
        except ValueError:
            return math.nan

    return lambda drawn: np.array([one(rows_of_one) for rows_of_one in drawn])


def _of_answerability(measure: Callable[[list[float], list[bool]], float]) -> Callable[[Sequence[Row]], Any]:
    """Return a figure of confidence against whether the documents answer; it needs questions of both kinds."""
    return lambda rows: _curve(rows, "answerable", measure) if len({row["answerable"] for row in rows}) == 2 else None


def _of_rightness(measure: Callable[[list[float], list[bool]], float]) -> Callable[[Sequence[Row]], Any]:
    """Return a figure of confidence against whether the gold evidence is, or would have been, cited."""
    return lambda rows: _curve(rows, "right_if_answered", measure) if any(row["answerable"] for row in rows) else None


def _percentile(percent: float) -> Callable[[Sequence[Row]], Statistic]:
    def measure(rows: Sequence[Row]) -> Statistic:
        seconds = np.array([row["seconds"] for row in rows])
        return lambda drawn: np.percentile(seconds[drawn], percent, axis=1)

    return measure


FIGURES: Mapping[str, Ratio | Sample] = {
    "recall@5": Ratio("gold evidence in the first 5 hits", _answerable(lambda r: 0 < r["rank"] <= 5)),
    "MRR@10": Ratio("1 / rank of the gold evidence", _answerable(lambda r: 1 / r["rank"] if r["rank"] else 0)),
    "nDCG@10": Ratio(
        "rank of the gold evidence, discounted",
        _answerable(lambda r: metrics.ndcg_of_rank(r["rank"]) if r["rank"] else 0),
    ),
    "evidence_cited": Ratio(
        "answerable questions whose answer cites the gold evidence", _answerable(lambda r: r["evidence_cited"])
    ),
    "document_cited": Ratio(
        "… or another place of a document that answers", _answerable(lambda r: r["document_cited"])
    ),
    "citation_recall": Ratio("statements supported by what they cite together", _mean(lambda r: r["citation_recall"])),
    "citation_precision": Ratio("citations that their statement needs", _mean(lambda r: r["citation_precision"])),
    "gold_evidence_precision": Ratio("citations of the gold evidence", _cited("is_gold")),
    "gold_document_precision": Ratio("citations of a document that answers", _cited("is_in_gold_document")),
    "answer_found": Ratio("quotes that contain the known answer", _answerable(lambda r: r["answer_found"])),
    "EM": Ratio("short answer equal to the known one", _answerable(lambda r: r["em"])),
    "F1": Ratio("words shared by short and known answer", _answerable(lambda r: r["f1"])),
    "short_answers": Ratio(
        "answers that open with a short answer", _mean(lambda r: None if r["abstained"] else bool(r["short"]))
    ),
    "language_right": Ratio("answers in the language of the question", _mean(lambda r: r["language_right"])),
    "refused_unanswerable": Ratio(
        "unanswerable questions refused", _mean(lambda r: None if r["answerable"] else r["abstained"])
    ),
    "false_answer_rate": Ratio(
        "unanswerable questions answered",
        _mean(lambda r: None if r["answerable"] else not r["abstained"]),
        lower_is_better=True,
    ),
    "refused_answerable": Ratio(
        "answerable questions refused", _answerable(lambda r: r["abstained"]), lower_is_better=True
    ),
    "refusal_rate": Ratio("questions refused", _mean(lambda r: r["abstained"]), lower_is_better=True),
    "abstention_accuracy": Ratio(
        "questions rightly answered or refused", _mean(lambda r: r["abstained"] != r["answerable"])
    ),
    "abstention_auc": Sample(
        "how often confidence ranks an answerable question above an unanswerable one",
        _of_answerability(metrics.roc_auc),
    ),
    "calibration_error": Sample(
        "gap between confidence and the share that is answerable",
        _of_answerability(metrics.calibration_error),
        lower_is_better=True,
    ),
    "calibration_error_right": Sample(
        "gap between confidence and the share whose evidence is cited",
        _of_rightness(metrics.calibration_error),
        lower_is_better=True,
    ),
    "risk_coverage_area": Sample(
        "share of wrong answers, averaged over every threshold",
        _of_rightness(metrics.risk_coverage_area),
        lower_is_better=True,
    ),
    "latency_p50_s": Sample("seconds an answer takes, median", _percentile(50), lower_is_better=True),
    "latency_p95_s": Sample("seconds an answer takes, 95th percentile", _percentile(95), lower_is_better=True),
}


def measure(rows: Sequence[Row]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Return every figure that a row bears on, ``"questions"`` first, and the 95 % bootstrap interval of each."""
    figures: dict[str, float] = {"questions": len(rows)}
    intervals = {}
    as_they_are = np.arange(len(rows))[np.newaxis]
    for name, figure in FIGURES.items():
        statistic = figure.statistic(rows) if rows else None
        if statistic is not None:
            figures[name] = float(statistic(as_they_are)[0])
            intervals[name] = metrics.bootstrap_interval(statistic, len(rows))
    return figures, intervals


def curves(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the plots of a report show.

    Returns:
        ``"recall"``: recall@k for k = 1 to 10. ``"roc"``: ``[threshold, share of answerable answered, share of
        unanswerable answered]`` a point, the first threshold None for infinity. ``"risk_coverage"``: ``[threshold,
        coverage, risk]`` a point. ``"calibration"``: the bins of confidence against answerability, a dict each.
        A curve without questions to draw it from is empty.
    """
    answerable = [row for row in rows if row["answerable"]]
    confidences = [row["confidence"] for row in rows]
    truth = [row["answerable"] for row in rows]
    has_both = len(set(truth)) == 2
    return {
        "recall": [metrics.mean([0 < row["rank"] <= k for row in answerable]) for k in range(1, DEPTH + 1)]
        if answerable
        else [],
        "roc": [
            [None if math.isinf(t) else t, true, false] for t, true, false in metrics.roc_points(confidences, truth)
        ]
        if has_both
        else [],
        "risk_coverage": [
            list(point)
            for point in metrics.risk_coverage_points(confidences, [row["right_if_answered"] for row in rows])
        ]
        if answerable
        else [],
        "calibration": [asdict(one) for one in metrics.calibration_bins(confidences, truth)] if has_both else [],
    }


def operating_point(rows: Sequence[Row], false_answer_rate: float) -> dict[str, Any] | None:
    """Return the threshold that answers at most a share of the unanswerable questions, and what it costs.

    Returns:
        ``{"false_answer_rate", "threshold", "refused_unanswerable", "refused_answerable"}``, the first as asked for;
        ``threshold`` is None where only refusing everything is good enough. None without questions of both kinds.
    """
    truth = [row["answerable"] for row in rows]
    if len(set(truth)) < 2:
        return None
    threshold = metrics.threshold_for([row["confidence"] for row in rows], truth, false_answer_rate)

    def refused(is_answerable: bool) -> float:
        return metrics.mean([row["confidence"] < threshold for row in rows if row["answerable"] == is_answerable])

    return {
        "false_answer_rate": false_answer_rate,
        "threshold": None if math.isinf(threshold) else threshold,
        "refused_unanswerable": refused(False),
        "refused_answerable": refused(True),
    }
