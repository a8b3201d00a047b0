"""P1: whatever order documents, builds, crashes and rollbacks come in, the index is what a plain dict says it is."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import hypothesis.strategies as st
from crash_builder import PlainLoader
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rag import engine
from rag.builder import build_index
from rag.errors import CorpusError, IndexFormatError, IndexNotFoundError
from rag.store import IndexStore
from reliability.disks import Disk, Killed, kill, kill_after_half_a_write, put

PROMISE = "P1 a rebuild never loses the index"

NAMES = st.sampled_from(["a.txt", "b.txt", "c.txt"])
TEXTS = st.sampled_from(["one budget", "two campaigns", "three channels", "ميزانية واحدة"])


class Index(RuleBasedStateMachine):
    """``corpus`` is what the folder holds, ``live`` what the index holds, ``former`` what can be gone back to at least.

    A build that was cut off before it had tidied up leaves more than that: ``written`` is what each generation holds.
    """

    folder: ClassVar[Path]
    tally: ClassVar
    embedder: ClassVar

    @initialize()
    def nothing(self):
        self.home = Path(tempfile.mkdtemp(dir=self.folder))
        (self.home / "corpus").mkdir()
        self.store = IndexStore(self.home / "index")
        self.corpus: dict[str, str] = {}
        self.live: dict[str, str] | None = None
        self.former: dict[str, str] | None = None
        self.written: dict[str, dict[str, str]] = {}

    def teardown(self):
        shutil.rmtree(self.home, ignore_errors=True)

    @rule(name=NAMES, text=TEXTS)
    def add_or_change(self, name, text):
        (self.home / "corpus" / name).write_text(text, encoding="utf-8")
        self.corpus[name] = text

    @precondition(lambda self: self.corpus)
    @rule(data=st.data())
    def delete(self, data):
        name = data.draw(st.sampled_from(sorted(self.corpus)))
        (self.home / "corpus" / name).unlink()
        del self.corpus[name]

    def build(self):
        before = self.store.generations()
        try:
            build_index(self.home / "corpus", self.store.index_dir, embedder=self.embedder)
        finally:
            self.written |= {name: dict(self.corpus) for name in self.store.generations() if name not in before}

    @rule()
    def rebuild(self):
        try:
            self.build()
        except CorpusError:
            assert not self.corpus
            return
        assert self.corpus
        self.went_live()

    def went_live(self):
        if self.corpus != self.live:
            self.former, self.live = self.live if self.live is not None else self.former, dict(self.corpus)

    @precondition(lambda self: self.corpus)
    @rule(at=st.integers(0, 60), act=st.sampled_from([kill, kill_after_half_a_write]))
    def crash(self, at, act):
        before = self.store.generations()
        try:
            with put(Disk(at, act)):
                self.build()
        except Killed:
            if self.held() == self.live:
                if self.live is None and self.store.generations() != before:  # whole, but cut off before CURRENT
                    self.former = dict(self.corpus)
                return
        self.went_live()

    @precondition(lambda self: self.live is not None)
    @rule()
    def rollback(self):
        current = self.store.current_name()
        earlier = [name for name in self.store.generations() if name < current]
        assert self.former in (None, *(self.written[name] for name in earlier))
        try:
            name = self.store.rollback()
        except IndexFormatError:
            assert not earlier
            return
        assert name == earlier[-1]
        self.live = self.written[name]
        if self.live == self.former:
            self.former = None

    def held(self):
        """Return what the index holds, by name."""
        try:
            generation = self.store.open_current(fallback=False)
        except (IndexNotFoundError, IndexFormatError):
            assert self.live is None
            return None
        for passage in generation.passages:
            assert passage.text == generation.documents[passage.doc_id].text[passage.start : passage.end]
        assert len(generation.vectors) == len(generation.passages)
        return {name: document.text for name, document in generation.documents.items()}

    @invariant()
    def agrees_with_the_model(self):
        if not hasattr(self, "store"):
            return
        held = self.held() == self.live
        self.tally.case(held, f"the index holds {self.held()}, the model {self.live}")
        assert held


def test_the_index_agrees_with_a_plain_dict(ram_path, fake_embedder, monkeypatch, tally, is_full, caplog):
    caplog.set_level("ERROR")
    monkeypatch.setattr(engine, "DocumentLoader", PlainLoader)
    Index.folder, Index.tally, Index.embedder = ram_path, tally, fake_embedder
    run_state_machine_as_test(
        Index,
        settings=settings(
            max_examples=200 if is_full else 15,
            stateful_step_count=25 if is_full else 15,
            deadline=None,
            derandomize=not is_full,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
