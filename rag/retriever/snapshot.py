"""Search in one generation of the index, which never changes."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack, overload
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from rag.config import RetrievalConfig
from rag.datatypes import Document, Hit, Passage
from rag.dictionary import Dictionary
from rag.embedder import fingerprint_hash
from rag.errors import IndexMismatchError
from rag.fusion import Background, FusionWeights, features, fuse
from rag.retriever.diversity import diversify
from rag.retriever.filters import Filters
from rag.retriever.legs import Candidates, Legs, MemoryLegs
from rag.retriever.milvus_legs import MilvusLegs
from rag.store import Generation, Segment
from rag.store.milvus_segment import MilvusSegment
from rag.text.dialect import in_standard_arabic
from rag.text.language import detect_language
from rag.text.spelling import SpellChecker, count_words

_SPELLING_CHARACTERS = 5_000_000


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


class SearchOptions(TypedDict, total=False):
    """What a search takes beside the query; see `Snapshot.search`."""

    top_k: int | None
    language: str | None
    doc_ids: Collection[str] | None
    collection: str | None
    metadata: Mapping[str, str] | None
    diversity: float


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
        self._legs = _legs_of(generation, dictionary)

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the languages of the passages, ISO 639-1, the one with most passages first."""
        counts = self._legs.languages
        return tuple(sorted(counts, key=lambda language: (-counts[language], language)))

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
        return self._legs.idf(term, language) if language in self._legs.languages else 0.0

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
        if source == target or target not in self._legs.languages:
            return self._dictionary.translate(term, source, target)
        return self._legs.lexicon(target).translate(term, term, source)

    def correct(self, query: str) -> str:
        """Return the query as a document would write it: spoken Arabic as standard Arabic, misspelt words put right.

        See `in_standard_arabic` and `spell`.
        """
        return self.spell(in_standard_arabic(query))

    def spell(self, query: str) -> str:
        """Return the query with misspelt words put right by the words of the index; see `SpellChecker`.

        A word that the embedder knows whole is no misspelling. A large index is sampled: its first passages, up to
        five million characters.
        """
        with self._spelling_lock:
            if self._spelling is None:
                self._spelling = SpellChecker(self._words())
        return self._spelling.correct(query, self._is_word)

    def _is_word(self, word: str) -> bool:
        """Tell whether the embedder knows a word as one piece."""
        pieces, special = self._embedder.count_tokens([word, ""])
        return pieces - special <= 1

    def _words(self) -> Iterator[Mapping[str, int]]:
        """Yield the words of each segment, counted once for as long as any generation has it."""
        characters = 0
        for segment in self.generation.segments:
            if characters > _SPELLING_CHARACTERS:
                return
            sample = list(_first(segment.passages, _SPELLING_CHARACTERS - characters))
            characters += sum(map(len, sample))
            if segment not in _WORDS:
                _WORDS[segment] = count_words(sample)
            yield _WORDS[segment]

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; the first one wins
        self, query: str, **options: Unpack[SearchOptions]
    ) -> list[Hit]: ...

    @overload
    def search(self, query: Sequence[str], **options: Unpack[SearchOptions]) -> list[list[Hit]]: ...

    def search(
        self,
        query: str | Sequence[str],
        *,
        top_k: int | None = None,
        language: str | None = None,
        doc_ids: Collection[str] | None = None,
        collection: str | None = None,
        metadata: Mapping[str, str] | None = None,
        diversity: float = 0.0,
    ) -> list[Hit] | list[list[Hit]]:
        """Find the passages nearest to a query, or to each of several queries, best first.

        Equal scores keep the order of the index. A filter leaves the scores of the passages that pass as they are.
        Several queries are embedded in one batch; each finds what it finds alone (a batch may round a cosine in its
        seventh digit).

        Args:
            query: A question or key words, in any language; or several of them.
            top_k: Hits wanted for each query, at least 1; None takes the configured number. Fewer come back only if
                fewer passages pass the filters.
            language: Only passages of this ISO 639-1 code.
            doc_ids: Only passages of these documents; ids that are not in the index find nothing.
            collection: Only documents in this folder of the corpus and below it, such as ``"articles/2026"``; the
                empty one is the whole corpus.
            metadata: Only documents that have each of these values under its key, whatever the case of the letters;
                an item of a list such as ``tags`` counts, see `Document.has`.
            diversity: In [0, 1]. 0 ranks by score. Above it the hits are chosen among the candidates of both legs by
                maximal marginal relevance: each next one has the greatest
                ``(1 - diversity) * relevance - diversity * (greatest cosine with a hit before it)``, relevance being
                the score brought to [0, 1] over the candidates. The best hit comes first in any case. Ranks then
                follow that order and scores need not fall.

        Returns:
            For one query its hits with ranks 1, 2, 3, ...; for several a list of such lists, in the order of the
            queries. ``score`` is comparable within one query only. ``dense_rank`` and ``bm25_rank`` count within the
            passages of the hit's language that pass the filters.

        Raises:
            ValueError: A query is empty or blank, top_k is below 1, diversity is outside of [0, 1], or a filter is no
                such thing; the message names it.
            TypeError: A query is not a string.
        """
        queries = [query] if isinstance(query, str) else list(query)
        _check_queries(queries, is_one=isinstance(query, str))
        wanted = self._config.top_k if top_k is None else top_k
        if wanted < 1:
            raise ValueError(f"top_k must be at least 1, got {wanted}")
        if not 0.0 <= diversity <= 1.0:
            raise ValueError(f"diversity must be in [0, 1], got {diversity}")
        filters = Filters(language, doc_ids, collection, metadata)
        found = self._search(queries, filters, wanted, diversity) if self.generation.passages else [[] for _ in queries]
        return found[0] if isinstance(query, str) else found

    def _search(self, queries: list[str], filters: Filters, wanted: int, diversity: float) -> list[list[Hit]]:
        """Search for queries that are no blanks, in an index that is not empty."""
        passing = self._legs.passing(filters)
        corrected = [self.correct(query) for query in queries]
        vectors = self._embedder.encode_queries(corrected)
        results = []
        for query, text, vector in zip(queries, corrected, vectors, strict=True):
            fused = self._fused(text, detect_language(query), vector, passing, wanted)
            taken = [part for language, part in fused.items() if filters.language in (None, language)]
            found = sorted(chain.from_iterable(taken), key=lambda item: item[:2])
            results.append(self._hits(found, wanted, diversity))
        return results

    def search_each(
        self, query: str, top_k: Mapping[str, int], *, doc_ids: Collection[str] | None = None
    ) -> dict[str, list[Hit]]:
        """Do what `search` does once for each of several passage languages, at the cost of one search.

        Args:
            query: As in `search`.
            top_k: Hits wanted of each language, at least 1.
            doc_ids: As in `search`.

        Returns:
            The hits of each language, those of ``search(query, top_k=top_k[language], language=language)``.

        Raises:
            ValueError: The query is empty or blank, or a number is below 1.
        """
        _check_queries([query], is_one=True)
        if min(top_k.values(), default=1) < 1:
            raise ValueError(f"top_k must be at least 1, got {min(top_k.values())}")
        if not self.generation.passages or not top_k:
            return {language: [] for language in top_k}
        text = self.correct(query)
        (vector,) = self._embedder.encode_queries([text])
        passing = self._legs.passing(Filters(None, doc_ids, None, None))
        fused = self._fused(text, detect_language(query), vector, passing, max(top_k.values()))
        return {
            language: self._hits(sorted(fused.get(language, ()), key=lambda item: item[:2]), wanted, 0.0)
            for language, wanted in top_k.items()
        }

    def _fused(
        self, query: str, query_language: str, vector: npt.NDArray[np.float32], passing: Any, wanted: int
    ) -> dict[str, list[_Candidate]]:
        """Return the candidates of both legs by language; at least ``wanted`` of each where so many passages pass."""
        top = max(self._config.candidates, wanted)
        legs = self._legs.search(query, query_language, vector, passing, top)
        backgrounds = {passage_language: leg.background for passage_language, leg in legs.items()}
        everywhere = Background.pooled(backgrounds.values())
        found: dict[str, list[_Candidate]] = {}
        for passage_language, leg in legs.items():
            numbers = features(leg.cosines, leg.shares, backgrounds[passage_language], everywhere)
            fused = fuse(numbers, self._weights.of(query_language, passage_language))
            if passage_language == query_language:
                fused = fused + self._config.own_language_bonus
            rows = zip(fused.tolist(), leg.rows.tolist(), strict=True)
            found[passage_language] = [(-score, row, leg, place) for place, (score, row) in enumerate(rows)]
        return found

    def _hits(self, found: list[_Candidate], wanted: int, diversity: float) -> list[Hit]:
        """Return the hits among the candidates: the first ones, or those that repeat each other least."""
        if diversity > 0.0 and found:
            scores = np.array([-negative for negative, *_ in found])
            vectors = self._legs.vectors([row for _, row, *_ in found]).astype(np.float64)
            found = [found[place] for place in diversify(scores, vectors, diversity=diversity, top=wanted)]
        found = found[:wanted]
        passages = self._legs.passages([row for _, row, *_ in found])
        return [
            Hit(
                passage=passage,
                score=-negative,
                rank=rank,
                dense_score=float(leg.cosines[place]),
                bm25_score=float(leg.scores[place]),
                dense_rank=leg.dense_rank(place),
                bm25_rank=leg.lexical_rank(place),
            )
            for rank, ((negative, _, leg, place), passage) in enumerate(zip(found, passages, strict=True), start=1)
        ]


