"""``rag verify`` and ``rag rollback``: look after the index."""

from __future__ import annotations

import argparse
from contextlib import suppress

from rag.cli.terminal import print_json, print_note
from rag.errors import RagError


def run_verify(args: argparse.Namespace) -> int:
    """Check every file of the index; return the exit status."""
    from rag.store import IndexStore, open_store

    store = open_store(args.index_dir)
    problems = store.verify()
    standing = store.standing() if problems or args.json else ""  # it reads the index once more
    live = None
    with suppress(RagError):
        live = store.current_name()
    if args.json:
        print_json({"index_dir": args.index_dir, "generation": live, "problems": problems, "standing": standing})
    elif not problems:
        what = "every file" if isinstance(store, IndexStore) else "everything in it"
        print(f"{args.index_dir}/{live}: {what} is whole")
    for problem in problems:
        print_note(f"error: {problem}")
    if problems:
        print_note(standing)
    elif live != (newest := store.generations()[-1]):
        print_note(f"{newest} is newer than {live}, after a rollback or a build that was cut off; rag build removes it")
    return 1 if problems else 0


def run_rollback(args: argparse.Namespace) -> int:
    """Go back to the generation before; return the exit status."""
    from rag.store import open_store

    name = open_store(args.index_dir).rollback()
    if args.json:
        print_json({"index_dir": args.index_dir, "generation": name})
    else:
        print(f"{args.index_dir} is back at {name}; the next rag build starts from there")
    return 0
