from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest

zstandard = pytest.importorskip("zstandard")
sys.path.insert(0, str(Path(__file__).parents[1]))

from training import data, silver, written  # noqa: E402
from training import pairs as make  # noqa: E402

VARIETIES = {"msa", "egyptian", "gulf", "levantine", "english"}
EVAL_QUESTION = "من هو مؤسس مدينة بغداد؟"
EVAL_PASSAGE = (
    "بغداد هي عاصمة جمهورية العراق وأكبر مدنها، أسسها الخليفة العباسي أبو جعفر المنصور في القرن الثامن الميلادي "
    "واتخذها عاصمة للدولة العباسية."
)
CLEAN_QUESTION = "متى تأسست مدينة القاهرة؟"
CLEAN_PASSAGE = "القاهرة عاصمة مصر، وقد بناها القائد جوهر الصقلي بأمر من الخليفة الفاطمي المعز لدين الله سنة 969."


def write_zst(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zstandard.ZstdCompressor().compress(("\n".join(lines) + "\n").encode()))


def write_jsonl(path: Path, records: list[dict]) -> None:
    write_zst(path, [json.dumps(record, ensure_ascii=False) for record in records])


@pytest.fixture
def eval_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "eval"
    answers = [{"text": "أبو جعفر المنصور", "start": 60}]
    record = {"id": "1", "question": EVAL_QUESTION, "context_id": "c", "answers": answers}
    write_jsonl(folder / "toy.ar.test.jsonl.zst", [record])
    context = {"context_id": "c", "title": "بغداد", "text": EVAL_PASSAGE}
    write_jsonl(folder / "toy.ar.test.contexts.jsonl.zst", [context])
    lines = {"en": "A quiet river crosses the old town.", "ar": "يعبر نهر هادئ البلدة."}
    write_jsonl(folder / "ntrex.jsonl.zst", [lines])
    scored = {"score": 5.0, "s1": {"en": "A man is dancing.", "de": "Ein Mann tanzt."}, "s2": {"en": "A man dances."}}
    write_jsonl(folder / "sts.jsonl.zst", [scored])
    return folder


@pytest.fixture
def wall(eval_folder: Path) -> data.Wall:
    return data.Wall.of_folder(eval_folder)


def pair(query: str = CLEAN_QUESTION, passage: str = CLEAN_PASSAGE) -> data.Pair:
    return data.Pair(query, passage, "toy", "g", "ar-ar")


def test_clean_pairs_pass_and_are_counted(wall):
    assert wall.assert_clean([pair(), pair("ما هي عاصمة مصر؟")]) == 2


@pytest.mark.parametrize(
    "text",
    [
        EVAL_QUESTION,
        "مَن هو مؤسِّس مدينه بغداد",  # diacritics, ta marbuta and the mark do not hide it
        EVAL_PASSAGE,
        "مقدمة أخرى: " + " ".join(EVAL_PASSAGE.split()[3:11]) + " وهنا كلام آخر",  # eight words in a row
        "A QUIET river crosses the old town",
        "Ein Mann tanzt!",
        "A man dances.",
    ],
)
@pytest.mark.parametrize("side", ["query", "passage"])
def test_an_evaluation_text_on_either_side_raises(wall, text, side):
    leaking = pair(**{side: text})
    with pytest.raises(data.LeakError, match="toy"):
        wall.assert_clean([pair(), leaking])


def test_seven_shared_words_and_short_answers_are_no_leak(wall):
    seven = "مقدمة أخرى " + " ".join(EVAL_PASSAGE.split()[3:10]) + " وهنا كلام آخر"
    assert wall.assert_clean([pair(passage=seven), pair(query="أبو جعفر المنصور")]) == 2


def test_shared_words_in_another_order_are_no_leak(wall):
    mixed = " ".join(reversed(EVAL_PASSAGE.split()[3:11]))
    assert not wall.is_inside(mixed)


