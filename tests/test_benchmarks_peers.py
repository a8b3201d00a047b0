import hashlib
import json
import random
import re
import sys

import numpy as np
import pytest

from benchmarks.peers import environment
from benchmarks.peers.__main__ import (
    Bench,
    SystemFailedError,
    exact_neighbours,
    measure_growth,
    measure_systems,
    recall,
    write_collection,
)
from benchmarks.peers.data import Collection, Passage, Question, splice
from benchmarks.peers.plots import draw_growth, draw_systems
from benchmarks.peers.report import FIGURES, medians, quality, ratios, table
from benchmarks.peers.synthetic import NOISE, Synthetic
from rag.embedder.embedder import DEFAULT_EMBEDDER

SUBJECTS = ("river", "market", "harvest", "engine", "library", "journey", "garden", "winter", "painter", "bridge")


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def made_collection(passages):
    texts = [f"The {SUBJECTS[n % 10]} number {n} is described here in one plain sentence." for n in range(passages)]
    return Collection(
        [Passage(f"{n:06}-{n}-en", text) for n, text in enumerate(texts)],
        [Passage(f"{passages:06}", "A zebra crossed the railway at noon and nobody in the whole town had seen it.")],
        [Question(f"What is said of the {SUBJECTS[n % 10]} number {n}?", "en", n) for n in range(12)],
    )


@pytest.fixture
def synthetic():
    rng = np.random.default_rng(3)
    return Synthetic(unit(rng.normal(size=(50, 64))), ["who?", "where?"], unit(rng.normal(size=(2, 64))))


def test_a_made_vector_is_a_unit_vector_near_a_real_one_and_always_the_same(synthetic):
    rows = synthetic.encode(["a", "b", "a"])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert np.array_equal(rows[0], rows[2]) and not np.array_equal(rows[0], rows[1])
    nearest = (synthetic.encode([str(n) for n in range(200)]) @ synthetic._passages.T).max(axis=1)
    assert nearest.mean() == pytest.approx(1 / np.sqrt(1 + NOISE**2), abs=0.02)


def test_a_context_in_front_changes_no_made_vector(synthetic):
    assert np.array_equal(synthetic.encode(["title › heading\ntext"]), synthetic.encode(["text"]))


def test_known_questions_keep_their_vectors_through_a_file(synthetic, tmp_path):
    synthetic.save(tmp_path / "vectors.npz")
    again = Synthetic.load(tmp_path / "vectors.npz")
    assert np.array_equal(again.encode(["where?", "new"]), synthetic.encode(["where?", "new"]))
    assert np.array_equal(again.encode(["where?"])[0], synthetic._known["where?"])


def test_spliced_texts_come_after_the_real_ones_and_cut_no_word():
    real = ["one two three four", "خمسة ستة سبعة ثمانية"]
    grown = splice(real, 20, random.Random(1))
    assert grown[:2] == real and len(grown) == 20
    assert {word for text in grown for word in text.split()} <= {word for text in real for word in text.split()}


def test_quality_leaves_the_other_version_of_the_right_paragraph_out_and_counts_what_is_not_found():
    questions = [Question("a", "en", 7), Question("b", "en", 8)]
    hits = [["000001-7-ar", "000002", "000003-7-en"], ["000004", "000005-80-en"]]
    found = quality(questions, hits)
    assert found["en-ar"] == {"R@1": 0.5, "nDCG@10": 0.5}
    assert found["en-en"] == {"R@1": 0.0, "nDCG@10": round(1 / np.log2(3) / 2, 4)}


def test_quality_ends_after_ten():
    hits = [["000000-7-en", *(f"{n:06}" for n in range(1, 10)), "000010-7-ar"]]
    assert quality([Question("a", "en", 7)], hits)["en-ar"]["nDCG@10"] == round(1 / np.log2(11), 4)
    hits[0].insert(1, "000099")
    assert quality([Question("a", "en", 7)], hits)["en-ar"]["nDCG@10"] == 0


def test_ratios_are_taken_within_each_round_and_their_median_counts():
    def rounds(*values):
        return [dict.fromkeys(FIGURES, value) for value in values]

    found = ratios({"raw": rounds(1.0, 10.0, 100.0), "other": rounds(2.0, 30.0, 100.0)})
    assert found["raw"]["query_p50_ms"] == 1 and found["other"]["query_p50_ms"] == 2
    assert medians(rounds(1.0, 10.0, 100.0))["disk_mb"] == 10
    assert ratios({"other": rounds(2.0)}) == {}


def test_the_table_has_a_row_a_system_and_every_figure():
    text = table({"raw": dict.fromkeys(FIGURES, 0.25)})
    assert [line.count("|") for line in text.splitlines()] == [len(FIGURES) + 2] * 3


