"""`rag eval`: each figure against a worked example, intervals, gates and comparisons of saved reports."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEmbedder

from rag.answering.model import AnswerModel
from rag.cli import main
from rag.config import AnswerConfig
from rag.datatypes import Answer, Citation, Document, Hit, Passage, Statement
from rag.errors import RagError
from rag.evaluation import compare, gate_comparison, load_report, parse_gates, report_table
from rag.evaluation.evaluate import FORMAT_VERSION, EvalReport, evaluate, evaluate_questions, report_of
from rag.evaluation.figures import curves, measure, operating_point
from rag.evaluation.judge import citation_figures, judge, own_words, supports_by
from rag.evaluation.questions import JudgedQuestion, Place, parse_question

TEXT = "The market grew. It may reach 5 to 10 billion dollars by 2020. Nobody knows more."
DOCUMENT = Document("a.md", "A", TEXT, "en", "0")
OTHER = Document("b.md", "B", "حجم السوق غير معروف.", "ar", "0")
DOCUMENTS = {"a.md": DOCUMENT, "b.md": OTHER}
EVIDENCE = "It may reach 5 to 10 billion dollars by 2020."
START = TEXT.index(EVIDENCE)
QUESTION = JudgedQuestion(
    id="1",
    question="How large will it be?",
    language="en",
    answerable=True,
    answers=("5 to 10 billion dollars",),
    places=(Place("a.md", START, START + len(EVIDENCE)),),
    doc_ids=frozenset({"a.md"}),
    doc_language="en",
    kind="plain",
)
NOWHERE = replace(QUESTION, id="2", answerable=False, answers=(), places=(), doc_ids=frozenset(), doc_language="none")


def citation(n, quote, document=DOCUMENT):
    start = document.text.index(quote)
    end = start + len(quote)
    return Citation(n, document.doc_id, document.title, document.language, quote, start, end, None, (), start, end)


def answer(*statements, citations=(), **others):
    return Answer(
        **{
            "question": QUESTION.question,
            "language": "en",
            "text": " ".join(statement.text for statement in statements),
            "abstained": False,
            "confidence": 0.5,
            "statements": statements,
            "citations": tuple(citations),
            **others,
        }
    )


REFUSAL = answer(Statement("I did not find it.", "frame"), abstained=True, confidence=0.2)
CITED = answer(Statement(EVIDENCE, "quote", (1,)), citations=[citation(1, EVIDENCE)], confidence=0.9, seconds=0.5)
ASIDE = answer(Statement("Nobody knows more.", "quote", (1,)), citations=[citation(1, "Nobody knows more.")])


def hit(start, end, rank, doc_id="a.md"):
    return Hit(Passage(doc_id, start, end, DOCUMENTS[doc_id].text[start:end], "en", ""), 1.0, rank)


def row(given=CITED, question=QUESTION, hits=(), held_back=None, supports=lambda *words: True):
    return judge(question, hits, given, held_back or given, documents=DOCUMENTS, supports=supports)


def report(rows, **others):
    about = {"generation": "g", "machine": "m", "files": ("f",), "threshold": 0.3, "false_answer_rate": 0.0}
    return report_of(rows, **about | others)


# -- citations, by ALCE's definitions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cited", "enough", "recall", "precision"),
    [
        ([(1,)], {"a"}, 1.0, 1.0),  # one citation that supports
        ([(1,)], {"b"}, 0.0, 0.0),  # one that does not
        ([(1, 2)], {"ab"}, 1.0, 1.0),  # only together: each is needed
        ([(1, 2)], {"a"}, 1.0, 0.5),  # the second adds nothing
        ([(1, 2)], {"a", "b"}, 1.0, 1.0),  # each is enough alone
        ([(1, 2, 3)], {"ab"}, 1.0, 2 / 3),  # the third is beside the point
        ([(1,), (2,)], {"a"}, 0.5, 0.5),  # the second sentence is not supported
        ([(1,), ()], {"a"}, 0.5, 1.0),  # the second sentence cites nothing
        ([()], {"a"}, 0.0, 0.0),
    ],
)
def test_citation_recall_and_precision_by_hand(cited, enough, recall, precision):
    """``enough`` lists what supports a sentence: the letters of its quotes, all of them."""

    def supports(sentence, language, quotes):
        assert (sentence, language) == ("said", "en")
        return any(set(letters) <= {quote.quote for quote in quotes} for letters in enough)

    citations = [replace(citation(1, "The"), n=n, quote=quote) for n, quote in ((1, "a"), (2, "b"), (3, "c"))]
    statements = [Statement("said", "written", numbers) for numbers in cited]
    assert citation_figures(answer(*statements, citations=citations), supports) == pytest.approx((recall, precision))


def test_quotes_are_judged_by_their_letters_and_frames_not_at_all():
    def never(*words):
        raise AssertionError("a quote needs no judge")

    statements = (
        Statement("The documents say:", "frame"),
        Statement("5 to 10 billion dollars", "short", (1,)),
        Statement(EVIDENCE, "quote", (1,)),
        Statement("It may fall", "quote", (1,)),
    )
    recall, precision = citation_figures(answer(*statements, citations=[citation(1, EVIDENCE)]), never)
    assert recall == precision == pytest.approx(2 / 3)


def test_written_sentences_are_judged_as_the_answerer_judges_them(fake_embedder):
    supports = supports_by(fake_embedder)
    halves = [citation(1, "The market grew."), citation(2, "It may reach 5 to 10 billion dollars")]
    assert supports("The market grew.", "en", halves)
    assert supports("It may reach 5 to 10 billion dollars", "en", halves)
    assert not supports("It may reach 5 to 10 billion dollars", "en", halves[:1])
    assert not supports("It may reach 7 to 10 billion dollars", "en", halves), "another number"


# -- one answer --------------------------------------------------------------------------------------------------------


def test_a_row_says_where_the_evidence_was_found_and_cited():
    hits = [hit(0, 16, 1), hit(0, 1, 2, "b.md"), hit(0, len(TEXT), 3)]
    found = row(hits=hits)
    assert found["rank"] == 3
    assert found["gold"] == {"doc_id": "a.md", "start": START, "end": START + len(EVIDENCE), "text": EVIDENCE}
    assert (found["evidence_cited"], found["document_cited"], found["answer_found"]) == (True, True, True)
    assert found["citations"][0]["is_gold"] and found["citations"][0]["is_in_gold_document"]
    aside = row(ASIDE)
    assert (aside["rank"], aside["evidence_cited"], aside["document_cited"], aside["answer_found"]) == (
        0, False, True, False,
    )  # fmt: skip


def test_the_short_answer_is_compared_where_there_is_one():
    # 10 words quoted, 5 wanted, 5 shared: 2 * 5 / 15
    assert (row()["em"], row()["f1"]) == (0.0, pytest.approx(10 / 15))
    short = row(replace(CITED, short="5 to 10 billion dollars"))
    assert (short["em"], short["f1"]) == (1.0, 1.0)
    assert (row(REFUSAL)["em"], row(REFUSAL)["f1"]) == (0.0, 0.0)
    assert row(CITED, NOWHERE)["f1"] is None


def test_the_language_is_that_of_the_words_of_our_own():
    arabic = citation(1, OTHER.text, OTHER)
    quote = Statement(OTHER.text, "quote", (1,))
    frame = Statement("A document in Arabic says:", "frame")
    assert own_words(answer(frame, quote)) == frame.text
    assert row(answer(frame, quote, citations=[arabic]))["language_right"]
    assert not row(answer(quote, citations=[arabic]))["language_right"]
    assert not row(answer(Statement("جاء في المستندات:", "frame"), quote, citations=[arabic]))["language_right"]
    assert row(answer(Statement("44.7%", "quote", (1,)), citations=[replace(arabic, quote="44.7%")]))["language_right"]


@pytest.mark.parametrize(
    ("given", "question", "rank", "outcome"),
    [
        (CITED, QUESTION, 1, "right"),
        (ASIDE, QUESTION, 1, "not cited"),
        (ASIDE, QUESTION, 0, "not retrieved"),
        (REFUSAL, QUESTION, 1, "wrongly refused"),
        (REFUSAL, NOWHERE, 0, "rightly refused"),
        (CITED, NOWHERE, 0, "false answer"),
    ],
)
def test_what_went_wrong_has_a_name(given, question, rank, outcome):
    assert row(given, question, [hit(0, len(TEXT), 1)] if rank else [])["outcome"] == outcome


# -- all answers -------------------------------------------------------------------------------------------------------

WHOLE = [hit(0, len(TEXT), 1)]
ROWS = [
    row(CITED, QUESTION, WHOLE),
    row(ASIDE, replace(QUESTION, id="3", language="ar", kind="dialect"), [hit(0, 16, 1), hit(0, len(TEXT), 2)]),
    row(REFUSAL, replace(QUESTION, id="4", kind=""), [], CITED),
    row(REFUSAL, NOWHERE),
    row(replace(ASIDE, confidence=0.7), replace(NOWHERE, id="5")),
]


def test_figures_by_hand():
    figures, _ = measure(ROWS)
    expected = {
        "questions": 5,
        "recall@5": 2 / 3,
        "MRR@10": (1 + 1 / 2 + 0) / 3,
        "nDCG@10": (1 + 1 / np.log2(3) + 0) / 3,
        "evidence_cited": 1 / 3,
        "document_cited": 2 / 3,
        "citation_recall": 1.0,
        "citation_precision": 1.0,
        "gold_evidence_precision": 1 / 2,
        "gold_document_precision": 1.0,
        "answer_found": 1 / 3,
        "EM": 0.0,
        "F1": 10 / 15 / 3,
        "short_answers": 0.0,
        "language_right": 4 / 5,  # an Arabic question was answered with an English quote
        "refused_unanswerable": 1 / 2,
        "false_answer_rate": 1 / 2,
        "refused_answerable": 1 / 3,
        "refusal_rate": 2 / 5,
        "abstention_accuracy": 3 / 5,
        # answerable 0.9, 0.5, 0.2 against 0.2, 0.7: 2 + 1 + 0.5 of 6 pairs in order
        "abstention_auc": 3.5 / 6,
        # bins: 0.9 one of one, 0.7 none of one, 0.5 one of one, 0.2 one of two
        "calibration_error": (0.1 + 0.7 + 0.5 + 2 * 0.3) / 5,
        # cited, or held back: 0.9 yes, 0.7 no, 0.5 no, 0.2 one of two
        "calibration_error_right": (0.1 + 0.7 + 0.5 + 2 * 0.3) / 5,
        # wrong of those answered: 0 of 1, 1 of 2, 2 of 3, 3 of 5 (a tie of two)
        "risk_coverage_area": (0 + 1 / 2 + 2 / 3 + 2 * 3 / 5) / 5,
        "latency_p50_s": 0.0,
        "latency_p95_s": 0.4,
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected)


def test_a_figure_that_no_question_bears_on_is_left_out():
    figures, intervals = measure([row(REFUSAL, NOWHERE)])
    assert not {"recall@5", "F1", "citation_recall", "gold_document_precision", "abstention_auc"} & set(figures)
    assert figures["refused_unanswerable"] == 1.0
    assert set(intervals) == set(figures) - {"questions"}
    assert measure([]) == ({"questions": 0}, {})


def test_intervals_hold_the_figure_and_narrow_with_more_questions():
    few, many = measure(ROWS)[1], measure(ROWS * 40)[1]
    for name, value in measure(ROWS)[0].items():
        if name != "questions":
            assert few[name][0] - 1e-9 <= value <= few[name][1] + 1e-9, name
    assert np.subtract(*many["evidence_cited"][::-1]) < np.subtract(*few["evidence_cited"][::-1]) / 4


def test_curves_by_hand():
    found = curves(ROWS)
    assert found["recall"] == pytest.approx([1 / 3] + [2 / 3] * 9)
    assert found["roc"][0] == [None, 0.0, 0.0]
    assert found["roc"][2] == [0.7, pytest.approx(1 / 3), 0.5]
    assert found["risk_coverage"][1] == [0.7, 0.4, 0.5]
    assert [one["count"] for one in found["calibration"]] == [2, 1, 1, 1]
    assert curves([row(REFUSAL, NOWHERE)]) == {"recall": [], "roc": [], "risk_coverage": [], "calibration": []}


def test_the_threshold_for_a_rate_of_false_answers_and_its_price():
    assert operating_point(ROWS, 0.0) == {
        "false_answer_rate": 0.0, "threshold": 0.9, "refused_unanswerable": 1.0, "refused_answerable": 2 / 3,
    }  # fmt: skip
    assert operating_point(ROWS, 0.5)["threshold"] == 0.5
    silence = operating_point([row(REFUSAL), row(CITED, NOWHERE)], 0.0)
    assert (silence["threshold"], silence["refused_answerable"]) == (None, 1.0)
    assert operating_point(ROWS[:3], 0.0) is None


def test_groups_by_pair_kind_and_language():
    found = report(ROWS)
    assert set(found.pairs) == {"en→en", "ar→en", "en→none"}
    assert set(found.kinds) == {"plain", "dialect"}
    assert found.languages["ar"]["questions"] == 1
    assert found.pairs["ar→en"]["MRR@10"] == 0.5
    assert found.intervals["kinds"]["dialect"]["evidence_cited"] == (0.0, 0.0)
    table = report_table(found)
    assert "| figure | all | 95 % | ar→en | en→en | en→none |" in table
    assert "| figure | dialect | plain |" in table
    assert table.endswith("threshold 0.900 (now 0.300), which refuses 67% of the answerable.")
    assert report_table(report([row(REFUSAL), row(CITED, NOWHERE)])).endswith("for refusing everything (now 0.300).")


class FakeChatbot:
    """Refuses below its threshold with 0.2; otherwise says `CITED`."""

    def __init__(self, threshold=None):
        self.config = AnswerConfig(threshold=threshold)
        self.embedder = HashEmbedder()
        self.retriever = self
        self.generation = self
        self.documents = DOCUMENTS
        self.name = "gen-000007"

    def snapshot(self):
        return self

    def search(self, query, *, top_k):
        return WHOLE

    def ask(self, question):
        threshold = 0.5 if self.config.threshold is None else self.config.threshold
        return REFUSAL if threshold > 0.2 else CITED


def test_a_refusal_is_asked_what_it_held_back_and_progress_is_told():
    told = []
    found = evaluate_questions(FakeChatbot(), [QUESTION, NOWHERE], progress=lambda *step: told.append(step))
    assert [row["outcome"] for row in found.details] == ["wrongly refused", "rightly refused"]
    assert [row["right_if_answered"] for row in found.details] == [True, False]
    assert told == [(0, 2, QUESTION.question), (1, 2, NOWHERE.question), (2, 2, "")]
    assert found.threshold == AnswerModel.load().threshold
    assert evaluate_questions(FakeChatbot(0.3), [QUESTION]).threshold == 0.3


# -- saved, gated, compared --------------------------------------------------------------------------------------------


def save(path: Path, found: EvalReport) -> str:
    path.write_text(json.dumps(found.to_json(), allow_nan=False, ensure_ascii=False), encoding="utf-8")
    return str(path)


def test_a_saved_report_comes_back_equal(tmp_path):
    found = report(ROWS)
    path = tmp_path / "report.json"
    save(path, found)
    again = load_report(path)
    assert json.dumps(again.to_json()) == json.dumps(found.to_json())
    assert again.details[0]["citations"][0]["quote"] == EVIDENCE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as a report"),
        ("[]", f"no evaluation report of format version {FORMAT_VERSION}"),
        ('{"overall": {}}', "no evaluation report"),
        (json.dumps({"format": "sanad-evaluation", "format_version": FORMAT_VERSION + 1}), "no evaluation report"),
        (json.dumps({"format": "sanad-evaluation", "format_version": FORMAT_VERSION}), "lacks 'generation'"),
    ],
)
def test_a_file_that_is_no_report_is_named_with_the_remedy(tmp_path, text, message):
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RagError, match=message) as caught:
        load_report(path)
    assert "rag eval ... --output FILE" in str(caught.value)
    with pytest.raises(RagError, match="cannot be read"):
        load_report(tmp_path / "nowhere.json")


def test_gates_by_hand():
    found = report(ROWS)
    assert [gate.missed_by(found) for gate in parse_gates("recall@5>=.6, false_answer_rate <= 0.5, MRR@10 >= 0.5")] == [
        "",
        "",
        "",
    ]
    low, high, group, nothing = parse_gates("F1>=0.5,false_answer_rate<=0.1,MRR@10[ar→en]>=0.6,F1[en→none]>=0.1")
    assert low.missed_by(found).startswith("gate missed: F1 >= 0.5, got 0.222 (95 % interval 0.000 to ")
    assert high.missed_by(found).startswith("gate missed: false_answer_rate <= 0.1, got 0.500")
    assert group.missed_by(found) == "gate missed: MRR@10[ar→en] >= 0.6, got 0.500 (95 % interval 0.500 to 0.500)"
    assert nothing.missed_by(found) == "gate missed: F1[en→none] >= 0.1: no question bears on it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("evidence_cited>0.7", "is no gate"),
        ("evidence>=0.7", "is no figure; there are recall@5"),
        (" , ", "no gate given"),
    ],
)
def test_a_wrong_gate_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_gates(text)


def many(given, n=20):
    return [row(given, replace(QUESTION, id=str(number)), WHOLE) for number in range(n)]


def test_the_difference_of_two_reports_is_paired_by_question():
    first = report(many(CITED, 10) + many(ASIDE, 20)[10:])
    second = report(many(ASIDE, 2) + many(CITED, 20)[2:])
    found = compare(first, second)
    assert (found.questions, found.left_out) == (20, 0)
    cited = next(one for one in found.differences if one.figure == "evidence_cited")
    assert (cited.first, cited.second, cited.difference) == (0.5, 0.9, pytest.approx(0.4))
    # by question: -1 twice, 0 eight times, +1 ten times; standard error sqrt(0.44 / 20)
    error = 1.96 * np.sqrt((12 / 20 - 0.4**2) / 20)
    assert (cited.low, cited.high) == (pytest.approx(0.4 - error, abs=0.06), pytest.approx(0.4 + error, abs=0.06))
    assert cited.change == "better"
    assert found.better == tuple(map(str, range(10, 20)))
    assert found.worse == ("0", "1")
    recall = next(one for one in found.differences if one.figure == "recall@5")
    assert (recall.difference, recall.low, recall.high, recall.change) == (0.0, 0.0, 0.0, "same")


def test_questions_that_went_alike_in_both_add_no_doubt():
    half = many(ASIDE, 10) + many(CITED)[10:]
    found = compare(report(half), report(many(CITED, 1) + half[1:]))
    cited = next(one for one in found.differences if one.figure == "evidence_cited")
    assert cited.difference == pytest.approx(1 / 20)
    assert 0 <= cited.low < cited.high < 0.2, "unpaired, the interval would reach from -0.25 to 0.35"


def test_only_questions_of_both_reports_are_compared():
    changed = [row(CITED, replace(QUESTION, id="0", question="Another question?"))]
    found = compare(report(many(CITED, 4)), report(changed + many(CITED, 3)[1:]))
    assert (found.questions, found.left_out) == (2, 3)
    with pytest.raises(RagError, match="share no question"):
        compare(report(many(CITED, 1)), report(changed))


def test_a_gated_figure_may_not_get_worse():
    better, worse = report(many(CITED)), report(many(REFUSAL, 10) + many(CITED)[10:])
    comparison = compare(better, worse)
    lines = gate_comparison(comparison, worse, ())
    assert [line.split()[:4] for line in lines] == [
        ["worse:", "evidence_cited", "1.000", "->"],
        ["worse:", "F1", "0.667", "->"],
        ["worse:", "refused_answerable", "0.000", "->"],
    ]
    assert gate_comparison(comparison, worse, parse_gates("recall@5>=0.5")) == []
    assert len(gate_comparison(comparison, worse, parse_gates("evidence_cited>=0.6"))) == 2
    assert gate_comparison(compare(worse, better), better, ()) == []


def test_compare_in_the_terminal(tmp_path, capsys):
    better = save(tmp_path / "a.json", report(many(CITED)))
    worse = save(tmp_path / "b.json", report(many(REFUSAL, 10) + many(CITED)[10:]))
    assert main(["eval", "--compare", better, better]) == 0
    captured = capsys.readouterr()
    assert "20 questions in both reports" in captured.out and captured.err == ""
    assert main(["eval", "--compare", better, worse]) == 1
    captured = capsys.readouterr()
    assert "| evidence_cited | 1.000 | 0.500 | -0.500 |" in captured.out
    assert captured.err.splitlines()[0].startswith("worse: evidence_cited 1.000 -> 0.500")
    assert main(["eval", "--compare", worse, better]) == 0
    assert main(["eval", "--compare", better, worse, "--gate", "recall@5>=0.5"]) == 0
    capsys.readouterr()
    assert main(["eval", "--compare", better, worse, "--json", "--gate", "evidence_cited>=0.6"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["questions"] == 20
    assert captured.err.startswith("gate missed: evidence_cited >= 0.6, got 0.500")
    assert main(["eval", "--compare", better, str(tmp_path / "none.json")]) == 1
    assert capsys.readouterr().err.startswith("error: ")


FILES = [["q.jsonl", option, "no-such-folder/file"] for option in ("--html", "--output", "--details")]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--compare", "a", "b", "--html", "c.html"],
        ["q.jsonl", "--compare", "a", "b"],
        ["q.jsonl", "--false-answer-rate", "2"],
        *FILES,
    ],
)
def test_wrong_usage_is_status_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["eval", *words])
    assert caught.value.code == 2
    assert "rag eval: error:" in capsys.readouterr().err


def test_a_wrong_gate_is_said_before_anything_is_asked(capsys):
    assert main(["eval", "nowhere.jsonl", "--gate", "speed>=1"]) == 1
    assert capsys.readouterr().err.startswith("error: 'speed' is no figure")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answers": "one hour"}, "'answers' is 'one hour'. Make it a list of texts"),
        ({"answers": [5]}, "'answers' is [5]. Make it a list of texts"),
        ({"also": {"b.md": 1}}, "'also' is {'b.md': 1}. Make it a list of doc_ids and of"),
        ({"also": [{"doc_id": "b.md"}]}, "'also' is [{'doc_id': 'b.md'}]. Make it a list of doc_ids and of"),
        ({"also": [{"doc_id": "b.md", "evidence": "no"}]}, "the evidence is not in b.md: 'no'"),
        ({"question": " "}, "'question' is ' '. Make it a text"),
        ({"lang": None}, "'lang' is None. Make it a text"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(tmp_path, changes, message):
    record = {"id": "1", "question": "q\u2028?", "lang": "en", "doc_id": "a.md", "evidence": EVIDENCE}
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(record, ensure_ascii=False) + "\n" + json.dumps(record | {"id": "2"} | changes), "utf-8")
    with pytest.raises(RagError, match=re.escape(f"questions.jsonl:2: {message}")):
        evaluate(FakeChatbot(), [path])


def test_what_answers_as_well_counts_as_the_first_place_does():
    record = {"question": QUESTION.question, "lang": "ar", "doc_id": "a.md", "evidence": EVIDENCE}
    one = parse_question(record, "here", DOCUMENTS)
    assert (one.pair, one.doc_ids) == ("ar→en", {"a.md"})
    named = parse_question(record | {"also": ["b.md"]}, "here", DOCUMENTS)
    assert (named.pair, named.places, named.doc_ids) == ("ar→en", one.places, {"a.md", "b.md"})
    both = parse_question(record | {"also": [{"doc_id": "b.md", "evidence": "غير معروف"}]}, "here", DOCUMENTS)
    assert (both.pair, both.doc_ids) == ("ar→ar", {"a.md", "b.md"})
    arabic = citation(1, "حجم السوق غير معروف.", OTHER)
    given = answer(Statement(arabic.quote, "quote", (1,)), citations=[arabic])
    hits = [hit(0, 16, 1), hit(0, 20, 2, "b.md")]
    found = [row(given, question, hits) for question in (one, named, both)]
    assert [each["evidence_cited"] for each in found] == [False, False, True]
    assert [each["rank"] for each in found] == [0, 0, 2]


def test_a_missing_file_of_questions_is_one_line(tmp_path):
    with pytest.raises(RagError, match="cannot be read"):
        evaluate(FakeChatbot(), [tmp_path / "none.jsonl"])
