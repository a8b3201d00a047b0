"""What a Python program relies on: searches of one query or many, filters, variety, closing, async twins, types."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

import rag
from rag import AnswerConfig, Chatbot, Retriever, Scope, abuild_index, build_index
from rag.answering.background import in_background
from rag.errors import CorpusError, IndexNotFoundError
from rag.retriever.diversity import diversify
from rag.store import IndexStore

ROOT = Path(__file__).parent.parent
FILES = {
    "plans/2025/budget.md": "---\nauthor: Jane\n---\n# Budget\n\nThe campaign budget says what a channel may cost.\n",
    "plans/2026/budget.md": "---\nauthor: Omar\n---\n# Budget\n\nThe campaign budget says what a channel will cost.\n",
    "plans/email.md": "---\nauthor: Jane\n---\n# Email\n\nA newsletter keeps subscribers close to the campaign.\n",
    "ar/budget.md": "# الميزانية\n\nتقول ميزانية الحملة كم تكلف كل قناة من القنوات.\n",
    "plans-old.md": "# Old\n\nAn old campaign and its budget, kept for the record.\n",
}
QUERIES = ["campaign budget", "كم تكلف الحملة؟", "newsletter", "campaign budget"]
QUESTION = "What does the campaign budget say?"


@pytest.fixture
def corpus(tmp_path, make_corpus):
    return make_corpus(tmp_path / "corpus", FILES)


@pytest.fixture
def index(tmp_path, corpus, fake_embedder):
    build_index(corpus, tmp_path / "index", embedder=fake_embedder)
    return tmp_path / "index"


@pytest.fixture
def retriever(index, fake_embedder):
    with Retriever.open(index, embedder=fake_embedder) as opened:
        yield opened


def ids(hits):
    return [hit.passage.doc_id for hit in hits]


# ---- one query or many


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 2},
        {"language": "en", "collection": "plans"},
        {"metadata": {"author": "jane"}, "diversity": 0.5},
    ],
)
def test_many_queries_find_what_each_finds_alone(retriever, options):
    alone = [retriever.search(query, **options) for query in QUERIES]
    assert retriever.search(QUERIES, **options) == alone
    assert retriever.search(tuple(QUERIES), **options) == alone
    assert all(alone)


def test_no_queries_find_nothing_and_one_in_a_list_stays_in_a_list(retriever):
    assert retriever.search([]) == []
    assert retriever.search(["newsletter"]) == [retriever.search("newsletter")]


def test_many_queries_are_embedded_in_one_batch(retriever, fake_embedder, monkeypatch):
    batches = []
    encode = fake_embedder.encode_queries
    monkeypatch.setattr(
        fake_embedder, "encode_queries", lambda queries: batches.append(len(queries)) or encode(queries)
    )
    retriever.search(QUERIES)
    assert batches == [len(QUERIES)]


def test_a_query_that_is_none_is_named(retriever):
    with pytest.raises(ValueError, match="query 2 of 3 is empty"):
        retriever.search(["a", " ", "b"])
    with pytest.raises(TypeError, match="a query must be a string, got 7"):
        retriever.search(["a", 7])


# ---- filters


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"collection": "plans"}, ["plans/2025/budget.md", "plans/2026/budget.md", "plans/email.md"]),
        ({"collection": "plans/2026"}, ["plans/2026/budget.md"]),
        ({"collection": "plan"}, []),
        ({"collection": ""}, sorted(FILES)),
        ({"collection": "plans", "metadata": {"author": "JANE"}}, ["plans/2025/budget.md", "plans/email.md"]),
        ({"collection": "plans", "doc_ids": ["ar/budget.md", "plans/email.md", "no.md"]}, ["plans/email.md"]),
        ({"doc_ids": []}, []),
        ({"language": "ar"}, ["ar/budget.md"]),
        ({"language": "fr"}, []),
        ({"language": "ar", "metadata": {"author": "Jane"}}, []),
    ],
)
def test_filters_leave_what_passes_all_of_them_with_its_score(retriever, filters, found):
    whole = {hit.passage.doc_id: hit.score for hit in retriever.search("campaign budget", top_k=9)}
    hits = retriever.search("campaign budget", top_k=9, **filters)
    assert sorted(ids(hits)) == found
    assert all(hit.score == whole[hit.passage.doc_id] for hit in hits)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "english"}, "language must be an ISO 639-1 code such as 'ar', got 'english'"),
        ({"language": ""}, "language must be .* got ''"),
        ({"doc_ids": "a.md"}, "doc_ids must be a collection of ids, got 'a.md'"),
        ({"doc_ids": [1]}, "doc_ids must be strings, got 1"),
        ({"collection": "/plans"}, "collection must be a folder of the corpus such as 'articles/2026', got '/plans'"),
        ({"collection": "plans/"}, "collection must be .* got 'plans/'"),
        ({"collection": "plans/../ar"}, "collection must be .* got 'plans/../ar'"),
        ({"collection": 3}, "collection must be .* got 3"),
        ({"metadata": {"year": 2026}}, "metadata must map keys to values, neither of them blank, got 'year': 2026"),
        ({"metadata": {"author": " "}}, "metadata must map .* got 'author': ' '"),
        ({"metadata": [("author", "Jane")]}, r"metadata must map keys to values, got \[\('author', 'Jane'\)\]"),
        ({"diversity": 1.5}, r"diversity must be in \[0, 1\], got 1.5"),
        ({"diversity": float("nan")}, "diversity must be .* got nan"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
    ],
)
def test_a_wrong_value_is_named(retriever, options, message):
    for query in ("campaign", ["campaign"]):
        with pytest.raises(ValueError, match=message):
            retriever.search(query, **options)


# ---- variety


def plainly_diversified(scores, vectors, diversity, top):
    """Maximal marginal relevance, spelt out."""
    relevance = [(score - min(scores)) / (max(scores) - min(scores)) for score in scores]
    taken = []
    while len(taken) < top:
        worth = {
            i: (1 - diversity) * relevance[i]
            - diversity * max((float(vectors[i] @ vectors[j]) for j in taken), default=0.0)
            for i in range(len(scores))
            if i not in taken
        }
        taken.append(max(worth, key=lambda i: (worth[i], -i)))
    return taken


@pytest.mark.parametrize("diversity", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_variety_is_that_of_the_formula(diversity):
    random = np.random.default_rng(3)
    vectors = random.normal(size=(40, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = np.sort(random.normal(size=40))[::-1] * 7 - 3
    expected = plainly_diversified(scores.tolist(), vectors, diversity, 12)
    assert diversify(scores, vectors, diversity=diversity, top=12) == expected
    assert expected[0] == 0 and (diversity == 0) == (expected == list(range(12)))


def test_equal_scores_and_too_few_candidates_are_fine():
    vectors = np.eye(3)[[0, 0, 1]]
    assert diversify(np.ones(3), vectors, diversity=0.5, top=9) == [0, 2, 1]


def test_variety_puts_a_repetition_behind_what_is_new(retriever):
    plain = retriever.search("campaign budget channel cost", top_k=3, language="en")
    varied = retriever.search("campaign budget channel cost", top_k=3, language="en", diversity=0.7)
    assert {*ids(plain[:2])} == {"plans/2025/budget.md", "plans/2026/budget.md"}
    assert varied[0] == plain[0] and "budget" not in varied[1].passage.doc_id.partition("/")[2]
    assert [hit.rank for hit in varied] == [1, 2, 3]
    assert retriever.search("campaign budget channel cost", top_k=3, language="en", diversity=0) == plain


# ---- closing


def test_a_closed_retriever_says_so_and_what_was_begun_goes_on(index, fake_embedder):
    with Retriever.open(index, embedder=fake_embedder) as retriever:
        snapshot, found = retriever.snapshot(), retriever.search("budget")
        bot = Chatbot(retriever)
    message = rf"the retriever of {index} is closed. Open another: Retriever.open\('{index}'\)"
    for use in (lambda: retriever.search("budget"), retriever.snapshot, retriever.refresh, lambda: retriever.embedder):
        with pytest.raises(RuntimeError, match=message):
            use()
    with pytest.raises(RuntimeError, match=message):
        bot.ask(QUESTION)
    with pytest.raises(RuntimeError, match=message):
        asyncio.run(retriever.asearch("budget"))
    retriever.close()
    assert snapshot.search("budget") == found


def test_closing_lets_go_of_index_and_embedder(index, fake_embedder):
    import gc
    import weakref

    embedder = type(fake_embedder)()
    retriever = Retriever.open(index, embedder=embedder)
    retriever.search("budget")
    held = [weakref.ref(retriever.snapshot()), weakref.ref(embedder)]
    retriever.close()
    del embedder
    gc.collect()
    assert [reference() for reference in held] == [None, None]


# ---- threads


def test_eight_threads_that_search_during_rebuilds_get_results_of_one_generation_each(
    tmp_path, make_corpus, fake_embedder, monkeypatch
):
    monkeypatch.setattr("rag.retriever.live._LOOK_INTERVAL_S", 0.0)

    def rebuild(number):
        files = {f"{n}.md": f"---\nstamp: s{number}\n---\nGeneration{number} budget plan {n}.\n" for n in range(6)}
        build_index(make_corpus(tmp_path / "corpus", files), tmp_path / "index", embedder=fake_embedder)

    rebuild(0)
    problems: list[object] = []
    seen: set[str] = set()
    is_over = threading.Event()

    def read(retriever, number):
        options = [{}, {"diversity": 0.4}, {"doc_ids": [f"{n}.md" for n in range(6)]}, {"collection": ""}][number % 4]
        try:
            while not is_over.is_set():
                many = retriever.search(["budget plan", "generation"], top_k=6, **options)
                stamps = {hit.passage.text.split()[0] for hits in many for hit in hits}
                seen.update(stamps)
                if len(stamps) != 1 or [len(hits) for hits in many] != [6, 6]:
                    problems.append((stamps, many))
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    with Retriever.open(tmp_path / "index", embedder=fake_embedder) as retriever:
        threads = [threading.Thread(target=read, args=(retriever, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, 5):
                rebuild(number)
                until = time.monotonic() + 20
                while f"Generation{number}" not in seen and time.monotonic() < until:
                    time.sleep(0.01)
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
    assert problems == []
    assert seen == {f"Generation{number}" for number in range(5)}


# ---- async twins


def test_asearch_finds_what_search_finds_and_the_loop_goes_on(retriever):
    async def main():
        async with asyncio.TaskGroup() as group:
            one = group.create_task(retriever.asearch("campaign budget", top_k=2, collection="plans"))
            many = group.create_task(retriever.asearch(QUERIES, diversity=0.3))
        return one.result(), many.result()

    one, many = asyncio.run(main())
    assert one == retriever.search("campaign budget", top_k=2, collection="plans")
    assert many == retriever.search(QUERIES, diversity=0.3)


def test_async_with_closes(index, fake_embedder):
    async def main():
        async with Retriever.open(index, embedder=fake_embedder) as retriever:
            await retriever.asearch("budget")
        with pytest.raises(RuntimeError, match="is closed"):
            retriever.search("budget")

    asyncio.run(main())


@pytest.fixture
def chatbot(retriever):
    return Chatbot(retriever, config=AnswerConfig(threshold=0.0))


def plain(answer):
    return (answer.text, answer.statements, answer.citations, answer.hits, answer.generation)


def test_aask_and_astream_say_what_ask_and_stream_say(chatbot):
    async def main():
        asked = await chatbot.aask(QUESTION, scope=Scope(collection="plans"))
        return asked, [answer async for answer in chatbot.astream(QUESTION, scope=Scope(collection="plans"))]

    asked, streamed = asyncio.run(main())
    expected = [*map(plain, chatbot.stream(QUESTION, scope=Scope(collection="plans")))]
    assert plain(asked) == plain(chatbot.ask(QUESTION, scope=Scope(collection="plans"))) == expected[-1]
    assert [*map(plain, streamed)] == expected and len(expected) > 1
    with pytest.raises(ValueError, match="the question is empty"):
        asyncio.run(chatbot.aask(" "))


def test_the_chatbot_asks_the_documents_with_the_metadata(chatbot):
    answer = chatbot.ask(QUESTION, scope=Scope(metadata=(("author", "omar"),)))
    assert {hit.passage.doc_id for hit in answer.hits} == {"plans/2026/budget.md"}
    nobody = chatbot.ask(QUESTION, scope=Scope(metadata=(("author", "nobody"),)))
    assert nobody.abstained and nobody.hits == ()


def test_background_steps_run_in_one_thread_that_is_not_the_loops():
    def steps():
        for _ in range(3):
            yield threading.get_ident()

    async def main():
        return [step async for step in in_background(steps())]

    (thread,) = set(asyncio.run(main()))
    assert thread != threading.get_ident()


@pytest.mark.parametrize("leave", ["cancel", "close"])
def test_leaving_a_background_generator_early_closes_it(leave):
    is_closed, is_waiting, go_on = threading.Event(), threading.Event(), threading.Event()

    def steps() -> Iterator[int]:
        try:
            yield 1
            is_waiting.set()
            go_on.wait(20)
            yield 2
        finally:
            is_closed.set()

    held = steps()  # so that it is not closed merely because nobody holds it any more

    async def consume():
        async with aclosing(in_background(held)) as numbers:
            async for number in numbers:
                assert number == 1
                if leave == "close":
                    return

    async def main():
        task = asyncio.create_task(consume())
        if leave == "cancel":
            await asyncio.to_thread(is_waiting.wait, 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task  # at once, though the step at hand still waits
            assert not is_closed.is_set()
            go_on.set()
        else:
            await task
        assert await asyncio.to_thread(is_closed.wait, 20)

    asyncio.run(main())


def test_abuild_index_builds_what_build_index_builds(tmp_path, corpus, index, fake_embedder):
    stages = []
    report = asyncio.run(
        abuild_index(
            corpus, tmp_path / "other", embedder=fake_embedder, progress=lambda step: stages.append(step.stage)
        )
    )
    assert (report.documents, report.passages) == (len(FILES), len(FILES))
    one, two = IndexStore(index).open_current(), IndexStore(tmp_path / "other").open_current()
    assert dict(one.documents) == dict(two.documents) and one.passages == two.passages
    assert [*dict.fromkeys(stages)] == ["load", "embed", "write"]
    with pytest.raises(CorpusError):
        asyncio.run(abuild_index(tmp_path / "none", tmp_path / "other", embedder=fake_embedder))


def test_a_cancelled_build_ends_frees_the_lock_and_leaves_the_index(tmp_path, corpus, fake_embedder):
    has_begun, go_on = threading.Event(), threading.Event()

    def wait(step):
        if (step.stage, step.done) == ("load", 1):
            has_begun.set()
            go_on.wait(20)

    async def main():
        task = asyncio.create_task(abuild_index(corpus, tmp_path / "index", embedder=fake_embedder, progress=wait))
        await asyncio.to_thread(has_begun.wait, 20)
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()  # it waits for the file at hand
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(IndexNotFoundError):
            IndexStore(tmp_path / "index").current_name()
        return await abuild_index(corpus, tmp_path / "index", embedder=fake_embedder)

    assert asyncio.run(main()).added == len(FILES)


# ---- names and types


def test_every_public_name_is_there_in_order():
    assert rag.__all__ == sorted(rag.__all__)
    assert all(hasattr(rag, name) for name in rag.__all__)
    assert {"AnswerConfig", "RetrievalConfig", "Scope", "abuild_index"} <= {*rag.__all__}


PROGRAM = """
from collections.abc import Sequence
from typing import assert_type

