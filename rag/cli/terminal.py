"""What the commands share: defaults, argument types, one JSON object on stdout, a progress bar on stderr."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.datatypes import Citation
    from rag.engine import BuildProgress

DEFAULT_INDEX_DIR = "index"
DEFAULT_CORPUS_DIR = "corpus"

MODEL_HELP = (
    "a language model that writes the answers: a folder, a .gguf file, a hub name, smollm2, or "
    "openai:http://HOST:PORT/v1#MODEL (default: none, answers are quotes)"
)
EMBEDDER_HELP = "the embedder the index was built with"

# What moves the cursor, changes colours or titles: a document must not speak to the terminal. Line feed and tab stay.
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def print_json(value: Any) -> None:
    """Print one JSON object on a line, at once."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False), flush=True)


def print_note(message: str) -> None:
    """Print a line for people on stderr."""
    print(message, file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Return text of a document without control characters, safe to show on a terminal."""
    return text.translate(_CONTROLS)


def place_of(citation: Citation) -> str:
    """Return where a quote stands, as ``title › heading (doc_id:start-end, page n)``."""
    page = f", page {citation.page}" if citation.page else ""
    place = " › ".join(dict.fromkeys((citation.title, *citation.heading)))
    return printable(f"{place} ({citation.doc_id}:{citation.start}-{citation.end}{page})")


def waiting(text: str) -> AbstractContextManager[object]:
    """Return what shows that something goes on; silent where stderr is no terminal."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)


def add_index_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--index-dir``."""
    parser.add_argument(
        "--index-dir",
        default=DEFAULT_INDEX_DIR,
        metavar="DIR",
        help="the index (default: %(default)s), or in Milvus: milvus:http://HOST:19530 or milvus:FILE.db",
    )


def add_json_argument(parser: argparse.ArgumentParser, text: str = "print one JSON object") -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help=text)


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


class Progress:
    """A progress bar on stderr, one task a stage; silent where stderr is no terminal."""

    _LABELS = {"load": "reading", "embed": "embedding", "write": "writing", "ask": "asking"}

    def __enter__(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._tasks: dict[str, Any] = {}
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[item]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar.start()
        return self

    def __call__(self, step: BuildProgress) -> None:
        """Move the bar of the step's stage."""
        if step.stage not in self._tasks:
            label = self._LABELS.get(step.stage, step.stage)
            self._tasks[step.stage] = self._bar.add_task(label, total=step.total, item="")
        self._bar.update(self._tasks[step.stage], completed=step.done, total=step.total, item=step.item[-40:])

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()
