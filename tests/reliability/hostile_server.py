"""A server whose documents are hostile, and whose language model writes what they say, a byte at a time.

Run as a program in a folder: the first argument is the address that the payloads ask for something.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import HashEmbedder

from rag.builder import build_index
from rag.datatypes import Answer
from rag.errors import RagError
from rag.generators import Message
from rag.server import create_app
from rag.server.process import open_port
from rag.server.service import ChatService
from reliability.payloads import payloads


def question(kind: str, number: int) -> str:
    """Return what has payload ``number`` shown, as a ``quote``, ``write``, ``partial``, ``none`` or ``error``."""
    return f"{kind}: what is the kettle number {number}?"


def plant(folder: Path, hostile: Sequence[str]) -> None:
    """Write a document for each payload, with the payload in its title, headings, text and, where it can be, name."""
    folder.mkdir()
    for number, payload in enumerate(hostile):
        line = " ".join(payload.split())
        text = f"Kettle {line}\n\nThe kettle number {number} is {payload} and is blue.\n\nEnd of {line}.\n"
        name = (
            payload.translate({ord("/"): "\u2215", 0: None, 10: " ", 12: None}).encode()[:200].decode(errors="ignore")
        )
        (folder / f"{number} {name}.txt").write_bytes(text.encode("utf-8"))


class ByteWriter:
    """A language model that answers with the payload of the number it reads, one byte of UTF-8 a piece."""

    name = "byte-writer"
    context_tokens = 8_192

    def __init__(self, hostile: Sequence[str]) -> None:
        self.hostile = hostile

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in messages)

    def stream(
        self, messages: Sequence[Message], *, max_new_tokens: int, stop: threading.Event | None = None
    ) -> Iterator[str]:
        number = int(messages[-1].content.rsplit("kettle number ", 1)[1].split("?")[0])
        text = f"The kettle number {number} is {self.hostile[number]} and is blue."
        yield from byte_pieces(text)


def byte_pieces(text: str) -> Iterator[str]:
    """Yield a text one byte at a time; a character of several bytes comes with the last of them."""
    held = b""
    for value in text.encode("utf-8", "surrogatepass"):
        held += bytes([value])
        try:
            piece = held.decode("utf-8")
        except UnicodeDecodeError:
            continue
        held = b""
        yield piece


class HostileService(ChatService):
    """A service that fails with a payload, or shows one cut at every byte, where the question asks for that."""

    hostile: Sequence[str] = ()

    def stream(self, question: str, *arguments: Any, **options: Any) -> Generator[Answer, None, None]:
        kind, number = question.split(":")[0], int(question.rsplit(" ", 1)[1].rstrip("?"))
        if kind == "error":
            raise RagError(self.hostile[number])
        if kind == "quote":
            options["model"] = ""
        answers = super().stream(question.split(": ", 1)[1], *arguments, **options)
        return self._cut(answers, self.hostile[number], kind) if kind in ("partial", "none") else answers

    def _cut(self, answers: Iterator[Answer], payload: str, kind: str) -> Generator[Answer, None, None]:
        *_, last = answers
        if kind == "none":
            yield replace(last, abstained=True, statements=(), citations=(), text=payload, short="")
            return
        whole, first = "", last.statements[0]
        for piece in byte_pieces(payload):
            whole += piece
            yield replace(last, text=whole, notice=whole, statements=(replace(first, text=whole), *last.statements[1:]))
        yield last


def main() -> None:
    """Build the index, then serve."""
    import uvicorn

    hostile = payloads(sys.argv[1])
    plant(Path("corpus"), hostile)
    embedder = HashEmbedder(dim=512)
    build_index("corpus", "index", embedder=embedder)
    service = HostileService("index", corpus_dirs=["corpus"], embedder=embedder, model=ByteWriter(hostile))
    service.hostile = hostile
    service.warm_up()
    with open_port("127.0.0.1", 0) as listener:
        app = create_app(service=service)
        sys.stdout.write(f"answers on http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)).run(sockets=[listener])


if __name__ == "__main__":
    main()
