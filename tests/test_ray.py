"""`rag build --engine ray` on a cluster of several nodes, each with its raylet and workers."""

from __future__ import annotations

import importlib.util
import io
import os
import secrets
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import conftest
import numpy as np
import pytest

from rag import ray_engine
from rag.builder import build_index
from rag.cli import main
from rag.errors import BuildCancelledError, RagError
from rag.store import IndexStore

is_missing = importlib.util.find_spec("ray") is None and os.environ.get("CI") != "true"
pytestmark = [pytest.mark.timeout(900), pytest.mark.skipif(is_missing, reason="ray is not installed")]
ROOT = Path(__file__).parent.parent
HERE = os.getpid()
DEADLY = {"cut": "cyanide", "embed": "arsenic"}
DEMO = ("ar/marketing-budget.docx", "ar/digital-vs-electronic.md", "en/fraud-fake-accounts-and-trust.txt")


class SlowEmbedder(conftest.HashEmbedder):
    """Takes its time, so that something can happen meanwhile."""

    def __init__(self) -> None:
        super().__init__(seed=1)  # a worker tells embedders by their fingerprints

    def encode_passages(self, texts, *, progress=None):
        if os.getpid() != HERE:
            time.sleep(0.1 * len(texts))
        return super().encode_passages(texts, progress=progress)


class MortalEmbedder(conftest.HashEmbedder):
    """Kills the worker that counts the tokens of, or embeds, what is deadly at that step; not this process."""

    def __init__(self) -> None:
        super().__init__(seed=2)

    def count_tokens(self, texts):
        self._read(texts, "cut")
        return super().count_tokens(texts)

    def encode_passages(self, texts, *, progress=None):
        self._read(texts, "embed")
        return super().encode_passages(texts, progress=progress)

    def _read(self, texts, step):
        if os.getpid() != HERE and any(DEADLY[step] in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)


