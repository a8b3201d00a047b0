"""What the routes under ``/api`` take and give, as the OpenAPI document shows it.

What is given is made by `rag.wire`; the models of it here describe and are never filled in.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from rag.config import AnswerConfig
from rag.datatypes import Scope
from rag.text import fold_text

MAX_TOP_K = 100
MAX_HISTORY = 20  # turns
MAX_ANSWER_CHARACTERS = 8_000
MAX_DOC_IDS = 1_000
MAX_METADATA = 20
MAX_EVAL_QUESTIONS = 200
MAX_QUESTION_CHARACTERS = AnswerConfig().max_question_characters

# At least one character that says something: no space, vowel sign, tatweel, accent or format character.
_SAYS_SOMETHING = (
    r"[^\s\u001c-\u001f\u0085\u00a0\u00a8\u00ad\u00af\u00b4\u00b8\u02d8-\u02dd\u0300-\u036f\u037a\u0384\u0385"
    r"\u0483-\u0489\u0591-\u05c7\u0600-\u061c\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u070f\u0711\u0730-\u074a"
    r"\u0890-\u089f\u08ca-\u08ff\u115f\u1160\u1680\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u1fbd-\u1fc1\u1fcd-\u1fcf"
    r"\u1fdd-\u1fdf\u1fed-\u1fef\u1ffd\u1ffe\u2000-\u200f\u2017\u2028-\u202f\u203e\u205f-\u206f\u20d0-\u20ff\u3000"
    r"\u3164\ufc5e-\ufc63\ufcf2-\ufcf4\ufe00-\ufe0f\ufe20-\ufe2f\ufe49-\ufe4c\ufe70-\ufe7f\ufeff\uffa0\uffe3"
    r"\ufff0-\uffff]"
)


def _says_something(text: str) -> str:
    if not fold_text(text).strip():
        raise ValueError("it is empty; type a few words")
    return text


Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARACTERS),
    AfterValidator(_says_something),
    Field(json_schema_extra={"pattern": _SAYS_SOMETHING}),
]


def _whole(value: object) -> object:
    """JSON has one kind of number: 5.0 is a whole one too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = BeforeValidator(_whole)
Language = Annotated[str, StringConstraints(pattern="^[a-z]{2,3}$")]
DocId = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
_NOT_BLANK = r"[^\s\u001c-\u001f]"
_KEYS: dict[str, Any] = {"propertyNames": {"minLength": 1, "maxLength": 100, "pattern": _NOT_BLANK}}
_FOLDER = r"^/?((?!\s*\.{0,2}\s*(/|$))[^/]+(/|$))+$"  # no part of it is empty, "." or ".."


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is blank")
    return text


def _folder(text: str) -> str:
    text = text.removeprefix("/").removesuffix("/")
    if any(part.strip() in ("", ".", "..") for part in text.split("/")):
        raise ValueError("it is no folder of the corpus, such as articles/2026")
    return text


Key = Annotated[str, StringConstraints(max_length=100), AfterValidator(_not_blank)]
Value = Annotated[
    str, StringConstraints(max_length=500), AfterValidator(_not_blank), Field(json_schema_extra={"pattern": _NOT_BLANK})
]
Folder = Annotated[
    str, StringConstraints(max_length=500), AfterValidator(_folder), Field(json_schema_extra={"pattern": _FOLDER})
]


class Filters(BaseModel):
    """Which documents are looked at; what is left out filters nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)
    language: Language | None = Field(None, description="Only passages in this language, ISO 639-1.", examples=["ar"])
    doc_ids: Annotated[list[DocId], Field(min_length=1, max_length=MAX_DOC_IDS)] | None = Field(
        None, description="Only these documents; ids that are not in the index find nothing."
    )
    collection: Folder | None = Field(
        None, description="Only documents of this folder and below.", examples=["articles/2026"]
    )
    metadata: Annotated[dict[Key, Value], Field(max_length=MAX_METADATA, json_schema_extra=_KEYS)] | None = Field(
        None, description="Only documents that say this of themselves.", examples=[{"author": "Sara"}]
    )

    def scope(self) -> Scope:
        """Return them as the answerer takes them."""
        return Scope(
            collection=self.collection or "",
            language=self.language or "",
            doc_ids=frozenset(self.doc_ids or ()),
            metadata=tuple(sorted((self.metadata or {}).items())),
        )


class SearchRequest(Filters):
    """Body of ``POST /api/search``."""

    query: Text = Field(examples=["ميزانية الحملة"])
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K), Whole] = Field(5, description="Passages wanted.")
    diversity: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="How far passages that repeat better ones are passed over: 0 not at all, 1 most."
    )


class TurnRequest(BaseModel):
    """A turn before the question: what was asked, and what was answered if that is known."""

    model_config = ConfigDict(extra="forbid", strict=True)
    question: Text
    answer: Annotated[str, StringConstraints(max_length=MAX_ANSWER_CHARACTERS)] = ""


class AskRequest(BaseModel):
    """Body of ``POST /api/ask``. ``history`` is oldest first; with it a follow-up question is made to stand alone."""

    model_config = ConfigDict(extra="forbid", strict=True)
    question: Text = Field(examples=["What is social commerce?"])
    history: Annotated[list[TurnRequest], Field(max_length=MAX_HISTORY)] = []
    stream: bool = Field(False, description="Answer in server-sent events; so does Accept: text/event-stream.")
    scope: Filters | None = Field(None, description="Which documents are asked; all of them by default.")
    model: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        None,
        description='A language model that is open here, "" for quotes; what the server was started with by default.',
    )


class Problem(BaseModel):
    """An error (RFC 9457). ``error`` says the same in the form of older versions."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    error: ErrorObject


