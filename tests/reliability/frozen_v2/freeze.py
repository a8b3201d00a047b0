"""Builds the frozen index of version 2, of several segments: ``python freeze.py``. Run once, and never again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from conftest import HashEmbedder

from rag import builder
from rag.store import reuse
from reliability.frozen_v1.freeze import TEXTS, answers

HERE = Path(__file__).parent

if __name__ == "__main__":
    for name, text in TEXTS.items():
        path = HERE / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    reuse._ONE_SEGMENT, builder.SEGMENT_PASSAGES = 0, 2
    builder.build_index(HERE / "corpus", HERE / "index", embedder=HashEmbedder())
    (HERE / "index" / ".lock").unlink()
    found = answers(HERE / "index")
    (HERE / "expected.json").write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", "utf-8")
