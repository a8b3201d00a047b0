"""The same answers for programs that speak OpenAI's protocol: chat completions, models, embeddings.

Every answer comes from the documents, whatever the messages say: those of ``system`` are data that nobody follows.
"""

from __future__ import annotations

import base64
import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import fastapi
import numpy as np
from fastapi.responses import JSONResponse, Response, StreamingResponse

from rag.datatypes import Answer
from rag.errors import RagError
from rag.server.asking import history_of
from rag.server.limits import in_thread, in_time, last_in_time
from rag.server.openai_content import Content, citations_json, content_of, without_sources
from rag.server.openai_schemas import (
    ChatMessage,
    CompletionChunk,
    CompletionReply,
    CompletionRequest,
    EmbeddingReply,
    EmbeddingRequest,
    ModelReply,
    ModelsReply,
    OpenAIError,
)
from rag.server.problems import openai_error, openai_error_body, rag_error_status
from rag.server.replies import EVENT_HEADERS, chunks_of, problems
from rag.server.schemas import MAX_ANSWER_CHARACTERS, MAX_HISTORY, MAX_QUESTION_CHARACTERS
from rag.server.service import ChatService
from rag.text import fold_text

logger = logging.getLogger(__name__)

QUOTES_MODEL = "sanad"  # answers made of quotes