def archive(members) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as stream:
        for name, text in members.items():
            stream.writestr(name, text)
    return packed.getvalue()


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one processor each; a third one joins in a test."""
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # else they wait for whatever runs beside the tests
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # else ray writes one into the home folder
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)  # read when ray is imported
        import ray
        from ray.cluster_utils import Cluster

        for module in (conftest, sys.modules[__name__]):  # no worker can import the tests
            ray.cloudpickle.register_pickle_by_value(module)
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes.add_node(num_cpus=1)
        yield nodes
        ray.shutdown()
        nodes.shutdown()
        for module in (conftest, sys.modules[__name__]):
            ray.cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(scope="module")
def engine(cluster):
    with ray_engine.RayEngine(cluster.address) as engine:
        yield engine


@pytest.fixture
def corpus(tmp_path, make_corpus):
    """A part of the demo corpus with what is hard beside it: an archive, a copy, files that cannot be read."""
    members = {"a.txt": "Reach counts people.", "b.md": "# Budget\n\nA campaign has a budget.", "c.docx": "no docx"}
    demo = {name: (ROOT / "corpus" / name).read_bytes() for name in DEMO}
    own = {"more.zip": archive(members), "broken.zip": b"PK\3\4", "empty.txt": "", "copy/a.txt": members["a.txt"]}
    return make_corpus(tmp_path / "corpus", demo | own)


def assert_equal(index: Path, other: Path) -> None:
    one, two = IndexStore(index).open_current(), IndexStore(other).open_current()
    assert dict(one.documents) == dict(two.documents)
    assert list(one.documents) == list(two.documents)
    assert list(one.passages) == list(two.passages)
    assert list(one.inputs) == list(two.inputs)
    np.testing.assert_allclose(one.vectors.reconstruct(), two.vectors.reconstruct(), rtol=0, atol=1e-6)
    assert list(one.bm25) == list(two.bm25)
    for language, (lists, rows) in one.bm25.items():
        np.testing.assert_array_equal(rows, two.bm25[language][1])
        for name, array in lists.to_arrays().items():
            np.testing.assert_array_equal(array, two.bm25[language][0].to_arrays()[name])


def outcome(report):
    """Return what a report says of the documents and files."""
    return report.documents, report.passages, report.embedded, report.failed, report.warnings, report.files


def test_the_index_is_that_of_the_local_engine(tmp_path, corpus, engine, fake_embedder, make_corpus):
    steps = []
    report = build_index(corpus, tmp_path / "ray", embedder=fake_embedder, engine=engine, progress=steps.append)
    local = build_index(corpus, tmp_path / "local", embedder=fake_embedder)
    assert outcome(report) == outcome(local)
    assert (report.documents, len(report.failed)) == (len(DEMO) + 3, 3)
    assert_equal(tmp_path / "ray", tmp_path / "local")
    for stage in ("load", "embed"):
        done = [step.done for step in steps if step.stage == stage]
        assert done == sorted(done) and done[0] == 0
        assert {done[-1]} == {step.total for step in steps if step.stage == stage}

    changed = {"a.txt": "Reach counts people.", "b.md": "# Budget\n\nA campaign has no budget."}
    make_corpus(corpus, {"more.zip": archive(changed), "new.md": "# New\n\nImpressions count views."})
    again = build_index(corpus, tmp_path / "ray", embedder=fake_embedder, engine=engine)
    assert (again.added, again.updated, again.unchanged, again.embedded) == (1, 1, report.documents - 1, 2)
    assert outcome(again) == outcome(build_index(corpus, tmp_path / "local", embedder=fake_embedder))
    assert_equal(tmp_path / "ray", tmp_path / "local")
    assert build_index(corpus, tmp_path / "ray", embedder=fake_embedder, engine=engine).generation == again.generation


def test_only_what_changed_is_sent_out(tmp_path, make_corpus, engine, fake_embedder, monkeypatch):
    corpus = make_corpus(
        tmp_path / "corpus", {"a.md": "# Reach\n\nReach counts people.", "b.zip": archive({"c.txt": "Cost."})}
    )
    build_index(corpus, tmp_path / "index", embedder=fake_embedder)
    make_corpus(corpus, {"new.md": "# New\n\nImpressions count views."})
    sent = []
    real = ray_engine._numbered
    monkeypatch.setattr(ray_engine, "_numbered", lambda batches: real(sent.extend(batch) or batch for batch in batches))
    assert build_index(corpus, tmp_path / "index", embedder=fake_embedder, engine=engine).added == 1
    loaded, cut, embedded = sent
    assert loaded.doc_id == cut.doc_id == "new.md" and "Impressions" in embedded


def test_a_node_that_dies_costs_nothing(tmp_path, make_corpus, cluster, engine):
    texts = {f"{number:02}.txt": f"Post number {number} was seen {number * 7} times." for number in range(60)}
    corpus = make_corpus(tmp_path / "corpus", texts)
    nodes = [cluster.add_node(num_cpus=1)]

    def kill(step):
        if step.stage == "embed" and step.done and nodes:
            cluster.remove_node(nodes.pop(), allow_graceful=False)

    report = build_index(corpus, tmp_path / "ray", embedder=SlowEmbedder(), engine=engine, progress=kill)
    assert not nodes and not report.failed
    assert outcome(report) == outcome(build_index(corpus, tmp_path / "local", embedder=SlowEmbedder()))
    assert_equal(tmp_path / "ray", tmp_path / "local")


def test_what_kills_its_worker_each_time_fails_alone(tmp_path, make_corpus, engine):
    good = {f"{number:02}.txt": f"Text {number} is harmless." for number in range(20)}
    bad = {"bad.txt": f"It holds {DEADLY['cut']}.", "bad.zip": archive({"in/bad.txt": f"It holds {DEADLY['embed']}."})}
    corpus = make_corpus(tmp_path / "corpus", good | bad)
    report = build_index(corpus, tmp_path / "ray", embedder=MortalEmbedder(), engine=engine)
    assert [file.path for file in report.failed] == [f"{corpus}/bad.txt", f"{corpus}/bad.zip/in/bad.txt"]
    assert all("died, 3 times over" in file.reason for file in report.failed)
    assert [file.doc_id for file in report.files if file.doc_id] == sorted(good)
    build_index(make_corpus(tmp_path / "good", good), tmp_path / "local", embedder=MortalEmbedder())
    assert_equal(tmp_path / "ray", tmp_path / "local")


def test_cancelling_leaves_the_index_as_it_was(tmp_path, make_corpus, engine):
    corpus = make_corpus(tmp_path / "corpus", {"old.txt": "An old text."})
    build_index(corpus, tmp_path / "index", embedder=SlowEmbedder())
    before = sorted((tmp_path / "index").rglob("*"))
    make_corpus(corpus, {f"new/{number}.txt": f"New text {number}." for number in range(40)})

    def cancel(step):
        if step.stage == "embed" and step.done:
            raise BuildCancelledError("enough")

    with pytest.raises(BuildCancelledError):
        build_index(corpus, tmp_path / "index", embedder=SlowEmbedder(), engine=engine, progress=cancel)
    assert sorted((tmp_path / "index").rglob("*")) == before


def test_a_machine_with_another_version_is_named(tmp_path, corpus, engine, fake_embedder, monkeypatch):
    monkeypatch.setattr(ray_engine, "pipeline", lambda: {"loading": "0" * 64})
    with pytest.raises(RagError, match=r"has another version of Sanad, .* for loading"):
        build_index(corpus, tmp_path / "index", embedder=fake_embedder, engine=engine)


def test_another_model_under_the_same_name_is_noticed(tmp_path, corpus, engine):
    class Moody(conftest.HashEmbedder):
        fingerprint = property(lambda self: {"name": "moody", "weights": str(os.getpid())})

    with pytest.raises(RagError, match="the embedder hash is another one"):
        build_index(corpus, tmp_path / "index", embedder=Moody(), engine=engine)


def test_the_terminal_builds_on_a_cluster_with_the_built_in_model(tmp_path, make_corpus, cluster):
    texts = {"ar.md": "# الضمان\n\nمدة ضمان الغلاية ثلاث سنوات.", "en.md": "# Refunds\n\nA refund takes five days."}
    corpus = make_corpus(tmp_path / "corpus", texts)
    options = ["--index-dir", tmp_path / "ray", "--engine", "ray", "--ray-address", cluster.address, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "rag", "build", corpus, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{") and done.stdout.count("\n") == 1
    build_index(corpus, tmp_path / "local")
    assert_equal(tmp_path / "ray", tmp_path / "local")


# ---- without a cluster


def test_without_ray_the_extra_is_named(tmp_path, corpus, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["build", str(corpus), "--index-dir", str(tmp_path / "index"), "--engine", "ray"]) == 1
    assert "pip install 'sanad[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "index").exists()


def test_an_address_without_the_engine_is_refused(corpus, capsys):
    assert main(["build", str(corpus), "--ray-address", "auto"]) == 1
    assert "add --engine ray" in capsys.readouterr().err
