from __future__ import annotations

import hashlib
import json
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from rag.datatypes import Hit, Passage
from rag.embedder import DEFAULT_EMBEDDER
from rag.errors import ModelNotFoundError
from rag.reader import DEFAULT_READER, CosineScorer, Reader, Reading

BUDGET = (
    "A campaign needs a plan. Our agency spends 40 percent of its budget on short videos. "
    "The rest goes to search advertising, and Sarah Mansour signs every invoice."
)
ARABIC = (
    "تحتاج كل حملة إلى خطة واضحة. تنفق وكالتنا 40 بالمئة من ميزانيتها على مقاطع الفيديو القصيرة. "
    "أما الباقي فيذهب إلى إعلانات البحث، وتوقع سارة منصور كل فاتورة."
)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A real model folder, small and random."""
    from transformers import AutoTokenizer, BertConfig, BertForQuestionAnswering

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(DEFAULT_READER)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertForQuestionAnswering(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def reading(starts: list[float], ends: list[float]) -> Reading:
    """Tokens of two letters with a space between: 0-2, 3-5, 6-8 ..."""
    offsets = np.array([(3 * i, 3 * i + 2) for i in range(len(starts))], dtype=np.int64).reshape(-1, 2)
    return Reading(offsets, np.array(starts, dtype=np.float32), np.array(ends, dtype=np.float32))


def test_the_best_span_never_ends_before_it_starts():
    best = reading([0, 0, 9], [9, 1, 2]).best()
    assert (best.start, best.end, best.score) == (6, 8, 11.0)


def test_the_best_span_stays_inside_the_range_asked_for():
    best = reading([9, 1, 2], [9, 1, 2]).best(3, 5)
    assert (best.start, best.end, best.score) == (3, 5, 2.0)


def test_the_best_span_is_not_longer_than_an_answer():
    n = 60
    found = reading([5.0] + [0.0] * (n - 1), [0.0] * (n - 1) + [9.0]).best()
    assert found.end - found.start <= 3 * 40


def test_no_token_no_span():
    assert reading([], []).best() is None
    assert reading([], []).support() == 0.0
    assert reading([1.0], [1.0]).best(5, 9) is None


def test_support_is_a_probability_in_which_no_answer_takes_part():
    even = reading([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    assert even.support() == pytest.approx(3 / 4)
    assert even.support(0, 2) == pytest.approx(1 / 4)
    parts = [even.support(0, 2), even.support(3, 5), even.support(6, 8)]
    assert sum(parts) == pytest.approx(even.support())
    assert reading([50.0], [50.0]).support() == pytest.approx(1.0)
    assert reading([-900.0], [-900.0]).support() == pytest.approx(0.0)


@pytest.mark.parametrize(
    "text", ["", " ", "\x00\x07", "\ud800 x", "日本語 ไทย 😀", "ـ\u064b\u064b", "a" * 100_000, "كلمة " * 20_000]
)
def test_any_text_is_read_without_nan(tiny, text):
    model = Reader(tiny)
    for question, passage in ((text, BUDGET), (BUDGET, text), (text, text)):
        found = model.read(question, [passage])[0]
        assert np.isfinite(found.starts).all()
        assert np.isfinite(found.ends).all()
        assert (found.offsets[:, 1] <= len(passage)).all()
        assert 0.0 <= found.support() <= 1.0
        best = found.best()
        assert best is None or 0 <= best.start < best.end <= len(passage)


def test_a_long_passage_is_read_to_its_end_and_each_token_once(tiny):
    passage = " ".join(f"word{i}" for i in range(900))
    found = Reader(tiny).read("which word?", [passage])[0]
    assert found.offsets[-1, 1] == len(passage)
    assert (np.diff(found.offsets[:, 0]) > 0).all()
    covered = "".join(passage[a:b] for a, b in found.offsets)
    assert covered == passage.replace(" ", "")


def test_readings_keep_the_order_of_the_passages(reader):
    passages = [BUDGET, "short", ARABIC, ""]
    together = reader.read("Who signs the invoices?", passages)
    for passage, found in zip(passages, together, strict=True):
        alone = reader.read("Who signs the invoices?", [passage])[0]
        np.testing.assert_array_equal(alone.offsets, found.offsets)
        np.testing.assert_allclose(alone.starts, found.starts, atol=1e-3)


def test_threads_may_share_one_reader(tiny):
    model = Reader(tiny)
    passages = [f"passage {i} " * (20 * i + 1) for i in range(4)]
    alone = [model.read("passage?", [passage])[0] for passage in passages]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(40):
            found = model.read("passage?", [passages[i]])[0]
            if found.starts.shape != alone[i].starts.shape or not np.allclose(found.starts, alone[i].starts, atol=1e-5):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


@pytest.mark.parametrize(
    ("question", "passage", "answer", "sentence"),
    [
        ("How much of its budget does the agency spend on short videos?", BUDGET, "40 percent", 1),
        ("Who signs every invoice?", BUDGET, "Sarah Mansour", 2),
        ("كم تنفق الوكالة من ميزانيتها على الفيديو؟", ARABIC, "40 بالمئة", 1),
        ("من يوقع كل فاتورة؟", ARABIC, "سارة منصور", 2),
    ],
)
def test_the_built_in_reader_finds_the_answer(reader, question, passage, answer, sentence):
    found = reader.read(question, [passage])[0]
    best = found.best()
    assert answer in passage[best.start : best.end]
    ends = [passage.index(mark) + 1 for mark in (". Our", ". The", ". تنفق", ". أما") if mark in passage]
    spans = [(0, ends[0]), (ends[0], ends[1]), (ends[1], len(passage))]
    scores = [found.support(*span) for span in spans]
    assert int(np.argmax(scores)) == sentence


def test_reranking_puts_the_passage_that_answers_first(reader):
    def hit(rank: int, text: str) -> Hit:
        return Hit(Passage(f"{rank}.txt", 0, len(text), text, "en", ""), score=-0.1 * rank, rank=rank)

    hits = [hit(1, "Invoices are paper. Every agency has invoices."), hit(2, BUDGET)]
    question = "Who signs every invoice?"
    found = reader.rerank(question, hits)
    assert [h.passage.doc_id for h in found] == ["2.txt", "1.txt"]
    assert [h.rank for h in found] == [1, 2]
    assert [h.passage for h in reader.rerank(question, hits, weight=0.0)] == [h.passage for h in hits]
    assert reader.rerank(question, []) == []


def test_the_built_in_reader_knows_when_there_is_no_answer(reader):
    answered, not_answered = reader.read("Who signs every invoice?", [BUDGET, "Rain fell on the hills all night."])
    assert answered.support() > 0.5 > not_answered.support()


def test_the_word_embeddings_are_those_the_reader_was_trained_on():
    assert not any("word_embeddings" in name for name in _names(DEFAULT_READER / "reader.safetensors"))
    trained_on = json.loads((DEFAULT_READER / "meta.json").read_text("utf-8"))["words_sha256"]
    assert hashlib.sha256((DEFAULT_EMBEDDER / "words.safetensors").read_bytes()).hexdigest() == trained_on


def _names(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return list(file.keys())


def test_a_folder_that_is_no_reader_is_one_clear_error(tmp_path, tiny):
    with pytest.raises(ModelNotFoundError, match=r"no reader in .*config\.json"):
        Reader(tmp_path)
    with pytest.raises(ModelNotFoundError, match="no question answering model"):
        Reader(DEFAULT_EMBEDDER)
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny, damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelNotFoundError, match="cannot be opened"):
        Reader(damaged)


def test_a_sentence_is_encoded_once():
    calls: list[list[str]] = []

    def encode(texts):
        calls.append(list(texts))
        return np.ones((len(texts), 1), dtype=np.float32)

    scorer = CosineScorer(encode, encode)
    scorer.score("q", ["a", "b", "a"])
    scorer.score("q", ["b", "c"])
    assert calls == [["q"], ["a", "b"], ["q"], ["c"]]
    assert scorer.score("q", []).shape == (0,)
