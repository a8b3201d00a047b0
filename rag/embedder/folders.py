"""The folder a model lies in: found on the hub's cache, checked for what is never read, hashed."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from rag.errors import ModelNotFoundError

logger = logging.getLogger(__name__)

_HUB_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")
_HUB_SKIPPED = ("onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*")
_WEIGHTS, _TOKENIZER = ("*.safetensors",), ("tokenizer*.json", "special_tokens_map.json", "vocab*", "*.model")


def check_folder(folder: Path, name: str) -> None:
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
            f"{folder}/modules.json is damaged ({first_line(error)}). Fetch the model again, or choose another"
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


def hub_folder(name_or_path: str | Path) -> Path:
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
            f"({first_line(error)}). {remedy}, and check the connection"
        ) from error


def hash_folder(folder: Path) -> dict[str, str]:
    """Return sha256 sums, in hex, of a model folder: ``weights``, ``tokenizer`` and ``modules``."""
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


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
