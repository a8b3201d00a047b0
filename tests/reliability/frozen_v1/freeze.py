"""Builds the frozen index: ``python freeze.py``. Run once for each format version, and never again for an old one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from conftest import HashEmbedder

from rag.builder import build_index
from rag.retriever import Retriever

HERE = Path(__file__).parent
QUESTIONS = ("paid campaign budget", "ميزانية التسويق الرقمي", "كم مدة الضمان", "email newsletter")
TEXTS = {
    "ar/ميزانية.md": "# الميزانية\n\n## بنود\n\n"
    "تُقسم ميزانية التسويق الرقميّ على القنوات: ٤٠٪ للإعلانات و٦٠٪ للمحتوى. 🙂\n",
    "ar/ضمان.txt": "مدة الضمان ثلاث سنوات من تاريخ الشراء.\n",
    "en/budget.md": "---\ntags: [money]\n---\n# Budget\n\n"
    "A paid campaign has a budget.\n\n## Channels\n\nAds take 40% of it.\n",
    "en/email.txt": "An email newsletter keeps subscribers close to the brand.\n",
}


def answers(index_dir: Path) -> dict[str, list[tuple[str, str, float]]]:
    """Return the hits of each question: passage, text, score."""
    retriever = Retriever.open(index_dir, embedder=HashEmbedder())
    return {
        question: [
            (hit.passage.passage_id, hit.passage.text, round(hit.dense_score, 5))
            for hit in retriever.search(question, top_k=9)
        ]
        for question in QUESTIONS
    }


if __name__ == "__main__":
    for name, text in TEXTS.items():
        path = HERE / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    build_index(HERE / "corpus", HERE / "index", embedder=HashEmbedder())
    (HERE / "index" / ".lock").unlink()
    (HERE / "expected.json").write_text(
        json.dumps(answers(HERE / "index"), ensure_ascii=False, indent=1) + "\n", "utf-8"
    )
