"""``rag chat``: question after question; a follow-up is read with the turns before it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rag.cli.ask import add_answer_arguments, open_chatbot
from rag.cli.pretty import Writer, say_notice, writer_for
from rag.cli.scope import scope_of
from rag.cli.terminal import place_of, print_json, print_note
from rag.errors import RagError

if TYPE_CHECKING:
    from prompt_toolkit.history import History

    from rag.answering import Chatbot
    from rag.datatypes import Answer, Citation

_CONTEXT = 400  # characters shown on either side of a quote
_HELP = """\
/sources      the sources of the last answer
/sources N    source N, in its place in the document
/new          begin anew: what comes next is no follow-up
/help         these lines
/quit         end, as Ctrl-D does"""


def add_chat_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``rag chat`` takes beside the index."""
    add_answer_arguments(parser)


def run_chat(args: argparse.Namespace) -> int:
    """Answer the questions typed, or piped in one a line; return the exit status.

    A question that fails is said on stderr and the next one is asked; of piped questions the status then is 1.
    """
    chat = _Chat(args, open_chatbot(args))
    is_typed = sys.stdin.isatty()
    if is_typed and not args.json:
        print_note("Type a question; /help lists the commands, Ctrl-D ends.")
    failures = 0
    for line in _typed() if is_typed else _piped():
        if line in ("/quit", "/exit"):
            break
        try:
            chat.take(line)
        except (RagError, ValueError) as error:
            failures += 1
            print_note(f"error: {error}")
            if args.json:
                print_json({"question": line, "error": str(error)})
        except KeyboardInterrupt:
            if not is_typed:
                raise
            print_note("interrupted; ask again, or leave with /quit")
    return 1 if failures and not is_typed else 0


class _Chat:
    """The conversation so far, and what one line does to it."""

    def __init__(self, args: argparse.Namespace, chatbot: Chatbot) -> None:
        self._chatbot, self._scope = chatbot, scope_of(args)
        self._is_json = bool(args.json)
        self._writer: Writer = writer_for(args)
        self._history: list[Answer] = []

    def take(self, line: str) -> None:
        """Answer a question or obey a command."""
        command, _, rest = line.partition(" ")
        if not line.startswith("/"):
            self._ask(line)
        elif command == "/sources":
            self._sources(rest.strip())
        elif command == "/new":
            self._history.clear()
            if not self._is_json:
                self._writer.line("A new conversation.", "dim")
        elif command == "/help":
            print_note(_HELP)
        else:
            raise ValueError(f"there is no command {command}; /help lists them")

    def _ask(self, question: str) -> None:
        if self._is_json:
            from rag.wire import answer_json

            answer = self._chatbot.ask(question, self._history, scope=self._scope)
            say_notice(answer)
            print_json(answer_json(answer))
        else:
            answer = self._writer.show(self._chatbot.stream(question, self._history, scope=self._scope))
            self._writer.line("")
        self._history.append(answer)

    def _sources(self, number: str) -> None:
        citations = self._history[-1].citations if self._history else ()
        if not citations:
            raise ValueError("there are no sources; ask a question that the documents answer")
        if not number:
            self._list(citations)
            return
        chosen = next((citation for citation in citations if str(citation.n) == number), None)
        if chosen is None:
            raise ValueError(f"there is no source {number}; the last answer has 1 to {len(citations)}")
        self._open(chosen)

    def _list(self, citations: tuple[Citation, ...]) -> None:
        if self._is_json:
            from rag.wire import citation_json

            print_json({"sources": [citation_json(citation) for citation in citations]})
            return
        for citation in citations:
            self._writer.line(f"[{citation.n}] {place_of(citation)}")

    def _open(self, citation: Citation) -> None:
        """Show a quote with what stands before and after it in its document."""
        from rag.views import document_view, text_digest
        from rag.wire import citation_json

        document = self._chatbot.retriever.snapshot().generation.documents.get(citation.doc_id)
        if document is None:
            raise ValueError(f"{citation.doc_id} is not in the index any more; ask again")
        view = document_view(
            document, citation.start, citation.end, digest=text_digest(citation.quote), window=_CONTEXT
        )
        if view.is_changed:
            raise ValueError(f"{citation.doc_id} has changed since the answer; ask again")
        if self._is_json:
            print_json({**citation_json(citation), "before": view.before, "after": view.after})
            return
        self._writer.line(f"[{citation.n}] {place_of(citation)}", "dim")
        before = ("… " if view.is_cut_before else "") + view.before.lstrip()
        after = view.after.rstrip() + (" …" if view.is_cut_after else "")
        for text, style in ((before, "dim"), (f"»{view.quote}«", "bold"), (after, "dim")):
            if text.strip():
                self._writer.line(text.strip("\n"), style)


def _piped() -> Iterator[str]:
    """Yield the lines of stdin that are not blank."""
    for line in sys.stdin:
        if line.strip():
            yield line.strip()


def _typed() -> Iterator[str]:
    """Yield what is typed at a prompt with a history; Ctrl-C forgets the line, Ctrl-D ends."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.completion import WordCompleter

    commands = WordCompleter(["/sources", "/new", "/help", "/quit"], sentence=True)
    session: PromptSession[str] = PromptSession(
        history=_history(), auto_suggest=AutoSuggestFromHistory(), completer=commands, complete_while_typing=False
    )
    while True:
        try:
            line = session.prompt("ask> ").strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if line:
            yield line


def history_path() -> Path:
    """Return the file that keeps what was typed: in the user's state folder."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "sanad" / "history"


def _history() -> History:
    """Return the history on disk, which only its owner reads; one in memory where it cannot be kept."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    path = history_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))
        path.chmod(0o600)
    except OSError as error:
        print_note(f"note: what you type is not kept: {path} cannot be written ({error.strerror})")
        return InMemoryHistory()
    return FileHistory(str(path))
