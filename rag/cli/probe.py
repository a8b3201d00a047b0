"""The child process of ``rag doctor``: it builds, searches and asks, and says how long each step took.

``python -m rag.cli.probe INDEX_DIR`` prints one JSON object. Run under the guard and, where permitted, in a network
namespace without a network: that it succeeds there is the proof that nothing is fetched or sent.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from rag.errors import RagError

_SAMPLE = {
    "kettle.md": "# الغلاية الزرقاء\n\nمدة ضمان الغلاية الزرقاء ثلاث سنوات من تاريخ الشراء.\n",
    "tomatoes.html": "<h1>Tomatoes</h1><p>Water tomatoes every second morning, at the root.</p>",
}
_QUESTIONS = {"كم مدة ضمان الغلاية؟": "kettle.md", "When should I water tomatoes?": "tomatoes.html"}


def probe(index_dir: str) -> dict[str, Any]:
    """Return what works, and how long it took.

    Returns:
        ``embedder`` and ``reader`` (where they open), ``seconds`` by step in order, ``sample``: for each built-in
        question whether the right document was found and quoted, and ``problems``, a sentence each.
    """
    report: dict[str, Any] = {"seconds": {}, "sample": [], "problems": []}
    with suppress(_Stopped):
        _run(index_dir, report)
    return report


class _Stopped(Exception):
    """The rest cannot be tried; the report says why."""


class _Step:
    """Times one step; a `RagError` in it is a problem, and the end."""

    def __init__(self, report: dict[str, Any], name: str) -> None:
        self._report, self._name = report, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._report["seconds"][self._name] = round(time.perf_counter() - self._started, 3)
        if isinstance(error, RagError):
            self._report["problems"].append(str(error))
            raise _Stopped from error


def _run(index_dir: str, report: dict[str, Any]) -> None:
    with _Step(report, "import"):
        from rag.answering import Chatbot
        from rag.builder import build_index
        from rag.embedder import DEFAULT_EMBEDDER, Embedder
        from rag.reader import DEFAULT_READER, Reader
        from rag.retriever import Retriever
        from rag.store import IndexStore, open_store
    with _Step(report, "open embedder"):
        embedder = Embedder.open()
    report["embedder"] = {"path": str(DEFAULT_EMBEDDER), "dim": embedder.dim, "max_tokens": embedder.max_tokens}
    with _Step(report, "open reader"):
        reader = Reader()
    report["reader"] = {"path": str(DEFAULT_READER)}
    with _Step(report, "encode a query"):
        embedder.encode_queries(["how long is the warranty"])
    with tempfile.TemporaryDirectory(prefix="sanad-doctor-") as folder:
        corpus, index = Path(folder, "corpus"), Path(folder, "index")
        corpus.mkdir()
        for name, text in _SAMPLE.items():
            (corpus / name).write_text(text, encoding="utf-8")
        with _Step(report, "build the sample"):
            failed = build_index(corpus, index, embedder=embedder).failed
        report["problems"] += [f"the built-in sample {Path(file.path).name}: {file.reason}" for file in failed]
        retriever = Retriever.open(index, embedder=embedder)
        chatbot = Chatbot(retriever, reader=reader)
        for question, doc_id in _QUESTIONS.items():
            hits, answer = retriever.search(question, top_k=1), chatbot.ask(question)
            is_found = [hit.passage.doc_id for hit in hits] == [doc_id]
            is_quoted = doc_id in {citation.doc_id for citation in answer.citations}
            report["sample"].append({"question": question, "is_found": is_found, "is_quoted": is_quoted})
    store = open_store(index_dir)
    if isinstance(store, IndexStore) and store.generations():  # Milvus may be across the network, which is shut off
        _try_index(index_dir, report, embedder, reader)


def _try_index(index_dir: str, report: dict[str, Any], embedder: Any, reader: Any) -> None:
    """Search and ask in the user's own index, for the times only."""
    from rag.answering import Chatbot
    from rag.retriever import Retriever

    with _Step(report, "open index"):
        retriever = Retriever.open(index_dir, embedder=embedder)
        chatbot = Chatbot(retriever, reader=reader)
    question = next(iter(retriever.snapshot().generation.documents.values())).title or "What is this about?"
    with _Step(report, "search"):
        retriever.search(question)
    with _Step(report, "first question"):
        chatbot.ask(question)
    with _Step(report, "next question"):
        chatbot.ask(f"{question}?")


if __name__ == "__main__":
    print(json.dumps(probe(sys.argv[1]), ensure_ascii=False))
