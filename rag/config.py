"""One frozen dataclass a stage. Each checks itself; a wrong value is a ``ValueError`` that names it."""

from __future__ import annotations

from dataclasses import dataclass


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """Limits for reading one file. Sizes in bytes, times in seconds, lengths in code points."""

    max_bytes: int = 25 * 1024 * 1024
    max_characters: int = 5_000_000
    max_pages: int = 2_000
    timeout_s: float = 30.0
    max_memory_bytes: int = 1024 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_characters", "max_pages", "timeout_s", "max_memory_bytes"):
            _require(getattr(self, name) > 0, f"{name} must be above 0, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class ChunkingConfig:
    """How documents are cut into passages. Tokens are the embedder's own.

    ``max_tokens`` bounds a passage with its context (title and headings); the builder lowers it to the
    embedder's window where that is smaller. ``context_tokens`` bounds the context's share of it.
    A passage below ``min_tokens`` is joined to a neighbour under the same heading where it fits.
    """

    max_tokens: int = 192
    context_tokens: int = 40
    min_tokens: int = 24

    def __post_init__(self) -> None:
        _require(self.max_tokens >= 16, f"max_tokens must be at least 16, got {self.max_tokens}")
        _require(
            0 <= self.min_tokens < self.max_tokens,
            f"min_tokens must be in [0, {self.max_tokens}), got {self.min_tokens}",
        )
        _require(
            0 <= self.context_tokens <= self.max_tokens // 2,
            f"context_tokens must be in [0, {self.max_tokens // 2}], got {self.context_tokens}",
        )


@dataclass(frozen=True, slots=True)
class RetrievalConfig:
    """How dense and BM25 scores become one ranking.

    ``candidates`` is how many passages each leg contributes to fusion. ``own_language_bonus`` is added to the fused
    score of passages in the query's language: the learnt weights put equally good passages of two languages level,
    and people would rather read their own.
    """

    top_k: int = 5
    candidates: int = 100
    own_language_bonus: float = 1.0

    def __post_init__(self) -> None:
        _require(self.top_k >= 1, f"top_k must be at least 1, got {self.top_k}")
        _require(self.candidates >= 1, f"candidates must be at least 1, got {self.candidates}")


@dataclass(frozen=True, slots=True)
class AnswerConfig:
    """How an answer is put together.

    ``max_quotes`` bounds the sentences (or whole lists) quoted. ``top_k`` passages are read.
    ``threshold`` is the confidence, in [0, 1], below which the chatbot abstains; None takes the calibrated one.
    Where a language model writes, ``max_answer_tokens`` bounds its answer, and ``drop_unsupported`` leaves out the
    sentences that no passage was found to say; otherwise they are marked.
    """

    top_k: int = 8
    max_quotes: int = 4
    max_question_characters: int = 4_000
    threshold: float | None = None
    max_answer_tokens: int = 400
    drop_unsupported: bool = True

    def __post_init__(self) -> None:
        _require(self.top_k >= 1, f"top_k must be at least 1, got {self.top_k}")
        _require(self.max_quotes >= 1, f"max_quotes must be at least 1, got {self.max_quotes}")
        _require(
            self.max_question_characters >= 1,
            f"max_question_characters must be at least 1, got {self.max_question_characters}",
        )
        _require(self.max_answer_tokens >= 1, f"max_answer_tokens must be at least 1, got {self.max_answer_tokens}")
        _require(
            self.threshold is None or 0.0 <= self.threshold <= 1.0, f"threshold must be in [0, 1], got {self.threshold}"
        )
