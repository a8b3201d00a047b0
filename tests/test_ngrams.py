"""The n-gram tower of the built-in embedder: the shipped graph against the network that was trained, and its making."""

from __future__ import annotations

import shutil
import struct
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from test_bert import TEXTS

from rag.bert import Bert, graph_of
from rag.embedder import DEFAULT_EMBEDDER, Embedder, unit_rows
from rag.embedder.networks import OnnxNetwork, TwoTowers
from rag.errors import ModelNotFoundError

sys.path.insert(0, str(Path(__file__).parents[1]))
from training.graph import ngrams  # noqa: E402
from training.ngrams import (  # noqa: E402
    DIM,
    FEATURES,
    HIDDEN,
    WIDTHS,
    Ngrams,
    cut_tokenizer,
    kept_pieces,
    make_tokenizer,
    pack_rows,
    read_tokenizer,
    rounded,
    unpack_rows,
)

FOLDER = DEFAULT_EMBEDDER / "ngrams"


def test_the_graph_gives_what_the_trained_network_gives():
    tower = Bert(FOLDER)
    ours = unit_rows(tower.run(tower.tokens(TEXTS, max_tokens=512)))
    np.testing.assert_allclose(ours, rounded(FOLDER).encode(TEXTS).numpy(), atol=2e-5)


def test_a_text_has_the_same_vector_alone_and_beside_longer_ones():
    tower = Bert(FOLDER)
    together = tower.run(tower.tokens(TEXTS, max_tokens=512))
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(tower.run(tower.tokens([text], max_tokens=512))[0], together[row], atol=2e-5)


def test_the_graph_is_the_one_that_the_weights_want():
    assert graph_of(FOLDER).read_bytes() == ngrams(FOLDER).SerializeToString()


def test_the_embedder_weighs_the_cosines_of_both_towers():
    embedder, first = Embedder.open(), OnnxNetwork(DEFAULT_EMBEDDER)
    both = TwoTowers(first, FOLDER)
    texts = ["ما التسويق بالمحتوى؟", "What is content marketing?", "الطقس اليوم"]
    vectors = embedder.encode_passages(texts)
    states = unit_rows(first.encode(texts, prompt="", is_query=False))
    tower = Bert(FOLDER)
    grams = unit_rows(tower.run(tower.tokens(texts, max_tokens=512)))
    weight = both._scale**2
    wanted = (states @ states.T + weight * (grams @ grams.T)) / (1 + weight)
    np.testing.assert_allclose(vectors @ vectors.T, wanted, atol=1e-5)
    assert embedder.dim == first.dim + DIM == both.dim


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_tower_says_what_to_do(tmp_path, name):
    shutil.copytree(FOLDER, tmp_path / "ngrams")
    shutil.copy(graph_of(FOLDER), tmp_path / "ngrams.onnx")
    path = tmp_path / "ngrams" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelNotFoundError, match="Install the package again"):
        TwoTowers(OnnxNetwork(DEFAULT_EMBEDDER), tmp_path / "ngrams")


def test_the_tower_is_in_the_fingerprint(tmp_path):
    shutil.copytree(DEFAULT_EMBEDDER, tmp_path / "embedder")
    weights = tmp_path / "embedder" / "ngrams" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    changed = Embedder.open(tmp_path / "embedder", device="cpu")
    built_in = Embedder.open()
    assert changed.fingerprint["weights"] != built_in.fingerprint["weights"]


# ---------------------------------------------------------------------------------------------- making it

PIECES = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁", -3.0), ("▁ملح", -4.0), ("▁salt", -4.0), ("س", -6.0),
          ("▁塩", -5.0), ("▁กา", -5.0), ("s", -6.0)]  # fmt: skip


def charsmap() -> bytes:
    """Return a map that changes nothing: a double array in which no byte leads anywhere, and no replacements."""
    return struct.pack("<I", 4 * 256) + bytes(4 * 256) + b"\x00"


