"""``rag completion``: a script that makes a shell complete commands, options and paths."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "tcsh")
_FOLDERS = ("DIR", "CORPUS_DIR", "NAME_OR_PATH")


def add_completion_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the name of the shell."""
    parser.add_argument("shell", choices=SHELLS)


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for one of `SHELLS`; what stands for a path by its metavar is completed as one."""
    import shtab

    for command in (parser, *_commands(parser)):
        for action in command._actions:
            names = action.metavar if isinstance(action.metavar, tuple) else (action.metavar or "",)
            if any(name in _FOLDERS for name in names):
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif any("FILE" in name or "." in name for name in names):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parsers of all commands below one."""
    found: list[argparse.ArgumentParser] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found += [command, *_commands(command)]
    return found
