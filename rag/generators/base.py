"""What every language model offers to the answerer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat with a model."""

    role: Literal["system", "user", "assistant"]
    content: str


class Generator(Protocol):
    """A causal language model behind a chat template. Threads may share one.

    Attributes:
        name: As the user named it.
        context_tokens: Tokens of prompt and answer together that the model can read.
    """

    name: str
    context_tokens: int

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the tokens of a prompt, chat template included, by the model's own tokenizer where it is known."""
        ...

    def stream(
        self, messages: Sequence[Message], *, max_new_tokens: int, stop: threading.Event | None = None
    ) -> Iterator[str]:
        """Write an answer piece by piece, greedily.

        Args:
            messages: The prompt; together with ``max_new_tokens`` it must fit ``context_tokens``.
            max_new_tokens: Length of the answer at most.
            stop: Set it to end the answer after the piece at hand.

        Yields:
            Pieces of text; joined they are the answer.

        Raises:
            GeneratorError: The model or its server failed; what was yielded before stands.
        """
        ...
