import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.text.language import detect_language, direction, script


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("ما هو التسويق الرقمي؟", "ar"),
        ("ازاي اعمل حملة على الفيسبوك", "ar"),
        ("تسويق", "ar"),
        ("ﺍﻟﺘﺴﻮﻳﻖ", "ar"),
        ("چت جي بي تي", "ar"),
        ("بازاریابی دیجیتال چیست؟", "fa"),
        ("ڈیجیٹل مارکیٹنگ کیا ہے؟", "ur"),
        ("What is social commerce?", "en"),
        ("marketing", "en"),
        ("content marketing strategy", "en"),
        ("ROI", "en"),
        ("Was ist Marketing?", "de"),
        ("¿Qué es el marketing digital?", "es"),
        ("Qu'est-ce que le marketing d'influence ?", "fr"),
        ("Dijital pazarlama nedir?", "tr"),
        ("Что такое цифровой маркетинг?", "ru"),
        ("什么是数字营销?", "zh"),
        ("デジタルマーケティングとは何ですか", "ja"),
        ("디지털 마케팅이란", "ko"),
        ("डिजिटल मार्केटिंग क्या है", "hi"),
        ("מהו שיווק דיגיטלי", "he"),
        ("การตลาดดิจิทัลคืออะไร", "th"),
        ("", "und"),
        ("2020 – 44.7% !?", "und"),
    ],
)
def test_detects(text, language):
    assert detect_language(text) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("ما هو SEO؟", "ar"),
        ("ما هو Social Media Marketing", "ar"),
        ("What does the word تسويق mean in this text?", "en"),
        ("بازاریابی Google Analytics چیست", "fa"),
    ],
)
def test_mixed_text_is_in_the_language_that_asks(text, language):
    assert detect_language(text) == language


def test_vowel_signs_do_not_multiply_words():
    assert detect_language("In this text the Arabic word التَّسْوِيقُ means marketing") == "en"


def test_diacritics_and_tatweel_do_not_hide_the_language():
    assert detect_language("مَا هُـــوَ التَّسْوِيقُ الرَّقْمِيُّ؟") == "ar"


def test_long_text_goes_to_the_model():
    polish = "Kampania reklamowa powinna mieć jasno określony cel, budżet oraz grupę odbiorców przed startem."
    assert detect_language(polish) == "pl"
    assert detect_language(polish * 1000) == "pl"


def test_addresses_do_not_decide():
    text = "Die Kampagne beginnt im Mai. https://www.example.com/what-is-the-best-way-to-do-this-and-that-for-you"
    assert detect_language(text) == "de"


@given(st.text())
def test_every_text_gets_a_code(text):
    assert detect_language(text) == detect_language(text)
    assert len(detect_language(text)) in (2, 3)


def test_direction():
    assert [direction(code) for code in ("ar", "AR-eg", "fa_IR", "he", "ur")] == ["rtl"] * 5
    assert [direction(code) for code in ("en", "und", "", "arn", "zh")] == ["ltr"] * 5


def test_script():
    assert script("ar") == script("fa") != script("en") == script("de") != script("ru") == script("uk") != script("hi")
