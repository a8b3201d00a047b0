"""What the page and the HTTP API ask of the system: one object that holds the models, the index and the folders."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rag.answering import Chatbot
from rag.builder import BuildProgress, BuildReport, build_index
from rag.config import AnswerConfig, LoadConfig
from rag.datatypes import Answer, Hit
from rag.embedder import Embedder
from rag.errors import CorpusError, IndexLockedError, RagError
from rag.generators import Generator, open_generator
from rag.loaders import SUPPORTED_SUFFIXES
from rag.retriever import Retriever
from rag.server.uploads import SavedUpload, save_upload
from rag.text import detect_language
from rag.views import DocumentRow, DocumentView, document_rows, document_view

logger = logging.getLogger(__name__)


class ChatService:
    """Answer questions from an index, show its documents, take new ones and rebuild.

    The embedder is loaded once and shared by retriever and builder. The index is opened on first need, so that a
    server may start before there is one. All methods may be called from several threads; questions go on being
    answered from the old generation while a new one is built.

    Args:
        index_dir: The index.
        corpus_dirs: Folders of documents. A rebuild reads these and ``upload_dir``.
        upload_dir: Where uploaded documents are kept; made on the first upload. None is ``uploads`` within the first
            corpus folder, so that every later build of that folder has them too, under the same ``doc_id``.
        embedder: An embedder, its name or its folder; None takes the built-in one.
        model: A language model that writes the answers, or its name (see `rag.generators.open_generator`); None has
            them made of quotes.
    """

    def __init__(
        self,
        index_dir: str | Path = "index",
        *,
        corpus_dirs: Sequence[str | Path] = (),
        upload_dir: str | Path | None = None,
        embedder: Embedder | str | Path | None = None,
        model: Generator | str | None = None,
    ) -> None:
        self.index_dir = Path(index_dir)
        self.corpus_dirs = tuple(Path(folder) for folder in corpus_dirs)
        if upload_dir is None:
            upload_dir = self.corpus_dirs[0] / "uploads" if self.corpus_dirs else "uploads"
        self.upload_dir = Path(upload_dir)
        self.suffixes = frozenset(SUPPORTED_SUFFIXES)
        self.max_upload_bytes = LoadConfig().max_bytes
        self.max_question_characters = AnswerConfig().max_question_characters
        self._embedder = embedder
        self._model = model
        self._retriever: Retriever | None = None
        self._chatbot: Chatbot | None = None
        self._open_lock = threading.Lock()
        self._build_lock = threading.Lock()
        self._upload_lock = threading.Lock()
        self._rows: tuple[str, list[DocumentRow]] = ("", [])

    def warm_up(self) -> None:
        """Load the models and answer nothing once, so that the first question is as quick as the others.

        Raises:
            RagError: A model or the index cannot be opened.
        """
        self.embedder()
        self.generator()
        self.ask("hello مرحبا")

    def embedder(self) -> Embedder:
        """Return the embedder, loaded on first use.

        Raises:
            ModelNotFoundError: It cannot be opened.
        """
        with self._open_lock:
            return self._open_embedder()

    def _open_embedder(self) -> Embedder:
        if self._embedder is None or isinstance(self._embedder, str | Path):
            self._embedder = Embedder.open(self._embedder)
        return self._embedder

    def generator(self) -> Generator | None:
        """Return the language model, opened on first use; None where answers are made of quotes.

        Raises:
            ModelNotFoundError: It cannot be opened.
        """
        with self._open_lock:
            if isinstance(self._model, str):
                self._model = open_generator(self._model)
            return self._model

    def retriever(self) -> Retriever:
        """Return the retriever, opening the index on first use.

        Raises:
            IndexNotFoundError: There is no index yet; the next call looks again.
            RagError: The index or the embedder cannot be opened.
        """
        with self._open_lock:
            if self._retriever is None:
                self._retriever = Retriever.open(self.index_dir, embedder=self._open_embedder())
            return self._retriever

    def chatbot(self) -> Chatbot:
        """Return the chatbot, opening the index and the language model on first use; raises as they do."""
        retriever, generator = self.retriever(), self.generator()
        with self._open_lock:
            if self._chatbot is None:
                self._chatbot = Chatbot(retriever, generator=generator)
            return self._chatbot

    def ask(self, question: str, history: Sequence[Answer] = ()) -> Answer:
        """Answer a question; see ``Chatbot.ask``."""
        return self.chatbot().ask(question, history)

    def stream(self, question: str, history: Sequence[Answer] = ()) -> Iterator[Answer]:
        """Answer a question piece by piece; the last answer is the whole one. See ``Chatbot.stream``."""
        return self.chatbot().stream(question, history)

    def search(self, query: str, *, top_k: int = 5, language: str | None = None) -> tuple[str, list[Hit]]:
        """Return the query's language and its best passages, optionally only those in ``language``."""
        hits = self.retriever().search(query, top_k=top_k, language=language)
        return detect_language(query), hits

    def documents(self) -> list[DocumentRow]:
        """Return the documents of the live generation, by ``doc_id``."""
        generation = self.retriever().snapshot().generation
        if self._rows[0] != generation.name:
            self._rows = (generation.name, document_rows(generation.documents, generation.passages))
        return self._rows[1]

    def document_view(self, doc_id: str, start: int, end: int, *, digest: str | None = None) -> DocumentView | None:
        """Return a document opened at a quote (see ``rag.views.document_view``); None if it is there no more."""
        document = self.retriever().snapshot().generation.documents.get(doc_id)
        return None if document is None else document_view(document, start, end, digest=digest)

    def health(self) -> dict[str, str | int]:
        """Return the live generation's name, its counts and the embedder's name."""
        retriever = self.retriever()
        generation = retriever.snapshot().generation
        return {
            "generation": generation.name,
            "documents": len(generation.documents),
            "passages": len(generation.passages),
            "embedder": retriever.embedder.name,
        }

    def save_upload(self, name: str, data: bytes) -> SavedUpload:
        """Keep an uploaded file for the next rebuild; see ``rag.server.uploads.save_upload``."""
        with self._upload_lock:
            return save_upload(self.upload_dir, name, data, suffixes=self.suffixes, max_bytes=self.max_upload_bytes)

    def sources(self) -> list[Path]:
        """Return the folders a rebuild reads: the corpus folders, and the uploads where they lie outside of these."""
        folders = {folder.resolve() for folder in self.corpus_dirs}
        inside = not folders.isdisjoint(self.upload_dir.resolve().parents)
        return [*self.corpus_dirs, *([self.upload_dir] if self.upload_dir.is_dir() and not inside else [])]

    def rebuild(self, progress: Callable[[BuildProgress], None] | None = None) -> BuildReport:
        """Bring the index up to date with the folders; embeds only what changed.

        Args:
            progress: Called from this thread as the stages advance.

        Raises:
            IndexLockedError: A rebuild is running already, here or in another process.
            CorpusError: There is no folder to read, or nothing in it can be read.
            RagError: The embedder or the index cannot be opened.
        """
        if not self._build_lock.acquire(blocking=False):
            raise IndexLockedError(f"{self.index_dir} is being rebuilt already; wait until that has finished")
        try:
            sources = self.sources()
            if not sources:
                raise CorpusError(self.upload_dir, "there are no documents yet; add some, then rebuild")
            return build_index(sources, self.index_dir, embedder=self.embedder(), progress=progress)
        finally:
            self._build_lock.release()

    def rebuild_stream(self) -> Iterator[BuildProgress | BuildReport]:
        """Rebuild in a thread of its own and yield its progress, then the report.

        Whoever stops listening does not stop the rebuild. Progress that comes faster than it is read is skipped
        over; the report never is.

        Raises:
            RagError: What ``rebuild`` raises.
        """
        events: queue.SimpleQueue[BuildProgress | BuildReport | BaseException] = queue.SimpleQueue()

        def work() -> None:
            try:
                events.put(self.rebuild(events.put))
            except RagError as error:
                events.put(error)
            except BaseException as error:
                logger.exception("the rebuild failed")
                events.put(error)

        threading.Thread(target=work, name="sanad-rebuild", daemon=True).start()
        while True:
            event = events.get()
            while isinstance(event, BuildProgress) and not events.empty():
                event = events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, BuildReport):
                return