_WORDS: WeakKeyDictionary[Segment, Mapping[str, int]] = WeakKeyDictionary()


def _first(passages: Sequence[Passage], characters: int) -> Iterator[str]:
    """Yield the texts of the first passages, up to about so many characters."""
    for passage in passages:
        if characters < 0:
            return
        yield passage.text
        characters -= len(passage.text)


# Score with its sign turned, so that sorting puts the best first; row; what the legs of its language found, and its
# place there.
_Candidate = tuple[float, int, Candidates, int]


def _legs_of(generation: Generation, dictionary: Dictionary) -> Legs[Any]:
    if len(generation.segments) == 1 and isinstance(own := generation.segments[0], MilvusSegment):
        return MilvusLegs(own, dictionary)
    return MemoryLegs(generation, dictionary)


def _check_queries(queries: Sequence[object], *, is_one: bool) -> None:
    for number, query in enumerate(queries, start=1):
        if not isinstance(query, str):
            raise TypeError(f"a query must be a string, got {query!r}")
        if not query.strip():
            raise ValueError("the query is empty" if is_one else f"query {number} of {len(queries)} is empty")


def _check_embedder(generation: Generation, embedder: Encoder, index_dir: str | Path) -> None:
    built, loaded = fingerprint_hash(generation.manifest.embedder), fingerprint_hash(embedder.fingerprint)
    if built != loaded:
        built_name = generation.manifest.embedder.get("name", "another model")
        raise IndexMismatchError(
            f"{index_dir} was built with embedder {built} ({built_name}) but {loaded} ({embedder.name}) is loaded. "
            f"Rebuild it: rag build --index-dir {index_dir}"
        )
