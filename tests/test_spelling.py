import pytest

from rag.text.spelling import SpellChecker, count_words


def checker(texts):
    return SpellChecker(count_words([text]) for text in texts)


CHECKER = checker(
    [
        "Social commerce sells; followers buy. Customer acquisition, vanity metrics, marketing.",
        "تسويق المؤثرين عبر الإعلانات",
    ]
)


def never(word):
    return False


@pytest.mark.parametrize(
    ("query", "corrected"),
    [
        ("waht is socail comerce?", "waht is social commerce?"),  # four letters are left alone
        ("custmer aquisition", "customer acquisition"),
        ("vanety metrics", "vanity metrics"),
        ("ما هي الاعلانتات", "ما هي الاعلانات"),
        ("Followers, MARKETING!", "Followers, MARKETING!"),
        ("الإعلانات والتسويق", "الإعلانات والتسويق"),
        ("budget in 2020", "budget in 2020"),
        ("", ""),
    ],
)
def test_only_misspelt_words_change(query, corrected):
    assert CHECKER.correct(query, never) == corrected


def test_a_word_known_elsewhere_is_left_alone():
    assert CHECKER.correct("comerce", lambda word: word == "comerce") == "comerce"


def test_a_word_between_two_equally_near_words_is_left_alone():
    assert checker(["planner planter"]).correct("planer planmer", never) == "planer planmer"
    assert checker(["blocks clocks flocks"]).correct("xlocks", never) == "xlocks"
