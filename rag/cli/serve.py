"""``rag serve``: its arguments, and what it runs."""

from __future__ import annotations

import argparse

from rag.cli.terminal import DEFAULT_CORPUS_DIR, EMBEDDER_HELP, MODEL_HELP, add_index_argument, positive, print_note


def add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``rag serve`` takes."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=7860, help="port to listen on, 0 for any (default: %(default)s)")
    add_index_argument(parser)
    parser.add_argument(
        "--corpus-dir",
        action="append",
        metavar="DIR",
        help=f"a folder that a rebuild reads; may be given several times (default: {DEFAULT_CORPUS_DIR})",
    )
    parser.add_argument("--upload-dir", metavar="DIR", help="where uploads are kept (default: CORPUS_DIR/uploads)")
    parser.add_argument("--embedder", metavar="NAME_OR_PATH", help=EMBEDDER_HELP)
    parser.add_argument("--model", metavar="NAME", help=MODEL_HELP)
    parser.add_argument(
        "--auth-file",
        metavar="FILE",
        help="let only the users of this file in (see rag user); restarts end sessions unless FILE.secret signs them",
    )
    parser.add_argument(
        "--api-key-file", metavar="FILE", help="let programs in with a key of this file, one a line (Bearer KEY)"
    )
    parser.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="let pages of this site call the API, such as https://example.org; may be given several times",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="answer under this name alone, such as docs.example; may be given several times (default: any)",
    )
    parser.add_argument(
        "--log-questions",
        action="store_true",
        help="write questions to the log (default: a line a request without them)",
    )
    parser.add_argument(
        "--max-concurrent",
        type=positive,
        metavar="N",
        help="questions and searches at work at once; beyond it a request is told to come back",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def run_serve(args: argparse.Namespace) -> int:
    """Serve until interrupted; return the exit status."""
    from rag.server import serve
    from rag.server.middleware import is_loopback

    if args.auth_file is None and not is_loopback(args.host):
        print_note(
            f"warning: anyone who reaches port {args.port} can read the documents; "
            "ask for a login with --auth-file FILE (see rag user add)"
        )
    serve(
        args.host,
        args.port,
        index_dir=args.index_dir,
        corpus_dirs=args.corpus_dir or [DEFAULT_CORPUS_DIR],
        upload_dir=args.upload_dir,
        embedder=args.embedder,
        model=args.model,
        auth_file=args.auth_file,
        api_key_file=args.api_key_file,
        cors_origins=args.cors_origin,
        allowed_hosts=args.allowed_host,
        log_questions=args.log_questions,
        **({} if args.max_concurrent is None else {"max_concurrent": args.max_concurrent}),
        on_ready=lambda address: print_note(f"Sanad answers on {address}"),
    )
    return 0
