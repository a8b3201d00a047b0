"""``POST /api/eval``: measure the answers on questions that are sent."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import fastapi
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect

from rag.datatypes import Document
from rag.errors import RagError
from rag.evaluation import evaluate_questions
from rag.evaluation.questions import JudgedQuestion, parse_question
from rag.server.limits import in_thread
from rag.server.paths import EVAL_PATH
from rag.server.problems import form_of, problem
from rag.server.replies import problems
from rag.server.schemas import EvalReply, EvalRequest
from rag.server.service import ChatService

_LINES = ("application/jsonl", "application/x-ndjson", "application/jsonlines", "application/x-jsonlines")


class _LeftError(Exception):
    """Nobody waits for the figures any more."""


class _QuestionError(RagError):
    """A question does not fit the index."""


class _BusyError(Exception):
    """Another evaluation is at work."""


def add_evaluation_route(app: fastapi.FastAPI, service: ChatService) -> None:
    """Add the route. One evaluation runs at a time; it ends at its next question when its client leaves."""
    turn = threading.Lock()

    @app.post(
        EVAL_PATH,
        tags=["questions"],
        summary="Measure the answers on judged questions",
        response_model=None,
        responses={200: {"model": EvalReply}, **problems(400, 409, 413, 422, 503)},
        openapi_extra={"requestBody": _body_schema()},
    )
    async def evaluate(request: fastapi.Request) -> Response:
        """Ask up to 200 judged questions and return the figures, as `rag eval --json` does; nothing is kept here."""
        try:
            asked = _read(request.headers.get("content-type", ""), await request.body())
        except ClientDisconnect:
            return Response(status_code=400)
        left = threading.Event()

        def go_on(done: int, total: int, question: str) -> None:
            if left.is_set():
                raise _LeftError

        def work() -> dict[str, Any]:
            if not turn.acquire(blocking=False):
                raise _BusyError
            try:
                chatbot, documents = service.chatbot(), service.live_documents()
                return evaluate_questions(chatbot, _judged(asked, documents), progress=go_on).to_json()
            finally:
                turn.release()

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            left.set()

        reply: Response | None = None
        failed: RagError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            try:
                reply = JSONResponse(await in_thread(work))
            except _QuestionError as error:
                reply = problem(EVAL_PATH, 422, "BadRequest", str(error), form_of(EVAL_PATH))
            except _BusyError:
                remedy = "Try again when it has ended; it ends too when its client leaves."
                reply = problem(EVAL_PATH, 409, "EvaluatingError", "An evaluation is under way.", remedy)
            except _LeftError:
                reply = Response(status_code=499)  # nobody reads it, but the log
            except RagError as error:  # out of here it would come in a group of errors
                failed = error
            finally:
                left.set()
                tasks.cancel_scope.cancel()
        if reply is None:
            assert failed is not None
            raise failed
        return reply


def _body_schema() -> dict[str, Any]:
    schema = EvalRequest.model_json_schema()
    schema["properties"]["questions"]["items"] = schema.pop("$defs")["EvalQuestion"]
    lines = {"type": "string", "description": "A question a line, as in `questions`."}
    content = {"application/json": {"schema": schema}, "application/jsonl": {"schema": lines}}
    return {"required": True, "content": content}


def _read(content_type: str, body: bytes) -> list[dict[str, Any]]:
    """Return the questions of a body.

    Raises:
        RequestValidationError: It is none; says where.
    """
    try:
        if content_type.partition(";")[0].strip().lower() in _LINES:
            lines = [line for line in body.decode("utf-8").split("\n") if line.strip()]
            # Unlike `json` it says ValueError of what is nested too deep, and takes no half of a character.
            read = EvalRequest.model_validate({"questions": [from_json(line) for line in lines]})
        else:
            read = EvalRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error
    except ValueError as error:
        place = {"loc": ("body",), "msg": f"a line is no JSON: {error}", "type": "json_invalid"}
        raise RequestValidationError([place]) from error
    return [question.model_dump(exclude_none=True) for question in read.questions]


def _judged(records: Sequence[dict[str, Any]], documents: Mapping[str, Document]) -> list[JudgedQuestion]:
    """Return the questions, their evidence found in the documents.

    Raises:
        _QuestionError: A document or an evidence is not in the index, or an id stands twice.
    """
    questions: dict[str, JudgedQuestion] = {}
    for number, record in enumerate(records, start=1):
        try:
            question = parse_question({"id": str(number), **record}, f"question {number}", documents)
        except RagError as error:
            raise _QuestionError(str(error)) from error
        if question.id in questions:
            raise _QuestionError(f"the id {question.id!r} stands twice. Give each question an id of its own.")
        questions[question.id] = question
    return [*questions.values()]
