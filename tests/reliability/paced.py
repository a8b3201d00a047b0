"""A language model that takes a known time for each answer, so that what is measured is the server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from rag.generators import Message

WORDS = "Tomatoes want six hours of sunlight a day. " * 4


class PacedWriter:
    """A language model that writes ``WORDS`` in a given time."""

    name = "paced"
    context_tokens = 8_192

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in messages)

    def stream(
        self, messages: Sequence[Message], *, max_new_tokens: int, stop: threading.Event | None = None
    ) -> Iterator[str]:
        pieces = WORDS.split(" ")
        for piece in pieces:
            if stop is not None and stop.wait(self.seconds / len(pieces)):
                return
            yield f"{piece} "
