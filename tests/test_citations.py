import dataclasses

import pytest

from rag.answering.citations import cite, verify
from rag.datatypes import Answer, Document, Heading, Page, Passage, Statement

DOCUMENT = Document(
    "a.pdf",
    "Title",
    "Top\nFirst fact. Second fact.",
    "en",
    "0" * 64,
    (Heading("Top", 1, 0, 3),),
    (Page(1, 0, 16), Page(2, 16, 28)),
)
PASSAGE = Passage("a.pdf", 4, 28, DOCUMENT.text[4:28], "en", "Title", ("Top",), 1)


@pytest.fixture
def answer():
    first, second = cite(1, DOCUMENT, PASSAGE, 4, 15), cite(2, DOCUMENT, PASSAGE, 16, 28)
    statements = (
        Statement("The documents say:", "frame"),
        Statement("First fact.", "quote", (1,)),
        Statement("Second fact.", "quote", (2,)),
    )
    return Answer("q", "en", "", False, 0.9, statements, (first, second))


def broken(answer, **changes):
    return dataclasses.replace(answer, **changes)


def test_a_citation_carries_its_place(answer):
    second = answer.citations[1]
    assert (second.quote, second.page, second.heading) == ("Second fact.", 2, ("Top",))
    assert (second.passage_start, second.passage_end) == (4, 28)
    verify(answer, {"a.pdf": DOCUMENT})


def test_every_broken_promise_is_found(answer):
    first, second = answer.citations
    frame, one, two = answer.statements
    replace = dataclasses.replace
    for bad in (
        broken(answer, citations=(second, first)),  # out of order
        broken(answer, citations=(replace(first, n=0), replace(second, n=1))),  # not 1-based
        broken(answer, citations=(first,)),  # a mark without a citation
        broken(answer, statements=(frame, one)),  # a citation nobody uses
        broken(answer, statements=(frame, replace(one, citations=(2,)), replace(two, citations=(1,)))),  # used 2, 1
        broken(answer, statements=(frame, replace(one, citations=()), two)),  # a quote without a mark
        broken(answer, statements=(frame, replace(one, text="A third fact."), two)),  # not what the source says
        broken(answer, statements=(replace(frame, citations=(1,)), one, two)),  # a frame that cites
        broken(answer, citations=(replace(first, start=5), second)),  # another place
        broken(answer, citations=(replace(first, doc_id="b.pdf"), second)),  # no such document
        broken(answer, abstained=True),  # refuses and cites
    ):
        with pytest.raises(AssertionError):
            verify(bad, {"a.pdf": DOCUMENT})


def test_a_written_sentence_is_supported_by_what_it_cites_or_marked(answer):
    first = answer.citations[0]
    written = Statement("The first fact.", "written", (1,))
    marked = Statement("A fourth fact.", "written", is_supported=False)
    good = broken(answer, statements=(written, marked), citations=(first,))
    verify(good, {"a.pdf": DOCUMENT})
    replace = dataclasses.replace
    for bad, supports in (
        (broken(good, statements=(replace(written, text="The first 7 facts."), marked)), None),  # a fact of its own
        (broken(good, statements=(written, replace(marked, citations=(1,)))), None),  # marked, and cites
        (broken(good, statements=(written, replace(marked, is_supported=True))), None),  # neither cites nor is marked
        (broken(good, statements=(written, replace(marked, kind="quote"))), None),  # a quote that is marked
        (good, lambda sentence, language, quotes: False),  # the judge says no
    ):
        with pytest.raises(AssertionError):
            verify(bad, {"a.pdf": DOCUMENT}, **({"supports": supports} if supports else {}))
