import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import metrics

RANKED = ["d", "a", "x", "b", "y"]


def test_recall_is_a_share_of_the_relevant():
    assert metrics.recall_at_k(RANKED, {"a", "b", "c"}, 3) == pytest.approx(1 / 3)
    assert metrics.recall_at_k(RANKED, {"a", "b", "c"}, 10) == pytest.approx(2 / 3)
    assert metrics.recall_at_k(["a", "a"], {"a", "b"}, 2) == 0.5
    assert metrics.recall_at_k([], {"a"}, 5) == 0.0


def test_hit_needs_one_within_k():
    assert [metrics.hit_at_k(RANKED, {"b", "y"}, k) for k in (3, 4)] == [0.0, 1.0]


def test_mrr_takes_the_first_relevant_within_k():
    assert metrics.mrr_at_k(RANKED, {"a", "b"}) == 0.5
    assert metrics.mrr_at_k(RANKED, {"b"}, 3) == 0.0
    assert metrics.mrr_at_k([], {"b"}) == 0.0


def test_ndcg_by_hand():
    # Relevant at ranks 2 and 4 of three relevant: (1/log2(3) + 1/log2(5)) / (1 + 1/log2(3) + 1/2)
    by_hand = (0.6309297535714575 + 0.43067655807339306) / 2.1309297535714573
    assert metrics.ndcg_at_k(RANKED, {"a", "b", "c"}, 5) == pytest.approx(by_hand)
    assert metrics.ndcg_at_k(["a", "b"], {"a", "b", "c"}, 2) == 1.0, "no more than k can be found"
    assert metrics.ndcg_at_k(["x", "a", "a"], {"a"}, 3) == pytest.approx(1 / math.log2(3))
    assert metrics.ndcg_of_rank(1) == 1.0
    assert metrics.ndcg_of_rank(7) == pytest.approx(1 / 3)


@given(st.lists(st.integers(0, 8), max_size=8, unique=True), st.sets(st.integers(0, 8), min_size=1), st.integers(1, 9))
def test_ranking_figures_stay_in_range_and_agree(ranked, relevant, k):
    ids, wanted = [str(n) for n in ranked], {str(n) for n in relevant}
    recall, hit, mrr, ndcg = (
        f(ids, wanted, k) for f in (metrics.recall_at_k, metrics.hit_at_k, metrics.mrr_at_k, metrics.ndcg_at_k)
    )
    assert 0 <= recall <= hit <= 1
    assert 0 <= mrr <= hit
    assert 0 <= ndcg <= 1 + 1e-12
    assert (recall > 0) == (hit > 0) == (mrr > 0) == (ndcg > 0)


@pytest.mark.parametrize("figure", [metrics.recall_at_k, metrics.hit_at_k, metrics.mrr_at_k, metrics.ndcg_at_k])
def test_a_wrong_k_or_an_unjudged_question_is_refused(figure):
    with pytest.raises(ValueError, match="k must be at least 1"):
        figure(["a"], {"a"}, 0)
    with pytest.raises(ValueError, match="at least one relevant"):
        figure(["a"], set(), 5)


def test_ties_count_against_the_relevant():
    assert metrics.pessimistic_rank([0.0, 0.0, 0.0], 1) == 3
    assert metrics.pessimistic_rank([3.0, 1.0, 2.0], 0) == 1


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [
        ("The 5 to 10 Billion dollars.", "5 to 10 billion dollars"),
        ("المُسوِّق الرقمي", "المسوق الرقمى"),
        ("٤٤٫٧٪", "44.7%"),
        ("الأهداف", "اهداف"),
        ("«رواد الأعمال»", "رواد الأعمال"),
    ],
)
def test_answers_match_across_spellings(prediction, answer):
    assert metrics.exact_match(prediction, answer) == 1.0
    assert metrics.token_f1(prediction, answer) == 1.0


def test_f1_by_hand():
    # 3 words predicted, 4 wanted, 2 shared: 2 * 2 / 7
    assert metrics.token_f1("define budget now", "define the campaign budget carefully") == pytest.approx(4 / 7)
    assert metrics.token_f1("go go go", "go") == pytest.approx(0.5), "a repeated word counts as often as it stands"
    assert metrics.token_f1("", "word") == metrics.token_f1("word", "") == 0.0
    assert metrics.token_f1("", "the") == 1.0
    assert metrics.exact_match("budget", "budgets") == 0.0


def test_citation_figures():
    assert metrics.citation_recall([True, False, True, True]) == 0.75
    assert metrics.citation_recall([]) == 0.0
    # Enough alone; needed; neither; enough alone but of a sentence that is not supported.
    precision = metrics.citation_precision(
        [True, True, True, False], [True, False, False, True], [False, True, False, False]
    )
    assert precision == 0.5


def test_abstention_accuracy_counts_both_kinds_of_right():
    assert metrics.abstention_accuracy([True, False, True, False], [False, True, True, False]) == 0.5


