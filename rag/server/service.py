"""What the page and the HTTP API ask of the system: one object that holds the models, the index and the folders."""

from __future__ import annotations

import logging
import threading
import time
from collections import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from rag.answering import Chatbot
from rag.builder import BuildReport, build_index
from rag.config import AnswerConfig, LoadConfig
from rag.datatypes import Answer, Document, Hit, Scope
from rag.embedder import Embedder
from rag.engine import BuildProgress
from rag.errors import CorpusError, IndexNotFoundError, ModelNotFoundError
from rag.generators import Generator, open_generator
from rag.loaders import SUPPORTED_SUFFIXES
from rag.retriever import Retriever
from rag.server.access import access_log, as_line
from rag.server.asgi import request_id
from rag.server.feedback import FEEDBACK_FILE, FeedbackLog, feedback_of
from rag.server.library import Library
from rag.server.metrics import Metrics
from rag.server.pictures import PagePictures
from rag.server.rebuilds import Rebuilds
from rag.server.uploads import DeletedDocument, SavedUpload, UploadError, move_to_trash, save_upload
from rag.store import Generation, notes_folder
from rag.text import detect_language
from rag.views import DocumentRow, DocumentView, document_view

logger = logging.getLogger(__name__)

_UPLOADS_AT_ONCE = 8  # files of the largest size in one request


