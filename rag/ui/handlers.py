"""What happens on the page's events. Plain values in, HTML or plain values out; nothing here knows Gradio.

The browser keeps the conversation and sends what a handler needs of it. What it sends may be anything: it is checked,
and what does not pass is answered with a plain sentence.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol

from rag.answering import follow_up_questions, opening_questions
from rag.builder import BuildReport
from rag.config import AnswerConfig
from rag.datatypes import Answer, Document, Scope
from rag.engine import BuildProgress
from rag.errors import RagError
from rag.text import detect_language
from rag.ui.answers import render_turns, render_welcome
from rag.ui.conversation import Turn, answers_of, asked_from_json, turn_to_json, turns_from_json
from rag.ui.documents import render_documents, render_progress, render_report, scope_choices
from rag.ui.export import conversation_html, conversation_markdown
from rag.ui.markup import render_error
from rag.ui.sources import render_source
from rag.ui.words import EXAMPLES, WORDS
from rag.views import DocumentRow, DocumentView

logger = logging.getLogger(__name__)

_SUGGESTED = 4
_FOLLOW_UPS = 3
_REASON_CHARACTERS = 2_000


class Service(Protocol):
    """What the page asks of the system; ``rag.server.ChatService`` is one."""

    suffixes: frozenset[str]
    max_upload_bytes: int
    max_question_characters: int

    def stream(
        self,
        question: str,
        history: Sequence[Answer] = (),
        *,
        scope: Scope | None = None,
        config: AnswerConfig | None = None,
        model: str | None = None,
    ) -> Iterator[Answer]:
        """Yield growing answers; the last is the whole one. ``history`` is the answers before, oldest first."""

    def models(self) -> list[str]:
        """Return the names of the language models that a reader may choose."""

    def open_model(self, name: str) -> None:
        """Open a language model by name, so that ``stream`` may use it; `RagError` if it cannot be."""

    def live_documents(self) -> Mapping[str, Document]:
        """Return the documents of the live index, by ``doc_id``."""

    def index_warning(self) -> str:
        """Return why an older index answers than the newest; empty where none does."""

    def documents(self) -> list[DocumentRow]:
        """Return the documents of the live index and of the folders; what lies in the folders where there is none."""

    def document_view(self, doc_id: str, start: int, end: int, *, digest: str | None = None) -> DocumentView | None:
        """Return a document opened at a quote; None if it is not there."""

    def delete_document(self, doc_id: str) -> object:
        """Take an uploaded document away; a ``ValueError`` with a ``code`` says why it stays."""

    def rebuild_stream(self) -> Iterator[BuildProgress | BuildReport]:
        """Rebuild, yielding progress and then the report."""

    def cancel_rebuild(self) -> object:
        """End the rebuild that is running; what answers now goes on answering."""

    def feedback(self, answer: Answer, verdict: str, reason: str) -> None:
        """Keep what a reader thinks of an answer."""


def trouble(error: RagError) -> tuple[str, str]:
    """Return the key of the plain sentence for ``error``, and the error's own message."""
    keys = (f"error_{kind.__name__}" for kind in type(error).__mro__)
    return next((key for key in keys if key in WORDS), "error"), str(error)


