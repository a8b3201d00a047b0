"""What a hostile document writes: markup that acts or fetches where nothing stops it, and where a page may put it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from rag.datatypes import Answer, Citation, Document, Heading, Hit, Passage, Statement
from rag.ui.answers import render_turns
from rag.ui.conversation import Turn
from rag.ui.documents import render_documents, render_progress
from rag.ui.markup import render_error
from rag.ui.sources import render_source
from rag.views import DocumentRow, document_view

RUN = "window.hacked=1"


def markup(out: str) -> list[str]:
    """Return markup that runs ``window.hacked=1`` or asks the address ``out`` for something."""
    return [
        f"<script>{RUN}</script>",
        f"<script src={out}/x.js></script>",
        f"<img src=x onerror={RUN}>",
        f'<img src="{out}/i.png">',
        f'<img srcset="{out}/s.png 1x">',
        f"<picture><source srcset={out}/p.png><img></picture>",
        f"<svg onload={RUN}></svg>",
        f"<svg><image href={out}/g.png /></svg>",
        f"<svg><script>{RUN}</script></svg>",
        f"<svg><use href='{out}/u.svg#a'/></svg>",
        f"<svg><a xlink:href='javascript:{RUN}'><text>x</text></a></svg>",
        f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
        f"<math><mtext><img src=x onerror={RUN}></mtext></math>",
        f"<math href='javascript:{RUN}'>x</math>",
        f"<video src={out}/v.mp4 autoplay></video>",
        f"<video poster={out}/v.png></video>",
        f"<audio src={out}/a.mp3 autoplay></audio>",
        f"<source src={out}/a.mp3>",
        f"<iframe src={out}/f></iframe>",
        f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
        f"<object data={out}/o></object>",
        f"<embed src={out}/e>",
        f"<link rel=stylesheet href={out}/l.css>",
        f"<style>@import url({out}/i.css); body{{background:url({out}/b.png)}}</style>",
        f"<p style=\"background:url('{out}/c.png')\">x</p>",
        "<div style='position:fixed;inset:0;background:red'>overlay</div>",
        f"<form action={out}/post><input name=password type=password><button>Log in</button></form>",
        f"<input autofocus onfocus={RUN}>",
        f"<button formaction='javascript:{RUN}'>x</button>",
        f"<select autofocus onfocus={RUN}><option>x</select>",
        f"<textarea autofocus onfocus={RUN}></textarea>",
        f"<details open ontoggle={RUN}><summary>x</summary></details>",
        f"<body onload={RUN}>",
        f"<base href={out}/>",
        f"<meta http-equiv=refresh content='0;url={out}'>",
        f"<a href='javascript:{RUN}'>x</a>",
        f"<a href='data:text/html,<script>{RUN}</script>'>x</a>",
        f"<a href={out} ping={out}/ping>x</a>",
        f"<marquee onstart={RUN}>x</marquee>",
        f"<dialog open><form method=dialog><button onclick={RUN}>x</button></form></dialog>",
        f"<template><img src=x onerror={RUN}></template>",
        f"<noscript><p title='</noscript><img src=x onerror={RUN}>'></noscript>",
        f"<mark class=x onmouseover={RUN} style='position:fixed;inset:0'>x</mark>",
        f"<button data-action=rebuild class=chip onclick={RUN}>1</button>",
        f"</p></div></article><img src=x onerror={RUN}>",
        f"--><img src=x onerror={RUN}><!--",
        f"]]><img src=x onerror={RUN}>",
        f"\"'><img src=x onerror={RUN}>",
        f"&lt;img src=x onerror={RUN}&gt;<img src=x onerror={RUN}",
        f"${{{RUN}}} {{{{{RUN}}}}} #{{{RUN}}}",
        f"![x]({out}/m.png)",
        f"![x][r]\n\n[r]: {out}/r.png",
        f"[x](javascript:{RUN})",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        f"<{out}/auto>",
        f"$$\\href{{javascript:{RUN}}}{{x}}$$",
    ]


def payloads(out: str) -> list[str]:
    """Return the markup as it is, in capitals within Arabic and bidi marks, and with a character in front of a tag."""
    plain = markup(out)
    return [
        *plain,
        *(f"التسويق \u202e{text.replace('<img', '<IMG').replace('<s', '<S')}\u202c الرقمي" for text in plain),
        *(text.replace("<", "<\u200b" if i % 2 else "<\x0c", 1) + text for i, text in enumerate(plain)),
    ]


def answers(payload: str) -> tuple[Answer, Answer]:
    """Return an answer that holds the payload wherever it can hold a text from outside, and one that abstains."""
    cited = Citation(1, f"{payload}.md", payload, "ar", payload, 0, len(payload), 1, (payload,), 0, 9)
    hit = Hit(Passage(f"{payload}.md", 0, len(payload), payload, "en", payload, (payload,)), 1.0, 1, 0.5, 1.0, 1, 1)
    statements = tuple(Statement(payload, kind, (1,)) for kind in ("short", "quote", "item", "written", "frame"))
    answer = Answer(payload, "ar", payload, False, 0.9, statements, (cited,), (hit,), query=payload, notice=payload)
    return answer, replace(answer, abstained=True, citations=(), statements=())


def turns(payload: str) -> list[Turn]:
    """Return a conversation of hostile turns."""
    answer, refused = answers(payload)
    return [
        Turn(payload, "ar", answer, is_done=True, follow_ups=(payload,)),
        Turn(payload, "en", refused, is_done=True),
        Turn(payload, "en", error="error", detail=payload),
    ]


def places(payload: str) -> dict[str, str]:
    """Return the HTML of each place of the page that can hold a text from outside, by where it goes."""
    answer, refused = answers(payload)
    document = Document(f"{payload}.md", payload, f"{payload}\n{payload}", "ar", "0", (Heading(payload, 1, 0, 4),))
    row = DocumentRow(
        f"{payload}.md", payload, "ar", payload, 1, 9, 9, datetime.now(UTC), "failed", payload, is_deletable=True
    )
    return {
        "answer": render_turns([Turn(payload, "ar", answer, is_done=True, follow_ups=(payload,))]),
        "partial": render_turns([Turn(payload, "en", replace(answer, text=payload[: len(payload) // 2]))]),
        "nearest": render_turns([Turn(payload, "en", refused, is_done=True)]),
        "error": render_error("error", payload) + render_turns([Turn(payload, "en", error="error", detail=payload)]),
        "source": render_source(document_view(document, 0, len(payload))),
        "file": render_documents([row]) + render_progress(None),
    }


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """Run a server on another port; yield its address and the paths that it was asked for, but for ``/blank``."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/blank":
                asked.append(self.path)
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    sink = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=sink.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{sink.server_address[1]}", asked
    finally:
        sink.shutdown()
        sink.server_close()
