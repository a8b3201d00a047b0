from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("zstandard")
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

from rag.dictionary import Dictionary  # noqa: E402
from rag.embedder import DEFAULT_EMBEDDER  # noqa: E402
from rag.reader import DEFAULT_READER  # noqa: E402
from training import gloss, silver, spans, weights  # noqa: E402
from training import pairs as make  # noqa: E402
from training import reader as train_reader  # noqa: E402
from training.data import LeakError, Pair, Wall, check_licence  # noqa: E402
from training.embedder import Masters  # noqa: E402

TEXT = "The agency opened in Boston in 1998 and sells advertising."


@pytest.fixture
def glosser() -> gloss.Glosser:
    words = Dictionary([("وكال", "agenc", 0.9, 0.9), ("اعلان", "advertis", 0.9, 0.9)])
    return gloss.Glosser(["الوكالة وكالة الوكالة", "الإعلانات إعلان"], words)


def test_a_gloss_keeps_numbers_and_writes_words_and_names_in_arabic(glosser):
    found = glosser.gloss(TEXT, np.random.default_rng(1))
    assert "1998" in found.text
    assert set(found.text.split()) & {"الوكالة", "وكالة"}
    assert re.search("بو?ستو?ن", found.text)  # Boston
    assert "The" not in found.text


@pytest.mark.parametrize("seed", range(5))
def test_a_span_is_followed_into_the_gloss(glosser, seed):
    found = glosser.gloss(TEXT, np.random.default_rng(seed))
    start = TEXT.index("1998")
    first, last = found.span(start, start + 4)
    assert found.text[first:last] == "1998"
    assert found.span(0, 3) is None  # "The" vanished


def test_names_keep_their_consonants():
    rng = np.random.default_rng(0)
    assert gloss.in_arabic_letters("Philip", rng).replace("ي", "") == "فلب"
    assert gloss.in_arabic_letters("Shannon", rng).startswith("ش")
    assert gloss.in_arabic_letters("Ohio", rng).startswith("أ")


@pytest.mark.parametrize(
    ("sentence", "answer"),
    [
        ("تأسست الجامعة الأردنية في عام 1962 في مدينة عمان الجميلة", "عام 1962"),
        ("انتصر الجيش في معركة كبيرة عام 1777م قرب نهر طويل جدا", "عام 1777م"),
        ("وقعت الدول الست اتفاقية روما لعام 1957 التي أنشأت السوق المشتركة", "لعام 1957"),
        ("أقيمت دورة الألعاب في موسمها الصيفي 2012 بمشاركة دول كثيرة", "2012"),
    ],
)
def test_a_silver_answer_stands_at_its_place_and_cuts_no_word(sentence, answer):
    made = silver.arabic_answers(sentence, "", np.random.default_rng(0))
    assert answer in [found for _, found, _ in made]
    for question, found, at in made:
        assert sentence[at : at + len(found)] == found
        words = set(re.findall(r"\w+", sentence))
        asked = set(re.findall(r"\w+", question.rpartition("؟")[0])) - set(re.findall(r"\w+", question.split()[0]))
        assert asked - words <= {"أي", "عام", "سنة", "عدد", "يبلغ", "مكان", "المقصود", "هو", "هي", "كم"}


@pytest.mark.parametrize("seed", range(20))
def test_a_window_holds_the_answer(seed):
    rng = np.random.default_rng(seed)
    context = " ".join(f"w{i}" for i in range(200))
    start = context.index("w137")
    own = spans.Example("?", context, start, start + 4, "toy.en", "g")
    cut = spans.windowed(own, 30, rng)
    assert cut.answer == "w137"
    assert len(cut.context.split()) == 30
    assert cut.context in context


def test_an_example_without_answer_lacks_the_words_of_the_answer():
    rng = np.random.default_rng(0)
    rows = [
        spans.Example(f"q{i}?", f"the answer is x{i} here", 14, 14 + len(f"x{i}"), "toy.en", "g") for i in range(30)
    ]
    made = spans.without_answer(rows, rng, 1.0)
    assert made
    for example in made:
        assert example.answer == ""
        assert f"x{example.question[1:-1]} " not in example.context


LEAKED = "Which words of an evaluation question must never be trained on by anybody at all?"
SAFE = "When did the small harbour town open its first public library?"
LIBRARY = "The small harbour town opened its first public library in 1954 beside the old market hall."


class ToySources:
    """One set of two questions, one of them inside the wall; nothing else."""

    def questions(self, name, split, *, unanswerable=False):
        if name != "tydiqa_goldp.en":
            return []
        answers = [{"text": "1954", "start": LIBRARY.index("1954")}]
        rows = [(LEAKED, "a"), (SAFE, "b")]
        return [{"question": q, "text": LIBRARY, "context_id": f"{c}-1", "answers": answers} for q, c in rows]

    def prose(self, name):
        return []


