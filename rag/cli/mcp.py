"""``rag mcp``: the tools ``search`` and ``ask`` for a program that starts this one and talks to it."""

from __future__ import annotations

import argparse
import signal

from rag.cli.terminal import EMBEDDER_HELP, MODEL_HELP, add_index_argument


def add_mcp_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``rag mcp`` takes, the index too."""
    add_index_argument(parser)
    parser.add_argument("--embedder", metavar="NAME_OR_PATH", help=EMBEDDER_HELP)
    parser.add_argument("--model", metavar="NAME", help=MODEL_HELP)


def run_mcp(args: argparse.Namespace) -> int:
    """Serve the Model Context Protocol on stdin and stdout until stdin ends; return the exit status.

    Models and index are opened by the first question: whoever starts the program is answered at once.
    """
    from rag.server.mcp import serve_stdio
    from rag.server.service import ChatService

    # A thread waits for stdin and cannot be woken: Ctrl-C as Python has it would wait for the next line.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    serve_stdio(ChatService(args.index_dir, embedder=args.embedder, model=args.model, any_model=False))
    return 0
