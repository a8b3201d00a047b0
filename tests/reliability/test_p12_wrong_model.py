"""P12: an index is answered from with the model that built it, or not at all; no vector that is none gets in."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from conftest import HashEmbedder

from rag.builder import build_index
from rag.embedder import DEFAULT_EMBEDDER, Embedder, fingerprint_hash
from rag.embedder.folders import hash_folder
from rag.errors import IndexMismatchError, ModelNotFoundError, RagError
from rag.retriever import Retriever
from rag.store import IndexStore

PROMISE = "P12 a wrong model is refused"


def edit_json(path, change):
    value = json.loads(path.read_text("utf-8"))
    change(value)
    path.write_text(json.dumps(value), "utf-8")


def flip_last_bit(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


# What is done to the folder of the built-in embedder.
MUTATIONS = {
    "weights of the network": lambda folder: flip_last_bit(folder / "encoder.safetensors"),
    "weights of the words": lambda folder: flip_last_bit(folder / "words.safetensors"),
    "tokenizer": lambda folder: edit_json(folder / "tokenizer.json", lambda v: v.update(version="1.1")),
    "case of the tokenizer": lambda folder: edit_json(
        folder / "tokenizer_config.json", lambda v: v.update(do_lower_case=not v.get("do_lower_case", False))
    ),
    "pooling": lambda folder: edit_json(folder / "1_Pooling" / "config.json", change_pooling),
    "normalising": lambda folder: edit_json(folder / "modules.json", lambda v: v.pop()),
    "prompts": lambda folder: edit_json(
        folder / "config_sentence_transformers.json", lambda v: v.update(prompts={"query": "query: ", "document": ""})
    ),
    "passage prompt": lambda folder: edit_json(
        folder / "config_sentence_transformers.json", lambda v: v.update(prompts={"query": "", "document": "text: "})
    ),
    "window": lambda folder: edit_json(folder / "tokenizer_config.json", lambda v: v.update(model_max_length=128)),
    "activation": lambda folder: edit_json(folder / "config.json", lambda v: v.update(hidden_act="relu")),
    "norm of the layers": lambda folder: edit_json(folder / "config.json", lambda v: v.update(layer_norm_eps=1e-3)),
    "heads": lambda folder: edit_json(
        folder / "config.json", lambda v: v.update(num_attention_heads=v["num_attention_heads"] // 2)
    ),
}


def change_pooling(config):
    if "pooling_mode" in config:
        config["pooling_mode"] = "cls"
    else:
        config.update(pooling_mode_mean_tokens=False, pooling_mode_cls_token=True)


REFUSAL = re.compile(
    r"was built with embedder (?P<built>[0-9a-f]{8}) \(.*\) but (?P<loaded>[0-9a-f]{8}) \(.*\) is loaded\. "
    r"Rebuild it: rag build --index-dir "
)


class Under(HashEmbedder):
    """The hash embedder under another fingerprint."""

    def __init__(self, fingerprint, **options):
        super().__init__(**options)
        self._fingerprint = fingerprint

    @property
    def fingerprint(self):
        return self._fingerprint


@pytest.fixture(scope="module")
def built_in():
    """Return the fingerprint of the built-in embedder."""
    return Embedder.open().fingerprint


def refusal(index_dir, embedder):
    """Return what opening the index says, None if it is answered from."""
    try:
        Retriever.open(index_dir, embedder=embedder)
    except IndexMismatchError as error:
        return str(error)
    return None


def test_every_part_of_the_fingerprint_counts(ram_path, make_corpus, built_in, tally):
    """The model's name does not: the same files under another name are the same model."""
    corpus = make_corpus(ram_path / "corpus", {"a.txt": "A text about budgets."})
    index_dir = ram_path / "index"
    build_index(corpus, index_dir, embedder=Under(built_in))
    assert IndexStore(index_dir).open_current().manifest.embedder == built_in
    expected = {"weights", "tokenizer", "modules", "pooling", "query_prompt", "passage_prompt", "window", "dim"}
    assert set(built_in) == expected | {"name"}
    for part in sorted(expected):
        value = built_in[part]
        other = Under({**built_in, part: value + 1 if isinstance(value, int) else f"{value}x"})
        said = REFUSAL.search(refusal(index_dir, other) or "")
        held = said is not None and said["built"] == fingerprint_hash(built_in)
        held = held and said["loaded"] == fingerprint_hash(other.fingerprint) != said["built"]
        tally.case(held, f"{part}: {said}")
        assert held
    assert refusal(index_dir, Under({**built_in, "name": "elsewhere"})) is None


