"""Public question sets asked end to end: retrieval, evidence cited, answers, refusals.

    python -m benchmarks.public EVAL_DIR [--questions N] [--sets NAME ...] [--report-dir DIR] [--output FILE]

The contexts of a set become an index of their own, a file a context, built as any other; a seeded sample of its
questions goes through `Chatbot.ask`. The sets are used for nothing else, training least of all.

* TyDi QA GoldP (Clark et al. 2020), development, Arabic and English: questions of people who did not see the passage,
  which is given under its title.
* XQuAD (Artetxe et al. 2020): each pair of question and passage language, without titles.
* CLAPNQ (Rosenthal et al. 2024), development: half of the questions have no answer in the collection. Its answers are
  free text, so its gold evidence is the whole context.

Figures are those of `rag.evaluation.evaluate`. Gold evidence of the first two is the place of the first answer, so
``evidence_cited`` says that a quote holds it. Writes them under ``"public"`` to ``benchmarks/results/<commit>.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.xquad import write_results
from rag import Chatbot, Retriever, build_index
from rag.datatypes import Document
from rag.embedder import Embedder, fingerprint_hash
from rag.evaluation import EvalReport, evaluate_questions, render_page
from rag.evaluation.questions import JudgedQuestion, Place
from training.data import read_jsonl

SEED = 17
SHOWN = ("recall@5", "evidence_cited", "answer_found", "F1", "refused_unanswerable", "refused_answerable")


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A set: files of questions and of contexts (they differ where a question crosses languages)."""

    questions: str
    contexts: str
    has_titles: bool = True


SETS = {
    "tydiqa ar": PublicSet("tydiqa_goldp.ar.dev", "tydiqa_goldp.ar.dev"),
    "tydiqa en": PublicSet("tydiqa_goldp.en.dev", "tydiqa_goldp.en.dev"),
    "xquad ar-ar": PublicSet("xquad.ar.test", "xquad.ar.test", has_titles=False),
    "xquad en-ar": PublicSet("xquad.en.test", "xquad.ar.test", has_titles=False),
    "xquad en-en": PublicSet("xquad.en.test", "xquad.en.test", has_titles=False),
    "xquad ar-en": PublicSet("xquad.ar.test", "xquad.en.test", has_titles=False),
    "clapnq en": PublicSet("clapnq.en.dev", "clapnq.en.dev"),
}


def write_corpus(contexts: Sequence[Mapping[str, str]], folder: Path, *, has_titles: bool) -> dict[str, str]:
    """Write each context as a text file, its title on top, and return the doc_id of each context id."""
    folder.mkdir()
    doc_ids = {}
    for number, context in enumerate(contexts):
        doc_ids[context["context_id"]] = doc_id = f"{number:04}.txt"
        title = f"{context['title'].replace('_', ' ')}\n\n" if has_titles else ""
        (folder / doc_id).write_text(title + context["text"], encoding="utf-8")
    return doc_ids


def find_place(document: Document, context: str, answer: str, start: int) -> Place:
    """Return where an answer that begins at ``start`` of a context stands in the document made of it.

    White space may have changed on the way, so all other characters are counted. ``start`` -1 means the whole context.

    Raises:
        ValueError: The document does not end with the context.
    """
    if start < 0:
        answer, start = context, 0
    kept = [offset for offset, character in enumerate(document.text) if solid(character)]
    wanted = solid(context)
    if not solid(document.text).endswith(wanted):
        raise ValueError(f"{document.doc_id} does not hold its context {context[:60]!r}")
    first = len(kept) - len(wanted) + len(solid(context[:start]))
    return Place(document.doc_id, kept[first], kept[first + len(solid(answer)) - 1] + 1)


def solid(text: str) -> str:
    """Return a text without its white space and byte order marks."""
    return "".join(text.replace("\ufeff", " ").split())


