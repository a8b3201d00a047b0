"""The shape of an answer: short answer first, both sides of a comparison, one statement for what two documents say."""

import pytest

from rag import Chatbot, Retriever, build_index
from rag.answering.citations import verify

CORPUS = {
    "kettle.md": (
        "# Blue kettle\n\nThe blue kettle was designed by Salma Nassar and came to the shops in March 2019. "
        "Its guarantee lasts three years and covers the heating element. The kettle holds 1.7 litres of water.\n"
    ),
    "toaster.md": (
        "# Red toaster\n\nThe red toaster browns two slices at once. Its guarantee lasts one year only, because its "
        "springs wear out sooner.\n"
    ),
    "copy.md": "# Shop notes\n\nIts guarantee lasts three years and covers the heating element.\n",
    "shop.md": "# متجر الأدوات\n\nافتتح المتجر أبوابه عام 1998 في مدينة صور. يعمل فيه اليوم أربعون موظفًا.\n",
}


@pytest.fixture(scope="module")
def chatbot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "corpus").mkdir()
    for name, text in CORPUS.items():
        (folder / "corpus" / name).write_text(text, encoding="utf-8")
    build_index(folder / "corpus", folder / "index")
    return Chatbot(Retriever.open(folder / "index"))


@pytest.mark.parametrize(
    ("question", "short"),
    [
        ("When did the blue kettle come to the shops?", "March 2019"),
        ("How many litres of water does the blue kettle hold?", "1.7 litres"),
        ("متى افتتح متجر الأدوات أبوابه؟", "1998"),
    ],
)
def test_a_short_answer_comes_first_in_bold_and_stands_in_the_first_quote(chatbot, question, short):
    answer = chatbot.ask(question)
    assert short in answer.short
    assert answer.statements[0].kind == "short"
    assert answer.text.startswith(f"**{answer.short}** [1]")
    assert answer.short in answer.citations[0].quote


@pytest.mark.parametrize("question", ["How does the guarantee of the kettle work?", "Tell me about the red toaster."])
def test_no_short_answer_where_none_is_asked_for(chatbot, question):
    answer = chatbot.ask(question)
    assert not answer.short or answer.statements[0].kind == "short"
    if "How does" in question:
        assert answer.short == ""


def test_a_comparison_draws_from_both_documents(chatbot):
    answer = chatbot.ask("What is the difference between the guarantee of the blue kettle and the red toaster?")
    assert {"kettle.md", "toaster.md"} <= {citation.doc_id for citation in answer.citations}


def test_what_two_documents_say_is_said_once_with_both_citations(chatbot):
    answer = chatbot.ask("What does the guarantee cover, the heating element?")
    statements = [s for s in answer.statements if "covers the heating element" in s.text and s.kind == "quote"]
    assert len(statements) == 1
    verify(answer, chatbot.retriever.snapshot().generation.documents)
