"""The page: what it renders, and what a person sees and does in a real Chromium."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rag.builder import BuildReport, FailedFile
from rag.datatypes import Answer, Citation, Document, Heading, Hit, Passage, Statement
from rag.ui.render import (
    Turn,
    isolated,
    render_documents,
    render_report,
    render_source,
    render_turns,
    render_uploads,
    sanitize,
    text_direction,
)
from rag.ui.words import EXAMPLES, WORDS, word, words
from rag.views import document_rows, document_view

ROOT = Path(__file__).parent.parent
CHROMIUM = Path("/usr/bin/chromium")
PAYLOAD = '<img src="http://127.0.0.1:9/x.png" onerror="window.hacked=1"><script>window.hacked=1</script>'


def text_of(html: str) -> str:
    import html as entities

    return entities.unescape(re.sub(r"<[^>]*>", "", html))


def answer_of(text: str, quote: str, language: str = "en", kind: str = "quote") -> Answer:
    citation = Citation(1, "a/b.md", "Title", language, quote, 0, len(quote), 2, ("Title", "Part"), 0, len(quote))
    statements = tuple(Statement(line, kind, (1,)) for line in text.split("\n"))
    return Answer("q", language, text, False, 0.9, statements, (citation,))


# -- rendering ------------------------------------------------------------------------------------------------


def test_every_word_is_there_in_both_languages():
    for key, (arabic, english) in WORDS.items():
        assert arabic and english, key
        assert re.findall(r"\{\w+\}", arabic) == sorted(re.findall(r"\{\w+\}", arabic), key=arabic.index)
        assert sorted(re.findall(r"\{\w+\}", arabic)) == sorted(re.findall(r"\{\w+\}", english)), key
    assert word("chat", "ar") == "المحادثة"
    assert word("chat", "fr") == word("chat", "en") == "Chat"
    assert "&lt;b&gt;" in words("page", number="<b>")
    assert sorted(language for language, _ in EXAMPLES) == ["ar", "ar", "en", "en"]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("SEO هو تحسين ظهور الموقع", "ar", "rtl"),  # the first letter is Latin, the line is Arabic
        ("It is called التجارة الاجتماعية in Arabic", "en", "ltr"),
        ("Digital Marketing Institute", "ar", "ltr"),
        ("التجارة الاجتماعية", "en", "rtl"),
        ("44.7%", "ar", "rtl"),
        ("44.7%", "en", "ltr"),
        ("שלום", "und", "rtl"),
        ("", "ar", "rtl"),
    ],
)
def test_direction_is_that_of_the_line(text, language, expected):
    assert text_direction(text, language) == expected


@pytest.mark.parametrize(
    "text",
    ["لغة C++ و Google Ads، ثم SEO.", "قال <b>&amp; 5 > 3", "in العربية 2020, and سند (1)", "", "\u202eabc\u202c"],
)
@pytest.mark.parametrize("way", ["rtl", "ltr"])
def test_isolation_changes_no_letter(text, way):
    assert text_of(isolated(text, way)) == text


def test_terms_of_the_other_direction_are_isolated_with_what_belongs_to_them():
    assert isolated("لغة C++ و Google Ads.", "rtl") == "لغة <bdi>C++</bdi> و <bdi>Google Ads</bdi>."
    assert isolated("in سند 2020", "ltr") == "in <bdi>سند</bdi> 2020"
    assert "<bdi>" not in isolated("Google Ads", "ltr")


def test_nothing_that_acts_or_fetches_survives():
    for payload in (
        PAYLOAD,
        "<a href=javascript:alert(1)>x</a>",
        "<form action=//evil><input></form>",
        "<p style='position:fixed'>x</p>",
        "<svg><image href=//evil /></svg>",
        "<iframe src=//evil></iframe>",
        "<video src=//evil></video>",
        "<button onclick=alert(1)>x</button>",
    ):
        clean = sanitize(payload)
        assert not re.search(
            r"<(img|script|a|form|input|svg|image|iframe|video)\b|\son\w+=|style=|javascript:", clean
        ), clean


def test_a_document_can_put_no_tag_into_any_part_of_the_page():
    answer = answer_of(PAYLOAD, PAYLOAD)
    hit = Hit(Passage("<i>.md", 0, 9, PAYLOAD, "en", PAYLOAD, (PAYLOAD,)), 1.0, 1)
    document = Document("<i>.md", PAYLOAD, f"{PAYLOAD}\n{PAYLOAD}", "en", "0", (Heading(PAYLOAD, 1, 0, len(PAYLOAD)),))
    pages = [
        render_turns([Turn(PAYLOAD, "en", answer, is_done=True), Turn(PAYLOAD, "en", error="error", detail=PAYLOAD)]),
        render_turns([Turn("q", "en", Answer("q", "en", PAYLOAD, True, 0.1, hits=(hit,)), is_done=True)]),
        render_source(document_view(document, 0, len(PAYLOAD))),
        render_documents(document_rows({"<i>.md": document}, [])),
        render_report(BuildReport("g", 0, 0, 0, 0, 0, 0, (FailedFile(PAYLOAD, PAYLOAD),), 1.0)),
        render_uploads([(PAYLOAD, "upload_type")]),
    ]
    for page in pages:
        assert not re.search(r"<(img|script|i)\b", page)
        assert "onerror" in text_of(page)  # shown as text, not dropped


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("First line.\nThe quote is here, C++ too.\nLast.", "The quote is here, C++ too."),
        ("أولًا.\n\nنصٌّ مُشَكَّلٌ وكلمـــة SEO و 44.7%.\nسطر ثانٍ\n", "نصٌّ مُشَكَّلٌ وكلمـــة SEO و 44.7%.\nسطر ثانٍ"),
        ("- one\n- two\n- three", "- two\n- three"),
        ("a < b & c > d", "< b & c"),
        ("whole", "whole"),
    ],
)
def test_the_marked_text_is_the_quote_letter_by_letter(text, quote):
    language = "ar" if "ا" in text or "أ" in text else "en"
    start = text.index(quote)
    html = render_source(document_view(Document("d", "T", text, language, "0"), start, start + len(quote)))
    assert "".join(text_of(part) for part in re.findall(r"<mark>(.*?)</mark>", html, re.S)) == quote
    assert text_of(html.split('<div class="text">')[1]) == text


def test_a_long_document_is_shown_around_the_quote_and_says_that_it_goes_on():
    text = "".join(f"line {number}\n" for number in range(1000))
    view = document_view(Document("d", "T", text, "en", "0"), 4000, 4010, window=100)
    assert view.is_cut_before and view.is_cut_after
    assert len(view.before) <= 100 and len(view.after) <= 100
    assert view.before.startswith("line") and view.before + view.quote + view.after in text
    assert render_source(view).count('class="cut"') == 2


def test_a_changed_document_says_so_and_marks_nothing():
    html = render_source(document_view(Document("d", "T", "other text", "en", "0"), 0, 5, digest="0" * 16))
    assert words("source_changed") in html.replace("&nbsp;", " ")
    assert "<mark>" not in html
    assert "other text" in text_of(html)


def test_an_answer_shows_each_statement_with_its_number_and_its_source():
    html = render_turns([Turn("q", "en", answer_of("The quote.", "The quote."), is_done=True)])
    chips = re.findall(r'<button[^>]*class="chip"[^>]*>', html)
    assert len(chips) == 1
    for attribute in ('data-doc="a/b.md"', 'data-start="0"', 'data-end="10"', 'data-n="1"', 'type="button"'):
        assert attribute in chips[0]
    assert "Part" in text_of(html) and "page 2" in text_of(html)
    growing = render_turns([Turn("q", "en", answer_of("The quote.", "The quote."))])
    assert "writing" in growing and 'class="sources"' not in growing


def test_an_answer_that_was_stopped_is_no_trouble():
    from rag.ui.page import _ended

    cut, half = Turn("a", "en"), Turn("b", "en", answer_of("The quote.", "The quote."))
    ended = _ended([cut, half, Turn("c", "en", error="error")])
    assert [turn.error for turn in ended] == ["stopped", "", "error"]
    html = render_turns(ended[:2])
    assert "Stopped here." in text_of(html) and "The quote." in text_of(html)
    assert "writing" not in html and "alert" not in html and 'class="sources"' in html


def test_a_short_answer_a_doubtful_sentence_and_a_notice_look_like_what_they_are():
    answer = answer_of("In 1998.", "In 1998.")
    written = (Statement("1998", "short", (1,)), Statement("Guessed.", "written", (), is_supported=False))
    html = render_turns([Turn("q", "en", replace(answer, statements=written, notice=PAYLOAD), is_done=True)])
    assert re.search(r'<p class="short"[^>]*>1998.*class="chip"', html)
    doubtful = html[html.index("Guessed.") :]
    assert 'class="chip"' not in doubtful.split("</p>")[0] and words("unsupported") in doubtful
    assert '<p class="notice"' in html and "<img" not in html


def test_quoted_lines_with_the_same_cells_become_a_table_and_others_a_list():
    def shown(text: str) -> str:
        return render_turns([Turn("q", "en", answer_of(text, text, kind="item"), is_done=True)])

    table = shown("A | B\n1 | 2\n3 | 4")
    assert table.count("<tr>") == 3 and table.count('<th scope="col">') == 2 and table.count('class="chip"') == 1
    assert shown("| B\n1 | 2").count('<th scope="col">') == 2  # the first head is empty
    plain = shown("- one\n- two | x")
    assert "<table" not in plain and plain.count('class="chip"') == 1
    items = re.findall(r'<li class="item"[^>]*>(.*?)</li>', plain)
    assert [text_of(item.split("<bdi")[0]).strip() for item in items] == ["one", "two | x"]


def test_a_follow_up_says_what_was_searched_for_and_a_plain_question_does_not():
    asked = replace(answer_of("The quote.", "The quote."), query="What does <b>SEO</b> cost?")
    html = render_turns([Turn("And it?", "en", asked, is_done=True)])
    assert "Searched for: What does <b>SEO</b> cost?" in text_of(html)
    assert html.index('class="searched"') < html.index('class="quote"')
    refused = Answer("q", "en", "No.", True, 0.1, query="another")
    assert 'class="searched"' in render_turns([Turn("q", "en", refused, is_done=True)])
    for query in ("", "q"):
        plain = replace(answer_of("The quote.", "The quote."), query=query)
        assert "searched" not in render_turns([Turn("q", "en", plain, is_done=True)])


# -- in the browser -------------------------------------------------------------------------------------------

ARABIC = """# دليل الغلاية الزرقاء