class ErrorObject(BaseModel):
    """What went wrong, and what to do."""

    type: str
    message: str
    remedy: str


class HitReply(BaseModel):
    """A passage found: ``start`` and ``end`` count code points of the document's text, ``rank`` is 1-based."""

    rank: Annotated[int, Field(ge=1)]
    score: float = Field(description="Higher is better; comparable within one query only.")
    doc_id: str
    title: str
    language: str
    text: str
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]
    page: Annotated[int, Field(ge=1)] | None


class SearchReply(BaseModel):
    """The passages nearest to a query, best first."""

    query: str
    language: str = Field(description='Of the query, ISO 639-1; "und" where none could be told.')
    hits: list[HitReply]


class CitationReply(BaseModel):
    """The source of a statement: a literal quote. ``n`` is the number shown as ``[n]``."""

    n: Annotated[int, Field(ge=1)]
    doc_id: str
    title: str
    language: str
    quote: str
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]
    page: Annotated[int, Field(ge=1)] | None


class AnswerReply(BaseModel):
    """An answer with its citations, or the refusal to give one."""

    question: str
    query: str = Field(description="What was searched for: the question, or a follow-up made to stand alone.")
    language: str
    answer: str = Field(description="Markdown, with [n] marks.")
    short: str = Field(description="The short answer that it opens with; empty where there is none.")
    abstained: bool = Field(description="The documents do not answer.")
    confidence: Annotated[float, Field(ge=0, le=1)]
    citations: list[CitationReply]
    model: str = Field(description="The language model that wrote it; empty for quotes.")
    notice: str
    seconds: Annotated[float, Field(ge=0)]


class HealthReply(BaseModel):
    """What is served."""

    status: Literal["ok"]
    generation: str
    documents: int
    passages: int
    embedder: str
    warning: str = Field(default="", description="Why an older index answers, such as damage; left out where none.")


class DocumentReply(BaseModel):
    """A document of the index or of the folders."""

    doc_id: str
    title: str
    language: str
    kind: str = Field(description="The file's suffix without the dot.")
    passages: int
    characters: int
    bytes: int
    added: str | None = Field(description="ISO 8601, UTC.")
    state: Literal["indexed", "waiting", "changed", "gone", "failed"]
    error: str
    is_deletable: bool


class DocumentsReply(BaseModel):
    """The documents, by ``doc_id``."""

    generation: str
    is_rebuilding: bool
    documents: list[DocumentReply]


class UploadedFile(BaseModel):
    """What became of a file: ``status`` and ``doc_id`` where it was kept, ``code`` and ``message`` where not."""

    sent: str
    name: str
    status: Literal["added", "renamed", "unchanged"] | None = None
    doc_id: str | None = None
    code: str | None = None
    message: str | None = None


class UploadReply(BaseModel):
    """What became of each file, in the order they were sent."""

    files: list[UploadedFile]


class DeletedReply(BaseModel):
    """A document that was taken away; the next build forgets it."""

    doc_id: str
    status: Literal["deleted"]
    is_in_index: bool


class ProgressReply(BaseModel):
    """How far a build is."""

    stage: Literal["load", "embed", "write"]
    done: int
    total: int
    item: str


class FailedFile(BaseModel):
    """A file that could not be read."""

    path: str
    reason: str


class BuildReply(BaseModel):
    """What a build did."""

    generation: str
    documents: int
    passages: int
    added: int
    updated: int
    removed: int
    unchanged: int
    failed: list[FailedFile]
    seconds: float
    files: list[dict[str, Any]] = Field(description="What became of each file, with its warnings.")


class CancelReply(BaseModel):
    """A rebuild that will end at its next step."""

    status: Literal["cancelling"]


class EvalQuestion(BaseModel):
    """A judged question; other fields, such as ``note``, are for people."""

    model_config = ConfigDict(extra="allow", strict=True)
    id: str | Annotated[int, Whole] | None = None
    question: Text
    lang: Language
    doc_id: DocId | None = None
    evidence: str | None = Field(None, description="The words of the document that answer.")
    answers: list[Annotated[str, StringConstraints(min_length=1)]] | None = None
    also: list[DocId] | None = Field(None, description="Other documents that answer as well.")
    answerable: bool = Field(True, description="False needs neither doc_id nor evidence.")
    kind: str = ""


class EvalRequest(BaseModel):
    """Body of ``POST /api/eval`` as JSON; JSON Lines (``application/jsonl``), a question a line, do as well."""

    model_config = ConfigDict(extra="forbid", strict=True)
    questions: Annotated[list[EvalQuestion], Field(min_length=1, max_length=MAX_EVAL_QUESTIONS)]


class EvalReply(BaseModel):
    """The figures, in all and by group; `rag eval --json` gives the same."""

    model_config = ConfigDict(extra="allow")
    format: str
    format_version: int
    generation: str
    threshold: float
    overall: dict[str, Any]
    pairs: dict[str, Any]
    kinds: dict[str, Any]
    languages: dict[str, Any]
    rows: list[dict[str, Any]]


Problem.model_rebuild()
