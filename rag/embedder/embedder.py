"""`Embedder`: queries and passages to unit vectors, whatever model is behind it."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.embedder.folders import check_folder, hash_folder, hub_folder
from rag.embedder.networks import Network, OnnxNetwork, SentenceTransformerNetwork, TwoTowers, has_gpu, unit_rows
from rag.embedder.prompts import resolve_prompts
from rag.text.fold import for_embedder

logger = logging.getLogger(__name__)

DEFAULT_EMBEDDER = Path(__file__).parents[1] / "models" / "embedder"

_CACHED_QUERIES = 512
_COUNTED_AT_ONCE = 256


class _Turns:
    """A lock that nobody gets twice while somebody waits: ``with turns:`` for one batch at a time."""

    def __init__(self) -> None:
        self._next, self._held = threading.Lock(), threading.Lock()

    def __enter__(self) -> None:
        with self._next:  # who waits here is next, before whoever comes back
            self._held.acquire()

    def __exit__(self, *exception: object) -> None:
        self._held.release()


class _Together:
    """Answers threads that ask at the same time in one call: who comes to its turn takes along all who wait.

    Args:
        run: Takes texts and returns a row each.
    """

    def __init__(self, run: Callable[[list[str]], npt.NDArray[np.float32]]) -> None:
        self._run, self._turns, self._lock = run, _Turns(), threading.Lock()
        self._waiting: list[tuple[list[str], Future[npt.NDArray[np.float32]]]] = []

    def __call__(self, texts: list[str]) -> npt.NDArray[np.float32]:
        own: Future[npt.NDArray[np.float32]] = Future()
        with self._lock:
            self._waiting.append((texts, own))
        with self._turns:
            if not own.done():
                with self._lock:
                    taken, self._waiting = self._waiting, []
                self._answer(taken)
        return own.result()

    def _answer(self, taken: list[tuple[list[str], Future[npt.NDArray[np.float32]]]]) -> None:
        try:
            rows = self._run([text for texts, _ in taken for text in texts])
        except BaseException as error:  # whatever it is, each must hear of it: nobody else will run theirs
            for _, future in taken:
                future.set_exception(error)
            return
        ends = itertools.accumulate(len(texts) for texts, _ in taken)
        for (texts, future), end in zip(taken, ends, strict=True):
            future.set_result(rows[end - len(texts) : end])


class Embedder:
    """A model that turns queries and passages into unit vectors of one space. Safe to share between threads.

    Attributes:
        name: What the model was opened by; ``"built-in"`` for the shipped one.
        dim: Length of a vector.
        max_tokens: Tokens of a passage, special tokens included, that the model reads; the rest is cut off. The n-gram
            tower of the built-in embedder reads twice as many. Counted by `count_tokens`; the passage prompt is
            already subtracted.
        fingerprint: What decides the vectors, for the manifest of an index; equal but for ``name`` means equal
            vectors. ``weights``, ``tokenizer`` and ``modules`` (the configuration of the network and its pooling)
            are sha256 sums in hex.
    """

    def __init__(self, folder: Path, *, name: str, device: str | None = None) -> None:
        """Load the model in ``folder``; see `Embedder.open`, which also finds it."""
        check_folder(folder, name)
        hashes = hash_folder(folder)  # now, so that they stand for the weights that are loaded next
        self._network: Network
        if folder.resolve() == DEFAULT_EMBEDDER.resolve() and device is None and not has_gpu():
            self._network = OnnxNetwork(folder)
        else:
            self._network = SentenceTransformerNetwork(folder, name=name, device=device)
        if (folder / "ngrams").is_dir():
            self._network = TwoTowers(self._network, folder / "ngrams")
        self.name = name
        self._turns, self._cache_lock = _Turns(), threading.Lock()
        self._queries = _Together(lambda texts: self._encode(texts, is_query=True, progress=None))
        self._query_cache: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()
        self.query_prompt, self.passage_prompt = resolve_prompts(self._network.prompts, name)
        self.dim = self._network.dim
        prompt_tokens = self._count([self.passage_prompt])[0] - self._count([""])[0] if self.passage_prompt else 0
        self.max_tokens = self._network.window - prompt_tokens
        self.fingerprint = self._fingerprint(hashes)

    @classmethod
    def open(cls, name_or_path: str | Path | None = None, *, device: str | None = None) -> Embedder:
        """Open the built-in embedder, a local folder, or a model of the Hugging Face hub.

        Args:
            name_or_path: None for the built-in embedder; a folder of a sentence-transformers (or plain
                transformers) model; or a hub name such as ``"intfloat/multilingual-e5-small"``, which is
                looked for in the local cache and fetched only if it is not there.
            device: A torch device; None takes a GPU where there is one. The built-in embedder runs in ONNX
                Runtime unless there is a GPU or a device is named.

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
        return cls(hub_folder(name_or_path), name=str(name_or_path), device=device)

    def encode_queries(self, queries: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed queries; those that several threads ask for at the same time in one batch.

        Returns:
            Shape (len(queries), dim), each row finite and of L2 norm 1, for any text, an empty one too.
        """
        cleaned = [for_embedder(query) for query in queries]
        with self._cache_lock:
            found = {text: self._query_cache[text] for text in cleaned if text in self._query_cache}
        missing = [text for text in dict.fromkeys(cleaned) if text not in found]
        if len(missing) > self._network.batch_size:  # one by one with those of others, that these need not wait for all
            found.update(zip(missing, self._encode(missing, is_query=True, progress=None), strict=True))
        elif missing:
            found.update(zip(missing, self._queries(missing), strict=True))
        with self._cache_lock:
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
        return self._encode([for_embedder(text) for text in texts], is_query=False, progress=progress)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the model's tokens in each text, special tokens included, prompts not."""
        return self._count([for_embedder(text) for text in texts])

    def _fingerprint(self, hashes: Mapping[str, str]) -> dict[str, str | int]:
        return {
            "name": self.name,
            **hashes,
            "pooling": self._network.pooling,
            "query_prompt": self.query_prompt,
            "passage_prompt": self.passage_prompt,
            "window": self._network.window,
            "dim": self.dim,
        }

    def _count(self, texts: list[str]) -> list[int]:
        counts: list[int] = []
        for begin in range(0, len(texts), _COUNTED_AT_ONCE):
            with self._turns:
                counts += self._network.count(texts[begin : begin + _COUNTED_AT_ONCE])
        return counts

    def _encode(
        self, texts: list[str], *, is_query: bool, progress: Callable[[int], None] | None
    ) -> npt.NDArray[np.float32]:
        prompt = self.query_prompt if is_query else self.passage_prompt
        rows = np.empty((len(texts), self.dim), dtype=np.float32)
        counts = np.asarray(self._count(texts), dtype=np.int64)
        n_cut = int((counts > self.max_tokens).sum())
        if n_cut:
            kind = "queries" if is_query else "passages"
            logger.warning("%d of %d %s are longer than %d tokens and cut", n_cut, len(texts), kind, self.max_tokens)
        order = np.argsort(-counts, kind="stable")  # like lengths together: little padding
        batch_size = self._network.batch_size
        for begin in range(0, len(texts), batch_size):
            batch = order[begin : begin + batch_size]
            with self._turns:  # a batch, so that who asks does not wait for the end of a build
                vectors = self._network.encode([texts[row] for row in batch], prompt=prompt, is_query=is_query)
            rows[batch] = unit_rows(vectors)
            if progress is not None:
                progress(begin + len(batch))
        return rows


def fingerprint_hash(fingerprint: Mapping[str, object]) -> str:
    """Return 8 hex digits that stand for a fingerprint, whatever the model was named."""
    decisive = {key: value for key, value in fingerprint.items() if key != "name"}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:8]
