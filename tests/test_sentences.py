import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.text.blocks import split_blocks
from rag.text.sentences import split_sentences


def sentences(text):
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    "expected",
    [
        # Each list is one text, its sentences joined by a space.
        ["About 80% of people shop online.", "However, they differ."],
        ["ما الفرق بينهما؟", "الأول أعم!", "والثاني أحدث."],
        ["یہ کیا ہے؟", "یہ ایک جملہ ہے۔", "دوسرا جملہ۔"],
        ["Growth was 44.7% in 2020.", "It cost 1.5 million."],
        ["بلغت النسبة 44.7% بنهاية عام 2020.", "ثم ارتفعت إلى 5.2 مليار."],
        ["Dr. Smith and Mrs. Jones met J. R. Green.", "They talked."],
        ["Use channels, e.g. email or ads, i.e. paid media.", "Then measure."],
        ["The U.S. market grew.", "Sales in the U.S.", "The rest fell."],
        ["Apple Inc. announced it at 5 p.m. on Monday.", "Nobody came."],
        ["See No. 5 and fig. 3 on p. 12.", "He said no.", "Then he left."],
        ["قال د. محمد وأ.د. سالم ذلك.", "ووافقه آخرون."],
        ["حدث ذلك عام 2020 م.", "ثم تغير كل شيء."],
        ["تعزيز علاقاته معهم.[٦]", "وهذا مهم. [12][أ]".replace("[أ]", "[13]"), "انتهى."],
        ['He said "it works."', "She agreed (at last.)", "Good."],
        ["وصفها بأنها «ناجحة.»", "ثم مضى."],
        ["Really?!", "Yes..."],
        ["التسويق المتنوع.. المميزات والاستراتيجيات"],
        ["استخدام تقنيات الواقع الافتراضي (VR) .. الخ.", "وبعد ذلك."],
        ["شاهد نص العرض ... إلخ ثم انتقل."],
        ["Well... it depends."],
        ["Well...", "It depends."],
        ["Contact us at info@example.com or www.example.com today.", "Thanks."],
        ["iPhone sales rose by approx. 5 percent vs. last year."],
        ["Do this: 1. Plan.", "2. Act.", "Then rest."],
        ["من هو المسوق الرقمي ؟", "ومن هو المسوق الالكتروني ؟"],
        ["यह एक वाक्य है।", "यह दूसरा है।"],
    ],
)  # fmt: skip
def test_splits(expected):
    assert sentences(" ".join(expected)) == expected


def test_no_space_is_needed_where_a_script_has_none():
    assert sentences("这是第一句。这是第二句！对吗？") == ["这是第一句。", "这是第二句！", "对吗？"]


def test_a_forgotten_space_in_arabic():
    assert sentences("الترويج والتحليل التسويقي.لذلك تختلف المستويات.") == [
        "الترويج والتحليل التسويقي.",
        "لذلك تختلف المستويات.",
    ]
    assert sentences("زر موقع.كوم أو أ.د.محمد اليوم") == ["زر موقع.كوم أو أ.د.محمد اليوم"]


def test_blocks_are_borders():
    text = (
        "A heading\n\nFirst line without stop\n- one item\n- two items. With two sentences\n3. third\nname | value. x"
    )
    assert sentences(text) == [
        "A heading",
        "First line without stop",
        "one item",
        "two items.",
        "With two sentences",
        "3. third",
        "name | value. x",
    ]


def test_lines_wrapped_at_a_width_are_one_paragraph():
    text = (
        "Digital marketing covers every channel that reaches a\n"
        "customer through a screen. It is measured by the week and\n"
        "planned by the month, in most of the companies asked."
    )
    assert sentences(text) == [
        "Digital marketing covers every channel that reaches a\ncustomer through a screen.",
        "It is measured by the week and\nplanned by the month, in most of the companies asked.",
    ]


def test_short_lines_are_not_joined():
    text = "سوشيال ميديا\nPPC\nSEO\nDatabases Analysis\nWeb back-end analysis of the site and its visitors"
    assert sentences(text) == text.split("\n")


def test_an_indented_line_continues_its_item():
    assert sentences("- an item that goes on\n  in the next line\n- next") == [
        "an item that goes on\n  in the next line",
        "next",
    ]


def test_ornaments_are_no_sentence():
    assert sentences("-----\n* * *\n\nText.\n\n•") == ["Text."]


@pytest.mark.parametrize(
    ("line", "content"),
    [
        ("- one", "one"), ("• التسويق", "التسويق"), ("1. one", "one"), ("12) one", "one"), ("1- الأول", "الأول"),
        ("١. الأول", "الأول"), ("1-الأول", "الأول"), ("(2) two", "two"), ("a) one", "one"), ("أ- الأول", "الأول"),
        ("-5 degrees", None), ("2020. A year", None), ("3.5 percent", None), ("A. Smith", None), ("-", None),
    ],
)  # fmt: skip
def test_list_marks(line, content):
    (block,) = split_blocks(line)
    assert (block.kind == "item") == (content is not None)
    assert line[block.content_start :] == (content or line)


ANY = st.text(st.sampled_from('ab A.!?؟ \n\r\t-•1٢.|()[]"«»جملة。字…:,é\u0301\u2028'), max_size=120) | st.text(
    max_size=60
)


@settings(max_examples=300)
@given(ANY)
def test_spans_are_ordered_trimmed_and_hold_every_word(text):
    covered = 0
    for start, end in split_sentences(text):
        assert start >= covered
        assert text[start:end] == text[start:end].strip() != ""
        assert not any(map(str.isalpha, text[covered:start])) or _only_marks(text[covered:start])
        covered = end
    assert not any(map(str.isalpha, text[covered:])) or _only_marks(text[covered:])


def _only_marks(gap):
    """A list mark of one letter ("a) ") may be left out as a bullet is."""
    return max(len(word) for word in gap.split()) <= 3


@given(ANY)
def test_blocks_hold_everything_but_white_space(text):
    covered = 0
    for block in split_blocks(text):
        assert not text[covered : block.start].strip()
        assert covered <= block.start <= block.content_start < block.end
        assert text[block.start : block.end] == text[block.start : block.end].strip()
        covered = block.end
    assert not text[covered:].strip()


@pytest.mark.parametrize(
    "unit", [".", ". ", "a. ", "د. ", "word ", "..a", '."', "[1]", "- a\n", "( ", "1. ", "؟", "a\n"]
)
def test_time_grows_linearly(unit):
    def seconds(length):
        text = unit * (length // len(unit))
        begin = time.process_time()
        split_sentences(text)
        return time.process_time() - begin

    seconds(1_000)
    short, long = (min(seconds(length) for _ in range(3)) for length in (10_000, 100_000))  # a busy machine only adds
    assert long < 10 * 2.5 * max(short, 0.002)
