"""Candidates for judged questions, from what readers thought of the answers (`rag.server.feedback`).

* An answer that was liked: its question, with its first quote as the evidence.
* A refusal that was liked: its question, as one that the documents do not answer.
* Whatever was disliked, or cites nothing: its question with ``"review": true``. `rag eval` leaves it out until a person
  has added what answers it and taken ``"review"`` out.

A follow-up stands as the question that was searched for, since `rag eval` asks each question on its own. ``"note"``
keeps the reader's reason. These are candidates: a thumb says that an answer helped, not that no better quote exists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import RagError
from rag.server.feedback import Feedback, FeedbackLog
from rag.text import fold_text


@dataclass(frozen=True, slots=True)
class Candidates:
    """Questions made of feedback, in the order in which each was first asked.

    ``merged`` counts judgements that a newer one of the same question took the place of, ``skipped`` the lines that
    are no feedback.
    """

    records: tuple[dict[str, Any], ...]
    merged: int
    skipped: int

    @property
    def to_review(self) -> int:
        """Return how many wait for a person."""
        return sum("review" in record for record in self.records)


def candidates_from(log: Path) -> Candidates:
    """Read a file of feedback as questions, each in the format of `rag.evaluation.questions`.

    Raises:
        RagError: The file is not there, cannot be read, or holds no feedback.
    """
    if not log.is_file():
        raise RagError(f"{log} is not there. Name a file of feedback, for instance index/feedback.jsonl")
    judgements, skipped = FeedbackLog(log).read()
    records = _newest(judgements)
    if not records:
        raise RagError(f"{log} holds no feedback ({skipped} lines are none). Judge some answers in the chat first")
    return Candidates(tuple(records), len(judgements) - len(records), skipped)


def write_candidates(candidates: Candidates, path: Path) -> None:
    """Write the questions as JSON Lines into a new file.

    Raises:
        RagError: There is a file already, or it cannot be written.
    """
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in candidates.records)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(lines)
    except FileExistsError as error:
        raise RagError(
            f"{path} is there already, perhaps with questions that were completed by hand. Name a new file with"
            " --output, or move that one away"
        ) from error
    except OSError as error:
        raise RagError(
            f"{path} cannot be written: {error.strerror or error}. Name another file with --output"
        ) from error


def _newest(judgements: Iterable[Feedback]) -> list[dict[str, Any]]:
    newest: dict[str, Feedback] = {}
    for judgement in judgements:
        key = " ".join(fold_text(judgement.query or judgement.question).split())
        if key and (key not in newest or judgement.time >= newest[key].time):
            newest[key] = judgement
    return [_record(key, judgement) for key, judgement in newest.items()]


def _record(key: str, judgement: Feedback) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": f"feedback-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}",
        "question": (judgement.query or judgement.question).strip(),
        "lang": judgement.language or "und",
        "kind": "feedback",
    }
    if judgement.verdict == "up" and judgement.abstained:
        record["answerable"] = False
    elif judgement.verdict == "up" and judgement.citations:
        first = judgement.citations[0]
        record |= {"doc_id": first.doc_id, "evidence": first.quote}
    else:
        record["review"] = True
    if judgement.reason or judgement.verdict == "down":
        record["note"] = judgement.reason
    return record
