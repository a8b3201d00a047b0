"""Figures of merit, each a short pure function on ids, texts or numbers.

A figure of a whole set of questions is the mean over **all** judged questions, an empty result counting 0
(:func:`mean`). Names carry their k: ``recall@k`` is the share of the relevant passages within the first k, ``hit@k``
whether at least one is.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.text.fold import fold_text


def recall_at_k(ranked_ids: Sequence[str], relevant_ids: Collection[str], k: int) -> float:
    """Return the share of ``relevant_ids`` among the first ``k`` of ``ranked_ids``, in [0, 1].

    An id that is ranked twice counts once.

    Raises:
        ValueError: ``k`` < 1, or nothing is relevant (such a question is not judged).
    """
    relevant = _check(relevant_ids, k)
    return len(relevant.intersection(ranked_ids[:k])) / len(relevant)


def hit_at_k(ranked_ids: Sequence[str], relevant_ids: Collection[str], k: int) -> float:
    """Return 1.0 if one of ``relevant_ids`` is among the first ``k`` of ``ranked_ids``, else 0.0.

    Raises:
        ValueError: ``k`` < 1, or nothing is relevant.
    """
    return float(not _check(relevant_ids, k).isdisjoint(ranked_ids[:k]))


def mrr_at_k(ranked_ids: Sequence[str], relevant_ids: Collection[str], k: int = 10) -> float:
    """Return 1 / rank of the first relevant id within the first ``k``, 0.0 if there is none.

    Its mean over the questions is the mean reciprocal rank (Voorhees, TREC-8, 1999).

    Raises:
        ValueError: ``k`` < 1, or nothing is relevant.
    """
    relevant = _check(relevant_ids, k)
    return next((1 / rank for rank, one in enumerate(ranked_ids[:k], start=1) if one in relevant), 0.0)


def ndcg_at_k(ranked_ids: Sequence[str], relevant_ids: Collection[str], k: int = 10) -> float:
    """Return the normalised discounted cumulative gain, in [0, 1]; a passage is relevant or not.

    Gain 1 a relevant passage, discount log2(rank + 1), divided by the best that ``k`` ranks allow (Järvelin &
    Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002). An id that is ranked twice counts where it
    stands first.

    Raises:
        ValueError: ``k`` < 1, or nothing is relevant.
    """
    relevant = _check(relevant_ids, k)
    first = {one: rank for rank, one in reversed([*enumerate(ranked_ids[:k], start=1)]) if one in relevant}
    gain = math.fsum(ndcg_of_rank(rank) for rank in first.values())
    return gain / math.fsum(ndcg_of_rank(rank) for rank in range(1, min(k, len(relevant)) + 1))


def ndcg_of_rank(rank: int) -> float:
    """Return 1 / log2(rank + 1): the nDCG of a question with one relevant passage, found at ``rank``.

    Raises:
        ValueError: ``rank`` < 1.
    """
    if rank < 1:
        raise ValueError(f"a rank is at least 1, got {rank}")
    return 1 / math.log2(rank + 1)


def pessimistic_rank(scores: Sequence[float], relevant: int) -> int:
    """Return the rank of the item at row ``relevant`` if every tie is counted against it, at least 1."""
    return sum(score >= scores[relevant] for score in scores)


def exact_match(prediction: str, answer: str) -> float:
    """Return 1.0 if both texts are equal after :func:`answer_words`, else 0.0."""
    return float(answer_words(prediction) == answer_words(answer))


def token_f1(prediction: str, answer: str) -> float:
    """Return the harmonic mean of word precision and recall, in [0, 1] (Rajpurkar et al., SQuAD, 2016).

    Words are compared after :func:`answer_words`. If either text has none, 1.0 where both have none, else 0.0.
    """
    predicted, wanted = Counter(answer_words(prediction)), Counter(answer_words(answer))
    if not predicted or not wanted:
        return float(predicted == wanted)
    return 2 * (predicted & wanted).total() / (predicted.total() + wanted.total())


def answer_words(text: str) -> list[str]:
    """Return the words that answers are compared by.

    SQuAD's normalisation (case, punctuation, English articles) with two changes for Arabic: letters are folded as for
    search, and the article ``ال`` is taken off the beginning of a word. Scripts without spaces are not cut: a run of
    their letters is one word.
    """
    words = re.sub(f"[{re.escape(string.punctuation)}«»،؛؟…“”]", "", fold_text(text)).split()
    return [
        word[2:] if word.startswith("ال") and len(word) > 4 else word
        for word in words
        if word not in ("a", "an", "the")
    ]


def citation_recall(is_supported: Sequence[bool]) -> float:
    """Return the share of an answer's sentences that are supported by all they cite together, in [0, 1].

    After ALCE (Gao et al., "Enabling large language models to generate text with citations", 2023).

    Args:
        is_supported: One entry a sentence; a sentence without a citation is not supported. Empty gives 0.0.
    """
    return mean(is_supported)


def citation_precision(is_supported: Sequence[bool], supports_alone: Sequence[bool], needed: Sequence[bool]) -> float:
    """Return the share of citations that do something, in [0, 1] (ALCE, Gao et al. 2023).

    A citation does if its sentence is supported and it supports the sentence alone, or the support is lost without it.

    Args:
        is_supported: For each citation, whether its sentence is supported by all that it cites together.
        supports_alone: Whether this citation is enough.
        needed: Whether the others without it are not enough.

    Returns:
        0.0 if there is no citation.
    """
    triples = zip(is_supported, supports_alone, needed, strict=True)
    return mean([supported and (alone or need) for supported, alone, need in triples])


def abstention_accuracy(abstained: Sequence[bool], answerable: Sequence[bool]) -> float:
    """Return the share of questions rightly answered or rightly refused, in [0, 1]; 0.0 for none."""
    return mean([a != b for a, b in zip(abstained, answerable, strict=True)])


@dataclass(frozen=True, slots=True)
class Bin:
    """The questions whose confidence is in [low, high); the last bin is closed above."""

    low: float
    high: float
    count: int
    confidence: float
    share_right: float


def calibration_bins(confidences: Sequence[float], is_right: Sequence[bool], *, bins: int = 10) -> list[Bin]:
    """Return the reliability diagram: for each of ``bins`` equal bins that holds a question, lowest first, its means.

    Raises:
        ValueError: A confidence outside [0, 1], or ``bins`` < 1.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    members: dict[int, list[tuple[float, bool]]] = {}
    for confidence, right in zip(confidences, is_right, strict=True):
        if not 0 <= confidence <= 1:
            raise ValueError(f"a confidence lies in [0, 1], got {confidence}")
        members.setdefault(min(int(confidence * bins), bins - 1), []).append((confidence, right))
    return [
        Bin(row / bins, (row + 1) / bins, len(pairs), mean([c for c, _ in pairs]), mean([r for _, r in pairs]))
        for row, pairs in sorted(members.items())
    ]


