"""An answer on a terminal: as it grows, in plain text or dressed by rich, with its numbered sources."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from rag.cli.rtl import draw_line, join_letters, wants_shaping
from rag.cli.terminal import place_of, print_note, printable, waiting

if TYPE_CHECKING:
    from rich.console import Console

    from rag.datatypes import Answer, Statement

_WIDEST = 100  # cells; longer lines are hard to read
_MARK = r"\[\d+\]"
_STYLES = {"short": "bold", "frame": "dim italic"}


class Writer(Protocol):
    """Shows answers."""

    def show(self, answers: Iterable[Answer]) -> Answer:
        """Show one answer while it grows, then its sources; return the whole one."""

    def line(self, text: str, style: str = "") -> None:
        """Show a line, wrapped; ``style`` is one of rich's."""


def writer_for(args: argparse.Namespace, *, says_query: bool = True) -> Writer:
    """Return what suits stdout: rich on a terminal, plain text in a pipe, with ``--rtl`` as asked.

    Args:
        args: With ``rtl``.
        says_query: Whether plain text too opens with what was searched for, where that is not the question.
    """
    is_terminal = sys.stdout.isatty()
    shapes = wants_shaping(args.rtl, os.environ, is_terminal=is_terminal)
    if not is_terminal:
        return PlainWriter(shapes=shapes, says_query=says_query)
    from rich.console import Console

    return PrettyWriter(Console(highlight=False, markup=False, emoji=False), shapes=shapes)


class PlainWriter:
    """Markdown and sources, a block at a time, as they are: for pipes and files."""

    def __init__(self, *, shapes: bool = False, says_query: bool = False) -> None:
        self._shapes, self._says_query = shapes, says_query

    def show(self, answers: Iterable[Answer]) -> Answer:
        """Show one answer while it grows, then its sources; return the whole one."""
        shown = ""
        for number, answer in enumerate(answers):
            if number == 0 and self._says_query and _is_rewritten(answer):
                self.line(f"searched for: {answer.query}\n")
            # The last block may still get a line or its mark.
            shown = self._grow(shown, answer.text.rpartition("\n\n")[0])
        if shown and not answer.text.startswith(shown):
            print()  # the quotes that took the place of what a language model had begun
            shown = ""
        self.line(answer.text[len(shown) :].removeprefix("\n\n"))
        say_notice(answer)
        if answer.citations:
            print()
        for citation in answer.citations:
            self.line(f"[{citation.n}] {place_of(citation)}")
        sys.stdout.flush()
        return answer

    def _grow(self, shown: str, text: str) -> str:
        if not text.startswith(shown) or len(text) == len(shown):
            return shown
        self.line(text[len(shown) :].removeprefix("\n\n") + "\n")
        sys.stdout.flush()
        return text

    def line(self, text: str, style: str = "") -> None:
        """Show a line; ``style`` is for terminals."""
        text = printable(text)
        print("\n".join(draw_line(join_letters(line))[0] for line in text.split("\n")) if self._shapes else text)


class PrettyWriter:
    """The answer for people at a terminal: short answer bold, what frames the quotes dim, a refusal in yellow."""

    def __init__(self, console: Console, *, shapes: bool = False) -> None:
        self._console, self._shapes = console, shapes

    def show(self, answers: Iterable[Answer]) -> Answer:
        """Show one answer while it grows, then its sources; return the whole one."""
        shown: tuple[Statement, ...] = ()
        for number, answer in enumerate(_with_spinner(answers)):
            if number == 0 and _is_rewritten(answer):
                self.line(f"searched for: {answer.query}", "dim")
            complete = [statement for block in list(_blocks(answer.statements))[:-1] for statement in block]
            shown = self._grow(shown, tuple(complete), is_refusal=answer.abstained)
        if answer.statements[: len(shown)] != shown:  # quotes took the place of what a language model had begun
            self._console.rule(style="dim")
            shown = ()
        self._grow(shown, answer.statements, is_refusal=answer.abstained)
        say_notice(answer)
        self._show_sources(answer)
        return answer

    def _grow(
        self, shown: tuple[Statement, ...], wanted: tuple[Statement, ...], *, is_refusal: bool
    ) -> tuple[Statement, ...]:
        """Show the blocks that come after what was shown; return what is shown then."""
        if wanted[: len(shown)] != shown:
            return shown
        for block in _blocks(wanted[len(shown) :]):
            for statement in block:
                marks = "".join(f" [{n}]" for n in statement.citations) if statement is block[-1] else ""
                style = "yellow" if is_refusal else _STYLES.get(statement.kind, "")
                bullet = "• " if statement.kind == "item" else ""
                self.line(f"{bullet}{statement.text}{marks}", style if statement.is_supported else "strike")
            self._console.print()
        return wanted

    def _show_sources(self, answer: Answer) -> None:
        if answer.abstained:
            for hit in answer.hits:
                passage = hit.passage
                place = " › ".join(dict.fromkeys((passage.title, *passage.heading)))
                self.line(f"nearest: {place} ({passage.doc_id}:{passage.start}-{passage.end})", "dim")
            return
        for citation in answer.citations:
            self.line(f"[{citation.n}] {place_of(citation)}", "dim")

    def line(self, text: str, style: str = "") -> None:
        """Show text, wrapped to the terminal; letters are put in drawing order after it is wrapped."""
        from rich.text import Text

        width = min(self._console.width, _WIDEST)
        text = printable(text)
        lines = Text(join_letters(text) if self._shapes else text).wrap(self._console, width)
        for line in lines:
            plain, is_rtl = draw_line(line.plain.rstrip()) if self._shapes else (line.plain.rstrip(), False)
            drawn = Text(plain, style=style)
            drawn.highlight_regex(_MARK, "cyan")
            if is_rtl:
                drawn.align("right", width)
            self._console.print(drawn, no_wrap=True, overflow="ignore", crop=False)


def _with_spinner(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Yield the answers; a spinner turns until the first is there."""
    growing = iter(answers)
    with waiting("searching and reading"):
        first = next(growing)
    yield first
    yield from growing


def _blocks(statements: Iterable[Statement]) -> Iterator[list[Statement]]:
    """Yield the statements that one set of marks stands behind, together."""
    block: list[Statement] = []
    for statement in statements:
        if block and statement.citations != block[-1].citations:
            yield block
            block = []
        block.append(statement)
    if block:
        yield block


def _is_rewritten(answer: Answer) -> bool:
    return answer.query not in ("", answer.question)


def say_notice(answer: Answer) -> None:
    """Tell on stderr what went wrong on the way to an answer."""
    if answer.notice:
        print_note(f"note: {answer.notice}")
