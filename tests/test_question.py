import pytest

from rag.answering.question import QuestionKind, understand


@pytest.mark.parametrize(
    ("text", "language", "kind"),
    [
        ("ما الفرق بين التسويق الرقمي والإلكتروني؟", "ar", QuestionKind.COMPARISON),
        ("ايه الفرق بين السوشيال كوميرس والسوشيال ماركتنج؟", "ar", QuestionKind.COMPARISON),
        ("How does email differ from paid ads?", "en", QuestionKind.COMPARISON),
        ("كم يبلغ حجم سوق تسويق المؤثرين؟", "ar", QuestionKind.QUANTITY),
        ("ما حجم سوق تسويق المؤثرين المتوقع بنهاية عام 2020؟", "ar", QuestionKind.QUANTITY),
        ("بكام الإعلان الممول؟", "ar", QuestionKind.QUANTITY),
        ("What percentage of marketers find it effective?", "en", QuestionKind.QUANTITY),
        ("متى ظهر تسويق المؤثرين؟", "ar", QuestionKind.TIME),
        ("إمتى أبعت الإيميل؟", "ar", QuestionKind.TIME),
        ("When did it start?", "en", QuestionKind.TIME),
        ("لماذا تفشل الحملات؟", "ar", QuestionKind.REASON),
        ("ليش الناس ما تثق بالإعلانات؟", "ar", QuestionKind.REASON),
        ("Why do campaigns fail?", "en", QuestionKind.REASON),
        ("ما هي خطوات التخطيط لحملة؟", "ar", QuestionKind.LIST),
        ("What are the steps of a campaign?", "en", QuestionKind.LIST),
        ("إزاي أحدد الميزانية؟", "ar", QuestionKind.METHOD),
        ("شلون أعرف الحساب الوهمي", "ar", QuestionKind.METHOD),
        ("How do I set a budget?", "en", QuestionKind.METHOD),
        ("من هو المسوق الرقمي؟", "ar", QuestionKind.PERSON),
        ("مين المؤثر؟", "ar", QuestionKind.PERSON),
        ("Who is a digital marketer?", "en", QuestionKind.PERSON),
        ("هل يغني التسويق الرقمي عن التقليدي؟", "ar", QuestionKind.YES_NO),
        ("Is SEO part of digital marketing?", "en", QuestionKind.YES_NO),
        ("ما هو التسويق الاجتماعي؟", "ar", QuestionKind.DEFINITION),
        ("شو يعني تجارة اجتماعية", "ar", QuestionKind.DEFINITION),
        ("What is social commerce?", "en", QuestionKind.DEFINITION),
        ("التسويق", "ar", QuestionKind.OTHER),
    ],
)
def test_a_question_is_understood_by_language_and_kind(text, language, kind):
    question = understand(f"  {text} ")
    assert (question.text, question.language, question.kind) == (text, language, kind)


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        (
            "What is the difference between social commerce and social marketing?",
            ("social commerce", "social marketing"),
        ),
        ("ما الفرق بين التسويق الرقمي والتسويق التقليدي؟", ("التسويق الرقمي", "التسويق التقليدي")),
        ("الفرق بين المسوق الرقمي وبين المسوق الإلكتروني", ("المسوق الرقمي", "المسوق الإلكتروني")),
        ("How does SEO differ from paid ads?", ("SEO", "paid ads")),
        ("email versus SMS", ("email", "SMS")),
        ("ما التسويق؟", ()),
    ],
)
def test_a_comparison_names_its_sides(text, sides):
    assert understand(text).sides == sides
