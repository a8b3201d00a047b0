"""The page itself: Gradio blocks, what happens on each event, and how it is mounted on a server."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import gradio as gr

from rag.builder import BuildProgress, BuildReport
from rag.datatypes import Answer
from rag.errors import IndexNotFoundError, RagError
from rag.text import detect_language
from rag.ui.render import (
    Turn,
    render_documents,
    render_error,
    render_progress,
    render_report,
    render_source,
    render_turns,
    render_uploads,
)
from rag.ui.words import WORDS, word, words
from rag.views import DocumentRow, DocumentView

if TYPE_CHECKING:
    import fastapi

logger = logging.getLogger(__name__)

_STATIC = Path(__file__).parent / "static"
_MAX_TURNS = 50  # kept on the page; older ones drop off its top
_MAX_UPLOADS = 200


class SavedFile(Protocol):
    """What became of an uploaded file: ``status`` is ``added``, ``renamed`` or ``unchanged``."""

    @property
    def name(self) -> str:
        """Name it was kept under."""

    @property
    def status(self) -> str:
        """What was done with it."""


class Service(Protocol):
    """What the page asks of the system; ``rag.server.ChatService`` is one."""

    suffixes: frozenset[str]
    max_upload_bytes: int
    max_question_characters: int

    def stream(self, question: str, history: Sequence[Answer] = ()) -> Iterator[Answer]:
        """Yield growing answers; the last is the whole one. ``history`` is the answers before, oldest first."""

    def documents(self) -> list[DocumentRow]:
        """Return the documents of the live index."""

    def document_view(self, doc_id: str, start: int, end: int, *, digest: str | None = None) -> DocumentView | None:
        """Return a document opened at a quote; None if it is not there."""

    def save_upload(self, name: str, data: bytes) -> SavedFile:
        """Keep a file; a ``ValueError`` with a ``code`` says why it cannot be kept."""

    def rebuild_stream(self) -> Iterator[BuildProgress | BuildReport]:
        """Rebuild, yielding progress and then the report."""


def _trouble(error: RagError) -> tuple[str, str]:
    """Return the key of the plain sentence for ``error``, and the error's own message."""
    key = f"error_{type(error).__name__}"
    return (key if key in WORDS else "error"), str(error)


