from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from rag.store.bm25 import Bm25Index

WORDS = st.sampled_from(["a", "b", "c", "كتاب", "تسويق", "\ud800", "e\u0301", "\u2028"])
TEXTS = st.lists(st.lists(WORDS, max_size=8), max_size=12)


def slow_scores(texts, weights, k1=1.2, b=0.75):
    """The formula of the class docstring, one text and one term at a time."""
    mean_length = sum(map(len, texts)) / len(texts) if texts else 0
    scores = []
    for text in texts:
        score = 0.0
        for term, weight in weights.items():
            df = sum(term in other for other in texts)
            tf = text.count(term)
            if tf:
                idf = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
                score += weight * idf * tf / (tf + k1 * (1 - b + b * len(text) / mean_length))
        scores.append(score)
    return scores


def same(left, right):
    arrays = right.to_arrays()
    assert left.to_arrays().keys() == arrays.keys()
    for name, array in left.to_arrays().items():
        assert array.dtype == arrays[name].dtype
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


def test_scores_are_those_worked_by_hand():
    index = Bm25Index.build([["cat", "cat", "dog"], ["dog"], ["fish", "bird"]])
    # mean length 2; idf(cat) = ln(1 + 2.5/1.5) = 0.980829; norm of row 0 = 1.2 * (0.25 + 0.75 * 3/2) = 1.65
    assert index.idf("cat") == pytest.approx(0.9808293)
    np.testing.assert_allclose(index.scores(["cat"]), [0.9808293 * 2 / 3.65, 0, 0], rtol=1e-6)


@given(TEXTS, st.dictionaries(WORDS, st.floats(-2, 2, width=32), max_size=6))
def test_scores_agree_with_the_plain_formula(texts, weights):
    index = Bm25Index.build(texts)
    np.testing.assert_allclose(index.scores(weights), slow_scores(texts, weights), atol=1e-5)
    assert index.n_rows == len(texts)


@given(TEXTS)
def test_a_repeated_query_term_counts_each_time(texts):
    query = ["a", "b", "a", "zebra"]
    np.testing.assert_allclose(Bm25Index.build(texts).scores(query), slow_scores(texts, Counter(query)), atol=1e-5)


def test_parameters_change_the_scores_and_are_stored():
    texts = [["a", "a", "b"], ["a"], ["c", "c"]]
    index = Bm25Index.build(texts, k1=2.0, b=0.3)
    expected = slow_scores(texts, {"a": 1, "c": 1}, k1=2.0, b=0.3)
    np.testing.assert_allclose(index.scores(["a", "c"]), expected, atol=1e-6)
    np.testing.assert_allclose(Bm25Index.from_arrays(index.to_arrays()).scores(["a", "c"]), expected, atol=1e-6)


@given(TEXTS, WORDS)
def test_postings_frequency_and_idf_describe_the_texts(texts, term):
    index = Bm25Index.build(texts)
    rows, counts = index.postings(term)
    assert rows.tolist() == [row for row, text in enumerate(texts) if term in text]
    assert counts.tolist() == [text.count(term) for text in texts if term in text]
    df = len(rows)
    assert index.document_frequency(term) == df and (term in index) == (df > 0)
    assert index.idf(term) == pytest.approx(math.log(1 + (len(texts) - df + 0.5) / (df + 0.5)))
    assert index.lengths.tolist() == list(map(len, texts))
    assert list(index.terms) == sorted({word for text in texts for word in text})


@given(TEXTS)
def test_arrays_round_trip_through_safetensors(texts):
    index = Bm25Index.build(texts)
    same(Bm25Index.from_arrays(load(save(index.to_arrays()))), index)


@given(TEXTS, st.data())
def test_taking_rows_over_gives_what_building_anew_gives(old, data):
    sources = data.draw(st.lists(st.integers(-1, len(old) - 1), max_size=12))
    new = [data.draw(st.lists(WORDS, max_size=8)) if source < 0 else old[source] for source in sources]
    given_lists = [terms if source < 0 else ["not", "looked", "at"] for terms, source in zip(new, sources, strict=True)]
    taken = Bm25Index.build(given_lists, base=(Bm25Index.build(old), np.array(sources, dtype=np.int64)))
    same(taken, Bm25Index.build(new))


def test_no_rows_and_rows_without_terms():
    assert Bm25Index.build([]).scores(["a"]).shape == (0,)
    assert Bm25Index.build([[], []]).scores(["a"]).tolist() == [0, 0]
    assert Bm25Index.build([["a"], []]).scores([]).tolist() == [0, 0]


@pytest.mark.parametrize("term", ["", "two\nlines"])
def test_a_term_that_cannot_be_stored_is_refused(term):
    with pytest.raises(ValueError, match="term"):
        Bm25Index.build([["good", term]])


@pytest.mark.parametrize(("k1", "b"), [(-0.1, 0.5), (1.2, -0.1), (1.2, 1.1)])
def test_parameters_out_of_range_are_refused(k1, b):
    with pytest.raises(ValueError, match="k1 must be at least 0"):
        Bm25Index.build([["a"]], k1=k1, b=b)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offsets", np.array([0, 1], dtype=np.int64)),
        ("rows", np.array([0, 7], dtype=np.int32)),
        ("rows", np.array([0, -1], dtype=np.int32)),
        ("counts", np.array([1], dtype=np.int32)),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(name, value):
    arrays = Bm25Index.build([["a"], ["b"]]).to_arrays()
    with pytest.raises(ValueError, match=r"do not fit together|outside the rows"):
        Bm25Index.from_arrays(arrays | {name: value})
