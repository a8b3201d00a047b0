"""The page itself: Gradio blocks, the events that reach the handlers, and how it is mounted on a server."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from rag.config import AnswerConfig
from rag.ui.handlers import Handlers, Service
from rag.ui.markup import button, icon_button
from rag.ui.words import WORDS, words

if TYPE_CHECKING:
    import fastapi

_STATIC = Path(__file__).parent / "static"
# What Gradio remembers of an open page, 50 KB each, though ours keeps nothing there: its own bound is 10,000.
_SESSIONS = 128
_STREAMS = 512  # pages whose last stream it remembers, 5 KB each: its own bound is 2,000
_SCRIPTS = ("page.js", "conversation.js", "documents.js", "settings.js", "start.js")  # one program, in this order
_SCRIPT_WORDS = (  # what the browser says of its own
    "ask_placeholder", "search_conversations", "copied", "kept_full", "no_conversations", "untitled", "rename",
    "delete", "all_documents",
    "any_language", "language_ar", "language_en", "stop_only", "feedback_thanks", "feedback_reason",
    "feedback_failed", "send", "upload_added", "upload_renamed", "upload_unchanged", "upload_name", "upload_folder",
    "upload_type", "upload_empty", "upload_large", "upload_disk", "uploading", "turns_full",
    "busy", "in_line", "index_fallback", "model_ready", "model_opening", "model_builtin", "picture",
)  # fmt: skip


def _header() -> str:
    return (
        '<div class="brand"><h1><span lang="ar" class="sanad">سند</span> '
        '<span lang="en" class="latin">Sanad</span></h1>'
        f"<p>{words('promise')}</p></div>"
        f'<nav aria-label="Sanad">{button("view", "chat", value="chat")}'
        f"{button('view', 'documents', value='documents')}"
        f"{button('view', 'quality', value='quality')}{button('view', 'settings', value='settings')}</nav>"
        f"<div class='tools'>{icon_button('conversations', 'conversations', 'list')}"
        f"{button('language', 'switch_language')}"
        f"{button('theme', 'switch_theme', text='<i class=theme-icon></i>')}</div>"
    )


def _conversations() -> str:
    return (
        f'<aside aria-label="Conversations"><div class="head">{button("new", "new_conversation", name="primary")}</div>'
        f'<input type="search" data-input="search" data-placeholder="search_conversations" dir="auto" maxlength="200">'
        '<ul class="list"></ul>'
        f'<div class="export"><span>{words("export")}</span>'
        f"{button('export', 'export_markdown', value='md')}{button('export', 'export_html', value='html')}"
        "</div></aside>"
    )


def _composer(limit: int) -> str:
    return (
        f'<div class="scope"><select data-input="collection" aria-label="Collection · المجموعة"></select>'
        f'<select data-input="documents-language" aria-label="Language · اللغة"></select>'
        f'<span class="only"></span></div>'
        f'<div class="box"><textarea rows="1" maxlength="{limit}" dir="auto" data-placeholder="ask_placeholder" '
        f'aria-label="Question · السؤال"></textarea>'
        f"{icon_button('send', 'ask', 'send')}"
        f"{icon_button('stop', 'stop', 'stop')}</div>"
        '<p class="fallback" role="alert"></p><p class="said" role="status" aria-live="polite"></p>'
    )


def _panel() -> str:
    return (
        f'<aside aria-live="polite">{button("close", "close", name="close", text="<i class=close-icon></i>")}'
        f'<div class="loading">{words("source_loading")}</div><div class="source-body"></div></aside>'
    )


def _upload(service: Service) -> str:
    suffixes = sorted(service.suffixes)
    size = service.max_upload_bytes // (1024 * 1024)
    hint = words("upload_hint", suffixes=" ".join(s.lstrip(".") for s in suffixes), size=size)
    return (
        f"<h2>{words('upload_title')}</h2><p>{hint}</p>"
        f'<div class="drop"><p>{words("drop_here")}</p>'
        f"{button('pick-files', 'pick_files', name='primary')}{button('pick-folder', 'pick_folder')}"
        f'<input type="file" multiple hidden data-input="files" accept="{escape(",".join(suffixes))}">'
        '<input type="file" webkitdirectory hidden data-input="folder"></div><ul class="uploads"></ul>'
        f'<div class="rebuild">{button("rebuild", "rebuild", name="primary")}<p>{words("rebuild_hint")}</p></div>'
    )


def _settings(service: Service, *, has_login: bool) -> str:
    def choice(name: str, key: str, options: list[tuple[str, str]]) -> str:
        rows = "".join(
            f'<label><input type="radio" name="sanad-{name}" data-input="{name}" value="{value}">{words(word)}</label>'
            for value, word in options
        )
        return f"<fieldset><legend>{words(key)}</legend>{rows}</fieldset>"

    languages = [("ar", "language_name_ar"), ("en", "language_name_en")]
    themes = [(name, f"theme_{name}") for name in ("light", "dark", "system")]
    lengths = [(name, f"length_{name}") for name in ("short", "normal", "long")]
    top_k = AnswerConfig().top_k
    models = "".join(f'<option value="{escape(name)}"></option>' for name in service.models())
    return (
        f"<h2>{words('settings')}</h2>"
        f"{choice('interface-language', 'interface_language', languages)}{choice('theme', 'theme', themes)}"
        f"{choice('length', 'answer_length', lengths)}"
        f"<fieldset><legend>{words('passages_read')}</legend><label class='range'>"
        f'<input type="range" min="2" max="20" value="{top_k}" data-input="top_k" '
        f'aria-label="{escape(" · ".join(WORDS["passages_read"]))}"><output>{top_k}</output></label>'
        f'<p class="hint">{words("passages_read_hint")}</p></fieldset>'
        f"<fieldset><legend>{words('answer_model')}</legend><label>"
        f'<span class="unseen">{words("answer_model")}</span><input type="text" list="sanad-models" data-input="model"'
        ' dir="ltr" maxlength="500" spellcheck="false"></label>'
        f'<datalist id="sanad-models">{models}</datalist>{button("model", "use_model", name="primary")}'
        f"{button('model-builtin', 'model_builtin')}"
        f'<p class="hint">{words("answer_model_hint")}</p><div class="model-said" role="status"></div></fieldset>'
        + (f'<p><a class="logout" href="/logout">{words("logout")}</a></p>' if has_login else "")
    )


def create_ui(service: Service, *, has_login: bool = False) -> gr.Blocks:
    """Return the page over ``service``: chat, source panel, documents, quality, settings, and a way to log out.

    Its style, script and head are given where it is mounted; see ``mount_ui``.
    """
    handlers = Handlers(service)

    def html(value: str, elem_id: str, **options: Any) -> gr.HTML:
        return gr.HTML(value, elem_id=elem_id, apply_default_css=False, container=False, js_on_load=None, **options)

    def channel(name: str, **options: Any) -> gr.HTML:
        """Return a component that shows nothing: what it is given, the browser's program takes."""
        return gr.HTML(
            "",
            elem_id=f"sanad-{name}",
            html_template="",
            apply_default_css=False,
            container=False,
            js_on_load=f"watch('value', () => window.sanad?.take({name!r}, props.value));",
            **options,
        )

    def on_ask(event: gr.EventData) -> Iterator[str]:
        record = {name: getattr(event, name, None) for name in ("id", "at", "question", "history", "options")}
        for shown in handlers.ask(record):
            yield json.dumps(shown, ensure_ascii=False)

    def on_rebuild() -> Iterator[Any]:
        for shown, has_changed in handlers.rebuild():
            yield shown, *(handlers.documents() if has_changed else (gr.skip(), gr.skip()))

    def on_delete(event: gr.EventData) -> Any:
        return handlers.delete(getattr(event, "doc", "")), *handlers.documents()

    # Gradio names a function of the browser after the function here.
    def open_source(place: object) -> str:
        return handlers.source(place)

    def show_turns(place: object) -> dict[str, Any]:
        return handlers.show(place)

    def export_conversation(record: object) -> str:
        return handlers.export(record)

    def judge_answer(record: object) -> bool:
        return handlers.judge(record)

    def open_model(name: object) -> str:
        return handlers.model(name)

    def welcome(_: object) -> str:
        return handlers.welcome()

    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    script = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    blocks: gr.Blocks = gr.Blocks(
        title="Sanad · سند", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)
    )
    with blocks:
        header = gr.HTML(
            _header(),
            elem_id="sanad-header",
            apply_default_css=False,
            container=False,
            js_on_load=script,
            server_functions=[open_source, show_turns, export_conversation, judge_answer, open_model, welcome],
        )
        with gr.Row(elem_id="sanad-body"):
            html(_conversations(), "sanad-conversations")
            with gr.Column(elem_id="sanad-chat"):
                html('<div class="turns"></div><div class="start"></div>', "sanad-transcript")
                html(_composer(service.max_question_characters), "sanad-question")
            with gr.Column(elem_id="sanad-documents"):
                html(_upload(service), "sanad-upload")
                status = html("", "sanad-status")
                documents = html("", "sanad-list")
            html(f'<iframe sandbox="allow-scripts" title="{escape(WORDS["quality"][1])}"></iframe>', "sanad-quality")
            html(_settings(service, has_login=has_login), "sanad-settings")
            html(_panel(), "sanad-source")
        turn = channel("turn")
        scope = channel("scope")

        asked = header.ask(on_ask, None, [turn], concurrency_limit=4, **hidden)
        header.stop(None, None, None, cancels=[asked], **hidden)
        header.rebuild(on_rebuild, None, [status, documents, scope], concurrency_limit=1, **hidden)
        header.cancel(handlers.cancel, None, None, **hidden)
        header.documents(handlers.documents, None, [documents, scope], **hidden)
        header.remove(on_delete, None, [status, documents, scope], **hidden)
        blocks.load(handlers.documents, None, [documents, scope], **hidden)
    # Gradio works the configuration out anew for each page that is opened, and for each attribute a piece lacks looks
    # through the whole program: several milliseconds in which nobody else is served, for what never changes.
    for piece in blocks.blocks.values():
        piece.get_config = partial(dict, piece.get_config())  # type: ignore[method-assign]
    blocks.queue(max_size=64, default_concurrency_limit=4, api_open=False)
    return blocks


def _head() -> str:
    """Return what stands in the page's head: the style, and what must be known before the first paint."""
    style = (_STATIC / "style.css").read_text(encoding="utf-8")
    script = (_STATIC / "head.js").read_text(encoding="utf-8")
    said = {key: {"ar": WORDS[key][0], "en": WORDS[key][1]} for key in _SCRIPT_WORDS}
    table = json.dumps(said, ensure_ascii=False).replace("<", "\\u003c")
    # In the head the style stays as written (the css option rewrites its selectors) and is there at first paint.
    return f"<script>const SANAD_WORDS = {table};\n{script}</script><style>{style}</style>"


def mount_ui(app: fastapi.FastAPI, service: Service) -> None:
    """Put the page at ``/`` of ``app``. Routes added to ``app`` before stay in front of it."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder = os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="sanad-uploads-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    page = create_ui(service, has_login=getattr(app.state, "has_login", False))
    page.state_session_capacity = _SESSIONS
    page._queue.pending_messages_per_session.max_size = _STREAMS
    gr.mount_gradio_app(
        app,
        page,
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
        head=_head(),
    )