def add_openai_routes(app: fastapi.FastAPI, service: ChatService, *, timeout_s: float) -> None:
    """Add the routes under ``/v1``; an answer that takes longer than ``timeout_s`` seconds is given up."""
    started = int(time.time())

    def model_json(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": started, "owned_by": "sanad"}

    def names() -> list[str]:
        return [QUOTES_MODEL, *service.models()]

    @app.get(
        "/v1/models",
        tags=["openai"],
        summary="List the models that answer",
        response_model=None,
        responses={200: {"model": ModelsReply}, **_errors()},
    )
    def models() -> dict[str, Any]:
        """`sanad` answers in quotes; the others are the language models that are open here."""
        return {"object": "list", "data": [model_json(name) for name in names()]}

    @app.get(
        "/v1/models/{model_id:path}",
        tags=["openai"],
        summary="Show a model",
        response_model=None,
        responses={200: {"model": ModelReply}, **_errors(404)},
    )
    def model(model_id: str) -> Response:
        """Return one model of the list."""
        return JSONResponse(model_json(model_id)) if model_id in names() else _no_model(model_id, names())

    @app.post(
        "/v1/chat/completions",
        tags=["openai"],
        summary="Answer the last message of a chat",
        response_model=None,
        responses={
            200: {
                "model": CompletionReply,
                "content": chunks_of(CompletionChunk, OpenAIError),
            },
            **_errors(400, 404, 413, 503, 504),
        },
    )
    async def complete(body: CompletionRequest) -> Response:
        """Answer from the documents, with [n] marks and the list of sources in the message.

        Messages before the question are its history. What only a language model could use, such as system messages,
        tools or a temperature, is ignored. In a stream the last chunk has `annotations` and `citations`.
        """
        if body.model not in names():
            return _no_model(body.model, names())
        question, turns = split_messages(body.messages)
        if not fold_text(question).strip():
            return openai_error(400, "No message of the user has a text to answer.", param="messages")
        if len(question) > MAX_QUESTION_CHARACTERS:
            said = f"The question has {len(question):,} characters; ask in at most {MAX_QUESTION_CHARACTERS:,}."
            return openai_error(400, said, param="messages", code="context_length_exceeded")
        model = "" if body.model == QUOTES_MODEL else body.model
        history = await in_thread(history_of, turns)
        answers = await in_thread(service.stream, question, history, model=model)
        completion = _Completion(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), body.model, service, body.messages)
        if not body.stream:
            answer = await last_in_time(answers, timeout_s)
            return JSONResponse(await in_thread(completion.whole, answer))
        wants_usage = bool(body.stream_options and body.stream_options.include_usage)
        chunks = completion.chunks(in_time(answers, timeout_s), wants_usage=wants_usage)
        return StreamingResponse(chunks, media_type="text/event-stream", headers=EVENT_HEADERS)

    @app.post(
        "/v1/embeddings",
        tags=["openai"],
        summary="Embed texts",
        response_model=None,
        responses={200: {"model": EmbeddingReply}, **_errors(400, 404, 413, 503)},
    )
    async def embed(body: EmbeddingRequest) -> Response:
        """Return a vector for each text, by the embedder that the documents are searched with."""
        embedder = await in_thread(service.embedder)
        known = [QUOTES_MODEL, embedder.name]
        if body.model not in known:
            return _no_model(body.model, known)
        if body.dimensions not in (None, embedder.dim):
            said = f"This embedder has {embedder.dim} dimensions, not {body.dimensions}."
            return openai_error(400, said, param="dimensions")
        texts = [body.input] if isinstance(body.input, str) else body.input
        tokens = await in_thread(embedder.count_tokens, texts)
        if max(tokens) > embedder.max_tokens:
            row = max(range(len(tokens)), key=tokens.__getitem__)
            said = f"Input {row} has {tokens[row]} tokens; this embedder reads {embedder.max_tokens}. Cut it."
            return openai_error(400, said, param="input", code="context_length_exceeded")
        encode = embedder.encode_queries if body.input_type == "query" else embedder.encode_passages
        vectors = np.asarray(await in_thread(encode, texts), dtype="<f4")
        is_text = body.encoding_format == "base64"
        data = [
            {
                "object": "embedding",
                "index": row,
                "embedding": base64.b64encode(vector.tobytes()).decode() if is_text else vector.tolist(),
            }
            for row, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": sum(tokens), "total_tokens": sum(tokens)}
        return JSONResponse({"object": "list", "data": data, "model": body.model, "usage": usage})


def split_messages(messages: Sequence[ChatMessage]) -> tuple[str, list[tuple[str, str]]]:
    """Return the question, which is the last message of the user, and the turns before it, oldest first.

    A turn is a question and its answer, empty where none came; our own list of sources is taken off. What is too long
    to be history is cut, a turn without a text left out. The question is empty where the last message has no text.
    """
    turns: list[tuple[str, str]] = []
    for message in messages:
        text = message.text().strip()
        if message.role == "user":
            turns.append((text, ""))
        elif message.role == "assistant" and turns:
            turns[-1] = (turns[-1][0], without_sources(text)[:MAX_ANSWER_CHARACTERS])
    if not turns:
        return "", []
    *before, (question, _) = turns
    said = [(asked[:MAX_QUESTION_CHARACTERS], answer) for asked, answer in before if fold_text(asked).strip()]
    return question, said[-MAX_HISTORY:]


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return problems(*statuses, model=OpenAIError)


def _no_model(name: str, known: Sequence[str]) -> JSONResponse:
    said = f"The model {name[:200]!r} is not here; there are: {', '.join(dict.fromkeys(known))}."
    return openai_error(404, said, param="model", code="model_not_found")


@dataclass(frozen=True, slots=True)
class _Completion:
    """One chat completion."""

    id: str
    created: int
    model: str
    service: ChatService
    messages: Sequence[ChatMessage]

    def whole(self, answer: Answer) -> dict[str, Any]:
        """Return it at once."""
        content = content_of(answer)
        message = {"role": "assistant", "content": content.sent, "refusal": None, **_sources(content)}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": self.usage(content),
            "sanad": _about(answer),
        }

    async def chunks(self, answers: AsyncGenerator[Answer, None], *, wants_usage: bool) -> AsyncGenerator[str, None]:
        """Yield it in chunks, each an event; then the usage if wanted, and ``[DONE]``."""
        content = Content()
        usage: dict[str, Any] = {"usage": None} if wants_usage else {}

        def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
            return _data({**self._head("chat.completion.chunk"), "choices": [choice], **usage, **more})

        try:
            yield chunk({"role": "assistant", "content": ""})
            last: Answer | None = None
            async for answer in answers:
                if last is not None and (text := content.grow(last, is_whole=False)):
                    yield chunk({"content": text})
                last = answer
            assert last is not None
            yield chunk({"content": content.grow(last, is_whole=True)})
            yield chunk(_sources(content), "stop", sanad=_about(last))
            if wants_usage:
                counted = await in_thread(self.usage, content)
                yield _data({**self._head("chat.completion.chunk"), "choices": [], "usage": counted})
        except RagError as error:
            logger.warning("%s", error)
            yield _data(openai_error_body(rag_error_status(error), str(error)))
        except Exception:
            logger.exception("the answer failed")
            yield _data(openai_error_body(500, "The answer failed. See the server's log."))
        finally:
            await answers.aclose()
        yield "data: [DONE]\n\n"

    def usage(self, content: Content) -> dict[str, int]:
        """Return the tokens of the messages and of the content, as the embedder counts them."""
        texts = [message.text() for message in self.messages]
        *prompt, completion = self.service.embedder().count_tokens([*texts, content.sent])
        return {
            "prompt_tokens": sum(prompt),
            "completion_tokens": completion,
            "total_tokens": sum(prompt) + completion,
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def _sources(content: Content) -> dict[str, Any]:
    return {"annotations": content.annotations(), "citations": citations_json(content.citations)}


def _about(answer: Answer) -> dict[str, Any]:
    return {
        "abstained": answer.abstained,
        "confidence": round(float(answer.confidence), 4),
        "query": answer.query or answer.question,
        "language": answer.language,
        "notice": answer.notice,
        "generation": answer.generation,
    }


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
