"""A conversation as the browser keeps it: turns to JSON, and back with every field checked.

The browser is the only place that remembers a conversation; with each question it sends the turns before. What comes
back may be anything, so it is read through the types of `rag.datatypes` and bounded in number and size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from rag.config import AnswerConfig
from rag.datatypes import Answer, Hit, Scope
from rag.ui.words import WORDS

MAX_TURNS = 200  # of one conversation
MAX_HISTORY = 8  # turns that a question is read with
_HITS = 12  # kept of an answer, for its explanation
NEAREST = 3  # shown, and kept with their text, where there is no answer
_QUOTES = {"short": 1, "normal": 4, "long": 8}


@dataclass(frozen=True, slots=True)
class Turn:
    """One question with what came of it so far. ``error`` is a key of ``WORDS``, empty where all went well."""

    question: str
    language: str
    answer: Answer | None = None
    is_done: bool = False
    error: str = ""
    detail: str = ""
    follow_ups: tuple[str, ...] = ()

    def ended(self) -> Turn:
        """Return the turn as it stays when nothing more comes."""
        if self.is_done or self.error:
            return self
        return replace(self, is_done=True, error="" if self.answer else "stopped")


ERRORS = {"stopped"} | {key for key, said in WORDS.items() if key.startswith("error") and "{" not in said[0]}
# A message of either never shows what was sent: it may reach the log.
_HIDE = ConfigDict(hide_input_in_errors=True)
_TURNS: TypeAdapter[list[Turn]] = TypeAdapter(list[Turn], config=_HIDE)


def turn_to_json(turn: Turn) -> dict[str, Any]:
    """Return a turn as plain values, without the text of passages that the page does not show."""
    if turn.answer is not None:
        shown = NEAREST if turn.answer.abstained else 0
        hits = [_without_text(hit) if i >= shown else hit for i, hit in enumerate(turn.answer.hits[:_HITS])]
        turn = replace(turn, answer=replace(turn.answer, hits=tuple(hits)))
    (record,) = _TURNS.dump_python([turn], mode="json")
    found: dict[str, Any] = record
    return found


def _without_text(hit: Hit) -> Hit:
    return replace(hit, passage=replace(hit.passage, text=""))


def turns_from_json(records: object) -> list[Turn]:
    """Return the turns that a browser sent.

    Raises:
        ValueError: They are no turns, or more than `MAX_TURNS`.
    """
    turns = _TURNS.validate_python(records)
    if len(turns) > MAX_TURNS:
        raise ValueError(f"a conversation has at most {MAX_TURNS} turns, got {len(turns)}")
    return [turn if not turn.error or turn.error in ERRORS else replace(turn, error="error") for turn in turns]


def answers_of(turns: Sequence[Turn]) -> list[Answer]:
    """Return the answers that the next question may refer to, oldest first."""
    return [turn.answer for turn in turns[-MAX_HISTORY:] if turn.answer is not None]


class ScopeChoice(BaseModel):
    """Which documents a reader asks; see `rag.datatypes.Scope`."""

    model_config = ConfigDict(extra="forbid")
    collection: str = Field(default="", max_length=500)
    language: str = Field(default="", max_length=3)
    doc_ids: list[str] = Field(default=[], max_length=200)


class Options(BaseModel):
    """What a reader chose for the answers; it comes from the browser with each question."""

    model_config = ConfigDict(extra="forbid")
    top_k: int = Field(default=AnswerConfig().top_k, ge=1, le=30)
    length: Literal["short", "normal", "long"] = "normal"
    model: str | None = Field(default=None, max_length=500)
    scope: ScopeChoice = ScopeChoice()

    def answer_config(self) -> AnswerConfig:
        """Return how to answer."""
        return AnswerConfig(top_k=self.top_k, max_quotes=_QUOTES[self.length])

    def answer_scope(self) -> Scope:
        """Return where to look."""
        return Scope(self.scope.collection, self.scope.language, frozenset(self.scope.doc_ids))


@dataclass(frozen=True, slots=True)
class Asked:
    """What the browser sends with a question: ``at`` is the place of the turn in the conversation called ``id``."""

    id: str
    at: int
    question: str
    history: list[Turn] = field(default_factory=list)
    options: Options = field(default_factory=lambda: Options())


_ASKED: TypeAdapter[Asked] = TypeAdapter(Asked)


def asked_from_json(record: object) -> Asked:
    """Return what a browser asks.

    Raises:
        ValueError: A field is missing, of the wrong type, or out of bounds.
    """
    asked = _ASKED.validate_python(record)
    if not 0 <= asked.at < MAX_TURNS or len(asked.history) > MAX_TURNS or len(asked.id) > 64:
        raise ValueError("a field is out of bounds")
    return asked
