"""Documents and answers cannot act on the reader's browser: every payload in every place, in a real Chromium."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import nh3
import pytest
from garden import ROOT, Visitor, server

from rag.ui.export import conversation_html
from reliability.hostile_server import question
from reliability.payloads import listener, markup, payloads, places, turns

PROMISE = "P4 documents cannot act on the reader's browser"
pytestmark = [pytest.mark.browser, pytest.mark.timeout(3600 if os.environ.get("SANAD_RELIABILITY") == "full" else 120)]

# What no text from outside may become, wherever it is shown; and an element that lies over the page.
FIND = """place => {
    const bad = place.querySelectorAll('script, img, svg, math, iframe, object, embed, form, input, textarea, ' +
        'select, video, audio, source, link, style, base, meta, a, template, dialog, [style], [href], [src]');
    const acts = [...place.querySelectorAll('*')].flatMap(one => [...one.attributes])
        .filter(one => /^on/i.test(one.name) ||
            /javascript:|data:text/i.test(one.value) && !/^data-|^title$/.test(one.name));
    const fixed = [...place.querySelectorAll('*')].filter(one => getComputedStyle(one).position === 'fixed');
    return [...bad, ...fixed].map(one => one.outerHTML.slice(0, 200)).concat(acts.map(one => one.name));
}"""
WRITE = f"""texts => texts.map(html => {{
    const place = document.createElement('div');
    document.querySelector('#sanad-transcript').append(place);
    place.innerHTML = html;
    const found = ({FIND})(place);
    place.remove();
    return found;
}})"""
# Every state that the page goes through is looked at, not only the last one: of what changed, the place that it is in.
WATCH = f"""() => {{
    window.found = [];
    window.looks = 0;
    const find = {FIND};
    const shown = '.turns, .source-body, #sanad-list table, .start, #sanad-hover, #sanad-conversations .list, .only';
    const places = one => {{
        const turn = one.closest('.turn');
        return turn && turn !== one ? [turn] :
            [...document.querySelectorAll(shown)].filter(place => place.contains(one) || one.contains(place));
    }};
    new MutationObserver(records => {{
        window.looks += 1;
        const changed = records.map(record => record.target).map(one => one.closest ? one : one.parentElement);
        for (const place of new Set(changed.filter(Boolean).flatMap(places))) window.found.push(...find(place));
    }}).observe(document.body, {{ childList: true, subtree: true, attributes: true, characterData: true }});
}}"""


@pytest.fixture(scope="module")
def sink() -> Iterator[tuple[str, list[str]]]:
    """Another server, and what it was asked for."""
    with listener() as found:
        yield found


@pytest.fixture(scope="module")
def hostile(browser, sink, tmp_path_factory) -> Iterator[str]:
    """A real server over hostile documents, and a language model that writes what they say byte by byte."""
    folder = tmp_path_factory.mktemp("hostile")
    path = f"{ROOT}:{ROOT / 'tests'}"
    with server(folder, "-m", "reliability.hostile_server", sink[0], PYTHONPATH=path) as address:
        yield address


@pytest.fixture
def person(browser, hostile, sink) -> Iterator[Visitor]:
    """Somebody at that server, who ends without a dialog, a script of others or a request elsewhere."""
    visitor = Visitor(browser, hostile)
    yield visitor
    visitor.page.wait_for_timeout(300)
    hacked = visitor.page.evaluate("window.hacked")
    visitor.context.close()
    assert (hacked, visitor.elsewhere, sink[1]) == (None, [], [])
    assert visitor.errors == []


def test_no_payload_acts_or_fetches_in_any_place_of_the_page(person, sink, tally):
    tried = payloads(sink[0])
    assert len(tried) >= 150 and len(set(tried)) == len(tried)
    missed = len(tally.missed)
    for payload in tried:
        shown = places(payload)
        for place, found in zip(shown, person.page.evaluate(WRITE, [*shown.values()]), strict=True):
            tally.case(found == [], f"{place}: {payload!r} gave {found}")
    person.page.wait_for_timeout(300)
    tally.figures["payloads"] = len(tried)
    tally.figures["places"] = len(places(tried[0]))
    assert tally.missed[missed:] == []


def test_no_payload_acts_while_it_is_streamed_byte_by_byte_quoted_opened_or_listed(person, sink, tally, is_full):
    """The whole road: hostile files, a real index, answers in growing pieces, the source panel, the list."""
    page, count = person.page, len(payloads(sink[0]))
    page.evaluate(WATCH)
    page.set_default_timeout(300_000)  # a machine at work elsewhere too is slow, and no fault of the page
    missed, looks = len(tally.missed), 0
    numbers = range(count) if is_full else [3, 26]
    for number in numbers:
        for kind in ("quote", "write", "partial", "none", "error") if is_full else ("write", "partial"):
            page.evaluate("window.found = []")
            reply = person.ask(question(kind, number))
            if kind == "quote" and reply.locator(".chip").count():
                reply.locator(".chip").first.hover()
                reply.locator(".chip").first.click()
                page.wait_for_selector("html[data-source=open] .source-body h2", state="attached")
            found = page.evaluate("window.found")
            is_shown = kind != "error" or "trouble" in (reply.get_attribute("class") or "")
            tally.case(found == [] and is_shown, f"{kind} {number}: {found[:3]} {'' if is_shown else 'not shown'}")
        if page.locator(".turn").count() > 8:
            looks += page.evaluate("window.looks")
            page.evaluate("localStorage.clear(); sessionStorage.clear()")
            page.reload()
            page.wait_for_selector(".example")
            page.evaluate(WATCH)
    page.evaluate("window.found = []")
    page.locator("[data-action=view][data-value=documents]").click()
    page.wait_for_selector("#sanad-list table")
    tally.case(
        page.evaluate("window.found") == [] and page.locator("#sanad-list tr[data-doc]").count() == count, "list"
    )
    tally.figures["states of the page looked at"] = looks + page.evaluate("window.looks")
    assert tally.missed[missed:] == []


def test_an_exported_conversation_neither_acts_nor_fetches(browser, sink, tally, is_full, tmp_path):
    missed, found = len(tally.missed), []
    page = browser.new_page()
    page.on("dialog", lambda dialog: (found.append("dialog"), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith("file:") or found.append(request.url))
    hostile = payloads(sink[0])
    for number, payload in enumerate(hostile if is_full else hostile[::14]):
        own = turns(payload) if is_full else [turn for each in hostile[number * 14 :][:14] for turn in turns(each)]
        path = tmp_path / f"{number}.html"
        path.write_text(conversation_html(payload, own, {}, "en", datetime.now(UTC)), encoding="utf-8")
        page.goto(path.as_uri())
        bad = page.evaluate(
            """() => [...document.body.querySelectorAll('script, img, svg, math, iframe, object, embed, form, input,' +
                'textarea, select, video, audio, link, base, meta, template, dialog, [style], [src],' +
                'a:not([href^="#"])')].map(one => one.outerHTML.slice(0, 200))"""
        )
        bad += ["hacked"] if page.evaluate("window.hacked") else []
        tally.case(not bad and not found, f"export: {payload!r} gave {bad + found}")
        found.clear()
    page.close()
    assert tally.missed[missed:] == []
    assert sink[1] == []


# -- the tests above can fail ---------------------------------------------------------------------------------


def test_the_same_payloads_do_act_where_nothing_stops_them(browser, sink):
    """Written as they are, on a page with no policy: they run and fetch."""
    address, asked = sink
    page = browser.new_page()
    page.goto(f"{address}/blank")  # of this machine too: from elsewhere Chromium asks nothing of it
    page.evaluate(
        """payloads => payloads.forEach(payload => {
            const place = document.createElement('div');
            document.body.append(place);
            place.innerHTML = payload;
        })""",
        [payload for payload in markup(address) if "refresh" not in payload],  # that one leads away from the page
    )
    page.wait_for_timeout(1000)
    acted, hits = page.evaluate("window.hacked"), len(asked)
    page.close()
    asked.clear()
    assert acted == 1 and hits >= 5


def test_what_shows_for_a_moment_is_noticed_wherever_it_is(person):
    """An image that a turn, the list of turns or the source panel held between two states, and no longer holds."""
    page = person.page
    person.ask(question("quote", 3))
    page.evaluate(WATCH)
    for place in (".turn .asked", ".turn:last-child", ".turns", ".source-body"):
        page.evaluate(
            """async place => {
                window.found = [];
                const one = document.querySelector(place);
                one.append(Object.assign(document.createElement('img'), { alt: '' }));
                await new Promise(done => setTimeout(done, 50));
                one.lastChild.remove();
            }""",
            place,
        )
        assert any("<img" in one for one in page.evaluate("window.found")), place


@pytest.mark.parametrize("has_policy", [True, False], ids=["policy", "no-policy"])
def test_a_sanitiser_that_allows_images_is_noticed_and_the_policy_stops_what_it_lets_through(
    browser, hostile, sink, has_policy
):
    """With nh3's own list of tags an image survives: the count sees it, the policy alone keeps it from being asked."""
    address, asked = sink
    context = browser.new_context(bypass_csp=not has_policy, locale="en-US")
    page = context.new_page()
    page.goto(hostile)
    page.wait_for_selector(".example")
    html = nh3.clean("".join(markup(address)))
    (found,) = page.evaluate(WRITE.replace("place.remove();", ""), [html])
    page.wait_for_timeout(500)
    context.close()
    hits = list(asked)
    asked.clear()
    assert any("<img" in one for one in found)
    assert bool(hits) is not has_policy


