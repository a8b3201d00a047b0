"""How the HTTP API sends events, and how its routes say in the OpenAPI document what they may answer."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from rag.server.openai_schemas import CompletionChunk
from rag.server.problems import PROBLEM_TYPE
from rag.server.schemas import BuildReply, ErrorObject, Problem, ProgressReply


def event(name: str, data: dict[str, Any]) -> str:
    """Return one server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


# Events are read as they come: neither the browser nor a server in front may keep them back.
EVENT_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

_IN_EVENTS = (BuildReply, CompletionChunk, ErrorObject, ProgressReply)
_SAID = {
    400: "The body cannot be read.",
    401: "A key or a login is wanted.",
    403: "This is not allowed.",
    404: "There is no such thing.",
    409: "Something else is under way.",
    413: "The request is too large.",
    422: "The request is not as described; `detail` names the fields.",
    500: "Something went wrong in the server.",
    503: "There is no index, it cannot be opened, or the server is busy (then with `Retry-After`).",
    504: "The answer took too long.",
    507: "The disk is full.",
}


def problems(*statuses: int, model: type[Any] = Problem) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of a route's errors, and of those that every route may answer."""
    return {status: {"model": model, "description": _SAID[status]} for status in sorted({401, 403, 500, *statuses})}


def events_of(**events: type[BaseModel]) -> dict[str, Any]:
    """Return the description of server-sent events, by name and the JSON of their data, as a response's content."""
    kinds = [
        {
            "type": "object",
            "required": ["event", "data"],
            "properties": {"event": {"const": name}, "data": _json(model)},
        }
        for name, model in events.items()
    ]
    return {"text/event-stream": {"schema": {"oneOf": kinds}}}


def chunks_of(*models: type[BaseModel]) -> dict[str, Any]:
    """Return the description of events without a name, ended by ``[DONE]``, as OpenAI sends them."""
    data = {"anyOf": [{"const": "[DONE]"}, *(_json(model) for model in models)]}
    schema = {"type": "object", "required": ["data"], "properties": {"data": data}}
    return {"text/event-stream": {"schema": schema}}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}


def complete(schema: dict[str, Any]) -> dict[str, Any]:
    """Add to an OpenAPI document the media type of its errors, and the models that stand in events alone."""
    modes: list[tuple[type[BaseModel], Literal["serialization"]]] = [(model, "serialization") for model in _IN_EVENTS]
    _, models = models_json_schema(modes, ref_template="#/components/schemas/{model}")
    schema["components"]["schemas"] = {**models["$defs"], **schema["components"]["schemas"]}
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            for status, reply in operation["responses"].items():
                content = reply.get("content", {})
                if status >= "400" and not path.startswith("/v1/") and "application/json" in content:
                    content[PROBLEM_TYPE] = content.pop("application/json")
    return schema
