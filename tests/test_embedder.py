"""The embedder: the built-in weights, prompts, robustness to any text, and models that are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rag.embedder import DEFAULT_EMBEDDER, Embedder, fingerprint_hash, resolve_prompts, unit_rows
from rag.errors import ModelNotFoundError


@pytest.fixture(scope="module")
def embedder():
    return Embedder.open()


def test_a_question_is_nearest_to_its_passage_in_both_languages(embedder):
    passages = embedder.encode_passages(
        [
            "Paris is the capital of France.",
            "Photosynthesis turns light into sugar.",
            "باريس هي عاصمة فرنسا.",
            "التمثيل الضوئي يحول الضوء إلى سكر.",
        ]
    )
    queries = embedder.encode_queries(["What is the capital of France?", "ما هي عاصمة فرنسا؟"])
    scores = queries @ passages.T
    assert set(np.argsort(-scores[0])[:2]) == {0, 2}
    assert set(np.argsort(-scores[1])[:2]) == {0, 2}


@pytest.mark.parametrize(
    "text", ["", " ", "\x00\x07", "\ud800 lone \udfff", "\u202e\u200f", "🙂", "ب" * 100_000, "a b " * 25_000, "١٢٣"]
)
def test_any_text_gives_a_finite_unit_vector(embedder, text):
    for vectors in (embedder.encode_queries([text]), embedder.encode_passages([text])):
        assert vectors.shape == (1, embedder.dim)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert embedder.count_tokens([text])[0] >= 2


def test_no_texts_give_no_rows(embedder):
    assert embedder.encode_passages([]).shape == (0, embedder.dim)
    assert embedder.encode_queries([]).shape == (0, embedder.dim)
    assert embedder.count_tokens([]) == []


def test_rows_keep_the_order_of_the_texts_whatever_their_lengths(embedder):
    texts = [f"{'word ' * (n * 7 % 23)}subject {n}" for n in range(70)]
    together = embedder.encode_passages(texts)
    for row in (0, 13, 31, 32, 69):
        np.testing.assert_allclose(together[row], embedder.encode_passages([texts[row]])[0], atol=1e-4)


def test_progress_counts_up_to_all_texts(embedder):
    seen = []
    embedder.encode_passages(["one"] * 70, progress=seen.append)
    assert seen[-1] == 70
    assert seen == sorted(set(seen))


def test_tokens_are_counted_beyond_the_window_and_a_cut_is_said(embedder, caplog):
    assert embedder.max_tokens == 256
    text = "house " * 1000
    assert embedder.count_tokens([text, "house"]) == [1002, 3]
    long_vector = embedder.encode_passages([text])
    assert "1 of 1 passages are longer than 256 tokens" in caplog.text
    cut = "house " * 254
    assert embedder.count_tokens([cut]) == [256]
    states = slice(0, 384)  # the transformer tower; the n-gram tower reads on
    np.testing.assert_allclose(long_vector[:, states], embedder.encode_passages([cut])[:, states], atol=1e-4)


def test_cached_queries_equal_fresh_ones_and_cannot_be_spoilt(embedder):
    first = embedder.encode_queries(["ما هو التسويق؟"])
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(embedder.encode_queries(["new one", "ما هو التسويق؟"])[1], kept[0])
    for n in range(600):
        embedder._query_cache[f"filler {n}"] = kept[0]
    embedder.encode_queries(["one more"])
    assert len(embedder._query_cache) == 512


def test_threads_may_share_one_embedder(embedder):
    texts = [f"question number {n} about {n * n}" for n in range(24)]
    expected = embedder.encode_passages(texts)

    def work(n):
        embedder.count_tokens(texts)
        return embedder.encode_passages([texts[n]])[0]

    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(work, range(len(texts))))
    np.testing.assert_allclose(rows, expected, atol=1e-4)


def test_queries_of_several_threads_are_embedded_in_one_batch(embedder, monkeypatch):
    queries = [f"How long is guarantee number {number}?" for number in range(12)]
    alone = {query: embedder.encode_passages([query])[0] for query in queries}
    batches = []
    encode, is_first_at_work = embedder._network.encode, threading.Event()

    def slow(texts, **options):
        batches.append(len(texts))
        is_first_at_work.set()
        time.sleep(0.3)  # the others come meanwhile
        return encode(texts, **options)

    monkeypatch.setattr(embedder._network, "encode", slow)
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(embedder.encode_queries, queries[:1])
        is_first_at_work.wait(10)
        others = [pool.submit(embedder.encode_queries, [query]) for query in queries[1:]]
        rows = [first.result()[0], *(other.result()[0] for other in others)]
    assert sum(batches) == 12 and len(batches) <= 4
    np.testing.assert_allclose(rows, [alone[query] for query in queries], atol=1e-5)


def test_who_asks_one_question_does_not_wait_for_a_thousand(embedder, monkeypatch):
    encode, is_at_work, done = embedder._network.encode, threading.Event(), []

    def slow(texts, **options):
        is_at_work.set()
        time.sleep(0.05)
        return encode(texts, **options)

    monkeypatch.setattr(embedder._network, "encode", slow)
    with ThreadPoolExecutor(2) as pool:
        many = pool.submit(embedder.encode_queries, [f"one of many {number}" for number in range(200)])
        many.add_done_callback(lambda _: done.append("many"))
        is_at_work.wait(10)
        pool.submit(embedder.encode_queries, ["just one"]).add_done_callback(lambda _: done.append("one"))
    assert done == ["one", "many"]


def test_each_thread_hears_of_what_went_wrong(embedder, monkeypatch):
    def fail(texts, **options):
        time.sleep(0.1)
        raise MemoryError("no room")

    monkeypatch.setattr(embedder._network, "encode", fail)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(embedder.encode_queries, [f"unheard of {number}"]) for number in range(4)]
        assert [type(each.exception(10)) for each in asked] == [MemoryError] * 4
    monkeypatch.undo()
    assert embedder.encode_queries(["unheard of 0"]).shape == (1, embedder.dim)


def test_fingerprint_tells_models_apart_but_not_names(embedder, tmp_path):
    fingerprint = embedder.fingerprint
    assert json.loads(json.dumps(fingerprint)) == fingerprint
    assert fingerprint["dim"] == embedder.dim
    assert fingerprint["pooling"] == "mean+ngrams"
    copy = tmp_path / "copy"
    shutil.copytree(DEFAULT_EMBEDDER, copy)
    (copy / "README.md").write_text("another card")
    same = Embedder.open(copy)
    assert same.name == str(copy)
    assert fingerprint_hash(same.fingerprint) == fingerprint_hash(fingerprint)
    config = json.loads((copy / "config_sentence_transformers.json").read_text())
    config["prompts"] = {"query": "ask: ", "document": "text: "}
    (copy / "config_sentence_transformers.json").write_text(json.dumps(config))
    prompted = Embedder.open(copy)
    assert (prompted.query_prompt, prompted.passage_prompt) == ("ask: ", "text: ")
    assert prompted.max_tokens == 254
    assert fingerprint_hash(prompted.fingerprint) != fingerprint_hash(fingerprint)
    np.testing.assert_allclose(prompted.encode_queries(["x"]), embedder.encode_queries(["ask: x"]), atol=1e-5)
    np.testing.assert_allclose(prompted.encode_passages(["x"]), embedder.encode_passages(["text: x"]), atol=1e-5)
    weights = bytearray((copy / "encoder.safetensors").read_bytes())
    weights[-7] ^= 1
    (copy / "encoder.safetensors").write_bytes(weights)
    assert Embedder.open(copy).fingerprint["weights"] != fingerprint["weights"]


@pytest.mark.parametrize(
    ("own", "name", "expected"),
    [
        ({"query": "", "document": ""}, "built-in", ("", "")),
        ({}, "intfloat/multilingual-e5-small", ("query: ", "passage: ")),
        ({}, "/models/multilingual-e5-base", ("query: ", "passage: ")),
        ({}, "models--intfloat--e5-small-v2", ("query: ", "passage: ")),
        ({}, "BAAI/bge-m3", ("", "")),
        ({}, "BAAI/bge-small-en-v1.5", ("Represent this sentence for searching relevant passages: ", "")),
        ({}, "nomic-ai/nomic-embed-text-v2-moe", ("search_query: ", "search_document: ")),
        ({"query": "Q: ", "passage": "P: "}, "intfloat/multilingual-e5-small", ("Q: ", "P: ")),
        ({"retrieval.query": "Q: "}, "someone/model", ("Q: ", "")),
        ({}, "someone/safe5-large", ("", "")),
    ],
)
def test_prompts_are_the_models_own_or_its_familys(own, name, expected):
    assert resolve_prompts(own, name) == expected


def test_an_instruct_model_is_not_taken_for_its_plain_family():
    query, passage = resolve_prompts({}, "intfloat/multilingual-e5-large-instruct")
    assert query.startswith("Instruct: ")
    assert query.endswith("Query: ")
    assert passage == ""


def test_unit_rows_replaces_what_has_no_direction():
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [1e30, 0]], dtype=np.float32))
    np.testing.assert_allclose(rows[0], [0.6, 0.8], atol=1e-6)
    np.testing.assert_allclose(rows[4], [1, 0], atol=1e-6)
    np.testing.assert_allclose(rows[1:4], 2**-0.5, atol=1e-6)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"neither modules\.json nor config\.json"):
        Embedder.open(tmp_path)


@pytest.mark.parametrize("name", ["./no/such/folder", "/no/such/folder", "../x", "what is this?"])
def test_a_path_that_does_not_exist_is_not_looked_for_on_the_hub(name, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ModelNotFoundError, match="Give a folder that exists"):
        Embedder.open(name)


def test_an_unknown_hub_name_is_one_clear_error(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFoundError, match=r"no folder nobody/none-such.*Give a folder"):
        Embedder.open("nobody/none-such")


def _copy_without_weights(tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(DEFAULT_EMBEDDER, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    return copy


def _add_weights(copy):
    for path in DEFAULT_EMBEDDER.glob("*.safetensors"):
        shutil.copy(path, copy)


def test_pickled_weights_are_never_read(tmp_path):
    copy = _copy_without_weights(tmp_path)
    (copy / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelNotFoundError, match="safetensors"):
        Embedder.open(copy)
    _add_weights(copy)
    (copy / "1_Pooling" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelNotFoundError, match="pickled weights"):
        Embedder.open(copy)


def test_code_that_comes_with_a_model_is_never_run(tmp_path):
    copy = _copy_without_weights(tmp_path)
    _add_weights(copy)
    modules = json.loads((copy / "modules.json").read_text())
    modules[0]["type"] = "evil.Evil"
    (copy / "modules.json").write_text(json.dumps(modules))
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Evil: pass\n")
    with pytest.raises(ModelNotFoundError, match="code of its own"):
        Embedder.open(copy)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("text", ["{", "[]x", '[{"name": "0"}]', '["x"]', '{"a": 1}'])
def test_a_damaged_model_folder_is_one_clear_error(tmp_path, text):
    copy = _copy_without_weights(tmp_path)
    (copy / "encoder.safetensors").write_bytes(b"not weights")
    (copy / "modules.json").write_text(text)
    with pytest.raises(ModelNotFoundError, match="damaged"):
        Embedder.open(copy)


def test_cut_weights_are_one_clear_error(tmp_path):
    copy = _copy_without_weights(tmp_path)
    _add_weights(copy)
    data = (copy / "encoder.safetensors").read_bytes()
    (copy / "encoder.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelNotFoundError, match="cannot be opened"):
        Embedder.open(copy)


def test_importing_the_module_loads_no_heavy_library():
    code = "import sys, rag.embedder; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_printed_while_a_model_loads_and_encodes(capfd):
    Embedder.open().encode_passages(["a", "b"])
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_the_fingerprint_is_of_the_weights_that_were_loaded(tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(DEFAULT_EMBEDDER, copy)
    model = Embedder.open(copy)
    with (copy / "encoder.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert model.fingerprint["weights"] == Embedder.open().fingerprint["weights"]


def test_who_asks_while_passages_are_embedded_waits_for_one_batch_and_not_for_all(embedder):
    """A rebuild of the server embeds with the model that answers: nobody may wait for the end of it."""
    done: list[int] = []
    texts = [f"Passage number {number} on budgets, channels and campaigns. " * 6 for number in range(160)]
    building = threading.Thread(target=lambda: embedder.encode_passages(texts, progress=done.append))
    building.start()
    while not done:
        time.sleep(0.01)
    for number in range(3):
        embedder.encode_queries([f"a question that nobody asked before {number}"])
        embedder.count_tokens(["a word"])
    answered_at = done[-1]
    building.join()
    assert done[-1] == 160 and answered_at < 120
