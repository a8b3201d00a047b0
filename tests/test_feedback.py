"""What readers think of answers: kept whole beside the index, and read back as questions to judge by."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import HashEmbedder

from rag.builder import build_index
from rag.cli import main
from rag.datatypes import Answer, Citation
from rag.errors import IndexNotFoundError, RagError
from rag.evaluation.feedback import candidates_from, write_candidates
from rag.evaluation.questions import load_questions
from rag.server.feedback import MAX_LINE_BYTES, MAX_REASON_CHARACTERS, FeedbackCitation, FeedbackLog, feedback_of
from rag.server.service import ChatService
from rag.store import IndexStore

ROOT = Path(__file__).parent.parent
WHEN = datetime(2026, 7, 30, 11, 5, tzinfo=UTC)
KETTLE = "The warranty of the blue kettle lasts three years."
ARABIC = "مدة ضمان الغلاية الزرقاء ثلاث سنوات."
FILES = {"warranty.md": f"# Warranty\n\n{KETTLE}\n", "ar/ضمان.md": f"# الضمان\n\n{ARABIC}\n"}


def answer_to(question: str, quote: str = "", doc_id: str = "", language: str = "en", **others) -> Answer:
    citations = ()
    if quote:
        citations = (Citation(1, doc_id, "T", language, quote, 12, 12 + len(quote), None, (), 0, 99),)
    return Answer(question, language, f"{quote} [1]", not quote, 0.75, (), citations, generation="gen-000001", **others)


GOOD = answer_to("How long is the warranty?", KETTLE, "warranty.md")
ARABIC_GOOD = answer_to("كم مدة الضمان؟", ARABIC, "ar/ضمان.md", "ar")
REFUSAL = answer_to("Who painted the Mona Lisa?")


def judged(answer: Answer, verdict: str, reason: str = "", minutes: int = 0):
    return feedback_of(answer, verdict, reason, time=WHEN + timedelta(minutes=minutes))


@pytest.fixture
def log(tmp_path):
    return FeedbackLog(tmp_path / "index" / "feedback.jsonl")


def records_of(log: FeedbackLog, *judgements) -> list[dict]:
    for judgement in judgements:
        log.append(judgement)
    return list(candidates_from(log.path).records)


# -- the log ----------------------------------------------------------------------------------------------------------


def test_what_is_appended_is_read_back_in_order(log):
    follow_up = replace(ARABIC_GOOD, question="وكم\nمدته؟\u2028", query="كم مدة الضمان؟", model="smollm2")
    written = [judged(GOOD, "up", " Exactly.\n"), judged(follow_up, "down", "ناقص", 1), judged(REFUSAL, "up", "", 2)]
    for feedback in written:
        log.append(feedback)
    found, skipped = log.read()
    assert (found, skipped) == (written, 0)
    first = found[0]
    assert (first.time, first.verdict, first.reason, first.query) == (WHEN, "up", "Exactly.", GOOD.question)
    assert first.citations == (FeedbackCitation("warranty.md", 12, 12 + len(KETTLE), KETTLE),)
    assert (first.generation, first.confidence, first.abstained) == ("gen-000001", 0.75, False)
    assert (found[1].question, found[1].query, found[1].model) == ("وكم\nمدته؟\u2028", "كم مدة الضمان؟", "smollm2")


def test_each_line_is_one_json_object_with_the_keys_of_the_contract(log):
    log.append(judged(GOOD, "up"))
    (line,) = log.path.read_text(encoding="utf-8").splitlines()
    assert set(json.loads(line)) == {
        "time", "verdict", "reason", "question", "query", "language", "answer", "citations", "generation", "model",
        "confidence", "abstained",
    }  # fmt: skip


def test_only_its_owner_can_read_it_whatever_the_umask(log):
    before = os.umask(0)
    try:
        log.append(judged(GOOD, "up"))
    finally:
        os.umask(before)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in log.path.parent.iterdir()}
    assert modes == {"feedback.jsonl": 0o600, ".feedback.jsonl.lock": 0o600}


def test_lines_that_are_no_feedback_are_skipped_and_counted(log):
    log.append(judged(GOOD, "up"))
    whole = log.path.read_bytes()
    wrong = (b"not json", b"[]", b'{"verdict": "up"}', whole.strip().replace(b'"up"', b'"maybe"'), b"\xff\xfe")
    log.path.write_bytes(whole + b"\n".join(wrong) + b"\n\n" + whole)
    found, skipped = log.read()
    assert (len(found), skipped) == (2, len(wrong))


def test_half_a_line_takes_no_other_with_it(log):
    log.append(judged(GOOD, "up"))
    log.path.write_bytes(log.path.read_bytes()[:-40])
    log.append(judged(REFUSAL, "down"))
    found, skipped = log.read()
    assert ([feedback.question for feedback in found], skipped) == ([REFUSAL.question], 1)


def test_a_log_that_nothing_was_appended_to_is_empty(log):
    assert log.read() == ([], 0)


def test_threads_and_processes_take_turns(log):
    code = (
        "import sys; sys.path.insert(0, 'tests'); from test_feedback import *\n"
        "for n in range(20): FeedbackLog(sys.argv[1]).append(judged(GOOD, 'up', 'x' * 1500, n))"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, str(log.path)], cwd=ROOT) for _ in range(2)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: FeedbackLog(log.path).append(judged(REFUSAL, "down", "y" * 1500, n)), range(20)))
    assert [other.wait(60) for other in others] == [0, 0]
    found, skipped = log.read()
    assert (len(found), skipped) == (60, 0)


@pytest.mark.parametrize(
    ("answer", "verdict", "reason", "message"),
    [
        (GOOD, "sideways", "", "'up' or 'down', got 'sideways'"),
        (GOOD, "up", "x" * (MAX_REASON_CHARACTERS + 1), "at most 2,000"),
        (replace(GOOD, confidence=float("nan")), "up", "", "confidence"),
        (replace(GOOD, confidence=2.0), "up", "", "confidence"),
    ],
)
def test_what_is_no_judgement_is_refused(answer, verdict, reason, message):
    with pytest.raises(ValueError, match=message):
        feedback_of(answer, verdict, reason)


def test_what_cannot_be_a_line_is_refused_and_leaves_no_trace(log):
    log.append(judged(GOOD, "up", "x" * MAX_REASON_CHARACTERS))
    before = log.path.read_bytes()
    for wrong in (replace(GOOD, text="x" * MAX_LINE_BYTES), replace(GOOD, text="\ud800")):
        with pytest.raises(ValueError):
            log.append(judged(wrong, "up"))
    assert log.path.read_bytes() == before


def test_a_full_disk_leaves_the_file_as_it_was(log):
    """A limit on the size of files is what a test can have of a full disk: half the line fits."""
    log.append(judged(GOOD, "up"))
    before = log.path.read_bytes()
    code = (
        "import resource, signal, sys; sys.path.insert(0, 'tests'); from test_feedback import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), -1))\n"
        "try: FeedbackLog(sys.argv[1]).append(judged(REFUSAL, 'down', 'y' * 500))\n"
        "except RagError as error: print(error)"
    )
    limit = str(len(before) + 100)
    done = subprocess.run(
        [sys.executable, "-c", code, str(log.path), limit], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "feedback.jsonl cannot be written: File too large" in done.stdout, done.stderr
    assert log.path.read_bytes() == before


def test_a_place_that_cannot_be_written_or_read_is_said_with_its_remedy(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RagError, match=r"feedback\.jsonl cannot be written: .*Check the free space"):
        FeedbackLog(tmp_path / "file" / "feedback.jsonl").append(judged(GOOD, "up"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(RagError, match="folder cannot be read"):
        FeedbackLog(tmp_path / "folder").read()


# -- beside the index -------------------------------------------------------------------------------------------------


def test_the_service_keeps_feedback_beside_the_index_and_the_index_takes_no_notice(tmp_path, make_corpus):
    corpus, index = make_corpus(tmp_path / "corpus", FILES), tmp_path / "index"
    service = ChatService(index, corpus_dirs=[corpus], embedder=HashEmbedder())
    service.feedback(GOOD, "up", "Exactly.")
    with pytest.raises(IndexNotFoundError):
        IndexStore(index).current_name()
    first = service.rebuild()
    service.feedback(service.ask("How long is the warranty of the blue kettle?"), "down", "")
    kept = (index / "feedback.jsonl").read_bytes()
    make_corpus(corpus, {"more.txt": "Tomatoes want six hours of sunlight a day.\n"})
    second = service.rebuild()
    assert (first.added, second.added, second.unchanged) == (2, 1, 2)
    assert IndexStore(index).verify() == []
    assert IndexStore(index).rollback() == first.generation
    assert (index / "feedback.jsonl").read_bytes() == kept
    found, skipped = FeedbackLog(index / "feedback.jsonl").read()
    assert ([feedback.verdict for feedback in found], skipped) == (["up", "down"], 0)
    assert found[1].generation == first.generation
    assert abs(found[1].time - datetime.now(UTC)) < timedelta(minutes=2)


# -- questions made of it ---------------------------------------------------------------------------------------------


def test_each_kind_of_judgement_makes_its_kind_of_question(log):
    twice = replace(GOOD, citations=(*GOOD.citations, *ARABIC_GOOD.citations))
    liked, refused, disliked = records_of(
        log, judged(twice, "up"), judged(REFUSAL, "up", "Right."), judged(ARABIC_GOOD, "down", "ناقص")
    )
    assert liked.pop("id") != refused.pop("id") != disliked.pop("id")
    assert liked == {
        "question": GOOD.question, "lang": "en", "kind": "feedback", "doc_id": "warranty.md", "evidence": KETTLE,
    }  # fmt: skip
    assert refused == {
        "question": REFUSAL.question, "lang": "en", "kind": "feedback", "answerable": False, "note": "Right.",
    }  # fmt: skip
    assert disliked == {
        "question": ARABIC_GOOD.question, "lang": "ar", "kind": "feedback", "review": True, "note": "ناقص",
    }  # fmt: skip


def test_an_answer_without_a_source_needs_a_review_even_if_liked(log):
    (record,) = records_of(log, judged(replace(REFUSAL, abstained=False), "up"))
    assert record["review"] is True
    assert "evidence" not in record and "answerable" not in record


def test_a_follow_up_stands_as_the_question_that_was_searched_for(log):
    (record,) = records_of(log, judged(replace(GOOD, question="And its warranty?", query="How long is it?"), "up"))
    assert record["question"] == "How long is it?"


def test_the_newest_judgement_of_a_question_wins_however_it_was_spelled(log):
    spelled = (replace(ARABIC_GOOD, question=question) for question in ("كَم  مُدّة الضمان؟", "كم مده الضمان؟"))
    for feedback in (
        judged(next(spelled), "down", "late", 5),
        judged(next(spelled), "down", "early", 1),
        judged(GOOD, "up", "", 2),
        judged(ARABIC_GOOD, "up", "latest", 9),
        judged(replace(GOOD, question="HOW LONG is the  warranty?"), "down", "older", 1),
    ):
        log.append(feedback)
    candidates = candidates_from(log.path)
    assert [record["question"] for record in candidates.records] == [ARABIC_GOOD.question, GOOD.question]
    assert [record.get("note") for record in candidates.records] == ["latest", None]
    assert (candidates.merged, candidates.skipped, candidates.to_review) == (3, 0, 0)


def test_the_id_of_a_question_stays_the_same(log):
    (first,) = records_of(log, judged(GOOD, "up"))
    again, _ = records_of(log, judged(GOOD, "down", "", 1), judged(REFUSAL, "up", "", 2))
    assert first["id"] == again["id"]


def test_a_file_of_questions_is_never_written_over(log, tmp_path):
    records_of(log, judged(GOOD, "up"))
    target = tmp_path / "questions.jsonl"
    target.write_text("mine", encoding="utf-8")
    with pytest.raises(RagError, match=r"questions\.jsonl is there already.*--output"):
        write_candidates(candidates_from(log.path), target)
    assert target.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("content", ["", "no feedback\n"])
def test_no_feedback_is_said(log, content):
    with pytest.raises(RagError, match="is not there"):
        candidates_from(log.path)
    log.path.parent.mkdir()
    log.path.write_text(content, encoding="utf-8")
    with pytest.raises(RagError, match="holds no feedback"):
        candidates_from(log.path)


def test_questions_to_review_are_left_out_until_they_are_completed(tmp_path, make_corpus, caplog):
    build_index(make_corpus(tmp_path / "corpus", FILES), tmp_path / "index", embedder=HashEmbedder())
    documents = IndexStore(tmp_path / "index").open_current().documents
    waiting = {"id": "1", "question": "How long?", "lang": "en", "review": True, "note": "wrong"}
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(waiting) + "\n", encoding="utf-8")
    with pytest.raises(RagError, match='1 to review. Add "doc_id" and "evidence"'):
        load_questions([path], documents)
    completed = {**waiting, "id": "2", "review": False, "doc_id": "warranty.md", "evidence": "three years"}
    path.write_text(json.dumps(waiting) + "\n" + json.dumps(completed) + "\n", encoding="utf-8")
    assert [question.id for question in load_questions([path], documents)] == ["2"]
    assert "left out 1 to review" in caplog.text


# -- the terminal -----------------------------------------------------------------------------------------------------


def test_the_terminal_makes_questions_that_it_can_evaluate(tmp_path, make_corpus, capsys, caplog):
    index, output = tmp_path / "index", tmp_path / "questions.jsonl"
    assert main(["build", str(make_corpus(tmp_path / "corpus", FILES)), "--index-dir", str(index)]) == 0
    service = ChatService(index)
    service.feedback(service.ask("How long does the warranty of the blue kettle last?"), "up", "")
    service.feedback(service.ask("كم مدة ضمان الغلاية الزرقاء؟"), "up", "")
    service.feedback(service.ask("Who painted the Mona Lisa?"), "up", "")
    service.feedback(service.ask("Is the kettle blue?"), "down", "unclear")
    with (index / "feedback.jsonl").open("a", encoding="utf-8") as file:
        file.write("half a li\n")
    capsys.readouterr()
    make = ["eval", "--from-feedback", str(index / "feedback.jsonl"), "--output", str(output)]
    assert main([*make, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"output": str(output), "questions": 4, "to_review": 1, "merged": 0, "skipped": 1}
    assert err == f"left out 1 lines of {index / 'feedback.jsonl'} that are no feedback\n"
    records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [record.get("doc_id") for record in records] == ["warranty.md", "ar/ضمان.md", None, None]
    assert main(make) == 1
    assert "is there already" in capsys.readouterr().err

    assert main(["eval", str(output), "--index-dir", str(index), "--json"]) == 0
    assert [
        record.getMessage().split(". ")[0] for record in caplog.records if record.name.startswith("rag.evaluation")
    ] == [f"{output}: left out 1 to review"]
    overall = json.loads(capsys.readouterr().out)["overall"]
    assert (overall["questions"], overall["evidence_cited"], overall["refused_unanswerable"]) == (3, 1.0, 1.0)


@pytest.mark.parametrize(
    "arguments", [["--from-feedback", "f.jsonl"], ["q.jsonl", "--from-feedback", "f.jsonl", "--output", "o.jsonl"]]
)
def test_wrong_usage_is_said(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["eval", *arguments])
    assert "--from-feedback" in capsys.readouterr().err