## مدة الضمان

مدة ضمان الغلاية الزرقاء ثلاث سنوات من تاريخ الشراء، ويشمل الضمان عطل السخّان ولا يشمل الكسر.

## طريقة التنظيف

SEO ليست من شأن الغلاية؛ تُنظَّف الغلاية الزرقاء بالخلّ الأبيض مرة كل شهر، ثم تُشطف بالماء مرتين.
"""
ENGLISH = f"""# Growing tomatoes

## Light

Tomatoes want at least six hours of direct sunlight a day, and more in spring.

## Water

Water tomatoes every second morning, at the root, and never on the leaves. {PAYLOAD}
"""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{CHROMIUM} is missing: install Debian's package chromium")
        pytest.skip(f"{CHROMIUM} is missing; install Debian's package chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(browser, tmp_path_factory):
    """Start ``app.py`` with the built-in models, build the index by the page's own button; yield the address."""
    folder = tmp_path_factory.mktemp("ui")
    (folder / "corpus").mkdir()
    (folder / "corpus" / "kettle.md").write_text(ARABIC, encoding="utf-8")
    (folder / "corpus" / "tomatoes.md").write_text(ENGLISH, encoding="utf-8")
    log = folder / "log"
    with open(log, "w", encoding="utf-8") as output:
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), "--port", "0"],
            cwd=folder,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": str(folder / "tmp")},
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + 100
        while not (found := re.search(r"answers on (http://\S+)", log.read_text(encoding="utf-8"))):
            assert server.poll() is None and time.monotonic() < until, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        first = Visitor(browser, found[1])
        assert "There is no index yet" in first.ask("Is there an index?").inner_text()
        first.page.locator("[data-action=view][data-value=documents]").click()
        first.page.locator("[data-action=rebuild]").click()
        first.page.wait_for_selector(".report", timeout=60_000)
        first.context.close()
        assert (first.errors, first.elsewhere) == ([], [])
        yield found[1]
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


