"""What many tests share: an embedder that is a pure function of the text, and corpora from a dict."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import pytest
from garden import address, browser, own_address, visitor, visitors  # noqa: F401  (fixtures of the browser tests)


class HashEmbedder:
    """Unit bag-of-words vectors: each word is hashed to one axis and a sign. Has the interface of ``Embedder``.

    ``encoded`` lists every passage text it was ever asked to embed.
    """

    def __init__(self, *, name: str = "hash", dim: int = 64, max_tokens: int = 256, seed: int = 0) -> None:
        self.name, self.dim, self.max_tokens, self.seed = name, dim, max_tokens, seed
        self.encoded: list[str] = []

    @property
    def fingerprint(self) -> dict[str, str | int]:
        return {"name": self.name, "weights": f"hash-{self.seed}", "window": self.max_tokens, "dim": self.dim}

    def encode_queries(self, queries: Sequence[str]) -> npt.NDArray[np.float32]:
        return self._encode(queries)

    def encode_passages(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        self.encoded += texts
        if progress is not None:
            progress(len(texts))
        return self._encode(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(self._words(text)) + 2 for text in texts]

    def _encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        matrix = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in self._words(text):
                digest = hashlib.sha256(f"{self.seed} {word}".encode("utf-8", "surrogatepass")).digest()
                matrix[row, int.from_bytes(digest[:4], "little") % self.dim] += 1 if digest[4] % 2 else -1
            if not matrix[row].any():
                matrix[row, 0] = 1
        return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)

    @staticmethod
    def _words(text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())


@pytest.fixture
def fake_embedder() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture
def make_corpus() -> Callable[[Path, Mapping[str, str | bytes]], Path]:
    """Return a function that writes files (name under the folder to content) into a folder and returns the folder."""

    def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return folder

    return write


@pytest.fixture(scope="session")
def demo_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an index of the demo corpus, built once with the built-in models. Read only."""
    from rag import build_index

    index = tmp_path_factory.mktemp("demo") / "index"
    report = build_index(Path(__file__).parent.parent / "corpus", index)
    assert not report.failed, report.failed
    return index
