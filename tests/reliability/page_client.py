"""The page without a browser: what its program sends to the server, over HTTP alone."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx


class BusyError(Exception):
    """The server said that it is too busy for this question."""


class PageClient:
    """One open page: asks as its program does, and reads what comes back.

    Args:
        client: A client at the server's address.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.session = secrets.token_hex(6)
        self._events: dict[str, int] = {}
        self._header = 0

    async def open(self) -> None:
        """Load the page and what it needs to know."""
        assert (await self.client.get("/")).status_code == 200
        config = (await self.client.get("/config")).json()
        self._events = {target[1]: each["id"] for each in config["dependencies"] for target in each["targets"]}
        (self._header,) = [each["id"] for each in config["components"] if each["props"].get("server_fns")]

    async def call(self, name: str, value: object) -> httpx.Response:
        """Call a function of the server, such as ``open_source``."""
        body = {"session_hash": self.session, "component_id": self._header, "fn_name": name, "data": value}
        return await self.client.post("/gradio_api/component_server", json=body)

    async def ask(self, question: str, **more: Any) -> AsyncIterator[dict[str, Any]]:
        """Ask a question; yield each message of its stream.

        Raises:
            BusyError: The question was not taken.
        """
        asked = {"id": "c1", "at": 0, "question": question, "history": [], "options": {}, **more}
        async for message in self.trigger("ask", asked):
            yield message

    async def trigger(self, event: str, value: object) -> AsyncIterator[dict[str, Any]]:
        """Do what a press of a button does; yield each message until the event is over."""
        session = secrets.token_hex(6)  # a stream of its own, so that each ends with its event
        body = {
            "data": [], "event_data": value, "fn_index": self._events[event], "trigger_id": self._header,
            "session_hash": session,
        }  # fmt: skip
        joined = await self.client.post("/gradio_api/queue/join", json=body)
        if joined.status_code == 503:
            raise BusyError(joined.text)
        joined.raise_for_status()
        url = f"/gradio_api/queue/data?session_hash={session}"
        async with self.client.stream("GET", url) as stream:
            stream.raise_for_status()
            async for line in stream.aiter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    yield message
                    if message["msg"] in ("process_completed", "close_stream"):
                        return
        raise ConnectionError("the stream ended before its event")
