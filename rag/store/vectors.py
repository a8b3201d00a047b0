"""The passage vectors of one generation, searched by inner product. The one home of FAISS.

``VectorIndex`` is the interface; the FAISS index behind it is an ``IndexFlatIP`` (exact). ``Part`` is search among the
vectors of one language: exact while they are few, then through short codes of them. FAISS neither detects a damaged
file nor reports a full disk, so it writes nothing here, and reads no file whose checksum was not checked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import IndexFormatError

_LIMIT_LOCK = threading.Lock()
_LIMIT_MARGIN = 1 << 20

EXACT_ROWS = 8_192  # vectors of an index that are scanned exactly: about as long as the rest of a search takes
_REFINED = 6  # exact cosines computed for each passage wanted
_TRAINED_ON = 65_536
_ADDED_AT_ONCE = 65_536


class VectorIndex:
    """Unit vectors by row, with exact cosines. Immutable; safe to search from many threads.

    Args:
        indexes: FAISS indexes of inner products that are no longer changed; rows go through them one after another.
            See :meth:`build`, :meth:`from_bytes` and :meth:`joined`.
    """

    def __init__(self, *indexes: Any) -> None:
        self._indexes = indexes
        self._ends = np.cumsum([int(index.ntotal) for index in indexes])

    @classmethod
    def joined(cls, parts: Sequence[VectorIndex]) -> VectorIndex:
        """Return the vectors of several indexes as one, none of them copied; at least one, of equal dim."""
        if len(parts) == 1:
            return parts[0]
        if len({part.dim for part in parts}) != 1:
            raise ValueError(f"vectors of different lengths: {sorted(part.dim for part in parts)}")
        return cls(*(index for part in parts for index in part._indexes))

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

        return cls(_read(lambda: faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8)), len(data)))

    @classmethod
    def from_file(cls, path: Path) -> VectorIndex:
        """Map a file of what :meth:`to_bytes` wrote: its pages are read when they are used, and leave memory again.

        The file must have passed a checksum first, and must not change afterwards; it may be unlinked.

        Raises:
            IndexFormatError: It is no flat inner-product index.
            OSError: It is gone.
        """
        import faiss

        size = path.stat().st_size
        return cls(_read(lambda: faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC), size))

    def to_bytes(self) -> bytes:
        """Return the index in FAISS's own serialisation.

        Raises:
            ValueError: It is joined of several.
        """
        import faiss

        (index,) = self._indexes
        data: bytes = faiss.serialize_index(index).tobytes()
        return data

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def dim(self) -> int:
        """Return the length of each vector."""
        return int(self._indexes[0].d)

    def cosines(
        self, query: npt.NDArray[np.float32], rows: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the cosine of a query with some passages, each computed on its own: equal vectors, equal cosines.

        Args:
            query: Shape (dim,), of L2 norm 1.
            rows: Which passages, each in [0, len(self)); None for all, in order.

        Returns:
            Shape (len(rows),).

        Raises:
            ValueError: A query of another shape, or a row outside [0, len(self)).
        """
        import faiss

        if query.shape != (self.dim,):  # FAISS would read beyond it
            raise ValueError(f"the query must have the shape ({self.dim},), got {query.shape}")
        self._check(rows)
        query = np.ascontiguousarray(query, dtype=np.float32)
        rows = np.arange(len(self), dtype=np.int64) if rows is None else rows
        cosines = np.empty(len(rows), dtype=np.float32)
        for places, index, own in self._split(rows):
            found = np.empty(len(own), dtype=np.float32)
            pointers = (faiss.swig_ptr(array) for array in (query, found, own))
            index.compute_distance_subset(1, next(pointers), len(own), *pointers)
            cosines[places] = found
        return cosines

    def _check(self, rows: npt.NDArray[np.int64] | None) -> None:
        if rows is not None and len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise ValueError(f"rows must be in [0, {len(self)}), got {rows.min()}..{rows.max()}")

    def _split(self, rows: npt.NDArray[np.int64]) -> Iterator[tuple[Any, Any, npt.NDArray[np.int64]]]:
        """Yield for each FAISS index that holds some of the rows their places, the index, and its own rows."""
        if len(self._indexes) == 1:
            if len(rows):
                yield slice(None), self._indexes[0], np.ascontiguousarray(rows, dtype=np.int64)
            return
        owners = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(owners).tolist():
            places = np.flatnonzero(owners == number)
            index = self._indexes[number]
            yield places, index, rows[places] - (self._ends[number] - index.ntotal)

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
        self._check(rows)
        vectors = np.empty((len(rows), self.dim), dtype=np.float32)
        for places, index, own in self._split(rows):
            vectors[places] = index.reconstruct_batch(own)
        return vectors


def _read(read: Callable[[], Any], n_bytes: int) -> Any:
    import faiss

    with _LIMIT_LOCK:
        limit = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(n_bytes + _LIMIT_MARGIN)
        try:
            index = read()
        except Exception as error:  # FAISS raises RuntimeError, MemoryError and SWIG's own
            raise IndexFormatError(f"the vectors cannot be read: {error}") from error
        finally:
            faiss.set_deserialization_vector_byte_limit(limit)
    if not isinstance(index, faiss.IndexFlatIP):
        raise IndexFormatError(f"the vectors are a {type(index).__name__}, not an IndexFlatIP")
    return index