class Handlers:
    """The page's events over a service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._welcome: tuple[Mapping[str, Document], str] | None = None  # of the generation that was live

    # -- the conversation -----------------------------------------------------------------------------------------

    def ask(self, record: object) -> Iterator[dict[str, Any]]:
        """Answer what a browser asks (`conversation.Asked`).

        Yields:
            ``{"id", "at", "html", "turn"}``: the turn as it stands, to show at its place and to keep.
        """
        try:
            asked = asked_from_json(record)
        except ValueError:
            logger.warning("a question that is none was sent")
            return
        question = asked.question.strip()
        if not question:
            return

        def shown(turn: Turn) -> dict[str, Any]:
            html = render_turns([turn], asked.at)
            return {"id": asked.id, "at": asked.at, "html": html, "turn": turn_to_json(turn)}

        turn = Turn(question, detect_language(question))
        if len(question) > self.service.max_question_characters:
            yield shown(Turn(question[:200] + "…", turn.language, error="error_question"))
            return
        yield shown(turn)
        last: Answer | None = None
        options = asked.options
        try:
            for last in self.service.stream(
                question,
                answers_of(asked.history),
                scope=options.answer_scope(),
                config=options.answer_config(),
                model=options.model,
            ):
                yield shown(replace(turn, answer=last))
        except RagError as error:
            key, detail = trouble(error)
            yield shown(replace(turn, error=key, detail=detail))
        except Exception:
            logger.exception("the answer failed")
            yield shown(replace(turn, error="error"))
        else:
            if last is None:
                yield shown(replace(turn, error="error"))
            else:
                yield shown(replace(turn, answer=last, is_done=True, follow_ups=self._follow_ups(last, asked.history)))

    def _follow_ups(self, answer: Answer, history: Sequence[Turn]) -> tuple[str, ...]:
        asked = [answer.question, *(turn.question for turn in history)]
        try:
            documents = self.service.live_documents()
            return tuple(follow_up_questions(answer, documents, asked=asked, count=_FOLLOW_UPS))
        except RagError:
            return ()

    def show(self, place: object) -> dict[str, Any]:
        """Return kept turns as HTML, from ``{"turns", "first"}``: those that were cut short have ended.

        Returns:
            ``{"html", "turns"}``, empty where what was kept cannot be read.
        """
        try:
            if not isinstance(place, dict):
                raise ValueError("no turns")
            turns = [turn.ended() for turn in turns_from_json(place.get("turns"))]
            first = int(place.get("first", 0))
        except (TypeError, ValueError):
            return {"html": "", "turns": []}
        return {"html": render_turns(turns, first), "turns": [turn_to_json(turn) for turn in turns]}

    def welcome(self) -> str:
        """Return what an empty conversation shows, with questions out of the corpus in both languages."""
        suggestions: list[tuple[str, str]] = []
        try:
            documents = self.service.live_documents()
            if self._welcome is not None and self._welcome[0] is documents:
                return self._welcome[1]
            for language in ("ar", "en"):
                questions = opening_questions(documents, language, count=_SUGGESTED)
                suggestions += [(detect_language(question), question) for question in questions]
            html = render_welcome(list(dict.fromkeys(suggestions)))
            self._welcome = documents, html
        except RagError:
            html = render_welcome(EXAMPLES)
        return html

    def judge(self, record: object) -> bool:
        """Keep what a reader thinks of an answer, from ``{"turn", "verdict", "reason"}``; returns whether it was kept.

        ``verdict`` is ``"up"`` or ``"down"``.
        """
        try:
            if not isinstance(record, dict) or record.get("verdict") not in ("up", "down"):
                return False
            (turn,) = turns_from_json([record.get("turn")])
            if turn.answer is None:
                return False
            reason = str(record.get("reason") or "")[:_REASON_CHARACTERS]
            self.service.feedback(turn.answer, str(record["verdict"]), reason)
        except ValueError:  # its message would write what was asked into the log
            logger.warning("feedback that is none was sent")
            return False
        except (OSError, RagError):
            logger.exception("feedback could not be kept")
            return False
        return True

    def export(self, record: object) -> str:
        """Return a conversation as a file's text, from ``{"title", "turns", "format", "language"}``; empty if none."""
        try:
            if not isinstance(record, dict):
                return ""
            turns = [turn.ended() for turn in turns_from_json(record.get("turns"))]
        except ValueError:
            return ""
        title, language = str(record.get("title") or "")[:300], "ar" if record.get("language") == "ar" else "en"
        try:
            hashes = {doc_id: document.sha256 for doc_id, document in self.service.live_documents().items()}
        except RagError:
            hashes = {}
        write = conversation_html if record.get("format") == "html" else conversation_markdown
        return write(title, turns, hashes, language, datetime.now(UTC))

    # -- documents ------------------------------------------------------------------------------------------------

    def source(self, place: object) -> str:
        """Return the source panel for what a citation's button carries."""
        if not isinstance(place, dict):
            return render_source(None)
        doc_id, digest = place.get("doc"), place.get("digest")
        try:
            start, end = int(place.get("start", 0)), int(place.get("end", 0))
        except (TypeError, ValueError):
            return render_source(None)
        if not isinstance(doc_id, str) or not isinstance(digest, str) or not 0 <= start <= end:
            return render_source(None)
        try:
            return render_source(self.service.document_view(doc_id, start, end, digest=digest))
        except RagError as error:
            return render_error(*trouble(error))

    def documents(self) -> tuple[str, str]:
        """Return the list of documents, and as JSON what a question can be limited to."""
        try:
            rows = self.service.documents()
        except RagError as error:
            return render_error(*trouble(error)), json.dumps(scope_choices([]))
        warning = self.service.index_warning()
        choices: dict[str, Any] = {**scope_choices(rows), **({"is_fallback": True} if warning else {})}
        shown = render_error("index_fallback", warning) if warning else ""
        return shown + render_documents(rows), json.dumps(choices, ensure_ascii=False)

    def delete(self, doc_id: object) -> str:
        """Take an uploaded document away; returns an empty text, or why it stays."""
        try:
            self.service.delete_document(str(doc_id))
        except RagError as error:
            return render_error(*trouble(error))
        except ValueError as error:
            return render_error("error_delete", str(error))
        except OSError:
            logger.exception("a document could not be deleted")
            return render_error("error_delete")
        return ""

    def rebuild(self) -> Iterator[tuple[str, bool]]:
        """Rebuild: yields (progress or outcome, whether the documents may have changed)."""
        started: dict[str, float] = {}
        yield render_progress(None), False
        try:
            for event in self.service.rebuild_stream():
                if isinstance(event, BuildReport):
                    yield render_report(event), True
                else:
                    now = monotonic()
                    elapsed = now - started.setdefault(event.stage, now)
                    yield render_progress(event, elapsed), False
        except RagError as error:
            yield render_error(*trouble(error)), True
        except Exception:
            logger.exception("the rebuild failed")
            yield render_error("error"), True

    def cancel(self) -> None:
        """End the rebuild that is running."""
        self.service.cancel_rebuild()

    # -- settings -------------------------------------------------------------------------------------------------

    def model(self, name: object) -> str:
        """Open a language model for the answers; returns an empty text, or as HTML why it cannot be."""
        try:
            self.service.open_model(str(name)[:500])
        except RagError as error:
            return render_error(*trouble(error))
        except Exception:
            logger.exception("the model cannot be opened")
            return render_error("error")
        return ""
