"""``rag ask``: one question, one answer."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rag.cli.pretty import say_notice, writer_for
from rag.cli.rtl import add_rtl_argument
from rag.cli.scope import add_scope_arguments, check_scope, scope_of
from rag.cli.terminal import EMBEDDER_HELP, MODEL_HELP, print_json, waiting

if TYPE_CHECKING:
    from rag.answering import Chatbot


def add_ask_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``rag ask`` takes beside the index."""
    parser.add_argument("question")
    add_answer_arguments(parser)


def add_answer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``rag ask`` and ``rag chat`` share."""
    parser.add_argument("--embedder", metavar="NAME_OR_PATH", help=EMBEDDER_HELP)
    parser.add_argument("--model", metavar="NAME", help=MODEL_HELP)
    add_rtl_argument(parser)
    add_scope_arguments(parser)


def open_chatbot(args: argparse.Namespace) -> Chatbot:
    """Open the index and the models that the arguments name, and check the filters against the index."""
    from rag.answering import Chatbot
    from rag.retriever import Retriever

    with waiting("opening index and models"):
        retriever = Retriever.open(args.index_dir, embedder=args.embedder)
        check_scope(scope_of(args), retriever.snapshot())
        generator = None
        if args.model:
            from rag.generators import open_generator

            generator = open_generator(args.model)
        return Chatbot(retriever, generator=generator)


def run_ask(args: argparse.Namespace) -> int:
    """Run ``rag ask`` and return the exit status."""
    from rag.wire import answer_json

    chatbot = open_chatbot(args)
    if args.json:
        answer = chatbot.ask(args.question, scope=scope_of(args))
        say_notice(answer)
        print_json(answer_json(answer))
    else:
        writer_for(args, says_query=False).show(chatbot.stream(args.question, scope=scope_of(args)))
    return 0
