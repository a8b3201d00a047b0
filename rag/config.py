"""One frozen dataclass a stage. Each checks itself; a wrong value is a ``ValueError`` that names it."""

from __future__ import annotations

from dataclasses import dataclass


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """Limits for reading one file. Sizes in bytes, times in seconds, lengths in code points.

    A file has ``timeout_s``, and where pages of it are scans that are read by OCR, ``ocr_page_timeout_s`` more for each
    of them; of one file at most ``max_ocr_pages`` are read so.

    ``max_cells`` bounds the cells with a value in a spreadsheet, a csv or a JSON file. Of an archive, ``max_members``
    bounds the files in it and ``max_unpacked_bytes`` what is read of them together; each has the limits of a file too.
    """

    max_bytes: int = 25 * 1024 * 1024
    max_characters: int = 5_000_000
    max_pages: int = 2_000
    timeout_s: float = 30.0
    max_memory_bytes: int = 1024 * 1024 * 1024
    max_cells: int = 500_000
    max_members: int = 1_000
    max_unpacked_bytes: int = 200 * 1024 * 1024
    max_ocr_pages: int = 200
    ocr_page_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        for name in (
            *("max_bytes", "max_characters", "max_pages", "timeout_s", "max_memory_bytes"),
            *("max_cells", "max_members", "max_unpacked_bytes", "max_ocr_pages", "ocr_page_timeout_s"),
        ):
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


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What ``rag add`` may reach, and its limits for one page. Sizes in bytes, times in seconds.

    ``allow_private`` lets it reach addresses that are not of the public internet, ``allow_ports`` other ports than 80
    and 443. ``timeout_s`` bounds one request from the first byte sent to the last one read, ``read_timeout_s`` the
    silence in it. Two requests to one host are at least ``delay_s`` apart, or what its ``robots.txt`` asks for. A
    server that is busy or out of order is asked ``attempts`` times.
    """

    allow_private: bool = False
    allow_ports: frozenset[int] = frozenset()
    max_bytes: int = 25 * 1024 * 1024
    timeout_s: float = 60.0
    read_timeout_s: float = 15.0
    max_redirects: int = 5
    attempts: int = 3
    delay_s: float = 0.5

    def __post_init__(self) -> None:
        for name in ("max_bytes", "timeout_s", "read_timeout_s", "attempts"):
            _require(getattr(self, name) > 0, f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("max_redirects", "delay_s"):
            _require(getattr(self, name) >= 0, f"{name} must be at least 0, got {getattr(self, name)}")
        _require(
            all(0 < port < 65_536 for port in self.allow_ports),
            f"allow_ports must be in 1 to 65535, got {sorted(self.allow_ports)}",
        )
