"""Bounds on what is at work at once, and on how long a question may take."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

from rag.server.asgi import ASGIApp, Receive, Scope, Send
from rag.server.paths import EVAL_PATH, MCP_PATH, OPENAI_PATH
from rag.server.problems import QuestionTimeoutError, problem

T = TypeVar("T")
P = ParamSpec("P")

MAX_CONCURRENT = 32  # below the 40 threads that requests share, so that the page and /healthz always find one
QUESTION_TIMEOUT_S = 300.0
RETRY_AFTER_S = 2
_COUNTED = ("/api/search", "/api/ask", EVAL_PATH, MCP_PATH)

# Opens what keeps the place of the request at work; a thread that nobody waits for any more has it open too.
_place: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar("place", default=nullcontext)


class AtWork:
    """Refuse questions, searches and embeddings beyond a number at once with 503 and ``Retry-After``.

    A streamed answer counts until its end; one whose client has left or whose time is up, until its thread has ended.
    Documents, the page, ``/healthz`` and ``/metrics`` are never refused.

    Args:
        app: The application behind it.
        limit: Requests at work at once, at least 1.
    """

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"max_concurrent must be at least 1, got {limit}")
        self.app = app
        self.limit = limit
        self._lock = threading.Lock()
        self._holders: Counter[object] = Counter()  # by request: itself, and its threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope["path"] if scope["type"] == "http" and scope["method"] == "POST" else ""
        if path not in _COUNTED and not path.startswith(OPENAI_PATH):
            await self.app(scope, receive, send)
            return
        if len(self._holders) >= self.limit:
            refusal = problem(
                path,
                503,
                "BusyError",
                f"{self.limit} requests are at work.",
                f"Try again in {RETRY_AFTER_S} seconds.",
                headers={"retry-after": str(RETRY_AFTER_S)},
            )
            await refusal(scope, receive, send)
            return
        place = partial(self._hold, object())
        before = _place.set(place)
        try:
            with place():
                await self.app(scope, receive, send)
        finally:
            _place.reset(before)

    @contextmanager
    def _hold(self, request: object) -> Iterator[None]:
        with self._lock:
            self._holders[request] += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders[request] -= 1
                if not self._holders[request]:
                    del self._holders[request]


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call that takes its time in a thread; when nobody waits any more, its result is dropped."""

    def work() -> T:
        with _place.get()():
            return call(*args, **kwargs)

    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


async def in_time(steps: Generator[T, None, None], timeout_s: float) -> AsyncGenerator[T, None]:
    """Yield the steps of an answer as they come.

    When the time is up or nobody listens any more, the step at work ends in its thread and the generator is closed, so
    that a language model stops at its next piece.

    Raises:
        QuestionTimeoutError: The steps together took longer than ``timeout_s`` seconds.
    """
    deadline = anyio.current_time() + timeout_s
    has_left = False

    def step() -> list[T]:
        found = [value for _, value in zip(range(1), steps, strict=False)]
        if has_left:
            steps.close()
        return found

    try:
        while True:
            try:
                with anyio.fail_after(deadline - anyio.current_time()):
                    found = await in_thread(step)
            except TimeoutError:
                raise QuestionTimeoutError(
                    f"the answer took longer than {timeout_s:g} seconds; ask a shorter question, or a quicker model"
                ) from None
            if not found:
                return
            yield found[0]
    finally:
        has_left = True
        with suppress(ValueError):  # a thread is at work in it, and closes it in a moment
            steps.close()


async def last_in_time(steps: Generator[T, None, None], timeout_s: float) -> T:
    """Return the last of at least one step; see `in_time`."""
    found: list[T] = []
    async with aclosing(in_time(steps, timeout_s)) as answers:
        async for step in answers:
            found = [step]
    return found[0]
