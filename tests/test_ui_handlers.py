"""The page's events: whatever a browser sends is answered in plain words, and what was answered can be kept."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rag.builder import BuildReport
from rag.datatypes import Answer, Citation, Document, Heading, Hit, Passage, Scope, Statement
from rag.engine import BuildProgress
from rag.errors import BuildCancelledError, IndexNotFoundError, ModelNotFoundError, RagError
from rag.ui.conversation import MAX_TURNS, Options, Turn, asked_from_json, turn_to_json, turns_from_json
from rag.ui.handlers import Handlers
from rag.ui.words import WORDS

TEXT = "Tomatoes\nSix hours of sun a day.\nWater\nEvery second morning."
QUOTE = "Six hours of sun a day."


def answer(*, abstained: bool = False, hits: int = 5) -> Answer:
    start = TEXT.index(QUOTE)
    cited = Citation(1, "a.md", "Tomatoes", "en", QUOTE, start, start + len(QUOTE), None, ("Tomatoes",), 0, 32)
    found = tuple(
        Hit(Passage("a.md", 0, 32, TEXT[:32], "en", "Tomatoes", ("Tomatoes",)), 2.0 - n, n + 1, 0.5, 3.0, n + 1, None)
        for n in range(hits)
    )
    statements = (Statement(QUOTE, "quote", (1,)),)
    times = (("understand", 0.01), ("retrieve", 0.02), ("read", 0.3), ("verify", 0.001))
    return Answer(
        "How much sun?", "en", QUOTE, abstained, 0.9, () if abstained else statements, () if abstained else (cited,),
        found, "gen-000001", 0.4, "How much sun?", timings=times,
    )  # fmt: skip


class Garden:
    """A service with one document; ``trouble`` is raised where an answer or an index is wanted."""

    suffixes = frozenset({".md"})
    max_upload_bytes = 1024
    max_question_characters = 100
    warning = ""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.asked: list[tuple[str, int, Scope, int, str | None]] = []
        self.judged: list[tuple[str, str, str]] = []
        self.events: list[BuildProgress | BuildReport | Exception] = []

    def stream(self, question, history=(), *, scope=None, config=None, model=None) -> Iterator[Answer]:
        self.asked.append((question, len(history), scope, config.max_quotes, model))
        if self.trouble:
            raise self.trouble
        yield answer()

    def models(self) -> list[str]:
        return []

    def open_model(self, name: str) -> None:
        raise ModelNotFoundError(f"{name} is no model")

    def live_documents(self) -> dict[str, Document]:
        if self.trouble:
            raise self.trouble
        headings = (Heading("Tomatoes", 1, 0, 8), Heading("Water", 2, TEXT.index("Water"), TEXT.index("Water") + 5))
        return {"a.md": Document("a.md", "Tomatoes", TEXT, "en", "0" * 64, headings)}

    def index_warning(self) -> str:
        return self.warning

    def documents(self):
        if self.trouble:
            raise self.trouble
        return []

    def document_view(self, doc_id, start, end, *, digest=None):
        return None

    def delete_document(self, doc_id: str) -> object:
        raise ValueError("only what was uploaded")

    def rebuild_stream(self):
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event

    def cancel_rebuild(self) -> None:
        self.events.clear()

    def feedback(self, answer: Answer, verdict: str, reason: str) -> None:
        self.judged.append((answer.question, verdict, reason))


def ask(service: Garden, **changes) -> list[dict]:
    record = {"id": "x", "at": 0, "question": "How much sun?", "history": [], "options": {}} | changes
    return [json.loads(json.dumps(shown)) for shown in Handlers(service).ask(record)]


def test_a_question_becomes_a_turn_to_show_and_to_keep():
    service = Garden()
    first, *_, last = ask(service, at=3)
    assert (first["id"], first["at"]) == ("x", 3) and 'data-turn="3"' in first["html"] and "writing" in first["html"]
    assert last["turn"]["is_done"] and QUOTE in last["html"] and 'class="why"' in last["html"]
    assert last["turn"]["follow_ups"]
    (kept,) = turns_from_json([last["turn"]])
    assert kept.answer is not None and kept.answer.citations[0].quote == QUOTE
    assert all(hit.passage.text == "" for hit in kept.answer.hits)  # the page shows none of it


def test_options_and_history_reach_the_answer():
    service = Garden()
    turn = turn_to_json(Turn("Before?", "en", answer(), is_done=True))
    chosen = {"length": "short", "top_k": 4, "model": "m", "scope": {"collection": "a/b", "doc_ids": ["a.md"]}}
    ask(service, history=[turn, turn], options=chosen)
    scope = Scope("a/b", "", frozenset({"a.md"}))
    assert service.asked == [("How much sun?", 2, scope, 1, "m")]
    assert Options.model_validate(chosen).answer_config().top_k == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"at": -1},
        {"at": MAX_TURNS},
        {"at": "x"},
        {"id": "x" * 65},
        {"question": 5},
        {"question": " "},
        {"history": "no"},
        {"history": [{"question": 1}]},
        {"history": [None]},
        {"options": {"top_k": 1000}},
        {"options": {"length": "endless"}},
        {"options": {"scope": {"doc_ids": "a.md"}}},
        {"options": {"else": 1}},
    ],
)
def test_what_is_no_question_is_not_answered(changes):
    service = Garden()
    assert ask(service, **changes) == [] and service.asked == []
    assert list(Handlers(service).ask(None)) == list(Handlers(service).ask([1])) == []


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (IndexNotFoundError("no index in x"), "There is no index yet"),
        (RagError("the disk is gone"), "the disk is gone"),
        (RuntimeError("boom"), "Something went wrong"),
    ],
)
def test_trouble_is_said_in_plain_words(trouble, said):
    *_, last = ask(Garden(trouble))
    assert said in last["html"] and "Traceback" not in last["html"] and "boom" not in last["html"]
    assert last["turn"]["error"] and turns_from_json([last["turn"]])[0].error


def test_a_question_that_is_too_long_is_cut_in_what_is_shown():
    (only,) = ask(Garden(), question="w" * 101)
    assert "too long" in only["html"] and only["turn"]["question"].endswith("…")


def test_an_abstention_keeps_the_passages_that_it_shows():
    record = turn_to_json(Turn("q", "en", answer(abstained=True), is_done=True))
    assert [bool(hit["passage"]["text"]) for hit in record["answer"]["hits"]] == [True, True, True, False, False]
    shown = Handlers(Garden()).show({"turns": [record], "first": 2})
    assert QUOTE[:15] in shown["html"] and 'data-turn="2"' in shown["html"]


@pytest.mark.parametrize("kept", [None, {}, {"turns": 5}, {"turns": [{}]}, {"turns": [], "first": "x"}, {"turns": [1]}])
def test_what_cannot_be_read_shows_nothing(kept):
    assert Handlers(Garden()).show(kept) == {"html": "", "turns": []}


def test_a_turn_that_was_cut_short_has_ended_when_it_is_shown_again():
    shown = Handlers(Garden()).show({"turns": [turn_to_json(Turn("q", "en"))], "first": 0})
    assert "Stopped here" in shown["html"] and shown["turns"][0]["error"] == "stopped"


def test_a_kept_turn_cannot_bring_words_or_tags_of_its_own():
    record = turn_to_json(Turn("<img src=x onerror=alert(1)>", "en", answer(), is_done=True))
    record["answer"]["statements"][0]["kind"] = '"><img src=x onerror=alert(1)>'
    html = Handlers(Garden()).show({"turns": [record], "first": 0})["html"]
    assert "<img" not in html
    for key in ("no such key", "page", "searched_for"):  # the last two want a value
        record["error"] = key
        assert turns_from_json([record])[0].error == "error"
        assert "Something went wrong" in Handlers(Garden()).show({"turns": [record], "first": 0})["html"]


def test_an_opinion_is_kept_and_nonsense_is_not():
    service = Garden()
    turn = turn_to_json(Turn("q", "en", answer(), is_done=True))
    handlers = Handlers(service)
    assert handlers.judge({"turn": turn, "verdict": "down", "reason": "x" * 3000})
    assert service.judged == [("How much sun?", "down", "x" * 2000)]
    for record in (None, {}, {"turn": turn}, {"turn": turn, "verdict": "sideways"}, {"turn": {}, "verdict": "up"},
                   {"turn": turn_to_json(Turn("q", "en")), "verdict": "up"}):  # fmt: skip
        assert not handlers.judge(record)
    assert len(service.judged) == 1


@pytest.mark.parametrize("kind", ["md", "html"])
def test_a_conversation_is_exported_with_its_quotes_and_hashes(kind):
    turn = turn_to_json(Turn("How much sun?", "en", answer(), is_done=True))
    text = Handlers(Garden()).export({"title": "T", "turns": [turn], "format": kind, "language": "en"})
    assert "Six hours of sun a day" in text and "0" * 64 in text
    assert Handlers(Garden()).export(None) == Handlers(Garden()).export({"turns": 5}) == ""


def test_the_welcome_asks_out_of_the_corpus_and_without_one_out_of_examples():
    assert "tomatoes" in Handlers(Garden()).welcome().lower()
    assert 'class="example"' in Handlers(Garden(IndexNotFoundError("none"))).welcome()


def test_the_welcome_follows_a_new_generation():
    service = Garden()
    first, second = service.live_documents(), {"b.md": Document("b.md", "Basil", "Basil\nWater", "en", "1")}
    service.live_documents = lambda: first
    handlers = Handlers(service)
    assert handlers.welcome() is handlers.welcome()  # made once
    service.live_documents = lambda: second
    assert "tomatoes" not in handlers.welcome().lower()


def test_a_rebuild_reports_its_stages_and_its_end():
    service = Garden()
    report = BuildReport("gen-000002", 1, 2, 1, 0, 0, 0, (), 1.5)
    service.events = [BuildProgress("load", 1, 2, "a.md"), report]
    start, load, end = Handlers(service).rebuild()
    assert not start[1] and "a.md" in load[0].replace("<bdi>", "").replace("</bdi>", "") and end[1]
    service.events = [BuildCancelledError("stopped by a reader")]
    *_, end = Handlers(service).rebuild()
    assert "alert" in end[0] and end[1]
    service.events = [RuntimeError("boom")]
    *_, end = Handlers(service).rebuild()
    assert "boom" not in end[0] and end[1]


def test_documents_models_and_sources_that_are_not_there_are_said():
    handlers = Handlers(Garden())
    html, scope = handlers.documents()
    assert "No documents" in html and json.loads(scope) == {"collections": [], "languages": []}
    assert "only what was uploaded" in handlers.delete("a.md")
    assert "x is no model" in handlers.model("x")
    for place in (None, {}, {"doc": 1, "digest": "x"}, {"doc": "a", "digest": "b", "start": "x"}):
        assert "no longer in the index" in handlers.source(place)


def test_a_conversation_has_an_end():
    turn = turn_to_json(Turn("q", "en"))
    with pytest.raises(ValueError, match="at most"):
        turns_from_json([turn] * (MAX_TURNS + 1))
    with pytest.raises(ValueError, match="bounds"):
        asked_from_json({"id": "x", "at": 0, "question": "q", "history": [turn] * (MAX_TURNS + 1)})


def test_an_older_index_that_answers_is_said_where_questions_are_asked_and_above_the_documents():
    garden = Garden()
    shown, choices = Handlers(garden).documents()
    assert "trouble" not in shown and "is_fallback" not in json.loads(choices)
    garden.warning = "index/gen-000002 is damaged"
    shown, choices = Handlers(garden).documents()
    assert "gen-000002 is damaged" in shown and WORDS["index_fallback"][0] in shown
    assert json.loads(choices)["is_fallback"]
