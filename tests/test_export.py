"""A conversation as a file: it says everything, and what a document says stays text in it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html
from markdown_it import MarkdownIt

from rag.datatypes import Answer, Citation, Hit, Passage, Statement
from rag.ui.conversation import Turn, turn_to_json, turns_from_json
from rag.ui.export import conversation_html, conversation_markdown, escape_markdown
from rag.ui.export.page import clean
from rag.ui.words import word

WHEN = datetime(2026, 7, 30, 11, 5, tzinfo=UTC)
SHA = "ab12" * 16
PAYLOAD = (
    '<img src="http://evil.example/x.png" onerror="alert(1)"><script>alert(1)</script>\n'
    "# heading\n\n    code\n\n- item\n1. one\n\na. two\n| a | b |\n|---|---|\n===\n***\n"
    "[link](http://evil.example) ![image](//evil) <http://evil.example> www.evil.example `code` ~~~ **bold** _x_\n"
    "> quote\n[ref]: http://evil.example\n&copy; &#35; \\* <!-- --> </blockquote></main></title></style>"
    "<a href=//evil>x</a>\t end\\"
)
ARABIC = "تُسمّى «التجارة الاجتماعية» Social Commerce منذ 2005.\n\n  ثانيًا: 44.7% * من المتاجر_"
TEXTS = [
    PAYLOAD, ARABIC, "", "\n", "\n\na\n", "a\n\n\nb", " a ", "\ta\t\n\u00a0b", "\\", "a\\\nb\\", "&amp;", "a *b* c",
    "1) x", "+ x", "x\n===", "x\n---", "~~~\nx", "``` x", "<b>x</b>", "\u200fنص\u200f", "\ufeffx", "\u2028x\u2029",
    "don't - well-known, a--b 'quoted' \"x\" end.", "ii. roman", "B.", "5. five", "x a\\*b\\* \\",
    "a:b: 11:05 1,000.5% 5%% x: y://z a/b //c//", "www.example.org http://example.org a@b.org",
]  # fmt: skip


def cited(n: int, quote: str, **others) -> Citation:
    about = {"doc_id": "ar/متجر.pdf", "title": "المتجر", "language": "ar", "page": 3, "heading": ("المتجر", "البيع")}
    about |= others
    return Citation(n=n, quote=quote, start=0, end=len(quote), passage_start=0, passage_end=len(quote), **about)


def answer(*statements: Statement, citations=(), **others) -> Answer:
    text = " ".join(statement.text for statement in statements)
    return Answer("q", "en", text, False, 0.9, statements, tuple(citations), **others)


ANSWERED = answer(
    Statement("A document in Arabic says:", "frame"),
    Statement("2005", "short", (1,)),
    Statement(ARABIC.split("\n")[0], "quote", (1,)),
    Statement("- first", "item", (2, 3)),
    Statement("- second", "item", (2, 3)),
    citations=(
        cited(1, ARABIC),
        cited(2, "first\nsecond", doc_id="b.md", title="B", language="en", page=None, heading=("B",)),
        cited(3, PAYLOAD, doc_id="c.md", title=PAYLOAD, language="en", heading=(PAYLOAD,)),
    ),
)
REFUSED = replace(answer(Statement("I did not find it.", "frame")), abstained=True)
TURNS = [
    Turn("What is it?", "en", replace(ANSWERED, question="What is it?"), is_done=True),
    Turn("وماذا عن السعر؟", "ar", replace(REFUSED, query="ما سعر المتجر؟"), is_done=True),
    Turn("Third", "en", error="error_IndexNotFoundError", detail="index/ holds no index"),
    Turn("Fourth", "en"),
]
HASHES = {"ar/متجر.pdf": SHA}


def markdown(turns, language="en", title="Title") -> str:
    return conversation_markdown(title, turns, HASHES, language, WHEN)


def page(turns, language="en", title="Title"):
    return lxml_html.document_fromstring(conversation_html(title, turns, HASHES, language, WHEN))


def parsed(text: str, preset: str = "commonmark"):
    return lxml_html.fragment_fromstring(MarkdownIt(preset).render(text), create_parent="body")


def letters_of(quote) -> str:
    """Return what a quote of rendered Markdown says; it is one paragraph, with nothing but breaks in it."""
    assert [element.tag for element in quote] in ([], ["p"])
    assert {element.tag for element in quote.iter()} <= {"blockquote", "p", "br"}
    text = ""
    for paragraph in quote:
        text = paragraph.text or ""
        for line_break in paragraph:
            text += "\n" + (line_break.tail or "").removeprefix("\n")  # the renderer writes a line end after each break
    return text


# -- Markdown ---------------------------------------------------------------------------------------------------------


def check_markdown(text: str, preset: str) -> None:
    (quote,) = parsed(f"> {escape_markdown(text, prefix='> ')}\n", preset)
    assert letters_of(quote) == text


@pytest.mark.parametrize("preset", ["commonmark", "js-default"])
@pytest.mark.parametrize("text", TEXTS)
def test_escaped_markdown_reads_as_the_text_and_nothing_else(text, preset):
    check_markdown(text, preset)


@settings(deadline=None)
@given(
    st.text(alphabet=st.one_of(st.sampled_from("ab1 \n\t\\`*_{}[]()#+-.!<>&|~=:'\"^$"), st.characters(codec="utf-8")))
)
def test_any_text_reads_as_itself_in_markdown(text):
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "?", text)
    for preset in ("commonmark", "js-default"):
        check_markdown(text, preset)


def test_characters_that_no_text_holds_are_replaced():
    assert escape_markdown("a\x00\x1f\ud800\rb") == "a\ufffd\ufffd\ufffd\ufffdb"
    turn = Turn("a\x00\ud800", "en", answer(citations=(cited(1, "\ud800"),)), is_done=True)
    for text in (markdown([turn]), conversation_html("\ud800", [turn], {}, "en", WHEN)):
        assert "\ufffd" in text
        text.encode("utf-8")


def test_prose_stays_legible_in_the_source():
    sentence = "It isn't a well-known word, is it? Yes; since 11:05 and/or 2026-07-30: 44.7% of it."
    assert escape_markdown(sentence) == sentence
    assert escape_markdown("a. b. c. - 1. # d_e") == r"a\. b. c. \- 1\. \# d\_e"


@pytest.mark.parametrize("text", [text for text in TEXTS if text.strip()])
def test_each_source_stands_in_markdown_with_its_quote_in_full(text):
    turn = Turn(
        text, "en", answer(Statement(text, "quote", (1,)), citations=[cited(1, text, title=text)]), is_done=True
    )
    body = parsed(markdown([turn], title=text))
    (quote,) = body.findall("blockquote")
    assert letters_of(quote) == text
    assert body.find("h1").text_content() == body.find("h2").text_content() == " ".join(text.split())
    allowed = {"body", "h1", "h2", "h3", "p", "strong", "blockquote", "br"}
    assert {element.tag for element in body.iter()} <= allowed
    assert len(body.findall("h1")) == len(body.findall("h2")) == len(body.findall("h3")) == 1


def test_markdown_says_everything():
    source = markdown(TURNS)
    assert "**\\[2\\]** B\\\nFile: b\\.md\n\n> first\\\n> second\n\n" in source
    body = parsed(source)
    assert [heading.text_content() for heading in body.findall("h2")] == [turn.question for turn in TURNS]
    assert body.findtext("h1") == "Title"
    text = body.text_content()
    for said in (
        "2026-07-30 11:05 UTC",
        "A document in Arabic says:",
        "[1] المتجر › البيع · page 3\nFile: ar/متجر.pdf\nSHA-256 of the file: " + SHA,
        "[2] B\nFile: b.md\n",
        word("abstained", "en"),
        "Searched for: ما سعر المتجر؟",
        "I did not find it.",
        word("error_IndexNotFoundError", "en"),
        "index/ holds no index",
        word("stopped", "en"),
    ):
        assert said in text, said
    assert text.count("SHA-256") == 1, "nothing is said of a file whose hash is unknown"
    (items,) = body.findall("ul")
    assert [item.text_content() for item in items] == ["first", "second [2] [3]"]
    assert [strong.text for strong in body.iter("strong")][:2] == ["2005", "[1]"]


def test_the_frame_is_in_the_language_of_the_page():
    for text in (markdown(TURNS, "ar"), page(TURNS, "ar").text_content()):
        assert "المصادر" in text and "صفحة 3" in text and "ليس في المستندات" in text
        assert "Sources" not in text and "File" not in text
    assert word("untitled", "ar") in markdown([], "ar", title=" \n")


# -- HTML -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [text for text in TEXTS if text.strip()])
def test_each_source_stands_in_the_page_with_its_quote_in_full(text):
    turn = Turn(
        text, "en", answer(Statement(text, "quote", (1,)), citations=[cited(1, text, title=text)]), is_done=True
    )
    root = page([turn], title=text)
    (quote,) = root.iter("blockquote")
    assert [line.text_content() for line in quote.findall("p")] == text.split("\n")
    assert root.find(".//h2").text_content() == text
    tags = {element.tag for element in root.find("body").iter() if isinstance(element.tag, str)}
    assert tags <= set("body main header section div h1 h2 h3 p bdi a ol li span code blockquote".split())


def test_the_page_fetches_nothing_and_runs_nothing():
    text = conversation_html(PAYLOAD, [replace(TURNS[0], question=PAYLOAD), *TURNS], {"c.md": PAYLOAD}, "en", WHEN)
    root = lxml_html.document_fromstring(text)
    policy = root.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]
    assert not re.search(r"url\(|@import|</style", root.findtext(".//style"))
    assert not root.xpath("//script | //link | //img | //iframe | //form | //object | //base | //svg")
    assert not root.xpath("//@src | //@style | //@*[starts-with(name(), 'on')]")
    assert {href[0] for href in root.xpath("//@href")} == {"#"}


def test_only_links_within_the_page_survive():
    hostile = '<a href="#c1-2">1</a><a href="//evil">2</a><a href="javascript:x">3</a><a href="#t1">4</a>' + PAYLOAD
    cleaned = clean(hostile)
    assert re.findall(r"<a[^>]*>", cleaned) == ['<a href="#c1-2">', "<a>", "<a>", "<a>", "<a>"]
    assert not re.search(r"<(img|script|code ?/)|onerror=", cleaned)


def test_citations_lead_to_their_sources_within_the_file():
    root = page([*TURNS, TURNS[0]])
    for number in (1, 5):
        section = root.get_element_by_id(f"t{number}")
        links = section.xpath(".//a")
        assert [link.text for link in links] == ["[1]", "[1]", "[2]", "[3]"]
        for link in links:
            source = root.get_element_by_id(link.get("href")[1:])
            assert source.tag == "li" and source in section.iter()
            assert source.find_class("number")[0].text == link.text
    assert len(set(root.xpath("//@id"))) == len(root.xpath("//@id"))


def test_the_page_says_everything():
    root = page(TURNS)
    first = root.get_element_by_id("c1-1").text_content()
    assert first.startswith("[1] المتجر › البيع · page 3File: ar/متجر.pdfSHA-256 of the file: " + SHA)
    assert "SHA" not in root.get_element_by_id("c1-2").text_content()
    header = root.find(".//header").text_content()
    assert header.startswith("Title") and "2026-07-30 11:05 UTC" in header
    refused = root.get_element_by_id("t2").text_content()
    assert word("abstained", "en") in refused and "Searched for: ما سعر المتجر؟" in refused
    assert "index/ holds no index" in root.get_element_by_id("t3").text_content()
    assert word("stopped", "en") in root.get_element_by_id("t4").text_content()


def test_each_block_has_its_own_direction_and_foreign_terms_are_isolated():
    root = page(TURNS, "ar")
    assert (root.get("lang"), root.get("dir")) == ("ar", "rtl")
    assert [heading.get("dir") for heading in root.iter("h2")] == ["ltr", "rtl", "ltr", "ltr"]
    source = root.get_element_by_id("c1-1")
    (quote,) = source.iter("blockquote")
    assert (quote.get("lang"), quote.get("dir")) == ("ar", "rtl")
    assert [line.get("dir") for line in quote.findall("p")] == ["rtl", "rtl", "rtl"]
    assert quote.findtext(".//bdi") == "Social Commerce"
    assert [part.text for part in source.xpath(".//span[@class='file']/bdi")] == ["ar", "متجر", "pdf"]


def test_tables_stay_tables_and_unsupported_sentences_are_marked():
    rows = [Statement(text, "item", (1,)) for text in ("Name | Price", "Kettle | 3 < 4")]
    loose = Statement("It may rain.", "written", (), is_supported=False)
    given = answer(*rows, loose, citations=[cited(1, "Name | Price")], model="smollm2", notice="The model stopped.")
    root = page([Turn("q", "en", given, is_done=True)])
    assert [cell.text_content() for cell in root.iter("th")] == ["Name", "Price"]
    assert [cell.text_content() for cell in root.iter("td")] == ["Kettle", "3 < 4"]
    for text in (root.text_content(), parsed(markdown([Turn("q", "en", given, is_done=True)])).text_content()):
        assert f"It may rain. ({word('unsupported', 'en')})" in text
        assert "Written by smollm2" in text and "The model stopped." in text
        assert "3 < 4" in text


def test_what_a_browser_kept_can_be_exported():
    """Also with an error that is none, numbers that nothing has, no statements, a language that is none."""
    hit = Hit(Passage("a.md", 0, 1, "a", "en", "A"), 1.0, 1)
    odd = Answer(
        "q", 'x"y', "Only text [7]", False, 0.5, (), (cited(1, "a", language='"><b>', title="", heading=()),), (hit,)
    )
    turns = [
        *TURNS,
        Turn("q", "und", error="page"),
        Turn("q", 'e"n', replace(odd, statements=(Statement("said", "written", (9, 1)),)), is_done=True),
        Turn("q", "und", odd, is_done=True),
    ]
    turns = turns_from_json([turn_to_json(turn) for turn in turns])
    root = page(turns)
    assert word("error", "en") in root.get_element_by_id("t5").text_content()
    assert [link.text for link in root.get_element_by_id("t6").iter("a")] == ["[1]"]
    assert "Only text [7]" in root.get_element_by_id("t7").text_content()
    assert "Only text [7]" in parsed(markdown(turns)).text_content()
    assert [quote.get("lang") for quote in root.iter("blockquote")][-2:] == ['"><b>'] * 2
    assert not root.xpath("//b")
