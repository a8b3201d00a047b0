"""A generator that computes, driven from an event loop: each of its steps runs in one thread beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Step = TypeVar("Step")


async def in_background(steps: Generator[Step, None, None]) -> AsyncGenerator[Step, None]:
    """Yield what ``steps`` yields, and raise what it raises.

    All steps run in one thread, which nothing else uses. Cancelling the awaiting task, or closing the asynchronous
    generator, takes effect at once: ``steps`` is closed as soon as the step at hand has ended, and so is the thread.
    """
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sanad-answer")

    def advance() -> list[Step]:
        return list(islice(steps, 1))  # empty at the end

    try:
        while step := await loop.run_in_executor(executor, advance):
            yield step[0]
    finally:
        executor.submit(steps.close)  # after the step at hand, in the same thread
        executor.shutdown(wait=False)
