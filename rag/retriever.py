"""Find the passages that answer a query: dense and lexical legs, fused across languages.

A `Snapshot` searches one generation of the index and never changes. A `Retriever` hands out the snapshot of the
live generation and follows the index when it is rebuilt.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from rag.config import RetrievalConfig
from rag.datatypes import Document, Hit
from rag.dictionary import Dictionary, default_dictionary
from rag.embedder import Embedder, fingerprint_hash
from rag.errors import IndexMismatchError, RagError
from rag.fusion import FusionWeights, candidates, default_weights, features, fuse
from rag.lexical import LexicalLeg
from rag.store import Generation, IndexStore, VectorIndex
from rag.text.language import detect_language
from rag.text.spelling import SpellChecker

logger = logging.getLogger(__name__)

_LOOK_INTERVAL_S = 0.5
_SPELLING_CHARACTERS = 5_000_000
_BLOCK = 4096  # vectors held twice at a time


class Encoder(Protocol):
    """What a retriever, and who answers with it, needs of an embedder; `rag.embedder.Embedder` has it."""

    @property
    def name(self) -> str:
        """Return what the model was opened by."""

    @property
    def fingerprint(self) -> Mapping[str, str | int]:
        """Return what decides the vectors; all but ``name`` equal means equal vectors."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, special ones included."""

    def encode_queries(self, queries: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors, shape (len(queries), dim)."""

    def encode_passages(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dim)."""


@dataclass(frozen=True, slots=True)
class _Language:
    """The passages of one language: their rows, increasing, and their lexical leg over the same positions."""

    rows: npt.NDArray[np.int64]
    leg: LexicalLeg


class Snapshot:
    """One immutable generation of the index, and search in it. Safe to share between threads.

    Args:
        generation: The generation.
        embedder: Embeds queries into the space of the generation's vectors.
        config: Defaults of a search.
        dictionary: Translations for the lexical legs.
        weights: How the legs are fused.

    Raises:
        IndexMismatchError: The generation was built with another embedder.
    """

    def __init__(
        self,
        generation: Generation,
        embedder: Encoder,
        *,
        config: RetrievalConfig,
        dictionary: Dictionary,
        weights: FusionWeights,
        index_dir: str | Path = "index",
    ) -> None:
        _check_embedder(generation, embedder, index_dir)
        self.generation = generation
        self._embedder, self._config, self._weights = embedder, config, weights
        self._dictionary = dictionary
        self._spelling: SpellChecker | None = None  # made on first use
        self._spelling_lock = threading.Lock()
        self._centre = _mean_vector(generation.vectors)
        self._languages = {
            language: _Language(rows, LexicalLeg(index, language, dictionary))
            for language, (index, rows) in sorted(generation.bm25.items())
        }
        doc_ids = {doc_id: number for number, doc_id in enumerate(generation.documents)}
        self._doc_ids = doc_ids
        self._doc_of_row = np.array([doc_ids[passage.doc_id] for passage in generation.passages], dtype=np.int64)

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the languages of the passages, ISO 639-1, the one with most passages first."""
        return tuple(sorted(self._languages, key=lambda language: (-len(self._languages[language].rows), language)))

    def document(self, doc_id: str) -> Document:
        """Return a document of this generation.

        Raises:
            KeyError: There is none of that id.
        """
        return self.generation.documents[doc_id]

    def idf(self, term: str, language: str) -> float:
        """Return how telling a term is among the passages of a language: above 0, highest for one in none of them.

        0 where the index has no passage in that language.
        """
        lexical = self.generation.bm25.get(language)
        return 0.0 if lexical is None else lexical[0].idf(term)

    def translate(self, term: str, source: str, target: str) -> list[tuple[str, float]]:
        """Return what a term may be among the passages of another language, the likeliest first.

        Args:
            term: A term of `rag.text.analyzers` in the language ``source``.
            source: ISO 639-1 code.
            target: ISO 639-1 code.

        Returns:
            ``(term, weight)``, weights in (0, 1]: translations of the dictionary, and if none of them is in a
            passage, the terms of the passages that sound like it. The term itself where the languages are equal;
            empty where nothing is known.
        """
        part = self._languages.get(target)
        if source == target or part is None:
            return self._dictionary.translate(term, source, target)
        return part.leg.translate(term, term, source)

    def correct(self, query: str) -> str:
        """Return the query with misspelt words put right by the words of the index; see `SpellChecker`.

        A word that the embedder knows whole is no misspelling. A large index is sampled: its first passages, up to
        five million characters.
        """
        with self._spelling_lock:
            if self._spelling is None:
                self._spelling = SpellChecker(self._sample())
        return self._spelling.correct(query, self._is_word)

    def _is_word(self, word: str) -> bool:
        """Tell whether the embedder knows a word as one piece."""
        pieces, special = self._embedder.count_tokens([word, ""])
        return pieces - special <= 1

    def _sample(self) -> Iterator[str]:
        characters = 0
        for passage in self.generation.passages:
            yield passage.text
            characters += len(passage.text)
            if characters > _SPELLING_CHARACTERS:
                return

    def background(self, query: str) -> float:
        """Return the mean cosine of a query with the passages of the index, in [-1, 1]; 0 if it is empty."""
        return float(self._embedder.encode_queries([query])[0] @ self._centre)

    def search(
        self,
        query: str,
        *,
        top_k: int | None = None,
        language: str | None = None,
        doc_ids: Collection[str] | None = None,
    ) -> list[Hit]:
        """Find the passages nearest to a query, best first.

        Equal scores keep the order of the index. A filter leaves the scores of the passages that pass as they are.

        Args:
            query: A question or key words, in any language.
            top_k: Hits wanted, at least 1; None takes the configured number. Fewer come back only if fewer
                passages pass the filters.
            language: Only passages of this ISO 639-1 code.
            doc_ids: Only passages of these documents; ids that are not in the index find nothing.

        Returns:
            Hits with ranks 1, 2, 3, ... ``score`` is comparable within one query only. ``dense_rank`` and
            ``bm25_rank`` count within the passages of the hit's language that pass the filters.

        Raises:
            ValueError: The query is empty or blank, or top_k is below 1.
        """
        if not query.strip():
            raise ValueError("the query is empty")
        wanted = self._config.top_k if top_k is None else top_k
        if wanted < 1:
            raise ValueError(f"top_k must be at least 1, got {wanted}")
        n_rows = len(self.generation.passages)
        if not n_rows:
            return []
        query_language = detect_language(query)
        query = self.correct(query)
        cosines = self._cosines(query)
        shares = np.zeros(n_rows)
        lexical: dict[str, npt.NDArray[np.float64]] = {}
        for passage_language, part in self._languages.items():
            scored = part.leg.score(query, query_language)
            lexical[passage_language], shares[part.rows] = scored.scores, scored.shares
        passes = self._passing(doc_ids)
        found: list[tuple[float, int, _Leg]] = []
        for passage_language, part in self._languages.items():
            eligible = passes[part.rows]
            if language not in (None, passage_language) or not eligible.any():
                continue
            here = _Leg(cosines[part.rows], lexical[passage_language], eligible)
            top = max(self._config.candidates, wanted)
            positions = np.union1d(
                candidates(here.cosines, eligible, top), candidates(here.lexical, eligible & (here.lexical > 0), top)
            )
            numbers = features(here.cosines, shares[part.rows], all_cosines=cosines, all_shares=shares)
            fused = fuse(numbers[positions], self._weights.of(query_language, passage_language))
            if passage_language == query_language:
                fused = fused + self._config.own_language_bonus
            found.extend(
                (-float(score), int(row), here.at(int(position)))
                for score, row, position in zip(fused, part.rows[positions], positions, strict=True)
            )
        found.sort(key=lambda item: item[:2])
        return [
            Hit(
                passage=self.generation.passages[row],
                score=-negative,
                rank=rank,
                dense_score=float(leg.cosines[leg.position]),
                bm25_score=float(leg.lexical[leg.position]),
                dense_rank=leg.rank(leg.cosines),
                bm25_rank=leg.rank(leg.lexical) if leg.lexical[leg.position] > 0 else None,
            )
            for rank, (negative, row, leg) in enumerate(found[:wanted], start=1)
        ]

    def _cosines(self, query: str) -> npt.NDArray[np.float64]:
        """Return the cosine of the query with every passage, by row."""
        vectors = self.generation.vectors
        scores, rows = vectors.search(self._embedder.encode_queries([query]), top_k=len(vectors))
        cosines = np.empty(len(vectors))
        cosines[rows[0]] = scores[0]
        return cosines

    def _passing(self, doc_ids: Collection[str] | None) -> npt.NDArray[np.bool_]:
        """Return which rows belong to one of the documents, shape (n_rows,)."""
        if doc_ids is None:
            return np.ones(len(self._doc_of_row), dtype=bool)
        if isinstance(doc_ids, str):
            raise ValueError(f"doc_ids must be a collection of ids, got the string {doc_ids!r}")
        wanted = [self._doc_ids[doc_id] for doc_id in doc_ids if doc_id in self._doc_ids]
        return np.isin(self._doc_of_row, wanted)


@dataclass(frozen=True, slots=True)
class _Leg:
    """The scores of one language's passages, and which of them one hit is."""

    cosines: npt.NDArray[np.float64]
    lexical: npt.NDArray[np.float64]
    eligible: npt.NDArray[np.bool_]
    position: int = 0

    def at(self, position: int) -> _Leg:
        return _Leg(self.cosines, self.lexical, self.eligible, position)

    def rank(self, scores: npt.NDArray[np.float64]) -> int:
        """Return the 1-based rank of the hit by ``scores`` among eligible passages; ties keep index order."""
        own = scores[self.position]
        before = (scores > own) | ((scores == own) & (np.arange(len(scores)) < self.position))
        return int((before & self.eligible).sum()) + 1


class Retriever:
    """Search in the live generation of an index. Safe to share between threads.

    The index is looked at, at most twice a second, when somebody searches; a new generation is loaded in the
    calling thread while other threads go on with the one before. A generation that cannot be loaded is left alone
    with a warning, and the one before goes on serving.
    """

    def __init__(
        self, store: IndexStore, embedder: Encoder, generation: Generation, *, config: RetrievalConfig
    ) -> None:
        """Serve ``generation`` first; see `Retriever.open`."""
        self.embedder = embedder
        self._store, self._config = store, config
        self._dictionary, self._weights = default_dictionary(), default_weights()
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        # What CURRENT named when it was last followed; the generation in use is another where that one is damaged.
        self._followed = generation.name
        self._problem = ""
        self._snapshot = self._snapshot_of(generation)

    @classmethod
    def open(
        cls,
        index_dir: str | Path = "index",
        *,
        embedder: Encoder | str | Path | None = None,
        config: RetrievalConfig | None = None,
    ) -> Self:
        """Open an index.

        Args:
            index_dir: The index folder.
            embedder: An open embedder, or the folder or hub name of one; None for the built-in one.
            config: Defaults of a search.

        Raises:
            IndexNotFoundError: There is no index.
            IndexFormatError: It is damaged.
            IndexMismatchError: It was built with another embedder.
            ModelNotFoundError: The embedder cannot be opened.
        """
        store = IndexStore(index_dir)
        generation = store.open_current()
        if embedder is None or isinstance(embedder, str | Path):
            embedder = Embedder.open(embedder)
        return cls(store, embedder, generation, config=config or RetrievalConfig())

    def snapshot(self) -> Snapshot:
        """Return search in one generation that stays as it is; take one for all the steps of an answer."""
        if time.monotonic() - self._looked_at >= _LOOK_INTERVAL_S and self._lock.acquire(blocking=False):
            try:
                self._follow()
            finally:
                self._looked_at = time.monotonic()
                self._lock.release()
        return self._snapshot

    def refresh(self) -> Snapshot:
        """Follow the index at once; ``snapshot`` may be half a second behind it."""
        with self._lock:
            self._follow()
            self._looked_at = time.monotonic()
        return self._snapshot

    def search(
        self,
        query: str,
        *,
        top_k: int | None = None,
        language: str | None = None,
        doc_ids: Collection[str] | None = None,
    ) -> list[Hit]:
        """Search in the live generation; see `Snapshot.search`."""
        return self.snapshot().search(query, top_k=top_k, language=language, doc_ids=doc_ids)

    def _follow(self) -> None:
        """Swap in the generation that CURRENT names, if it is another and can be loaded."""
        try:
            name = self._store.current_name()
            if name != self._followed:
                self._followed = name  # tried once, whatever comes of it
                self._snapshot = self._snapshot_of(self._store.open(name))
                logger.info("%s: now serving %s", self._store.index_dir, name)
            self._problem = ""
        except RagError as error:
            if str(error) != self._problem:
                logger.warning("%s. Still serving %s", error, self._snapshot.generation.name)
            self._problem = str(error)

    def _snapshot_of(self, generation: Generation) -> Snapshot:
        return Snapshot(
            generation,
            self.embedder,
            config=self._config,
            dictionary=self._dictionary,
            weights=self._weights,
            index_dir=self._store.index_dir,
        )


def _mean_vector(vectors: VectorIndex) -> npt.NDArray[np.float64]:
    """Return the mean of all vectors, shape (dim,)."""
    total = np.zeros(vectors.dim)
    for begin in range(0, len(vectors), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(vectors)), dtype=np.int64)
        total += vectors.reconstruct(rows).sum(axis=0, dtype=np.float64)
    return total / max(len(vectors), 1)


def _check_embedder(generation: Generation, embedder: Encoder, index_dir: str | Path) -> None:
    built, loaded = fingerprint_hash(generation.manifest.embedder), fingerprint_hash(embedder.fingerprint)
    if built != loaded:
        built_name = generation.manifest.embedder.get("name", "another model")
        raise IndexMismatchError(
            f"{index_dir} was built with embedder {built} ({built_name}) but {loaded} ({embedder.name}) is loaded. "
            f"Rebuild it: rag build --index-dir {index_dir}"
        )
