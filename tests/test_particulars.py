"""What a question is about in particular, and that a text about another particular does not answer it."""

import pytest

from rag.answering.abstention import answerability_features
from rag.answering.evidence import Candidate, TermMatcher
from rag.answering.model import ANSWER_FEATURES, UNIT_FEATURES
from rag.answering.particulars import particulars
from rag.answering.question import understand
from rag.answering.quotes import Unit, UnitKind
from rag.datatypes import Hit, Passage
from rag.text import detect_language, fold_text
from rag.text.places import place_at


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("كم يبلغ راتب المسوّق الرقمي في دبي؟", [("دب",)]),
        ("ما عقوبة الاحتيال في القانون الأردني؟", [("اردن",)]),
        ("كم تبلغ الرسوم في الإمارات العربية المتحدة؟", [("امار", "عرب", "متحد")]),
        ("كم وصل حجم السوق عام ٢٠٢٤؟", [("2024",)]),
        ("ليش سكّروا الفرع اللي بموسكو؟", [("بموسكو",)]),
        ("متى تأسست Clever Real Estate؟", [("clever", "real", "estat")]),
        ("كيف نكتب خطة السنة المالية؟", []),  # "financial" is no Mali
        ("ما فائدة SEO و ROI؟", []),
        ("How many monthly users does TikTok have?", [("tiktok",)]),
        ("what is the fee in egypt in 2023?", [("egypt",), ("2023",)]),
        ("Does Saudi Arabia tax it? Money is tight. What now?", [("saudi", "arabia")]),
        ("What Is The Most Common Mistake Of Shops?", []),
        ("How many of the 50 steps matter?", []),
    ],
)
def test_years_places_and_names_are_particulars(question, found):
    language = detect_language(question)
    assert [each.terms for each in particulars(question, language)] == found


@pytest.mark.parametrize(
    ("text", "at", "n"),
    [
        ("التسويق في الأردن", 2, 1),
        ("شركات مصرية ناشئة", 1, 1),
        ("وبالسعودية أيضا", 0, 1),
        ("in the united arab emirates", 2, 3),
        ("الميزانية المالية", 1, 0),  # not Mali
        ("الرياضة والصحة", 0, 0),  # not Riyadh
        ("jordan", 0, 1),
    ],
)
def test_a_place_is_found_with_what_arabic_writes_onto_it(text, at, n):
    assert place_at(fold_text(text).split(), at)[0] == n


def features(question: str, text: str) -> dict[str, float]:
    asked = understand(question)
    language = detect_language(text)
    translations = {("مصر", "en"): [("egypt", 0.9)], ("egypt", "ar"): [("مصر", 0.9)]}
    matcher = TermMatcher(asked, lambda term, language: 1.0, lambda term, a, b: translations.get((term, b), ()))
    passage = Passage("a.md", 0, len(text), text, language, "")
    numbers = (0.0,) * len(UNIT_FEATURES)
    candidate = Candidate(Hit(passage, 1.0, 1), Unit(0, len(text), UnitKind.SENTENCE), text, numbers, 0.5)
    row = answerability_features(asked, [candidate], matcher)
    return dict(zip(ANSWER_FEATURES, row, strict=True))


@pytest.mark.parametrize(
    ("feature", "question", "text", "lacks"),
    [
        ("lacks_particular", "What share of people in Egypt shop online?", "In Spain 80 % of people shop online.", 1.0),
        ("lacks_particular", "What share of people in Egypt shop online?", "In Egypt 8 % of people shop online.", 0.0),
        (
            "lacks_particular",
            "What share of people in Egypt shop online?",
            "يشتري 8 % من الناس في مصر عبر الشبكة.",
            0.0,
        ),
        ("lacks_particular", "ما نسبة من يشترون في مصر؟", "In Egypt 8 % of people shop online.", 0.0),
        ("lacks_particular", "ما نسبة من يشترون في مصر؟", "In Spain 80 % of people shop online.", 1.0),
        (
            "lacks_particular",
            "كم شركة في موسكو؟",
            "There are ten firms in Moscow.",
            0.0,
        ),  # by the table: no dictionary here has it
        ("lacks_particular", "ما ضريبة المملكة العربية السعودية؟", "A tax of 15 % is due in Saudi Arabia.", 0.0),
        ("lacks_particular", "How many Americans shop online?", "In America 80 % of people shop online.", 0.0),
        ("lacks_particular", "How large was it in 2024?", "It was large in 2020.", 1.0),
        ("lacks_particular", "What share of people shop online?", "In Spain 80 % of people shop online.", 0.0),
        ("lacks_figure", "How many people shop online?", "Many people do.", 1.0),
        ("lacks_figure", "How many people shop online?", "Eighty do.", 0.0),
        ("lacks_figure", "How often should we post?", "A small team posts daily.", 0.0),
        ("lacks_figure", "كم مرة ننشر؟", "انشر مرتين.", 0.0),
        ("lacks_figure", "كم نوعًا للمؤثرين؟", "هم خمسة أنواع.", 0.0),
        ("lacks_figure", "كم نوعًا للمؤثرين؟", "أنواعهم كثيرة.", 1.0),
        ("lacks_figure", "متى نحتاج برنامجًا؟", "عندما يكثر العملاء.", 0.0),
        ("lacks_figure", "When was the firm founded?", "The firm sells houses.", 1.0),
        ("lacks_figure", "Why do people shop online?", "Many people do.", 0.0),
    ],
)
def test_a_text_lacks_the_questions_particular_or_the_figure_it_asks_for(feature, question, text, lacks):
    assert features(question, text)[feature] == lacks
