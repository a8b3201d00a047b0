"""What readers think of the answers, kept in one file of JSON Lines beside the index.

The file stays on this machine. It holds questions and quotes: only its owner may read it. `rag eval --from-feedback`
makes judged questions of it (`rag.evaluation.feedback`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, get_args

from filelock import FileLock, Timeout
from pydantic import AwareDatetime, Field, TypeAdapter

from rag.datatypes import Answer
from rag.errors import RagError
from rag.store import fsio

FEEDBACK_FILE = "feedback.jsonl"  # in the index folder, unless another place is named
MAX_REASON_CHARACTERS = 2_000
MAX_LINE_BYTES = 1 << 20  # what a browser sends back as an answer may be anything, but not of any size
_LOCK_TIMEOUT_S = 10.0

Verdict = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class FeedbackCitation:
    """A place that a judged answer quoted: ``document.text[start:end] == quote``, in the index of that time."""

    doc_id: str
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a reader thinks of one answer.

    ``time`` has a time zone. ``reason`` is the reader's own words, at most `MAX_REASON_CHARACTERS`. ``query`` is what
    was searched for: the question, or a follow-up made to stand alone. ``answer`` is its text with its ``[n]`` marks,
    ``citations`` are in order of their number, from 1. The rest is as in `rag.datatypes.Answer`.
    """

    time: AwareDatetime
    verdict: Verdict
    reason: Annotated[str, Field(max_length=MAX_REASON_CHARACTERS)]
    question: str
    query: str
    language: str
    answer: str
    citations: tuple[FeedbackCitation, ...]
    generation: str
    model: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    abstained: bool


_FEEDBACK: TypeAdapter[Feedback] = TypeAdapter(Feedback)


def feedback_of(answer: Answer, verdict: str, reason: str = "", *, time: datetime | None = None) -> Feedback:
    """Return what a reader thinks of ``answer``.

    Args:
        answer: The answer that was judged.
        verdict: ``"up"`` or ``"down"``.
        reason: The reader's own words; surrounding white space is dropped.
        time: When, with a time zone; now by default.

    Raises:
        ValueError: Another verdict, a time without a zone, a reason that is too long, or a confidence that is none.
    """
    if verdict not in get_args(Verdict):
        raise ValueError(f"a verdict is 'up' or 'down', got {verdict!r}")
    reason = reason.strip()
    if len(reason) > MAX_REASON_CHARACTERS:
        raise ValueError(f"the reason has {len(reason):,} characters; give it in at most {MAX_REASON_CHARACTERS:,}")
    found = {
        "time": time or datetime.now(UTC),
        "verdict": verdict,
        "reason": reason,
        "question": answer.question,
        "query": answer.query or answer.question,
        "language": answer.language,
        "answer": answer.text,
        "citations": [FeedbackCitation(c.doc_id, c.start, c.end, c.quote) for c in answer.citations],
        "generation": answer.generation,
        "model": answer.model,
        "confidence": answer.confidence,
        "abstained": answer.abstained,
    }
    return _FEEDBACK.validate_python(found)


class FeedbackLog:
    """A file of feedback that only grows, one JSON object a line, newest last.

    Args:
        path: The file; its folder is made on the first `append`. Beside it stands ``.NAME.lock`` while it is used.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def append(self, feedback: Feedback) -> None:
        """Add a line; it is on disk when this returns. Threads and processes take turns.

        Where the disk fills up on the way, the file ends as it did before. The file is readable by its owner alone.

        Raises:
            RagError: The file cannot be written, or another process holds it for too long.
            ValueError: The line would have more than `MAX_LINE_BYTES` bytes, or a text in it is no valid Unicode.
        """
        line = _FEEDBACK.dump_json(feedback) + b"\n"
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"the feedback has {len(line):,} bytes; {MAX_LINE_BYTES:,} are allowed")
        try:
            fsio.make_folder(self.path.parent)
            with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=_LOCK_TIMEOUT_S, mode=0o600):
                self._append(line)
        except Timeout as error:
            raise RagError(f"{self.path} is being written by another process. Try again") from error
        except OSError as error:
            raise RagError(
                f"{self.path} cannot be written: {error.strerror or error}. The feedback before it is untouched. "
                "Check the free space and your permission to write there"
            ) from error

    def _append(self, line: bytes) -> None:
        is_new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # a power cut left half a line: it stays one bad line, and takes no other with it
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if is_new:
            fsio.sync_folder(self.path.parent)

    def read(self) -> tuple[list[Feedback], int]:
        """Return all feedback, oldest first, and how many lines are none and were skipped.

        A file that is not there holds none.

        Raises:
            RagError: The file cannot be read.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return [], 0
        except OSError as error:
            raise RagError(f"{self.path} cannot be read: {error.strerror or error}") from error
        found: list[Feedback] = []
        written = [line for line in lines if line.strip()]
        for line in written:
            try:
                found.append(_FEEDBACK.validate_json(line))
            except ValueError:
                continue
        return found, len(written) - len(found)