def test_plots_have_a_line_a_system_and_are_the_same_twice(tmp_path):
    figures = dict.fromkeys(FIGURES, 2.0)
    for name in ("one.svg", "two.svg"):
        draw_growth({"1000": {"raw": figures, "sanad": figures}, "10000": {"sanad": figures}}, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    drawn = (tmp_path / "one.svg").read_text("utf-8")
    assert "#0e9f6e" in drawn and "#8b949e" in drawn and "#3f83f8" not in drawn
    draw_systems({"raw": figures, "sanad": figures}, tmp_path / "systems.svg")
    assert "</svg>" in (tmp_path / "systems.svg").read_text("utf-8")


def test_every_requirement_is_exact_and_none_brings_cuda():
    lines = [line for line in environment.REQUIREMENTS.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line) for line in lines)
    assert "torch==2.13.0" in lines and not [line for line in lines if re.match("nvidia|triton|cuda", line)]


def test_an_environment_made_of_these_requirements_is_taken_as_it_is(tmp_path, monkeypatch):
    def make(command, check):
        raise RuntimeError(f"made by {command[1:3]}")

    monkeypatch.setattr(environment.subprocess, "run", make)
    with pytest.raises(RuntimeError, match="venv"):
        environment.ensure(tmp_path)
    digest = hashlib.sha256(environment.REQUIREMENTS.read_bytes()).hexdigest()
    (tmp_path / "requirements.sha256").write_text(digest, "ascii")
    assert environment.ensure(tmp_path) == tmp_path / "bin/python"


def test_one_round_of_the_floor_in_processes_of_its_own(tmp_path):
    collection = made_collection(40)
    rng = np.random.default_rng(5)
    texts = [question.text for question in collection.questions]
    Synthetic(unit(rng.normal(size=(20, 32))), texts, unit(rng.normal(size=(12, 32)))).save(tmp_path / "made.npz")
    bench = Bench(sys.executable, tmp_path)
    *_, report = measure_systems(bench, ["raw"], collection, tmp_path / "made.npz", rounds=2)
    assert report["failed"] == {} and report["over_raw"]["raw"] == dict.fromkeys(FIGURES, 1.0)
    raw = report["systems"]["raw"]
    assert len(raw["rounds"]) == 2 and raw["quality"].keys() == {"en-ar", "en-en"}
    assert raw["cold_start_s"] > raw["query_p50_ms"] / 1000 > 0 and raw["serve_peak_mb"] > 20 and raw["disk_mb"] > 0
    assert json.dumps(report)
    growth = measure_growth(bench, ["raw"], collection, tmp_path / "made.npz", rounds=1)
    assert growth["raw"]["recall@10"] == 1.0


def test_recall_counts_the_exact_ten_among_the_first_ten():
    rng = np.random.default_rng(5)
    collection = made_collection(40)
    texts = [question.text for question in collection.questions]
    synthetic = Synthetic(unit(rng.normal(size=(20, 32))), texts, unit(rng.normal(size=(12, 32))))
    exact = exact_neighbours(synthetic, collection, block=7)
    scores = synthetic.encode(texts) @ synthetic.encode([passage.text for passage in collection.passages]).T
    best = [[f"{row:06}-{row}-en" for row in np.argsort(-own)] for own in scores]
    assert recall(best, exact) == 1.0
    assert recall([own[5:] for own in best], exact) == 0.5


def test_a_system_that_fails_is_named_with_its_reason(tmp_path):
    collection = made_collection(12)
    bench = Bench(sys.executable, tmp_path)
    with pytest.raises(SystemFailedError, match=r"build: .*missing\.npz"):
        bench.measure("raw", write_collection(collection, tmp_path / "collection"), tmp_path / "missing.npz")
    *_, report = measure_systems(bench, ["raw"], collection, tmp_path / "missing.npz", rounds=2)
    assert report["systems"] == {} and "missing.npz" in report["failed"]["raw"]


@pytest.mark.slow
def test_sanad_and_the_floor_answer_over_fifty_passages(tmp_path):
    collection = made_collection(50)
    *_, report = measure_systems(
        Bench(sys.executable, tmp_path), ["raw", "sanad"], collection, DEFAULT_EMBEDDER, rounds=1
    )
    assert report["failed"] == {} and report["over_raw"].keys() == {"raw", "sanad"}
    assert report["systems"]["sanad"]["quality"]["en-en"]["R@1"] > 0.8
    assert report["systems"]["sanad"]["serve_peak_mb"] < report["systems"]["raw"]["serve_peak_mb"]