def test_the_policy_of_every_page_names_no_other_origin(hostile):
    """No source is a scheme, a star or another host, but what the browser makes itself: data: and blob:."""
    import httpx

    for path in ("/", "/quality", "/healthz", "/nothing", "/gradio_api/info", "/theme.css"):
        policy = httpx.get(hostile + path).headers["content-security-policy"]
        sources = {part for directive in policy.split(";") for part in directive.split()[1:]}
        assert sources <= {"'self'", "'none'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}, path
        assert (
            re.search(r"script-src [^;]*data:|script-src [^;]*blob:|(frame|object|default)-src [^;]*data:", policy)
            is None
        )


def test_the_program_of_the_page_writes_no_text_as_html():
    """Text of a document reaches the page as textContent or in HTML that the server has sanitised, in no other way."""
    written = subprocess.run(
        ["grep", "-nE", r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", "-r",
         str(ROOT / "rag" / "ui" / "static"), "--include=*.js"],
        capture_output=True, text=True, check=False,
    ).stdout.splitlines()  # fmt: skip
    known = (
        "body.innerHTML = html;",
        "{ place.innerHTML = problem; return; }",
        "holder.innerHTML = html;",
        "turnsPlace().innerHTML = shown.html;",
        'find("#sanad-transcript .start").innerHTML = await server.welcome({});',
    )
    assert [line for line in written if not line.rstrip().endswith(known)] == []
    assert len(written) == len(known)
