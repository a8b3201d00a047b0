"""P2: while the index is rebuilt, every query reads one generation, at its usual speed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from crash_builder import PlainLoader, write_edition
from drafts import make_draft

from rag import engine
from rag.builder import build_index
from rag.retriever import Retriever
from rag.store import IndexStore, index_store
from reliability.builders import Builders
from reliability.disks import write
from reliability.readers import in_threads

PROMISE = "P2 nobody notices a rebuild"


def p95_ms(seconds):
    return round(1000 * float(np.percentile(seconds, 95)), 2)


@pytest.mark.timeout(0)
def test_readers_during_back_to_back_rebuilds(ram_path, fake_embedder, monkeypatch, tally, is_full):
    n_rebuilds, n_queries, n_threads, n_processes = (50, 50_000, 8, 4) if is_full else (5, 300, 2, 1)
    monkeypatch.setattr(engine, "DocumentLoader", PlainLoader)
    corpus, index_dir, stop_file = ram_path / "corpus", ram_path / "index", ram_path / "stop"
    corpus.mkdir()
    write_edition(corpus, 0)
    build_index(corpus, index_dir, embedder=fake_embedder)
    processes = [
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("readers.py")), str(index_dir), str(stop_file)],
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(n_processes)
    ]  # fmt: skip
    stop = threading.Event()
    builds: list[tuple[float, float]] = []
    committed: dict[int, float] = {}
    with Builders(corpus, index_dir) as builders:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        readers, threads = in_threads(index_dir, n_threads, stop)

        def done():
            return sum(reader.n_queries for reader in readers)

        def wait_for(n):
            while done() < n and all(thread.is_alive() for thread in threads):
                time.sleep(0.005)

        wait_for(n_queries // 10)  # idle
        idle_until = time.monotonic()
        gate = ram_path / "gate"
        gate.mkdir()
        (gate / "go").touch()
        for edition in range(1, n_rebuilds + 1):
            write_edition(corpus, edition)
            began = time.monotonic()
            builders.order("quiet", gate)
            while (event := builders.event()).name == "ready":
                pass
            assert event.name == "committed", event
            committed[edition] = time.time()
            builds.append((began, time.monotonic()))
            wait_for(n_queries // 10 + edition * n_queries // n_rebuilds)
        wait_for(done() + n_threads)
        time.sleep(2.2)
        stop.set()
        stop_file.touch()
        for thread in threads:
            thread.join()
        reports = [json.loads(process.communicate()[0]) for process in processes]
    wrong = [*(w for reader in readers for w in reader.wrong), *(w for report in reports for w in report["wrong"])]
    total = done() + sum(report["n"] for report in reports)
    tally.tried += total
    tally.survived += total - len(wrong)
    tally.missed += wrong
    latencies = [latency for reader in readers for latency in reader.latencies]
    idle = [seconds for at, seconds in latencies if at < idle_until]
    busy = [seconds for at, seconds in latencies if any(begin <= at <= end for begin, end in builds)]
    lag = lags(committed, [reader.first_seen for reader in readers], reports)
    tally.figures |= {
        "rebuilds": n_rebuilds,
        "p95 idle, ms": p95_ms(idle),
        "p95 while rebuilding, ms": p95_ms(busy),
        "longest until a new generation answers, s": round(lag, 2),
    }
    assert wrong == []
    assert done() >= n_queries
    if is_full:
        slowed = p95_ms(busy) / p95_ms(idle)
        tally.case(slowed <= 3, f"p95 while rebuilding is {slowed:.1f} times the idle one")
        tally.case(lag <= 2, f"a reader saw a new generation {lag:.1f} s after its commit")
        assert slowed <= 3 and lag <= 2


def lags(committed, in_threads, reports):
    """Return the longest time from a commit until a reader answered from it, or from a later one."""
    seen = [{int(edition): at for edition, at in report["first_seen"].items()} for report in reports]
    seen.append(min_by_edition(in_threads))
    return max(
        max(min((at for other, at in times.items() if other >= edition), default=float("inf")) - when, 0)
        for times in seen
        for edition, when in committed.items()
    )


def min_by_edition(all_times):
    found: dict[int, float] = {}
    for times in all_times:
        for edition, at in times.items():
            found[edition] = min(at, found.get(edition, at))
    return found


def test_readers_that_open_the_index_anew_meet_one_whole_generation(ram_path, fake_embedder, tally):
    """Generations are collected while they are being read: that is no damage, and nothing older answers."""
    store = IndexStore(ram_path / "index")
    drafts = [make_draft(fake_embedder, stamp=f" edition {number}") for number in range(40)]
    write(store.index_dir, drafts[0])
    stop, wrong, seen = threading.Event(), [], set()

    def read():
        last = 0
        while not stop.is_set():
            try:
                generation = IndexStore(store.index_dir).open_current(fallback=False)
                editions = {int(document.text.rsplit(" ", 1)[1]) for document in generation.documents.values()}
                assert len(editions) == 1 and last <= min(editions), (editions, last)
                last = min(editions)
                seen.add(last)
            except BaseException as error:
                wrong.append(f"{type(error).__name__}: {error}")
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for draft in drafts[1:]:
        write(store.index_dir, draft)
    deadline = time.monotonic() + 30
    while 39 not in seen and not wrong and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    for reader in readers:
        reader.join()
    tally.case(wrong == [], f"{wrong}")
    assert wrong == [] and len(seen) > 2 and max(seen) == 39


def test_a_passage_found_before_a_rebuild_is_opened_as_it_was(ram_path, fake_embedder, tally):
    index_dir = ram_path / "index"
    write(index_dir, make_draft(fake_embedder, stamp=" old"))
    retriever = Retriever.open(index_dir, embedder=fake_embedder)
    snapshot = retriever.snapshot()
    hits = snapshot.search("paid campaign", top_k=3)
    for stamp in (" new", " newer"):  # the generation it was found in is collected
        write(
            index_dir, make_draft(fake_embedder, stamp=stamp, texts={"en/guide.md": f"Other text of the name{stamp}"})
        )
        assert retriever.refresh().generation.name != snapshot.generation.name
    for hit in hits:
        text = snapshot.document(hit.passage.doc_id).text
        held = text[hit.passage.start : hit.passage.end] == hit.passage.text and text.endswith(" old")
        tally.case(held, hit.passage.passage_id)
        assert held


def test_a_generation_mixed_of_two_is_found_out(ram_path, fake_embedder, monkeypatch):
    """The readers' own check: a store that hands out the documents of one edition and the passages of another."""
    monkeypatch.setattr(engine, "DocumentLoader", PlainLoader)
    corpus, index_dir = ram_path / "corpus", ram_path / "index"
    corpus.mkdir()
    for edition in (1, 2):
        write_edition(corpus, edition)
        build_index(corpus, index_dir, embedder=fake_embedder)
    load = index_store.load_generation
    other = load(index_dir / "gen-000001")

    def mixed(folder, **how):
        generation = load(folder, **how)
        segment = copy(generation.segments[0])
        segment.__dict__ |= {"documents": other.documents, "vectors": other.vectors}
        return replace(generation, segments=[segment])

    monkeypatch.setattr(index_store, "load_generation", mixed)
    stop = threading.Event()
    (reader,), (thread,) = in_threads(index_dir, 1, stop)
    while reader.n_queries < 2 and thread.is_alive():
        time.sleep(0.01)
    stop.set()
    thread.join()
    assert any("answers from editions" in wrong for wrong in reader.wrong)
    assert any("vectors of other texts" in wrong for wrong in reader.wrong)
