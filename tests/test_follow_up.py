"""Follow-up questions become queries that stand alone; questions that stand alone stay as they are."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rag.answering.follow_up import stand_alone
from rag.answering.phrases import phrases
from rag.answering.rewriting import stand_alone_with
from rag.datatypes import Answer, Citation, Statement
from rag.errors import GeneratorError
from rag.text import fold_text

ROWS = [json.loads(line) for line in (Path(__file__).parent / "follow_ups.jsonl").read_text("utf-8").splitlines()]


def turn(question: str, query: str = "", *, items: Sequence[str] = (), heading: str = "", text: str = "") -> Answer:
    statements = tuple(Statement(item, "item", (1,)) for item in items)
    cited = (Citation(1, "d", heading, "en", "quote", 0, 5, None, (heading,), 0, 5),) if heading else ()
    return Answer(question, "en", text, False, 1.0, statements, cited, query=query)


def conversation(questions: Sequence[str]) -> list[Answer]:
    history: list[Answer] = []
    for question in questions:
        history.append(turn(question, stand_alone(question, history).query))
    return history


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['variety']}: {row['question']}")
def test_a_follow_up_says_all_that_is_meant_and_another_question_stays(row):
    found = stand_alone(row["question"], conversation(row["history"]))
    query = fold_text(found.query)
    assert found.is_follow_up == row["is_follow_up"], found
    assert [word for word in row["has"] if fold_text(word) not in query] == [], found
    assert [word for word in row["lacks"] if fold_text(word) in query] == [], found
    assert bool(found.carried) == row["is_follow_up"]
    assert row["is_follow_up"] or found.query == row["question"]


def test_the_examples_are_many_and_of_every_variety():
    assert len(ROWS) >= 80
    assert sum(not row["is_follow_up"] for row in ROWS) >= 25
    assert {row["variety"] for row in ROWS} == {"en", "msa", "egyptian", "gulf", "levantine", "switch"}


@pytest.mark.parametrize("question", ["And the cost?", "والتكلفة؟", "why?", "ليش؟"])
def test_the_first_question_of_a_conversation_stands_as_it_is(question):
    found = stand_alone(f"  {question} ", [])
    assert (found.query, found.is_follow_up, found.carried) == (question, False, ())


@pytest.mark.parametrize(
    ("question", "query"),
    [
        ("Tell me more about the second one", "Tell me more about Micro in influencer"),
        ("the last point?", "Mega or celebrity in influencer?"),
        ("Explain step 3", "Explain Macro in influencer"),
        ("اشرح النقطة الثانية", "اشرح Micro في influencer"),
        ("والأخيرة؟", "Mega or celebrity في influencer؟"),
        ("Explain the seventh point", "Explain the seventh point in influencer"),
    ],
)
def test_a_place_in_the_last_list_is_its_item(question, query):
    items = ("Nano: a few thousand followers.", "Micro: tens of thousands.", "Macro: more.", "Mega or celebrity: most.")
    history = [turn("What are the sizes of influencer?", items=items)]
    assert stand_alone(question, history).query == query


def test_the_head_of_a_table_is_none_of_its_places():
    history = [turn("Which channels are there?", items=("Channel | Share", "Search | 40", "Social | 35"))]
    assert stand_alone("the first one?", history).query == "Search?"


def test_the_list_of_an_answer_that_is_only_text_counts_too():
    history = [turn("Which channels are there?", text="They are:\n\n- Search [1]\n- Social [1]")]
    assert stand_alone("the second one?", history).query == "Social?"


def test_a_question_that_names_nothing_takes_the_heading_that_was_cited():
    history = [turn("What is it?", heading="Ways of paying")]
    assert "Ways of paying" in stand_alone("How much does it cost?", history).query


@pytest.mark.parametrize(
    "question",
    ["ما وجه المقارنة؟", "هل الله موجود؟", "متى يبلغ الدرهم؟", "ما الاتجاه؟", "ما أهم وجه؟"],
)
def test_a_noun_that_ends_like_a_pronoun_keeps_its_letters(question):
    query = stand_alone(question, conversation(["ما هو التسويق الرقمي؟"])).query
    words = [word.strip("؟") for word in question.split()]
    assert [word for word in words if word not in query] == []


def test_the_writing_of_ta_marbuta_tells_a_pronoun_from_a_noun():
    history = conversation(["ما هو التسويق الرقمي؟"])
    assert "القدره الماليه" in stand_alone("القدره الماليه للشركه", history).query
    assert not stand_alone("كيف أصمم شعاره؟", history).is_follow_up  # may as well be شعارة
    assert stand_alone("كيف أصمم شعاره؟", conversation(["ما هو متجر الأزياء الفاخرة؟"])).is_follow_up
    assert stand_alone("كم مدته؟", history).query == "كم مدة التسويق الرقمي؟"
    assert stand_alone("ما قيمه؟", conversation(["ما هي المدونة؟"])).query != "ما قيم المدونة؟"


def test_the_score_decides_where_the_rules_leave_a_choice():
    history = conversation(["How does a brand work with creators on Instagram?"])
    readings = {
        stand_alone("What about newspapers?", history, score=lambda query, word=word: float(word not in query)).query
        for word in ("brand", "creators", "Instagram")
    }
    assert len(readings) == 3
    assert all("newspapers" in query for query in readings)


def test_a_long_history_costs_nothing_and_only_its_end_counts():
    long = [turn(f"What is subject number {n} about? {'word ' * 2000}") for n in range(2000)]
    history = [*long, turn("What is social commerce?")]
    stand_alone("warm", history)
    started = time.perf_counter()
    query = stand_alone("What are its risks?", history).query
    assert time.perf_counter() - started < 0.5
    assert query == "What are the risks of social commerce?"


@pytest.mark.parametrize(
    "question", ["؟", "...", "🤖", "a\x00b", "\ud800 it", "ه", "و", "and", "its", "it " * 100, "؟؟ و و"]
)
def test_odd_questions_never_fail(question):
    assert stand_alone(question, conversation(["What is SEO?", "وما عيوبه؟"])).query


def test_a_phrase_leaves_out_what_is_asked_of_its_subject():
    def found(text: str) -> list[str]:
        return [phrase.surface for phrase in phrases(text)]

    assert found("What are the advantages of email marketing?") == ["email marketing"]
    assert found("What is the average newsletter open rate in the retail sector?") == [
        "newsletter open rate",
        "retail sector",
    ]
    assert found("ما عيوب التسويق الرقمي للشركات؟") == ["التسويق الرقمي"]
    assert found("كيف أحسب معدل النقر؟") == ["معدل النقر"]
    assert found("why?") == []


# -- with a language model ---------------------------------------------------------------------------------------


class Writer:
    """A language model that writes what it is told to. A word is a token."""

    name = "writer"

    def __init__(self, written: str | Exception, context_tokens: int = 4_000) -> None:
        self.written, self.context_tokens = written, context_tokens
        self.prompts: list[str] = []

    def count_tokens(self, messages) -> int:
        return sum(len(message.content.split()) for message in messages)

    def stream(self, messages, *, max_new_tokens, stop=None) -> Iterator[str]:
        self.prompts.append("\n".join(message.content for message in messages))
        if isinstance(self.written, Exception):
            raise self.written
        yield from self.written


HISTORY = [turn("What is social commerce?", text="Selling inside social networks such as Instagram, since 2005.")]
RULED = stand_alone("What are its risks?", HISTORY).query


@pytest.mark.parametrize(
    ("written", "query"),
    [
        ("What are the main risks of social commerce?", "What are the main risks of social commerce?"),
        ("  Question: What are the risks of selling on Instagram?\n", "What are the risks of selling on Instagram?"),
        ('"What were the risks of social commerce in 2005?"', "What were the risks of social commerce in 2005?"),
    ],
)  # fmt: skip
def test_a_model_may_word_the_question_its_own_way(written, query):
    found = stand_alone_with(Writer(written), "What are its risks?", HISTORY)
    assert found.query == query
    assert found.is_follow_up and found.carried


@pytest.mark.parametrize(
    "written",
    [
        "",
        " \n ",
        "What are its risks?\nThe risks are many.",
        "The main risk is fraud.",
        "What are the risks of social commerce? They are fraud and returns. Be careful.",
        "What are the risks of social commerce on TikTok?",
        "What are the risks of social commerce in 2024?",
        "What are the risks of social commerce " + "and of many more things " * 9 + "?",
        "ما مخاطر التجارة؟",
        GeneratorError("the server is gone"),
    ],
)
def test_what_a_model_must_not_write_leaves_the_rules(written):
    assert stand_alone_with(Writer(written), "What are its risks?", HISTORY).query == RULED


def test_a_model_keeps_the_numbers_and_names_that_were_asked_for():
    history = [turn("What is social commerce?")]
    for question in ("Did it grow by 40 in the USA?", "هل نما بنسبة 40 في USA؟"):
        assert stand_alone_with(Writer("Did social commerce grow?"), question, history) == stand_alone(
            question, history
        )


def test_a_question_that_a_model_repeats_is_no_follow_up():
    found = stand_alone_with(Writer("what is click fraud"), "What is click fraud?", HISTORY)
    assert (found.query, found.is_follow_up) == ("What is click fraud?", False)


def test_the_prompt_is_in_the_language_of_the_question_and_keeps_to_the_window():
    history = [turn(f"What is subject {n}?", text="word " * 3000) for n in range(5)]
    writer = Writer("ما هي؟")
    stand_alone_with(writer, "وما عيوبه؟", history)
    assert "السؤال الأخير: وما عيوبه؟" in writer.prompts[0]
    assert "subject 1" not in writer.prompts[0] and "subject 4" in writer.prompts[0]
    for context_tokens, turns in ((500, 3), (390, 2), (270, 1)):
        writer = Writer("x?", context_tokens)
        stand_alone_with(writer, "And it?", history)
        assert writer.prompts[0].count("What is subject") == turns
        assert len(writer.prompts[0].split()) + 96 <= context_tokens
    writer = Writer("x?", context_tokens=100)
    assert stand_alone_with(writer, "And it?", history) == stand_alone("And it?", history)
    assert writer.prompts == []


def test_without_history_or_need_no_model_is_asked():
    writer = Writer("What is it?")
    assert stand_alone_with(writer, "why?", []).query == "why?"
    complete = "Which three emails make up a simple welcome series?"
    assert stand_alone_with(writer, complete, HISTORY).query == complete
    assert writer.prompts == []
