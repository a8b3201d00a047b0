"""Ask judged conversations turn by turn, with their history and without it, and measure the turns after the first.

One object a line: ``{"id", "lang", "turns": [...]}``; a turn is a judged question (`rag.evaluation.questions`) without
an id of its own. Figures, averages over the answerable ones of the turns after the first (a refusal counts 0):

* ``evidence_cited``: the answer cites a quote that covers the gold evidence.
* ``evidence_retrieved@5``: it stands in one of the first five passages found for the query.

``refused_unanswerable`` is of the others. The history of a turn is what the chatbot itself answered before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.answering import Chatbot
from rag.datatypes import Answer, Document
from rag.errors import RagError
from rag.evaluation.questions import JudgedQuestion, parse_question

_DEPTH = 5


@dataclass(frozen=True, slots=True)
class Conversation:
    """Judged questions that follow each other, at least two."""

    id: str
    turns: tuple[JudgedQuestion, ...]


@dataclass(frozen=True, slots=True)
class ConversationReport:
    """Figures by group (``"all"``, each language, each kind), with rewriting and without; and one row a judged turn."""

    files: tuple[str, ...]
    groups: Mapping[str, Mapping[str, float]]
    details: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the rows."""
        return {"files": list(self.files), "groups": {name: dict(group) for name, group in self.groups.items()}}


def load_conversations(paths: Sequence[Path], documents: Mapping[str, Document]) -> list[Conversation]:
    """Read files of conversations and find each evidence in its document.

    Raises:
        RagError: A file cannot be read, or a line is no conversation of two turns or more; the message names the line.
    """
    found: list[Conversation] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise RagError(f"{path} cannot be read: {error}. Give a UTF-8 file of JSON Lines.") from error
        found += [_parse(line, f"{path}:{n}", documents) for n, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise RagError(f"no conversations in {', '.join(map(str, paths))}. Write one JSON object a line.")
    return found


def _parse(line: str, where: str, documents: Mapping[str, Document]) -> Conversation:
    try:
        record = json.loads(line)
        records = [
            {"lang": record.get("lang", "und"), "id": f"{record['id']}-{n}", **turn}
            for n, turn in enumerate(record["turns"], start=1)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RagError(f'{where}: not a conversation ({error!r}). Each line is {{"id", "turns": [...]}}.') from error
    if len(records) < 2:
        raise RagError(f"{where}: a conversation of {len(records)} turns. Give it at least two.")
    return Conversation(str(record["id"]), tuple(parse_question(turn, where, documents) for turn in records))


def evaluate_conversations(chatbot: Chatbot, paths: Sequence[Path]) -> ConversationReport:
    """Ask every turn of the files with its history, and those after the first without it as well.

    Raises:
        RagError: A file is wrong, or the index cannot be read.
    """
    snapshot = chatbot.retriever.snapshot()
    rows: list[dict[str, Any]] = []
    for conversation in load_conversations(paths, snapshot.generation.documents):
        history: list[Answer] = []
        for number, turn in enumerate(conversation.turns, start=1):
            answer = chatbot.ask(turn.question, history)
            if number > 1:
                alone = chatbot.ask(turn.question)
                rows.append(
                    {
                        "id": turn.id,
                        "language": turn.language,
                        "kind": turn.kind,
                        "question": turn.question,
                        "query": answer.query,
                        "answerable": turn.answerable,
                        **_judged("rewritten", turn, answer, chatbot),
                        **_judged("alone", turn, alone, chatbot),
                    }
                )
            history.append(answer)
    groups = {"all": _figures(rows)}
    for key in ("language", "kind"):
        for value in sorted({row[key] for row in rows if row[key]}):
            groups[value] = _figures([row for row in rows if row[key] == value])
    return ConversationReport(tuple(path.name for path in paths), groups, tuple(rows))


def _judged(name: str, turn: JudgedQuestion, answer: Answer, chatbot: Chatbot) -> dict[str, Any]:
    hits = chatbot.retriever.search(answer.query, top_k=_DEPTH)
    spans = [(hit.passage.doc_id, hit.passage.start, hit.passage.end) for hit in hits]
    cited = [(citation.doc_id, citation.start, citation.end) for citation in answer.citations]
    return {
        f"{name}_cited": any(turn.is_answered_by(*span) for span in cited),
        f"{name}_retrieved": any(turn.is_answered_by(*span) for span in spans),
        f"{name}_abstained": answer.abstained,
        f"{name}_answer": answer.text,
    }


def _figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Average the rows; a figure that no row bears on is left out."""
    answerable = [row for row in rows if row["answerable"]]
    others = [row for row in rows if not row["answerable"]]
    figures: dict[str, float] = {"turns": len(rows)}
    for name in ("rewritten", "alone"):
        for figure, key, group in (
            ("evidence_cited", "cited", answerable),
            (f"evidence_retrieved@{_DEPTH}", "retrieved", answerable),
            ("refused_unanswerable", "abstained", others),
        ):
            if group:
                figures[f"{figure} {name}"] = sum(row[f"{name}_{key}"] for row in group) / len(group)
    return figures


def conversations_table(report: ConversationReport) -> str:
    """Return the figures as a Markdown table: one column a group, one row a figure; ``–`` where none applies."""
    names = list(dict.fromkeys(name for figures in report.groups.values() for name in figures))
    lines = ["| figure | " + " | ".join(report.groups) + " |", "|---|" + "--:|" * len(report.groups)]
    for name in names:
        cells = [_cell(figures.get(name)) for figures in report.groups.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
