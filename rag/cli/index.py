"""``rag verify`` and ``rag rollback``: look after the index."""

from __future__ import annotations

import argparse
from pathlib import Path

from rag.cli.terminal import print_json, print_note


def run_verify(args: argparse.Namespace) -> int:
    """Check every file of the index; return the exit status."""
    from rag.store import IndexStore

    store = IndexStore(Path(args.index_dir))
    problems = store.verify()
    if args.json:
        print_json({"index_dir": args.index_dir, "generation": store.current_name(), "problems": problems})
    elif not problems:
        print(f"{args.index_dir}/{store.current_name()}: every file is whole")
    for problem in problems:
        print_note(f"error: {problem}")
    return 1 if problems else 0


def run_rollback(args: argparse.Namespace) -> int:
    """Go back to the generation before; return the exit status."""
    from rag.store import IndexStore

    name = IndexStore(Path(args.index_dir)).rollback()
    if args.json:
        print_json({"index_dir": args.index_dir, "generation": name})
    else:
        print(f"{args.index_dir} is back at {name}; the next rag build starts from there")
    return 0