def _ended(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns with those that were cut short marked as ended."""
    return [
        turn if turn.is_done or turn.error else replace(turn, is_done=True, error="" if turn.answer else "stopped")
        for turn in turns
    ]


class _Page:
    """The event handlers. Each takes plain values and returns or yields HTML."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def answer(self, question: str, turns: list[Turn]) -> Iterator[tuple[str, list[Turn], str]]:
        """Add a turn and let it grow: yields (the emptied question box, the turns, their HTML)."""
        question = question.strip()
        if not question:
            yield "", turns, render_turns(turns)
            return
        kept = _ended(turns)[-_MAX_TURNS + 1 :]
        turn = Turn(question, detect_language(question))

        def shown(turn: Turn) -> tuple[str, list[Turn], str]:
            return "", [*kept, turn], render_turns([*kept, turn])

        if len(question) > self.service.max_question_characters:
            yield shown(Turn(question[:200] + "…", turn.language, error="error_question"))
            return
        yield shown(turn)
        history = [earlier.answer for earlier in kept if earlier.answer is not None]
        last: Answer | None = None
        try:
            for last in self.service.stream(question, history):
                yield shown(Turn(question, turn.language, last))
        except RagError as error:
            key, detail = _trouble(error)
            yield shown(Turn(question, turn.language, error=key, detail=detail))
        except Exception:
            logger.exception("the answer failed")
            yield shown(Turn(question, turn.language, error="error"))
        else:
            yield shown(Turn(question, turn.language, last, is_done=True, error="" if last else "error"))

    def stop(self, turns: list[Turn]) -> tuple[list[Turn], str]:
        """Leave an answer as far as it has come: returns (the turns, their HTML)."""
        turns = _ended(turns)
        return turns, render_turns(turns)

    def source(self, place: object) -> str:
        """Return the source panel for what a citation's button carries. The values come from outside: checked."""
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
            return render_error(*_trouble(error))

    def documents(self) -> str:
        """Return the list of documents."""
        try:
            return render_documents(self.service.documents())
        except IndexNotFoundError:
            return render_documents([])
        except RagError as error:
            return render_error(*_trouble(error))

    def upload(self, paths: Sequence[str] | None) -> str:
        """Keep the files a browser sent; returns what became of each."""
        results: list[tuple[str, str]] = []
        for path in map(Path, (paths or [])[:_MAX_UPLOADS]):
            try:
                saved = self.service.save_upload(path.name, path.read_bytes())
                results.append((saved.name, f"upload_{saved.status}"))
            except ValueError as error:
                results.append((path.name, f"upload_{getattr(error, 'code', 'name')}"))
            except OSError:
                logger.exception("an upload could not be kept")
                results.append((path.name, "upload_disk"))
            finally:
                path.unlink(missing_ok=True)
        return render_uploads(results)

    def rebuild(self) -> Iterator[tuple[str, str | None]]:
        """Rebuild: yields (progress or outcome, the list of documents once it may have changed)."""
        yield render_progress(None), None
        try:
            for event in self.service.rebuild_stream():
                if isinstance(event, BuildReport):
                    yield render_report(event), self.documents()
                else:
                    yield render_progress(event), None
        except RagError as error:
            yield render_error(*_trouble(error)), self.documents()
        except Exception:
            logger.exception("the rebuild failed")
            yield render_error("error"), None


def _header() -> str:
    def button(action: str, key: str, text: str = "", value: str = "") -> str:
        return (
            f'<button type="button" data-action="{action}" data-value="{value}">{text}'
            f'<span class="{"unseen" if text else "said"}">{words(key)}</span></button>'
        )

    return (
        '<div class="brand"><h1><span lang="ar" class="sanad">سند</span> '
        '<span lang="en" class="latin">Sanad</span></h1>'
        f"<p>{words('promise')}</p></div>"
        f"<nav>{button('view', 'chat', value='chat')}{button('view', 'documents', value='documents')}</nav>"
        f"<div class='tools'>{button('language', 'switch_language')}"
        f"{button('theme', 'switch_theme', '<i class=theme-icon></i>')}</div>"
    )


def _panel() -> str:
    return (
        '<aside aria-live="polite"><button type="button" class="close" data-action="close"><i class="close-icon"></i>'
        f'<span class="unseen">{words("close")}</span></button><div class="loading">{words("source_loading")}</div>'
        '<div class="source-body"></div></aside>'
    )


def _documents_head(service: Service) -> str:
    suffixes = " ".join(sorted(suffix.lstrip(".") for suffix in service.suffixes))
    size = service.max_upload_bytes // (1024 * 1024)
    return f"<h2>{words('upload_title')}</h2><p>{words('upload_hint', suffixes=suffixes, size=size)}</p>"


def _rebuild_row() -> str:
    return (
        f'<button type="button" class="primary" data-action="rebuild">{words("rebuild")}</button>'
        f"<p>{words('rebuild_hint')}</p>"
    )


def create_ui(service: Service) -> gr.Blocks:
    """Return the page over ``service``: chat, source panel, documents.

    Its style, script and head are given where it is mounted; see ``mount_ui``.
    """
    page = _Page(service)

    def html(value: str, elem_id: str, **options: Any) -> gr.HTML:
        return gr.HTML(value, elem_id=elem_id, apply_default_css=False, container=False, **options)

    def changed(value: str | None) -> Any:
        return gr.skip() if value is None else value

    def on_ask(turns: list[Turn], event: gr.EventData) -> Iterator[Any]:
        yield from page.answer(str(event.question), turns)

    def on_rebuild() -> Iterator[Any]:
        for status, documents in page.rebuild():
            yield status, changed(documents)

    def on_language(event: gr.EventData) -> Any:
        language = "ar" if event.language == "ar" else "en"
        return gr.update(placeholder=word("ask_placeholder", language))

    def on_upload(paths: list[str]) -> tuple[None, str]:
        return None, page.upload(paths)

    def open_source(place: object) -> str:
        return page.source(place)

    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    blocks: gr.Blocks = gr.Blocks(
        title="Sanad · سند", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)
    )
    with blocks:
        turns = gr.State([])
        header = html(
            _header(),
            "sanad-header",
            js_on_load=(_STATIC / "page.js").read_text(encoding="utf-8"),
            server_functions=[open_source],
        )
        with gr.Row(elem_id="sanad-body"):
            with gr.Column(elem_id="sanad-chat"):
                transcript = html(render_turns([]), "sanad-transcript", js_on_load=None)
                question = gr.Textbox(
                    elem_id="sanad-question",
                    show_label=False,
                    label="Question · السؤال",
                    container=False,
                    lines=1,
                    max_lines=6,
                    max_length=service.max_question_characters,
                    placeholder=word("ask_placeholder", "en"),
                    submit_btn=True,
                    stop_btn=True,
                )
            with gr.Column(elem_id="sanad-documents"):
                html(_documents_head(service), "sanad-upload-head", js_on_load=None)
                files = gr.File(
                    elem_id="sanad-upload",
                    show_label=False,
                    container=False,
                    file_count="multiple",
                    file_types=sorted(service.suffixes),
                    type="filepath",
                    height=112,
                )
                uploads = html("", "sanad-uploads", js_on_load=None)
                html(_rebuild_row(), "sanad-rebuild", js_on_load=None)
                status = html("", "sanad-status", js_on_load=None)
                documents = html(render_documents([]), "sanad-list", js_on_load=None)
            html(_panel(), "sanad-source", js_on_load=None)

        asked = [
            question.submit(
                page.answer, [question, turns], [question, turns, transcript], concurrency_limit=4, **hidden
            ),
            header.ask(on_ask, [turns], [question, turns, transcript], concurrency_limit=4, **hidden),
        ]
        question.stop(page.stop, [turns], [turns, transcript], cancels=asked, **hidden)
        files.upload(on_upload, [files], [files, uploads], **hidden)
        header.rebuild(on_rebuild, None, [status, documents], concurrency_limit=1, **hidden)
        header.documents(page.documents, None, [documents], **hidden)
        header.language(on_language, None, [question], **hidden)
        blocks.load(page.documents, None, [documents], **hidden)
    blocks.queue(max_size=64, default_concurrency_limit=4, api_open=False)
    return blocks


def mount_ui(app: fastapi.FastAPI, service: Service) -> None:
    """Put the page at ``/`` of ``app``. Routes added to ``app`` before stay in front of it."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder = os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="sanad-uploads-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)

    style = (_STATIC / "style.css").read_text(encoding="utf-8")
    script = (_STATIC / "head.js").read_text(encoding="utf-8")
    gr.mount_gradio_app(
        app,
        create_ui(service),
        path="/",
        show_error=False,
        max_file_size=service.max_upload_bytes,
        allowed_paths=[],
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        # In the head the style stays as written (the css option rewrites its selectors) and is there at first paint.
        head=f"<script>{script}</script><style>{style}</style>",
    )
