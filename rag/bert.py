"""The network that the built-in embedder and reader share, run by ONNX Runtime.

The only home of onnxruntime and tokenizers: a fifth of a second from nothing to the first vector, where torch takes
ten. The graph (``training/graph.py`` writes it) holds no weights; they come from the safetensors files beside it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Bert:
    """A BERT model in ``folder``, its graph in ``folder.onnx``. Safe to share between threads.

    Args:
        folder: Holds ``tokenizer.json`` and the weights.

    Raises:
        OSError, ValueError: A file is missing or damaged; the message says which.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime  # type: ignore[import-untyped]
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _threads()
        # Threads that wait by spinning take the processor from those they wait for as soon as anything else runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors only: they are raised
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(graph_of(folder)), options, providers=["CPUExecutionProvider"]
            )
            # Never told to cut or to pad: that would be state which threads share.
            self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # both libraries raise plain exceptions of their own
            raise ValueError(str(error)) from error

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, special ones included."""
        return [len(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts))]

    def tokens(self, texts: Sequence[str], *, max_tokens: int) -> list[Any]:
        """Return the encoding of each text, special tokens included; what goes beyond ``max_tokens`` is cut off."""
        found = self._plain(texts)
        special = self._tokenizer.num_special_tokens_to_add(False)
        for encoding in found:
            encoding.truncate(max(max_tokens - special, 0))
        return [self._tokenizer.post_process(encoding) for encoding in found]

    def pairs(
        self, first: str, texts: Sequence[str], *, max_tokens: int, first_tokens: int, stride: int
    ) -> list[list[Any]]:
        """Return encodings of ``first`` with each text, a longer text in windows that share ``stride`` tokens.

        Args:
            first: Cut after ``first_tokens``, special ones included.
            texts: What follows it.
            max_tokens: Of one window with ``first`` and the special tokens.
            first_tokens: At most this many of ``first``.
            stride: Tokens that two neighbouring windows share.
        """
        opening, *plain = self._plain([first, *texts])
        opening.truncate(first_tokens - self._tokenizer.num_special_tokens_to_add(False))
        room = max_tokens - len(opening.ids) - self._tokenizer.num_special_tokens_to_add(True)
        found = []
        for encoding in plain:
            encoding.truncate(room, stride=stride)
            windows = [encoding, *encoding.overflowing]
            found.append([self._tokenizer.post_process(opening, window) for window in windows])
        return found

    def run(self, encodings: Sequence[Any]) -> Floats:
        """Return the network's output for each token, shape (len(encodings), longest, width).

        Rows beyond an encoding's own length mean nothing.
        """
        shape = len(encodings), max(len(encoding.ids) for encoding in encodings)
        names = {"input_ids": "ids", "attention_mask": "attention_mask"}
        inputs = {name: np.zeros(shape, dtype=np.int64) for name in names}
        for row, encoding in enumerate(encodings):
            for name, attribute in names.items():
                inputs[name][row, : len(encoding.ids)] = getattr(encoding, attribute)
        output: Floats = self._session.run(None, inputs)[0]
        return output

    def _plain(self, texts: Sequence[str]) -> list[Any]:
        encodings: list[Any] = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return encodings


def graph_of(folder: Path) -> Path:
    """Return where the graph of a model folder lies: beside it, since tensors may only lie below their graph."""
    return folder.with_suffix(".onnx")


def _threads() -> int:
    """Return the threads of one run: the processors this process may use, unless OMP_NUM_THREADS asks for fewer."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(wanted), available) if wanted.isdecimal() and int(wanted) else available
