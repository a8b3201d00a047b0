"""Ask every judged question and measure what comes back: passages, citations, answers, refusals, time.

Definitions, each an average over all judged questions of its kind (an empty result counts 0):

* ``recall@5``, ``MRR@10``, ``nDCG@10``: of retrieval, a passage being relevant when it covers at least half of a gold
  place or lies within one; the first such passage counts.
* ``evidence_cited``: answerable questions whose answer cites a quote that covers a gold place. A refusal counts 0.
* ``document_cited``: the same, for a quote anywhere in a document that answers.
* ``citation_recall``, ``citation_precision``: ALCE's (Gao et al. 2023), averaged over the answers given. Recall: the
  share of an answer's statements that are supported by all they cite together. Precision: the share of its citations
  that do something, namely support their statement alone, or leave it unsupported when they are taken away. Quoted
  statements are judged by literal containment, written ones by ``supports``.
* ``gold_evidence_precision``, ``gold_document_precision``: citations that cover the gold evidence, or quote a document
  that answers, of all given to answerable questions.
* ``answer_found``: questions with a known short answer whose quotes contain it, letters folded.
* ``EM``, ``F1``: the short answer, or the quotes as a whole where there is none, against the known short answer
  (Rajpurkar et al. 2016). ``short_answers``: answers given that open with a short answer.
* ``language_right``: answers and refusals whose own words (frames and written sentences; the quotes, where there are
  none) are in the question's language.
* ``refused_unanswerable``, ``refused_answerable``, ``false_answer_rate`` (unanswerable questions answered),
  ``refusal_rate`` (of all questions) and ``abstention_accuracy`` (right decisions): at the threshold in force.
* ``abstention_auc``, ``calibration_error``: how well the confidence tells answerable from unanswerable (area under the
  ROC curve), and how far it is from the share that are (expected calibration error, 10 bins).
* ``calibration_error_right``, ``risk_coverage_area``: the confidence against whether the gold evidence is cited, or
  would have been had the chatbot not refused; the area is that share of wrong answers, averaged over all thresholds.
* ``latency``: seconds of ``Chatbot.ask``, p50 and p95.

Intervals are 95 % percentile bootstrap over questions, 1,000 resamples, one seed.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.answering import Chatbot
from rag.answering.model import AnswerModel
from rag.errors import RagError
from rag.evaluation.figures import DEPTH, curves, measure, operating_point
from rag.evaluation.judge import Row, Supports, judge, supports_by
from rag.evaluation.questions import JudgedQuestion, load_questions

QUALITY_FILE = "quality.json"  # in the index folder: the last report, which the chat shows
FORMAT = "sanad-evaluation"
FORMAT_VERSION = 1

Progress = Callable[[int, int, str], None]  # done, total, the question that comes next


@dataclass(frozen=True, slots=True)
class EvalReport:
    """What an evaluation found; all of it follows from the rows (`rag.evaluation.judge` says what a row holds).

    ``overall``, and by pair (``"ar→en"``), kind and language of the question, each a dict of figure to value;
    ``intervals`` holds ``(low, high)`` of each under ``"overall"``, ``"pairs"``, ``"kinds"`` and ``"languages"``.
    ``threshold`` is the confidence below which the chatbot refused, ``suggested`` the one for the false-answer rate
    that was asked for (`rag.evaluation.figures.operating_point`).
    """

    generation: str
    machine: str
    files: tuple[str, ...]
    threshold: float
    overall: Mapping[str, float]
    pairs: Mapping[str, Mapping[str, float]]
    kinds: Mapping[str, Mapping[str, float]]
    languages: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Any]
    curves: Mapping[str, Any]
    suggested: Mapping[str, Any] | None
    details: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as it is saved; ``format_version`` changes with the meaning of a key."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "generation": self.generation,
            "machine": self.machine,
            "files": list(self.files),
            "threshold": self.threshold,
            "overall": self.overall,
            "pairs": self.pairs,
            "kinds": self.kinds,
            "languages": self.languages,
            "intervals": self.intervals,
            "curves": self.curves,
            "suggested": self.suggested,
            "rows": list(self.details),
        }


def evaluate(
    chatbot: Chatbot,
    paths: Sequence[Path],
    *,
    supports: Supports | None = None,
    false_answer_rate: float = 0.05,
    progress: Progress | None = None,
) -> EvalReport:
    """Ask every question of the files.

    Args:
        chatbot: Asked.
        paths: Files of questions; see `rag.evaluation.questions`.
        supports: Tells whether quotes together support a sentence that a language model wrote; None takes the
            answerer's own check, `rag.evaluation.judge.supports_by`.
        false_answer_rate: The share of unanswerable questions that may be answered, to suggest a threshold for.
        progress: Told before each question and at the end.

    Raises:
        RagError: A question file is wrong, or the index cannot be read.
    """
    questions = load_questions(paths, chatbot.retriever.snapshot().generation.documents)
    return evaluate_questions(
        chatbot,
        questions,
        files=tuple(path.name for path in paths),
        supports=supports,
        false_answer_rate=false_answer_rate,
        progress=progress,
    )


def evaluate_questions(
    chatbot: Chatbot,
    questions: Sequence[JudgedQuestion],
    *,
    files: tuple[str, ...] = (),
    supports: Supports | None = None,
    false_answer_rate: float = 0.05,
    progress: Progress | None = None,
) -> EvalReport:
    """Ask questions that are judged already; see `evaluate`. ``files`` says where they are from."""
    snapshot = chatbot.retriever.snapshot()
    supports = supports or supports_by(chatbot.retriever.embedder)
    outspoken = copy.copy(chatbot)
    outspoken.config = dataclasses.replace(chatbot.config, threshold=0.0)
    rows = []
    for done, question in enumerate(questions):
        if progress is not None:
            progress(done, len(questions), question.question)
        hits = snapshot.search(question.question, top_k=DEPTH)
        answer = chatbot.ask(question.question)
        is_held_back = answer.abstained and question.answerable
        rows.append(
            judge(
                question,
                hits,
                answer,
                outspoken.ask(question.question) if is_held_back else answer,
                documents=snapshot.generation.documents,
                supports=supports,
            )
        )
    if progress is not None:
        progress(len(questions), len(questions), "")
    threshold = chatbot.config.threshold
    return report_of(
        rows,
        generation=snapshot.generation.name,
        machine=f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        files=files,
        threshold=AnswerModel.load().threshold if threshold is None else threshold,
        false_answer_rate=false_answer_rate,
    )


def report_of(
    rows: Sequence[Row],
    *,
    generation: str,
    machine: str,
    files: tuple[str, ...],
    threshold: float,
    false_answer_rate: float,
) -> EvalReport:
    """Measure rows, in all and by group; rows without a kind are in no group of kinds."""
    groups: dict[str, dict[str, dict[str, float]]] = {}
    overall, overall_intervals = measure(rows)
    intervals: dict[str, Any] = {"overall": overall_intervals}
    for name, key in (("pairs", "pair"), ("kinds", "kind"), ("languages", "lang")):
        measured = {
            value: measure([row for row in rows if row[key] == value])
            for value in sorted({row[key] for row in rows} - {""})
        }
        groups[name] = {value: figures for value, (figures, _) in measured.items()}
        intervals[name] = {value: found for value, (_, found) in measured.items()}
    return EvalReport(
        generation=generation,
        machine=machine,
        files=files,
        threshold=threshold,
        overall=overall,
        pairs=groups["pairs"],
        kinds=groups["kinds"],
        languages=groups["languages"],
        intervals=intervals,
        curves=curves(rows),
        suggested=operating_point(rows, false_answer_rate),
        details=tuple(rows),
    )


def load_report(path: Path) -> EvalReport:
    """Read a report that ``rag eval --output`` saved.

    Raises:
        RagError: The file cannot be read, is no such report, or is of another format version.
    """
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RagError(f"{path} cannot be read as a report: {error}. Make one: rag eval ... --output FILE") from error
    if not isinstance(saved, dict) or (saved.get("format"), saved.get("format_version")) != (FORMAT, FORMAT_VERSION):
        raise RagError(
            f"{path} is no evaluation report of format version {FORMAT_VERSION}. Make one: rag eval ... --output FILE"
        )
    names = [field.name for field in dataclasses.fields(EvalReport)]
    try:
        values = {name: saved["rows" if name == "details" else name] for name in names}
    except KeyError as error:
        raise RagError(
            f"{path} lacks {error}; it was cut or edited. Make it again: rag eval ... --output FILE"
        ) from error
    return EvalReport(**values | {"files": tuple(values["files"]), "details": tuple(values["details"])})
