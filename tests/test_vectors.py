from __future__ import annotations

import faiss
import numpy as np
import pytest

from rag.errors import IndexFormatError
from rag.store.vectors import Part, VectorIndex


def unit_rows(n, dim, seed):
    matrix = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def nearest(passages, query, top_k):
    vectors = VectorIndex.build(passages)
    part = Part(vectors, np.arange(len(vectors)))
    return part.nearest(query, np.ones(len(part), dtype=bool), top_k)


@pytest.mark.parametrize("top_k", [1, 3, 50, 51, 1000])
def test_search_agrees_with_exact_cosine(top_k):
    passages, queries = unit_rows(50, 16, 1), unit_rows(7, 16, 2)
    index = VectorIndex.build(passages)
    for query in queries:
        exact = passages @ query
        np.testing.assert_allclose(index.cosines(query), exact, atol=1e-6)
        rows = nearest(passages, query, top_k)
        assert rows.dtype == np.int64
        np.testing.assert_allclose(exact[rows], -np.sort(-exact)[:top_k], atol=1e-6)


def test_equal_scores_keep_corpus_order_also_at_the_cut():
    best, twin, other = np.eye(3, dtype=np.float32)
    passages = np.stack([other, twin, twin, best, twin, *[twin] * 200, best])
    assert nearest(passages, np.array([0.8, 0.6, 0.0], dtype=np.float32), 6).tolist() == [3, 205, 1, 2, 4, 5]


def test_no_passages():
    empty = VectorIndex.build(np.zeros((0, 4), np.float32))
    assert empty.cosines(unit_rows(1, 4, 0)[0]).shape == (0,)
    assert nearest(np.zeros((0, 4), np.float32), unit_rows(1, 4, 0)[0], 5).tolist() == []
    assert VectorIndex.from_bytes(empty.to_bytes()).dim == 4


@pytest.mark.parametrize(
    ("query", "rows", "message"),
    [
        (np.ones(5, np.float32), None, r"shape \(4,\), got \(5,\)"),
        (np.ones((1, 4), np.float32), None, r"shape \(4,\), got \(1, 4\)"),
        (np.ones(4, np.float32), np.array([3]), r"\[0, 3\)"),
        (np.ones(4, np.float32), np.array([-1]), r"\[0, 3\)"),
    ],
)
def test_a_wrong_question_is_a_value_error(query, rows, message):
    with pytest.raises(ValueError, match=message):
        VectorIndex.build(unit_rows(3, 4, 0)).cosines(query, rows)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [(np.ones(4, np.float32), "shape"), (np.ones((2, 0), np.float32), "shape"), (np.array([[np.inf]]), "finite")],
)
def test_a_wrong_matrix_is_a_value_error(matrix, message):
    with pytest.raises(ValueError, match=message):
        VectorIndex.build(matrix.astype(np.float32))


def test_bytes_round_trip_to_equal_cosines_and_equal_vectors():
    passages, queries = unit_rows(40, 8, 3), unit_rows(5, 8, 4)
    index = VectorIndex.build(passages)
    again = VectorIndex.from_bytes(index.to_bytes())
    for query in queries:
        np.testing.assert_array_equal(index.cosines(query), again.cosines(query))
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
