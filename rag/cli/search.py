"""``rag search``: the passages nearest to a query."""

from __future__ import annotations

import argparse

from rag.cli.scope import add_scope_arguments, check_scope, scope_of
from rag.cli.terminal import EMBEDDER_HELP, positive, print_json, printable


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``rag search`` takes beside the index."""
    parser.add_argument("query")
    parser.add_argument(
        "-k", "--top-k", type=positive, default=5, metavar="N", help="passages wanted (default: %(default)s)"
    )
    parser.add_argument("--embedder", metavar="NAME_OR_PATH", help=EMBEDDER_HELP)
    add_scope_arguments(parser)


def run_search(args: argparse.Namespace) -> int:
    """Run ``rag search`` and return the exit status."""
    from rag.retriever import Retriever
    from rag.text import detect_language
    from rag.wire import hits_json

    scope = scope_of(args)
    snapshot = Retriever.open(args.index_dir, embedder=args.embedder).snapshot()
    check_scope(scope, snapshot)
    hits = snapshot.search(
        args.query,
        top_k=args.top_k,
        language=scope.language or None,
        doc_ids=scope.doc_ids or None,
        collection=scope.collection or None,
        metadata=dict(scope.metadata),
    )
    if args.json:
        print_json(hits_json(args.query, detect_language(args.query), hits))
        return 0
    for hit in hits:
        passage = hit.passage
        page = f", page {passage.page}" if passage.page else ""
        print(f"{hit.rank}. {passage.doc_id}:{passage.start}-{passage.end}{page}  score {hit.score:.3f}")
        print(f"   {printable(' '.join(passage.text.split()))}")
    return 0
