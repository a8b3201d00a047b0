"""Which documents ``search``, ``ask`` and ``chat`` look in: ``--language``, ``--collection``, ``--doc-id`` and more."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from rag.datatypes import Scope

if TYPE_CHECKING:
    from rag.retriever import Snapshot

_SHOWN = 5


def add_scope_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the filters."""
    filters = parser.add_argument_group("which documents (default: all)")
    filters.add_argument("--language", type=_language, metavar="CODE", help="ar, en or another language")
    filters.add_argument("--collection", default="", metavar="FOLDER", help="a folder of the corpus, such as articles")
    filters.add_argument(
        "--doc-id", action="append", default=[], metavar="DOC_ID", help="one document; may be given several times"
    )
    filters.add_argument(
        "--metadata",
        action="append",
        type=_pair,
        default=[],
        metavar="KEY=VALUE",
        help="what a document says of itself, such as author=Sara; of several all must hold",
    )


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _language(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no language code, such as ar or en")
    return text


def scope_of(args: argparse.Namespace) -> Scope:
    """Return what the filters say."""
    return Scope(
        collection=args.collection.strip("/"),
        language=args.language or "",
        doc_ids=frozenset(args.doc_id),
        metadata=tuple(args.metadata),
    )


def check_scope(scope: Scope, snapshot: Snapshot) -> None:
    """Refuse a filter that leaves nothing: a mistyped name should not read as "the documents do not say".

    Raises:
        ValueError: The language, the folder, a document or what it says of itself is not in the index.
    """
    known = snapshot.generation.documents
    unknown = sorted(scope.doc_ids - known.keys())
    if unknown:
        example = next(iter(known), "none")
        raise ValueError(f"the index has no document {unknown[0]!r}; an id is the path in the corpus, as in {example}")
    if scope.collection and not any(Scope(collection=scope.collection).holds(doc_id) for doc_id in known):
        folders = sorted({doc_id.rpartition("/")[0] for doc_id in known} - {""})
        shown = ", ".join(folders[:_SHOWN]) + (", ..." if len(folders) > _SHOWN else "")
        raise ValueError(f"the index has no folder {scope.collection!r}; it has {shown or 'no folders'}")
    if scope.language and scope.language not in snapshot.languages:
        raise ValueError(f"the index has nothing in {scope.language!r}; it has {', '.join(snapshot.languages)}")
    if known and not any(scope.admits(document) for document in known.values()):
        raise ValueError("no document passes all the filters; leave one of them out")
