"""The page: what it renders, and what a person sees and does in a real Chromium."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from rag.builder import BuildReport, FailedFile
from rag.datatypes import Answer, Citation, Document, Heading, Hit, Passage, Statement
from rag.ui.answers import render_turns
from rag.ui.conversation import Turn
from rag.ui.documents import render_documents, render_report
from rag.ui.markup import isolated, sanitize, text_direction
from rag.ui.sources import render_source
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
        render_documents(document_rows({"<i>.md": document}, {})),
        render_report(BuildReport("g", 0, 0, 0, 0, 0, 0, (FailedFile(PAYLOAD, PAYLOAD),), 1.0)),
    ]
    for page in pages:
        assert not re.search(r"<(img|script)\b|<i>", page)
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
    cut, half = Turn("a", "en"), Turn("b", "en", answer_of("The quote.", "The quote."))
    ended = [turn.ended() for turn in (cut, half, Turn("c", "en", error="error"))]
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
