"""Reads an index the way index/README.md describes it, without rag.store."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from pathlib import Path

import faiss
import numpy as np
import pytest
from safetensors.numpy import load_file

from rag.builder import build_index
from rag.chunking import embedder_texts
from rag.config import ChunkingConfig
from rag.store import IndexStore
from rag.text.analyzers import terms

README = Path(__file__).parent.parent / "index" / "README.md"
FILES = {
    "ar/ميزانية.md": "# الميزانية\n\n## بنود\n\nتُقسم الميزانية على القنوات: ٤٠٪ للإعلانات و٦٠٪ للمحتوى. 🙂\n",
    "en/budget.md": "# Budget\n\nA budget has channels.\n\n## Channels\n\nPaid ads take 40% of the budget.\n",
}


@pytest.fixture
def built(tmp_path, make_corpus, fake_embedder):
    build_index(make_corpus(tmp_path / "corpus", FILES), tmp_path / "index", embedder=fake_embedder)
    return tmp_path / "index"


def read(index_dir):
    name = re.fullmatch(r"(gen-[0-9]{6,12})\n", (index_dir / "CURRENT").read_text())[1]
    folder = index_dir / name
    data = (folder / "manifest.json").read_bytes()
    lines = data.splitlines(keepends=True)
    manifest = json.loads(data)
    assert lines[-2:] == [f'  "sha256": "{hashlib.sha256(b"".join(lines[:-2])).hexdigest()}"\n'.encode(), b"}\n"]
    assert (manifest["format_version"], manifest["generation"]) == (1, name)
    assert {path.name for path in folder.iterdir()} == {"manifest.json", *manifest["files"]}
    for file_name, entry in manifest["files"].items():
        content = (folder / file_name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    documents = [json.loads(line) for line in (folder / "documents.jsonl").read_bytes().decode().split("\n")[:-1]]
    passages = [json.loads(line) for line in (folder / "passages.jsonl").read_bytes().decode().split("\n")[:-1]]
    return folder, manifest, {document["doc_id"]: document for document in documents}, passages


def test_documents_and_passages_are_as_described(built, fake_embedder):
    _, manifest, documents, passages = read(built)
    generation = IndexStore(built).open_current()
    assert manifest["counts"] == {"documents": len(documents), "passages": len(passages), "dim": 64}
    assert manifest["languages"] == Counter(passage["language"] for passage in passages)
    assert list(documents) == sorted(FILES)
    lines = "".join(f"{doc_id}\0{hashlib.sha256(FILES[doc_id].encode()).hexdigest()}\n" for doc_id in sorted(FILES))
    assert manifest["corpus"] == hashlib.sha256(lines.encode()).hexdigest()
    order = [(passage["doc_id"], passage["start"]) for passage in passages]
    assert order == sorted(order)
    config = ChunkingConfig(**manifest["chunking"])
    inputs = embedder_texts(generation.passages, count_tokens=fake_embedder.count_tokens, config=config)
    for record, passage, text in zip(passages, generation.passages, inputs, strict=True):
        assert documents[record["doc_id"]]["text"][record["start"] : record["end"]] == passage.text != ""
        assert tuple(record["heading"]) == passage.heading and record["page"] is passage.page is None
        assert record["input"] == hashlib.sha256(text.encode()).hexdigest()[:32]
    for doc_id, record in documents.items():
        assert [heading.text for heading in generation.documents[doc_id].headings] == [
            record["text"][heading["start"] : heading["end"]] for heading in record["headings"]
        ]


def test_vectors_are_as_described(built):
    folder, manifest, _, passages = read(built)
    stored = faiss.read_index(str(folder / "vectors.faiss"))
    assert type(stored) is faiss.IndexFlatIP and (stored.ntotal, stored.d) == (len(passages), 64)
    size = len(passages) * manifest["counts"]["dim"]
    matrix = np.frombuffer((folder / "vectors.faiss").read_bytes()[-4 * size :], dtype="<f4").reshape(-1, 64)
    np.testing.assert_array_equal(matrix, IndexStore(built).open_current().vectors.reconstruct())
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-6)


def test_bm25_is_as_described(built):
    folder, manifest, documents, passages = read(built)
    generation = IndexStore(built).open_current()
    seen = []
    for language in manifest["languages"]:
        arrays = load_file(folder / f"bm25-{language}.safetensors")
        vocabulary = arrays["terms"].tobytes().decode().split("\n")[:-1]
        assert vocabulary == sorted(vocabulary)
        rows = arrays["passages"].tolist()
        seen += rows
        assert {passages[row]["language"] for row in rows} == {language}
        term = vocabulary[len(vocabulary) // 2]
        here = slice(*arrays["offsets"][vocabulary.index(term) :][:2])
        expected = np.zeros(len(rows))
        k1, b = arrays["parameters"]
        lengths = arrays["lengths"]
        df = here.stop - here.start
        for row, tf in zip(arrays["rows"][here], arrays["counts"][here], strict=True):
            passage = generation.passages[rows[row]]
            own = terms(f"{passage.context}\n{passage.text}", language)
            assert tf == own.count(term) and lengths[row] == len(own)
            idf = math.log(1 + (len(rows) - df + 0.5) / (df + 0.5))
            expected[row] = idf * tf / (tf + k1 * (1 - b + b * lengths[row] / lengths.mean()))
        np.testing.assert_allclose(generation.bm25[language][0].scores([term]), expected, rtol=1e-6)
    assert sorted(seen) == list(range(len(passages)))


def test_every_member_of_the_manifest_and_of_the_records_is_described(built):
    folder, manifest, documents, passages = read(built)
    described = README.read_text(encoding="utf-8")
    arrays = load_file(next(folder.glob("bm25-*")))
    for member in [*manifest, *manifest["counts"], *next(iter(documents.values())), *passages[0], *arrays]:
        assert f"`{member}`" in described, member
