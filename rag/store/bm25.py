"""BM25 over terms: an inverted index in compressed sparse rows, held in NumPy arrays.

Scores follow Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), section 3.4, in
the variant of Lucene's ``BM25Similarity``: the inverse document frequency has 1 added under the logarithm, so that it
is never negative, and the constant factor (k1 + 1) is left out.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

K1 = 1.2
B = 0.75

_BLOCK_ROWS = 1_024  # whose terms a build holds at once

IntArray = npt.NDArray[np.int64]


class Bm25Index:
    """Postings of one list of texts. Immutable; safe to use from many threads.

    Rows are 0-based positions in the list given to :meth:`build`. The score of row r for a query is the sum over the
    query's terms t of ``weight(t) * idf(t) * tf / (tf + k1 * (1 - b + b * length(r) / mean_length))``, with tf how
    often t stands in r, and ``idf(t) = ln(1 + (n_rows - df + 0.5) / (df + 0.5))``, df the number of rows that hold t.

    Args:
        terms: The vocabulary, sorted, without repeats.
        offsets: Shape (len(terms) + 1,); the postings of term i are ``[offsets[i]:offsets[i + 1]]``.
        rows: Shape (n_postings,), int32; increasing within a term.
        counts: Shape (n_postings,), int32, at least 1: how often the term stands in the row.
        lengths: Shape (n_rows,), int32: the number of terms of each row.
        k1: How slowly a repeated term saturates, at least 0.
        b: How much a long row is discounted, in [0, 1].
    """

    def __init__(
        self,
        terms: Sequence[str],
        offsets: IntArray,
        rows: npt.NDArray[np.int32],
        counts: npt.NDArray[np.int32],
        lengths: npt.NDArray[np.int32],
        *,
        k1: float = K1,
        b: float = B,
    ) -> None:
        if k1 < 0 or not 0 <= b <= 1:
            raise ValueError(f"k1 must be at least 0 and b in [0, 1], got {k1} and {b}")
        if not (len(offsets) == len(terms) + 1 and offsets[0] == 0 and offsets[-1] == len(rows) == len(counts)):
            raise ValueError("offsets, rows and counts do not fit together")
        if (np.diff(offsets) < 1).any() or (len(rows) and not 0 <= rows.min() <= rows.max() < len(lengths)):
            raise ValueError("a term without postings, or a posting outside the rows")
        self.k1, self.b = k1, b
        self._terms = tuple(map(sys.intern, terms))  # the parts of a large index have most of their words in common
        self._offsets, self._rows, self._counts, self._lengths = offsets, rows, counts, lengths

    @classmethod
    def build(
        cls,
        term_lists: Iterable[Sequence[str]],
        *,
        base: tuple[Bm25Index | JoinedBm25, IntArray] | None = None,
        k1: float = K1,
        b: float = B,
    ) -> Bm25Index:
        """Index texts given as their terms.

        Args:
            term_lists: The terms of each row, in text order with repeats; may be empty lists.
            base: ``(index, rows)``, to take rows over from an index built before. ``rows`` has one entry for each
                list: the row of ``index`` that holds the same text, or -1. Where it is not -1 the list is not
                looked at; the result is the same as if the row's terms had been given.
            k1: See the class.
            b: See the class.

        Raises:
            ValueError: A term is empty or holds a line break, or k1 or b is out of range.
        """
        ids: defaultdict[str, int] = defaultdict()
        ids.default_factory = ids.__len__
        taken = _taken_over(*base, ids) if base is not None else None
        blocks: list[_Block] = []
        lengths = [np.zeros(0, dtype=np.int32)]
        n_rows = 0
        remaining = iter(term_lists)
        while lists := list(islice(remaining, _BLOCK_ROWS)):
            if base is not None:
                sources = base[1][n_rows : n_rows + len(lists)].tolist()
                if len(sources) < len(lists):
                    raise ValueError(
                        f"{n_rows + len(lists)} lists of terms or more for {len(base[1])} rows to take over"
                    )
                lists = [terms if source < 0 else () for terms, source in zip(lists, sources, strict=True)]
            lengths.append(np.array([len(terms) for terms in lists], dtype=np.int32))
            blocks.append(_block(lists, n_rows, ids, taken))
            n_rows += len(lists)
        vocabulary = sorted(ids)
        for term in vocabulary:
            if not term or "\n" in term:
                raise ValueError(f"a term must not be empty or hold a line break: {term!r}")
        every_length = np.concatenate(lengths)
        if base is not None:
            index, sources = base
            if n_rows != len(sources):
                raise ValueError(f"{n_rows} lists of terms for {len(sources)} rows to take over")
            every_length[sources >= 0] = index.lengths[sources[sources >= 0]]
        order = np.array([ids[term] for term in vocabulary], dtype=np.int64)
        return cls(vocabulary, *_joined(blocks, order), every_length, k1=k1, b=b)

    def _postings_of(self, rows: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Return ``(places, term ids, counts)`` of every posting of the given rows; ``rows[place]`` owns each."""
        by_row = np.argsort(self._rows, kind="stable")
        sizes = np.bincount(self._rows, minlength=self.n_rows)
        starts = np.cumsum(sizes) - sizes
        wanted = sizes[rows]
        places = np.repeat(np.arange(len(rows)), wanted)
        within = np.arange(len(places)) - np.repeat(np.cumsum(wanted) - wanted, wanted)
        postings = by_row[starts[rows][places] + within]
        owners = np.repeat(np.arange(len(self._terms)), np.diff(self._offsets))[postings]
        return places, owners, self._counts[postings].astype(np.int64)

    @property
    def parts(self) -> tuple[Bm25Index, ...]:
        """Return what it is joined of: itself."""
        return (self,)

    @property
    def n_rows(self) -> int:
        """Return the number of rows."""
        return len(self._lengths)

    @property
    def terms(self) -> tuple[str, ...]:
        """Return the vocabulary, sorted by code point."""
        return self._terms

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Return the number of terms of each row, shape (n_rows,)."""
        return self._lengths

    def __contains__(self, term: object) -> bool:
        return isinstance(term, str) and self._id(term) is not None

    def _id(self, term: str) -> int | None:
        place = bisect_left(self._terms, term)
        return place if place < len(self._terms) and self._terms[place] == term else None

    def document_frequency(self, term: str) -> int:
        """Return how many rows hold ``term``; 0 if none does."""
        index = self._id(term)
        return 0 if index is None else int(self._offsets[index + 1] - self._offsets[index])

    def idf(self, term: str) -> float:
        """Return the term's inverse document frequency, above 0; that of a term in no row if it is unknown."""
        return inverse_document_frequency(self.document_frequency(term), self.n_rows)

    def postings(self, term: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return ``(rows, tf)`` of a term: the rows that hold it, increasing, and how often each does.

        Both have shape (document_frequency(term),).
        """
        index = self._id(term)
        here = slice(0, 0) if index is None else slice(self._offsets[index], self._offsets[index + 1])
        return self._rows[here], self._counts[here]

    def scores(self, terms: Mapping[str, float] | Sequence[str]) -> npt.NDArray[np.float32]:
        """Score every row for a query.

        Args:
            terms: The query's terms; each occurrence counts. Or a weight for each term.

        Returns:
            Shape (n_rows,); 0 where a row holds none of the terms.
        """
        weights = terms if isinstance(terms, Mapping) else Counter(terms)
        mean_length = float(self._lengths.mean()) if len(self._lengths) else 0.0
        norms = self.k1 * (1 - self.b + self.b * self._lengths / (mean_length or 1.0))  # (n_rows,)
        scores = np.zeros(self.n_rows)
        for term, weight in weights.items():
            rows, counts = self.postings(term)  # rows of a term never repeat
            scores[rows] += weight * self.idf(term) * counts / (counts + norms[rows])
        return scores.astype(np.float32)

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays that :meth:`from_arrays` takes.

        ``terms`` is the sorted vocabulary in UTF-8, each term ended by a line feed (uint8); ``offsets`` int64,
        ``rows``, ``counts`` and ``lengths`` int32 are described at the class; ``parameters`` is (k1, b), float64.
        """
        text = "".join(f"{term}\n" for term in self._terms).encode("utf-8", "surrogatepass")
        return {
            "terms": np.frombuffer(text, dtype=np.uint8),
            "offsets": self._offsets,
            "rows": self._rows,
            "counts": self._counts,
            "lengths": self._lengths,
            "parameters": np.array([self.k1, self.b], dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Bm25Index:
        """Read what :meth:`to_arrays` gave.

        Raises:
            ValueError: The arrays do not fit together.
            KeyError: One is missing.
        """
        text = arrays["terms"].tobytes().decode("utf-8", "surrogatepass")
        k1, b = (float(value) for value in arrays["parameters"])
        return cls(
            text.split("\n")[:-1],
            arrays["offsets"].astype(np.int64, copy=False),
            arrays["rows"].astype(np.int32, copy=False),
            arrays["counts"].astype(np.int32, copy=False),
            arrays["lengths"].astype(np.int32, copy=False),
            k1=k1,
            b=b,
        )


class JoinedBm25:
    """BM25 indexes of several lists of texts as one, with the statistics of all of them. Immutable.

    Args:
        parts: The indexes, at least one, of equal parameters; the rows of each follow those of the one before.
    """

    def __init__(self, parts: Sequence[Bm25Index]) -> None:
        self.parts = tuple(parts)
        self.k1, self.b = parts[0].k1, parts[0].b
        if any((part.k1, part.b) != (self.k1, self.b) for part in parts):
            raise ValueError("the parts have other parameters")
        self.lengths: npt.NDArray[np.int32] = np.concatenate([part.lengths for part in parts])
        self._starts = np.cumsum([0, *(part.n_rows for part in parts)])

    @property
    def n_rows(self) -> int:
        """Return the number of rows."""
        return len(self.lengths)

    @cached_property
    def terms(self) -> tuple[str, ...]:
        """Return the vocabulary, sorted by code point."""
        return tuple(sorted(set().union(*(part.terms for part in self.parts))))

    def __contains__(self, term: object) -> bool:
        return any(term in part for part in self.parts)

    def document_frequency(self, term: str) -> int:
        """Return how many rows hold ``term``; 0 if none does."""
        return sum(part.document_frequency(term) for part in self.parts)

    def idf(self, term: str) -> float:
        """Return the term's inverse document frequency, above 0; that of a term in no row if it is unknown."""
        return inverse_document_frequency(self.document_frequency(term), self.n_rows)

    def postings(self, term: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return ``(rows, tf)`` of a term; see `Bm25Index.postings`."""
        found = [part.postings(term) for part in self.parts]
        rows = [own + np.int32(start) for (own, _), start in zip(found, self._starts.tolist(), strict=False)]
        return np.concatenate(rows), np.concatenate([counts for _, counts in found])

    def _postings_of(self, rows: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """See `Bm25Index._postings_of`."""
        ids = {term: index for index, term in enumerate(self.terms)}
        found: list[tuple[IntArray, IntArray, IntArray]] = []
        for part, start in zip(self.parts, self._starts.tolist(), strict=False):
            here = np.flatnonzero((rows >= start) & (rows < start + part.n_rows))
            places, owners, counts = part._postings_of(rows[here] - start)
            renamed = np.array([ids[term] for term in part.terms], dtype=np.int64)
            found.append((here[places], renamed[owners], counts))
        places, owners, counts = (np.concatenate(each) for each in zip(*found, strict=True))
        return places, owners, counts


class _Block(NamedTuple):
    """Postings of some neighbouring rows, by term and then row: the number of the term, the row, how often."""

    owners: npt.NDArray[Any]
    rows: npt.NDArray[Any]
    counts: npt.NDArray[Any]


def _taken_over(index: Bm25Index | JoinedBm25, sources: IntArray, ids: Mapping[str, int]) -> _Block:
    """Return the postings of rows that are taken over, by row, their terms numbered by ``ids``, which grows."""
    taken = np.flatnonzero(sources >= 0)
    places, owners, counts = index._postings_of(sources[taken])
    terms = index.terms
    numbers = np.zeros(len(terms), dtype=np.int64)
    used = np.flatnonzero(np.bincount(owners, minlength=len(terms)))
    numbers[used] = [ids[terms[owner]] for owner in used.tolist()]
    return _Block(numbers[owners], taken[places], counts)


def _block(lists: Sequence[Sequence[str]], start: int, ids: Mapping[str, int], taken: _Block | None) -> _Block:
    """Return the postings of the rows from ``start`` on: of lists of terms, and of the rows that are taken over."""
    own_rows = np.repeat(np.arange(len(lists)), [len(terms) for terms in lists])
    numbers = np.fromiter(map(ids.__getitem__, chain.from_iterable(lists)), dtype=np.int64, count=len(own_rows))
    keys, counts = np.unique(numbers * _BLOCK_ROWS + own_rows, return_counts=True)
    if taken is not None:
        here = slice(*np.searchsorted(taken.rows, [start, start + len(lists)]))
        keys = np.concatenate([keys, taken.owners[here] * _BLOCK_ROWS + taken.rows[here] - start])  # no key twice
        by_key = np.argsort(keys)
        keys, counts = keys[by_key], np.concatenate([counts, taken.counts[here]])[by_key]
    owners, rows = np.divmod(keys, _BLOCK_ROWS)
    return _Block(*(each.astype(np.int32) for each in (owners, rows + start, counts)))


def _joined(blocks: list[_Block], order: IntArray) -> tuple[IntArray, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return offsets, rows and counts of all blocks, which are emptied.

    Args:
        blocks: Each with higher rows than the one before.
        order: The numbers of the terms, in the order of the vocabulary.
    """
    frequencies = np.zeros(len(order), dtype=np.int64)
    for block in blocks:
        frequencies += np.bincount(block.owners, minlength=len(order))
    offsets = np.concatenate([[0], np.cumsum(frequencies[order])])
    following = np.empty(len(order), dtype=np.int64)  # where the next posting of a term belongs
    following[order] = offsets[:-1]
    rows, counts = (np.empty(offsets[-1], dtype=np.int32) for _ in range(2))
    while blocks:
        block = blocks.pop(0)
        firsts = np.flatnonzero(np.diff(block.owners, prepend=-1))
        sizes = np.diff(firsts, append=len(block.owners))
        places = following[block.owners] + np.arange(len(block.owners)) - np.repeat(firsts, sizes)
        rows[places], counts[places] = block.rows, block.counts
        following[block.owners[firsts]] += sizes
    return offsets, rows, counts


def inverse_document_frequency(frequency: float, n_rows: int) -> float:
    """Return ``ln(1 + (n_rows - frequency + 0.5) / (frequency + 0.5))``, above 0."""
    return float(np.log1p((n_rows - frequency + 0.5) / (frequency + 0.5)))
