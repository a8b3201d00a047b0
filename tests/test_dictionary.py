"""The dictionary, names across scripts, the lexical legs that use both, and the training that made them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from rag.dictionary import Dictionary, default_dictionary
from rag.lexical import LexicalLeg
from rag.store import Bm25Index
from rag.text.analyzers import terms
from rag.text.transliteration import Transliterator, similarity

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def training():
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module("training.dictionary")
    finally:
        sys.path.remove(str(ROOT))


@pytest.mark.parametrize(
    ("arabic", "english"),
    [
        ("التسويق", "marketing"),
        ("المؤثرون", "influencers"),
        ("الميزانية", "budget"),
        ("جمهور", "audience"),
        ("كتاب", "book"),
        ("الكنيسة", "church"),
        ("نهر", "river"),
        ("لاعب", "player"),
        ("عميل", "customer"),
        ("الاحتيال", "fraud"),
        ("حملات", "campaigns"),
        ("المتابعين", "followers"),
        ("إعلانات", "ads"),
        ("المستشفى", "hospital"),
    ],
)
def test_common_words_translate_both_ways(arabic, english):
    dictionary = default_dictionary()
    (ar,), (en,) = terms(arabic, "ar"), terms(english, "en")
    assert en in dict(dictionary.translate(ar, "ar", "en"))
    assert ar in dict(dictionary.translate(en, "en", "ar"))


def test_translations_are_probabilities_best_first():
    dictionary = default_dictionary()
    assert len(dictionary) > 30_000
    for term in ("market", "book", "citi"):
        options = dictionary.translate(term, "en", "ar")
        weights = [p for _, p in options]
        assert weights == sorted(weights, reverse=True)
        assert 0 < weights[-1] <= weights[0] <= 1
        assert sum(weights) <= 1.1


def test_unknown_terms_and_languages():
    dictionary = default_dictionary()
    assert dictionary.translate("qwxyz", "en", "ar") == []
    assert dictionary.translate("market", "en", "fr") == []
    assert dictionary.translate("market", "en", "en") == [("market", 1.0)]
    assert dictionary.covers("ar", "en")
    assert not dictionary.covers("ar", "fr")


def test_a_file_holds_both_directions_and_zero_leaves_one_out(tmp_path):
    path = tmp_path / "d.tsv"
    path.write_text("سوق\tmarket\t90\t60\tsouk\t5\t0\nبازار\tmarket\t0\t40\n", "utf-8")
    dictionary = Dictionary.load(path)
    assert dictionary.translate("سوق", "ar", "en") == [("market", 0.9), ("souk", 0.05)]
    assert dictionary.translate("market", "en", "ar") == [("سوق", 0.6), ("بازار", 0.4)]
    assert dictionary.translate("souk", "en", "ar") == []
    assert dictionary.translate("بازار", "ar", "en") == []


@pytest.mark.parametrize("line", ["سوق", "سوق\tmarket\t90", "سوق\tmarket\t90\tx", ""])
def test_a_damaged_file_is_refused(tmp_path, line):
    path = tmp_path / "d.tsv"
    path.write_text(f"بازار\tmarket\t0\t40\n{line}\n", "utf-8")
    with pytest.raises(ValueError, match=r"line 2|invalid literal"):
        Dictionary.load(path)


def test_training_finds_which_word_means_which(training):
    lines = [
        (["red", "house"], ["بيت", "احمر"], 1.0),
        (["red", "book"], ["كتاب", "احمر"], 1.0),
        (["big", "house"], ["بيت", "كبير"], 1.0),
        (["big", "book"], ["كتاب", "كبير"], 1.0),
    ]
    p = training.probabilities(lines, 20)
    assert p["red", "احمر"] > 0.9
    assert p["book", "كتاب"] > 0.9
    assert p.get(("red", "بيت"), 0.0) < 0.1


def test_training_weighs_lines_and_both_directions_must_agree(training):
    lines = [(["shore"], ["ضفه"], 3.0), (["shore"], ["ساحل"], 1.0)]
    forward = training.probabilities(lines, 5)
    assert forward["shore", "ضفه"] == pytest.approx(3 * forward["shore", "ساحل"])
    kept = training.symmetric(
        {("a", "x"): 0.9, ("a", "y"): 0.9, ("a", "z"): 0.001}, {("x", "a"): 0.9, ("z", "a"): 1.0},
        min_probability=0.05, max_translations=8,
    )  # fmt: skip
    assert list(kept) == [("a", "x")]
    assert kept["a", "x"] == pytest.approx(1.0)
    both = training.symmetric(
        {("a", "x"): 0.5, ("a", "y"): 0.5}, {("x", "a"): 0.9, ("y", "a"): 0.1}, min_probability=0.0, max_translations=8
    )
    assert both["a", "x"] == pytest.approx(3 * both["a", "y"])
    many = {("a", str(n)): 0.1 for n in range(10)}
    back = {(str(n), "a"): 1.0 for n in range(10)}
    assert len(training.symmetric(many, back, min_probability=0.01, max_translations=4)) == 4


def test_training_gives_a_name_seen_once_to_the_word_that_sounds_like_it(training):
    lines = [(["pope", "grainger", "house"], ["بابا", "غرينجر", "بيت"], 1.0)]
    p = training.probabilities(lines, 5)
    assert p["grainger", "غرينجر"] > 2 * p["grainger", "بابا"]


def test_a_written_dictionary_reads_back(training, tmp_path):
    path = tmp_path / "new" / "d.tsv"
    n_pairs = training.write_dictionary(
        path, {("سوق", "market"): 0.81, ("سوق", "souk"): 0.19}, {("market", "سوق"): 0.52, ("fair", "سوق"): 0.1}
    )
    dictionary = Dictionary.load(path)
    assert n_pairs == 3
    assert dictionary.translate("سوق", "ar", "en") == [("market", 0.81), ("souk", 0.19)]
    assert dictionary.translate("fair", "en", "ar") == [("سوق", 0.1)]


def test_the_glossary_is_pairs_of_arabic_and_english(training):
    pairs = training.read_glossary()
    assert len(pairs) > 100
    assert len(set(pairs)) == len(pairs)
    assert all(english.isascii() and not arabic.isascii() for english, arabic in pairs)


@pytest.mark.parametrize(
    ("arabic", "english", "other"),
    [
        ("جاكسونفيل", "jacksonville", "jackson"),
        ("تسلا", "tesla", "castle"),
        ("باريس", "paris", "price"),
        ("هارفارد", "harvard", "hard"),
        ("شكسبير", "shakespeare", "skipper"),
        ("فيكتوريا", "victoria", "factory"),
        ("غرينجر", "grainger", "ranger"),
        ("انستغرام", "instagram", "intergram"),
        ("فيسبوك", "facebook", "basic"),
    ],
)
def test_a_name_sounds_like_itself_more_than_like_another_word(arabic, english, other):
    assert similarity(arabic, english) > max(0.6, similarity(arabic, other))


def test_names_are_found_in_both_directions_whatever_is_written_onto_them():
    english = Transliterator(["tesla", "castl", "harvard", "2020", "علم"], "en")
    assert [term for term, _ in english.find("لتسلا", "ar")] == ["tesla"]
    assert [term for term, _ in english.find("وهارفارد", "ar")] == ["harvard"]
    arabic = Transliterator(["تسلا", "هارفارد", "كتاب", "tesla"], "ar")
    assert [term for term, _ in arabic.find("Harvard's", "en")] == ["هارفارد"]
    for word in ("", "2020", "x", "؟"):
        assert arabic.find(word, "en") == []
        assert english.find(word, "ar") == []
    assert english.find("tesla", "en") == []
    assert Transliterator(["tesla"], "fr").find("تسلا", "ar") == []


DICTIONARY = Dictionary(
    [("سوق", "market", 0.81, 0.36), ("سوق", "souk", 0.09, 0.9), ("كبير", "larg", 0.5, 0.5), ("كبير", "big", 0.5, 0.5)]
)


def _leg(texts, language="en"):
    return LexicalLeg(Bm25Index.build([terms(text, language) for text in texts]), language, DICTIONARY)


def test_within_a_language_the_scores_are_those_of_bm25():
    texts = ["the market opens", "market market stall", "a big stall", ""]
    index = Bm25Index.build([terms(text, "en") for text in texts])
    scored = LexicalLeg(index, "en", DICTIONARY).score("Is the market big?", "en")
    np.testing.assert_allclose(scored.scores, index.scores(["market", "big"]), rtol=1e-5)
    assert scored.ceiling == pytest.approx(index.idf("market") + index.idf("big"))
    assert (scored.shares < 1).all()


def test_across_languages_a_term_is_found_by_its_translations():
    leg = _leg(["the market opens", "an old souk", "a stall"])
    scored = leg.score("أين السوق؟", "ar")
    assert scored.scores[0] > scored.scores[1] > 0
    assert scored.scores[2] == 0


def test_translations_of_one_term_count_together_as_one_term():
    # Hand-worked: "large big" holds the one query term with weight sqrt(.5) twice; k1 1.2, mean length 2.
    leg = _leg(["large big", "stall stall"])
    counts = 2 * 0.5**0.5
    frequency = 1.0
    expected = np.log1p((2 - frequency + 0.5) / (frequency + 0.5)) * counts / (counts + 1.2)
    np.testing.assert_allclose(leg.score("كبير", "ar").scores, [expected, 0])


def test_latin_words_numbers_and_names_cross_as_they_are():
    leg = _leg(["our SEO guide", "in 2020 we grew", "Tesla was an inventor", "nothing"])
    for query, row in (("ما هو SEO؟", 0), ("نمو عام ٢٠٢٠", 1), ("من هو تسلا؟", 2)):
        scores = leg.score(query, "ar").scores
        assert np.flatnonzero(scores).tolist() == [row]
    arabic = _leg(["دليل SEO الشامل", "نمونا عام ٢٠٢٠", "كان تسلا مخترعا", "لا شيء"], "ar")
    for query, row in (("what is SEO", 0), ("growth in 2020", 1), ("who was Tesla?", 2)):
        scores = arabic.score(query, "en").scores
        assert np.flatnonzero(scores).tolist() == [row]


def test_a_word_that_is_there_as_it_is_needs_no_other_that_sounds_like_it():
    leg = _leg(["ترتيب Grainger", "ترتيب غرينجر"], "ar")
    assert np.flatnonzero(leg.score("Grainger", "en").scores).tolist() == [0]


def test_a_query_term_that_is_nowhere_raises_the_ceiling():
    leg = _leg(["the market opens", "a stall"])
    known, unknown = leg.score("market", "en"), leg.score("market zzz", "en")
    np.testing.assert_allclose(known.scores, unknown.scores)
    assert unknown.shares[0] < known.shares[0]


def test_a_language_without_dictionary_matches_names_and_numbers():
    leg = _leg(["Tesla in 1943", "a market"])
    assert np.flatnonzero(leg.score("Où est mort Tesla en 1943 ?", "fr").scores).tolist() == [0]
    # English taken for French: the passages' own stemmer makes the match.
    assert terms("strategies", "fr") != terms("strategies", "en")
    assert _leg(["a strategy"]).score("strategies", "fr").scores[0] > 0


def test_queries_without_terms_and_empty_indexes_score_zero():
    assert _leg(["a market"]).score("؟!", "ar").shares.tolist() == [0.0]
    assert _leg([]).score("market", "en").scores.shape == (0,)
    assert _leg([""]).score("market", "en").scores.tolist() == [0.0]