def calibration_error(confidences: Sequence[float], is_right: Sequence[bool], *, bins: int = 10) -> float:
    """Return the expected calibration error, in [0, 1]; 0 is best (Guo et al., 2017).

    The mean over all questions of the gap between mean confidence and share of right answers in their bin
    (:func:`calibration_bins`, whose errors it raises); 0.0 of nothing.
    """
    found = calibration_bins(confidences, is_right, bins=bins)
    total = sum(one.count for one in found)
    return sum(one.count * abs(one.confidence - one.share_right) for one in found) / total if total else 0.0


def risk_coverage_points(confidences: Sequence[float], is_right: Sequence[bool]) -> list[tuple[float, float, float]]:
    """Return what each threshold would answer, and how much of that is wrong (El-Yaniv & Wiener, 2010).

    Returns:
        ``(threshold, coverage, risk)`` for "confidence >= threshold", thresholds falling through every distinct
        confidence: the share of questions answered, and the share of those that is wrong. Empty for no questions.
    """
    points = []
    wrong = 0
    pairs = sorted(zip(confidences, is_right, strict=True), key=lambda pair: -pair[0])
    for row, (confidence, right) in enumerate(pairs):
        wrong += not right
        if row + 1 == len(pairs) or pairs[row + 1][0] != confidence:
            points.append((confidence, (row + 1) / len(pairs), wrong / (row + 1)))
    return points


def risk_coverage_area(confidences: Sequence[float], is_right: Sequence[bool]) -> float:
    """Return the risk averaged over all coverages, in [0, 1]; 0 is best (AURC, Geifman & El-Yaniv, 2017).

    Questions of one confidence are answered together and share their risk. 0.0 of nothing.
    """
    points = [(0.0, 0.0, 0.0), *risk_coverage_points(confidences, is_right)]
    return math.fsum((c2 - c1) * risk for (_, c1, _), (_, c2, risk) in zip(points, points[1:], strict=False))