def toy() -> Ngrams:
    rng = np.random.default_rng(3)
    shapes = {"table": (len(PIECES), DIM), "ln_g": (FEATURES,), "ln_b": (FEATURES,), "cnn_W": (FEATURES, DIM)}
    shapes |= {"cnn_b": (DIM,), "d0": (DIM, 320), "d1": (320, 320), "p1": (DIM, 320), "d2": (320, DIM)}
    shapes |= {"p3": (320, DIM), "d3": (DIM, DIM)}
    for width in WIDTHS:
        shapes |= {f"proj{width}": (DIM, HIDDEN), f"proj_b{width}": (HIDDEN,)}
        shapes |= {f"ln_g{width}": (HIDDEN,), f"ln_b{width}": (HIDDEN,)}
        for layer in (1, 2):
            shapes |= {f"w{layer}_{width}": (width * HIDDEN, HIDDEN), f"b{layer}_{width}": (HIDDEN,)}
    weights = {name: (rng.standard_normal(shape) * 0.1).astype(np.float32) for name, shape in shapes.items()}
    return Ngrams(weights, make_tokenizer(PIECES, charsmap()))


def test_pieces_of_our_scripts_are_kept_and_numbered_anew():
    tokenizer = make_tokenizer(PIECES, charsmap())
    kept = kept_pieces(tokenizer, Counter({3: 9, 5: 2, 7: 2, 8: 50, 9: 1}), at_least=2)
    assert kept == [0, 1, 2, 3, 4, 5, 6, 7]  # Arabic unseen too; no Thai; "s" is too rare
    cut = cut_tokenizer(tokenizer, kept)
    assert cut.encode("salt ملح").tokens == ["<s>", "▁salt", "▁ملح", "</s>"]
    assert cut.get_vocab_size() == len(kept)


def test_four_bits_a_number_keep_the_direction_of_a_row():
    rows = np.random.default_rng(1).standard_normal((40, DIM)).astype(np.float32) * np.logspace(-3, 1, 40)[:, None]
    rows[7] = 0
    packed, scale = pack_rows(rows.astype(np.float32))
    assert packed.shape == (40, DIM // 2) and scale.shape == (40, DIM // 64)
    back = unpack_rows(packed, scale)
    cosines = (unit_rows(rows) * unit_rows(back)).sum(axis=1)
    assert np.delete(cosines, 7).min() > 0.985
    assert not back[7].any()


def message(number: int, value: bytes) -> bytes:
    size = bytes([len(value)]) if len(value) < 128 else bytes([len(value) & 127 | 128, len(value) >> 7])
    return bytes([number << 3 | 2]) + size + value


def test_a_sentencepiece_model_of_the_first_layout_is_read(tmp_path):
    pieces = b"".join(
        message(1, message(1, piece.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", score))
        for piece, score in PIECES
    )
    (tmp_path / "sp.model").write_bytes(pieces + message(3, bytes([1 << 3, 7]) + message(2, charsmap())))
    read = read_tokenizer(tmp_path / "sp.model")
    assert read.to_str() == make_tokenizer(PIECES, charsmap()).to_str()


def test_a_step_of_training_moves_every_weight_and_lowers_the_loss():
    torch.manual_seed(0)
    network = toy()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    dense = torch.optim.Adam(network.dense.parameters(), lr=1e-3)
    rows = torch.optim.SparseAdam(network.table.parameters(), lr=1e-3)
    losses = []
    for _ in range(6):
        asked, read = network(["ملح", "salt s", "塩"], 48), network(["salt", "ملح س", "塩 s"], 48)
        loss = torch.nn.functional.cross_entropy(asked @ read.T * 20, torch.arange(3))
        dense.zero_grad(), rows.zero_grad()
        loss.backward()
        dense.step(), rows.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert [name for name, value in network.state_dict().items() if torch.equal(value, before[name])] == []


def test_texts_of_a_batch_do_not_see_each_other():
    network = toy()
    texts = ["salt", "ملح س ملح", "", "s s s s s"]
    together = network.encode(texts)
    for row, text in enumerate(texts):
        torch.testing.assert_close(network.encode([text])[0], together[row], atol=1e-5, rtol=0)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(4))
