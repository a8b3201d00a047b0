"""The terminal face: ``rag build | search | ask | eval | serve | verify | rollback | doctor``.

Results go to stdout, progress and messages to stderr. Exit status: 0 done, 1 an error that the message explains, 2
wrong usage. The heavy modules are imported by the command that needs them, so that ``rag --help`` answers at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.errors import RagError

if TYPE_CHECKING:
    from rag.builder import BuildProgress

DEFAULT_INDEX_DIR = "index"
DEFAULT_CORPUS_DIR = "corpus"

_MODEL_HELP = (
    "a language model that writes the answers: a folder, a .gguf file, a hub name, smollm2, or "
    "openai:http://HOST:PORT/v1#MODEL (default: none, answers are quotes)"
)


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
    ask.add_argument("--model", metavar="NAME", help=_MODEL_HELP)

    evaluate = add("eval", _eval, "Measure retrieval, citations and refusals on judged questions.")
    evaluate.add_argument("questions", nargs="*", metavar="QUESTIONS.jsonl")
    evaluate.add_argument("--embedder", metavar="NAME_OR_PATH", help="the embedder the index was built with")
    evaluate.add_argument(
        "--details", type=_new_file, metavar="FILE", help="write what happened to each question, as JSON Lines"
    )
    evaluate.add_argument("--model", metavar="NAME", help=_MODEL_HELP)
    evaluate.add_argument("--output", type=_new_file, metavar="FILE", help="save the report, rows included, as JSON")
    evaluate.add_argument(
        "--html", type=_new_file, metavar="FILE", help="write it as one HTML page (pip install 'sanad[report]')"
    )
    evaluate.add_argument(
        "--false-answer-rate",
        type=_share,
        default=0.05,
        metavar="SHARE",
        help="name the threshold that answers at most this share of unanswerable questions (default: %(default)s)",
    )
    evaluate.add_argument(
        "--gate",
        metavar="GATES",
        help="exit with 1 if missed, for instance evidence_cited>=0.7,refused_answerable<=0.1",
    )
    evaluate.add_argument(
        "--compare",
        nargs=2,
        metavar=("FIRST", "SECOND"),
        help="compare two saved reports instead; exit with 1 if a gated figure got worse",
    )
    evaluate.add_argument(
        "--conversations",
        nargs="+",
        metavar="FILE",
        help="measure follow-up questions instead, with their history and without it",
    )
    evaluate.set_defaults(wrong_usage=evaluate.error)

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
    serve.add_argument("--model", metavar="NAME", help=_MODEL_HELP)

    add("verify", _verify, "Check every file of the index against its checksum.")
    add("rollback", _rollback, "Go back to the previous generation of the index.")
    doctor = add("doctor", _doctor, "Say what is installed, what state the index is in, and what leaves the machine.")
    doctor.add_argument("--model", metavar="NAME", help=_MODEL_HELP)
    return parser


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def _new_file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written; name a file in a folder that exists")
    return path


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share, 0 to 1")
    return value


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _build(args: argparse.Namespace) -> int:
    from rag.builder import build_index
    from rag.wire import build_json

    with _Progress() as progress:
        report = build_index(
            args.corpus_dirs or [DEFAULT_CORPUS_DIR], args.index_dir, embedder=args.embedder, progress=progress
        )
    for failed in report.failed:
        print(f"skipped {failed.path}: {failed.reason}", file=sys.stderr)
    if args.json:
        _print_json(build_json(report))
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
        _print_json(hits_json(args.query, detect_language(args.query), hits))
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
        _print_json(answer_json(answer))
        return 0
    print(answer.text)
    if answer.citations:
        print()
    for citation in answer.citations:
        page = f", page {citation.page}" if citation.page else ""
        place = " › ".join(dict.fromkeys((citation.title, *citation.heading)))
        print(f"[{citation.n}] {place} ({citation.doc_id}:{citation.start}-{citation.end}{page})")
    return 0


def _eval(args: argparse.Namespace) -> int:
    from rag.answering import Chatbot
    from rag.builder import BuildProgress
    from rag.evaluation import evaluate, parse_gates, render_page, report_table, require_page
    from rag.generators import open_generator
    from rag.retriever import Retriever

    gates = parse_gates(args.gate) if args.gate else ()
    if sum(map(bool, (args.questions, args.compare, args.conversations))) != 1:
        args.wrong_usage("give question files, --conversations, or --compare with two reports")
    if not args.questions and (args.html or args.output):
        args.wrong_usage("--html and --output want question files")
    if args.compare:
        return _compare(args)
    if args.conversations:
        return _eval_conversations(args)
    if args.html:
        require_page()
    retriever = Retriever.open(args.index_dir, embedder=args.embedder)
    generator = open_generator(args.model) if args.model else None
    with _Progress() as progress:
        report = evaluate(
            Chatbot(retriever, generator=generator),
            [Path(p) for p in args.questions],
            false_answer_rate=args.false_answer_rate,
            progress=lambda done, total, item: progress(BuildProgress("ask", done, total, item)),
        )
    if args.details:
        with open(args.details, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in report.details)
    if args.output:
        text = json.dumps(report.to_json(), ensure_ascii=False, allow_nan=False, indent=1)
        args.output.write_text(text + "\n", encoding="utf-8")
    if args.html:
        args.html.write_text(render_page(report), encoding="utf-8")
    if args.json:
        _print_json(report.to_json())
    else:
        print(report_table(report))
    missed = [line for gate in gates if (line := gate.missed_by(report))]
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed else 0


def _eval_conversations(args: argparse.Namespace) -> int:
    from rag.answering import Chatbot
    from rag.evaluation.conversations import conversations_table, evaluate_conversations
    from rag.retriever import Retriever

    chatbot = Chatbot(Retriever.open(args.index_dir, embedder=args.embedder))
    report = evaluate_conversations(chatbot, [Path(path) for path in args.conversations])
    if args.details:
        with open(args.details, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in report.details)
    if args.json:
        _print_json(report.to_json())
    else:
        print(conversations_table(report))
    return 0


def _compare(args: argparse.Namespace) -> int:
    from rag.evaluation import compare, comparison_table, gate_comparison, load_report, parse_gates

    first, second = (load_report(Path(path)) for path in args.compare)
    comparison = compare(first, second)
    if args.json:
        _print_json(comparison.to_json())
    else:
        print(comparison_table(comparison))
    missed = gate_comparison(comparison, second, parse_gates(args.gate) if args.gate else ())
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed else 0


def _serve(args: argparse.Namespace) -> int:
    from rag.server import serve

    serve(
        args.host,
        args.port,
        index_dir=args.index_dir,
        corpus_dirs=args.corpus_dir or [DEFAULT_CORPUS_DIR],
        upload_dir=args.upload_dir,
        embedder=args.embedder,
        model=args.model,
        on_ready=lambda address: print(f"Sanad answers on {address}", file=sys.stderr, flush=True),
    )
    return 0


def _verify(args: argparse.Namespace) -> int:
    from rag.store import IndexStore

    store = IndexStore(Path(args.index_dir))
    problems = store.verify()
    if args.json:
        _print_json({"index_dir": args.index_dir, "generation": store.current_name(), "problems": problems})
    elif not problems:
        print(f"{args.index_dir}/{store.current_name()}: every file is whole")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _rollback(args: argparse.Namespace) -> int:
    from rag.store import IndexStore

    name = IndexStore(Path(args.index_dir)).rollback()
    if args.json:
        _print_json({"index_dir": args.index_dir, "generation": name})
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
        _print_json(report)
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


class _Progress:
    """A progress bar on stderr, one task a stage; silent where stderr is no terminal."""

    _LABELS = {"load": "reading", "embed": "embedding", "write": "writing", "ask": "asking"}

    def __enter__(self) -> _Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._tasks: dict[str, Any] = {}
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[item]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar.start()
        return self

    def __call__(self, step: BuildProgress) -> None:
        if step.stage not in self._tasks:
            label = self._LABELS.get(step.stage, step.stage)
            self._tasks[step.stage] = self._bar.add_task(label, total=step.total, item="")
        self._bar.update(self._tasks[step.stage], completed=step.done, total=step.total, item=step.item[-40:])

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()


if __name__ == "__main__":
    sys.exit(main())