def judged(
    name: str,
    folder: Path,
    contexts: Sequence[Mapping[str, str]],
    documents: Mapping[str, Document],
    size: int,
    doc_ids: Mapping[str, str],
) -> list[JudgedQuestion]:
    """Return a seeded sample of the questions of a set, placed in the documents of the index."""
    one = SETS[name]
    texts = {context["context_id"]: context["text"] for context in contexts}
    golden = {row["id"]: row for row in read_jsonl(folder / f"{one.contexts}.jsonl.zst")}
    rows = list(read_jsonl(folder / f"{one.questions}.jsonl.zst"))
    found = []
    for row in random.Random(SEED).sample(rows, min(size, len(rows))):
        gold = golden[row["id"]]
        answerable = gold.get("answerable", True)
        places: tuple[Place, ...] = ()
        if answerable:
            document = documents[doc_ids[gold["context_id"]]]
            first = gold["answers"][0]
            places = (find_place(document, texts[gold["context_id"]], first["text"], first["start"]),)
        found.append(
            JudgedQuestion(
                id=row["id"],
                question=row["question"],
                language=row["lang"],
                answerable=answerable,
                answers=tuple(answer["text"] for answer in gold["answers"]) if answerable else (),
                places=places,
                doc_ids=frozenset(place.doc_id for place in places),
                doc_language=gold["lang"] if places else "none",
                kind="",
            )
        )
    return found


def progress(done: int, total: int, question: str) -> None:
    """Say on stderr how far a set is."""
    print(f"\r{done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)


def measure(names: Sequence[str], folder: Path, size: int, embedder: Embedder) -> dict[str, tuple[EvalReport, int]]:
    """Return the report of each set and the passages of its index; sets of the same contexts share an index."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        chatbots: dict[str, tuple[Chatbot, dict[str, str]]] = {}
        for name in names:
            one = SETS[name]
            contexts = list(read_jsonl(folder / f"{one.contexts}.contexts.jsonl.zst"))
            if one.contexts not in chatbots:
                corpus, index = Path(place, one.contexts), Path(place, f"{one.contexts}.index")
                doc_ids = write_corpus(contexts, corpus, has_titles=one.has_titles)
                build_index(corpus, index, embedder=embedder)
                chatbots[one.contexts] = Chatbot(Retriever.open(index, embedder=embedder)), doc_ids
            chatbot, doc_ids = chatbots[one.contexts]
            generation = chatbot.retriever.snapshot().generation
            questions = judged(name, folder, contexts, generation.documents, size, doc_ids)
            report = evaluate_questions(chatbot, questions, files=(name,), progress=progress)
            found[name] = report, len(generation.passages)
            print(name, *(f"{key} {report.overall[key]:.3f}" for key in SHOWN if key in report.overall), sep="  ")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eval_dir", type=Path, help="holds xquad.ar.test.jsonl.zst and its like")
    parser.add_argument("--questions", type=int, default=150, help="asked of each set (default: %(default)s)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="(default: all)")
    parser.add_argument("--embedder", default=None, help="folder or hub name (default: the built-in one)")
    parser.add_argument("--report-dir", type=Path, default=None, help="takes a report of each set, as JSON and HTML")
    parser.add_argument("--output", type=Path, default=None, help="(default: benchmarks/results/<commit>.json)")
    options = parser.parse_args(argv)
    embedder = Embedder.open(options.embedder)
    began = time.monotonic()
    measured = measure(options.sets, options.eval_dir, options.questions, embedder)
    results: dict[str, Any] = {
        name: {"figures": report.overall, "intervals": report.intervals["overall"], "passages": passages}
        for name, (report, passages) in measured.items()
    }
    if options.report_dir:
        options.report_dir.mkdir(parents=True, exist_ok=True)
        for name, (report, _) in measured.items():
            path = options.report_dir / f"{name.replace(' ', '-')}.json"
            path.write_text(json.dumps(report.to_json(), ensure_ascii=False), encoding="utf-8")
            path.with_suffix(".html").write_text(render_page(report), encoding="utf-8")
    results |= {
        "embedder": {"name": embedder.name, "fingerprint": fingerprint_hash(embedder.fingerprint)},
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "seed": SEED,
        "seconds": round(time.monotonic() - began, 1),
    }
    write_results("public", results, options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
