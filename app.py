"""Start the chat: ``python app.py``, then open http://127.0.0.1:7860."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    """Serve the chat and the HTTP API until interrupted; return the exit status."""
    parser = argparse.ArgumentParser(prog="app.py", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=7860, help="port to listen on, 0 for any (default: %(default)s)")
    parser.add_argument("--index-dir", type=Path, default=Path("index"), help="the index (default: %(default)s)")
    parser.add_argument(
        "--corpus-dir",
        type=Path,
        action="append",
        help="a folder of documents that a rebuild reads; may be given several times (default: corpus)",
    )
    parser.add_argument(
        "--upload-dir", type=Path, help="where uploads are kept (default: uploads in the first corpus folder)"
    )
    parser.add_argument("--embedder", help="an embedder's name or folder (default: the built-in one)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

    from rag.errors import RagError
    from rag.server import serve

    try:
        serve(
            args.host,
            args.port,
            index_dir=args.index_dir,
            corpus_dirs=args.corpus_dir or [Path("corpus")],
            upload_dir=args.upload_dir,
            embedder=args.embedder,
            on_ready=_announce,
        )
    except RagError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _announce(address: str) -> None:
    sys.stderr.write(f"Sanad answers on {address}\n")
    sys.stderr.flush()


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"a port is between 0 and 65535, got {port}")
    return port


if __name__ == "__main__":
    raise SystemExit(main())
