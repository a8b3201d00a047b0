"""The built-in models by ONNX Runtime: the very numbers that torch gives, from the same weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rag.bert import Bert, graph_of
from rag.embedder import DEFAULT_EMBEDDER, Embedder
from rag.errors import ModelNotFoundError
from rag.reader import DEFAULT_READER, Reader

sys.path.insert(0, str(Path(__file__).parents[1]))
from training.graph import bert, write_graph  # noqa: E402

TEXTS = [
    "",
    "ما الفرق بين التسويق الرقمي والتسويق الإلكتروني؟",
    "How do I spot a fake account?",
    "ويش يعني الريتش؟ 🙂 \u202e\x00",
    "مقطع طويل من كلمات كثيرة " * 90,
    "a very long passage, longer than the window " * 60,
]


def test_vectors_are_those_of_sentence_transformers():
    built_in, same = Embedder.open(), Embedder.open(device="cpu")
    assert type(built_in._network._first) is not type(same._network._first)
    assert built_in.fingerprint == same.fingerprint
    assert built_in.count_tokens(TEXTS) == same.count_tokens(TEXTS)
    np.testing.assert_allclose(built_in.encode_passages(TEXTS), same.encode_passages(TEXTS), atol=2e-6)
    np.testing.assert_allclose(built_in.encode_queries(TEXTS), same.encode_queries(TEXTS), atol=2e-6)


@pytest.mark.parametrize("question", ["من يوقع كل فاتورة؟", "word " * 100])
def test_readings_are_those_of_transformers(question):
    for ours, theirs in zip(Reader().read(question, TEXTS), Reader(device="cpu").read(question, TEXTS), strict=True):
        np.testing.assert_array_equal(ours.offsets, theirs.offsets)
        np.testing.assert_allclose(ours.starts, theirs.starts, atol=2e-4)
        np.testing.assert_allclose(ours.ends, theirs.ends, atol=2e-4)


@pytest.mark.parametrize("folder", [DEFAULT_EMBEDDER, DEFAULT_READER])
def test_the_graph_is_the_one_that_the_weights_want(folder):
    assert graph_of(folder).read_bytes() == bert(folder).SerializeToString()


@pytest.mark.parametrize("damage", ["graph", "weights", "tokenizer"])
def test_a_damaged_file_is_a_plain_error(tmp_path, damage):
    shutil.copytree(DEFAULT_EMBEDDER, tmp_path / "embedder")
    write_graph(tmp_path / "embedder")
    assert Bert(tmp_path / "embedder").count(["one two"]) == [4]
    path = {
        "graph": tmp_path / "embedder.onnx",
        "weights": tmp_path / "embedder" / "encoder.safetensors",
        "tokenizer": tmp_path / "embedder" / "tokenizer.json",
    }[damage]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r".+"):
        Bert(tmp_path / "embedder")


def test_a_damaged_package_says_what_to_do(tmp_path, monkeypatch):
    shutil.copytree(DEFAULT_EMBEDDER, tmp_path / "embedder")
    monkeypatch.setattr("rag.embedder.embedder.DEFAULT_EMBEDDER", tmp_path / "embedder")
    with pytest.raises(ModelNotFoundError, match="Install the package again"):
        Embedder.open()


def test_neither_a_search_nor_an_answer_imports_torch(demo_index):
    code = (
        "import sys\n"
        "from rag import Chatbot, Retriever\n"
        f"answer = Chatbot(Retriever.open({str(demo_index)!r})).ask('What is social commerce?')\n"
        "assert answer.citations\n"
        "print([m for m in ('torch', 'transformers', 'sentence_transformers', 'gradio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
