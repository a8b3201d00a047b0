"""Search in the live generation of an index, whichever that is at the moment."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Self, Unpack, overload

from rag.config import RetrievalConfig
from rag.datatypes import Hit
from rag.dictionary import default_dictionary
from rag.embedder import Embedder
from rag.errors import IndexFormatError, IndexMismatchError, RagError
from rag.fusion import default_weights
from rag.retriever.snapshot import Encoder, SearchOptions, Snapshot
from rag.store import Generation, IndexStore, MilvusStore, open_store

logger = logging.getLogger(__name__)

_LOOK_INTERVAL_S = 0.5


class Retriever:
    """Search in the live generation of an index. Safe to share between threads.

    The index is looked at, at most twice a second, when somebody searches; a new generation is loaded in the
    calling thread while other threads go on with the one before. A generation that cannot be loaded is left alone
    with a warning, and the one before goes on serving.

    A context manager, ``with`` and ``async with``: it ends with `close`.
    """

    def __init__(
        self, store: IndexStore | MilvusStore, embedder: Encoder, generation: Generation, *, config: RetrievalConfig
    ) -> None:
        """Serve ``generation`` first; see `Retriever.open`."""
        self._embedder: Encoder | None = embedder
        self._store, self._config = store, config
        self._dictionary, self._weights = default_dictionary(), default_weights()
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        # What CURRENT named when it was last followed; the generation in use is another where that one is damaged.
        self._followed = "" if generation.warning else generation.name
        self._problem = generation.warning
        self._snapshot: Snapshot | None = self._snapshot_of(generation, embedder)

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
            index_dir: The index folder, or an address in Milvus such as ``milvus:http://host:19530``.
            embedder: An open embedder, or the folder or hub name of one; None for the built-in one.
            config: Defaults of a search.

        Raises:
            IndexNotFoundError: There is no index.
            IndexFormatError: It is damaged.
            IndexMismatchError: It was built with another embedder.
            ModelNotFoundError: The embedder cannot be opened.
        """
        store = open_store(index_dir)
        generation = store.open_current()
        if embedder is None or isinstance(embedder, str | Path):
            embedder = Embedder.open(embedder)
        return cls(store, embedder, generation, config=config or RetrievalConfig())

    def close(self) -> None:
        """Let go of the index and the embedder; every use after it raises RuntimeError. Closing twice does nothing.

        A search that another thread has begun ends as if nothing had happened, and a snapshot taken before goes on.
        """
        with self._lock:
            self._snapshot = self._embedder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

    @property
    def index_dir(self) -> Path:
        """Return the index folder."""
        return self._store.index_dir

    @property
    def embedder(self) -> Encoder:
        """Return what embeds the queries.

        Raises:
            RuntimeError: The retriever is closed.
        """
        embedder = self._embedder
        if embedder is None:
            raise self._closed()
        return embedder

    @property
    def warning(self) -> str | None:
        """Return why answers do not come from the generation that is meant to be live; None where they do.

        One sentence with its remedy, such as a damaged file. It is as old as the last look at the index.
        """
        return self._problem

    def snapshot(self) -> Snapshot:
        """Return search in one generation that stays as it is; take one for all the steps of an answer.

        Raises:
            RuntimeError: The retriever is closed.
        """
        if time.monotonic() - self._looked_at >= _LOOK_INTERVAL_S and self._lock.acquire(blocking=False):
            try:
                self._follow()
            finally:
                self._looked_at = time.monotonic()
                self._lock.release()
        return self._live()

    def refresh(self) -> Snapshot:
        """Follow the index at once; ``snapshot`` may be half a second behind it.

        Raises:
            RuntimeError: The retriever is closed.
        """
        with self._lock:
            self._follow()
            self._looked_at = time.monotonic()
        return self._live()

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
        """Search in the live generation; see `Snapshot.search`. All queries of one call see the same generation.

        Raises:
            ValueError: As in `Snapshot.search`.
            RuntimeError: The retriever is closed.
        """
        return self.snapshot().search(
            query,
            top_k=top_k,
            language=language,
            doc_ids=doc_ids,
            collection=collection,
            metadata=metadata,
            diversity=diversity,
        )

    @overload
    async def asearch(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; the first one wins
        self, query: str, **options: Unpack[SearchOptions]
    ) -> list[Hit]: ...

    @overload
    async def asearch(self, query: Sequence[str], **options: Unpack[SearchOptions]) -> list[list[Hit]]: ...

    async def asearch(
        self, query: str | Sequence[str], **options: Unpack[SearchOptions]
    ) -> list[Hit] | list[list[Hit]]:
        """Do what `search` does in a thread, so that the event loop goes on.

        Cancelling it takes effect at once; the search that was begun ends unseen.
        """
        return await asyncio.to_thread(lambda: self.search(query, **options))

    def _live(self) -> Snapshot:
        snapshot = self._snapshot
        if snapshot is None:
            raise self._closed()
        return snapshot

    def _closed(self) -> RuntimeError:
        index_dir = self._store.index_dir
        return RuntimeError(f"the retriever of {index_dir} is closed. Open another: Retriever.open({str(index_dir)!r})")

    def _follow(self) -> None:
        """Swap in the generation that CURRENT names, if it is another and can be loaded."""
        if self._snapshot is None or self._embedder is None:
            return
        name = self._followed
        try:
            name = self._store.current_name()
            if name != self._followed:
                known = self._snapshot.generation
                generation = self._store.open_current(fallback=False, known=known)  # builds may go by meanwhile
                self._snapshot = self._snapshot_of(generation, self._embedder)
                self._followed, self._problem = generation.name, None
                logger.info("%s: now serving %s", self._store.index_dir, generation.name)
            elif name == self._snapshot.generation.name:
                self._problem = self._snapshot.generation.warning
        except RagError as error:
            if isinstance(error, IndexFormatError | IndexMismatchError):
                self._followed = name  # it stays as it is; anything else, such as a lack of descriptors, may pass
            problem = f"{error}. Still serving {self._snapshot.generation.name}"
            if problem != self._problem:
                logger.warning("%s", problem)
            self._problem = problem

    def _snapshot_of(self, generation: Generation, embedder: Encoder) -> Snapshot:
        return Snapshot(
            generation,
            embedder,
            config=self._config,
            dictionary=self._dictionary,
            weights=self._weights,
            index_dir=self._store.index_dir,
        )