@pytest.mark.parametrize("what", MUTATIONS)
def test_a_mutated_model_is_another_model(tmp_path, ram_path, make_corpus, built_in, what, tally, is_full):
    folder = tmp_path / "model"
    shutil.copytree(DEFAULT_EMBEDDER, folder)
    before = files_of(folder)
    MUTATIONS[what](folder)
    assert files_of(folder) != before
    if is_full:  # the network itself; it loads torch
        try:
            other = Embedder.open(folder).fingerprint
        except ModelNotFoundError as error:  # refused before there is a fingerprint
            held = any(remedy in str(error) for remedy in ("Choose", "Fetch", "Name a"))
            tally.case(held, str(error))
            assert held
            return
    elif what in ("prompts", "passage prompt"):
        return  # a full run reads these through the network; the test above has their parts of the fingerprint
    else:
        other = {**built_in, **hash_folder(folder)}
    corpus = make_corpus(ram_path / "corpus", {"a.txt": "A text about budgets."})
    build_index(corpus, ram_path / "index", embedder=Under(built_in))
    said = refusal(ram_path / "index", Under(other))
    held = said is not None and REFUSAL.search(said) is not None and str(ram_path / "index") in said
    tally.case(held, f"{what}: {said}")
    assert held


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.json") if path.is_file()} | {
        path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")
    }


def test_a_running_retriever_does_not_follow_another_model(ram_path, make_corpus, tally):
    corpus = make_corpus(ram_path / "corpus", {"a.txt": "A text about budgets."})
    build_index(corpus, ram_path / "index", embedder=HashEmbedder())
    retriever = Retriever.open(ram_path / "index", embedder=HashEmbedder())
    build_index(corpus, ram_path / "index", embedder=HashEmbedder(seed=1))
    held = retriever.refresh().generation.name == "gen-000001"
    held = held and REFUSAL.search(retriever.warning or "") is not None
    tally.case(held, str(retriever.warning))
    assert held


class Bad(HashEmbedder):
    """Gives one passage a vector that is none."""

    def __init__(self, value):
        super().__init__()
        self._value = value

    def encode_passages(self, texts, *, progress=None):
        matrix = super().encode_passages(texts, progress=progress)
        for row, text in enumerate(texts):
            if "poisoned" in text:
                matrix[row] = self._value if np.isscalar(self._value) else self._value(matrix[row])
        return matrix


BAD = {
    "NaN": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "zero": 0.0,
    "one NaN": lambda row: np.where(np.arange(len(row)) == 3, np.nan, row),
    "twice as long": lambda row: 2 * row,
}


@pytest.mark.parametrize("what", BAD)
def test_a_vector_that_is_none_is_refused_with_its_passage(ram_path, make_corpus, what, tally):
    corpus = make_corpus(ram_path / "corpus", {"a.txt": "A text about budgets."})
    build_index(corpus, ram_path / "index", embedder=HashEmbedder())
    make_corpus(corpus, {"b.txt": "Another text.", "c.txt": "A poisoned text."})
    with pytest.raises(RagError, match=r"gave no unit vector for the passage c\.txt:0-16\. Choose another") as caught:
        build_index(corpus, ram_path / "index", embedder=Bad(BAD[what]))
    held = IndexStore(ram_path / "index").open_current().name == "gen-000001"
    tally.case(held, f"{what}: {caught.value}")
    assert held


def test_without_the_check_a_wrong_model_is_answered_from(ram_path, make_corpus, monkeypatch):
    monkeypatch.setattr("rag.retriever.snapshot._check_embedder", lambda *arguments: None)
    corpus = make_corpus(ram_path / "corpus", {"a.txt": "A text about budgets."})
    build_index(corpus, ram_path / "index", embedder=HashEmbedder())
    assert refusal(ram_path / "index", HashEmbedder(seed=1)) is None