def test_calibration_error_by_hand():
    # Bin 0: mean confidence 0.05, none right, 2 of 4. Bin 9: mean 0.975, half right, 2 of 4.
    error = metrics.calibration_error([0.0, 0.1 - 1e-12, 0.95, 1.0], [False, False, True, False])
    assert error == pytest.approx(0.5 * 0.05 + 0.5 * 0.475)
    assert metrics.calibration_error([], []) == 0.0
    with pytest.raises(ValueError, match="lies in"):
        metrics.calibration_error([1.5], [True])


def test_calibration_bins_by_hand():
    bins = metrics.calibration_bins([0.05, 0.1, 0.95, 1.0], [False, True, False, True])
    assert bins == [
        metrics.Bin(0.0, 0.1, 1, 0.05, 0.0),
        metrics.Bin(0.1, 0.2, 1, 0.1, 1.0),
        metrics.Bin(0.9, 1.0, 2, 0.975, 0.5),
    ]


def test_risk_coverage_by_hand():
    # Answering 1, then 3 (a tie), then 4 questions: none, one of three, two of four are wrong.
    points = metrics.risk_coverage_points([0.9, 0.5, 0.5, 0.1], [True, False, True, False])
    assert points == [(0.9, 0.25, 0.0), (0.5, 0.75, pytest.approx(1 / 3)), (0.1, 1.0, 0.5)]
    area = metrics.risk_coverage_area([0.9, 0.5, 0.5, 0.1], [True, False, True, False])
    assert area == pytest.approx(0.5 / 3 + 0.25 * 0.5)
    assert metrics.risk_coverage_points([], []) == []
    assert metrics.risk_coverage_area([], []) == 0.0


def test_threshold_for_a_rate_of_false_answers_by_hand():
    confidences, answerable = [0.9, 0.8, 0.6, 0.4, 0.2], [True, False, True, False, True]
    assert metrics.threshold_for(confidences, answerable, 0.0) == 0.9
    assert metrics.threshold_for(confidences, answerable, 0.49) == 0.9
    assert metrics.threshold_for(confidences, answerable, 0.5) == 0.6
    assert metrics.threshold_for(confidences, answerable, 1.0) == 0.2
    assert metrics.threshold_for([0.3, 0.7], [True, False], 0.0) == math.inf
    with pytest.raises(ValueError, match="unanswerable questions"):
        metrics.threshold_for([0.3], [True], 0.1)
    with pytest.raises(ValueError, match="got 1.1"):
        metrics.threshold_for([0.3], [False], 1.1)


def test_bootstrap_of_a_mean_agrees_with_its_standard_error():
    values = np.repeat([0.0, 1.0], 200)
    low, high = metrics.bootstrap_interval(lambda rows: values[rows].mean(axis=1), 400, resamples=4000)
    error = 1.96 * np.sqrt(0.25 / 400)
    assert (low, high) == (pytest.approx(0.5 - error, abs=0.005), pytest.approx(0.5 + error, abs=0.005))


def test_bootstrap_is_seeded_and_leaves_out_what_has_no_value():
    values = np.array([0.0, 1.0, np.nan])
    assert metrics.bootstrap_interval(lambda rows: values[rows[:, 0]], 3) == (0.0, 1.0)
    many = np.arange(50.0) ** 2
    same, again, other = (metrics.bootstrap_interval(lambda rows: many[rows].mean(1), 50, seed=n) for n in (7, 7, 8))
    assert same == again != other
    with pytest.raises(ValueError, match="no resample"):
        metrics.bootstrap_interval(lambda rows: np.full(len(rows), np.nan), 3)
    with pytest.raises(ValueError, match="at least one question"):
        metrics.bootstrap_interval(lambda rows: rows[:, 0], 0)


def test_roc_points_by_hand():
    points = metrics.roc_points([0.9, 0.8, 0.8, 0.1], [True, True, False, False])
    assert points == [(math.inf, 0.0, 0.0), (0.9, 0.5, 0.0), (0.8, 1.0, 0.5), (0.1, 1.0, 1.0)]
    assert metrics.roc_auc([0.9, 0.8, 0.8, 0.1], [True, True, False, False]) == pytest.approx(0.875)
    with pytest.raises(ValueError, match="positives and negatives"):
        metrics.roc_auc([1.0], [True])


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=20))
def test_auc_is_the_share_of_pairs_in_order(pairs):
    positive = [score for score, is_positive in pairs if is_positive]
    negative = [score for score, is_positive in pairs if not is_positive]
    if positive and negative:
        in_order = np.mean([(p > n) + 0.5 * (p == n) for p in positive for n in negative])
        scores, truth = zip(*pairs, strict=True)
        assert metrics.roc_auc(scores, truth) == pytest.approx(in_order)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0, 100))
def test_percentile_agrees_with_numpy(values, percent):
    assert metrics.percentile(values, percent) == pytest.approx(np.percentile(values, percent), abs=1e-6)


def test_percentile_refuses_nothing():
    with pytest.raises(ValueError, match="needs values"):
        metrics.percentile([], 50)
