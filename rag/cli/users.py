"""``rag user``: who may log in to a server that has ``--auth-file``."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from rag.cli.terminal import add_json_argument, print_json


def add_user_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``add``, ``remove`` and ``list`` under ``rag user``."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION", dest="action")
    for action, text in (
        ("add", "Add a user, or give one another password: asked for twice, or read from a pipe."),
        ("remove", "Remove a user; a server that runs lets them in no more."),
        ("list", "Print the names, one a line."),
    ):
        command = actions.add_parser(action, help=text, description=text)
        if action != "list":
            command.add_argument("name", metavar="NAME")
        command.add_argument("--auth-file", type=Path, required=True, metavar="FILE", help="the file of users")
        add_json_argument(command)


def run_user(args: argparse.Namespace) -> int:
    """Run ``rag user`` and return the exit status."""
    from rag.server.users import add_user, clean_name, read_users, remove_user

    if args.action == "list":
        names = list(read_users(args.auth_file))
        _say(args, "\n".join(names), {"users": names})
    elif args.action == "remove":
        remove_user(args.auth_file, args.name)
        _say(args, f"{args.name} is no user of {args.auth_file} any more", {"removed": args.name})
    else:
        name = clean_name(args.name)
        is_new = add_user(args.auth_file, name, _password(name))
        text = f"{name} is now a user of {args.auth_file}" if is_new else f"{name} has a new password"
        _say(args, text, {"name": name, "is_new": is_new})
    return 0


def _say(args: argparse.Namespace, text: str, value: dict[str, object]) -> None:
    if args.json:
        print_json(value)
    elif text:
        print(text)


def _password(name: str) -> str:
    """Ask for a password twice on the terminal, or take the first line of what is piped in."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    try:
        first = getpass.getpass(f"Password of {name}: ")
        second = getpass.getpass("The same again: ")
    except EOFError:
        raise ValueError("no password was given; nothing was changed") from None
    if first != second:
        raise ValueError("the two are not the same; nothing was changed, try again")
    return first
