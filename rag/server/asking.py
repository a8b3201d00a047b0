"""The HTTP API over the answers: ``/api/search`` and ``/api/ask``."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import fastapi
from fastapi.responses import StreamingResponse

from rag.answering import stand_alone
from rag.datatypes import Answer
from rag.errors import RagError
from rag.server.limits import in_thread, in_time, last_in_time
from rag.server.problems import error_body, problem, rag_error_body
from rag.server.replies import EVENT_HEADERS, event, events_of, problems
from rag.server.schemas import AnswerReply, AskRequest, ErrorObject, SearchReply, SearchRequest
from rag.server.service import ChatService
from rag.text import detect_language
from rag.wire import answer_json, hits_json

logger = logging.getLogger(__name__)


def add_asking_routes(app: fastapi.FastAPI, service: ChatService, *, timeout_s: float) -> None:
    """Add the routes; an answer that takes longer than ``timeout_s`` seconds is given up."""

    @app.post(
        "/api/search",
        tags=["questions"],
        summary="Find the passages nearest to a query",
        response_model=None,
        responses={200: {"model": SearchReply}, **problems(400, 413, 422, 503, 504)},
    )
    async def search(body: SearchRequest) -> dict[str, Any]:
        """Return passages, best first, each with its place in its document. Equal queries give equal results."""
        language, hits = await in_thread(
            service.search, body.query, top_k=body.top_k, scope=body.scope(), diversity=body.diversity
        )
        return hits_json(body.query, language, hits)

    @app.post(
        "/api/ask",
        tags=["questions"],
        summary="Answer a question with quotes",
        response_model=None,
        responses={
            200: {
                "model": AnswerReply,
                "content": events_of(partial=AnswerReply, answer=AnswerReply, error=ErrorObject),
            },
            **problems(400, 413, 422, 503, 504),
        },
    )
    async def ask(body: AskRequest, request: fastapi.Request) -> dict[str, Any] | fastapi.Response:
        """Return the answer, every statement of it with the number of its source; or say that there is none.

        With `"stream": true`, or `Accept: text/event-stream`, it comes as server-sent events: `partial` while it grows,
        then one `answer` or one `error`.
        """
        if body.model and body.model not in service.models():
            said = f"model: {body.model!r} is not open here; there are: {', '.join(service.models()) or 'none'}"
            remedy = f"Send a JSON object with the fields {', '.join(AskRequest.model_fields)}."
            return problem("/api/ask", 422, "BadRequest", said, remedy)
        history = await in_thread(_history, body)
        scope = body.scope.scope() if body.scope else None
        # What keeps the index from opening is a status code, not an event.
        answers = await in_thread(service.stream, body.question, history, scope=scope, model=body.model)
        if body.stream or "text/event-stream" in request.headers.get("accept", ""):
            return StreamingResponse(
                _events(in_time(answers, timeout_s)), media_type="text/event-stream", headers=EVENT_HEADERS
            )
        return answer_json(await last_in_time(answers, timeout_s))


def _history(body: AskRequest) -> list[Answer]:
    return history_of([(turn.question, turn.answer) for turn in body.history])


def history_of(turns: Sequence[tuple[str, str]]) -> list[Answer]:
    """Return turns, each a question and its answer, as answers; each follow-up is made to stand alone in its turn."""
    history: list[Answer] = []
    for question, answer in turns:
        query = stand_alone(question, history).query
        history.append(Answer(question, detect_language(question), answer, False, 0.0, query=query))
    return history


async def _events(answers: AsyncGenerator[Answer, None]) -> AsyncGenerator[str, None]:
    """Yield server-sent events: ``partial`` while the answer grows, then one ``answer`` or one ``error``."""
    last: Answer | None = None
    try:
        async for answer in answers:
            if last is not None:
                yield event("partial", answer_json(last))
            last = answer
        if last is not None:
            yield event("answer", answer_json(last))
    except RagError as error:
        logger.warning("%s", error)
        yield event("error", rag_error_body(error)["error"])
    except Exception:
        logger.exception("the answer failed")
        yield event("error", error_body("InternalError", "The answer failed.", "See the server's log.")["error"])
    finally:
        await answers.aclose()
