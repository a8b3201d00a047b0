"""Weights on disk: the word embeddings in a file of their own, which embedder and reader share."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

WORDS = "word_embeddings.weight"
_INDEX = "model.safetensors.index.json"


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read all weights of a folder, whether in one file or in those its index names."""
    if not (folder / _INDEX).exists():
        return load_file(folder / "model.safetensors")
    files = set(json.loads((folder / _INDEX).read_text("utf-8"))["weight_map"].values())
    return {name: tensor for file in sorted(files) for name, tensor in load_file(folder / file).items()}


def write_weights(folder: Path, state: dict[str, Tensor], *, own: str, words: str = "words.safetensors") -> None:
    """Write weights to a folder in float16, and the index that says which lies where.

    Args:
        folder: Holds nothing else of that model's weights afterwards.
        state: The weights. Without word embeddings, those in ``words`` count as this model's.
        own: Name of the file for all but the word embeddings.
        words: File of the word embeddings, relative to the folder.
    """
    (folder / "model.safetensors").unlink(missing_ok=True)
    half = {name: value.half().contiguous() if value.is_floating_point() else value for name, value in state.items()}
    apart = {name: value for name, value in half.items() if name.endswith(WORDS)}
    rest = {name: value for name, value in half.items() if name not in apart}
    save_file(rest, folder / own, metadata={"format": "pt"})
    if apart:
        save_file(apart, folder / words, metadata={"format": "pt"})
    places = {**dict.fromkeys(rest, own), **dict.fromkeys(apart or [f"bert.embeddings.{WORDS}"], words)}
    for path in (own, words):
        (folder / path).chmod(0o644)
    text = json.dumps({"metadata": {}, "weight_map": dict(sorted(places.items()))}, indent=1)
    (folder / _INDEX).write_text(text + "\n", encoding="utf-8")
