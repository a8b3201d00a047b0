import string
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.text.fold import fold, fold_text, for_embedder

EVERYTHING = st.text(st.characters(), max_size=40)  # lone surrogates included
TRICKY = st.lists(
    st.sampled_from(
        [
            *"ﻻﷺـاأإآٱةىيکی٤۷ßİIıéΣςёйЙ한가ﬁ½²'’ \n",
            "e\u0301",
            "и\u0306",
            "بّ",
            "\u1112\u1161\u11ab",
            "\u1161",
            "ㄱ",
            "㉠",
        ]
        + ["\u200b", "\u200d", "\u202e", "\u2069", "\ufeff", "\U000e0041", "\ud83d", "ﹰ", "ﹷ", "क़", "が", "ﾞ", "👩🏽"]
    ),
    max_size=12,
).map("".join)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ﻻ", "لا"),
        ("ﷺ", "صلي الله عليه وسلم"),
        ("كـــتـــاب", "كتاب"),
        ("مُحَمَّدٌ", "محمد"),
        ("رحمٰن", "رحمن"),
        ("أإآٱا", "ااااا"),
        ("مدرسة على", "مدرسه علي"),
        ("مسؤول شيئًا", "مسوول شييا"),
        ("ا\u0654", "ا"),  # a combining hamza
        ("ﺍﻟﺘﺴﻮﻳﻖ", "التسويق"),
        ("ﹰﹷ", ""),  # vowel signs as characters of their own
        ("کتابی ہے", "كتابي هي"),
        ("٤٤٫٧٪ ۱۲", "44.7% 12"),
        ("\u202eabc\u202c \u2066x\u2069", "abc x"),
        ("می\u200cخواهم a\u200bb\ufeff", "ميخواهم ab"),
        ("x\U000e0041\U000e007fy", "xy"),
        ("a\ud83db", "a\ufffdb"),
        ("Café CAFE\u0301", "cafe cafe"),
        ("İSTANBUL ısı", "istanbul isi"),
        ("Straße", "strasse"),
        ("ΣΊΣΥΦΟΣ ς", "σισυφοσ σ"),
        ("Ёлка й и\u0306 Ї", "елка й й ї"),
        ("हिन्दी", "हिन्दी"),
        ("ﬁn² Ａ", "fin2 a"),
        ("don’t – “so”", 'don\'t - "so"'),
        ("\u1112\u1161\u11ab국", "한국"),
        ("", ""),
    ],
)
def test_folds(text, folded):
    assert fold_text(text) == folded
    assert fold(text).text == folded


def test_offsets_lead_back_through_a_change_of_length():
    folded = fold("قال ﷺ سﻻم")
    assert folded.text == "قال صلي الله عليه وسلم سلام"
    word = folded.text.index("عليه")
    assert folded.to_original(word, word + 4) == (4, 5)
    assert folded.to_original(folded.text.index("سلام"), len(folded.text)) == (6, 9)
    half = folded.text.index("لام")
    assert folded.source[slice(*folded.to_original(half, half + 1))] == "ﻻ"


@pytest.mark.parametrize(
    ("text", "query", "shown"),
    [
        ("هذا مُحَمَّدٌ هنا", "محمد", "مُحَمَّدٌ"),
        ("كتـــاب جديد", "كتاب", "كتـــاب"),
        ("قلمـــ هنا", "قلم", "قلمـــ"),
        ("au cafe\u0301\u202c.", "cafe", "cafe\u0301"),
        ("الكتاب\u200f.", "كتاب", "كتاب"),
    ],
)
def test_highlights_take_whole_letters_and_no_control_after_them(text, query, shown):
    folded = fold(text)
    start = folded.text.index(query)
    first, last = folded.to_original(start, start + len(query))
    assert text[first:last] == shown


def test_what_is_dropped_does_not_bring_its_neighbours_together():
    for text in ("\u1112\u200b\u1161", "и\u200b\u0306", "\u3131\u200b\u1161", "㉠\u1161"):
        assert fold_text(fold_text(text)) == fold_text(text)


def test_an_empty_span_stays_empty():
    assert fold("ﷺ").to_original(3, 3) == (0, 0)
    assert fold("ab").to_original(2, 2) == (2, 2)


@pytest.mark.parametrize("span", [(-1, 0), (2, 1), (0, 3)])
def test_a_span_outside_the_text_is_refused(span):
    with pytest.raises(ValueError, match="outside the folded text of 2"):
        fold("ab").to_original(*span)


@settings(max_examples=300)
@given(st.one_of(EVERYTHING, TRICKY))
def test_the_map_is_monotone_and_in_range(text):
    folded = fold(text)
    assert len(folded.offsets) == len(folded.text) + 1
    assert folded.offsets[-1] == len(text)
    assert list(folded.offsets) == sorted(folded.offsets)
    assert all(0 <= offset < len(text) for offset in list(folded.offsets)[:-1])
    # Each character is the folding of the one it came from, save where two were composed first.
    for position in range(len(folded.text)):
        start, end = folded.to_original(position, position + 1)
        assert folded.text[position] in fold_text(text[start:end]) or text[start] in "иИіІ\u1161" or "ᄀ" <= text[start]


@settings(max_examples=300)
@given(st.one_of(EVERYTHING, TRICKY))
def test_folding_again_changes_nothing(text):
    once = fold_text(text)
    assert fold_text(once) == once
    assert fold(text).text == once


@given(st.one_of(EVERYTHING, TRICKY), st.integers(0, 40), st.integers(0, 40))
def test_spans_nest(text, a, b):
    folded = fold(text)
    start, end = sorted((min(a, len(folded.text)), min(b, len(folded.text))))
    first, last = folded.to_original(start, end)
    assert 0 <= first <= last <= len(text)
    assert first <= folded.to_original(start, len(folded.text))[0] or start == len(folded.text)
    if start < end:
        assert last > first
        assert folded.text[start:end] in fold_text(text[first:last]) or not unicodedata.is_normalized("NFC", text)


def test_every_character_folds_to_a_fixed_point_that_can_be_encoded():
    for block in (range(0x3400), range(0xA000, 0x11000), range(0x1D400, 0x1D800), range(0xE0000, 0xE0200)):
        for code in block:
            folded = fold_text(chr(code))
            folded.encode()
            assert fold_text(folded) == folded


@given(st.text(string.printable))
def test_ascii_only_loses_its_case(text):
    assert fold_text(text) == text.lower()


@pytest.mark.parametrize(
    ("typed", "seen"),
    [
        ("السُّلَّمُ", "السلم"),
        ("مرحبـــا", "مرحبا"),
        ("\ufee3\ufeae\ufea3\ufe92\ufe8e", "مرحبا"),
        ("\ufefb", "لا"),
        ("\ufee3\ufe70\ufeae\ufe7e\ufeae\ufc60", "مرر"),  # signs that Unicode sets on a space of their own
        ("plain ½ … café", "plain ½ … café"),
        ("\ud800\x00x", "  x"),
        ("ـ\u064e", ""),
    ],
)
def test_an_embedder_sees_one_spelling_of_arabic(typed, seen):
    assert for_embedder(typed) == seen