class Visitor:
    """A person with a browser of their own, who notices every error and every request to elsewhere."""

    def __init__(self, browser, address: str, **options) -> None:
        self.context = browser.new_context(**{"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.errors.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self._note(request.url, address))
        self.page.goto(address)
        self.page.wait_for_selector(".example")
        self.page.wait_for_function("document.documentElement.dataset.view === 'chat'")

    def _note(self, url: str, address: str) -> None:
        if not url.startswith((address + "/", "data:", "blob:")):
            self.elsewhere.append(url)

    def ask(self, question: str):
        """Type a question, send it with Enter, wait for the end of the answer; return the reply."""
        count = self.page.locator(".turn").count()
        self.page.locator("#sanad-question textarea").fill(question)
        self.page.locator("#sanad-question textarea").press("Enter")
        self.page.wait_for_function("n => document.querySelectorAll('.turn').length === n + 1", arg=count)
        reply = self.page.locator(".turn").nth(count).locator(".reply")
        self.page.wait_for_function("() => !document.querySelector('.turn:last-child .reply.writing')")
        return reply

    def open(self, button) -> str:
        """Open what ``button`` cites and return the marked text."""
        button.click()
        return self.opened()

    def opened(self) -> str:
        self.page.wait_for_selector("html[data-source=open] .source-body mark", state="attached")
        return "".join(self.page.locator(".source-body mark").all_text_contents())

    def direction(self, selector: str) -> str:
        return self.page.locator(selector).first.evaluate("element => getComputedStyle(element).direction")


@pytest.fixture
def visitor(browser, address):
    visitors: list[Visitor] = []

    def come(**options) -> Visitor:
        visitors.append(Visitor(browser, address, **options))
        return visitors[-1]

    yield come
    for person in visitors:
        person.page.wait_for_timeout(100)
        hacked = person.page.evaluate("window.hacked")
        person.context.close()
        assert person.errors == []
        assert person.elsewhere == []
        assert hacked is None


@pytest.mark.browser
def test_an_arabic_reader_asks_and_opens_the_source_with_the_keyboard(visitor):
    person = visitor(locale="ar-EG")
    assert person.direction("html") == person.direction("#sanad-transcript") == "rtl"
    assert person.direction("#sanad-question textarea") == "rtl"
    reply = person.ask("كم مدة ضمان الغلاية الزرقاء؟")
    quote = reply.locator("p.quote").first
    assert "ثلاث سنوات" in quote.inner_text()
    assert quote.evaluate("element => getComputedStyle(element).direction") == "rtl"
    reply.locator(".chip").first.focus()
    person.page.keyboard.press("Enter")
    marked = person.opened()
    assert marked in ARABIC
    assert marked in quote.evaluate("element => element.textContent")
    assert person.page.locator(".about h2").inner_text() == "دليل الغلاية الزرقاء"
    assert "مدة الضمان" in person.page.locator(".about .path").inner_text()
    assert person.page.evaluate("document.activeElement.tagName") == "H2"
    mark, panel = person.page.locator("mark").first.bounding_box(), person.page.locator(".text").bounding_box()
    assert panel["y"] <= mark["y"] <= panel["y"] + panel["height"]
    assert panel["x"] + panel["width"] <= person.page.locator("#sanad-transcript").bounding_box()["x"] + 1  # mirrored
    person.page.keyboard.press("Escape")
    assert not person.page.locator("#sanad-source").is_visible()
    assert "chip" in person.page.evaluate("document.activeElement.className")


@pytest.mark.browser
def test_an_english_reader_asks_and_a_document_cannot_act(visitor):
    person = visitor()
    assert person.direction("html") == "ltr"
    reply = person.ask("How much sunlight do tomatoes need?")
    assert "six hours" in reply.inner_text()
    marked = person.open(reply.locator(".chip").first)
    assert "six hours" in marked
    assert marked in person.page.locator(".source-body .text").evaluate("element => element.textContent")
    reply = person.ask("How should I water tomatoes?")
    assert "every second morning" in reply.inner_text()
    person.open(reply.locator(".chip").first)
    assert person.page.locator("#sanad-body img, #sanad-body script, #sanad-body iframe").count() == 0


@pytest.mark.browser
def test_a_follow_up_question_is_read_with_the_turn_before_it(visitor):
    person = visitor()
    first = person.ask("How much sunlight do tomatoes need?")
    assert first.locator(".searched").count() == 0
    reply = person.ask("And how should I water them?")
    assert "every second morning" in reply.inner_text()
    searched = reply.locator(".searched")
    assert "Searched for: " in searched.inner_text() and "tomatoes" in searched.inner_text()
    assert searched.bounding_box()["y"] < reply.locator(".quote").first.bounding_box()["y"]
    arabic = visitor(locale="ar-EG")
    arabic.ask("كم مدة ضمان الغلاية الزرقاء؟")
    reply = arabic.ask("وكيف أنظّفها؟")
    assert "بالخلّ الأبيض" in reply.inner_text()
    assert "الغلاية الزرقاء" in reply.locator(".searched").inner_text()
    assert arabic.direction(".searched .in-ar") == "rtl"


@pytest.mark.browser
def test_what_the_documents_do_not_say_looks_different_and_shows_the_nearest_passages(visitor):
    person = visitor()
    reply = person.ask("Who won the football world cup in 1998?")
    assert "abstained" in reply.get_attribute("class")
    assert reply.locator(".verdict").inner_text() == "Not in the documents"
    assert reply.locator(".chip").count() == 0
    near = reply.locator(".near").first
    assert person.open(near)
    answered = person.ask("How much sunlight do tomatoes need?")
    colour = "element => getComputedStyle(element).backgroundColor"
    assert reply.evaluate(colour) != answered.evaluate(colour)


@pytest.mark.browser
def test_a_question_in_markup_is_shown_as_it_was_typed(visitor):
    person = visitor()
    question = "<img src=x onerror=alert(1)> **tomatoes** {{value}} ${1+1} `x`"
    person.ask(question)
    assert person.page.locator(".question").last.inner_text() == question


@pytest.mark.browser
def test_an_uploaded_document_answers_after_the_rebuild(visitor, tmp_path):
    import docx

    person = visitor()
    document = docx.Document()
    document.add_heading("Lighthouse rules", 1)
    document.add_paragraph("The lighthouse keeper lights the lamp twenty minutes before sunset.")
    document.save(tmp_path / "منارة البحر.docx")
    question = "When does the lighthouse keeper light the lamp?"
    person.page.locator("[data-action=view][data-value=documents]").click()
    assert person.page.locator("table.documents tbody tr").count() == 2
    person.page.locator("#sanad-upload input[type=file]").set_input_files(tmp_path / "منارة البحر.docx")
    person.page.wait_for_selector(".uploads .upload_added")
    assert "منارة البحر" in person.page.locator(".uploads").inner_text()
    person.page.locator("[data-action=rebuild]").click()
    person.page.wait_for_selector(".progress progress")
    person.page.wait_for_selector(".report")
    assert "New: 1" in person.page.locator(".report .in-en").first.inner_text()
    person.page.wait_for_function(
        "() => document.querySelectorAll('table.documents tbody tr').length === 3", timeout=5000
    )
    person.page.locator("[data-action=view][data-value=chat]").click()
    reply = person.ask(question)
    assert "twenty minutes before sunset" in reply.inner_text()
    assert person.open(reply.locator(".chip").first) == reply.locator(".quote").first.evaluate(
        "element => [...element.childNodes].filter(node => !node.matches?.('.chips'))"
        ".map(node => node.textContent).join('').trim()"
    )


@pytest.mark.browser
def test_the_interface_switches_language_and_theme_and_remembers_both(visitor):
    person = visitor()
    person.ask("How much sunlight do tomatoes need?")
    assert person.direction("#sanad-header .brand") == person.direction("#sanad-transcript") == "ltr"
    person.page.locator("[data-action=language]").click()
    person.page.wait_for_selector("#sanad-question textarea[placeholder*='سؤالك']")
    for place in ("html", "#sanad-header .brand", "#sanad-transcript", "#sanad-question textarea"):
        assert person.direction(place) == "rtl", place
    assert person.direction(".reply p.quote") == "ltr"  # an English quote stays as it is
    assert person.page.locator("nav button").first.inner_text() == "المحادثة"
    person.page.locator("[data-action=theme]").click()
    person.page.reload()
    person.page.wait_for_selector("#sanad-question textarea[placeholder*='سؤالك']")
    assert person.direction("html") == "rtl"
    assert "dark" in person.page.evaluate("document.body.className")


@pytest.mark.browser
def test_on_a_phone_nothing_runs_off_the_screen(visitor):
    person = visitor(viewport={"width": 390, "height": 844}, locale="ar-EG")
    reply = person.ask("كيف تُنظَّف الغلاية؟")
    asked, shown = (person.page.locator(part).bounding_box() for part in (".question", "#sanad-transcript"))
    assert shown["y"] <= asked["y"] < shown["y"] + shown["height"]  # the answer is read from its question down
    width = "document.documentElement.scrollWidth"
    assert person.page.evaluate(width) <= 390
    assert person.open(reply.locator(".chip").first)
    box = person.page.locator(".source-body .text").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert person.page.evaluate(width) <= 390
    person.page.locator("[data-action=close]").click()
    person.page.locator("[data-action=view][data-value=documents]").click()
    person.page.wait_for_selector("table.documents")
    assert person.page.evaluate(width) <= 390
