"""The reader: where in a passage is the answer, and how sure is that?

`Reader` is a question answering model (a span's start and end, or "no answer"; Devlin et al. 2019), the built-in one or
any of transformers by its folder. `CosineScorer` scores sentences by the embedder alone.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.datatypes import Hit
from rag.errors import ModelNotFoundError
from rag.text.fold import for_tokenizer

DEFAULT_READER = Path(__file__).parent / "models" / "reader"

Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]
Logits = npt.NDArray[np.float32]

_CACHED_SENTENCES = 20_000  # 384 float32 each: 31 MB
_WINDOW = 320  # tokens of question and passage read at once
_STRIDE = 64  # tokens that two windows of one passage share
_QUESTION_TOKENS = 64
_BATCH = 8
_LONGEST_ANSWER = 40  # tokens


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """``passage[start:end]`` answers; ``score`` is the log-odds of that against "no answer here"."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model saw in one passage, token by token.

    Attributes:
        offsets: Code points where each token begins and ends, shape (n, 2), in text order.
        starts: Log-odds of the answer starting at the token against there being none, shape (n,).
        ends: The same for its last token.
    """

    offsets: npt.NDArray[np.int64]
    starts: Logits
    ends: Logits

    def best(self, start: int = 0, end: int | None = None) -> AnswerSpan | None:
        """Return the best answer inside ``passage[start:end]``; None if there is no token."""
        rows = self._rows(start, end)
        if not len(rows):
            return None
        starts, ends = self.starts[rows], self.ends[rows]
        best = (-np.inf, 0, 0)
        for length in range(min(_LONGEST_ANSWER, len(rows))):
            sums = starts[: len(rows) - length] + ends[length:]
            first = int(sums.argmax())
            best = max(best, (float(sums[first]), -length, first))
        score, length, first = best[0], -best[1], best[2]
        return AnswerSpan(int(self.offsets[rows[first], 0]), int(self.offsets[rows[first + length], 1]), score)

    def support(self, start: int = 0, end: int | None = None) -> float:
        """Return how likely the answer lies inside ``passage[start:end]``, in [0, 1].

        The geometric mean of the probabilities that it starts and that it ends there; "no answer" is among the
        outcomes, so values of different passages can be compared.
        """
        rows = self._rows(start, end)
        return float(np.sqrt(_share(self.starts, rows) * _share(self.ends, rows)))

    def _rows(self, start: int, end: int | None) -> npt.NDArray[np.int64]:
        inside = self.offsets[:, 1] > start
        if end is not None:
            inside &= self.offsets[:, 0] < end
        return np.flatnonzero(inside)


def _share(logits: Logits, rows: npt.NDArray[np.int64]) -> float:
    """Return the probability mass of some tokens, with "no answer" at logit 0."""
    top = max(0.0, float(logits.max(initial=0.0)))
    total = np.exp(logits - top).sum() + np.exp(-top)
    return float(np.exp(logits[rows] - top).sum() / total)


class Reader:
    """An extractive question answering model. Safe to share between threads.

    Args:
        folder: A transformers folder with a question answering head and safetensors weights.
        device: A torch device; None takes the CPU.

    Raises:
        ModelNotFoundError: The folder has no such model.
    """

    def __init__(self, folder: Path = DEFAULT_READER, *, device: str | None = None) -> None:
        if not (folder / "config.json").is_file():
            raise ModelNotFoundError(
                f"there is no reader in {folder}: config.json is missing. Name a transformers folder with a question "
                "answering model, or leave it out to use the built-in one"
            )
        import torch
        from transformers import AutoModelForQuestionAnswering, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        had_progress_bar = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model, info = AutoModelForQuestionAnswering.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ModelNotFoundError(f"the reader in {folder} cannot be opened: {reason}") from error
        finally:
            if had_progress_bar:
                transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        if info["missing_keys"]:
            raise ModelNotFoundError(
                f"{folder} has no question answering model: {', '.join(sorted(info['missing_keys'])[:3])} missing"
            )
        self._model.eval().to(device or "cpu")
        self._device = device or "cpu"
        self._lock = threading.Lock()

    def read(self, question: str, passages: Sequence[str]) -> list[Reading]:
        """Read passages for the answer to a question.

        Args:
            question: Any text; beyond 64 tokens the rest is not read.
            passages: Any texts, in any language; longer ones than the model's window are read piece by piece.

        Returns:
            One reading a passage, finite for any text; without a token for a passage without one.
        """
        import torch

        texts = [for_tokenizer(passage) for passage in passages]
        found: list[list[tuple[npt.NDArray[np.int64], Logits, Logits]]] = [[] for _ in texts]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with self._lock, torch.inference_mode():  # a fast tokenizer's truncation is shared state: it is locked too
            asked = self._shortened(for_tokenizer(question))
            for at in range(0, len(order), _BATCH):
                rows = order[at : at + _BATCH]
                made = self._tokenizer(
                    [asked] * len(rows), [texts[row] for row in rows], truncation="only_second", max_length=_WINDOW,
                    stride=_STRIDE, padding=True, return_overflowing_tokens=True, return_offsets_mapping=True,
                    return_tensors="pt",
                )  # fmt: skip
                sources = made.pop("overflow_to_sample_mapping").tolist()
                offsets = made.pop("offset_mapping").numpy()
                for first in range(0, len(sources), _BATCH):
                    part = slice(first, first + _BATCH)
                    inputs = {name: value[part].to(self._device) for name, value in made.items()}
                    out = self._model(**inputs)
                    starts, ends = out.start_logits.float().cpu().numpy(), out.end_logits.float().cpu().numpy()
                    for n, source in enumerate(sources[part]):
                        own = np.array([s == 1 for s in made.sequence_ids(first + n)])
                        own &= offsets[first + n, :, 1] > offsets[first + n, :, 0]
                        none = starts[n, 0], ends[n, 0]
                        pieces = offsets[first + n][own], starts[n][own] - none[0], ends[n][own] - none[1]
                        found[rows[source]].append(pieces)
        return [_joined(pieces) for pieces in found]

    def rerank(self, question: str, hits: Sequence[Hit], *, weight: float = 0.5) -> list[Hit]:
        """Order hits anew by their score and by how likely their passage holds the answer.

        Args:
            question: What was searched for.
            hits: As `Retriever.search` returns them.
            weight: What one unit of log-odds counts against one of the fused score; 0 changes nothing.

        Returns:
            The same passages, best first, with new scores and ranks; equal scores keep their order.
        """
        readings = self.read(question, [f"{hit.passage.context}\n{hit.passage.text}" for hit in hits])
        scores = [
            hit.score + weight * _log_odds(reading.support()) for hit, reading in zip(hits, readings, strict=True)
        ]
        order = sorted(range(len(hits)), key=lambda i: -scores[i])
        return [replace(hits[i], score=scores[i], rank=rank) for rank, i in enumerate(order, start=1)]

    def _shortened(self, question: str) -> str:
        made = self._tokenizer(
            question, truncation=True, max_length=_QUESTION_TOKENS, return_offsets_mapping=True, verbose=False
        )
        return question[: max((end for _, end in made["offset_mapping"]), default=0)]


def _log_odds(probability: float) -> float:
    """Return ln(p / (1 - p)), kept within -6 and 6."""
    bounded = min(max(probability, 1e-9), 1 - 1e-9)
    return max(-6.0, min(6.0, math.log(bounded / (1 - bounded))))


@lru_cache(maxsize=1)
def default_reader() -> Reader:
    """Return the built-in reader, loaded once in a process."""
    return Reader()


def _joined(pieces: list[tuple[npt.NDArray[np.int64], Logits, Logits]]) -> Reading:
    """Put the windows of one passage together; a token of two windows keeps its higher log-odds."""
    best: dict[tuple[int, int], tuple[float, float]] = {}
    for offsets, starts, ends in pieces:
        for (first, last), start, end in zip(offsets.tolist(), starts.tolist(), ends.tolist(), strict=True):
            known = best.get((first, last), (-np.inf, -np.inf))
            best[first, last] = max(known[0], start), max(known[1], end)
    keys = sorted(best)
    return Reading(
        np.array(keys, dtype=np.int64).reshape(-1, 2),
        np.array([best[key][0] for key in keys], dtype=np.float32),
        np.array([best[key][1] for key in keys], dtype=np.float32),
    )


class CosineScorer:
    """The cosine of question and sentence, from the retriever's own embedder.

    Sentence vectors are kept, least recently used dropped first, so that a passage read twice is encoded once.
    Threads may share one.

    Args:
        encode_queries: Texts to unit rows, shape (n, dim).
        encode_passages: The same for what may answer.
    """

    def __init__(self, encode_queries: Encode, encode_passages: Encode) -> None:
        self._encode_queries = encode_queries
        self._encode_passages = encode_passages
        self._vectors: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def score(self, question: str, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the cosine of the question and each sentence, shape (n_sentences,)."""
        if not sentences:
            return np.zeros(0, dtype=np.float32)
        query = self._encode_queries([question])[0]  # (dim,)
        scores: npt.NDArray[np.float32] = np.stack(self._encode(sentences)) @ query
        return scores

    def _encode(self, sentences: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        with self._lock:
            known = {sentence: self._vectors[sentence] for sentence in sentences if sentence in self._vectors}
        missing = [sentence for sentence in dict.fromkeys(sentences) if sentence not in known]
        if missing:
            rows = self._encode_passages(missing)
            known.update((text, row.copy()) for text, row in zip(missing, rows, strict=True))  # no view: it keeps all
        with self._lock:
            for sentence in dict.fromkeys(sentences):
                self._vectors[sentence] = known[sentence]
                self._vectors.move_to_end(sentence)
            while len(self._vectors) > _CACHED_SENTENCES:
                self._vectors.popitem(last=False)
        return [known[sentence] for sentence in sentences]
