"""Text to unit vectors: the built-in embedder, or any sentence-transformers model by folder or hub name.

The only home of sentence-transformers. Nothing is fetched unless the caller names a hub model that is not
cached yet; only safetensors weights are read, and no code that comes with a model is run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import ModelNotFoundError
from rag.text.fold import for_tokenizer

logger = logging.getLogger(__name__)

DEFAULT_EMBEDDER = Path(__file__).parent / "models" / "embedder"

_HUB_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")
_HUB_SKIPPED = ("onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*")
_WEIGHTS, _TOKENIZER = ("*.safetensors",), ("tokenizer*.json", "special_tokens_map.json", "vocab*", "*.model")
_WIDEST_WINDOW = 8192  # for models that name none
_CACHED_QUERIES = 512

# Families whose published models carry no prompts in their own configuration, by their model cards. The first
# pattern found in the lower-case name decides; a model's own prompts always win.
_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
_FAMILY_PROMPTS: tuple[tuple[str, str, str], ...] = (
    (r"e5-.*instruct|qwen3-embedding|gte-qwen", _INSTRUCT, ""),
    (r"(^|[/_-])e5-", "query: ", "passage: "),
    (r"bge-m3", "", ""),
    (r"bge-.*-en", "Represent this sentence for searching relevant passages: ", ""),
    (r"bge-.*-zh", "为这个句子生成表示以用于检索相关文章：", ""),
    (r"nomic-embed|modernbert-embed", "search_query: ", "search_document: "),
    (r"arctic-embed.*-v2", "query: ", ""),
    (r"arctic-embed|mxbai-embed", "Represent this sentence for searching relevant passages: ", ""),
    (r"embeddinggemma", "task: search result | query: ", "title: none | text: "),
)
_QUERY_NAMES = ("query", "retrieval.query", "search_query", "web_search_query", "retrieval_query", "s2p_query")
_PASSAGE_NAMES = ("document", "passage", "corpus", "retrieval.passage", "search_document", "retrieval_passage")


class Embedder:
    """A model that turns queries and passages into unit vectors of one space. Safe to share between threads.

    Attributes:
        name: What the model was opened by; ``"built-in"`` for the shipped one.
        dim: Length of a vector.
        max_tokens: Tokens of a passage, special tokens included, that the model reads; the rest is cut off.
            Counted by `count_tokens`; the passage prompt is already subtracted.
        fingerprint: What decides the vectors, for the manifest of an index; equal but for ``name`` means equal
            vectors. ``weights``, ``tokenizer`` and ``modules`` (the configuration of the network and its pooling)
            are sha256 sums in hex.
    """

    def __init__(self, folder: Path, *, name: str, device: str | None = None) -> None:
        """Load the model in ``folder``; see `Embedder.open`, which also finds it."""
        _check_folder(folder, name)
        hashes = _hash_folder(folder)  # now, so that they stand for the weights that are loaded next
        # Read when torch loads OpenMP. Threads that wait by spinning take the processor from those they wait for as
        # soon as anything else runs: a query took 670 ms instead of 30 on two busy cores.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # The one home of sentence-transformers; imported here so that `import rag` stays quick.
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
                f"the embedder {name} cannot be opened from {folder}: {_first_line(error)}. "
                "Name a sentence-transformers model with safetensors weights, or leave --embedder out "
                "to use the built-in one"
            ) from error
        finally:
            if had_progress_bar:
                transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        self._model.eval()
        self.name = name
        self._lock = threading.RLock()
        self._query_cache: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()
        self.query_prompt, self.passage_prompt = resolve_prompts(self._model.prompts, name)
        self._window = _window_of(self._model)
        self.dim = int(self._model.encode([""], show_progress_bar=False).shape[1])
        prompt_tokens = self._count([self.passage_prompt])[0] - self._count([""])[0] if self.passage_prompt else 0
        self.max_tokens = self._window - prompt_tokens
        self.fingerprint = self._fingerprint(hashes)

    @classmethod
    def open(cls, name_or_path: str | Path | None = None, *, device: str | None = None) -> Embedder:
        """Open the built-in embedder, a local folder, or a model of the Hugging Face hub.

        Args:
            name_or_path: None for the built-in embedder; a folder of a sentence-transformers (or plain
                transformers) model; or a hub name such as ``"intfloat/multilingual-e5-small"``, which is
                looked for in the local cache and fetched only if it is not there.
            device: A torch device; None takes a GPU where there is one.

        Raises:
            ModelNotFoundError: No such folder, the hub cannot be reached or has no such model, the model has
                no safetensors weights, or it wants to run code of its own.
        """
        if name_or_path is None:
            return cls(DEFAULT_EMBEDDER, name="built-in", device=device)
        path = Path(name_or_path).expanduser()
        if path.is_dir():
            is_built_in = path.resolve() == DEFAULT_EMBEDDER.resolve()
            return cls(path, name="built-in" if is_built_in else str(name_or_path), device=device)
        return cls(_hub_folder(name_or_path), name=str(name_or_path), device=device)

    def encode_queries(self, queries: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed queries.

        Returns:
            Shape (len(queries), dim), each row finite and of L2 norm 1, for any text, an empty one too.
        """
        cleaned = [for_tokenizer(query) for query in queries]
        with self._lock:
            missing = list(dict.fromkeys(text for text in cleaned if text not in self._query_cache))
            found = {text: self._query_cache[text] for text in cleaned if text not in set(missing)}
            if missing:
                found.update(zip(missing, self._encode(missing, is_query=True, progress=None), strict=True))
            for text in found:
                self._query_cache[text] = found[text]
                self._query_cache.move_to_end(text)
            while len(self._query_cache) > _CACHED_QUERIES:
                self._query_cache.popitem(last=False)
        rows = np.empty((len(cleaned), self.dim), dtype=np.float32)
        for row, text in enumerate(cleaned):
            rows[row] = found[text]
        return rows

    def encode_passages(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Embed passages, each with its context in front where it has one.

        Args:
            texts: What the model reads. A text of more than ``max_tokens`` is cut off there, and a warning
                is logged.
            progress: Called after each batch with the number of texts done so far.

        Returns:
            Shape (len(texts), dim), in the order of ``texts``, each row finite and of L2 norm 1.
        """
        with self._lock:
            return self._encode([for_tokenizer(text) for text in texts], is_query=False, progress=progress)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the model's tokens in each text, special tokens included, prompts not."""
        with self._lock:
            return self._count([for_tokenizer(text) for text in texts])

    def _fingerprint(self, hashes: Mapping[str, str]) -> dict[str, str | int]:
        pooling = next((str(m.pooling_mode) for m in self._model.modules() if hasattr(m, "pooling_mode")), "none")
        return {
            "name": self.name,
            **hashes,
            "pooling": pooling,
            "query_prompt": self.query_prompt,
            "passage_prompt": self.passage_prompt,
            "window": self._window,
            "dim": self.dim,
        }

    def _count(self, texts: list[str]) -> list[int]:
        if not texts:
            return []
        tokenizer = self._model.tokenizer
        if callable(tokenizer):
            encoded = tokenizer(texts, truncation=False, padding=False, return_attention_mask=False, verbose=False)
            return [len(ids) for ids in encoded["input_ids"]]
        return [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]  # static models

    def _encode(
        self, texts: list[str], *, is_query: bool, progress: Callable[[int], None] | None
    ) -> npt.NDArray[np.float32]:
        prompt = self.query_prompt if is_query else self.passage_prompt
        encode: Any = self._model.encode_query if is_query else self._model.encode_document
        rows = np.empty((len(texts), self.dim), dtype=np.float32)
        counts = np.asarray(self._count(texts), dtype=np.int64)
        n_cut = int((counts > self.max_tokens).sum())
        if n_cut:
            kind = "queries" if is_query else "passages"
            logger.warning("%d of %d %s are longer than %d tokens and cut", n_cut, len(texts), kind, self.max_tokens)
        order = np.argsort(-counts, kind="stable")  # like lengths together: little padding
        batch_size = 32 if self._model.device.type == "cpu" else 256
        for begin in range(0, len(texts), batch_size):
            batch = order[begin : begin + batch_size]
            vectors = encode(
                [texts[row] for row in batch], prompt=prompt, batch_size=batch_size, show_progress_bar=False
            )
            rows[batch] = unit_rows(np.asarray(vectors, dtype=np.float32))
            if progress is not None:
                progress(begin + len(batch))
        return rows


def unit_rows(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scale each row to L2 norm 1; a row that is zero or not finite becomes one constant direction.

    Args:
        vectors: Shape (n, dim).
    """
    with np.errstate(invalid="ignore", over="ignore"):
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        is_usable = np.isfinite(norms) & (norms > 0)
        scaled = np.where(is_usable, vectors / np.where(is_usable, norms, 1.0), 1.0 / np.sqrt(vectors.shape[1]))
    return np.ascontiguousarray(scaled, dtype=np.float32)


def fingerprint_hash(fingerprint: Mapping[str, object]) -> str:
    """Return 8 hex digits that stand for a fingerprint, whatever the model was named."""
    decisive = {key: value for key, value in fingerprint.items() if key != "name"}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:8]


def resolve_prompts(own_prompts: Mapping[str, str | None], name: str) -> tuple[str, str]:
    """Return ``(query prompt, passage prompt)``: the model's own, else its family's, else empty ones.

    Args:
        own_prompts: The ``prompts`` of the model's configuration, by prompt name.
        name: Hub name or folder, from which the family is told.
    """
    own = {key.lower(): value for key, value in own_prompts.items() if value}
    if own:
        query = next((own[key] for key in _QUERY_NAMES if key in own), "")
        return query, next((own[key] for key in _PASSAGE_NAMES if key in own), "")
    # A hub model's cache folder spells owner/name as models--owner--name.
    family = name.lower().replace("--", "/").rstrip("/")
    for pattern, query, passage in _FAMILY_PROMPTS:
        if re.search(pattern, family):
            return query, passage
    return "", ""


def _window_of(model: Any) -> int:
    window = model.max_seq_length
    return int(window) if window is not None and 0 < window <= _WIDEST_WINDOW else _WIDEST_WINDOW


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _check_folder(folder: Path, name: str) -> None:
    """Raise ModelNotFoundError for a folder that is no model, or that holds pickled weights or code to run."""
    if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
        raise ModelNotFoundError(
            f"there is no embedder in {folder}: neither modules.json nor config.json is there. "
            "Name a sentence-transformers folder, or a hub model"
        )
    if not any(folder.rglob("*.safetensors")):
        raise ModelNotFoundError(
            f"the embedder {name} has no *.safetensors weights in {folder}, and no other kind is read. "
            "Convert it, or choose another model"
        )
    try:
        modules = (
            json.loads((folder / "modules.json").read_text("utf-8")) if (folder / "modules.json").is_file() else []
        )
        foreign = sorted({m["type"] for m in modules if not m["type"].startswith("sentence_transformers.")})
        paths = [folder / module.get("path", "") for module in modules]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelNotFoundError(
            f"{folder}/modules.json is damaged ({_first_line(error)}). Fetch the model again, or choose another"
        ) from error
    if foreign:
        raise ModelNotFoundError(
            f"the embedder {name} wants to run code of its own ({', '.join(foreign)}), which is never done. "
            "Choose a model made of sentence-transformers' own modules"
        )
    for path in paths:
        if any(path.glob("*.bin")) and not any(path.glob("*.safetensors")):
            raise ModelNotFoundError(
                f"the embedder {name} has pickled weights in {path}, which are never read. "
                "Convert them to safetensors, or choose another model"
            )


def _hub_folder(name_or_path: str | Path) -> Path:
    """Return the cached snapshot of a hub model, fetched now if it is not there."""
    name = str(name_or_path)
    remedy = "Give a folder that exists, or the name of a model on the hub (owner/name)"
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise ModelNotFoundError(f"there is no embedder folder {name}. {remedy}")
    from huggingface_hub import snapshot_download

    def snapshot(*, local_files_only: bool) -> Path:
        return Path(
            snapshot_download(
                name,
                allow_patterns=list(_HUB_FILES),
                ignore_patterns=list(_HUB_SKIPPED),
                local_files_only=local_files_only,
                etag_timeout=10,
            )
        )

    try:
        folder = snapshot(local_files_only=True)
        if any(folder.rglob("*.safetensors")):
            return folder
    except (OSError, ValueError):
        logger.info("fetching the embedder %s from the hub", name)
    try:
        return snapshot(local_files_only=False)
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"there is no folder {name}, no such model in the local cache, and the hub gave none "
            f"({_first_line(error)}). {remedy}, and check the connection"
        ) from error


def _hash_folder(folder: Path) -> dict[str, str]:
    return {
        "weights": _hash_files(folder, _WEIGHTS),
        "tokenizer": _hash_files(folder, _TOKENIZER),
        "modules": _hash_files(folder, ("*config.json", "modules.json"), skipped=(*_TOKENIZER, "config_sent*")),
    }


def _hash_files(folder: Path, patterns: Sequence[str], *, skipped: Sequence[str] = ()) -> str:
    """Return the sha256 over the names and contents of the files under ``folder`` that match a pattern."""
    paths = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    paths -= {path for pattern in skipped for path in folder.rglob(pattern)}
    total = hashlib.sha256()
    for path in sorted(paths):
        stat = path.stat()
        total.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        total.update(_hash_file(str(path), stat.st_size, stat.st_mtime_ns).encode())
    return total.hexdigest()


@lru_cache(maxsize=256)
def _hash_file(path: str, size: int, mtime_ns: int) -> str:
    """Return a file's sha256 in hex; ``size`` and ``mtime_ns`` only tell a changed file from a known one."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
