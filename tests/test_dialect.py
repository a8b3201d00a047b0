"""Spoken Arabic and loanwords in questions, said as documents write them."""

from __future__ import annotations

import re

import pytest

from rag.text import fold_text
from rag.text.dialect import LEXICON, in_standard_arabic


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("ازاي أزود عدد الفولورز؟", "كيف أزيد عدد المتابعين؟"),
        ("شو الفرق بين الإعلان والبوست؟", "ما الفرق بين الإعلان والمنشور؟"),
        ("قديش حق الشحن؟", "كم سعر الشحن؟"),
        ("شلون أربط الحساب؟", "كيف أربط الحساب؟"),
        ("ليه الأكاونت اتقفل؟", "لماذا الحساب أغلق؟"),
        ("وين أغير الباسورد؟", "أين أغير كلمة المرور؟"),
    ],
)
def test_what_people_say_becomes_what_documents_write(spoken, written):
    said, wanted = (re.findall(r"\w+", fold_text(text)) for text in (in_standard_arabic(spoken), written))
    assert said[0] == wanted[0]
    assert len(set(said) & set(wanted)) >= len(wanted) - 1


@pytest.mark.parametrize(
    "query",
    [
        "ما الفرق بين التسويق الرقمي والتسويق الإلكتروني؟",
        "من يشرف على كلية الصيدلة؟",
        "إلى أي حد يكفي الإعلان؟",
        "ما عيب الاكتفاء بزر الترويج؟",
        "What is social commerce?",
        "كم بيانًا في الجدول؟",
        "",
        "؟!",
        "12 %",
    ],
)
def test_what_is_written_already_stays_letter_by_letter(query):
    assert in_standard_arabic(query) == query


def test_a_standard_word_is_spoken_only_beside_a_spoken_one():
    assert in_standard_arabic("ما حد الميزانية؟") == "ما حد الميزانية؟"
    assert "أحد" in in_standard_arabic("ازاي أعرف لو حد سرق الحساب؟")


def test_what_stands_in_front_of_a_word_stays_in_front():
    assert in_standard_arabic("بالباسورد") == "بكلمة مرور"
    assert in_standard_arabic("والفلوس") == "والمال"


def test_a_question_of_empty_words_alone_is_left_alone():
    assert in_standard_arabic("بتاع").strip()


def test_marks_and_hamza_make_no_difference():
    assert in_standard_arabic("إِزَّاي أبدأ؟").split()[0] == in_standard_arabic("ازاي أبدأ؟").split()[0] == "كيف"


def test_the_lexicon_is_whole():
    seen: dict[str, str] = {}
    for line in LEXICON.read_text("utf-8").splitlines():
        forms, written, tier = line.split("\t")
        assert tier in ("sure", "maybe", "loan"), line
        assert written.strip() == written != "", line
        for form in forms.split(" | "):
            key = " ".join(fold_text(form).split())
            assert key not in seen, (form, seen[key], line)
            assert len(key.split()) <= 3, line
            seen[key] = line
    assert len(seen) > 5000


def test_what_is_said_in_standard_arabic_is_not_said_again():
    forms = [form for line in LEXICON.read_text("utf-8").splitlines() for form in line.split("\t")[0].split(" | ")]
    once = [in_standard_arabic(f"ليش {form}") for form in forms]
    assert [text for text in once if in_standard_arabic(text) != text] == []


def test_dialect_finds_what_the_standard_question_finds(demo_index):
    from rag import Retriever

    snapshot = Retriever.open(demo_index).snapshot()
    assert snapshot.correct("ازاي أعمل بادجت للكامبين؟").startswith("كيف أعمل ميزانية")
    spoken = snapshot.search("إزاي أعرف إن الأكاونت ده فيك؟", top_k=3)
    assert "fraud" in " ".join(hit.passage.doc_id for hit in spoken)
