"""Statistics of a generation in Milvus: what the moments of all scores are worked out of, and the terms.

Both legs of a search are measured against the scores of all passages, which nobody computes here. Of cosines the mean
is that of the vectors times the query, and the variance ``query @ covariance @ query``. Of BM25 each term has the sum
and the sum of squares of its values ``tf / (tf + norm)`` over the passages.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.errors import IndexFormatError
from rag.store.bm25 import Bm25Index, IntArray
from rag.store.milvus_client import stable_hash
from rag.store.vectors import VectorIndex

_LAYOUT = 1
_TERMS_A_BLOB = 64
_VOCABULARY = 200_000  # terms of a language, the most frequent, among which names are looked for by their sound
_VECTORS_AT_ONCE = 65_536

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LanguageStatistics:
    """What is known of all passages of one language.

    ``mean`` (dim,) and ``covariance`` (dim, dim) are those of their vectors. ``terms`` are the most frequent ones.
    """

    n_passages: int
    mean_length: float
    k1: float
    b: float
    mean: FloatArray
    covariance: npt.NDArray[np.float32]
    terms: tuple[str, ...]

    def norms(self, lengths: FloatArray) -> FloatArray:
        """Return ``k1 * (1 - b + b * length / mean_length)`` of passages by their number of terms."""
        return self.k1 * (1 - self.b + self.b * lengths / (self.mean_length or 1.0))


@dataclass(frozen=True, slots=True)
class TermStatistics:
    """A term: its id in sparse vectors, how many passages hold it, the sum of its values there and of their squares."""

    id: int
    frequency: int
    total: float
    squares: float


@dataclass(frozen=True, slots=True)
class LanguageTerms:
    """The terms of the passages of one language, as they are written down.

    ``places``, ``ids`` and ``values`` have an entry for each term of each passage, in order of place: the position of
    the passage among those of the language, the term's id and its value there. ``terms`` has what is known of each.
    """

    lengths: npt.NDArray[np.int32]
    places: IntArray
    ids: IntArray
    values: FloatArray
    terms: Mapping[str, TermStatistics]

    @classmethod
    def of(cls, index: Bm25Index, first_id: int) -> LanguageTerms:
        """Work them out; ids go up from ``first_id`` in the order of the vocabulary."""
        places, owners, counts = index._postings_of(np.arange(index.n_rows))
        mean_length = float(index.lengths.mean()) if index.n_rows else 0.0
        norms = index.k1 * (1 - index.b + index.b * index.lengths / (mean_length or 1.0))
        values = counts / (counts + norms[places])
        n_terms = len(index.terms)
        frequencies = np.bincount(owners, minlength=n_terms).tolist()
        totals = np.bincount(owners, values, minlength=n_terms).tolist()
        squares = np.bincount(owners, values**2, minlength=n_terms).tolist()
        known = {
            term: TermStatistics(first_id + number, *numbers)
            for number, (term, *numbers) in enumerate(zip(index.terms, frequencies, totals, squares, strict=True))
        }
        return cls(index.lengths, places, owners + first_id, values, known)


def language_statistics(
    index: Bm25Index, known: LanguageTerms, vectors: VectorIndex, rows: IntArray
) -> LanguageStatistics:
    """Return the statistics of the passages of one language: its BM25 index, its terms, and the rows of its vectors."""
    total, products = np.zeros(vectors.dim), np.zeros((vectors.dim, vectors.dim))
    for start in range(0, len(rows), _VECTORS_AT_ONCE):
        part = vectors.reconstruct(rows[start : start + _VECTORS_AT_ONCE]).astype(np.float64)
        total += part.sum(axis=0)
        products += part.T @ part
    mean = total / max(len(rows), 1)
    covariance = products / max(len(rows), 1) - np.outer(mean, mean)
    frequent = sorted(known.terms, key=lambda term: (-known.terms[term].frequency, term))[:_VOCABULARY]
    return LanguageStatistics(
        n_passages=index.n_rows,
        mean_length=float(index.lengths.mean()) if index.n_rows else 0.0,
        k1=index.k1,
        b=index.b,
        mean=mean,
        covariance=covariance.astype(np.float32),
        terms=tuple(sorted(frequent)),
    )


def write_statistics(languages: Mapping[str, LanguageStatistics], n_term_blobs: int) -> bytes:
    """Return what `read_statistics` reads."""
    record = {
        language: {
            **{name: value for name, value in asdict(own).items() if name not in ("mean", "covariance")},
            "mean": base64.b64encode(own.mean.tobytes()).decode("ascii"),
            "covariance": base64.b64encode(own.covariance.tobytes()).decode("ascii"),
        }
        for language, own in languages.items()
    }
    return json.dumps({"layout": _LAYOUT, "term_blobs": n_term_blobs, "languages": record}).encode("ascii")


def read_statistics(data: bytes, folder: Path) -> tuple[dict[str, LanguageStatistics], int]:
    """Return the statistics of each language, and the number of blobs that hold the terms.

    Raises:
        IndexFormatError: They are of another version of this layout.
    """
    record = json.loads(data)
    if record["layout"] != _LAYOUT:
        raise IndexFormatError(
            f"{folder} has layout {record['layout']}, this program reads {_LAYOUT}. Rebuild the index: rag build"
        )
    found = {}
    for language, own in record["languages"].items():
        mean = np.frombuffer(base64.b64decode(own.pop("mean")), dtype=np.float64)
        covariance = np.frombuffer(base64.b64decode(own.pop("covariance")), dtype=np.float32)
        found[language] = LanguageStatistics(
            **{**own, "terms": tuple(own["terms"])}, mean=mean, covariance=covariance.reshape(len(mean), len(mean))
        )
    return found, record["term_blobs"]


def term_home(language: str, term: str, n_blobs: int) -> str:
    """Return the name of the blob that knows a term."""
    return str(stable_hash(language, term) % max(n_blobs, 1))


def term_blobs(languages: Mapping[str, LanguageTerms]) -> tuple[int, Iterator[tuple[str, bytes]]]:
    """Return the number of blobs that hold the terms, and each with its name."""
    n_blobs = max(-(-sum(len(own.terms) for own in languages.values()) // _TERMS_A_BLOB), 1)
    blobs: defaultdict[str, dict[str, dict[str, list[float]]]] = defaultdict(dict)
    for language, own in languages.items():
        for term, known in own.terms.items():
            here = blobs[term_home(language, term, n_blobs)].setdefault(language, {})
            here[term] = [known.id, known.frequency, known.total, known.squares]
    return n_blobs, ((name, json.dumps(known).encode("ascii")) for name, known in blobs.items())