def threshold_for(confidences: Sequence[float], answerable: Sequence[bool], false_answer_rate: float) -> float:
    """Return the lowest threshold that answers at most this share of the unanswerable questions.

    A confidence at the threshold is answered. Infinity where only silence is good enough.

    Raises:
        ValueError: The rate is outside [0, 1], or there is no unanswerable question to tell by.
    """
    if not 0 <= false_answer_rate <= 1:
        raise ValueError(f"a false-answer rate lies in [0, 1], got {false_answer_rate}")
    if all(answerable):
        raise ValueError("a threshold for false answers needs unanswerable questions")
    return [threshold for threshold, _, false in roc_points(confidences, answerable) if false <= false_answer_rate][-1]


def roc_points(scores: Sequence[float], is_positive: Sequence[bool]) -> list[tuple[float, float, float]]:
    """Return the receiver operating characteristic: what each threshold would let through.

    Args:
        scores: Higher means more likely positive.
        is_positive: The truth, one entry a score.

    Returns:
        ``(threshold, true positive rate, false positive rate)`` for "score >= threshold", thresholds falling from
        infinity through every distinct score; both rates rise from 0 to 1. A rate is 0.0 where that class is empty.
    """
    positives = sum(is_positive)
    negatives = len(is_positive) - positives
    points = [(math.inf, 0.0, 0.0)]
    true = false = 0
    pairs = sorted(zip(scores, is_positive, strict=True), key=lambda pair: -pair[0])
    for row, (score, positive) in enumerate(pairs):
        true += positive
        false += not positive
        if row + 1 == len(pairs) or pairs[row + 1][0] != score:
            points.append((score, true / positives if positives else 0.0, false / negatives if negatives else 0.0))
    return points


def roc_auc(scores: Sequence[float], is_positive: Sequence[bool]) -> float:
    """Return the area under :func:`roc_points`: how often a positive scores above a negative, ties counting half.

    Raises:
        ValueError: One of the two classes is empty.
    """
    if len(set(map(bool, is_positive))) < 2:
        raise ValueError("the area under the curve needs positives and negatives")
    points = roc_points(scores, is_positive)
    return math.fsum((x2 - x1) * (y1 + y2) / 2 for (_, y1, x1), (_, y2, x2) in zip(points, points[1:], strict=False))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the ``percent``-th percentile, linear between the two nearest values (Hyndman & Fan 1996, type 7).

    Args:
        values: In any order and unit, at least one.
        percent: In [0, 100]; 50 is the median.

    Raises:
        ValueError: No values, or ``percent`` out of range.
    """
    if not values or not 0 <= percent <= 100:
        raise ValueError(f"a percentile needs values and a percent in [0, 100], got {len(values)} and {percent}")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def mean(values: Iterable[float]) -> float:
    """Return the mean; 0.0 of nothing."""
    numbers = [*values]
    return math.fsum(numbers) / len(numbers) if numbers else 0.0


def bootstrap_interval(
    statistic: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]],
    size: int,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a figure of ``size`` questions (Efron, 1979).

    The questions are drawn anew, with replacement, ``resamples`` times. A figure that is the same for every question
    gets an interval of no width, however few they are.

    Args:
        statistic: Takes row numbers, shape (resamples, size), and returns the figure of each resample, shape
            (resamples,); nan where it has none, which is left out.
        size: How many questions there are, at least 1.
        level: The share of resamples that lies within, in (0, 1).
        resamples: How many are drawn.
        seed: The same seed and size draw the same rows: two figures of one set are thereby compared in pairs.

    Raises:
        ValueError: No question, or no resample has the figure.
    """
    if size < 1:
        raise ValueError("an interval needs at least one question")
    rows = np.random.default_rng(seed).integers(0, size, (resamples, size))  # (resamples, size)
    values = statistic(rows)
    values = values[~np.isnan(values)]
    if not values.size:
        raise ValueError("no resample has the figure")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check(relevant_ids: Collection[str], k: int) -> set[str]:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    relevant = set(relevant_ids)
    if not relevant:
        raise ValueError("a judged question has at least one relevant passage")
    return relevant
