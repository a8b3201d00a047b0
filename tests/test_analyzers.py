import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag.text.analyzers import Token, analyze, content_terms, terms, whole_words
from rag.text.fold import fold_text


def test_tokens_point_at_the_letters_the_reader_sees():
    text = "قال المُسَوِّقون: 1,000 زيارة!"
    tokens = analyze(text, "ar")
    assert [text[t.start : t.end] for t in tokens] == ["قال", "المُسَوِّقون", "1,000", "زيارة"]
    assert tokens[1] == Token("مسوق", 4, 16)
    assert tokens[2].term == "1000"


@pytest.mark.parametrize(
    "family",
    [
        "كتاب الكتاب والكتاب بالكتاب للكتاب كتابها",
        "المسوق والمسوقون للمسوقين المسوقة",
        "حملة حملات الحملات والحملة حملاتها",
        "مُحمَّد محمد مـحـمـد ﻣﺤﻤﺪ",
        "إعلان اعلان أعلان",
        "رقمي رقمى الرقمية رقميه",
    ],
)
def test_forms_of_an_arabic_word_share_a_term(family):
    assert len(set(terms(family, "ar"))) == 1


@pytest.mark.parametrize("words", ["ال", "و", "وفد", "ولد", "الم", "ها", "ين", "لله"])
def test_short_arabic_words_keep_their_letters(words):
    (term,) = terms(words, "ar")
    assert len(term) >= min(2, len(words))


@pytest.mark.parametrize(
    ("language", "family"),
    [
        ("en", "campaign campaigns Campaign’s"),
        ("en", "market Markets MARKETED marketing"),
        ("fr", "campagne Campagnes CAMPAGNES"),
        ("de", "Häuser Hauses haus"),
        ("es", "canción canciones"),
        ("ru", "реклама рекламы рекламой"),
        ("tr", "İstanbul istanbul İSTANBUL"),
        ("tr", "kızlar KIZLAR"),
    ],
)
def test_snowball_languages(language, family):
    assert len(set(terms(family, language))) == 1


def test_a_word_is_stemmed_by_its_own_script():
    assert terms("حملات campaigns", "ar") == [*terms("حملات", "ar"), *terms("campaigns", "en")]
    assert terms("campaigns حملات", "en") == [*terms("campaigns", "en"), *terms("حملات", "ar")]


def test_scripts_without_spaces_become_bigrams():
    assert terms("数字营销", "zh") == ["数字", "字营", "营销"]
    assert terms("字", "zh") == ["字"]
    text = "做SEO吧"
    assert [(t.term, text[t.start : t.end]) for t in analyze(text, "zh")] == [
        ("做", "做"),
        ("seo", "SEO"),
        ("吧", "吧"),
    ]


def test_vowel_signs_stay_in_indic_words():
    assert len(terms("हिन्दी में", "hi")) == 2


def test_digits_of_all_scripts_are_one():
    assert terms("٢٠٢٠ ۲۰۲۰ 2020 २०२०", "und") == ["2020"] * 4
    assert terms("44.7% ٤٤٫٧٪", "ar") == ["44.7", "44.7"]
    assert terms("1,234,567 1,23", "en") == ["1234567", "1,23"]


def test_endless_words_are_cut():
    (term,) = terms("ا" * 100_000, "ar")
    assert len(term) <= 40
    (term,) = terms("x" * 100_000, "en")
    assert len(term) <= 40


@pytest.mark.parametrize(
    ("question", "language", "about"),
    [
        ("ما هو التسويق الرقمي؟", "ar", "التسويق الرقمي"),
        ("ايه هو التسويق الرقمي؟", "ar", "التسويق الرقمي"),
        ("عايز اعرف ازاي اخطط حملة", "ar", "اخطط حملة"),
        ("شنو هو السيو", "ar", "السيو"),
        ("وش يعني تسويق المؤثرين", "ar", "تسويق المؤثرين"),
        ("كيفاش ندير حملة ديال الإشهار", "ar", "ندير حملة الإشهار"),
        ("شو يعني ميزانية؟", "ar", "ميزانية"),
        ("ليش الشركات بتستخدم المؤثرين", "ar", "الشركات بتستخدم المؤثرين"),
        ("ومن هم المؤثرون؟ ولماذا؟", "ar", "المؤثرون"),
        ("كم ميزانية الحملة وما عدد المتابعين؟", "ar", "ميزانية الحملة عدد المتابعين"),
        ("لو سمحت اشرح لي معنى ROI", "ar", "ROI"),
        ("What is social commerce?", "en", "social commerce"),
        ("Can you please tell me how to plan a campaign", "en", "plan campaign"),
        ("What's the difference between SEO and ads?", "en", "difference SEO ads"),
        ("What does تسويق mean?", "en", "تسويق"),
        ("Was ist die Zielgruppe?", "de", "Zielgruppe"),
        ("ما هو؟", "ar", ""),
        ("what is it?", "en", ""),
        ("", "und", ""),
    ],
)
def test_content_terms(question, language, about):
    assert content_terms(question, language) == terms(about, language)


def test_content_terms_come_once():
    assert content_terms("campaign or campaigns, which campaign?", "en") == ["campaign"]


LANGUAGES = st.sampled_from(["ar", "en", "fr", "tr", "fa", "ur", "hi", "zh", "ru", "und", "xx"])
MIXED = st.text(st.sampled_from("abé'’ .,1٢كتابالمُــہ好が한हिŞİı\u200bﻻ"), max_size=60) | st.text(
    st.characters(), max_size=40
)


@settings(max_examples=300)
@given(MIXED, LANGUAGES)
@example("\u0939\u093f\u064f", "ar")  # a Hindi word with an Arabic diacritic, in Arabic text
def test_terms_are_those_of_analyze_and_lie_in_the_text(text, language):
    tokens = analyze(text, language)
    assert terms(text, language) == [token.term for token in tokens]
    assert [token.start for token in tokens] == sorted(token.start for token in tokens)
    for token in tokens:
        assert 0 <= token.start < token.end <= len(text)
        assert token.term
        assert fold_text(text[token.start : token.end]).strip()
        token.term.encode()


@pytest.mark.parametrize(
    ("text", "cut", "whole"),
    [
        ("غزا بــغورو البلاد", "غورو", "بــغورو"),
        ("امتيازاتهم قانونياً.", "قانونيا", "قانونياً"),
        ("in Manakintown, 1700", "Manakin", "Manakintown"),
        ("about 388,400 people", "8,4", "388,400"),
        ("ends here.[1][2]", "here", "here"),
        ("北京是中国的首都", "京是", "京是"),
        ("one two", " ", " "),
    ],
)
def test_a_span_is_widened_to_whole_words(text, cut, whole):
    start = text.index(cut)
    assert text[slice(*whole_words(text, start, start + len(cut)))] == whole
