"""Judged questions, read from JSON Lines and placed in the documents of an index.

One object a line: ``{"id", "question", "lang", "doc_id"?, "evidence"?, "answers"?, "answerable"?, "also"?, "kind"?}``.
``evidence`` is the words of the document that answer; it is found there whatever the white space between its words.
``also`` lists what answers as well: other places, each ``{"doc_id", "evidence"}``, as good as the first, and documents
by their ``doc_id`` alone, whose quotes count as of a right document only. ``answerable`` is true unless said. A line
with ``"review": true`` waits for a person to complete it and is left out (`rag.evaluation.feedback` makes such lines).
Other keys, such as ``"note"``, are for people.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.datatypes import Document
from rag.errors import RagError
from rag.text import fold

logger = logging.getLogger(__name__)

_PLACE = '{"doc_id", "evidence"}'
_REVIEW = 'Add "doc_id" and "evidence", or "answerable": false, and take "review" out.'


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer stands: ``document.text[start:end]``."""

    doc_id: str
    start: int
    end: int

    def overlap(self, doc_id: str, start: int, end: int) -> int:
        """Return how many characters of this place the span covers; 0 in another document."""
        return max(0, min(self.end, end) - max(self.start, start)) if doc_id == self.doc_id else 0

    def is_covered_by(self, doc_id: str, start: int, end: int) -> bool:
        """Tell whether the span covers at least half of this place, or lies wholly within it."""
        overlap = self.overlap(doc_id, start, end)
        return overlap > 0 and (overlap * 2 >= self.end - self.start or overlap == end - start)


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question with its gold places, none when the documents do not answer it, and every document that answers."""

    id: str
    question: str
    language: str
    answerable: bool
    answers: tuple[str, ...]
    places: tuple[Place, ...]
    doc_ids: frozenset[str]
    doc_language: str
    kind: str

    def is_answered_by(self, doc_id: str, start: int, end: int) -> bool:
        """Tell whether a span covers one of the gold places."""
        return any(place.is_covered_by(doc_id, start, end) for place in self.places)

    @property
    def pair(self) -> str:
        """Return ``"ar→en"`` for an Arabic question answered in English alone; ``"ar→none"`` if unanswerable."""
        return f"{self.language}→{self.doc_language}"


def load_questions(paths: Sequence[Path], documents: Mapping[str, Document]) -> list[JudgedQuestion]:
    """Read question files and find each evidence in its document. Lines to review are left out; the log counts them.

    Raises:
        RagError: A file cannot be read, a line is no such object, an id stands twice, or a document or an evidence is
            not in the index; the message names file and line. Or there is no question that needs no review.
    """
    questions: list[JudgedQuestion] = []
    to_review = 0
    seen: set[str] = set()
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise RagError(f"{path} cannot be read: {error}. Give a UTF-8 file of JSON Lines.") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                record = json.loads(line)
            except ValueError as error:
                raise _no_question(where, error) from error
            if isinstance(record, dict) and record.get("review"):
                to_review += 1
                continue
            question = parse_question(record, where, documents)
            if question.id in seen:
                raise RagError(f"{where}: id {question.id!r} stands twice. Give each question an id of its own.")
            seen.add(question.id)
            questions.append(question)
    names = ", ".join(map(str, paths))
    if not questions and to_review:
        raise RagError(f"no questions in {names} but {to_review} to review. {_REVIEW}")
    if not questions:
        raise RagError(f"no questions in {names}. Write one JSON object a line.")
    if to_review:
        logger.warning("%s: left out %d to review. %s", names, to_review, _REVIEW)
    return questions


def _no_question(where: str, error: Exception) -> RagError:
    return RagError(f'{where}: not a question ({error!r}). Each line is {{"id", "question", "lang", ...}}.')


def parse_question(record: Any, where: str, documents: Mapping[str, Document]) -> JudgedQuestion:
    """Return the question of one JSON object, its evidence found in its document.

    Raises:
        RagError: It is no such object, or a document or an evidence is not in the index; the message begins with
            ``where``.
    """
    try:
        text, language = record["question"], record["lang"]
    except (KeyError, TypeError) as error:
        raise _no_question(where, error) from error
    for name, value in (("question", text), ("lang", language)):
        if not isinstance(value, str) or not value.strip():
            raise RagError(f"{where}: {name!r} is {value!r}. Make it a text.")
    answers, also = (record.get(name) or [] for name in ("answers", "also"))
    if not isinstance(answers, list) or not all(isinstance(value, str) and value for value in answers):
        raise RagError(f"{where}: 'answers' is {answers!r}. Make it a list of texts.")
    if not isinstance(also, list) or not all(value and isinstance(value, str) or _is_place(value) for value in also):
        raise RagError(f"{where}: 'also' is {also!r}. Make it a list of doc_ids and of {_PLACE} objects.")
    answerable = bool(record.get("answerable", True))
    places: list[Place] = []
    if answerable:
        for name in ("doc_id", "evidence"):
            if name not in record:
                raise RagError(
                    f'{where}: an answerable question names no {name!r}. Add it, or say "answerable": false.'
                )
        others = [(value["doc_id"], value["evidence"]) for value in also if isinstance(value, dict)]
        places = [_place(*place, where, documents) for place in [(record["doc_id"], record["evidence"]), *others]]
    doc_ids = {value for value in also if isinstance(value, str)} | {place.doc_id for place in places}
    unknown = sorted(doc_ids - documents.keys())
    if unknown:
        raise RagError(f"{where}: document {unknown[0]!r} is not in the index. Rebuild the index, or correct the line.")
    return JudgedQuestion(
        id=str(record.get("id", where)),
        question=text,
        language=language,
        answerable=answerable,
        answers=tuple(answers),
        places=tuple(places),
        doc_ids=frozenset(doc_ids),
        doc_language=_language(language, [documents[place.doc_id].language for place in places]),
        kind=str(record.get("kind", "")),
    )


def _is_place(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in ("doc_id", "evidence"))


def _language(asked: str, found: Sequence[str]) -> str:
    """Return the question's language where a place is in it, else that of the first place."""
    return asked if asked in found else next(iter(found), "none")


def _place(doc_id: str, evidence: str, where: str, documents: Mapping[str, Document]) -> Place:
    document = documents.get(doc_id)
    if document is None:
        raise RagError(f"{where}: document {doc_id!r} is not in the index. Rebuild the index, or correct the line.")
    words = re.findall(r"\w+", fold(evidence).text)
    folded = fold(document.text)
    match = re.search(r"\W+".join(map(re.escape, words)), folded.text) if words else None
    if match is None:
        raise RagError(f"{where}: the evidence is not in {doc_id}: {evidence!r}. Quote the document's own words.")
    start, end = folded.to_original(match.start(), match.end())
    return Place(doc_id, start, end)
