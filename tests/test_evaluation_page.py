"""The HTML report: whole in one file, quiet in a real Chromium, and usable there."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from test_evaluation import CITED, DOCUMENTS, NOWHERE, QUESTION, REFUSAL, ROWS, WHOLE, report, row

from rag.datatypes import Statement
from rag.errors import RagError
from rag.evaluation import page as page_module
from rag.evaluation import render_page

PAYLOAD = '<img src="http://127.0.0.1:9/x.png" onerror="window.hacked=1"></script><script>window.hacked=1</script>'
ARABIC = "كم يبلغ حجم السوق؟"


def rows():
    arabic = replace(QUESTION, id="ar", question=ARABIC, language="ar", kind="dialect")
    nasty = replace(QUESTION, id=PAYLOAD, question=PAYLOAD, kind="$x^2$ <b>", answers=(PAYLOAD,))
    said = replace(CITED, text=PAYLOAD, short=PAYLOAD, statements=(Statement(PAYLOAD, "quote", (1,)),))
    return [*ROWS, row(CITED, arabic, WHOLE), row(said, nasty, WHOLE)]


@pytest.fixture(scope="module")
def html():
    return render_page(report(rows()))


def test_the_page_is_whole(html):
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)
    assert "url(http" not in html and "@import" not in html
    assert html.count("<svg") == html.count("<figure>") == 9
    assert "undefined" not in html
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", html)) | set(re.findall(r'href="#([^"]+)"', html)) <= set(ids)


def test_nothing_in_a_question_becomes_part_of_the_page(html):
    assert "<img" not in html
    assert html.count("<script") == 1
    assert "&lt;img" in html


def test_the_plots_take_every_colour_from_the_page(html):
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", drawn)) <= {"none"} | set(
        re.findall(r"var\(--[\w-]+\)", drawn)
    )
    style = html[: html.index("</style>")]
    for name in set(re.findall(r"var\(--([\w-]+)\)", html)):
        assert style.count(f"--{name}: ") == 2, f"{name} wants a light and a dark value"


def test_the_same_report_gives_the_same_page(html):
    assert render_page(report(rows())) == html


def test_a_report_with_little_in_it_is_shown_all_the_same():
    for some in ([], [row(REFUSAL, NOWHERE)], [row(REFUSAL, replace(QUESTION, kind=""))]):
        html = render_page(report(some))
        assert f"<output>{len(some)}</output>" in html


def test_a_missing_library_is_said_with_the_remedy(monkeypatch):
    monkeypatch.setattr(page_module.importlib.util, "find_spec", lambda name: None if name == "matplotlib" else name)
    with pytest.raises(RagError, match=r"needs matplotlib.*pip install 'sanad\[report\]'"):
        render_page(report(rows()))


class Visitor:
    """A person who opens the page and notices every message, error and request."""

    def __init__(self, browser, address: str, **options) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.noticed: list[str] = []
        self.page.on("console", lambda message: self.noticed.append(message.text))
        self.page.on("pageerror", lambda error: self.noticed.append(str(error)))
        self.page.on("request", lambda request: request.url == address or self.noticed.append(request.url))
        self.page.goto(address)

    def shown(self) -> list[str]:
        return self.page.locator(".question:visible .text").all_inner_texts()


@pytest.fixture
def visit(browser, html, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    visitors = []

    def visit(**options):
        visitors.append(Visitor(browser, path.as_uri(), **options))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.context.close()
    assert [visitor.noticed for visitor in visitors] == [[] for _ in visitors]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_quiet_and_fits(visit, width):
    visitor = visit(viewport={"width": width, "height": 844})
    assert visitor.page.evaluate("document.documentElement.scrollWidth") == width
    assert visitor.page.evaluate("window.hacked") is None
    plots = visitor.page.locator("figure svg")
    assert all(plots.nth(n).bounding_box()["height"] > 100 for n in range(plots.count()))


@pytest.mark.browser
def test_questions_can_be_filtered_sorted_and_opened(visit):
    visitor = visit(viewport={"width": 1280, "height": 844})
    page = visitor.page
    assert len(visitor.shown()) == len(rows())
    page.locator("button[data-outcome='wrongly refused']").click()
    page.locator("button[data-outcome='false answer']").click()
    assert len(visitor.shown()) == 2
    assert page.locator("#questions output").inner_text() == "2 of 7"
    page.locator("button[data-outcome='wrongly refused']").click()
    page.locator("button[data-outcome='false answer']").click()
    page.locator("select[name=kind]").select_option("dialect")
    page.locator("input").fill(ARABIC.split()[0])
    assert visitor.shown() == [ARABIC]
    page.locator("input").fill("no such words")
    assert page.locator(".none").is_visible()
    page.locator("input").fill("")
    page.locator("select[name=kind]").select_option("")
    page.locator("select[name=sort]").select_option("confidence")
    order = page.locator(".question").evaluate_all("all => all.map((one) => Number(one.dataset.confidence))")
    assert order == sorted(order)
    page.locator(".question", has_text=ARABIC).locator("summary").click()
    opened = page.locator(".question[open]")
    assert DOCUMENTS["a.md"].text[17:61] in opened.locator("blockquote").first.inner_text()


@pytest.mark.browser
def test_each_question_runs_in_its_own_direction(visit):
    page = visit().page
    directions = page.locator(".question .text").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).direction)"
    )
    assert directions == [
        "rtl" if text == ARABIC else "ltr" for text in page.locator(".question .text").all_inner_texts()
    ]
    assert "rtl" in directions


@pytest.mark.browser
def test_plots_follow_light_and_dark(visit):
    def colour(scheme):
        page = visit(color_scheme=scheme).page
        return page.locator("figure svg text").first.evaluate("one => getComputedStyle(one).fill")

    assert colour("light") != colour("dark")
