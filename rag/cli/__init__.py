"""The terminal face: ``rag build | search | ask | eval | serve | user | verify | rollback | doctor``.

Results go to stdout, progress and messages to stderr. Exit status: 0 done, 1 an error that the message explains, 2
wrong usage. The heavy modules are imported by the command that needs them, so that ``rag --help`` answers at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rag.cli.evaluation import add_evaluation_arguments, run_evaluation
from rag.cli.terminal import MODEL_HELP, Progress, print_json
from rag.cli.users import add_user_arguments, run_user
from rag.errors import RagError

DEFAULT_INDEX_DIR = "index"
DEFAULT_CORPUS_DIR = "corpus"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status (argparse itself exits with 2 on wrong usage)."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s: %(message)s")
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except (RagError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was changed", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rag", description="Ask Arabic and English documents; every answer shows its source."
    )
    parser.add_argument("--verbose", action="store_true", help="say more on stderr")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[argparse.Namespace], int], text: str, *, index: bool = True
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=run)
        if index:
            command.add_argument(
                "--index-dir", default=DEFAULT_INDEX_DIR, metavar="DIR", help="the index (default: %(default)s)"
            )
            command.add_argument("--json", action="store_true", help="print one JSON object")
        return command

    build = add("build", _build, "Bring the index up to date with a folder of documents.")
    build.add_argument(
        "corpus_dirs", nargs="*", metavar="CORPUS_DIR", help=f"folders of documents (default: {DEFAULT_CORPUS_DIR})"
    )
    build.add_argument("--embedder", metavar="NAME_OR_PATH", help="a sentence-transformer (default: the built-in one)")

    search = add("search", _search, "Find the passages nearest to a query.")
    search.add_argument("query")
    search.add_argument(
        "-k", "--top-k", type=_positive, default=5, metavar="N", help="passages wanted (default: %(default)s)"
    )
    search.add_argument("--embedder", metavar="NAME_OR_PATH", help="the embedder the index was built with")

    ask = add("ask", _ask, "Answer a question with quotes from the documents, or in a language model's words.")
    ask.add_argument("question")
    ask.add_argument("--embedder", metavar="NAME_OR_PATH", help="the embedder the index was built with")
    ask.add_argument("--model", metavar="NAME", help=MODEL_HELP)

    evaluate = add("eval", run_evaluation, "Measure retrieval, citations and refusals on judged questions.")
    add_evaluation_arguments(evaluate)

    serve = add("serve", _serve, "Serve the chat and the HTTP API.", index=False)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=7860, help="port to listen on, 0 for any (default: %(default)s)")
    serve.add_argument("--index-dir", default=DEFAULT_INDEX_DIR, metavar="DIR", help="the index (default: %(default)s)")
    serve.add_argument(
        "--corpus-dir",
        action="append",
        metavar="DIR",
        help=f"a folder that a rebuild reads; may be given several times (default: {DEFAULT_CORPUS_DIR})",
    )
    serve.add_argument("--upload-dir", metavar="DIR", help="where uploads are kept (default: CORPUS_DIR/uploads)")
    serve.add_argument("--embedder", metavar="NAME_OR_PATH", help="the embedder the index was built with")
    serve.add_argument("--model", metavar="NAME", help=MODEL_HELP)
    serve.add_argument(
        "--auth-file",
        metavar="FILE",
        help="let only the users of this file in (see rag user); restarts end sessions unless FILE.secret signs them",
    )

    add_user_arguments(add("user", run_user, "Say who may log in to a server that has --auth-file.", index=False))

    add("verify", _verify, "Check every file of the index against its checksum.")
    add("rollback", _rollback, "Go back to the previous generation of the index.")
    doctor = add("doctor", _doctor, "Say what is installed, what state the index is in, and what leaves the machine.")
    doctor.add_argument("--model", metavar="NAME", help=MODEL_HELP)
    return parser


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def _build(args: argparse.Namespace) -> int:
    from rag.builder import build_index
    from rag.wire import build_json

    with Progress() as progress:
        report = build_index(
            args.corpus_dirs or [DEFAULT_CORPUS_DIR], args.index_dir, embedder=args.embedder, progress=progress
        )
    for failed in report.failed:
        print(f"skipped {failed.path}: {failed.reason}", file=sys.stderr)
    if args.json:
        print_json(build_json(report))
    else:
        print(
            f"{args.index_dir}/{report.generation}: {report.documents} documents, {report.passages} passages "
            f"({report.added} added, {report.updated} updated, {report.removed} removed, {report.unchanged} unchanged, "
            f"{len(report.failed)} failed) in {report.seconds:.1f} s"
        )
    return 0


def _search(args: argparse.Namespace) -> int:
    from rag.retriever import Retriever
    from rag.text import detect_language
    from rag.wire import hits_json

    retriever = Retriever.open(args.index_dir, embedder=args.embedder)
    hits = retriever.search(args.query, top_k=args.top_k)
    if args.json:
        print_json(hits_json(args.query, detect_language(args.query), hits))
        return 0
    for hit in hits:
        passage = hit.passage
        page = f", page {passage.page}" if passage.page else ""
        print(f"{hit.rank}. {passage.doc_id}:{passage.start}-{passage.end}{page}  score {hit.score:.3f}")
        print(f"   {' '.join(passage.text.split())}")
    return 0


def _ask(args: argparse.Namespace) -> int:
    from rag.answering import Chatbot
    from rag.generators import open_generator
    from rag.retriever import Retriever
    from rag.wire import answer_json

    retriever = Retriever.open(args.index_dir, embedder=args.embedder)
    generator = open_generator(args.model) if args.model else None
    answer = Chatbot(retriever, generator=generator).ask(args.question)
    if answer.notice:
        print(f"note: {answer.notice}", file=sys.stderr)
    if args.json:
        print_json(answer_json(answer))
        return 0
    print(answer.text)
    if answer.citations:
        print()
    for citation in answer.citations:
        page = f", page {citation.page}" if citation.page else ""
        place = " › ".join(dict.fromkeys((citation.title, *citation.heading)))
        print(f"[{citation.n}] {place} ({citation.doc_id}:{citation.start}-{citation.end}{page})")
    return 0


def _serve(args: argparse.Namespace) -> int:
    from rag.server import serve
    from rag.server.middleware import is_loopback

    if args.auth_file is None and not is_loopback(args.host):
        print(
            f"warning: anyone who reaches port {args.port} can read the documents; "
            "ask for a login with --auth-file FILE (see rag user add)",
            file=sys.stderr,
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
        on_ready=lambda address: print(f"Sanad answers on {address}", file=sys.stderr, flush=True),
    )
    return 0


def _verify(args: argparse.Namespace) -> int:
    from rag.store import IndexStore

    store = IndexStore(Path(args.index_dir))
    problems = store.verify()
    if args.json:
        print_json({"index_dir": args.index_dir, "generation": store.current_name(), "problems": problems})
    elif not problems:
        print(f"{args.index_dir}/{store.current_name()}: every file is whole")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _rollback(args: argparse.Namespace) -> int:
    from rag.store import IndexStore

    name = IndexStore(Path(args.index_dir)).rollback()
    if args.json:
        print_json({"index_dir": args.index_dir, "generation": name})
    else:
        print(f"{args.index_dir} is back at {name}; the next rag build starts from there")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    import platform
    from importlib.metadata import version

    from rag.embedder import DEFAULT_EMBEDDER, Embedder
    from rag.generators import open_generator, remote_host
    from rag.reader import DEFAULT_READER, Reader
    from rag.store import IndexStore

    packages = ("sanad", "torch", "sentence-transformers", "transformers", "faiss-cpu", "gradio")
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "problems": [],
    }
    try:
        embedder = Embedder.open()
        report["embedder"] = {"path": str(DEFAULT_EMBEDDER), "dim": embedder.dim, "max_tokens": embedder.max_tokens}
    except RagError as error:
        report["problems"].append(str(error))
    try:
        Reader()
        report["reader"] = {"path": str(DEFAULT_READER)}
    except RagError as error:
        report["problems"].append(str(error))
    if args.model:
        try:
            generator = open_generator(args.model)
            report["model"] = {
                "name": generator.name,
                "context_tokens": generator.context_tokens,
                "sent_to": remote_host(args.model),
            }
        except RagError as error:
            report["problems"].append(str(error))
    try:
        store = IndexStore(Path(args.index_dir))
        report["generation"] = store.current_name()
        report["problems"].extend(store.verify())
    except RagError as error:
        report["problems"].append(str(error))
    if args.json:
        print_json(report)
    else:
        print(
            f"Python {report['python']}; "
            + ", ".join(f"{name} {number}" for name, number in report["packages"].items())
        )
        if "embedder" in report:
            print("embedder: {path}, {dim} dimensions, window {max_tokens} tokens".format(**report["embedder"]))
        if "reader" in report:
            print(f"reader: {report['reader']['path']}")
        if report.get("generation"):
            print(f"index: {args.index_dir}/{report['generation']}")
        if "model" in report:
            print("model: {name}, window {context_tokens} tokens".format(**report["model"]))
        elif not args.model:
            print("model: none, answers are quotes")
        host = report.get("model", {}).get("sent_to")
        if host:
            print(f"network: questions, and the passages that may answer them, are sent to {host}")
        else:
            print("network: none used, unless a hub model is named with --embedder or --model")
        print("problems: " + (f"{len(report['problems'])}" if report["problems"] else "none"))
    for problem in report["problems"]:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
