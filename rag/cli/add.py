"""``rag add``: pages of the web become documents of the corpus."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from rag.cli.terminal import DEFAULT_CORPUS_DIR, positive, print_json, print_note, printable

if TYPE_CHECKING:
    from rag.web.add import AddReport, PageReport

_LIMIT = 1_000


def add_add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``rag add`` takes beside the index."""
    parser.add_argument("urls", nargs="*", metavar="URL", help="a page, or with --sitemap a sitemap or a site")
    parser.add_argument(
        "--corpus-dir", default=DEFAULT_CORPUS_DIR, metavar="DIR", help="the folder of documents (default: %(default)s)"
    )
    parser.add_argument("--sitemap", action="store_true", help="fetch every page that the sitemaps name")
    parser.add_argument("--refresh", action="store_true", help="bring every page up to date that was fetched before")
    parser.add_argument(
        "--limit", type=positive, default=_LIMIT, metavar="N", help="pages at most (default: %(default)s)"
    )
    parser.add_argument("--build", action="store_true", help="build the index afterwards")
    parser.add_argument(
        "--allow-private", action="store_true", help="also reach an intranet and this machine; not for URLs of others"
    )
    parser.add_argument(
        "--allow-port",
        type=positive,
        action="append",
        default=[],
        metavar="PORT",
        help="also reach this port beside 80 and 443; may be given several times",
    )


def run_add(args: argparse.Namespace) -> int:
    """Run ``rag add`` and return the exit status: 1 if nothing was fetched."""
    from rag.config import WebConfig
    from rag.web.add import add_pages
    from rag.web.fetch import Fetcher

    if args.refresh and (args.urls or args.sitemap):
        raise ValueError("--refresh brings up to date what was fetched before; leave out the URLs and --sitemap")
    if not args.refresh and not args.urls:
        raise ValueError("name the URL of a page, or --refresh")
    config = WebConfig(allow_private=args.allow_private, allow_ports=frozenset(args.allow_port))
    with Fetcher(config) as fetcher:
        report = add_pages(
            args.urls,
            args.corpus_dir,
            fetcher=fetcher,
            from_sitemaps=args.sitemap,
            limit=args.limit,
            progress=lambda page: print_note(_line(page)),
        )
    fetched = len(report.pages) - report.count("failed")
    result = add_json(report)
    if args.build and fetched:
        result["build"] = _build(args)
    if args.json:
        print_json(result)
    elif report.pages:
        counts = ", ".join(f"{result[name]} {name}" for name in ("added", "updated", "unchanged", "failed"))
        print(f"{args.corpus_dir}/web: {counts} in {report.seconds:.1f} s")
    else:
        print(f"{args.corpus_dir}/web: no page was ever fetched there")
    return 0 if fetched or (args.refresh and not report.pages) else 1


def add_json(report: AddReport) -> dict[str, Any]:
    """Return the answer of ``rag add --json``."""
    return {
        **{name: report.count(name) for name in ("added", "updated", "unchanged", "failed")},
        "pages": [
            {"url": page.url, "status": page.status, "file": page.file, "reason": page.reason} for page in report.pages
        ],
        "seconds": round(report.seconds, 3),
    }


def _line(page: PageReport) -> str:
    return printable(f"{page.status:<9} {page.url}" + (f" -> {page.file}" if page.file else f": {page.reason}"))


def _build(args: argparse.Namespace) -> dict[str, Any]:
    from rag.builder import build_index
    from rag.cli.terminal import Progress
    from rag.wire import build_json

    with Progress() as progress:
        built = build_index(args.corpus_dir, args.index_dir, progress=progress)
    for failed in built.failed:
        print_note(f"skipped {failed.path}: {failed.reason}")
    print_note(f"{args.index_dir}/{built.generation}: {built.documents} documents, {built.passages} passages")
    return build_json(built)
