"""The whole road with the built-in models, on a corpus small enough to read."""

import pytest

from rag import Chatbot, Retriever, build_index
from rag.answering.citations import verify
from rag.config import AnswerConfig

CORPUS = {
    "influencers.md": (
        "# تسويق المؤثرين\n\nتسويق المؤثرين تعاون بين علامة تجارية وشخص يثق به متابعوه. "
        "وتشير التقديرات إلى أن حجم سوقه قد يبلغ بين 5 و10 مليارات دولار بنهاية عام 2020.\n\n"
        "## المخاطر\n\nأكبر خطر هو أن تسقط ثقة الناس في المؤثر فتسقط معها ثقتهم في العلامة التجارية.\n"
    ),
    "email.md": (
        "# Email marketing\n\nEmail marketing sends messages to people who asked for them. "
        "A welcome message should leave within one hour of the subscription.\n\n"
        "## Mistakes\n\nAvoid these mistakes:\n\n- Buying address lists.\n- Hiding the unsubscribe link.\n"
        "- Writing subject lines that promise too much.\n\nA clean list is worth more than a long one.\n"
    ),
    "budget.md": (
        "# Marketing budget\n\nA budget is set from the goal backwards. "
        "Small companies spend first on the channel that already brings customers.\n\n"
        "Channel | Share\nSearch | 40\nSocial | 35\nEmail | 25\n"
    ),
}


@pytest.fixture(scope="module")
def chatbot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    corpus = folder / "corpus"
    corpus.mkdir()
    for name, text in CORPUS.items():
        (corpus / name).write_text(text, encoding="utf-8")
    build_index(corpus, folder / "index")
    return Chatbot(Retriever.open(folder / "index"))


def cited(answer):
    return " ".join(citation.quote for citation in answer.citations)


def test_an_arabic_question_is_answered_with_the_sentence_that_says_it(chatbot):
    answer = chatbot.ask("ما حجم سوق تسويق المؤثرين المتوقع بنهاية عام 2020؟")
    assert not answer.abstained
    assert answer.language == "ar"
    assert answer.citations[0].doc_id == "influencers.md"
    assert "بين 5 و10 مليارات دولار" in answer.citations[0].quote
    assert answer.text.count("[1]") == 2  # the short answer and the sentence it stands in


def test_an_english_question_finds_the_arabic_sentence_and_says_so_in_english(chatbot):
    answer = chatbot.ask("How big was the influencer marketing market expected to be by the end of 2020?")
    assert "5 و10 مليارات" in cited(answer)
    assert next(s.text for s in answer.statements if s.kind == "frame") == "A document in Arabic says:"


def test_an_arabic_question_finds_the_english_sentence_and_says_so_in_arabic(chatbot):
    answer = chatbot.ask("متى ترسل رسالة الترحيب بعد الاشتراك في البريد الإلكتروني؟")
    assert "within one hour" in cited(answer)
    assert next(s.text for s in answer.statements if s.kind == "frame") == "جاء في مستند بالإنجليزية:"


def test_a_question_for_a_list_gets_the_whole_list(chatbot):
    answer = chatbot.ask("What mistakes should I avoid in email marketing?")
    items = [statement.text for statement in answer.statements if statement.kind == "item"]
    assert items == [
        "Buying address lists.",
        "Hiding the unsubscribe link.",
        "Writing subject lines that promise too much.",
    ]


@pytest.mark.parametrize(
    "question",
    ["What is the capital of Mongolia?", "ما هي عاصمة منغوليا؟", "كيف أطبخ المقلوبة؟", "Who won the 1998 world cup?"],
)
def test_what_no_document_says_is_refused_in_the_language_of_the_question(chatbot, question):
    answer = chatbot.ask(question)
    assert answer.abstained
    assert answer.citations == ()
    assert 0 < len(answer.hits) <= 3
    expected = "I did not find" if question.isascii() else "لم أجد"
    assert answer.text.startswith(expected)


def test_every_answer_keeps_its_promises_at_every_step_of_the_stream(chatbot):
    documents = chatbot.retriever.snapshot().generation.documents
    for question in ("What mistakes should I avoid in email marketing?", "ما هو تسويق المؤثرين؟", "ما هو القمر؟"):
        steps = list(chatbot.stream(question))
        for before, after in zip(steps, steps[1:], strict=False):
            assert after.statements[: len(before.statements)] == before.statements
            assert after.citations[: len(before.citations)] == before.citations
        for step in steps:
            verify(step, documents)
        assert steps[-1].text == chatbot.ask(question).text


def test_the_threshold_can_be_set(chatbot):
    never = Chatbot(chatbot.retriever, config=AnswerConfig(threshold=0.0))
    always = Chatbot(chatbot.retriever, config=AnswerConfig(threshold=1.0))
    assert not never.ask("What is the capital of Mongolia?").abstained
    assert always.ask("What is email marketing?").abstained


@pytest.mark.parametrize("question", ["", "   \n", "\u200f"])
def test_an_empty_question_is_a_clear_error(chatbot, question):
    with pytest.raises(ValueError, match="the question is empty"):
        chatbot.ask(question)


def test_a_question_too_long_is_a_clear_error(chatbot):
    with pytest.raises(ValueError, match=r"has 4,001 characters; ask in at most 4,000"):
        chatbot.ask("a" * 4_001)


@pytest.mark.parametrize("question", ["؟", "12345", "🤖🤖", "a\x00b\ud800c", "؟؟؟ !!!", "word " * 700])
def test_odd_questions_are_answered_or_refused_but_never_fail(chatbot, question):
    answer = chatbot.ask(question)
    assert answer.statements


def test_a_follow_up_is_answered_with_what_the_conversation_means(chatbot):
    first = chatbot.ask("What is email marketing?")
    assert first.query == first.question
    second = chatbot.ask("Which mistakes should I avoid?", [first])
    assert "email marketing" in second.query and second.question == "Which mistakes should I avoid?"
    assert "Buying address lists." in cited(second)
    other = chatbot.ask("كم حجم سوق تسويق المؤثرين؟", [first, second])
    assert other.query == other.question
    arabic = chatbot.ask("وما مخاطره؟", [other])
    assert (arabic.language, "تسويق المؤثرين" in arabic.query) == ("ar", True)
    assert "ثقة الناس في المؤثر" in cited(arabic)
    assert [*chatbot.stream("وما مخاطره؟", [other])][-1].query == arabic.query


def test_a_follow_up_keeps_the_language_it_was_asked_in(chatbot):
    first = chatbot.ask("ما هو تسويق المؤثرين؟")
    assert chatbot.ask("What are its risks?", [first]).language == "en"
