"""Is a sentence supported by a quote? The rules one by one, and all of it on pairs written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.answering.facts import Matcher, contradiction
from rag.answering.quantities import numbers, pieces_of
from rag.answering.support import support
from rag.dictionary import default_dictionary
from rag.embedder import Embedder
from rag.text import detect_language

PAIRS = Path(__file__).parent / "questions" / "support.jsonl"


def broken(sentence: str, quote: str) -> str:
    matcher = Matcher.of(quote, detect_language(quote), default_dictionary().translate)
    return contradiction(sentence, quote, detect_language(sentence), matcher)


@pytest.mark.parametrize(
    ("sentence", "quote", "rule"),
    [
        ("It has 1,200 rooms.", "It has 1200 rooms.", ""),
        ("It has ١٬٢٠٠ rooms.", "It has 1200 rooms.", ""),
        ("It has 1.200.000 rooms.", "It has 1,200,000 rooms.", ""),
        ("It has 1.2 million rooms.", "It has 1,200,000 rooms.", ""),
        ("It has 1.2 million rooms.", "It has 1.2 billion rooms.", "number"),
        ("It costs forty-two dollars.", "It costs 42 dollars.", ""),
        ("السعر خمسة وعشرون دولارا.", "السعر 25 دولارا.", ""),
        ("السعر خمسة وثلاثون دولارا.", "السعر 25 دولارا.", "number"),
        ("عدد الغرف أحد عشر ألفا.", "عدد الغرف ١٢٠٠٠.", "number"),
        ("بلغت الأرباح مليوني دولار.", "Profits reached 2 million dollars.", ""),
        ("It grew by 5%.", "It grew by 5 percent.", ""),
        ("نما بنسبة ٥٪.", "It grew by 5 per cent.", ""),
        ("نما بنسبة 5 في المئة.", "نما بنسبة 5 بالمائة.", ""),
        ("It grew by 5%.", "It grew by 5 points.", "number"),
        ("It takes 3 to 4 million.", "It takes 3 to 4 million.", ""),
        ("Between 5 and 10 million.", "Between 5 and 10 billion.", "number"),
        ("It takes two days.", "يستغرق يومين.", ""),
        ("It takes three days.", "يستغرق يومين.", "number"),
    ],
)
def test_numbers_may_be_written_differently_but_not_changed(sentence, quote, rule):
    assert broken(sentence, quote) == rule


TWO = "The battery lasts 7 years.\nThe frame lasts 9 years."
PLANS = "The Pro plan, aimed at agencies, costs 5 dollars a month per user, the Team plan 9 dollars."
SALES = "In 2019 it sold 5 tons, and in 2021 9 tons."


@pytest.mark.parametrize(
    ("sentence", "quote", "rule"),
    [
        ("The battery lasts 9 years.", TWO, "number"),
        ("The frame lasts 9 years.", TWO, ""),
        ("The battery lasts 7 years and the frame 9 years.", TWO, ""),
        ("The battery lasts 9 years.", "The battery lasts 7 years, the frame 9 years.", "number"),
        ("The frame lasts 9 years.", "The battery lasts 7 years, the frame 9 years.", ""),
        ("تدوم البطارية 9 سنوات.", TWO, "number"),
        ("تدوم البطارية 7 سنوات.", TWO, ""),
        ("تكفي البطارية الكبيرة 9 سنوات.", "تكفي البطارية الكبيرة 7 سنوات، ويصمد الهيكل 9 سنوات.", "number"),
        ("يصمد الهيكل 9 سنوات.", "تكفي البطارية الكبيرة 7 سنوات، ويصمد الهيكل 9 سنوات.", ""),
        ("The Team plan costs 9 dollars a month per user.", PLANS, ""),
        ("In 2021 it sold 9 tons.", SALES, ""),
        ("In 2021 it sold 5 tons.", SALES, "number"),
        ("The guild was founded in 1990.", "The guild was founded in 1870. The school opened in 1990.", "number"),
    ],
)
def test_a_number_stays_with_what_it_counts(sentence, quote, rule):
    assert broken(sentence, quote) == rule


@pytest.mark.parametrize(
    ("sentence", "quote", "rule"),
    [
        ("It opened on 3 May 2010.", "It opened on May 3, 2010.", ""),
        ("It opened on 3 May 2010.", "It opened on 3 June 2010.", "date"),
        ("افتتح في 3 مايو 2010.", "It opened on 3 May 2010.", ""),
        ("افتتح في 3 أيار 2010.", "افتتح في 3 مايو 2010.", ""),
        ("It opened in May 2010.", "It opened on 2010-05-03.", ""),
        ("It may rain.", "It may rain in June.", ""),
        ("Wait 3 days.", "Wait 3 hours.", "unit"),
        ("انتظر 3 أسابيع.", "Wait 3 weeks.", ""),
        ("انتظر 3 أشهر.", "Wait 3 weeks.", "unit"),
        ("It costs 3 euros.", "It costs 3 dollars.", "unit"),
        ("It costs $3.", "يكلف 3 دولارات.", ""),
    ],
)
def test_dates_and_units_may_not_be_changed(sentence, quote, rule):
    assert broken(sentence, quote) == rule


@pytest.mark.parametrize(
    ("sentence", "quote", "rule"),
    [
        ("Sarah Mansour signs.", "سارة منصور توقع.", ""),
        ("Khalid Otaibi signs.", "سارة منصور توقع.", "name"),
        ("Google bought it.", "Facebook bought it.", "name"),
        ("تستخدم الشركة Google Ads.", "The company uses Google Ads.", ""),
        ("تستخدم الشركة Facebook.", "The company uses Google Ads.", "name"),
        ("The NATO summit ended.", "The WHO summit ended.", "name"),
        ("Companies sign.", "Many companies sign.", ""),
        ("تأسست سابك.", "تأسست أرامكو.", "name"),
    ],
)
def test_names_may_change_their_script_but_not_their_bearer(sentence, quote, rule):
    assert broken(sentence, quote) == rule


@pytest.mark.parametrize(
    ("sentence", "quote", "rule"),
    [
        ("Reach depends on luck.", "Reach does not depend on luck.", "negation"),
        ("Reach doesn't depend on luck.", "Reach does not depend on luck.", ""),
        ("Reach never depends on luck.", "Reach depends on luck.", "negation"),
        ("لا يعتمد الوصول على الحظ.", "Reach depends on luck.", "negation"),
        ("Success is planning.", "Success is not luck but planning.", ""),
        ("حضر ثلاثة فقط.", "لم يحضر سوى ثلاثة.", ""),
        ("Prices still rise.", "لا تزال الأسعار ترتفع.", ""),
        ("Cats chase dogs.", "Dogs chase cats.", "order"),
        ("Dogs are chased by cats.", "Cats chase dogs.", ""),
        ("Gold is heavier than silver.", "Silver is heavier than gold.", "order"),
        ("الذهب أثقل من الفضة.", "Silver is heavier than gold.", "order"),
    ],
)
def test_negation_and_order_may_not_be_turned_round(sentence, quote, rule):
    assert broken(sentence, quote) == rule


def judged(sentence: str, quote: str, *, cosine: float = 0.9, context: str = ""):
    languages = {"language": detect_language(sentence), "quote_language": detect_language(quote)}
    return support(sentence, quote, cosine=cosine, context=context, **languages)


def test_a_sentence_without_content_is_not_supported():
    for sentence in ("", "Yes.", "It is.", "نعم.", "!!!"):
        assert not judged(sentence, "A campaign needs a plan.", cosine=1.0).is_supported


def test_the_subject_may_stand_in_the_heading_but_a_number_may_not():
    sentence, quote = "Email marketing reaches people who asked for it.", "It reaches people who asked for it."
    assert judged(sentence, quote, context="Email marketing").score > judged(sentence, quote).score
    assert judged("Instagram was bought.", "It was bought.", context="Instagram").broken_rule == ""
    assert judged("It was bought in 2012.", "It was bought.", context="2012").broken_rule == "number"


def test_what_the_score_is_made_of():
    found = judged("A campaign needs money.", "A campaign needs a plan.", cosine=0.5)
    assert found.score == pytest.approx((2 / 3 + 0.5) / 2)  # of campaign, needs and money the last is missing
    assert not found.is_supported


def test_half_of_the_pairs_are_supported_and_no_quote_is_in_both_halves():
    rows = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]
    assert len(rows) >= 120
    assert 0.4 < np.mean([row["supported"] for row in rows]) < 0.6
    quotes = {split: {row["quote"] for row in rows if row["split"] == split} for split in ("choose", "report")}
    assert not quotes["choose"] & quotes["report"]
    assert len({(row["sentence"], row["quote"]) for row in rows}) == len(rows)


def test_the_pairs_are_told_apart():
    rows = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]
    embedder = Embedder.open()
    sentences = embedder.encode_queries([row["sentence"] for row in rows])
    quotes = embedder.encode_passages([row["quote"] for row in rows])
    right: dict[str, list[bool]] = {"choose": [], "report": []}
    accepted: dict[str, list[bool]] = {"choose": [], "report": []}
    for row, cosine in zip(rows, np.sum(sentences * quotes, axis=1), strict=True):
        found = judged(row["sentence"], row["quote"], cosine=float(cosine)).is_supported
        right[row["split"]].append(found == row["supported"])
        if found:
            accepted[row["split"]].append(row["supported"])
    assert np.mean(right["choose"]) >= 0.95
    assert np.mean(right["report"]) >= 0.87  # measured: 0.893
    assert np.mean(accepted["report"]) >= 0.95  # measured: 1.0


@pytest.mark.parametrize(
    "text", ["9 - -", "3 / / 4", "5 و و", "7 إلى", "፩ kettles", "𐩀 - 3", "۵ - ۶", "²-³", "1.2.3,,4"]
)
def test_numbers_of_every_shape_and_script_are_read_or_passed_over(text):
    list(numbers(pieces_of(text)))
    support(f"It is {text}.", f"The kettle {text} is blue.", cosine=0.9, language="en", quote_language="en")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="09.,-/و٣፩²% إلى to$x", max_size=12))
def test_no_text_of_digits_and_signs_ends_in_an_exception(text):
    list(numbers(pieces_of(text)))