def test_keep_clean_drops_what_assert_clean_would_raise_on(wall):
    kept, dropped = wall.keep_clean([pair(), pair(EVAL_QUESTION), pair(passage=EVAL_PASSAGE)])
    assert kept == [pair()]
    assert dropped == {"toy": 2}
    assert wall.assert_clean(kept) == 1


def test_held_out_texts_stand_behind_the_wall_too(eval_folder):
    wall = data.Wall.of_folder(eval_folder, [CLEAN_QUESTION])
    with pytest.raises(data.LeakError):
        wall.assert_clean([pair()])


def test_our_own_evaluation_questions_and_the_demo_corpus_stand_behind_the_wall(eval_folder):
    wall = data.evaluation_wall(eval_folder.parent)
    assert len(data.own_evaluation_texts()) > 1000
    root = Path(data.__file__).parents[1]
    asked = [json.loads(line) for line in (root / "tests/questions/corpus.ar.jsonl").read_text().splitlines()]
    assert all(wall.is_inside(row["question"]) for row in asked)
    lines = (root / "corpus/en/influencer-marketing.md").read_text().splitlines()
    line = next(line for line in lines if len(line) > 99)
    assert wall.is_inside(line) and not data.Wall.of_folder(eval_folder).is_inside(line)


def test_an_empty_evaluation_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no evaluation file"):
        data.Wall.of_folder(tmp_path)


@pytest.mark.parametrize("name", ["qed.en", "arquad.ar", "xquad.ar"])
def test_a_set_without_a_licence_that_allows_it_is_refused(tmp_path, name):
    write_jsonl(tmp_path / "qa_train" / f"{name}.train.jsonl.zst", [])
    write_jsonl(tmp_path / "qa_train" / f"{name}.train.contexts.jsonl.zst", [])
    with pytest.raises(data.LicenceError, match=name):
        data.Sources(tmp_path).questions(name, "train")


def test_sources_read_questions_with_their_passages_and_remember_hashes(tmp_path):
    rows = [
        {"id": "1", "question": "- متى بنيت القاهرة ؟ ال", "context_id": "c", "answers": [], "answerable": True},
        {"id": "2", "question": "سؤال بلا جواب؟", "context_id": "c", "answers": [], "answerable": False},
        {"id": "3", "question": "سؤال من التقييم؟", "context_id": "c", "answers": [], "eval_overlap": True},
    ]
    write_jsonl(tmp_path / "qa_train" / "arcd.ar.train.jsonl.zst", rows)
    contexts = [{"context_id": "c", "title": "القاهرة", "text": CLEAN_PASSAGE}]
    write_jsonl(tmp_path / "qa_train" / "arcd.ar.train.contexts.jsonl.zst", contexts)
    sources = data.Sources(tmp_path)
    (row,) = sources.questions("arcd.ar", "train")
    assert (row["question"], row["text"]) == ("متى بنيت القاهرة؟", CLEAN_PASSAGE)
    path = tmp_path / "qa_train" / "arcd.ar.train.jsonl.zst"
    assert sources.hashes["qa_train/arcd.ar.train.jsonl.zst"] == data.sha256_file(path)
    assert sources.licences == {"arcd.ar": "MIT"}


def test_silver_questions_leave_the_answer_out():
    rng = np.random.default_rng(0)
    (asked,) = silver.arabic_questions("ولد الكاتب نجيب محفوظ في القاهرة عام 1911", "نجيب محفوظ", rng)[:1]
    assert "1911" not in asked and "محفوظ" in asked and asked.endswith("؟")
    assert silver.english_questions("A router is a device that forwards packets between networks.") == [
        "What is A router?"
    ]


def test_augmentation_is_a_pure_function_of_text_and_seed_and_can_be_off():
    text = "ما هي عاصمة المملكة الأردنية؟"
    once = [silver.augment_arabic(text, np.random.default_rng(i), rate=1.0) for i in range(20)]
    again = [silver.augment_arabic(text, np.random.default_rng(i), rate=1.0) for i in range(20)]
    assert once == again
    assert len(set(once)) > 5
    assert silver.augment_arabic(text, np.random.default_rng(0), rate=0.0) == text


