"""The terminal face: ``rag build | search | ask | chat | eval | serve | ...``; ``rag --help`` lists the commands.

Results go to stdout, progress and messages to stderr. Exit status: 0 done, 1 an error that the message explains, 2
wrong usage. The heavy modules are imported by the command that needs them, so that ``rag --help`` answers at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

from rag.cli.add import add_add_arguments, run_add
from rag.cli.ask import add_ask_arguments, run_ask
from rag.cli.build import add_build_arguments, run_build
from rag.cli.bundle import add_bundle_arguments, run_bundle
from rag.cli.chat import add_chat_arguments, run_chat
from rag.cli.completion import add_completion_arguments, completion_script
from rag.cli.doctor import add_doctor_arguments, run_doctor
from rag.cli.evaluation import add_evaluation_arguments, run_evaluation
from rag.cli.index import run_rollback, run_verify
from rag.cli.mcp import add_mcp_arguments, run_mcp
from rag.cli.search import add_search_arguments, run_search
from rag.cli.serve import add_serve_arguments, run_serve
from rag.cli.terminal import add_index_argument, add_json_argument, print_note
from rag.cli.users import add_user_arguments, run_user
from rag.errors import RagError

Run = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status (argparse itself exits with 2 on wrong usage)."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s: %(message)s")
    command: Run = args.command
    try:
        return command(args)
    except (RagError, ValueError) as error:
        print_note(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        print_note("interrupted; nothing was changed")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rag", description="Ask Arabic and English documents; every answer shows its source."
    )
    parser.add_argument("--verbose", action="store_true", help="say more on stderr")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, run: Run, text: str, *, json: str | None = "print one JSON object") -> argparse.ArgumentParser:
        """Add a command; one with ``json`` works on an index and prints for programs too."""
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=run)
        if json is not None:
            add_index_argument(command)
            add_json_argument(command, json)
        return command

    lines = "print one JSON object a line"
    add_build_arguments(add("build", run_build, "Bring the index up to date with a folder of documents."))
    add_add_arguments(add("add", run_add, "Fetch pages of the web into the folder of documents."))
    add_search_arguments(add("search", run_search, "Find the passages nearest to a query."))
    add_ask_arguments(
        add("ask", run_ask, "Answer a question with quotes from the documents, or in a language model's words.")
    )
    add_chat_arguments(add("chat", run_chat, "Ask question after question, typed or piped in one a line.", json=lines))
    add_evaluation_arguments(
        add("eval", run_evaluation, "Measure retrieval, citations and refusals on judged questions.")
    )
    add_serve_arguments(add("serve", run_serve, "Serve the chat and the HTTP API.", json=None))
    add_mcp_arguments(
        add("mcp", run_mcp, "Offer search and ask as tools to a program that talks to this one.", json=None)
    )
    add_user_arguments(add("user", run_user, "Say who may log in to a server that has --auth-file.", json=None))
    add("verify", run_verify, "Check every file of the index against its checksum.")
    add("rollback", run_rollback, "Go back to the previous generation of the index.")
    add_doctor_arguments(
        add("doctor", run_doctor, "Say what is installed, what is slow, what state the index is in, what leaves here.")
    )
    add_bundle_arguments(add("bundle", run_bundle, "Pack index, program and models for a machine without network."))
    completion = add("completion", _print_completion, "Print the script that completes commands in a shell.", json=None)
    add_completion_arguments(completion)
    return parser


def _print_completion(args: argparse.Namespace) -> int:
    print(completion_script(_parser(), args.shell))
    return 0


if __name__ == "__main__":
    sys.exit(main())
