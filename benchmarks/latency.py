"""How long an answer takes over an index of many passages.

    python -m benchmarks.latency DATA [--passages 10000] [--questions 100] [--output FILE]

The documents are articles of Arabic Wikipedia and paragraphs of SQuADShifts (``DATA/prose``, ``DATA/qa_train``), one
file an article, until the index holds that many passages; the questions are our own for the answerer
(``training/questions``), in Arabic and English, most of them answered there. Each is asked once of a chatbot that has
answered nothing but one question before. Writes seconds, median and 95th percentile, under ``"latency"`` to
``benchmarks/results/<commit>.json``.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import tempfile
import time
from collections import defaultdict
from html import escape
from pathlib import Path

import numpy as np

from benchmarks.xquad import write_results
from rag import Chatbot, Retriever, build_index
from training.data import Sources
from training.written import read_questions, read_sections

_PASSAGES_A_FILE = 6  # about, in these articles


def write_articles(folder: Path, data: Path, files: int, seed: int) -> None:
    """Write ``files`` articles as HTML, those that the questions are about first."""
    sections = read_sections(Sources(data))
    articles: dict[str, list[str]] = defaultdict(list)
    for name, section in sections.items():
        articles[f"{section.language}/{section.document(name)}"].append(
            f"<h2>{escape(section.heading)}</h2><p>{escape(section.text)}</p>"
        )
    asked = {a.context for a in read_questions("answerer") if a.context}
    first = {f"{sections[name].language}/{sections[name].document(name)}" for name in asked}
    rest = sorted(set(articles) - first)
    random.Random(seed).shuffle(rest)
    for number, title in enumerate([*sorted(first), *rest][:files]):
        language, _, heading = title.partition("/")
        body = f"<h1>{escape(heading)}</h1>{''.join(articles[title])}"
        (folder / language).mkdir(parents=True, exist_ok=True)
        (folder / language / f"{number:05}.html").write_text(
            f"<!doctype html><html><body><article>{body}</article></body></html>", encoding="utf-8"
        )


def main() -> None:
    """Run the measurement; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="holds prose/ and qa_train/")
    parser.add_argument("--passages", type=int, default=10_000, help="about so many (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=100, help="asked (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the articles and questions drawn (default: 0)")
    parser.add_argument("--output", type=Path, default=None, help="results file (default: named by the commit)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        corpus, index = Path(place, "corpus"), Path(place, "index")
        write_articles(corpus, options.data, options.passages // _PASSAGES_A_FILE, options.seed)
        report = build_index(corpus, index)
        asked = [a.question for a in read_questions("answerer")]
        random.Random(options.seed).shuffle(asked)
        chatbot = Chatbot(Retriever.open(index))
        chatbot.ask("hello مرحبا")
        seconds, stages = [], defaultdict(list)
        for question in asked[: options.questions]:
            begin = time.perf_counter()
            answer = chatbot.ask(question)
            seconds.append(time.perf_counter() - begin)
            for stage, taken in answer.timings:
                stages[stage].append(taken)
    figures = {
        "passages": report.passages,
        "documents": report.documents,
        "build_s": round(report.seconds, 1),
        "questions": len(seconds),
        "p50_s": round(float(np.median(seconds)), 3),
        "p95_s": round(float(np.quantile(seconds, 0.95)), 3),
        "stages_p50_s": {stage: round(float(np.median(taken)), 3) for stage, taken in stages.items()},
        "machine": f"{platform.machine()}, 2 cores",
    }
    print(json.dumps(figures, indent=2))
    write_results("latency", figures, options.output)


if __name__ == "__main__":
    main()
