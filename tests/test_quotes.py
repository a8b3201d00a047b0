import pytest

from rag.answering.quotes import (
    UnitKind,
    block_of,
    paragraph_of,
    sentences_after,
    split_lines,
    units_of,
    with_antecedent,
)
from rag.datatypes import Document, Heading

TEXT = """Planning

A plan has a goal. It also has a date! Follow these steps:
- Set the goal.
- Choose the channels.

1. First
2. Second

After the list.

خطوات الحملة

تبدأ الحملة بالهدف. وهو ما يقاس لاحقًا.
٣. حدد الميزانية
٤. راقب النتائج

Channel | Cost
Email | low
Search | high
"""


@pytest.fixture
def document():
    headings = tuple(
        Heading(text, 1, TEXT.index(text), TEXT.index(text) + len(text)) for text in ("Planning", "خطوات الحملة")
    )
    return Document("plan.md", "Planning", TEXT, "en", "0" * 64, headings)


def unit_at(document, text):
    (unit,) = [u for u in units_of(document, 0, len(TEXT)) if document.text[u.start : u.end] == text]
    return unit


def test_units_are_sentences_items_and_rows_without_marks_and_headings(document):
    units = units_of(document, 0, len(TEXT))
    assert [(document.text[u.start : u.end], u.kind.value) for u in units] == [
        ("A plan has a goal.", "sentence"),
        ("It also has a date!", "sentence"),
        ("Follow these steps:", "sentence"),
        ("Set the goal.", "item"),
        ("Choose the channels.", "item"),
        ("First", "item"),
        ("Second", "item"),
        ("After the list.", "sentence"),
        ("تبدأ الحملة بالهدف.", "sentence"),
        ("وهو ما يقاس لاحقًا.", "sentence"),
        ("حدد الميزانية", "item"),
        ("راقب النتائج", "item"),
        ("Channel | Cost", "row"),
        ("Email | low", "row"),
        ("Search | high", "row"),
    ]


def test_units_of_a_slice_keep_the_offsets_of_the_document(document):
    start = TEXT.index("After")
    (unit,) = units_of(document, start, start + len("After the list."))
    assert (unit.start, unit.end, unit.kind) == (start, start + 15, UnitKind.SENTENCE)


@pytest.mark.parametrize("text", ["Follow these steps:", "Set the goal.", "Second"])
def test_a_list_is_quoted_whole_with_the_sentence_that_introduces_it(document, text):
    start, end = block_of(document, unit_at(document, text))
    assert TEXT[start:end] == TEXT[TEXT.index("Follow") : TEXT.index("\n\nAfter")]


def test_a_table_is_quoted_whole(document):
    start, end = block_of(document, unit_at(document, "Email | low"))
    assert TEXT[start:end] == "Channel | Cost\nEmail | low\nSearch | high"


def test_a_sentence_that_introduces_nothing_has_no_block(document):
    assert block_of(document, unit_at(document, "A plan has a goal.")) is None
    assert block_of(document, unit_at(document, "After the list.")) is None


def test_a_list_too_long_to_quote_has_no_block():
    text = "Items:\n" + "\n".join(f"- item number {i} of a very long list" for i in range(100))
    document = Document("long.md", "", text, "en", "0" * 64)
    assert block_of(document, units_of(document, 0, len(text))[5]) is None


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("It also has a date!", "A plan has a goal. It also has a date!"),
        ("وهو ما يقاس لاحقًا.", "تبدأ الحملة بالهدف. وهو ما يقاس لاحقًا."),
        ("A plan has a goal.", "A plan has a goal."),
        ("Set the goal.", "Set the goal."),
    ],
)
def test_a_sentence_that_leans_on_the_one_before_brings_it_along(document, text, quoted):
    start, end = with_antecedent(document, unit_at(document, text))
    assert TEXT[start:end] == quoted


def test_lines_of_a_block_lose_their_marks_and_nothing_else():
    assert split_lines("Steps:\n- one\n\n٢. اثنان\na | b") == [
        ("Steps:", False),
        ("one", True),
        ("اثنان", True),
        ("a | b", True),
    ]


def test_a_paragraph_is_the_line_of_its_sentence_and_the_rest_of_it_follows(document):
    unit = unit_at(document, "A plan has a goal.")
    start, end = paragraph_of(document, unit)
    assert TEXT[start:end] == "A plan has a goal. It also has a date! Follow these steps:"
    assert [TEXT[a:b] for a, b in sentences_after(document, unit)] == ["It also has a date!", "Follow these steps:"]
    assert sentences_after(document, unit_at(document, "After the list.")) == []
