"""What runs a model: sentence-transformers for any, ONNX Runtime for the built-in one.

The only home of sentence-transformers. Only safetensors weights are read, and no code that comes with a model is run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rag.bert import Bert
from rag.embedder.folders import first_line
from rag.errors import ModelNotFoundError

Rows = npt.NDArray[np.float32]

_WIDEST_WINDOW = 8192  # for models that name none


class Network(Protocol):
    """What an embedder needs of the model behind it.

    Attributes:
        prompts: The model's own, by prompt name.
        window: Tokens it reads, special ones and prompt included.
        pooling: How token vectors become one.
        dim: Length of a vector.
        batch_size: Texts of one call that it handles well.
    """

    prompts: Mapping[str, str | None]
    window: int
    pooling: str
    dim: int
    batch_size: int

    def count(self, texts: list[str]) -> list[int]:
        """Return the tokens of each text, special ones included."""

    def encode(self, texts: list[str], *, prompt: str, is_query: bool) -> Rows:
        """Return a vector a text, shape (len(texts), dim), of any length."""


class OnnxNetwork:
    """A BERT model with mean pooling, by `rag.bert.Bert`: the built-in embedder."""

    batch_size = 8  # a quarter faster than 32: less padding, and what one layer hands to the next stays in the cache

    def __init__(self, folder: Path) -> None:
        try:
            self._bert = Bert(folder)
            settings, pooling, tokenizer, model = (
                json.loads((folder / name).read_text("utf-8"))
                for name in (
                    "config_sentence_transformers.json",
                    "1_Pooling/config.json",
                    "tokenizer_config.json",
                    "config.json",
                )
            )
        except (OSError, ValueError) as error:
            raise ModelNotFoundError(
                f"the embedder in {folder} cannot be opened: {first_line(error)}. Install the package again"
            ) from error
        self.prompts: Mapping[str, str | None] = settings["prompts"]
        self.pooling, self.window, self.dim = (
            str(pooling["pooling_mode"]),
            int(tokenizer["model_max_length"]),
            int(model["hidden_size"]),
        )

    def count(self, texts: list[str]) -> list[int]:
        """See `Network.count`."""
        return self._bert.count(texts)

    def encode(self, texts: list[str], *, prompt: str, is_query: bool) -> Rows:
        """See `Network.encode`."""
        encodings = self._bert.tokens([prompt + text for text in texts], max_tokens=self.window)
        states = self._bert.run(encodings)
        return np.stack([states[row, : len(encoding.ids)].mean(axis=0) for row, encoding in enumerate(encodings)])


class TwoTowers:
    """A network with the n-gram tower of ``folder`` beside it: one vector, the two unit vectors one after the other.

    The inner product of two such vectors is a weighted mean of the cosines that the towers give. The n-gram tower
    (``training/ngrams.py``) always runs in ONNX Runtime.
    """

    def __init__(self, first: Network, folder: Path) -> None:
        try:
            self._ngrams = Bert(folder)
            config = json.loads((folder / "config.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ModelNotFoundError(
                f"the embedder in {folder.parent} cannot be opened: {first_line(error)}. Install the package again"
            ) from error
        self._first = first
        self._scale = float(config["weight"]) ** 0.5
        self._max_tokens = int(config["max_tokens"])
        self.prompts, self.window, self.batch_size = first.prompts, first.window, first.batch_size
        self.pooling = f"{first.pooling}+ngrams"
        self.dim = first.dim + int(config["dim"])

    def count(self, texts: list[str]) -> list[int]:
        """See `Network.count`: the tokens of the first tower."""
        return self._first.count(texts)

    def encode(self, texts: list[str], *, prompt: str, is_query: bool) -> Rows:
        """See `Network.encode`."""
        states = unit_rows(self._first.encode(texts, prompt=prompt, is_query=is_query))
        encodings = self._ngrams.tokens([prompt + text for text in texts], max_tokens=self._max_tokens)
        return np.concatenate([states, self._scale * unit_rows(self._ngrams.run(encodings))], axis=1)


class SentenceTransformerNetwork:
    """Any model of sentence-transformers.

    Args:
        folder: Checked before by `check_folder`.
        name: For messages.
        device: A torch device; None takes a GPU where there is one.

    Raises:
        ModelNotFoundError: sentence-transformers cannot open it.
    """

    def __init__(self, folder: Path, *, name: str, device: str | None) -> None:
        # Read when torch loads OpenMP. Threads that wait by spinning take the processor from those they wait for as
        # soon as anything else runs: a query took 670 ms instead of 30 on two busy cores.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # Imported here so that `import rag` stays quick.
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        had_progress_bar = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            self._model = SentenceTransformer(
                str(folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
            )
        except Exception as error:
            raise ModelNotFoundError(
                f"the embedder {name} cannot be opened from {folder}: {first_line(error)}. "
                "Name a sentence-transformers model with safetensors weights, or leave --embedder out "
                "to use the built-in one"
            ) from error
        finally:
            if had_progress_bar:
                transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        self._model.eval()
        self.prompts: Mapping[str, str | None] = self._model.prompts
        window = self._model.max_seq_length
        self.window = int(window) if window is not None and 0 < window <= _WIDEST_WINDOW else _WIDEST_WINDOW
        self.pooling = next((str(m.pooling_mode) for m in self._model.modules() if hasattr(m, "pooling_mode")), "none")
        self.dim = int(self._model.encode([""], show_progress_bar=False).shape[1])
        self.batch_size = 32 if self._model.device.type == "cpu" else 256

    def count(self, texts: list[str]) -> list[int]:
        """See `Network.count`."""
        tokenizer = self._model.tokenizer
        if callable(tokenizer):
            encoded = tokenizer(texts, truncation=False, padding=False, return_attention_mask=False, verbose=False)
            return [len(ids) for ids in encoded["input_ids"]]
        return [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]  # static models

    def encode(self, texts: list[str], *, prompt: str, is_query: bool) -> Rows:
        """See `Network.encode`."""
        encode: Any = self._model.encode_query if is_query else self._model.encode_document
        vectors = encode(texts, prompt=prompt, batch_size=self.batch_size, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)


def unit_rows(vectors: Rows) -> Rows:
    """Scale each row to L2 norm 1; a row that is zero or not finite becomes one constant direction.

    Args:
        vectors: Shape (n, dim).
    """
    with np.errstate(invalid="ignore", over="ignore"):
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        is_usable = np.isfinite(norms) & (norms > 0)
        scaled = np.where(is_usable, vectors / np.where(is_usable, norms, 1.0), 1.0 / np.sqrt(vectors.shape[1]))
    return np.ascontiguousarray(scaled, dtype=np.float32)


def has_gpu() -> bool:
    """Return whether torch would find a GPU; torch is asked only where a driver is there."""
    if not Path("/dev/nvidiactl").exists():
        return False
    import torch

    return bool(torch.cuda.is_available())
