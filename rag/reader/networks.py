"""What runs a reader: transformers for any question answering model, ONNX Runtime for the built-in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rag.bert import Bert
from rag.errors import ModelNotFoundError
from rag.reader.reading import Logits, Offsets

_WINDOW = 320  # tokens of question and passage read at once
_STRIDE = 64  # tokens that two windows of one passage share
_QUESTION_TOKENS = 64
_BATCH = 8

Window = tuple[Offsets, Logits, Logits]  # of one window's tokens in the passage, as in `Reading`


class Network(Protocol):
    """What a reader needs of the model behind it."""

    def read(self, question: str, passages: Sequence[str]) -> Iterator[tuple[int, Window]]:
        """Yield each window that the passages are read in, behind the row of its passage."""


class OnnxNetwork:
    """A BERT model with a question answering head, by `rag.bert.Bert`: the built-in reader."""

    def __init__(self, folder: Path) -> None:
        try:
            self._bert = Bert(folder)
        except (OSError, ValueError) as error:
            raise ModelNotFoundError(
                f"the reader in {folder} cannot be opened: {error}. Install the package again"
            ) from error

    def read(self, question: str, passages: Sequence[str]) -> Iterator[tuple[int, Window]]:
        """See `Network.read`."""
        pairs = self._bert.pairs(question, passages, max_tokens=_WINDOW, first_tokens=_QUESTION_TOKENS, stride=_STRIDE)
        windows = [(source, window) for source, made in enumerate(pairs) for window in made]
        for first in range(0, len(windows), _BATCH):
            part = windows[first : first + _BATCH]
            logits = self._bert.run([window for _, window in part])
            for (source, window), output in zip(part, logits, strict=True):
                yield source, _window(np.array(window.offsets), window.sequence_ids, output[:, 0], output[:, 1])


class TransformersNetwork:
    """Any question answering model of transformers.

    Raises:
        ModelNotFoundError: The folder has none, or transformers cannot open it.
    """

    def __init__(self, folder: Path, device: str) -> None:
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
        self._model.eval().to(device)
        self._device = device

    def read(self, question: str, passages: Sequence[str]) -> Iterator[tuple[int, Window]]:
        """See `Network.read`."""
        import torch

        made = self._tokenizer(
            [self._shortened(question)] * len(passages), list(passages), truncation="only_second", max_length=_WINDOW,
            stride=_STRIDE, padding=True, return_overflowing_tokens=True, return_offsets_mapping=True,
            return_tensors="pt",
        )  # fmt: skip
        sources = made.pop("overflow_to_sample_mapping").tolist()
        offsets = made.pop("offset_mapping").numpy()
        for first in range(0, len(sources), _BATCH):
            part = slice(first, first + _BATCH)
            inputs = {name: value[part].to(self._device) for name, value in made.items()}
            with torch.inference_mode():
                out = self._model(**inputs)
            starts, ends = out.start_logits.float().cpu().numpy(), out.end_logits.float().cpu().numpy()
            for n, source in enumerate(sources[part]):
                yield source, _window(offsets[first + n], made.sequence_ids(first + n), starts[n], ends[n])

    def _shortened(self, question: str) -> str:
        made = self._tokenizer(
            question, truncation=True, max_length=_QUESTION_TOKENS, return_offsets_mapping=True, verbose=False
        )
        return question[: max((end for _, end in made["offset_mapping"]), default=0)]


def _window(offsets: Offsets, sequences: Sequence[int | None], starts: Logits, ends: Logits) -> Window:
    """Return the tokens of the passage, their logits against those of "no answer", which the first token has."""
    length = len(offsets)
    own = np.array([sequence == 1 for sequence in sequences]) & (offsets[:, 1] > offsets[:, 0])
    return offsets[own], starts[:length][own] - starts[0], ends[:length][own] - ends[0]
