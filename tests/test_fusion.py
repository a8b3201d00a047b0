"""Fusion: each leg on a scale of its own, one score across languages, weights by pair of languages."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rag.fusion import (
    Background,
    FusionWeights,
    Moments,
    PairWeights,
    candidates,
    default_weights,
    features,
    fuse,
    standardise,
)

ONE = PairWeights(dense=1.0, lexical=0.5, share=10.0, bias=0.25)


def over(values, background):
    return standardise(values, Moments.of(values), Moments.of(background))


def against(cosines, shares):
    background = Background(Moments.of(cosines), Moments.of(shares))
    return features(cosines, shares, background, background)


def test_moments_are_those_of_numpy_also_pooled_and_of_values_that_are_mostly_zero():
    rng = np.random.default_rng(3)
    parts = [rng.normal(n, 1 + n, 50 * n) for n in (1, 2, 3)]
    whole = np.concatenate(parts)
    pooled = Moments.pooled(Moments.of(part) for part in [*parts, np.zeros(0)])
    np.testing.assert_allclose([pooled.n, pooled.mean, pooled.variance], [300, whole.mean(), whole.var()])
    sparse = Moments.of(whole, n=1000)
    padded = np.concatenate([whole, np.zeros(700)])
    np.testing.assert_allclose([sparse.n, sparse.mean, sparse.variance], [1000, padded.mean(), padded.var()])
    assert Moments.of(np.zeros(0)) == Moments.pooled([]) == Moments(0, 0.0, 0.0)


def test_values_are_standardised_over_their_language_and_twenty_borrowed_passages():
    # Two passages at 0.2 and 0.6 amid an index whose mean is 0.1 and variance 0.01.
    background = np.array([0.0, 0.2])
    values = np.array([0.2, 0.6])
    mean = (0.8 + 20 * 0.1) / 22
    variance = ((0.2 - mean) ** 2 + (0.6 - mean) ** 2 + 20 * (0.01 + (0.1 - mean) ** 2)) / 22
    np.testing.assert_allclose(over(values, background), (values - mean) / variance**0.5)


def test_a_large_language_is_its_own_background():
    rng = np.random.default_rng(0)
    values = rng.normal(0.5, 0.1, 20_000)
    standardised = over(values, np.concatenate([values, rng.normal(-0.5, 0.1, 20_000)]))
    assert abs(standardised.mean()) < 0.05
    assert abs(standardised.std() - 1) < 0.1


def test_languages_whose_cosines_lie_elsewhere_come_onto_one_scale():
    rng = np.random.default_rng(1)
    arabic, english = rng.normal(0.2, 0.05, 5000), rng.normal(0.6, 0.1, 5000)
    arabic[7], english[7] = 0.2 + 5 * 0.05, 0.6 + 5 * 0.1
    everything = np.concatenate([arabic, english])
    assert over(arabic, everything)[7] == pytest.approx(over(english, everything)[7], rel=0.1)


@pytest.mark.parametrize("values", [[], [0.3], [0.3] * 50, [0.0, 0.0]])
def test_standardised_values_are_finite_and_equal_where_the_values_are(values):
    array = np.array(values)
    standardised = over(array, np.array(values or [0.1]))
    assert standardised.shape == array.shape
    assert np.isfinite(standardised).all()
    assert len(set(standardised.tolist())) <= 1


def test_features_come_in_the_order_of_the_weights():
    cosines, shares = np.array([0.1, 0.9]), np.array([0.0, 0.5])
    rows = against(cosines, shares)
    np.testing.assert_array_equal(rows[:, 2], shares)
    np.testing.assert_array_equal(rows[:, 3], 1)
    assert rows[0, 0] < 0 < rows[1, 0]
    assert rows[0, 1] < 0 < rows[1, 1]
    np.testing.assert_allclose(fuse(rows, ONE), rows[:, 0] + 0.5 * rows[:, 1] + 10 * shares + 0.25)
    assert list(PairWeights.__slots__) == ["dense", "lexical", "share", "bias"]


def test_a_leg_that_finds_nothing_decides_nothing():
    cosines = np.array([0.1, 0.7, 0.4])
    nothing = np.zeros(3)
    fused = fuse(against(cosines, nothing), ONE)
    np.testing.assert_array_equal(np.argsort(fused), np.argsort(cosines))
    same = np.full(3, 0.2)
    fused = fuse(against(same, cosines), ONE)
    np.testing.assert_array_equal(np.argsort(fused), np.argsort(cosines))


def test_candidates_are_the_best_eligible_ones_in_order():
    scores = np.array([0.5, 0.9, 0.5, 0.1, 0.5, 0.7])
    eligible = np.array([True, False, True, True, True, True])
    assert candidates(scores, eligible, 3).tolist() == [5, 0, 2]  # of equal scores the first
    assert candidates(scores, eligible, 9).tolist() == [5, 0, 2, 4, 3]
    assert candidates(scores, ~eligible, 2).tolist() == [1]
    assert candidates(scores, np.zeros(6, dtype=bool), 2).tolist() == []


def test_weights_are_found_by_pair_then_by_kind_of_pair():
    pair = {name: PairWeights(number, 0, 0, 0) for number, name in enumerate(("ar-en", "same", "cross"))}
    weights = FusionWeights(pair)
    assert weights.of("ar", "en").dense == 0
    assert weights.of("ar", "ar").dense == 1
    assert weights.of("en", "ar").dense == 2
    assert weights.of("und", "ar").dense == 1
    assert weights.of("fr", "und").dense == 1
    with pytest.raises(ValueError, match="same"):
        FusionWeights({"cross": ONE})


def test_shipped_weights_use_every_leg_in_every_pair():
    weights = default_weights()
    assert set(weights.pairs) == {"ar-ar", "ar-en", "en-ar", "en-en", "same", "cross"}
    for row in weights.pairs.values():
        assert row.dense > 0
        assert row.lexical >= 0
        assert row.share > 0


def test_a_damaged_weights_file_is_named(tmp_path):
    path = tmp_path / "fusion.json"
    path.write_text(json.dumps({"pairs": {"same": {"dense": 1}, "cross": {"dense": 1}}}))
    with pytest.raises(ValueError, match=r"fusion\.json holds no fusion weights"):
        FusionWeights.load(path)
