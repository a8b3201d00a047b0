"""Keep an index fresh while people work on the documents; end it with Ctrl-C.

    python watch_folder.py corpus --index-dir index

Only what changed is read and embedded. Whoever searches the index meanwhile, in this process or another, gets the new
one within half a second of its being ready.
"""

import argparse
import sys
from pathlib import Path

from watchfiles import Change, DefaultFilter, watch

from rag import Embedder, RagError, build_index


def main() -> int:
    """Read the arguments; return the exit status."""
    parser = argparse.ArgumentParser(description="Keep an index fresh while people work on the documents.")
    parser.add_argument("corpus", type=Path, help="the folder of the documents")
    parser.add_argument("--index-dir", type=Path, default=Path("index"), help="the index (default: %(default)s)")
    args = parser.parse_args()
    corpus, index_dir = args.corpus.resolve(), args.index_dir.resolve()
    ignores_editors = DefaultFilter()

    def matters(change: Change, path: str) -> bool:
        # The index may lie in the folder: what a build writes is no change of the documents.
        return ignores_editors(change, path) and not Path(path).is_relative_to(index_dir)

    try:
        embedder = Embedder.open()  # once; each update then takes only as long as what changed
        is_first = True  # the first turn comes when the folder is watched, so that no change falls in between
        for changes in watch(corpus, watch_filter=matters, rust_timeout=500, yield_on_timeout=True):
            if changes or is_first:
                update(corpus, index_dir, embedder)
            is_first = False
    except KeyboardInterrupt:
        return 0
    except (RagError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def update(corpus: Path, index_dir: Path, embedder: Embedder) -> None:
    """Bring the index up to date and say what was done; a file that cannot be read waits for its next change."""
    try:
        report = build_index(corpus, index_dir, embedder=embedder)
    except RagError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)  # the index before it goes on answering
        return
    changes = f"{report.added} added, {report.updated} updated, {report.removed} removed"
    print(f"{report.generation}: {report.documents} documents, {changes}", flush=True)
    for failed in report.failed:
        print(f"{failed.path}: {failed.reason}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