from rag import (
    Answer, AnswerConfig, BuildReport, Chatbot, Hit, RetrievalConfig, Retriever, Scope, abuild_index, build_index
)

assert_type(build_index("corpus", "index"), BuildReport)
with Retriever.open("index", config=RetrievalConfig(top_k=3)) as retriever:
    assert_type(retriever, Retriever)
    assert_type(retriever.search("one"), list[Hit])
    assert_type(retriever.search(["one", "two"]), list[list[Hit]])
    assert_type(retriever.search(("one",), metadata={"author": "x"}, collection="a", diversity=0.3), list[list[Hit]])
    assert_type(retriever.snapshot().search("one", language="ar", doc_ids={"a.md"}), list[Hit])
    chatbot = Chatbot(retriever, config=AnswerConfig(max_quotes=2))
    assert_type(chatbot.ask("q", scope=Scope(metadata=(("tags", "x"),))).citations[0].quote, str)
    retriever.search(1)  # type: ignore[call-overload]
    retriever.search("one", metadata={"year": 2026})  # type: ignore[dict-item]


async def main(words: Sequence[str]) -> None:
    async with Retriever.open("index") as retriever:
        assert_type(await retriever.asearch("one"), list[Hit])
        assert_type(await retriever.asearch(words), list[list[Hit]])
        assert_type(await Chatbot(retriever).aask("q"), Answer)
        async for growing in Chatbot(retriever).astream("q"):
            assert_type(growing, Answer)
        assert_type(await abuild_index(["a", "b"]), BuildReport)
"""


def test_a_program_of_a_user_passes_mypy_strict(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nfollow_imports = skip\n"  # the libraries behind ours would take minutes
        "[mypy-rag.*]\nfollow_imports = silent\n"
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "rag").symlink_to(ROOT / "rag")  # as if installed: its types count only with py.typed
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", os.devnull, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
