"""What the commands share: help on models, one JSON object on stdout, a progress bar on stderr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.builder import BuildProgress


MODEL_HELP = (
    "a language model that writes the answers: a folder, a .gguf file, a hub name, smollm2, or "
    "openai:http://HOST:PORT/v1#MODEL (default: none, answers are quotes)"
)


def print_json(value: Any) -> None:
    """Print one JSON object on a line."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


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