def test_crop_keeps_the_answer_in_the_window():
    words = [f"w{i}" for i in range(200)]
    text = " ".join(words)
    for seed in range(50):
        at = int(np.random.default_rng(seed).integers(0, 200))
        window = silver.crop(text, 30, np.random.default_rng(seed), around=text.index(f"w{at}")).split()
        assert f"w{at}" in window
        assert len(window) == 30


def test_mining_asks_for_the_title_and_nearly_all_of_the_question():
    sections = [
        {"title": "نهر النيل", "text": "يبلغ طول نهر النيل 6650 كيلومترا ويجري في إحدى عشرة دولة."},
        {"title": "نهر النيل", "text": "ذكر الشعراء النيل كثيرا."},
        {"title": "الأهرامات", "text": "بنيت الأهرامات في الجيزة قرب القاهرة قبل آلاف السنين."},
        {"title": "دجلة", "text": "يمر دجلة في بغداد والموصل."},
    ]
    questions = [
        "كم يبلغ طول نهر النيل؟",
        "من اكتشف كوكب نبتون؟",  # nothing on it
        "متى بنيت مدينة الموصل؟",  # a word of it, elsewhere
        "أين بغداد والموصل؟",  # all of its words, but the article is about something else
    ]
    assert make.mine(questions, sections) == [(0, 0)]


def test_eight_letters_of_a_text_without_spaces_are_enough():
    passage = "上海是中国最大的城市之一，位于长江入海口。"
    assert data.Wall([passage]).is_inside("位于长江入海口") is False
    assert data.Wall([passage]).is_inside("他说上海是中国最大的城市之一吗")


def test_the_embedders_pairs_hold_no_evaluation_text(eval_folder, monkeypatch):
    embedder = pytest.importorskip("training.embedder")
    rows = [pair(EVAL_QUESTION), *(pair(f"{CLEAN_QUESTION} {i}") for i in range(9))]
    monkeypatch.setattr(make, "build_dev", lambda sources, seed: make.Dev({}))
    for source in ("arabic_wiki", "arabic_real", "english_qa", "other_languages", "ours"):
        monkeypatch.setattr(make, source, lambda *args: list(rows))
    monkeypatch.setattr(make, "parallel", lambda *args: (list(rows), list(rows)))
    monkeypatch.setattr(make, "glossed", lambda *args: ([], []))
    args = argparse.Namespace(data=eval_folder.parent, seed=0, limit=100, copies=1, batch=4)
    batches, _, facts = embedder.build(args)
    assert set(batches) == set(embedder.TASKS)
    assert facts["dropped_by_wall"] == {"toy": len(embedder.TASKS)}
    assert all(p.query != EVAL_QUESTION for task in batches.values() for batch in task for p in batch)
    monkeypatch.setattr(data.Wall, "keep_clean", lambda self, pairs: (pairs, {}))
    with pytest.raises(data.LeakError):
        embedder.build(args)


def test_our_questions_are_whole_and_none_stands_in_two_parts():
    seen: dict[str, str] = {}
    for part, share in (("answerer", 1 / 3), ("reader", 1 / 13)):
        asked = written.read_questions(part)
        members = written.read_collections(part)
        assert {one.collection for one in asked} == set(members)
        for one in asked:
            assert one.language in ("ar", "en") and one.variety in VARIETIES
            assert (one.context is None) == (one.answer is None)
            assert one.context is None or one.context in members[one.collection]
            if one.context and one.context.startswith("ours:"):
                assert one.answer in written.own_sections(one.collection)[one.context].text
            assert seen.setdefault(one.question, part) == part
        assert sum(one.context is None for one in asked) / len(asked) == pytest.approx(share, abs=0.02)
    contexts = [
        name for part in ("answerer", "reader") for names in written.read_collections(part).values() for name in names
    ]
    assert len(contexts) == len(set(contexts))
