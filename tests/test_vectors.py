from __future__ import annotations

import faiss
import numpy as np
import pytest

from rag.errors import IndexFormatError
from rag.store.vectors import VectorIndex


def unit_rows(n, dim, seed):
    matrix = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@pytest.mark.parametrize("top_k", [1, 3, 50, 51, 1000])
def test_search_agrees_with_exact_cosine(top_k):
    passages, queries = unit_rows(50, 16, 1), unit_rows(7, 16, 2)
    scores, rows = VectorIndex.build(passages).search(queries, top_k=top_k)
    exact = queries @ passages.T
    assert scores.dtype == np.float32 and rows.dtype == np.int64
    np.testing.assert_allclose(scores, -np.sort(-exact, axis=1)[:, :top_k], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(exact, rows, axis=1), scores, atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("n_queries", [1, 30])  # FAISS takes another road from 20 queries on
def test_equal_scores_keep_corpus_order_also_at_the_cut(n_queries):
    best, twin, other = np.eye(3, dtype=np.float32)
    passages = np.stack([other, twin, twin, best, twin, *[twin] * 200, best])
    queries = np.tile(np.array([[0.8, 0.6, 0.0]], dtype=np.float32), (n_queries, 1))
    _, rows = VectorIndex.build(passages).search(queries, top_k=6)
    np.testing.assert_array_equal(rows, np.tile([3, 205, 1, 2, 4, 5], (n_queries, 1)))


def test_a_top_k_above_the_size_never_answers_row_minus_one():
    scores, rows = VectorIndex.build(unit_rows(2, 4, 0)).search(unit_rows(1, 4, 1), top_k=10)
    assert scores.shape == (1, 2) and sorted(rows[0].tolist()) == [0, 1]


def test_no_passages_and_no_queries():
    empty = VectorIndex.build(np.zeros((0, 4), np.float32))
    assert [part.shape for part in empty.search(unit_rows(3, 4, 0), top_k=5)] == [(3, 0), (3, 0)]
    full = VectorIndex.build(unit_rows(6, 4, 0))
    assert [part.shape for part in full.search(np.zeros((0, 4), np.float32), top_k=5)] == [(0, 5), (0, 5)]
    assert VectorIndex.from_bytes(empty.to_bytes()).dim == 4


@pytest.mark.parametrize(
    ("queries", "top_k", "message"),
    [
        (np.ones((1, 4), np.float32), 0, "top_k must be at least 1, got 0"),
        (np.ones((1, 5), np.float32), 1, r"\(n_queries, 4\), got \(1, 5\)"),
        (np.ones(4, np.float32), 1, r"\(n_queries, 4\), got \(4,\)"),
        (np.full((1, 4), np.nan, np.float32), 1, "finite"),
    ],
)
def test_a_wrong_question_is_a_value_error(queries, top_k, message):
    with pytest.raises(ValueError, match=message):
        VectorIndex.build(unit_rows(3, 4, 0)).search(queries, top_k=top_k)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [(np.ones(4, np.float32), "shape"), (np.ones((2, 0), np.float32), "shape"), (np.array([[np.inf]]), "finite")],
)
def test_a_wrong_matrix_is_a_value_error(matrix, message):
    with pytest.raises(ValueError, match=message):
        VectorIndex.build(matrix.astype(np.float32))


def test_bytes_round_trip_to_equal_search_results_and_equal_vectors():
    passages, queries = unit_rows(40, 8, 3), unit_rows(5, 8, 4)
    index = VectorIndex.build(passages)
    again = VectorIndex.from_bytes(index.to_bytes())
    for left, right in zip(index.search(queries, top_k=9), again.search(queries, top_k=9), strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(again.reconstruct(), passages)
    np.testing.assert_array_equal(again.reconstruct(np.array([7, 0, 7])), passages[[7, 0, 7]])
    assert (len(again), again.dim) == (40, 8)


def test_reconstructed_vectors_outlive_the_index():
    passages = unit_rows(40, 8, 3)
    vectors = VectorIndex.from_bytes(VectorIndex.build(passages).to_bytes()).reconstruct()
    np.testing.assert_array_equal(vectors, passages)


@pytest.mark.parametrize("rows", [[3], [-1]])
def test_a_row_outside_the_index_is_a_value_error(rows):
    with pytest.raises(ValueError, match=r"\[0, 3\)"):
        VectorIndex.build(unit_rows(3, 4, 0)).reconstruct(np.array(rows))


def test_bytes_of_another_kind_are_refused():
    hnsw = faiss.IndexHNSWFlat(4, 8)
    hnsw.add(unit_rows(3, 4, 0))
    with pytest.raises(IndexFormatError, match="IndexHNSWFlat, not an IndexFlatIP"):
        VectorIndex.from_bytes(faiss.serialize_index(hnsw).tobytes())
    for data in (b"", b"no index at all", VectorIndex.build(unit_rows(9, 4, 0)).to_bytes()[:60]):
        with pytest.raises(IndexFormatError, match="vectors cannot be read"):
            VectorIndex.from_bytes(data)


def test_the_byte_limit_of_faiss_is_put_back():
    before = faiss.get_deserialization_vector_byte_limit()
    VectorIndex.from_bytes(VectorIndex.build(unit_rows(3, 4, 0)).to_bytes())
    with pytest.raises(IndexFormatError):
        VectorIndex.from_bytes(b"no index at all")
    assert faiss.get_deserialization_vector_byte_limit() == before