class ChatService:
    """Answer questions from an index, show its documents, take new ones and rebuild.

    The embedder is loaded once and shared by retriever and builder. The index is opened on first need, so that a
    server may start before there is one. All methods may be called from several threads; questions go on being
    answered from the old generation while a new one is built.

    Args:
        index_dir: The index. Where it is in Milvus, what is kept beside an index is in ``index``.
        corpus_dirs: Folders of documents. A rebuild reads these and ``upload_dir``.
        upload_dir: Where uploaded documents are kept; made on the first upload. None is ``uploads`` within the first
            corpus folder, so that every later build of that folder has them too, under the same ``doc_id``.
        embedder: An embedder, its name or its folder; None takes the built-in one.
        model: A language model that writes the answers, or its name (see `rag.generators.open_generator`); None has
            them made of quotes.
        any_model: Whether a reader may name another language model, which this machine then opens.
    """

    def __init__(
        self,
        index_dir: str | Path = "index",
        *,
        corpus_dirs: Sequence[str | Path] = (),
        upload_dir: str | Path | None = None,
        embedder: Embedder | str | Path | None = None,
        model: Generator | str | None = None,
        any_model: bool = True,
    ) -> None:
        self._index_address = index_dir
        self.index_dir = notes_folder(index_dir)
        self.corpus_dirs = tuple(Path(folder) for folder in corpus_dirs)
        if upload_dir is None:
            upload_dir = self.corpus_dirs[0] / "uploads" if self.corpus_dirs else "uploads"
        self.upload_dir = Path(upload_dir)
        self.suffixes = frozenset(SUPPORTED_SUFFIXES)
        self.max_upload_bytes = LoadConfig().max_bytes
        self.max_upload_request_bytes = _UPLOADS_AT_ONCE * self.max_upload_bytes
        self.max_question_characters = AnswerConfig().max_question_characters
        self._embedder = embedder
        self._model = model
        self._retriever: Retriever | None = None
        self._any_model = any_model
        self._chatbots: dict[str, Chatbot] = {}  # by the name of the model that writes; "" for quotes
        self._open_lock = threading.Lock()
        self._upload_lock = threading.Lock()
        self.log_questions = False
        self.metrics = Metrics()
        self._rebuilds = Rebuilds(self.index_dir, self._build, self.metrics)
        self._pictures = PagePictures()
        self.library = Library(self.index_dir, self.upload_dir, self.sources)

    def warm_up(self) -> None:
        """Load the models and answer nothing once, so that the first question is as quick as the others.

        Raises:
            RagError: A model or the index cannot be opened.
        """
        self.embedder()
        self.generator()
        self.chatbot().ask("hello مرحبا")

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
                self._retriever = Retriever.open(self._index_address, embedder=self._open_embedder())
            return self._retriever

    def models(self) -> list[str]:
        """Return the names of the language models that are open."""
        return list(dict.fromkeys(name for name in (self.own_model, *self._chatbots) if name))

    @property
    def own_model(self) -> str:
        """The name of the language model the server was started with; empty for answers made of quotes."""
        return self._model if isinstance(self._model, str) else getattr(self._model, "name", "")

    def open_model(self, name: str) -> None:
        """Open a language model, so that a question may name it; it takes the place of one opened this way before.

        Raises:
            ModelNotFoundError: It cannot be opened, or this server opens none but its own.
        """
        if name in self.models():
            return
        if not self._any_model:
            raise ModelNotFoundError(
                f"{name} is not open here; ask who runs this server to start it with --model {name}"
            )
        generator, retriever = open_generator(name), self.retriever()
        with self._open_lock:
            for other in set(self._chatbots) - {"", self.own_model}:
                del self._chatbots[other]
            self._chatbots[name] = Chatbot(retriever, generator=generator)

    def chatbot(self, model: str | None = None) -> Chatbot:
        """Return the chatbot, opening the index and the language model on first use; raises as they do.

        Args:
            model: The name of a language model that is open, ``""`` for answers made of quotes; None is the
                server's own.
        """
        own = self.own_model
        name = own if model is None else model
        if name and name != own:
            self.open_model(name)
        retriever, generator = self.retriever(), self.generator() if name == own else None
        with self._open_lock:
            if name not in self._chatbots:
                self._chatbots[name] = Chatbot(retriever, generator=generator)
            return self._chatbots[name]

    def ask(
        self,
        question: str,
        history: Sequence[Answer] = (),
        *,
        scope: Scope | None = None,
        config: AnswerConfig | None = None,
        model: str | None = None,
    ) -> Answer:
        """Answer a question; see ``Chatbot.ask``, `chatbot`."""
        *_, whole = self.stream(question, history, scope=scope, config=config, model=model)
        return whole

    def stream(
        self,
        question: str,
        history: Sequence[Answer] = (),
        *,
        scope: Scope | None = None,
        config: AnswerConfig | None = None,
        model: str | None = None,
    ) -> abc.Generator[Answer, None, None]:
        """Answer a question piece by piece; the last answer is the whole one. See ``Chatbot.stream``, `chatbot`."""
        answers = self.chatbot(model).stream(question, history, scope=scope, config=config)
        return self._counted(question, answers)

    def _counted(self, question: str, answers: Iterator[Answer]) -> abc.Generator[Answer, None, None]:
        """Yield the answers; count the question and how it ended."""
        began, outcome = time.perf_counter(), "failed"
        last: Answer | None = None
        try:
            for last in answers:
                yield last
            if last is not None:
                outcome = "abstained" if last.abstained else "answered"
        except GeneratorExit:
            outcome = "left"
            raise
        finally:
            seconds = time.perf_counter() - began
            self.metrics.answered_question(outcome, seconds)
            if self.log_questions:
                access_log.info("question=%s %s %.3f s id=%s", as_line(question), outcome, seconds, request_id.get())

    def live_documents(self) -> Mapping[str, Document]:
        """Return the documents of the live generation, by ``doc_id``."""
        return self.retriever().snapshot().generation.documents

    def search(
        self,
        query: str,
        *,
        top_k: int = 5,
        language: str | None = None,
        scope: Scope | None = None,
        diversity: float = 0.0,
    ) -> tuple[str, list[Hit]]:
        """Return the query's language and its best passages; see `Retriever.search`.

        Args:
            query: A question or key words.
            top_k: Passages wanted.
            language: Only passages in this language; ``scope.language`` by default.
            scope: The documents to look in; all of them by default.
            diversity: In [0, 1]: how far passages that repeat better ones are passed over.
        """
        scope = scope or Scope()
        began = time.perf_counter()
        hits = self.retriever().search(
            query,
            top_k=top_k,
            language=language or scope.language or None,
            doc_ids=scope.doc_ids or None,
            collection=scope.collection or None,
            metadata=dict(scope.metadata) or None,
            diversity=diversity,
        )
        if self.log_questions:
            seconds = time.perf_counter() - began
            access_log.info("query=%s %d hits %.3f s id=%s", as_line(query), len(hits), seconds, request_id.get())
        return detect_language(query), hits

    def documents(self) -> list[DocumentRow]:
        """Return the documents of the live generation and of the folders, by ``doc_id``; see `Library.rows`.

        Raises:
            RagError: There is an index, and it cannot be opened.
        """
        return self.library.rows(self.generation())

    def generation(self) -> Generation | None:
        """Return the live generation; None where there is no index yet.

        Raises:
            RagError: There is an index, and it cannot be opened.
        """
        try:
            return self.retriever().snapshot().generation
        except IndexNotFoundError:
            return None

    def document_view(self, doc_id: str, start: int, end: int, *, digest: str | None = None) -> DocumentView | None:
        """Return a document opened at a quote (see ``rag.views.document_view``); None if it is there no more."""
        document = self.live_documents().get(doc_id)
        return None if document is None else document_view(document, start, end, digest=digest)

    def page_picture(self, doc_id: str, number: int) -> tuple[bytes, str]:
        """Return a page of a PDF as PNG, and a tag that names what is drawn; see `PagePictures.draw`.

        Args:
            doc_id: A document of the live generation.
            number: 1-based.

        Raises:
            CorpusError: There is no such document, file or page, it is no PDF, or the file has changed since it was
                indexed.
            RagError: The index cannot be opened.
        """
        document = self.live_documents().get(doc_id)
        if document is None:
            raise CorpusError(doc_id, "there is no such document in the index")
        file = self.library.file(doc_id)
        if file is None:
            raise CorpusError(doc_id, "its file is there no more; update the index")
        if self.library.sha256(doc_id) != document.sha256:
            raise CorpusError(doc_id, "the file has changed since it was indexed; update the index")
        return self._pictures.draw(file.path, number, doc_id=doc_id, sha256=document.sha256)

    def feedback(self, answer: Answer, verdict: str, reason: str = "") -> None:
        """Keep what a reader thinks of an answer in ``feedback.jsonl`` of the index folder.

        Raises:
            ValueError: ``verdict`` is neither ``"up"`` nor ``"down"``, or the reason is too long; see `feedback_of`.
            RagError: It cannot be written.
        """
        FeedbackLog(self.index_dir / FEEDBACK_FILE).append(feedback_of(answer, verdict, reason))

    def report_index(self) -> None:
        """Say in the metrics which index is live; opens none."""
        if self._retriever is None:
            self.metrics.live_index("", 0, 0)
        else:
            live = self._retriever.snapshot().generation
            self.metrics.live_index(live.name, len(live.documents), len(live.passages))

    def index_warning(self) -> str:
        """Return why answers come from another generation than the newest, such as damage; empty where they do not."""
        return "" if self._retriever is None else self._retriever.warning or ""

    def health(self) -> dict[str, str | int]:
        """Return the live generation's name, its counts and the embedder's name; ``warning`` where there is one."""
        retriever = self.retriever()
        generation = retriever.snapshot().generation
        found: dict[str, str | int] = {
            "generation": generation.name,
            "documents": len(generation.documents),
            "passages": len(generation.passages),
            "embedder": retriever.embedder.name,
        }
        if retriever.warning:  # which may name a path: this is answered without a login
            found["warning"] = (
                f"The newest index cannot be used, and {generation.name} answers in its place. rag verify says more."
            )
        return found

    def save_upload(self, name: str, data: bytes | BinaryIO, folder: str = "") -> SavedUpload:
        """Keep an uploaded file for the next rebuild; see ``rag.server.uploads.save_upload``.

        Args:
            name: As the browser sent it.
            data: The file's bytes, or a stream of them.
            folder: Where below the upload folder it goes; empty for the upload folder itself.
        """
        with self._upload_lock:
            saved = save_upload(
                self.upload_dir,
                name,
                data,
                suffixes=self.suffixes,
                max_bytes=self.max_upload_bytes,
                subfolder=folder,
            )
            self.library.note(saved.path)
        return replace(saved, doc_id=self.library.doc_id(saved.path))

    def delete_document(self, doc_id: str) -> DeletedDocument:
        """Take an uploaded document away: it goes to the trash of the upload folder, the next rebuild forgets it.

        Raises:
            UploadError: There is no such document, it was not uploaded, or its file is there no more.
            OSError: The disk refused.
        """
        with self._upload_lock:
            file = self.library.file(doc_id)
            if file is None or not file.path.exists():
                self.library.forget()  # it may have come or gone since the folders were looked at
                file = self.library.file(doc_id)
            if file is None:
                state = {row.doc_id: row.state for row in self.documents()}.get(doc_id)
                if state is None:
                    raise UploadError("unknown", f"There is no document {doc_id}; look at the list of documents again.")
                if state == "gone":
                    raise UploadError("gone", f"The file of {doc_id} is there no more; update the index to forget it.")
            if file is None or not self.library.is_deletable(doc_id):
                raise UploadError(
                    "corpus", f"{doc_id} was not uploaded; remove the file from its folder, then update the index."
                )
            generation = self.generation()
            indexed = () if generation is None else generation.documents
            is_in_index = doc_id in indexed or any(known.startswith(f"{doc_id}/") for known in indexed)
            root = self.upload_dir.resolve()
            trashed = move_to_trash(root, file.path.parent.resolve() / file.path.name)
            self.library.note(file.path)
        logger.info("%s was moved to %s", doc_id, trashed)
        return DeletedDocument(doc_id, trashed, is_in_index)

    def sources(self) -> list[Path]:
        """Return the folders a rebuild reads: the corpus folders, and the uploads where they lie outside of these."""
        folders = {folder.resolve() for folder in self.corpus_dirs}
        uploads = self.upload_dir.resolve()
        inside = not folders.isdisjoint((uploads, *uploads.parents))
        return [*self.corpus_dirs, *([self.upload_dir] if self.upload_dir.is_dir() and not inside else [])]

    @property
    def is_rebuilding(self) -> bool:
        """Whether a rebuild is under way in this process."""
        return self._rebuilds.is_running

    def cancel_rebuild(self) -> bool:
        """End the rebuild that is under way; see `Rebuilds.cancel`."""
        return self._rebuilds.cancel()

    def rebuild(self, progress: Callable[[BuildProgress], None] | None = None) -> BuildReport:
        """Bring the index up to date with the folders; see `Rebuilds.run`."""
        return self._rebuilds.run(progress)

    def rebuild_stream(self) -> Iterator[BuildProgress | BuildReport]:
        """Rebuild in a thread of its own and yield its progress, then the report; see `Rebuilds.stream`."""
        return self._rebuilds.stream()

    def _build(self, progress: Callable[[BuildProgress], None]) -> BuildReport:
        """Build what `Rebuilds` has begun, remember what could not be read, and answer from the new index."""
        sources = self.sources()
        if not sources:
            raise CorpusError(self.upload_dir, "there are no documents yet; add some, then rebuild")
        try:
            report = build_index(sources, self._index_address, embedder=self.embedder(), progress=progress)
        except CorpusError as error:
            if error.failed:
                self.library.keep_failures(error.failed)
            raise
        self.library.keep_failures((file.path, file.reason) for file in report.failed)
        if self._retriever is not None:
            self._retriever.refresh()
        return report