class Codes:
    """Short codes of some vectors, and which of them are about nearest to a query. Immutable; safe to share.

    A bit a dimension and two factors: RaBitQ (Gao and Long 2024, "RaBitQ: Quantizing High-Dimensional Vectors with a
    Theoretical Error Bound for Approximate Nearest Neighbor Search"), scanned by FAISS from the first to the last.
    """

    def __init__(self, vectors: VectorIndex, rows: npt.NDArray[np.int64]) -> None:
        """Make the codes of some rows, at least one; positions count these."""
        import faiss

        self._codes = faiss.IndexRaBitQFastScan(vectors.dim, faiss.METRIC_INNER_PRODUCT)
        sample = np.sort(np.random.default_rng(0).choice(rows, min(len(rows), _TRAINED_ON), replace=False))
        self._codes.train(vectors.reconstruct(sample))  # their mean
        for start in range(0, len(rows), _ADDED_AT_ONCE):
            self._codes.add(vectors.reconstruct(rows[start : start + _ADDED_AT_ONCE]))

    def __len__(self) -> int:
        return int(self._codes.ntotal)

    def nearest(
        self, query: npt.NDArray[np.float32], top: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return about the ``top`` nearest positions, at most all, and what their cosines are about."""
        cosines, found = self._codes.search(np.ascontiguousarray(query[None], dtype=np.float32), min(top, len(self)))
        is_found = found[0] >= 0
        return found[0][is_found], cosines[0][is_found]


class Part:
    """Search among some of the vectors, those of one language. Immutable; safe to search from many threads.

    Few of them are scanned exactly. Of many, codes are scanned, and the best of that scan are ranked by their cosines.

    Args:
        vectors: All vectors.
        rows: Which of them, increasing; positions count these.
        coded: Runs of positions that have codes: the first position of each, increasing, and its codes.
    """

    def __init__(
        self, vectors: VectorIndex, rows: npt.NDArray[np.int64], coded: Sequence[tuple[int, Codes]] = ()
    ) -> None:
        self._vectors, self._rows, self._coded = vectors, rows, coded
        self._plain = np.ones(len(rows), dtype=np.bool_)
        for start, codes in coded:
            self._plain[start : start + len(codes)] = False

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_exact(self) -> bool:
        """Return whether every vector is scanned exactly."""
        return not self._coded

    def cosines(
        self, query: npt.NDArray[np.float32], positions: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the exact cosine of a query, a unit vector of shape (dim,), with some vectors; None for all."""
        return self._vectors.cosines(query, self._rows if positions is None else self._rows[positions])

    def reconstruct(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return a copy of some vectors, shape (len(positions), dim)."""
        return self._vectors.reconstruct(self._rows[positions])

    def nearest(
        self, query: npt.NDArray[np.float32], eligible: npt.NDArray[np.bool_], top: int
    ) -> npt.NDArray[np.int64]:
        """Find the eligible vectors nearest to a query.

        Args:
            query: Shape (dim,), of L2 norm 1.
            eligible: Which positions may be found, shape (len(self),).
            top: How many, at least 1; all that are eligible where they are fewer.

        Returns:
            Their positions, best first; equal cosines keep their order.
        """
        wanted = _REFINED * top
        exact, likely, guesses = [np.flatnonzero(eligible & self._plain)], [_NO_ROWS], [_NO_GUESSES]
        for start, codes in self._coded:
            own = eligible[start : start + len(codes)]
            if np.count_nonzero(own) <= max(EXACT_ROWS, wanted):
                exact.append(start + np.flatnonzero(own))
                continue
            found, about = _likely(codes, query, own, wanted)
            likely.append(start + found)
            guesses.append(about)
        best = np.argsort(-np.concatenate(guesses), kind="stable")[:wanted]  # of all the codes together
        positions = np.sort(np.concatenate([*exact, np.concatenate(likely)[best]]))
        cosines = self.cosines(query, positions)
        return positions[np.argsort(-cosines, kind="stable")[:top]]


_NO_ROWS = np.zeros(0, dtype=np.int64)
_NO_GUESSES = np.zeros(0, dtype=np.float32)


def _likely(
    codes: Codes, query: npt.NDArray[np.float32], eligible: npt.NDArray[np.bool_], wanted: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return ``wanted`` eligible positions or more, the likeliest by their codes, and what their cosines are about."""
    fetched, n_eligible = wanted, int(np.count_nonzero(eligible))
    while True:
        # As many more as the filter leaves out on the whole; where it leaves out the nearest, more again.
        fetched = min(len(codes), -(-fetched * len(codes) // n_eligible))
        found, about = codes.nearest(query, fetched)
        passes = eligible[found]
        if np.count_nonzero(passes) >= wanted or fetched == len(codes):
            return found[passes], about[passes]
        fetched *= 4