def test_the_readers_examples_hold_no_evaluation_text(monkeypatch):
    training, _, _ = spans.build(ToySources(), Wall([LEAKED]), frozenset(), [], 0, limit=50, words=60, copies=4)
    assert {example.group for example in training} == {"tydiqa_goldp.en:b"}  # no gloss of the other one either
    monkeypatch.setattr(spans, "is_clean", lambda example, wall: True)
    with pytest.raises(LeakError):
        spans.build(ToySources(), Wall([LEAKED]), frozenset(), [], 0, limit=50, words=60, copies=4)


def test_a_label_marks_the_answer_through_marks_that_no_token_covers():
    reader = object.__new__(train_reader.Reader)
    reader.tokenizer = AutoTokenizer.from_pretrained(DEFAULT_EMBEDDER)
    reader.device = "cpu"
    context = "ذهب الولد إلى المدرسةً صباحا"
    start = context.index("المدرسة")
    own = spans.Example("أين ذهب؟", context, start, start + len("المدرسةً"), "toy.ar", "g")
    none = spans.Example("أين ذهب؟", context, -1, -1, "toy.ar", "g")
    _, allowed, offsets, places = reader.batch([own, none], 64)
    first, last = places[0].tolist()
    assert context[offsets[0, first, 0] : offsets[0, last, 1]] == "المدرسة"
    assert places[1].tolist() == [0, 0]
    assert bool(allowed[0, first])
    _, _, _, cut = reader.batch([own], 8)  # the window ends before the answer
    assert cut.tolist() == [[0, 0]]


def test_a_gloss_is_made_of_clean_pairs_alone(monkeypatch):
    monkeypatch.setattr(make, "Glosser", lambda arabic: gloss.Glosser([], Dictionary([("وكال", "agenc", 0.9, 0.9)])))

    class Nothing:
        def prose(self, name):
            return []

        def parallel(self, name):
            return []

    english = [Pair(f"Where is agency {i}?", f"The agency {i} is there.", "en_qa", f"g{i}", "en-en") for i in range(60)]
    translations, crossed = make.glossed(english, Nothing(), np.random.default_rng(0))
    assert {pair.languages for pair in crossed} == {"ar-en", "en-ar", "ar-ar"}
    assert {pair.group for pair in crossed + translations} <= {pair.group for pair in english}
    for pair in crossed:
        number = pair.group[1:]
        assert number in pair.query
        assert number in pair.passage


def test_a_parallel_set_has_one_licence_in_all_languages():
    assert check_licence("tico19.en-fr") == check_licence("tico19.en-ar") == "CC0"


def test_small_steps_are_not_lost_in_bfloat16():
    layer = torch.nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    layer.weight.data.fill_(1.0)
    masters = Masters(layer, rate=1e-4, rate_rows=1e-4)  # a hundredth of what bfloat16 can tell from 1
    for _ in range(200):
        (-layer(torch.ones(1, 1, dtype=torch.bfloat16)).sum()).backward()
        masters.step()
    assert layer.weight.item() == pytest.approx(1.02, abs=0.004)
    assert masters.state(layer)["weight"].dtype == torch.float16


def test_frozen_weights_get_no_copy():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)).to(torch.bfloat16)
    net[0].weight.requires_grad_(False)
    assert set(Masters(net, 1e-3, 1e-3).state(net)) == {"0.bias", "1.weight", "1.bias"}


def test_weights_are_read_back_from_one_file_or_two(tmp_path):
    state = {"embeddings.word_embeddings.weight": torch.ones(4, 2), "encoder.x": torch.zeros(3)}
    weights.write_weights(tmp_path, state, own="encoder.safetensors")
    back = weights.read_weights(tmp_path)
    assert {name: tuple(value.shape) for name, value in back.items()} == {
        name: tuple(value.shape) for name, value in state.items()
    }
    assert (tmp_path / "words.safetensors").exists()
    assert "word" not in str(list(weights.load_file(tmp_path / "encoder.safetensors")))


def test_the_span_found_in_training_is_the_one_that_readers_of_the_package_get():
    context = "A campaign needs a plan. Our agency spends 40 percent of its budget on short videos."
    start = context.index("40 percent")
    own = spans.Example("How much of its budget does the agency spend?", context, start, start + 10, "toy.en", "g")
    reader = train_reader.Reader(DEFAULT_READER, "cpu")
    assert "40 percent" in reader.answers([own])[0]
    assert train_reader.measure(reader, [own])["en F1"] > 60
