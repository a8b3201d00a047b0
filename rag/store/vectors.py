"""The passage vectors of one generation, searched by inner product. The one home of FAISS.

``VectorIndex`` is the interface; the FAISS index behind it is an ``IndexFlatIP`` (exact). ``Part`` is search among the
vectors of one language: exact while they are few, then through short codes of them. FAISS neither detects a damaged
file nor reports a full disk, so it never touches the disk here: bytes in, bytes out.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import IndexFormatError

_LIMIT_LOCK = threading.Lock()
_LIMIT_MARGIN = 1 << 20

EXACT_ROWS = 8_192  # vectors that are scanned exactly: about as long as the rest of a search takes
_REFINED = 4  # exact cosines computed for each passage wanted
_TRAINED_ON = 65_536
_ADDED_AT_ONCE = 65_536


class VectorIndex:
    """Unit vectors by row, with exact search. Immutable; safe to search from many threads.

    Args:
        index: A FAISS index of inner products that is no longer changed; see :meth:`build` and :meth:`from_bytes`.
    """

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, matrix: npt.NDArray[np.float32]) -> VectorIndex:
        """Index the rows of a matrix.

        Args:
            matrix: Shape (n, dim), each row of L2 norm 1; n may be 0.

        Raises:
            ValueError: Not two axes, dim 0, or a value that is not finite.
        """
        import faiss

        if matrix.ndim != 2 or matrix.shape[1] < 1:
            raise ValueError(f"vectors must have the shape (n, dim), got {matrix.shape}")
        if not np.isfinite(matrix).all():
            raise ValueError("vectors must be finite")
        index = faiss.IndexFlatIP(matrix.shape[1])
        if len(matrix):
            index.add(np.ascontiguousarray(matrix, dtype=np.float32))
        return cls(index)

    @classmethod
    def from_bytes(cls, data: bytes) -> VectorIndex:
        """Read what :meth:`to_bytes` wrote. The bytes must have passed a checksum first: FAISS trusts them.

        Raises:
            IndexFormatError: The bytes are no flat inner-product index.
        """
        import faiss

        with _LIMIT_LOCK:
            limit = faiss.get_deserialization_vector_byte_limit()
            faiss.set_deserialization_vector_byte_limit(len(data) + _LIMIT_MARGIN)
            try:
                index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
            except Exception as error:  # FAISS raises RuntimeError, MemoryError and SWIG's own
                raise IndexFormatError(f"the vectors cannot be read: {error}") from error
            finally:
                faiss.set_deserialization_vector_byte_limit(limit)
        if not isinstance(index, faiss.IndexFlatIP):
            raise IndexFormatError(f"the vectors are a {type(index).__name__}, not an IndexFlatIP")
        return cls(index)

    def to_bytes(self) -> bytes:
        """Return the index in FAISS's own serialisation."""
        import faiss

        data: bytes = faiss.serialize_index(self._index).tobytes()
        return data

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dim(self) -> int:
        """Return the length of each vector."""
        return int(self._index.d)

    def search(
        self, query_vectors: npt.NDArray[np.float32], *, top_k: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Find the passages nearest to each query, best first.

        Equal scores keep corpus order. If the index holds fewer than ``top_k`` passages, all are returned.

        Args:
            query_vectors: Shape (n_queries, dim), each row of L2 norm 1; n_queries may be 0.
            top_k: Passages wanted per query, at least 1.

        Returns:
            ``(scores, rows)``, both of shape (n_queries, min(top_k, len(self))). ``scores[i, j]`` is the cosine of
            query i and passage ``rows[i, j]``; it never increases along j.

        Raises:
            ValueError: ``top_k`` < 1, the second axis is not ``self.dim``, or a value is not finite.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        if query_vectors.ndim != 2 or query_vectors.shape[1] != self.dim:
            raise ValueError(f"query_vectors must have the shape (n_queries, {self.dim}), got {query_vectors.shape}")
        if not np.isfinite(query_vectors).all():  # FAISS would answer NaN with row -1, the last passage
            raise ValueError("query_vectors must be finite")
        queries = np.ascontiguousarray(query_vectors, dtype=np.float32)
        wanted = min(top_k, len(self))
        if wanted == 0 or len(queries) == 0:
            return np.zeros((len(queries), wanted), np.float32), np.zeros((len(queries), wanted), np.int64)
        # FAISS picks any of several equal scores at its cut: fetch until the cut no longer falls within a tie.
        fetched = min(wanted + 1, len(self))
        while True:
            scores, rows = self._index.search(queries, fetched)
            if fetched == len(self) or (scores[:, -1] < scores[:, wanted - 1]).all():
                break
            fetched = min(4 * fetched, len(self))
        order = np.lexsort((rows, -scores), axis=1)[:, :wanted]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)

    def cosines(
        self, query: npt.NDArray[np.float32], rows: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the cosine of a query with some passages, each computed on its own: equal vectors, equal cosines.

        Args:
            query: Shape (dim,), of L2 norm 1.
            rows: Which passages, each in [0, len(self)); None for all, in order.

        Returns:
            Shape (len(rows),).
        """
        import faiss

        rows = np.arange(len(self), dtype=np.int64) if rows is None else np.ascontiguousarray(rows, dtype=np.int64)
        cosines = np.empty(len(rows), dtype=np.float32)
        if len(rows):
            query = np.ascontiguousarray(query, dtype=np.float32)
            pointers = (faiss.swig_ptr(array) for array in (cosines, rows))
            self._index.compute_distance_subset(1, faiss.swig_ptr(query), len(rows), *pointers)
        return cosines

    def reconstruct(self, rows: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """Return a copy of the stored vectors.

        Args:
            rows: Which rows, in which order; None for all, in order.

        Returns:
            Shape (len(rows), dim), bit for bit as they were given to :meth:`build`.

        Raises:
            ValueError: A row outside [0, len(self)).
        """
        if rows is None:
            rows = np.arange(len(self), dtype=np.int64)
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        if len(rows) == 0:
            return np.zeros((0, self.dim), np.float32)
        if rows.min() < 0 or rows.max() >= len(self):
            raise ValueError(f"rows must be in [0, {len(self)}), got {rows.min()}..{rows.max()}")
        vectors: npt.NDArray[np.float32] = self._index.reconstruct_batch(rows)
        return vectors


class Part:
    """Search among some of the vectors, those of one language. Immutable; safe to search from many threads.

    Few of them are scanned exactly. Of many, codes of a bit or two a dimension are scanned, RaBitQ (Gao and Long 2024,
    "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound"), and the best of that scan are ranked
    by their exact cosines.

    Args:
        vectors: All vectors.
        rows: Which of them, increasing; positions count these.
        exact_rows: Up to so many are scanned exactly.
    """

    def __init__(self, vectors: VectorIndex, rows: npt.NDArray[np.int64], *, exact_rows: int = EXACT_ROWS) -> None:
        self._vectors, self._rows, self._exact_rows = vectors, rows, exact_rows
        self._codes: Any = _codes(vectors, rows) if len(rows) > exact_rows else None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_exact(self) -> bool:
        """Return whether every vector is scanned exactly."""
        return self._codes is None

    def cosines(
        self, query: npt.NDArray[np.float32], positions: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the exact cosine of a query, a unit vector of shape (dim,), with some vectors; None for all."""
        return self._vectors.cosines(query, self._rows if positions is None else self._rows[positions])

    def nearest(
        self, query: npt.NDArray[np.float32], eligible: npt.NDArray[np.bool_], top: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Find the eligible vectors nearest to a query, best first; equal cosines keep their order.

        Args:
            query: Shape (dim,), of L2 norm 1.
            eligible: Which positions may be found, shape (len(self),).
            top: How many, at least 1; all that are eligible where they are fewer.

        Returns:
            ``(positions, cosines)``.
        """
        allowed = np.flatnonzero(eligible)
        wanted = min(top, len(allowed))
        if self._codes is not None and len(allowed) > self._exact_rows:
            # As many more as are left out, on the whole, by the filter; where they crowd round the query, more again.
            fetched = -(-_REFINED * wanted * len(self) // len(allowed))
            while fetched < len(self):
                _, found = self._codes.search(np.ascontiguousarray(query[None], dtype=np.float32), fetched)
                chosen = found[0][found[0] >= 0]
                chosen = chosen[eligible[chosen]]
                if len(chosen) >= _REFINED * wanted // 2:
                    allowed = np.sort(chosen)
                    break
                fetched *= 4
        cosines = self.cosines(query, allowed)
        order = np.argsort(-cosines, kind="stable")[:wanted]
        return allowed[order], cosines[order]


def _codes(vectors: VectorIndex, rows: npt.NDArray[np.int64]) -> Any:
    """Return a FAISS index of short codes of some vectors."""
    import faiss

    codes = faiss.IndexRaBitQFastScan(vectors.dim, faiss.METRIC_INNER_PRODUCT)
    sample = np.sort(np.random.default_rng(0).choice(rows, min(len(rows), _TRAINED_ON), replace=False))
    codes.train(vectors.reconstruct(sample))
    for start in range(0, len(rows), _ADDED_AT_ONCE):
        codes.add(vectors.reconstruct(rows[start : start + _ADDED_AT_ONCE]))
    return codes
